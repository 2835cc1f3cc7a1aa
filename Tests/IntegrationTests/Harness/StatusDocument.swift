/// `/v1/status` as its users know it, written down once more: a renamed key fails here.
struct StatusDocument: Decodable {
    struct Configuration: Decodable {
        let path: String
        let generation: Int
    }

    struct Frontend: Decodable {
        struct Connections: Decodable {
            let active: Int
            let accepted: Int
            let refused: Int
            let dialFailures: Int
            let reset: Int
            let queued: Int
        }

        let name: String
        let listen: [String]
        let algorithm: String
        let ready: Bool
        let connections: Connections
        let backends: [Backend]
    }

    struct Backend: Decodable {
        struct Connections: Decodable {
            let active: Int
            let total: Int
            let dialFailures: Int
            let reset: Int
        }

        struct Bytes: Decodable {
            let received: Int
            let sent: Int
        }

        struct Probe: Decodable {
            let status: Int?
            let error: String?
            let failedChecks: [String]
        }

        struct Certificate: Decodable {
            let notAfter: String
            let names: [String]
        }

        let name: String
        let address: String
        let state: String
        let reason: String
        let administrative: String
        let weight: Int
        let effectiveWeight: Int
        let source: String
        let connections: Connections
        let bytes: Bytes
        let probe: Probe?
        let certificate: Certificate?
    }

    struct Etcd: Decodable {
        struct Member: Decodable {
            let name: String
            let healthy: Bool
            let leader: Bool
            let source: String
            let error: String?
        }

        let topology: String
        let quorum: Bool
        let leader: String?
        let members: [Member]
    }

    struct Upgrade: Decodable {
        let count: Int
        let formerVersion: String
        let connections: Int
        let pauseSeconds: Double
    }

    let version: String
    let pid: Int
    let startTime: String
    let ready: Bool
    let configuration: Configuration
    let frontends: [Frontend]
    let etcd: Etcd?
    let upgrade: Upgrade?
}
