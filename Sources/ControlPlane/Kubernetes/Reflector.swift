import Balancing
import SecureHTTP

/// A collection of objects, or one object by its name, as the API addresses it.
struct KubernetesCollection: Hashable, Sendable {
    /// The path, such as `/api/v1/namespaces/default/endpoints`.
    var path: String
    /// The selector, such as `fieldSelector=metadata.name%3Dkubernetes`.
    var selector: String

    /// The collection of a resource, narrowed down to the objects of one name or label.
    ///
    /// - Parameters:
    ///   - api: Such as `apis/coordination.k8s.io/v1`.
    ///   - resource: In the plural, such as `leases`.
    init(
        _ api: String, namespace: String, _ resource: String, fieldSelector: String? = nil, labelSelector: String? = nil
    ) {
        path = "/\(api)/namespaces/\(Self.encoded(namespace))/\(resource)"
        selector =
            fieldSelector.map { "fieldSelector=\(Self.encoded($0))" }
            ?? labelSelector.map { "labelSelector=\(Self.encoded($0))" } ?? ""
    }

    /// Where it is listed.
    var listTarget: String { "\(path)?\(selector)" }

    /// Where it is watched from a version on. The server ends the watch after that many seconds.
    func watchTarget(from version: String, seconds: Int) -> String {
        """
        \(path)?\(selector)&watch=1&allowWatchBookmarks=true&resourceVersion=\(Self.encoded(version))\
        &timeoutSeconds=\(seconds)
        """
    }

    /// Percent-encoding of everything but unreserved characters (RFC 3986, section 2.3).
    static func encoded(_ text: String) -> String {
        let hexadecimal = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
            default: bytes += [0x25, hexadecimal[Int(byte >> 4)], hexadecimal[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What a reflector tells.
enum Reflection<Object: KubernetesObject>: Sendable {
    /// All objects, read anew, as they were at some moment after they were asked for.
    case listed([Object], askedAt: Instant)
    /// The watch is open: whatever has failed before works again.
    case watching
    /// An object is new or has changed.
    case changed(Object)
    /// An object is gone.
    case deleted(Object)
    /// It does not go on for now; it is tried again after a pause.
    case failed(KubernetesError)
}

/// Keeps up with a collection of objects: lists it, watches it from there on, and begins again when that ends.
///
/// Every way to the next attempt leads through a pause of at least 100 ms, or was a watch of at least a second: whatever the
/// servers do, there is no tight loop. After a watch that broke off it watches on from the version that it has; it lists
/// when that is too old (410), when the watch was silent for too long, and when something was not understood.
struct Reflector<Object: KubernetesObject>: Sendable {
    /// The client, which nobody else uses.
    let client: KubernetesClient
    /// The collections to read; the next in line is read where a server does not know the one before (404).
    let collections: [KubernetesCollection]
    /// How long to wait between two lists where watching is refused.
    let pollInterval: Duration
    let clock: any ProbeClock
    /// Random numbers from 0 up to 1.
    let jitter: @Sendable () -> Double
    /// How long a watch may bring nothing, from now on, before the collection is listed again.
    let silenceLimit: @Sendable () async -> Duration

    /// The longest line of a watch: an object of etcd's largest size, with room to spare.
    static var lineLimit: Int { 4 << 20 }
    /// How much longer than it was asked to a server may go on with a watch.
    static var overtime: Duration { .seconds(30) }
    /// A watch that ended by itself after less than this is paced like a failure.
    static var shortestWatch: Duration { .seconds(1) }

    /// Where the last round got to.
    private struct Position {
        let collection: KubernetesCollection
        var version: String
        /// Whether the last watch from here ended at once and had brought nothing. Then the next is no success by being
        /// open alone, or a server that ends each at once would be told to work again and again.
        var isDoubtful = false
    }

    /// Runs until its task is cancelled, and closes its connection then.
    func run(_ tell: @Sendable (Reflection<Object>) async -> Void) async {
        var pace = RetryPace()
        var position: Position?
        while !Task.isCancelled {
            let start = clock.now()
            let failure = await round(&position, tell)
            guard !Task.isCancelled else { break }
            let pause: Duration
            switch failure {
            case .watchRefused:
                pace.reset()
                pause = max(pollInterval, RetryPace.shortest)
            case .quiet:
                // The look is due now: it is no failure.
                pace.reset()
                pause = pace.pause(afterAttemptOf: .zero, jitter: jitter())
            default:
                pause = pace.pause(afterAttemptOf: clock.now() - start, jitter: jitter())
            }
            await tell(.failed(failure))
            try? await clock.sleep(until: clock.now() + pause)
        }
        await client.close()
    }

    /// Lists if there is no version to go on from, and watches until that ends.
    private func round(
        _ position: inout Position?, _ tell: @Sendable (Reflection<Object>) async -> Void
    ) async -> KubernetesError {
        do throws(KubernetesError) {
            while true {
                let from: Position
                if let position {
                    from = position
                } else {
                    let askedAt = clock.now()
                    let (listed, objects) = try await list()
                    position = listed
                    await tell(.listed(objects, askedAt: askedAt))
                    from = listed
                }
                try await watch(from, &position, tell)
            }
        } catch {
            switch error {
            case .unreachable, .brokeOff, .endedEarly, .configuration: break
            case .status, .malformed, .expired, .quiet, .watchRefused: position = nil
            }
            // What remains of a watch would be in the way of the next question.
            await client.disconnect()
            return error
        }
    }

    private func list() async throws(KubernetesError) -> (Position, [Object]) {
        for (index, collection) in collections.enumerated() {
            do throws(KubernetesError) {
                let body = try await client.get(collection.listTarget)
                let list = try JSONText.decode(ObjectList<Object>.self, from: body)
                // What cannot be read would look as if it were gone.
                if let reason = list.unreadable { throw .malformed(reason) }
                guard let version = list.metadata?.resourceVersion else { throw .malformed("a list has no version") }
                return (Position(collection: collection, version: version), list.items)
            } catch .status(404, _) where index + 1 < collections.count {
                continue
            }
        }
        throw .status(404, "the API has no such resource")
    }

    private func watch(
        _ from: Position, _ position: inout Position?, _ tell: @Sendable (Reflection<Object>) async -> Void
    ) async throws(KubernetesError) {
        let start = clock.now()
        // The server ends each watch after five to ten minutes, so that those of many balancers do not fall into step.
        let seconds = 300 + Int(300 * jitter())
        let stream: HTTPResponseStream
        do throws(KubernetesError) {
            stream = try await client.watch(from.collection.watchTarget(from: from.version, seconds: seconds))
        } catch .status(let status, let words) where [403, 405, 501].contains(status) {
            throw .watchRefused(status, words)
        }
        var isProven = !from.isDoubtful
        if isProven { await tell(.watching) }
        var hasBrought = false
        var (heardAt, patience) = (start, await silenceLimit())
        let end = start + .seconds(seconds) + Self.overtime
        defer { position?.isDoubtful = !hasBrought && clock.now() - start < Self.shortestWatch }
        var lines = LineSplitter(limit: Self.lineLimit)
        while let piece = try await next(stream, until: min(heardAt + patience, end)) {
            lines.append(piece)
            while let line = try lines.next() {
                if line.allSatisfy({ " \t\r".utf8.contains($0) }) { continue }
                hasBrought = true
                if !isProven { await tell(.watching) }
                isProven = true
                try await take(line, &position, tell)
                // Bytes alone are no news: they could come for ever.
                (heardAt, patience) = (clock.now(), await silenceLimit())
            }
        }
        guard clock.now() - start >= Self.shortestWatch else { throw .endedEarly }
    }

    private func next(_ stream: HTTPResponseStream, until end: Instant) async throws(KubernetesError) -> [UInt8]? {
        let left = end - clock.now()
        guard left > .zero else { throw .quiet }
        do throws(HTTPClientError) {
            return try await stream.next(timeout: left)
        } catch .timedOut {
            throw .quiet
        } catch {
            throw .brokeOff("\(error)")
        }
    }

    private func take(
        _ line: [UInt8], _ position: inout Position?, _ tell: @Sendable (Reflection<Object>) async -> Void
    ) async throws(KubernetesError) {
        func move(to version: String?) {
            if let version { position?.version = version }
        }
        switch try JSONText.decode(WatchEvent<Object>.self, from: line) {
        case .added(let object), .modified(let object):
            await tell(.changed(object))
            move(to: object.metadata?.resourceVersion)
        case .deleted(let object):
            await tell(.deleted(object))
            move(to: object.metadata?.resourceVersion)
        case .bookmark(let version):
            move(to: version)
        case .error(410, _):
            throw .expired
        case .error(let status, let words):
            throw .status(status, words)
        case .other:
            break
        }
    }
}
