import Balancing

/// Whether a majority of an etcd cluster's voters follows one leader, from what each of them has said last.
///
/// The members are asked one by one, so that what they say is of different moments. An answer that was asked for before
/// another told of a newer leader speaks neither for nor against it: until its member is asked again, nothing is decided.
enum EtcdAgreement: Hashable, Sendable {
    /// What one voter says of the leader.
    struct Claim: Hashable, Sendable {
        /// The voter's own number, where it is known.
        var member: UInt64?
        var leader: EtcdFacts.Leader
        /// Nil when its source has no term.
        var term: UInt64?
        /// When the question went out.
        var askedAt: Instant
        /// When the answer came.
        var heardAt: Instant
        /// Whether a newer question has been without an answer for longer than is usual.
        var isOverdue = false
    }

    /// Why there is none.
    enum Absence: Hashable, Sendable {
        /// Voters answer that there is no leader, or name different ones.
        case noLeader
        /// So many voters do not run that none can be elected.
        case membersGone
        /// Too few voters answer to tell.
        case tooFewAnswers
    }

    /// A majority follows this leader in this term; nil where the sources do not tell.
    case agreed(leader: UInt64?, term: UInt64?)
    /// Voters have to be asked again, and are.
    case undecided
    case absent(Absence)

    /// - Parameters:
    ///   - voters: How many vote, heard or not.
    ///   - claims: One for each voter whose last probe was answered.
    ///   - pending: How many voters have not been heard of either way yet.
    ///   - refusing: How many voters' hosts refuse the connection.
    init(voters: Int, claims: [Claim], pending: Int, refusing: Int) {
        let majority = voters / 2 + 1
        let claims = Self.trusted(claims)
        if let reign = Self.newest(claims) {
            let agreeing = claims.filter { $0.supports(reign) }
            if agreeing.count >= majority {
                self = Self.verdict(reign, agreeing, claims)
                return
            }
            let outdated = claims.count { !$0.supports(reign) && !$0.isNewer(than: agreeing) }
            if agreeing.count + outdated + pending >= majority {
                self = .undecided
                return
            }
        } else if pending >= majority {
            self = .undecided
            return
        }
        if claims.contains(where: { $0.leader == .none }) || claims.count >= majority {
            self = .absent(.noLeader)
        } else if refusing > voters - majority {
            self = .absent(.membersGone)
        } else {
            self = .absent(.tooFewAnswers)
        }
    }

    /// Those that may count. What a voter has said that is silent now counts until another contradicts it that has been
    /// asked since: it may be suspended, and the others electing.
    private static func trusted(_ claims: [Claim]) -> [Claim] {
        guard claims.contains(where: \.isOverdue), let reign = newest(claims) else { return claims }
        let agreeing = claims.filter { $0.supports(reign) }
        let isContradicted = claims.contains { !$0.isOverdue && !$0.supports(reign) && $0.isNewer(than: agreeing) }
        return isContradicted ? claims.filter { !$0.isOverdue } : claims
    }

    /// What follows from a majority: that the leader leads, unless it denies that itself. Followers that were suspended wake
    /// with the leader of then.
    private static func verdict(_ reign: EtcdLeadership.Reign, _ agreeing: [Claim], _ claims: [Claim]) -> EtcdAgreement
    {
        let denial = claims.first { claim in
            reign.leader != nil && claim.member == reign.leader && !claim.supports(reign)
                && (claim.term ?? .max) >= (reign.term ?? 0)
        }
        guard let denial else { return .agreed(leader: reign.leader, term: reign.term) }
        return denial.isNewer(than: agreeing) ? .absent(.noLeader) : .undecided
    }

    /// The leader of the highest term that anybody names. Without terms: the one named last; nil and nil: nobody names one,
    /// though some follow one. Nil: nobody follows any.
    static func newest(_ claims: [Claim]) -> EtcdLeadership.Reign? {
        var best: (leader: UInt64, term: UInt64?, support: Int, heardAt: Instant)?
        var isFollowed = false
        for claim in claims {
            if claim.leader == .unnamed { isFollowed = true }
            guard case .member(let leader) = claim.leader else { continue }
            // A term has one leader; where two are named in one term, somebody errs, and the more count.
            let support = claims.count { $0.leader == claim.leader && $0.term == claim.term }
            let candidate = (leader: leader, term: claim.term, support: support, heardAt: claim.heardAt)
            guard let known = best else {
                best = candidate
                continue
            }
            if (candidate.term ?? 0, candidate.support, candidate.heardAt)
                > (known.term ?? 0, known.support, known.heardAt)
            {
                best = candidate
            }
        }
        if let best { return EtcdLeadership.Reign(leader: best.leader, term: best.term) }
        return isFollowed ? EtcdLeadership.Reign(leader: nil, term: nil) : nil
    }
}

extension EtcdAgreement.Claim {
    /// Whether it is for this leader: it names it in this term, or names none and has no term to contradict.
    func supports(_ reign: EtcdLeadership.Reign) -> Bool {
        switch leader {
        case .none: false
        case .unnamed: true
        case .member(let named): named == reign.leader && (term == reign.term || term == nil)
        }
    }

    /// Whether it was asked for when the first of the others was known already.
    fileprivate func isNewer(than others: [Self]) -> Bool {
        others.map(\.heardAt).min().map { askedAt >= $0 } ?? false
    }
}
