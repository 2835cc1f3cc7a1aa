/// Values by number, each at an address that does not change while it is there.
///
/// An element of an array is copied out when a class or an array is among its fields, with a count to keep for each; here it
/// is used where it stands. A number is given again after its value has gone.
struct Slots<Element: ~Copyable>: ~Copyable {
    private var pointers: [UnsafeMutablePointer<Element>?] = []

    deinit {
        for case let pointer? in pointers { Self.destroy(pointer) }
    }

    /// The numbers given out so far; some may be vacant.
    var indices: Range<Int> { pointers.indices }

    /// The value of a number; nil when there is none. The pointer is good until `remove`.
    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<Element>? {
        pointers.indices.contains(index) ? pointers[index] : nil
    }

    /// Puts a value at the lowest vacant number, and returns that.
    mutating func insert(_ element: consuming Element) -> Int {
        let index = pointers.firstIndex { $0 == nil } ?? pointers.count
        insert(element, at: index)
        return index
    }

    /// Puts a value at a number that was never given out, and returns that.
    mutating func append(_ element: consuming Element) -> Int {
        let index = pointers.count
        insert(element, at: index)
        return index
    }

    /// Puts a value at a number that is vacant.
    mutating func insert(_ element: consuming Element, at index: Int) {
        while pointers.count <= index { pointers.append(nil) }
        precondition(pointers[index] == nil, "the slot is taken")
        let pointer = UnsafeMutablePointer<Element>.allocate(capacity: 1)
        pointer.initialize(to: element)
        pointers[index] = pointer
    }

    /// Ends the value of a number, if there is one.
    mutating func remove(_ index: Int) {
        guard let pointer = self[index] else { return }
        pointers[index] = nil
        Self.destroy(pointer)
    }

    private static func destroy(_ pointer: UnsafeMutablePointer<Element>) {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }
}
