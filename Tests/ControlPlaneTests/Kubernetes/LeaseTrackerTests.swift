import Balancing
import Testing

@testable import ControlPlane

@Suite("A lease")
struct LeaseTrackerTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func record(_ holder: String = "a", _ renewTime: String = "t0", seconds: Int = 15) -> LeaseTracker.Record {
        LeaseTracker.Record(
            holder: holder, renewTime: renewTime, acquireTime: "", duration: .seconds(seconds), transitions: 0)
    }

    private func at(_ seconds: Double) -> Instant { start + .milliseconds(Int64(seconds * 1000)) }

    @Test("is unknown until it is read, held while it is seen to change, expired when it was read and had not")
    func course() {
        var lease = LeaseTracker()
        #expect(lease.state(at: at(0)) == .unknown)
        lease.observe(record(), at: at(0))
        #expect(lease.state(at: at(14)) == .held)
        // Nobody has looked for longer than it lasts: it may have been renewed all the same.
        #expect(lease.state(at: at(19)) == .held && lease.state(at: at(20)) == .unknown)
        lease.observe(record(), at: at(15))
        #expect(lease.state(at: at(15)) == .expired)
        lease.observe(record("b", "t1"), at: at(16))
        #expect(lease.state(at: at(16)) == .held && lease.formerHolders == ["a"])
    }

    @Test("is not expired for an answer that was slow, which tells only what was so when it was asked for")
    func slowAnswer() {
        var lease = LeaseTracker()
        lease.observe(record(), at: at(0))
        lease.observe(record(), askedAt: at(10), at: at(19))
        #expect(lease.state(at: at(19)) == .held)
        lease.observe(record(), askedAt: at(20), at: at(20.1))
        #expect(lease.state(at: at(21)) == .expired)
        // A change counts from when it came: nobody knows when it was made.
        lease.observe(record("a", "t1"), askedAt: at(22), at: at(30))
        #expect(lease.state(at: at(30)) == .held && lease.age(at: at(31)) == .seconds(1))
    }

    @Test("is not unknown between two polls, however far apart they are")
    func polls() {
        var lease = LeaseTracker(pollInterval: .seconds(60))
        lease.observe(record(), at: at(0))
        #expect(lease.state(at: at(64)) == .held && lease.state(at: at(65)) == .unknown)
        lease.observe(record(), at: at(60))
        #expect(lease.state(at: at(119)) == .expired)
    }

    @Test("does not believe any clock but its own")
    func clocks() {
        var lease = LeaseTracker()
        // The holder's clock is a year behind, then steps back a day: each change is a renewal.
        for (second, renewTime) in ["2025-01-01T00:00:00Z", "2025-01-01T00:00:02Z", "2024-12-31T00:00:04Z"].enumerated()
        {
            lease.observe(record("a", renewTime), at: at(Double(second) * 2))
        }
        #expect(lease.state(at: at(18)) == .held)
        #expect(lease.age(at: at(18)) == .seconds(14))
        // A renewal far in the future is worth no more than another.
        lease.observe(record("a", "2099-01-01T00:00:00Z"), at: at(19))
        lease.observe(record("a", "2099-01-01T00:00:00Z"), at: at(34))
        #expect(lease.state(at: at(34)) == .expired)
    }

    @Test("is released without a holder, missing when there is none")
    func absent() {
        var lease = LeaseTracker()
        lease.observe(record(""), at: at(0))
        #expect(lease.state(at: at(1)) == .released)
        lease.observe(record("", ""), at: at(30))
        #expect(lease.state(at: at(30)) == .released)
        lease.observe(nil, at: at(31))
        #expect(lease.state(at: at(31)) == .missing && lease.age(at: at(31)) == nil)
        #expect(lease.state(at: at(60)) == .unknown)
    }

    @Test("is looked at when it would expire, and else after a third of its time")
    func silence() {
        var lease = LeaseTracker()
        #expect(lease.silenceLimit(at: at(0)) == .seconds(5))
        lease.observe(record(), at: at(0))
        #expect(lease.silenceLimit(at: at(0)) == .seconds(5))
        #expect(lease.silenceLimit(at: at(14)) == .milliseconds(1_010))
        #expect(lease.silenceLimit(at: at(20)) == .seconds(5))
        lease.observe(record("a", "t1", seconds: 1), at: at(21))
        #expect(lease.silenceLimit(at: at(21)) >= .seconds(1))
    }

    @Test("of a senseless duration lasts as client-go's default")
    func durations() {
        for (seconds, expected) in [(nil, 15), (0, 15), (-3, 15), (1, 1), (.max, 86_400)] as [(Int?, Int)] {
            #expect(LeaseTracker.duration(seconds: seconds) == .seconds(expected))
        }
    }

    @Test("remembers a bounded number of former holders, each once, never the present one")
    func formerHolders() {
        var lease = LeaseTracker()
        for number in 0..<50 { lease.observe(record("h\(number % 20)", "t\(number)"), at: at(Double(number))) }
        #expect(lease.formerHolders == (1...8).map { "h\((49 - $0) % 20)" })
        lease.observe(record("h8", "again"), at: at(51))
        #expect(lease.formerHolders.first == "h9" && !lease.formerHolders.contains("h8"))
    }

    @Test("object without this or that is read as far as it goes")
    func objects() throws {
        func read(_ spec: String) throws -> LeaseTracker.Record {
            let text = "{\"metadata\":{\"name\":\"kube-scheduler\"}\(spec)}"
            return try JSONText.decode(LeaseObject.self, from: Array(text.utf8)).record
        }
        #expect(try read("").holder == "")
        #expect(try read(",\"spec\":{\"holderIdentity\":\"m_1\"}").renewTime == "")
        #expect(try read(",\"spec\":{\"leaseTransitions\":-4,\"holderIdentity\":null}").transitions == 0)
        #expect(try read(",\"spec\":{\"holderIdentity\":\"a\\u001bb\"}").holder == "a?b")
        #expect(throws: KubernetesError.self) { try read(",\"spec\":{\"leaseDurationSeconds\":\"15\"}") }
        #expect(throws: KubernetesError.self) { try read(",\"spec\":[]") }
    }
}
