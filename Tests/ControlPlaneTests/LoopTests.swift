import Balancing
import SystemIO
import Testing

@testable import ControlPlane

@Suite("Backends that lead back to this daemon")
struct LoopTests {
    private static let listener = SocketAddress.v4(0, port: 6443)

    private func own(_ hosts: UInt32...) -> OwnListeners {
        OwnListeners(listen: [Self.listener], hostAddresses: hosts.map { .v4(0x0a00_0000 + $0, port: 0) })
    }

    private func names(_ stage: Stage) throws -> [String] {
        try #require(stage.publisher.snapshots.last).snapshot.members.map(\.name)
    }

    @Test("are in no pool while their address is here, and are back when it leaves")
    func comesAndGoes() async throws {
        let stage = try await Stage(2)
        try await stage.advance(.seconds(4))
        #expect(try await stage.state("b1") == .up)
        await stage.controller.setOwnListeners(own(1))
        #expect(try names(stage) == ["b0"])
        let status = try await stage.status("b1")
        #expect(status.state == .down && status.effectiveWeight == 0)
        #expect(status.reason == "10.0.0.1:6443 leads back to this host, where Fairlead itself listens on 0.0.0.0:6443")
        let event = stage.events.events(after: 0).last
        #expect(event?.subject == "backend/kube-apiserver/b1" && event?.to == "down" && event?.cause == status.reason)
        #expect(await stage.controller.apiAddresses() == [.v4(0x0a00_0000, port: 6443)])
        await stage.controller.setOwnListeners(own())
        #expect(try names(stage) == ["b0", "b1"])
        #expect(try await stage.state("b1") == .up)
        #expect(stage.events.events(after: 0).last?.to == "up")
        await stage.controller.stop()
    }

    @Test("are not dialed either when they are all that there is")
    func all() async throws {
        let stage = try await Stage(1)
        await stage.controller.setOwnListeners(own(0))
        #expect(try names(stage).isEmpty)
        #expect(await stage.controller.status().ready == false)
        await stage.controller.stop()
    }

    @Test("are found among those that a reload or a discovery brings")
    func reconciled() async throws {
        let stage = try await Stage(1)
        await stage.controller.setOwnListeners(own(1, 2))
        await stage.controller.apply(
            policy: HealthPolicy(), probe: ProbeOptions(),
            backends: [Stage.specification("b0"), Stage.specification("b1")])
        #expect(try names(stage) == ["b0"])
        await stage.controller.setDiscovered(
            DiscoveredBackends(
                addresses: [.v4(0x0a00_0002, port: 6443)], source: .discovered, service: "default/kubernetes"))
        #expect(try names(stage) == ["b0"])
        // It stays, so that the status says why.
        await stage.controller.setDiscovered(
            DiscoveredBackends(
                addresses: [.v4(0x0a00_0003, port: 6443)], source: .discovered, service: "default/kubernetes"))
        try await stage.advance(.seconds(5))
        #expect(try await stage.status("10.0.0.2:6443").reason.contains("leads back to this host"))
        await stage.controller.stop()
    }
}
