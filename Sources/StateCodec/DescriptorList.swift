/// The descriptors that a state refers to by their index, while it is written.
package struct DescriptorList: Sendable, Equatable {
    /// Their numbers in the process that writes, in the order of their indices.
    package private(set) var numbers: [Int32] = []

    /// No descriptors.
    package init() {}

    /// Adds a descriptor.
    ///
    /// - Returns: Its index.
    package mutating func add(_ number: Int32) -> UInt32 {
        numbers.append(number)
        return UInt32(numbers.count - 1)
    }
}

/// The descriptors that have come with a state, while it is read: each is given out once.
package struct DescriptorShelf: Sendable, Equatable {
    private var numbers: [Int32?]

    /// - Parameter numbers: In the order of their indices; nil where one did not come.
    package init(_ numbers: [Int32?]) { self.numbers = numbers }

    /// Those that nobody has taken.
    package var left: [Int32] { numbers.compactMap(\.self) }

    /// Takes the descriptor of an index.
    package mutating func take(_ index: UInt32, _ what: String) throws(StateError) -> Int32 {
        guard index < numbers.count else {
            throw .invalid("\(what) is descriptor \(index), and only \(numbers.count) have come")
        }
        guard let number = numbers[Int(index)] else {
            throw .invalid("\(what) is descriptor \(index), which is not open or is used twice")
        }
        numbers[Int(index)] = nil
        return number
    }
}

extension StateReader {
    /// Reads a descriptor's index and takes that descriptor.
    package mutating func readDescriptor(
        from shelf: inout DescriptorShelf, _ what: String
    ) throws(StateError) -> Int32 {
        try shelf.take(try read(UInt32.self, what), what)
    }
}
