/// A file with eight mistakes, and what is said of each: place, field and words.
enum EightMistakes {
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

    static let expected = [
        "1:13: apiVersion: \"fairlead.dev/v1\" is not known",
        "6:22: frontends[0].health.interval: \"5\" has no unit",
        "6:31: frontends[0].health.rise: 0 is out of range",
        "6:34: frontends[0].health.pathh: is no known field; did you mean \"path\"?",
        "9:12: frontends[0].backends[1].name: master-1 is already in frontends[0].backends[0].name (line 8)",
        "10:31: frontends[0].backends[2].address: \"master-3:6443\" has a host name",
        "10:56: frontends[0].backends[2].weight: must be a whole number from 0 to 256",
        "12:1: workers: is written more than once",
    ]
}
