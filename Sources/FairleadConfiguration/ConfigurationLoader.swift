package import SystemIO

/// Reads `fairlead.dev/v1alpha1` files.
///
/// A file goes through four steps: YAML to a tree (`Document`), the tree to values with defaults (`Wire`), what must hold
/// between values (`Validation`), and the files that are named (`FileReferences`). Each step goes on after a fault as long
/// as it makes sense, so that one run names them all.
package enum ConfigurationLoader {
    /// The largest file that is read, in bytes.
    package static let sizeLimit = 1 << 20

    /// Reads a configuration file. Blocks on the file system: not for a cooperative thread.
    ///
    /// - Parameters:
    ///   - path: The file. Its folder is where relative paths in it begin.
    ///   - checkingFiles: Whether the files that it names must be readable.
    ///   - hostAddresses: This host's addresses; nil: as they are now, as far as they can be read.
    /// - Returns: The configuration, complete and valid.
    /// - Throws: Every fault of the file, or one without field when it cannot be read at all.
    package static func load(
        path: String, checkingFiles: Bool = true, hostAddresses: [SocketAddress]? = nil
    ) throws(ConfigurationFaults) -> Configuration {
        try parse(
            text: read(path), path: path, checkingFiles: checkingFiles,
            hostAddresses: hostAddresses ?? (try? NetworkInterfaces.addresses()) ?? [])
    }

    /// Gives faults the places of their fields: for those that show only when the values are used, such as a key that does not
    /// belong to its certificate. Blocks on the file system.
    ///
    /// - Parameters:
    ///   - faults: With their fields. Where the file does not have one any more, its place is that of the nearest around it.
    ///   - path: The file. All faults stay at its beginning when it cannot be read again.
    package static func locate(_ faults: [ConfigurationFaults.Fault], path: String) -> ConfigurationFaults {
        let findings = Findings()
        // A pipe that was read once would be waited for without end.
        if let text = try? read(path, onlyRegular: true), let document = Document.parse(text, findings: findings) {
            _ = walk(document, FileReferences(configurationFile: path), findings)
        }
        let located = faults.map { fault in
            let position = findings.position(of: fault.fieldPath)
            return ConfigurationFaults.Fault(
                fieldPath: fault.fieldPath, line: position.line, column: position.column, message: fault.message)
        }
        return ConfigurationFaults(path: path, faults: located)
    }

    private static func read(_ path: String, onlyRegular: Bool = false) throws(ConfigurationFaults) -> String {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try File.read(path, limit: sizeLimit, onlyRegular: onlyRegular)
        } catch {
            let reason = error == .fileTooLarge ? tooLarge : "cannot be read: \(error)"
            throw .init(path: path, faults: [.init(fieldPath: "", line: 1, column: 1, message: reason)])
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let line = lineOfFirstInvalidByte(bytes)
            let message = "not UTF-8 text; save the file with that encoding"
            throw .init(path: path, faults: [.init(fieldPath: "", line: line, column: 1, message: message)])
        }
        return text
    }

    /// Reads the fields of the whole tree, and reports what is wrong with each by itself.
    private static func walk(_ document: Document, _ files: FileReferences, _ findings: Findings) -> Configuration {
        var fields = Fields(document.root, path: "", document: document, files: files, findings: findings)
        defer { fields.finish() }
        return Wire.configuration(&fields)
    }

    /// Parses the text of a configuration file.
    ///
    /// - Parameters:
    ///   - text: YAML, at most `sizeLimit` bytes.
    ///   - path: Where the text comes from: for messages, and for relative paths in it.
    ///   - checkingFiles: Whether the files that it names must be readable. Without it nothing blocks.
    ///   - hostAddresses: This host's addresses: a backend there, where a frontend listens, would be Fairlead itself.
    /// - Returns: The configuration, complete and valid.
    /// - Throws: Every fault of the text.
    package static func parse(
        text: String, path: String, checkingFiles: Bool = true, hostAddresses: [SocketAddress] = []
    ) throws(ConfigurationFaults) -> Configuration {
        let findings = Findings()
        guard text.utf8.count <= sizeLimit else {
            throw .init(path: path, faults: [.init(fieldPath: "", line: 1, column: 1, message: tooLarge)])
        }
        guard let document = Document.parse(text, findings: findings) else {
            throw findings.faults(in: path) ?? .init(path: path, faults: [])
        }
        let files = FileReferences(configurationFile: path)
        var configuration = walk(document, files, findings)
        document.reportUnseenDuplicates(findings)
        Validation(configuration: configuration, hostAddresses: hostAddresses, findings: findings).run()
        if checkingFiles { files.check(findings) }
        if let faults = findings.faults(in: path) { throw faults }
        if configuration.etcd?.members.isEmpty == true { configuration.etcd = nil }
        return configuration
    }

    private static let tooLarge = "larger than 1 MiB, which no configuration is"

    /// The line of the first byte that is not UTF-8, from 1.
    private static func lineOfFirstInvalidByte(_ bytes: [UInt8]) -> Int {
        var decoder = UTF8()
        var iterator = bytes.makeIterator()
        var line = 1
        while case .scalarValue(let scalar) = decoder.decode(&iterator) {
            line += scalar == "\n" ? 1 : 0
        }
        return line
    }
}
