import Balancing
package import StateCodec
package import SystemIO

// The sections of a state that are the data plane's, in bytes. Descriptors are written as indices into a list that travels
// beside them.

extension PlaneRecord {
    /// The sections' names.
    private enum Section {
        static let listeners = "listeners"
        static let connections = "connections"
        static let counters = "counters"
    }

    /// Adds the data plane's sections to a state, and its descriptors to the list.
    package func write(to file: inout StateFile, _ descriptors: inout DescriptorList) {
        var writer = StateWriter()
        writer.write(count: listeners.count)
        for listener in listeners { listener.write(to: &writer, &descriptors) }
        file.add(Section.listeners, writer.bytes)

        writer = StateWriter()
        writer.write(writtenAt)
        writer.write(count: connections.count)
        for connection in connections { connection.write(to: &writer, &descriptors) }
        file.add(Section.connections, writer.bytes)

        writer = StateWriter()
        writer.write(count: frontends.count)
        for frontend in frontends {
            writer.write(frontend.name)
            writer.write(frontend.counters)
        }
        writer.write(count: backends.count)
        for backend in backends {
            writer.write(backend.id.rawValue)
            writer.write(backend.address)
            writer.write(backend.counters)
            writer.write(backend.gate)
        }
        file.add(Section.counters, writer.bytes)
    }

    /// Reads the listeners alone: they are of use also when nothing else of the state is.
    package static func readListeners(
        _ file: StateFile, _ shelf: inout DescriptorShelf
    ) throws(StateError) -> [ListenerRecord] {
        var reader = StateReader(try file.section(Section.listeners))
        var listeners: [ListenerRecord] = []
        for number in 0..<(try reader.readCount("the listeners", eachAtLeast: 10)) {
            listeners.append(try ListenerRecord(reading: &reader, &shelf, "listener \(number)"))
        }
        try reader.finish("the listeners")
        return listeners
    }

    /// Reads all but the listeners.
    ///
    /// - Parameters:
    ///   - listeners: Those that were read before.
    ///   - shelf: The descriptors that have come. After an error those of the records read before are not on it any more;
    ///     the caller closes what it knows to have come.
    ///   - now: Monotonic nanoseconds.
    package init(
        reading file: StateFile, listeners: [ListenerRecord], _ shelf: inout DescriptorShelf,
        now: UInt64 = MonotonicClock.nanoseconds()
    ) throws(StateError) {
        self.listeners = listeners
        var reader = StateReader(try file.section(Section.counters))
        for number in 0..<(try reader.readCount("the frontends", eachAtLeast: 8)) {
            let name = try reader.readText("the name of frontend \(number)")
            frontends.append(FrontendRecord(name: name, counters: try reader.readCounters("frontend \(name)")))
        }
        for number in 0..<(try reader.readCount("the backends", eachAtLeast: 17)) {
            let what = "backend \(number)"
            backends.append(
                BackendRecord(
                    id: BackendID(rawValue: try reader.read(what)), address: try reader.readAddress(what),
                    counters: try reader.readCounters(what), gate: try reader.readDeadline(what)))
            guard backends[number].id.rawValue < BackendRecord.idLimit else {
                throw .invalid("\(what) has a number that leaves none for others")
            }
            guard backends[number].gate < .max else { throw .invalid("\(what) waits for a time that never comes") }
        }
        guard Set(backends.map(\.id)).count == backends.count else { throw .invalid("two backends have one number") }
        try reader.finish("the counters")

        reader = StateReader(try file.section(Section.connections))
        writtenAt = try reader.read("its time")
        guard writtenAt <= now else { throw .invalid("it was written later than now: before this boot, that is") }
        let known = Set(backends.map(\.id))
        for number in 0..<(try reader.readCount("the connections", eachAtLeast: 40)) {
            let what = "connection \(number)"
            let connection = try ConnectionRecord(reading: &reader, &shelf, what)
            guard connection.backends.allSatisfy(known.contains) else {
                throw .invalid("\(what) names a backend that is not there")
            }
            guard connection.pastTimes.allSatisfy({ $0 <= writtenAt }) else {
                throw .invalid("\(what) has seen what was still to come")
            }
            connections.append(connection)
        }
        try reader.finish("the connections")
    }
}

extension ListenerRecord {
    /// Writes the record.
    package func write(to writer: inout StateWriter, _ descriptors: inout DescriptorList) {
        writer.write(frontend) { $0.write($1) }
        writer.write(configured)
        writer.write(bound)
        writer.write(descriptors.add(descriptor))
    }

    /// Reads a record.
    package init(
        reading reader: inout StateReader, _ shelf: inout DescriptorShelf, _ what: String
    ) throws(StateError) {
        let frontend = try reader.readOptional(what) { reader throws(StateError) in try reader.readText(what) }
        self.init(
            frontend: frontend, configured: try reader.readAddress(what), bound: try reader.readAddress(what),
            descriptor: try reader.readDescriptor(from: &shelf, what))
    }
}

extension ConnectionRecord {
    /// The backends that it has to do with now.
    var backends: [BackendID] {
        switch phase {
        case .dialing(let search): search.attempts.map(\.backend)
        case .established(let pair): [pair.backend]
        }
    }

    /// All times that cannot be later than that of the record.
    fileprivate var pastTimes: [UInt64] {
        switch phase {
        case .dialing(let search):
            [acceptedAt, lastActivity] + search.attempts.map(\.startedAt) + [search.queuedAt ?? 0]
        case .established: [acceptedAt, lastActivity]
        }
    }

    fileprivate func write(to writer: inout StateWriter, _ descriptors: inout DescriptorList) {
        writer.write(frontend)
        client.write(to: &writer, &descriptors)
        writer.write(sourceHash)
        writer.write(traffic)
        writer.write(acceptedAt)
        writer.write(lastActivity)
        switch phase {
        case .dialing(let search):
            writer.write(UInt8(0))
            search.write(to: &writer, &descriptors)
        case .established(let pair):
            writer.write(UInt8(1))
            writer.write(pair.backend.rawValue)
            pair.server.write(to: &writer, &descriptors)
            writer.write(pair.isBroken)
            writer.write(pair.isSettled)
            writer.write(pair.doomedAt) { $0.write($1) }
        }
    }

    fileprivate init(
        reading reader: inout StateReader, _ shelf: inout DescriptorShelf, _ what: String
    ) throws(StateError) {
        frontend = try reader.readText(what)
        client = try Half(reading: &reader, &shelf, what)
        sourceHash = try reader.read(what)
        traffic = try reader.read(what)
        acceptedAt = try reader.read(what)
        lastActivity = try reader.read(what)
        switch try reader.read(UInt8.self, what) {
        case 0:
            phase = .dialing(try Search(reading: &reader, &shelf, what))
        case 1:
            phase = .established(
                Pair(
                    backend: BackendID(rawValue: try reader.read(what)),
                    server: try Half(reading: &reader, &shelf, what), isBroken: try reader.readBool(what),
                    isSettled: try reader.readBool(what),
                    doomedAt: try reader.readOptional(what) { reader throws(StateError) in
                        try reader.readDeadline(what)
                    }))
        case let other:
            throw .invalid("\(what) is in phase \(other)")
        }
    }
}

extension ConnectionRecord.Half {
    fileprivate func write(to writer: inout StateWriter, _ descriptors: inout DescriptorList) {
        writer.write(descriptors.add(descriptor))
        writer.write(hasEnded)
        writer.write(endForwarded)
        writer.write(hasFailed)
        writer.write(isSpliced)
        writer.write(bytes)
        writer.write(unsent)
    }

    fileprivate init(
        reading reader: inout StateReader, _ shelf: inout DescriptorShelf, _ what: String
    ) throws(StateError) {
        self.init(
            descriptor: try reader.readDescriptor(from: &shelf, what), hasEnded: try reader.readBool(what),
            endForwarded: try reader.readBool(what), hasFailed: try reader.readBool(what),
            isSpliced: try reader.readBool(what), bytes: try reader.read(what), unsent: try reader.readBytes(what))
        guard unsent.count <= Remainder.limit else { throw .invalid("\(what) keeps \(unsent.count) bytes") }
    }
}

extension ConnectionRecord.Search {
    fileprivate func write(to writer: inout StateWriter, _ descriptors: inout DescriptorList) {
        writer.write(count: attempts.count)
        for attempt in attempts {
            writer.write(descriptors.add(attempt.descriptor))
            writer.write(attempt.backend.rawValue)
            writer.write(attempt.role)
            writer.write(attempt.startedAt)
            writer.write(attempt.isConnected)
            writer.write(UInt32(attempt.sentBytes))
            writer.write(attempt.isSuspect)
        }
        writer.write(count: tried.count)
        for backend in tried { writer.write(backend.rawValue) }
        writer.write(flight)
        writer.write(isOpaque)
        writer.write(nextRole)
        writer.write(firstRecipient) { $0.write($1) }
        writer.write(nextAttemptAt)
        writer.write(giveUpAt)
        writer.write(answerBy)
        writer.write(queuedAt) { $0.write($1) }
        writer.write(isTurnedAway)
        writer.write(isExhausted)
        writer.write(isLastResort)
        writer.write(isReplayed)
    }

    fileprivate init(
        reading reader: inout StateReader, _ shelf: inout DescriptorShelf, _ what: String
    ) throws(StateError) {
        for _ in 0..<(try reader.readCount("the attempts of \(what)", eachAtLeast: 22)) {
            attempts.append(
                ConnectionRecord.Attempt(
                    descriptor: try reader.readDescriptor(from: &shelf, what),
                    backend: BackendID(rawValue: try reader.read(what)), role: try reader.read(what),
                    startedAt: try reader.read(what), isConnected: try reader.readBool(what),
                    sentBytes: Int(try reader.read(UInt32.self, what)), isSuspect: try reader.readBool(what)))
        }
        for _ in 0..<(try reader.readCount("the backends tried by \(what)", eachAtLeast: 4)) {
            tried.append(BackendID(rawValue: try reader.read(what)))
        }
        flight = try reader.readBytes("the first flight of \(what)")
        isOpaque = try reader.readBool(what)
        nextRole = try reader.read(what)
        firstRecipient = try reader.readOptional(what) { reader throws(StateError) in try reader.read(what) }
        nextAttemptAt = try reader.readDeadline(what)
        giveUpAt = try reader.readDeadline(what)
        answerBy = try reader.readDeadline(what)
        queuedAt = try reader.readOptional(what) { reader throws(StateError) in try reader.read(what) }
        isTurnedAway = try reader.readBool(what)
        isExhausted = try reader.readBool(what)
        isLastResort = try reader.readBool(what)
        isReplayed = try reader.readBool(what)
        try validate(what)
    }

    /// What a worker relies on.
    private func validate(_ what: String) throws(StateError) {
        guard flight.count <= Dial.flightLimit else { throw .invalid("\(what) has a flight of \(flight.count) bytes") }
        guard attempts.allSatisfy({ $0.sentBytes <= flight.count }) else {
            throw .invalid("\(what) has sent more than it was given")
        }
        let roles = attempts.map(\.role)
        guard attempts.count <= Dial.concurrentLimit, Set(roles).count == roles.count, nextRole <= EventToken.listener,
            roles.allSatisfy({ $0 >= EventToken.firstAttempt && $0 < nextRole })
        else { throw .invalid("\(what) has attempts that cannot be told apart") }
    }
}

// MARK: - Addresses and counters

extension StateWriter {
    /// Writes an address.
    package mutating func write(_ address: SocketAddress) {
        switch address {
        case .v4(let host, let port):
            write(UInt8(4))
            write(host)
            write(port)
        case .v6(let high, let low, let port, let scope):
            write(UInt8(6))
            write(high)
            write(low)
            write(port)
            write(scope)
        case .unix(let path):
            write(UInt8(1))
            write(path)
        }
    }

    fileprivate mutating func write(_ counters: [String: UInt64]) {
        write(count: counters.count)
        for (name, value) in counters.sorted(by: { $0.key < $1.key }) {
            write(name)
            write(value)
        }
    }
}

extension StateReader {
    /// Reads an address.
    package mutating func readAddress(_ what: String) throws(StateError) -> SocketAddress {
        switch try read(UInt8.self, what) {
        case 4: return .v4(try read(what), port: try read(what))
        case 6:
            return .v6(high: try read(what), low: try read(what), port: try read(what), scope: try read(what))
        case 1: return .unix(try readText(what))
        case let other: throw .invalid("\(what) has an address of kind \(other)")
        }
    }

    /// Reads a time to come: `.max`, or one that durations can be added to.
    fileprivate mutating func readDeadline(_ what: String) throws(StateError) -> UInt64 {
        let time = try read(UInt64.self, what)
        guard time == .max || time < 1 << 62 else { throw .invalid("\(what) waits for a time that never comes") }
        return time
    }

    fileprivate mutating func readCounters(_ what: String) throws(StateError) -> [String: UInt64] {
        var counters: [String: UInt64] = [:]
        for _ in 0..<(try readCount("the counters of \(what)", eachAtLeast: 12)) {
            let name = try readText("a counter of \(what)")
            counters[name] = try read(what)
        }
        return counters
    }
}
