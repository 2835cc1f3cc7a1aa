import CSystemd
import Glibc

// Descriptors that the service manager keeps while no process of the service runs (sd_notify(3), FDSTORE=1), and those that
// it hands over when one begins (sd_listen_fds(3)).

extension ServiceManager {
    /// A descriptor that the service manager has handed over: out of its store, or a socket that it listens on.
    package struct PassedDescriptor: Sendable, Equatable {
        /// What the store or the socket unit calls it.
        package let name: String
        /// Close-on-exec. Whoever has this value owns it.
        package let descriptor: BorrowedDescriptor

        /// A descriptor with its name.
        package init(name: String, descriptor: BorrowedDescriptor) {
            self.name = name
            self.descriptor = descriptor
        }
    }

    /// Takes the descriptors that were handed over (LISTEN_FDS, LISTEN_FDNAMES), in their order. Only the first call gets
    /// them: it also removes the variables, so that no program that is started later takes its own for such ones. Call it
    /// before other threads read the environment.
    package static func takeDescriptors() -> [PassedDescriptor] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        guard count > 0 else { return [] }
        defer {
            for position in 0..<Int(count) { free(names?[position]) }
            free(names)
        }
        return (0..<Int(count)).map { position in
            let name = names?[position].map { String(cString: $0) } ?? ""
            return PassedDescriptor(name: name, descriptor: SD_LISTEN_FDS_START + Int32(position))
        }
    }

    /// FDSTORE=1: has the service manager keep duplicates, beside those that it keeps under this name already. It keeps at
    /// most FileDescriptorStoreMax= of the unit, and says nothing of those that it does not.
    ///
    /// FDPOLL=0: it shall not give up those whose peer has gone; that is for the next process to see.
    ///
    /// - Parameters:
    ///   - descriptors: At most 253.
    ///   - name: Printable ASCII without a colon, at most 255 bytes.
    /// - Throws: What the system said of sending them, such as EBADF or ETOOMANYREFS.
    package static func store(_ descriptors: [BorrowedDescriptor], name: String) throws(Errno) {
        precondition(isStoreName(name), "the service manager would refuse the name \(name)")
        guard isPresent, !descriptors.isEmpty else { return }
        let state = "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0"
        let result = sd_pid_notify_with_fds(0, 0, state, descriptors, UInt32(descriptors.count))
        guard result >= 0 else { throw Errno(rawValue: -result) }
    }

    /// FDSTOREREMOVE=1: the service manager closes all that it keeps under this name.
    package static func removeStored(name: String) { notify("FDSTOREREMOVE=1\nFDNAME=\(name)") }

    /// BARRIER=1: waits until the service manager has dealt with all that it was sent before (sd_notify_barrier(3)).
    ///
    /// - Returns: Whether it has, within this time. It blocks the calling thread.
    package static func waitUntilHeard(atMost time: Duration) -> Bool {
        guard isPresent else { return false }
        return sd_notify_barrier(0, UInt64(max(0, time.nanoseconds)) / 1000) > 0
    }

    /// Whether a text can be a name in the store.
    package static func isStoreName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count)
            && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
    }
}
