import FairleadConfiguration
import TestSupport
import Testing

/// One run names every mistake of a file, in the order of its lines, in the form that editors can jump to.
@Suite struct EightMistakesTests {
    @Test func `a file with eight mistakes names all eight`() {
        let error = #expect(throws: ConfigurationFaults.self) { _ = try parse(EightMistakes.text) }
        #expect(error?.faults.map(\.description) == EightMistakes.expected)
        let lines = EightMistakes.expected.map { "/etc/fairlead/fairlead.yaml:\($0)" }
        #expect(error?.description == lines.joined(separator: "\n"))
    }

    @Test func `duplicate keys do not hide other faults, wherever they are`() {
        let text = """
            apiVersion: fairlead.dev/v1alpha1
            kind: LoadBalancerConfiguration
            frontends:
            - name: api
              listen: ["127.0.0.1:6443"]
              health: {rise: 1, rise: 2, fall: 0, 'rise': 3}
              backends: [{name: a, address: "10.0.0.1:6443", "name": b}]
            bogus: {x: 1, x: 2}
            """
        #expect(
            faults(of: text) == [
                "6:21: frontends[0].health.rise: is written more than once, first at line 6; remove one",
                "6:36: frontends[0].health.fall: 0 is out of range; give a number from 1 to 100",
                "6:39: frontends[0].health.rise: is written more than once, first at line 6; remove one",
                "7:50: frontends[0].backends[0].name: is written more than once, first at line 7; remove one",
                "8:1: bogus: is no known field; the fields here are apiVersion, kind, frontends, etcd, leases, admin, "
                    + "stateDirectory, workers, shutdownGracePeriod, logging",
                "8:9: \"x\" is written more than once; remove all but one",
            ])
    }

    @Test func `a fault of one field is not repeated by those that depend on it`() {
        let text = minimal + "  health: {interval: 1, suspectInterval: 2s}\n  connect: {timeout: x, stagger: 10s}\n"
        #expect(faults(of: text).count == 2)
    }
}
