import FairleadConfiguration
import Testing

/// One run names every mistake of a file, in the order of its lines, in the form that editors can jump to.
@Suite struct EightMistakesTests {
    static let text = """
        apiVersion: fairlead.dev/v1
        kind: LoadBalancerConfiguration
        frontends:
        - name: kube-apiserver
          listen: ["[::]:6443"]
          health: {interval: 5, rise: 0, pathh: /readyz}
          backends:
          - {name: master-1, address: "10.0.0.11:6443"}
          - {name: master-1, address: "10.0.0.12:6443"}
          - {name: master-3, address: "master-3:6443", weight: heavy}
        workers: 1
        workers: 2

        """

    @Test func `a file with eight mistakes names all eight`() {
        let error = #expect(throws: ConfigurationFaults.self) { _ = try parse(Self.text) }
        let backends = "frontends[0].backends"
        let expected = [
            "1:13: apiVersion: \"fairlead.dev/v1\" is not known; this Fairlead reads fairlead.dev/v1alpha1",
            "6:22: frontends[0].health.interval: \"5\" has no unit; give a unit, such as 5ms or 5s",
            "6:31: frontends[0].health.rise: 0 is out of range; give a number from 1 to 100",
            "6:34: frontends[0].health.pathh: is no known field; did you mean \"path\"?",
            "9:12: \(backends)[1].name: master-1 is already in \(backends)[0].name (line 8); each must be unique",
            "10:31: \(backends)[2].address: \"master-3:6443\" has a host name; give the IP address, because Fairlead "
                + "must start without DNS",
            "10:56: \(backends)[2].weight: must be a whole number from 0 to 256, but is \"heavy\"",
            "12:1: workers: is written more than once, first at line 11; remove one",
        ]
        #expect(error?.faults.map(\.description) == expected)
        let lines = expected.map { "/etc/fairlead/fairlead.yaml:\($0)" }
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
