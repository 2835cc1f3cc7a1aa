import Balancing
import Logging
import SystemIO
import Testing

@testable import ControlPlane

/// What plans the next look at a backend.
@Suite("Pacing")
struct PacerTests {
    @Test("A plan that was replaced just as its time came does nothing: there is one plan a backend, not two for ever")
    func replacedTooLate() async throws {
        let clock = DelayingClock()
        let made = FakeBackends(clock: clock.time)
        let controller = FrontendController(
            name: "kube-apiserver", policy: HealthPolicy(), probe: ProbeOptions(),
            backends: [Stage.specification("b0")], publisher: RecordingPublisher(clock: clock.time),
            logger: LogRecorder().logger, events: EventLog(), clock: clock, jitter: { 0 },
            makeProber: { made.make($0, connectionEnded: $2) })
        await controller.start()
        let backend = try #require(made.newest("b0"))
        func wait(for what: String, _ condition: () async -> Bool) async throws {
            let deadline = ContinuousClock.now + .seconds(20)
            while await !condition() {
                try #require(ContinuousClock.now < deadline, "never: \(what)")
                await Task.yield()
            }
        }
        try await wait(for: "the second probe's plan") {
            await controller.taskCount == 1 && clock.time.sleeperCount == 1
        }
        #expect(backend.asked(.readiness).count == 1)

        // Its sleep is over, but it does not run yet, and news makes another plan meanwhile.
        clock.delayNext()
        clock.time.set(try #require(clock.time.nextDue))
        try await wait(for: "the sleep to be over") { clock.isDelaying }
        backend.state.withLock { $0.connectionEnded }()
        try await wait(for: "the third probe's plan") {
            backend.asked(.readiness).count == 2 && clock.time.sleeperCount == 1
        }
        clock.endDelay()
        try await wait(for: "a single plan") { await controller.taskCount == 1 }
        #expect(clock.time.sleeperCount == 1)
        #expect(backend.asked(.readiness).count == 2)
        await controller.stop()
    }
}

/// A clock that can let one sleeper oversleep: the time has come, and a cancellation after that comes too late.
private final class DelayingClock: ProbeClock {
    private enum State {
        case prompt, delaysNext
        case delays(CheckedContinuation<Void, Never>)
    }

    let time = ManualClock()
    private let state = Locked(State.prompt)

    var isDelaying: Bool { state.withLock { if case .delays = $0 { true } else { false } } }

    func now() -> Instant { time.now() }

    func wallSeconds() -> Double { time.wallSeconds() }

    func sleep(until instant: Instant) async throws {
        try await time.sleep(until: instant)
        await withCheckedContinuation { continuation in
            let isDelayed = state.withLock { state in
                guard case .delaysNext = state else { return false }
                state = .delays(continuation)
                return true
            }
            if !isDelayed { continuation.resume() }
        }
    }

    func delayNext() { state.withLock { $0 = .delaysNext } }

    func endDelay() {
        let delayed = state.withLock { state -> CheckedContinuation<Void, Never>? in
            defer { state = .prompt }
            return if case .delays(let continuation) = state { continuation } else { nil }
        }
        delayed?.resume()
    }
}
