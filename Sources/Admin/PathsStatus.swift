import FoundationEssentials

/// Which ways to the backends' hosts are alive: the answer of `/v1/paths`.
///
/// It is about hosts and the network between, not about apiservers: the way to one that refuses, is not ready or hangs is alive.
package struct PathsStatus: Codable, Equatable, Sendable {
    /// One backend.
    package struct Backend: Codable, Equatable, Sendable {
        /// Name, unique within the frontend.
        package var name: String
        /// Address that connections go to.
        package var address: String
        /// `alive`, `silent`, `own` for an address of this very host, or `unknown` when it cannot be told.
        package var path: String

        /// All fields at once.
        package init(name: String, address: String, path: String) {
            self.name = name
            self.address = address
            self.path = path
        }
    }

    /// One frontend.
    package struct Frontend: Codable, Equatable, Sendable {
        /// Name, unique within the configuration.
        package var name: String
        /// Addresses that are listened on.
        package var listen: [String]
        /// Whether every way to its backends is silent.
        package var isCut: Bool
        /// One entry a backend.
        package var backends: [Backend]

        /// All fields at once.
        package init(name: String, listen: [String], isCut: Bool, backends: [Backend]) {
            self.name = name
            self.listen = listen
            self.isCut = isCut
            self.backends = backends
        }

        private enum CodingKeys: String, CodingKey {
            case name, listen, backends
            case isCut = "cut"
        }
    }

    /// One entry a frontend, in the order of the configuration.
    package var frontends: [Frontend]

    /// All fields at once.
    package init(frontends: [Frontend]) { self.frontends = frontends }

    /// Reads the JSON of `/v1/paths`. Unknown keys are ignored, so that a newer daemon can be asked.
    ///
    /// - Throws: `DecodingError` that names the key.
    package init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(PathsStatus.self, from: Data(json))
    }

    /// The JSON of `/v1/paths`, with sorted keys, indented, ending with a newline.
    package func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        return try Array(encoder.encode(self)) + [0x0a]
    }
}
