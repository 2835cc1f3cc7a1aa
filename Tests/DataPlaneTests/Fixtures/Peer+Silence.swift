import Glibc
import SystemIO

extension Peer {
    /// Vanishes: its kernel drops all that comes, and so acknowledges nothing (SO_ATTACH_FILTER, socket(7)). What was sent
    /// before is acknowledged first.
    func vanish() throws {
        // BPF_RET | BPF_K with 0: keep no byte of any packet.
        var dropAll: UInt64 = 0x06
        try withUnsafeMutablePointer(to: &dropAll) { instruction throws(PeerError) in
            var program = (count: UInt16(1), instructions: UnsafeMutableRawPointer(instruction))
            let size = socklen_t(MemoryLayout.size(ofValue: program))
            guard setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, size) == 0 else {
                throw PeerError.failed(.current)
            }
        }
    }
}
