import Glibc

/// A folder of one's own below TMPDIR or /tmp, mode 0700, removed with all that is in it when the value goes.
package final class TemporaryDirectory: Sendable {
    /// The folder.
    package let path: String
    private let isRemoved = Locked(false)

    /// Makes the folder (mkdtemp(3)).
    ///
    /// - Parameter prefix: How its name begins.
    /// - Throws: What mkdtemp(3) failed with.
    package init(prefix: String) throws(Errno) {
        path = try File.makeTemporaryDirectory(prefix: prefix)
    }

    deinit { remove() }

    /// Writes a file into the folder.
    ///
    /// - Parameters:
    ///   - name: The file's name, without a slash.
    ///   - text: The content.
    ///   - mode: Its permissions.
    /// - Returns: The file's path.
    /// - Throws: What writing failed with.
    @discardableResult
    package func write(_ name: String, _ text: String, mode: UInt32 = 0o600) throws(Errno) -> String {
        let file = "\(path)/\(name)"
        try File.replace(file, with: Array(text.utf8), mode: mode)
        return file
    }

    /// Removes the folder now. Later calls do nothing.
    package func remove() {
        let isFirst = isRemoved.withLock { isRemoved in
            defer { isRemoved = true }
            return !isRemoved
        }
        if isFirst { Self.removeTree(path) }
    }

    /// Removes a folder from the leaves up. Links are removed, not followed.
    private static func removeTree(_ path: String) {
        if let directory = opendir(path) {
            var names: [String] = []
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { names.append(name) }
            }
            closedir(directory)
            for name in names where unlink("\(path)/\(name)") != 0 { removeTree("\(path)/\(name)") }
        }
        rmdir(path)
    }
}
