import SecureHTTP
import SystemIO

/// Collects what handlers are told.
final class Counter: Sendable {
    private let state = Locked<[HTTPClientError]>([])

    var errors: [HTTPClientError] { state.withLock { $0 } }

    func note(_ error: HTTPClientError) { state.withLock { $0.append(error) } }
}
