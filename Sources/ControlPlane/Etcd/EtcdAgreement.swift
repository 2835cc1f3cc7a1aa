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
        if let (leader, term) = Self.newest(claims) {
            let agreeing = claims.filter { $0.supports(leader: leader, term: term) }
            let firstHeard = agreeing.map(\.heardAt).min()
            if agreeing.count >= majority {
                // Those that were suspended wake with the leader of then. It knows best whether it leads.
                let denial = claims.first { claim in
                    claim.member == leader && leader != nil && !agreeing.contains(claim)
                        && (claim.term ?? .max) >= (term ?? 0)
                }
                if let denial {
                    let isOld = firstHeard.map { denial.askedAt < $0 } ?? false
                    self = isOld ? .undecided : .absent(.noLeader)
                } else {
                    self = .agreed(leader: leader, term: term)
                }
                return
            }
            let outdated = claims.count { claim in
                !claim.supports(leader: leader, term: term) && firstHeard.map { claim.askedAt < $0 } == true
            }
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

    /// The leader of the highest term that anybody names. Without terms: the one named last; nil and nil: nobody names one,
    /// though some follow one. Nil: nobody follows any.
    static func newest(_ claims: [Claim]) -> (leader: UInt64?, term: UInt64?)? {
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
        if let best { return (best.leader, best.term) }
        return isFollowed ? (nil, nil) : nil
    }
}

extension EtcdAgreement.Claim {
    /// Whether it is for this leader: it names it in this term, or names none and has no term to contradict.
    func supports(leader: UInt64?, term: UInt64?) -> Bool {
        switch self.leader {
        case .none: false
        case .unnamed: true
        case .member(let named): named == leader && (self.term == term || self.term == nil)
        }
    }
}
