/// A configuration file with eight mistakes, and what is said of each: place, field and words.
package enum EightMistakes {
    package static let text = """
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

    package static let expected = [
        "1:13: apiVersion: \"fairlead.dev/v1\" is not known; this Fairlead reads fairlead.dev/v1alpha1",
        "6:22: frontends[0].health.interval: \"5\" has no unit; give a unit, such as 5ms or 5s",
        "6:31: frontends[0].health.rise: 0 is out of range; give a number from 1 to 100",
        "6:34: frontends[0].health.pathh: is no known field; did you mean \"path\"?",
        "9:12: frontends[0].backends[1].name: master-1 is already in frontends[0].backends[0].name (line 8); each must be unique",
        "10:31: frontends[0].backends[2].address: \"master-3:6443\" has a host name; give the IP address, because Fairlead "
            + "must start without DNS",
        "10:56: frontends[0].backends[2].weight: must be a whole number from 0 to 256, but is \"heavy\"",
        "12:1: workers: is written more than once, first at line 11; remove one",
    ]
}
