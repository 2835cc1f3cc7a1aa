import SecureHTTP
import Synchronization

/// Collects what handlers are told.
final class Counter: Sendable {
    private let state = Mutex<[HTTPClientError]>([])

    var errors: [HTTPClientError] { state.withLock { $0 } }

    func note(_ error: HTTPClientError) { state.withLock { $0.append(error) } }
}
