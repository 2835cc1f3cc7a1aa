/// Reads values as `StateWriter` has written them. Nothing that the bytes hold makes it trap, or allocate more than a few
/// times their size.
package struct StateReader: Sendable {
    private let bytes: [UInt8]
    private var position = 0

    /// A reader at the beginning of these bytes.
    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// A reader at a position within them.
    init(_ bytes: [UInt8], from position: Int) {
        self.bytes = bytes
        self.position = min(position, bytes.count)
    }

    /// How many bytes were not read yet.
    package var remaining: Int { bytes.count - position }

    /// Reads a number.
    ///
    /// - Parameter what: What it is, for the error when the bytes end before.
    package mutating func read<Value: FixedWidthInteger>(_ what: String) throws(StateError) -> Value {
        let width = MemoryLayout<Value>.size
        guard remaining >= width else { throw .truncated(what) }
        defer { position += width }
        return bytes.withUnsafeBytes {
            Value(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: Value.self))
        }
    }

    /// Reads a number of a type that is named.
    package mutating func read<Value: FixedWidthInteger>(
        _ type: Value.Type, _ what: String
    ) throws(StateError) -> Value {
        try read(what)
    }

    /// Reads a truth value.
    package mutating func readBool(_ what: String) throws(StateError) -> Bool {
        switch try read(UInt8.self, what) {
        case 0: return false
        case 1: return true
        case let other: throw .invalid("\(what) is \(other), and not 0 or 1")
        }
    }

    /// Reads bytes, with their count before them.
    package mutating func readBytes(_ what: String) throws(StateError) -> [UInt8] {
        let count = try readCount(what, eachAtLeast: 1)
        defer { position += count }
        return Array(bytes[position..<(position + count)])
    }

    /// Reads a text.
    package mutating func readText(_ what: String) throws(StateError) -> String {
        guard let text = String(validating: try readBytes(what), as: UTF8.self) else {
            throw .invalid("\(what) is not UTF-8")
        }
        return text
    }

    /// Reads this many bytes, or all that are left.
    mutating func readRest(upTo count: Int) -> [UInt8] {
        let count = min(count, remaining)
        defer { position += count }
        return Array(bytes[position..<(position + count)])
    }

    /// Reads how many things follow.
    ///
    /// - Parameter size: The bytes that each takes at least: what cannot be there is refused before room is made for it.
    package mutating func readCount(_ what: String, eachAtLeast size: Int) throws(StateError) -> Int {
        let count = Int(try read(UInt32.self, what))
        guard count <= remaining / size else { throw .truncated("\(what), of which there should be \(count)") }
        return count
    }

    /// Reads a value that may be absent.
    package mutating func readOptional<Value>(
        _ what: String, _ body: (inout StateReader) throws(StateError) -> Value
    ) throws(StateError) -> Value? {
        try readBool(what) ? try body(&self) : nil
    }

    /// Sees to it that nothing follows.
    package func finish(_ what: String) throws(StateError) {
        guard remaining == 0 else { throw .invalid("\(remaining) bytes follow after \(what)") }
    }
}
