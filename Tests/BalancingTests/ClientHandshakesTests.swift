import FoundationEssentials
import Testing

@testable import Balancing

@Suite("Handshakes of clients")
struct ClientHandshakesTests {
    private static let start = Instant(nanoseconds: 1_000_000_000_000)
    private static let context = BackendHealth.Context(isLastUsable: false, anyUsable: true)

    /// A backend that its probes call well, and the data plane's counters.
    private struct Path {
        var health: BackendHealth
        var now = ClientHandshakesTests.start
        var answered: UInt64 = 100
        var unanswered: UInt64 = 0
        var others: UInt64 = 500
        var isSpared = false

        init() {
            health = BackendHealth(policy: HealthPolicy(), at: now, isPresentAtStart: true)
            _ = health.observe(.ready(latency: .milliseconds(3)), at: now, context: ClientHandshakesTests.context)
        }

        mutating func look(isNews: Bool = false) -> Transition? {
            health.observeHandshakes(
                answered: answered, unanswered: unanswered, answeredByOthers: others, isSpared: isSpared,
                isNews: isNews, at: now)
        }

        mutating func lose(othersAnswer: Bool = true) -> Transition? {
            now = now + .milliseconds(300)
            unanswered += 1
            if othersAnswer { others += 2 }
            return look(isNews: true)
        }

        mutating func probe() -> Transition? {
            health.observe(.ready(latency: .milliseconds(3)), at: now, context: ClientHandshakesTests.context)
        }
    }

    @Test("Three in a row without an answer, while others answer, take a backend out that its probes call ready")
    func takenOut() throws {
        var path = Path()
        #expect(path.lose() == nil)
        #expect(path.health.watchesHandshakes)
        #expect(path.lose() == nil)
        let lost = path.lose()
        let transition = try #require(lost)
        #expect(transition.from == .up && transition.to == .down && transition.existingConnections == .keep)
        #expect(transition.reason.contains("3 clients in a row") && transition.reason.contains("MTU"))
        // A good probe does not bring it back.
        #expect(path.probe() == nil && path.health.state == .down)
    }

    @Test("An answer between them begins the row anew")
    func answered() {
        var path = Path()
        _ = path.lose()
        _ = path.lose()
        path.answered += 1
        #expect(path.look() == nil)
        _ = path.lose()
        #expect(path.lose() == nil)
        #expect(path.health.state == .up)
    }

    @Test("One that is out is on trial at once when too few others are left, and another process knows of it")
    func lastOne() throws {
        var path = Path()
        for _ in 0..<3 { _ = path.lose() }
        let bytes = try JSONEncoder().encode(path.health.memory)
        let memory = try JSONDecoder().decode(BackendHealth.Memory.self, from: bytes)
        path.health = BackendHealth(policy: HealthPolicy(), memory: memory)
        #expect(path.health.state == .down)
        path.isSpared = true
        #expect(path.look()?.to == .degraded)
    }

    @Test("A trial to which no client comes ends after a minute")
    func trialWithoutClients() {
        var path = Path()
        for _ in 0..<3 { _ = path.lose() }
        path.now = path.now + .seconds(10)
        #expect(path.probe()?.to == .degraded)
        path.now = path.now + .seconds(60) - .nanoseconds(1)
        #expect(path.probe() == nil)
        path.now = path.now + .nanoseconds(1)
        #expect(path.probe()?.to == .up)
    }

    @Test("One that its probes find down as well comes back by its probes, as after any hang")
    func probesFindItToo() {
        var path = Path()
        for _ in 0..<3 { _ = path.lose() }
        func see(_ outcome: ProbeOutcome) -> Transition? {
            path.now = path.now + .milliseconds(200)
            return path.health.observe(outcome, at: path.now, context: Self.context)
        }
        _ = see(.failed(.timedOut, reason: "no answer"))
        let down = see(.failed(.timedOut, reason: "no answer"))
        #expect(down?.existingConnections == .reset && path.health.reason.hasPrefix("no answer"))
        for _ in 0..<3 { _ = see(.ready(latency: .milliseconds(3))) }
        #expect(path.health.state == .up)
    }

    @Test("It is spared while too few others are left, and taken out as soon as there are more")
    func spared() {
        var path = Path()
        path.isSpared = true
        for _ in 0..<10 { #expect(path.lose() == nil) }
        path.isSpared = false
        #expect(path.lose()?.to == .down)
        #expect(path.health.isOutForHandshakes)
    }

    @Test("While no other backend answers, none is taken out")
    func allLose() {
        var path = Path()
        for _ in 0..<50 { #expect(path.lose(othersAnswer: false) == nil) }
        #expect(path.health.state == .up)
    }

    @Test(
        "After the hold it is on trial: an answer brings it back, another loss takes it out for twice as long, a minute at most"
    )
    func trial() {
        var path = Path()
        for _ in 0..<3 { _ = path.lose() }
        for seconds in [10, 20, 40, 60, 60] {
            path.now = path.now + .seconds(seconds) - .nanoseconds(1)
            #expect(path.probe() == nil && path.health.state == .down)
            path.now = path.now + .nanoseconds(1)
            #expect(path.probe()?.to == .degraded)
            #expect(path.health.effectiveWeight(of: 100, at: path.now) == 25)
            #expect(path.lose()?.to == .down)
        }
        path.now = path.now + .seconds(60)
        #expect(path.probe()?.to == .degraded)
        path.answered += 1
        #expect(path.look()?.to == .up)
        #expect(!path.health.watchesHandshakes)
    }

    @Test("Counters that begin anew are no evidence")
    func restarted() {
        var path = Path()
        _ = path.lose()
        (path.answered, path.unanswered) = (0, 0)
        #expect(path.look() == nil)
        _ = path.lose()
        #expect(path.lose() == nil)
        #expect(path.health.state == .up)
    }
}
