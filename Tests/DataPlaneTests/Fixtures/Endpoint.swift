import Glibc
import SystemIO

/// One end of a bulk transfer, on a thread of its own: sends a pattern, checks the other end's, ends its stream.
final class Endpoint: Sendable {
    /// What an end does.
    struct Plan: Sendable {
        /// Sent, and its seed.
        var send: Int
        var sendSeed: UInt64
        /// Expected, and its seed.
        var receive: Int
        var receiveSeed: UInt64
        /// The most bytes a write or a read; each takes a random number up to it.
        var writeLimit = Pattern.pieceLimit
        var readLimit = Pattern.pieceLimit
        /// Every so many reads on average the reader naps for a millisecond; 0: never.
        var napEvery = 0
        /// From here on it sends only after the other end's stream has ended: through a half-closed connection.
        var heldBack: Int?
        /// Seeds the sizes and naps.
        var seed: UInt64 = 0
    }

    private let result: Outcome
    private let thread: Thread

    private final class Outcome: Sendable {
        let value = Locked<Result<Void, any Error>?>(nil)
    }

    /// Starts at once. The peer stays open; its stream is ended when everything was sent.
    init(_ peer: Peer, _ plan: Plan) throws {
        let result = Outcome()
        self.result = result
        thread = try Thread(name: "endpoint") {
            let outcome = Result { try Self.run(peer.descriptor, plan) }
            withExtendedLifetime(peer) { result.value.withLock { $0 = outcome } }
        }
    }

    /// Waits for the end, and throws what went wrong.
    func finish(within patience: Duration) async throws {
        try await until("the transfer has ended", within: patience) { result.value.withLock { $0 != nil } }
        thread.join()
        try result.value.withLock { $0 }?.get()
    }

    /// The bytes did not match.
    struct Corrupted: Error { let position: Int }

    private static func areEqual(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
        guard let first = one.baseAddress, let second = other.baseAddress else { return false }
        return one.count == other.count && memcmp(first, second, one.count) == 0
    }

    private static func run(_ descriptor: BorrowedDescriptor, _ plan: Plan) throws {
        var random = SplitMix(state: plan.seed)
        var (outgoing, incoming) = (Pattern(seed: plan.sendSeed), Pattern(seed: plan.receiveSeed))
        var (hasEnded, hasFinished) = (false, false)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Pattern.pieceLimit, alignment: 16)
        defer { buffer.deallocate() }
        while !hasEnded || !hasFinished {
            let bound = hasEnded ? plan.send : min(plan.send, plan.heldBack ?? plan.send)
            if !hasFinished, outgoing.position == plan.send {
                Socket.shutdownSend(descriptor)
                hasFinished = true
            }
            let wantsToSend = outgoing.position < bound
            var events = pollfd(
                fd: descriptor, events: Int16((hasEnded ? 0 : POLLIN) | (wantsToSend ? POLLOUT : 0)), revents: 0)
            if hasEnded, !wantsToSend { continue }
            guard poll(&events, 1, 20_000) > 0 else { throw PeerError.timedOut("a byte moves") }
            if wantsToSend, events.revents & Int16(POLLOUT | POLLERR | POLLHUP) != 0 {
                let count = min(bound - outgoing.position, 1 + random.next(below: plan.writeLimit))
                switch outgoing.withNext(count, { Socket.send(descriptor, $0) }) {
                case .moved(let sent): outgoing.skip(sent)
                case .wouldBlock: break
                case .failed(let error): throw PeerError.failed(error)
                }
            }
            if !hasEnded, events.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0 {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(1 + random.next(below: plan.readLimit))])
                switch Socket.receive(descriptor, into: room) {
                case .moved(0):
                    guard incoming.position == plan.receive else { throw Corrupted(position: incoming.position) }
                    hasEnded = true
                case .moved(let count):
                    let came = UnsafeRawBufferPointer(rebasing: room[..<count])
                    guard incoming.withNext(count, { expected in Self.areEqual(expected, came) }) else {
                        throw Corrupted(position: incoming.position)
                    }
                    incoming.skip(count)
                case .wouldBlock: break
                case .failed(let error): throw PeerError.failed(error)
                }
                if plan.napEvery > 0, random.next(below: plan.napEvery) == 0 { usleep(1000) }
            }
        }
    }
}

/// Random numbers that come again with the same seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, not including, `limit`.
    mutating func next(below limit: Int) -> Int { Int(next() % UInt64(limit)) }
}
