import Balancing
import DataPlane
import StateCodec
import SystemIO

extension Inheritance {
    /// Goes on with what the service manager has handed over.
    init(_ contents: StoreContents) {
        self.init()
        if let found = DescriptorPark.take(from: contents.handOver) {
            self = Self.ofStoppedProcess(found)
            // It had let go of what was covered.
            contents.cover?.discard()
        } else if let cover = contents.cover {
            self = Self.ofDeadProcess(cover)
        }
        plane.listeners += contents.listeners
        faults = contents.faults + faults
        storedNames = contents.names
        // The service begins anew, though its connections do not.
        memory?.startTime = WallClock.seconds()
        memory?.generation = 0
    }

    /// A process that was stopped has parked everything: its state, in sealed memory, comes first.
    private static func ofStoppedProcess(_ found: DescriptorPark.Found) -> Inheritance {
        var inheritance: Inheritance
        if let fault = found.fault {
            inheritance = Inheritance(strays: found.descriptors, fault: fault)
        } else if let number = found.descriptors.first {
            let sockets = Array(found.descriptors.dropFirst())
            let memory = OwnedDescriptor(owning: number)
            do throws(Errno) {
                inheritance = Inheritance(
                    reading: try SealedMemory.read(memory.rawValue), descriptors: sockets, strays: sockets)
            } catch {
                inheritance = Inheritance(strays: sockets, fault: "the state cannot be read: \(error)")
            }
        } else {
            inheritance = Inheritance(strays: [], fault: "the state has not come")
        }
        inheritance.former = .stopped
        return inheritance
    }

    /// A process that has died: its connections are those of its cover that were clean.
    private static func ofDeadProcess(_ cover: StoreContents.Cover) -> Inheritance {
        var bytes: [UInt8]?
        var faults: [String] = []
        do throws(DescriptorQueue.Failure) {
            // The last message counts: the former is dropped after it was put in.
            while let message = try cover.state.take() {
                for (position, descriptor) in message.descriptors.enumerated() {
                    let memory = OwnedDescriptor(owning: descriptor)
                    if position == 0 { bytes = try? SealedMemory.read(memory.rawValue) }
                }
            }
        } catch {
            faults.append("what the dead process knew has not come: \(error)")
        }
        var inheritance = bytes.map { Inheritance(reading: $0, descriptors: [], strays: []) } ?? Inheritance()
        let remains = CoverRemains(
            taking: cover.parts, frontends: inheritance.plane.frontends.map(\.name),
            backends: Set(inheritance.plane.backends.map(\.id)))
        inheritance.plane.connections = remains.connections
        inheritance.faults += faults + remains.faults
        inheritance.former = .dead(lost: remains.lost)
        return inheritance
    }

    /// How the process ended that has left all this.
    enum Former: Equatable {
        /// It was replaced in place.
        case replaced
        /// It was stopped, and has written everything down.
        case stopped
        /// It died. So many of its connections had bytes in it, and were reset.
        case dead(lost: Int)
    }
}
