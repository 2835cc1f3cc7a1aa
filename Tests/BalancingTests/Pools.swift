@testable import Balancing

/// The smallest way to write a member.
func member(
    _ id: UInt32, _ state: BackendState = .up, weight: Int = 100, effective: Int? = nil,
    administrative: AdministrativeState = .enabled
) -> PoolMember {
    PoolMember(
        id: BackendID(rawValue: id), name: "backend-\(id)", state: state, administrative: administrative,
        weight: weight, effectiveWeight: effective ?? (state.isUsable ? weight : 0),
        hashKey: SourceHash.mix(UInt64(id) &* 7919))
}

/// A pool of up backends with these weights and ids from 0.
func pool(_ weights: [Int]) -> PoolSnapshot {
    PoolSnapshot(members: weights.indices.map { member(UInt32($0), weight: weights[$0]) })
}

/// A pool of 1 to `limit` members in any state, of any weight, now and then drained or excluded by the operator.
func randomMembers(upTo limit: Int, using generator: inout SeededGenerator) -> [PoolMember] {
    (0..<Int.random(in: 1...limit, using: &generator)).map { index in
        let state = BackendState.allCases.randomElement(using: &generator) ?? .up
        let weight = Bool.random(using: &generator) ? Int.random(in: 0...256, using: &generator) : 100
        return member(
            UInt32(index), state, weight: weight,
            effective: state.isUsable ? Int.random(in: 0...max(0, weight), using: &generator) : 0,
            administrative: randomAdministrative(using: &generator))
    }
}

private func randomAdministrative(using generator: inout SeededGenerator) -> AdministrativeState {
    switch Int.random(in: 0..<12, using: &generator) {
    case 0, 1: .drained
    case 2: .excluded
    default: .enabled
    }
}

/// How often each id was picked.
func tally(_ picks: [PoolMember]) -> [UInt32: Int] {
    picks.reduce(into: [:]) { $0[$1.id.rawValue, default: 0] += 1 }
}
