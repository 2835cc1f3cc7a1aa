import Dispatch
import FoundationEssentials
import SystemIO

/// The addresses that a discovery found last, in a file, for a start without any apiserver.
///
/// A file that is damaged or foreign is told from one that is not there, and neither is ever more than a reason to go on
/// without it.
struct DiscoveryCache: Sendable {
    /// The largest file that is read, in bytes.
    static let sizeLimit = 1 << 20
    private static let version = 1

    /// The file.
    let path: String
    /// What the addresses belong to; another service's are of no use.
    let service: String
    let portName: String

    /// What reading came to.
    enum Content: Hashable, Sendable {
        case addresses([SocketAddress])
        /// There is no file.
        case absent
        /// It cannot be used, for this reason.
        case unusable(String)
    }

    private struct Form: Codable {
        var version: Int
        var service: String
        var portName: String
        var addresses: [String]
    }

    /// Only what tells whether the rest can be understood.
    private struct VersionForm: Decodable { var version: Int }

    /// - Parameters:
    ///   - directory: The state directory.
    ///   - frontend: The frontend's name, which has no slash.
    init(directory: String, frontend: String, service: String, portName: String) {
        path = "\(directory)/discovery-\(frontend).json"
        self.service = service
        self.portName = portName
    }

    /// Reads the file. Blocks on the file system.
    func read() -> Content {
        do throws(Errno) {
            let bytes = try File.read(path, limit: Self.sizeLimit, onlyRegular: true)
            return Self.parse(bytes, service: service, portName: portName)
        } catch {
            if error == .noSuchFile { return .absent }
            if error == .invalidArgument { return .unusable("it is no regular file") }
            if error == .fileTooLarge { return .unusable("it is larger than 1 MiB") }
            return .unusable("it cannot be read: \(error)")
        }
    }

    /// Replaces the file, and makes its folder if there is none. Blocks on the file system.
    func write(_ addresses: [SocketAddress]) throws(Errno) {
        let form = Form(
            version: Self.version, service: service, portName: portName, addresses: addresses.map(\.description))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        // Strings and numbers always encode.
        guard let json = try? encoder.encode(form) else { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try File.makeDirectory(String(path[..<slash]))
        }
        try File.replace(path, with: Array(json) + [0x0a])
    }

    /// Reads the content of a file.
    static func parse(_ bytes: [UInt8], service: String, portName: String) -> Content {
        guard !bytes.isEmpty else { return .unusable("it is empty") }
        let decoder = JSONDecoder()
        guard let head = try? decoder.decode(VersionForm.self, from: Data(bytes)) else {
            return .unusable("it is damaged (not the JSON that Fairlead writes)")
        }
        guard head.version == version else {
            return .unusable("it is of version \(head.version), and this Fairlead knows version \(version)")
        }
        guard let form = try? decoder.decode(Form.self, from: Data(bytes)) else {
            return .unusable("it is damaged (a field is missing or of the wrong type)")
        }
        guard form.service == service, form.portName == portName else {
            return .unusable(
                "it is about another service (\(JSONText.shown(form.service)), port \(JSONText.shown(form.portName)))")
        }
        guard form.addresses.count <= ListedAddresses.limit else {
            return .unusable("it lists more than \(ListedAddresses.limit) addresses")
        }
        var addresses: [SocketAddress] = []
        for text in form.addresses {
            guard let address = SocketAddress(text), address.port != 0, !address.isUnspecified else {
                return .unusable("it is damaged (\"\(JSONText.shown(text))\" is no address)")
            }
            if !addresses.contains(address) { addresses.append(address) }
        }
        return addresses.isEmpty ? .unusable("it lists no address") : .addresses(addresses)
    }
}

extension DiscoveryCache {
    /// Where files are read and written, one after the other.
    static let queue = DispatchQueue(label: "fairlead.discovery-cache")

    /// Writes on a queue of its own: fsync(2) may take its time.
    func save(_ addresses: [SocketAddress]) async -> Errno? {
        await withCheckedContinuation { continuation in
            Self.queue.async {
                do throws(Errno) {
                    try write(addresses)
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
    }

    /// Reads on the same queue.
    func load() async -> Content {
        await withCheckedContinuation { continuation in
            Self.queue.async { continuation.resume(returning: read()) }
        }
    }
}
