import DataPlane
import StateCodec
import SystemIO

/// What this process goes on with: all that another has left, or as much of it as can be used.
///
/// Each part stands for itself. Listeners are used also when nothing else can be: clients then find the service where it
/// was. Connections that cannot be gone on with are reset, so that no client waits for nobody.
struct Inheritance {
    /// Connections, listeners and counters.
    var plane = PlaneRecord()
    /// The listening sockets of the admin port.
    var admin: [ListenerRecord] = []
    /// What the former process knew; nil: nothing of it can be used.
    var memory: DaemonMemory?
    /// Why something cannot be used, in words; empty when all is.
    var faults: [String] = []

    /// How the former process ended.
    var former = Former.replaced
    /// The names of what the service manager has handed over and keeps still.
    var storedNames: Set<String> = []

    /// Nothing is left.
    init() {}

    /// Reads a state.
    ///
    /// - Parameters:
    ///   - bytes: What the former process has written.
    ///   - descriptors: Those that came with it in the order of their indices; nil: they are inherited under the numbers
    ///     that the state has.
    ///   - strays: All descriptors that may have come, also if the state does not say so: sockets that nobody owns
    ///     afterwards are ended. Listening ones are kept if the state cannot tell of any.
    init(reading bytes: [UInt8], descriptors: [BorrowedDescriptor]? = nil, strays: [BorrowedDescriptor]) {
        do throws(StateError) {
            let file = try StateFile(reading: bytes)
            let numbers: [BorrowedDescriptor] = if let descriptors { descriptors } else { try Self.numbers(file) }
            read(file, numbers, isOpen: Set(strays))
        } catch {
            faults.append("\(error)")
        }
        endStrays(strays)
    }

    /// Listening sockets alone, whose addresses tell whose they are; others among them are ended.
    init(strays: [BorrowedDescriptor], fault: String) {
        faults = [fault]
        endStrays(strays)
    }

    /// What of a state cannot be used, if all its descriptors come; nothing is taken or closed.
    ///
    /// Their numbers tell nothing: the process that writes goes on, and one that a worker closes after its turn to be looked
    /// at may be another worker's before its own. So each index stands for a descriptor of its own.
    static func faults(in bytes: [UInt8]) -> [String] {
        do throws(StateError) {
            let file = try StateFile(reading: bytes)
            let numbers = try numbers(file).indices.map { Int32($0) }
            var rehearsal = Inheritance()
            rehearsal.read(file, numbers, isOpen: Set(numbers))
            return rehearsal.faults
        } catch {
            return ["\(error)"]
        }
    }

    /// Whether clients depend on this process already, so that it must not fail over what a new one would fail over.
    var isDependedOn: Bool { memory != nil || !plane.connections.isEmpty || !faults.isEmpty }

    /// Whether there is anything to go on with.
    var isEmpty: Bool { plane.listeners.isEmpty && plane.connections.isEmpty && admin.isEmpty && memory == nil }

    private static func numbers(_ file: StateFile) throws(StateError) -> [BorrowedDescriptor] {
        var reader = StateReader(try file.section(HandOverState.Section.numbers))
        var numbers: [BorrowedDescriptor] = []
        for _ in 0..<(try reader.readCount("the descriptors", eachAtLeast: 4)) {
            numbers.append(try reader.read("a descriptor"))
        }
        try reader.finish("the descriptors")
        return numbers
    }

    /// Reads part by part. What can be read stays, whatever becomes of the others.
    private mutating func read(
        _ file: StateFile, _ numbers: [BorrowedDescriptor], isOpen: Set<BorrowedDescriptor>
    ) {
        var seen: Set<BorrowedDescriptor> = []
        var shelf = DescriptorShelf(numbers.map { isOpen.contains($0) && seen.insert($0).inserted ? $0 : nil })
        plane.listeners = attempt([]) { () throws(StateError) in try PlaneRecord.readListeners(file, &shelf) }
        admin = attempt([]) { () throws(StateError) in try Self.adminListeners(file, &shelf) }
        memory = attempt(nil) { () throws(StateError) in
            try DaemonMemory(reading: try file.section(DaemonMemory.section))
        }
        let listeners = plane.listeners
        plane = attempt(plane) { () throws(StateError) in
            try PlaneRecord(reading: file, listeners: listeners, &shelf)
        }
    }

    /// What `body` reads, or, with its reason among the faults, something else.
    private mutating func attempt<Value>(
        _ otherwise: Value, _ body: () throws(StateError) -> Value
    ) -> Value {
        do throws(StateError) {
            return try body()
        } catch {
            faults.append("\(error)")
            return otherwise
        }
    }

    private static func adminListeners(
        _ file: StateFile, _ shelf: inout DescriptorShelf
    ) throws(StateError) -> [ListenerRecord] {
        var reader = StateReader(try file.section(HandOverState.Section.admin))
        var listeners: [ListenerRecord] = []
        for number in 0..<(try reader.readCount("the admin port", eachAtLeast: 10)) {
            listeners.append(try ListenerRecord(reading: &reader, &shelf, "admin listener \(number)"))
        }
        try reader.finish("the admin port")
        return listeners
    }

    /// Takes listening sockets that came without a word, and ends all else that nobody owns.
    private mutating func endStrays(_ strays: [BorrowedDescriptor]) {
        let owned = Set(
            plane.listeners.map(\.descriptor) + admin.map(\.descriptor) + plane.connections.flatMap(\.descriptors))
        for descriptor in strays where !owned.contains(descriptor) {
            guard Socket.isListening(descriptor), let address = try? Socket.localAddress(descriptor),
                plane.listeners.isEmpty || plane.listeners.contains(where: { $0.frontend == nil })
            else {
                Socket.resetOnClose(descriptor)
                closeDescriptor(descriptor)
                continue
            }
            plane.listeners.append(
                ListenerRecord(frontend: nil, configured: address, bound: address, descriptor: descriptor))
        }
    }
}

extension Inheritance {
    /// The variable that tells the next program the descriptor of its state.
    static let variable = "FAIRLEAD_STATE"

    /// Takes what the program before this one in the same process has left; nil when there was none.
    ///
    /// Call it first: whatever is open and not close-on-exec by then is inherited.
    static func ofFormerProgram() -> Inheritance? {
        guard let text = ProcessImage.variable(variable) else { return nil }
        ProcessImage.removeVariable(variable)
        let inherited = InheritedDescriptors.all.filter(InheritedDescriptors.take)
        guard let number = Int32(text), inherited.contains(number) else {
            return Inheritance(strays: inherited, fault: "\(variable) is \(text), which is no descriptor of a state")
        }
        let strays = inherited.filter { $0 != number }
        let memory = OwnedDescriptor(owning: number)
        do throws(Errno) {
            return Inheritance(reading: try SealedMemory.read(memory.rawValue), strays: strays)
        } catch {
            return Inheritance(strays: strays, fault: "the state cannot be read: \(error)")
        }
    }

    /// Takes a listening socket of the admin port by its configured address.
    mutating func takeAdminListener(_ address: SocketAddress) -> BorrowedDescriptor? {
        if let position = admin.firstIndex(where: { $0.configured == address }) {
            return admin.remove(at: position).descriptor
        }
        let position = plane.listeners.firstIndex { $0.frontend == nil && $0.configured == address }
        return position.map { plane.listeners.remove(at: $0).descriptor }
    }

    /// Closes what of the admin port nobody has taken.
    mutating func closeAdminListeners() {
        for listener in admin {
            if case .unix(let path) = listener.configured { try? File.remove(path) }
            closeDescriptor(listener.descriptor)
        }
        admin = []
    }
}
