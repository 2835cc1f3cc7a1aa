import Balancing
import Glibc
import SystemIO
import TestSupport
import Testing

@testable import ControlPlane

/// Addresses 10.0.0.N:6443.
func addresses(_ numbers: Int...) -> [SocketAddress] { numbers.map { .v4(0x0a00_0000 + UInt32($0), port: 6443) } }

@Suite("The addresses that the API lists")
struct ListedAddressesTests {
    private func read(_ text: String, portName: String = "https") throws -> ListedAddresses {
        let list = try JSONText.decode(ObjectList<EndpointObject>.self, from: Array(text.utf8))
        return ListedAddresses(list.items, portName: portName)
    }

    @Test("come from slices of both families, each once, without those that are not ready")
    func slices() throws {
        let listed = try read(
            """
            {"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"1512"},"items":[
            {"metadata":{"name":"kubernetes","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4",
             "endpoints":[{"addresses":["10.0.0.12"],"conditions":{"ready":true}},{"addresses":["10.0.0.11"]},
              {"addresses":["10.0.0.13"],"conditions":{"ready":false}},{"addresses":["10.0.0.11"],"conditions":{}}],
             "ports":[{"name":"other","protocol":"TCP","port":1},{"name":"https","protocol":"TCP","port":6443}]},
            {"metadata":{"name":"kubernetes-6"},"addressType":"IPv6",
             "endpoints":[{"addresses":["fd00::11"],"conditions":{"ready":true}}],
             "ports":[{"name":"https","port":6443}]}]}
            """)
        #expect(listed.addresses.map(\.description) == ["10.0.0.11:6443", "10.0.0.12:6443", "[fd00::11]:6443"])
        #expect(listed.dropped == 0)
    }

    @Test("come from Endpoints, where there are no slices")
    func endpoints() throws {
        let listed = try read(
            """
            {"kind":"EndpointsList","apiVersion":"v1","metadata":{"resourceVersion":"215"},"items":[
            {"metadata":{"name":"kubernetes","namespace":"default"},"subsets":[{"addresses":[{"ip":"10.77.0.11"},
            {"ip":"10.77.0.12"}],"notReadyAddresses":[{"ip":"10.77.0.13"}],"ports":[{"name":"https","port":6443,
            "protocol":"TCP"}]}]}]}
            """)
        #expect(listed.addresses.map(\.description) == ["10.77.0.11:6443", "10.77.0.12:6443"])
    }

    @Test(
        "are dropped and named when nothing can be dialled there",
        arguments: [
            ("[\"master-1.example\"]", "https", "\"master-1.example\" is no IP address"),
            ("[\"fe80::1%eth0\"]", "https", "is no IP address"), ("[\"\"]", "https", "is no IP address"),
            ("[\"127.0.0.1\"]", "https", "not the address of a host"), ("[\"::1\"]", "https", "not the address"),
            ("[\"0.0.0.0\"]", "https", "not the address of a host"), ("[\"224.0.0.1\"]", "https", "not the address"),
            ("[\"169.254.1.1\"]", "https", "not the address"), ("[\"::ffff:127.0.0.1\"]", "https", "not the address"),
            ("[\"fe80::1\"]", "https", "not the address"), ("[\"10.0.0.1\"]", "web", "no TCP port named web"),
        ])
    func dropped(list: String, portName: String, words: String) throws {
        let listed = try read(
            """
            {"metadata":{},"items":[{"endpoints":[{"addresses":\(list)}],"ports":[{"name":"https","port":6443},
            {"name":"udp","port":6443,"protocol":"UDP"},{"name":"zero","port":0},{"name":"huge","port":70000}]}]}
            """, portName: portName)
        #expect(listed.addresses.isEmpty && listed.dropped == 1)
        #expect(listed.firstDropped?.contains(words) == true, "\(listed.firstDropped ?? "")")
    }

    @Test("have no port that is not TCP or not a port", arguments: ["udp", "zero", "huge", ""])
    func ports(portName: String) throws {
        let listed = try read(
            """
            {"metadata":{},"items":[{"endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"name":"https","port":6443},
            {"name":"udp","port":6443,"protocol":"UDP"},{"name":"zero","port":0},{"name":"huge","port":70000}]}]}
            """, portName: portName)
        #expect(listed.addresses.isEmpty && listed.dropped == 1)
    }

    @Test("are bounded")
    func bounded() throws {
        let many = (0..<3_000).map { "\"10.\($0 / 65_536).\($0 / 256 % 256).\($0 % 256)\"" }.joined(separator: ",")
        let listed = try read(
            "{\"items\":[{\"endpoints\":[{\"addresses\":[\(many)]}],\"ports\":[{\"name\":\"https\",\"port\":1}]}]}")
        #expect(listed.addresses.count == 1_000 && listed.dropped == 2_000)
    }
}

@Suite("Where a frontend listens")
struct OwnListenersTests {
    @Test(
        "is where no backend of it can be",
        arguments: [
            ("10.0.0.9:6443", "10.0.0.9:6443", true), ("10.0.0.9:6443", "[::ffff:10.0.0.9]:6443", true),
            ("10.0.0.9:6443", "10.0.0.9:7443", false), ("10.0.0.9:6443", "10.0.0.8:6443", false),
            ("0.0.0.0:6443", "10.0.0.8:6443", true), ("0.0.0.0:6443", "10.0.0.8:7443", false),
            ("0.0.0.0:6443", "10.0.0.7:6443", false), ("0.0.0.0:6443", "[fd00::8]:6443", false),
            ("[::]:6443", "10.0.0.8:6443", true), ("[::]:6443", "[fd00::8]:6443", true),
            ("[::]:6443", "[fd00::7]:6443", false),
        ])
    func takes(listener: String, address: String, isOwn: Bool) throws {
        let own = OwnListeners(
            listen: [try #require(SocketAddress(listener))],
            hostAddresses: [try #require(SocketAddress("10.0.0.8:0")), try #require(SocketAddress("[fd00::8]:0"))])
        #expect(own.take(try #require(SocketAddress(address))) == isOwn)
    }

    @Test("is each address of this host, where it listens on all of them")
    func host() throws {
        let loopback = SocketAddress.v4(0x7f00_0001, port: 6443)
        #expect(try OwnListeners(now: [.v4(0, port: 6443)]).take(loopback))
        #expect(try OwnListeners(now: [.v4(0x0a00_0009, port: 6443)]).hostAddresses.isEmpty)
    }
}

@Suite("A discovered set")
struct DiscoveredSetTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    /// Takes a list and settles; whether it was taken, and whether the set has changed.
    private func step(
        _ set: inout DiscoveredSet, _ list: [SocketAddress], at instant: Instant
    ) -> (taken: Bool, changed: Bool) {
        let taken = set.take(list, at: instant)
        return (taken, set.settle(at: instant))
    }

    private func expect(
        _ outcome: (taken: Bool, changed: Bool), taken: Bool, changed: Bool,
        at location: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.taken == taken && outcome.changed == changed, sourceLocation: location)
    }

    @Test("grows at once, and lets go after a while")
    func course() {
        var set = DiscoveredSet()
        expect(step(&set, addresses(1), at: start), taken: true, changed: true)
        let later = start + .seconds(5)
        expect(step(&set, addresses(1, 2), at: later), taken: true, changed: true)
        #expect(set.addresses == addresses(1, 2))
        let gone = later + .seconds(5)
        expect(step(&set, addresses(2), at: gone), taken: true, changed: false)
        #expect(set.nextDue(at: gone) == gone + DiscoveredSet.grace)
        let isLetGo = set.settle(at: gone + DiscoveredSet.grace)
        #expect(isLetGo && set.addresses == addresses(2) && set.nextDue(at: gone + .seconds(60)) == nil)
    }

    @Test("never becomes empty")
    func empty() {
        var set = DiscoveredSet(addresses(1))
        expect(step(&set, [], at: start), taken: false, changed: false)
        #expect(set.addresses == addresses(1) && set.nextDue(at: start) == nil)
        expect(step(&set, addresses(2), at: start), taken: true, changed: true)
        expect(step(&set, [], at: start + .seconds(10)), taken: false, changed: true)
        expect(step(&set, [], at: start + .seconds(60)), taken: false, changed: false)
        #expect(set.addresses == addresses(2))
    }

    @Test("does not follow a list that flaps ten times a second")
    func flapping() {
        var set = DiscoveredSet()
        var changes = 0
        for number in 0..<600 {
            let list = number % 2 == 0 ? addresses(1, 2) : addresses(3, 4)
            if step(&set, list, at: start + .milliseconds(100 * number)).changed { changes += 1 }
        }
        #expect(changes == 2)
        #expect(set.addresses == addresses(1, 2, 3, 4))
    }

    @Test("changes once a second at most, and stays bounded, when each list has other addresses")
    func torrent() {
        var set = DiscoveredSet()
        var changes = 0
        for number in 0..<600 {
            let now = start + .milliseconds(100 * number)
            let list = (0..<300).map { SocketAddress.v4(UInt32(0x0a00_0000 + number * 300 + $0), port: 1) }
            if step(&set, list, at: now).changed { changes += 1 }
            #expect(set.addresses.count <= ListedAddresses.limit)
        }
        #expect(changes <= 61)
    }

    @Test("has nothing due that changes nothing", arguments: 1...50 as ClosedRange<UInt64>)
    func due(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var set = DiscoveredSet(addresses(1, 2, 3).filter { _ in Bool.random(using: &generator) })
        var now = start
        for _ in 0..<50 {
            _ = step(&set, addresses(1, 2, 3, 4, 5).filter { _ in Bool.random(using: &generator) }, at: now)
            if let due = set.nextDue(at: now), Bool.random(using: &generator) {
                now = max(now, due)
                let hasChanged = set.settle(at: now)
                #expect(hasChanged)
            }
            now = now + .milliseconds(Int64.random(in: 0...2_000, using: &generator))
        }
    }
}

@Suite("Backends of the configuration and of a discovery")
struct BackendMergeTests {
    private let configured = [
        BackendSpecification(name: "m1", address: addresses(1)[0], weight: 50, etcdMember: "e1"),
        BackendSpecification(name: "m9", address: addresses(9)[0]),
    ]

    @Test("are one list: what the configuration has stays as it is, the others are called by their address")
    func merge() {
        let mapped = SocketAddress.v6(high: 0, low: 0xffff_0a00_0001, port: 6443, scope: 0)
        let other = SocketAddress.v4(0x0a00_0001, port: 7443)
        let merged = BackendMerge.merge(
            configured,
            DiscoveredBackends(
                addresses: addresses(1, 2) + [mapped, other], source: .discovered, service: "default/kubernetes"))
        #expect(merged.prefix(2) == configured[...])
        #expect(merged.dropFirst(2).map(\.name) == ["10.0.0.2:6443", "10.0.0.1:7443"])
        #expect(merged.dropFirst(2).allSatisfy { $0.source == "discovered" && $0.weight == 100 })
    }

    @Test("are those of the configuration while there is no discovery")
    func none() { #expect(BackendMerge.merge(configured, nil) == configured) }
}

@Suite("The cache of a discovery")
struct DiscoveryCacheTests {
    @Test("brings back what was written, in a folder that it makes, and leaves nothing else there")
    func roundTrip() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-cache-")
        let cache = DiscoveryCache(
            directory: "\(directory.path)/a/b", frontend: "api", service: "default/kubernetes", portName: "https")
        #expect(cache.read() == .absent)
        for list in [addresses(1, 2, 3), addresses(2)] {
            try cache.write(list)
            #expect(cache.read() == .addresses(list))
        }
        #expect(try FileIdentity(path: cache.path) == FileIdentity(path: "\(directory.path)/a/b/discovery-api.json"))
        let other = DiscoveryCache(
            directory: "\(directory.path)/a/b", frontend: "api", service: "default/other", portName: "https")
        guard case .unusable(let reason) = other.read() else {
            Issue.record("another service's cache was used")
            return
        }
        #expect(reason.contains("default/kubernetes"))
    }

    @Test("that cannot be written says why")
    func unwritable() throws {
        let cache = DiscoveryCache(directory: "/proc/nothing", frontend: "api", service: "s", portName: "p")
        #expect(throws: Errno.self) { try cache.write(addresses(1)) }
        #expect(cache.read() == .absent)
        let file = try TemporaryDirectory(prefix: "fairlead-cache-")
        let path = try file.write("file", "")
        let below = DiscoveryCache(directory: path, frontend: "api", service: "s", portName: "p")
        #expect(throws: Errno.self) { try below.write(addresses(1)) }
    }

    @Test(
        "that is damaged, foreign or senseless is told from one that is not there",
        arguments: [
            ("", "empty"), ("{", "damaged"), ("null", "damaged"), ("[]", "damaged"), ("{\"version\":\"1\"}", "damaged"),
            ("{\"version\":2,\"everything\":\"else\"}", "of version 2"), ("{\"version\":1}", "damaged"),
            (form("\"10.0.0.1:6443\"").dropLast(3).description, "damaged"), (form(""), "no address"),
            (form("\"master-1:6443\""), "no address"), (form("\"0.0.0.0:6443\""), "no address"),
            (form("\"10.0.0.1:0\""), "no address"), (form("7"), "damaged"),
            (form((0...1_000).map { "\"10.0.\($0 / 256).\($0 % 256):1\"" }.joined(separator: ",")), "more than 1000"),
            (String(repeating: "[", count: 100_000), "damaged"), ("\u{0}\u{1}\u{2}", "damaged"),
        ])
    func mutilated(text: String, words: String) {
        let content = DiscoveryCache.parse(Array(text.utf8), service: "s", portName: "p")
        guard case .unusable(let reason) = content else {
            Issue.record("\(content)")
            return
        }
        #expect(reason.contains(words), "\(reason)")
    }

    @Test("that is no file does not hold up the start", .timeLimit(.minutes(1)))
    func fifo() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-cache-")
        let cache = DiscoveryCache(directory: directory.path, frontend: "api", service: "s", portName: "p")
        #expect(mkfifo(cache.path, 0o600) == 0)
        #expect(cache.read() == .unusable("it is no regular file"))
        try cache.write(addresses(1))
        #expect(cache.read() == .addresses(addresses(1)))
    }

    @Test("that is too large is not read")
    func large() throws {
        let directory = try TemporaryDirectory(prefix: "fairlead-cache-")
        let cache = DiscoveryCache(directory: directory.path, frontend: "api", service: "s", portName: "p")
        try File.replace(cache.path, with: [UInt8](repeating: 0x20, count: DiscoveryCache.sizeLimit + 1))
        #expect(cache.read() == .unusable("it is larger than 1 MiB"))
    }

    private static func form(_ addresses: String) -> String {
        "{\"version\":1,\"service\":\"s\",\"portName\":\"p\",\"addresses\":[\(addresses)]}"
    }
}
