import SystemIO

/// Waits until a condition holds. Tests wait with this and never for a fixed time.
///
/// - Parameters:
///   - timeout: After this long the answer is false.
///   - condition: Asked every few milliseconds.
/// - Returns: Whether the condition has held: `#expect(await eventually { server.count == 3 })`.
package func eventually(
    timeout: Duration = .seconds(60), _ condition: () async throws -> Bool
) async rethrows -> Bool {
    let start = MonotonicClock.nanoseconds()
    while true {
        if try await condition() { return true }
        if MonotonicClock.nanoseconds() - start > UInt64(timeout.nanoseconds) { return false }
        try? await Task.sleep(for: .milliseconds(3))
    }
}

/// How long something took.
///
/// - Parameter body: What is timed.
/// - Returns: Its result and the time.
package func timed<Result>(_ body: () async throws -> Result) async rethrows -> (result: Result, time: Duration) {
    let start = MonotonicClock.nanoseconds()
    let result = try await body()
    return (result, .nanoseconds(Int64(MonotonicClock.nanoseconds() - start)))
}
