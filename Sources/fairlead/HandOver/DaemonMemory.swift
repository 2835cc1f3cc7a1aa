import Balancing
import ControlPlane
import DataPlane
import FoundationEssentials
import StateCodec

/// What a daemon leaves to the next process beside the relay's connections: what it knows, and what it has counted.
///
/// In the state it is JSON: a version that has more fields reads an older one's, and the other way round.
struct DaemonMemory: Codable, Equatable {
    /// The version that has written it.
    var version: String
    /// When the service started, in seconds since 1970.
    var startTime: Double
    /// The configuration's generation.
    var generation: Int
    /// How often the binary has been replaced in place.
    var upgrades: Int
    /// When the relay stood still, in monotonic nanoseconds.
    var frozenAt: UInt64
    var frontends: [FrontendMemory]
    /// What is known of etcd.
    var etcd: EtcdOutlook?
    /// The transitions that people may ask about.
    var events: [Event]

    /// The section of the state that it is in.
    static let section = "memory"

    /// Writes it.
    func bytes() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        // Plain values of the standard library: all of them can be written.
        return (try? encoder.encode(self)).map(Array.init) ?? []
    }

    /// Reads it.
    init(reading bytes: [UInt8]) throws(StateError) {
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        do {
            self = try decoder.decode(Self.self, from: Data(bytes))
        } catch {
            throw .invalid("what was known of the backends cannot be read: \(error)")
        }
        let numbers = frontends.flatMap(\.backends).map(\.id)
        guard Set(numbers).count == numbers.count else { throw .invalid("two backends have one number") }
        guard numbers.allSatisfy({ $0 < BackendRecord.idLimit }), events.allSatisfy({ $0.id < 1 << 62 }) else {
            throw .invalid("it has a number that leaves none for others")
        }
        guard (0..<1 << 32).contains(generation), (0..<1 << 32).contains(upgrades) else {
            throw .invalid("it counts what nobody has done")
        }
    }

    /// With all its values.
    init(
        version: String, startTime: Double, generation: Int, upgrades: Int, frozenAt: UInt64,
        frontends: [FrontendMemory], etcd: EtcdOutlook?, events: [Event]
    ) {
        self.version = version
        self.startTime = startTime
        self.generation = generation
        self.upgrades = upgrades
        self.frozenAt = frozenAt
        self.frontends = frontends
        self.etcd = etcd
        self.events = events
    }
}
