/// The name of a backend between the planes: a number that is never given to another backend while the process lives.
@frozen
public struct BackendID: Hashable, Sendable {
    /// The number. It says nothing but which backend is meant.
    public let rawValue: UInt32

    /// Names the backend that has this number.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }
}

extension BackendID: Comparable {
    /// The order in which the numbers were given out.
    @inlinable
    public static func < (one: BackendID, other: BackendID) -> Bool { one.rawValue < other.rawValue }
}

extension BackendID: CustomStringConvertible {
    /// `#7`, for logs and test failures.
    public var description: String { "#\(rawValue)" }
}
