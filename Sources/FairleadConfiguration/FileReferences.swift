import SystemIO

/// The files that a configuration names.
///
/// One loader's own; it does not leave the thread that parses.
final class FileReferences {
    /// What a file must hold.
    enum Kind {
        case certificates, privateKey, token, kubeconfig
    }

    /// The configuration file's folder, with a slash at its end; empty for the current one.
    private let folder: String
    private var references: [(fieldPath: String, file: String, kind: Kind)] = []

    /// The most bytes that are read of a file, which is far beyond every system's list of authorities.
    private static let sizeLimit = 16 << 20

    init(configurationFile: String) {
        folder = configurationFile.lastIndex(of: "/").map { String(configurationFile[...$0]) } ?? ""
    }

    /// The path of a file: relative ones count from the configuration file's folder.
    func resolve(_ path: String) -> String { path.hasPrefix("/") ? path : folder + path }

    /// Remembers a file for `check`.
    func add(_ file: String, of kind: Kind, at fieldPath: String) { references.append((fieldPath, file, kind)) }

    /// Reads every file and reports those that cannot be used. Only the form is looked at: whether key and certificate
    /// belong together is for TLS to say.
    func check(_ findings: Findings) {
        for (fieldPath, file, kind) in references where findings.isSound(fieldPath) {
            do throws(Errno) {
                let content = String(decoding: try File.read(file, limit: Self.sizeLimit), as: UTF8.self)
                if let lack = Self.lack(content, kind) { findings.report(fieldPath, "\(Fields.quoted(file)) \(lack)") }
            } catch {
                let hint = error == .permissionDenied ? "; the user that Fairlead runs as must be able to read it" : ""
                findings.report(fieldPath, "cannot read \(Fields.quoted(file)): \(error)\(hint)")
            }
        }
    }

    /// What a file of this kind must have and `content` has not.
    private static func lack(_ content: String, _ kind: Kind) -> String? {
        switch kind {
        case .certificates where !content.contains("CERTIFICATE-----"): "holds no PEM certificate"
        case .privateKey where !content.contains("PRIVATE KEY-----"): "holds no PEM private key"
        case .token where content.allSatisfy(\.isWhitespace): "is empty; it must hold a bearer token"
        case .kubeconfig where content.allSatisfy(\.isWhitespace): "is empty; it must hold a kubeconfig"
        default: nil
        }
    }
}

extension Fields {
    /// The path of a file that must be readable, or nil when it is absent or empty.
    mutating func file(_ name: String, _ kind: FileReferences.Kind) -> String? {
        guard let path = path(name) else { return nil }
        files.add(path, of: kind, at: fieldPath(name))
        return path
    }

    /// A path in the file system, or nil when it is absent or empty.
    mutating func path(_ name: String) -> String? {
        guard let text = optionalText(name) else { return nil }
        guard text.utf8.count <= 4_096 else {
            findings.report(fieldPath(name), "is longer than a path can be, 4096 bytes")
            return nil
        }
        return files.resolve(text)
    }
}
