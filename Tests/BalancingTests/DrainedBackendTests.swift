import Testing

@testable import Balancing

@Suite("Backends that their operator has drained")
struct DrainedBackendTests {
    /// All ids that one connection reaches, in the order of its attempts.
    private func order(_ members: [PoolMember]) -> [UInt32] {
        var selector = Selector(algorithm: .leastConnections, seed: 0)
        let snapshot = PoolSnapshot(members: members)
        var tried: [BackendID] = []
        while let pick = selector.pick(from: snapshot, excluding: tried, activeConnections: { _ in 0 }) {
            tried.append(pick.id)
        }
        return tried.map(\.rawValue)
    }

    @Test(
        "get nothing while another serves or might, even from a connection that has tried all others",
        arguments: [BackendState.up, .degraded, .unknown, .draining], [0, 100])
    func besideOneThatServes(state: BackendState, weight: Int) {
        let members = [member(0, administrative: .drained), member(1, state, weight: weight), member(2, .down)]
        #expect(Set(order(members)) == [1, 2])
        #expect(!PoolSnapshot(members: members).isDrainedInUse(BackendID(rawValue: 0)))
    }

    @Test("are dialled when all others are down: a good one before those, one that is not good after them")
    func lastResort() {
        let members = [
            member(0, .down), member(1, .down, weight: 0), member(2, .down, administrative: .drained),
            member(3, administrative: .drained), member(4, administrative: .excluded),
        ]
        #expect(order(members) == [3, 0, 1, 2])
        let snapshot = PoolSnapshot(members: members)
        // It serves: a client waits for it as for any other.
        #expect(!snapshot.isLastResort && !snapshot.isLastResort(BackendID(rawValue: 3)))
        #expect(snapshot.isLastResort(BackendID(rawValue: 2)) && snapshot.isLastResort(BackendID(rawValue: 4)))
        #expect(snapshot.members.map(\.id).filter(snapshot.isDrainedInUse).map(\.rawValue) == [2, 3])
        #expect(!snapshot.hasUsable && snapshot.bestTierCount == 1)
        var candidates: [UInt32] = []
        #expect(snapshot.forEachCandidate(excluding: []) { candidates.append($0.id.rawValue) })
        #expect(candidates == [3])
    }

    @Test("are shared out by weight among themselves")
    func share() {
        let snapshot = PoolSnapshot(members: [
            member(0, .down), member(1, weight: 200, administrative: .drained), member(2, administrative: .drained),
        ])
        var selector = Selector(algorithm: .roundRobin, seed: 0)
        let picks = (0..<30).compactMap { _ in selector.pick(from: snapshot) { _ in 0 } }
        #expect(tally(picks) == [1: 20, 2: 10])
    }

    @Test("are in use when nothing else is in the pool, and excluded ones never are")
    func alone() {
        #expect(order([member(0, administrative: .drained), member(1, administrative: .excluded)]) == [0])
        let excluded = PoolSnapshot(members: [member(0, administrative: .excluded)])
        #expect(excluded.isLastResort && order(excluded.members).isEmpty)
        #expect(!excluded.isDrainedInUse(BackendID(rawValue: 0)))
    }
}
