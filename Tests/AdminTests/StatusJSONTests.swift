import Admin
import FoundationEssentials
import Testing

@Suite("The JSON of /v1/status")
struct StatusJSONTests {
    @Test func theFullExampleIsWrittenByteForByte() throws {
        #expect(String(decoding: try Samples.full.json(), as: UTF8.self) == golden)
    }

    @Test func whatIsAbsentIsNullAndKeepsItsKey() throws {
        let text = String(decoding: try Samples.bare.json(), as: UTF8.self)
        for key in ["etcd", "leases", "guard", "hostFault", "etcdMember", "probe", "certificate", "upgrade"] {
            #expect(text.contains("\"\(key)\" : null"), "\(key) must be there")
        }
        var status = Samples.bare
        status.frontends[0].backends[0].probe = BackendStatus.Probe(at: Samples.now, latencySeconds: nil, status: nil)
        let probed = String(decoding: try status.json(), as: UTF8.self)
        for key in ["latencySeconds", "status", "error"] { #expect(probed.contains("\"\(key)\" : null")) }
    }

    @Test(arguments: [Samples.full, Samples.bare])
    func whatIsWrittenIsReadBack(status: Status) throws {
        #expect(try Status(json: status.json()) == status)
    }

    /// The encoders are written by hand: a new property that they forget would vanish without a word.
    @Test func everyPropertyOfTheModelHasItsKey() throws {
        let object = try JSONDecoder().decode(JSON.self, from: Data(Samples.full.json()))
        compare(Samples.full, with: object, path: "status")
    }

    @Test func unknownKeysOfANewerDaemonAreIgnored() throws {
        let text = String(decoding: try Samples.bare.json(), as: UTF8.self)
        let newer = text.replacing("\"pid\"", with: "\"colour\" : \"blue\", \"pid\"")
        #expect(try Status(json: Array(newer.utf8)) == Samples.bare)
    }

    @Test func aDaemonOfTheVersionBeforeNamesNoLastResort() throws {
        let text = String(decoding: try Samples.bare.json(), as: UTF8.self)
        let key = "\"lastResort\" : false,"
        try #require(text.contains(key))
        #expect(try Status(json: Array(text.replacing(key, with: "").utf8)) == Samples.bare)
    }

    private func compare(_ value: Any, with json: JSON, path: String) {
        let mirror = Mirror(reflecting: value)
        switch (mirror.displayStyle, json) {
        case (.optional, _):
            if let inner = mirror.children.first { compare(inner.value, with: json, path: path) }
        case (.struct, .object(let members)):
            let names = Set(mirror.children.compactMap(\.label))
            #expect(names == Set(members.keys), "\(path)")
            for child in mirror.children {
                if let name = child.label, let member = members[name] {
                    compare(child.value, with: member, path: "\(path).\(name)")
                }
            }
        case (.collection, .array(let elements)):
            for (child, element) in zip(mirror.children, elements) {
                compare(child.value, with: element, path: "\(path)[]")
            }
        default: break
        }
    }
}

/// Just enough of JSON to know its keys.
private enum JSON: Decodable {
    case object([String: JSON])
    case array([JSON])
    case other

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let members = try? container.decode([String: JSON].self) {
            self = .object(members)
        } else if let elements = try? container.decode([JSON].self) {
            self = .array(elements)
        } else {
            self = .other
        }
    }
}

private let golden = """
    {
      "configuration" : {
        "generation" : 2,
        "loadedAt" : "2026-03-01T12:00:00.250Z",
        "path" : "/etc/fairlead/fairlead.yaml"
      },
      "etcd" : {
        "hasLeader" : true,
        "leader" : "master-1",
        "leaderChanges" : 1,
        "members" : [
          {
            "alarms" : [

            ],
            "databaseBytes" : 25165824,
            "error" : null,
            "healthy" : true,
            "id" : "8e9e05c52164694d",
            "latencySeconds" : 0.002,
            "leader" : true,
            "learner" : false,
            "name" : "master-1",
            "probeFailures" : 0,
            "raftIndex" : 77,
            "raftLag" : 0,
            "source" : "static",
            "url" : "https://10.0.0.11:2379",
            "version" : "3.4.23"
          },
          {
            "alarms" : [
              "NOSPACE"
            ],
            "databaseBytes" : 0,
            "error" : "connection refused",
            "healthy" : false,
            "id" : "",
            "latencySeconds" : null,
            "leader" : false,
            "learner" : false,
            "name" : "master-2",
            "probeFailures" : 3,
            "raftIndex" : 0,
            "raftLag" : 0,
            "source" : "discovered",
            "url" : "https://10.0.0.12:2379",
            "version" : ""
          }
        ],
        "quorum" : true,
        "term" : 9,
        "topology" : "stacked"
      },
      "frontends" : [
        {
          "algorithm" : "leastConnections",
          "backends" : [
            {
              "address" : "10.0.0.11:6443",
              "administrative" : "enabled",
              "bytes" : {
                "received" : 1000000,
                "sent" : 20000000000
              },
              "certificate" : {
                "names" : [
                  "kubernetes",
                  "10.0.0.11"
                ],
                "notAfter" : "2027-03-01T10:00:00.000Z"
              },
              "connections" : {
                "active" : 5,
                "dialFailures" : 0,
                "reset" : 0,
                "total" : 900
              },
              "effectiveWeight" : 40,
              "etcdMember" : "master-1",
              "lastResort" : false,
              "name" : "master-1",
              "probe" : {
                "at" : "2026-03-01T13:12:30.500Z",
                "error" : null,
                "failedChecks" : [

                ],
                "latencySeconds" : 0.0032,
                "status" : 200
              },
              "reason" : "/readyz is ok",
              "since" : "2026-03-01T10:00:00.000Z",
              "source" : "static",
              "state" : "up",
              "weight" : 100
            },
            {
              "address" : "10.0.0.12:6443",
              "administrative" : "drained",
              "bytes" : {
                "received" : 0,
                "sent" : 0
              },
              "certificate" : null,
              "connections" : {
                "active" : 2,
                "dialFailures" : 3,
                "reset" : 2,
                "total" : 334
              },
              "effectiveWeight" : 0,
              "etcdMember" : null,
              "lastResort" : false,
              "name" : "master-2",
              "probe" : {
                "at" : "2026-03-01T13:12:30.500Z",
                "error" : "HTTP 500",
                "failedChecks" : [
                  "etcd",
                  "shutdown"
                ],
                "latencySeconds" : 1.25,
                "status" : 500
              },
              "reason" : "/readyz answers 500",
              "since" : "2026-03-01T13:12:00.000Z",
              "source" : "static",
              "state" : "draining",
              "weight" : 50
            }
          ],
          "connections" : {
            "accepted" : 1234,
            "active" : 7,
            "dialFailures" : 3,
            "queued" : 0,
            "refused" : 1,
            "reset" : 2
          },
          "guard" : "etcd elects a leader",
          "hostFault" : "this host: Network is unreachable, since 0.4 s (master-1)",
          "listen" : [
            "[::]:6443"
          ],
          "name" : "kube-apiserver",
          "ready" : true
        }
      ],
      "leases" : [
        {
          "durationSeconds" : 15,
          "formerHolders" : [
            "master-2_y"
          ],
          "holder" : "master-1_x",
          "name" : "kube-scheduler",
          "renewedAgoSeconds" : 1.5,
          "state" : "held",
          "transitions" : 3
        }
      ],
      "pid" : 4711,
      "ready" : true,
      "startTime" : "2026-03-01T10:00:00.000Z",
      "upgrade" : {
        "at" : "2026-03-01T10:00:00.000Z",
        "connections" : 7,
        "count" : 2,
        "formerVersion" : "0.0.9",
        "pauseSeconds" : 0.125
      },
      "version" : "0.1.0"
    }

    """
