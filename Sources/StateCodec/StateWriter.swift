/// Writes values one after the other, little-endian, as `StateReader` reads them.
package struct StateWriter: Sendable {
    /// What was written so far.
    package private(set) var bytes: [UInt8] = []

    /// A writer that has written nothing.
    package init() {}

    /// Writes a number in its own width.
    package mutating func write(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
    }

    /// Writes a truth value as one byte.
    package mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// Writes bytes with their count before them.
    package mutating func write(_ value: [UInt8]) {
        write(count: value.count)
        bytes += value
    }

    /// Writes a text as UTF-8.
    package mutating func write(_ text: String) { write(Array(text.utf8)) }

    /// Writes how many things follow.
    package mutating func write(count: Int) { write(UInt32(count)) }

    /// Writes whether there is a value, and it.
    package mutating func write<Value>(_ value: Value?, _ body: (inout StateWriter, Value) -> Void) {
        write(value != nil)
        if let value { body(&self, value) }
    }
}
