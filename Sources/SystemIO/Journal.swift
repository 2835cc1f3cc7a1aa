import CSystemd
import Glibc

/// systemd's journal, written to as a program that knows it does: with fields of its own (sd_journal_sendv(3)).
package enum Journal {
    /// Whether standard error goes to the journal: JOURNAL_STREAM has its device and inode (systemd.exec(5)).
    package static var isStandardError: Bool {
        guard let stream = getenv("JOURNAL_STREAM") else { return false }
        var information = stat()
        guard fstat(STDERR_FILENO, &information) == 0 else { return false }
        return String(cString: stream) == "\(information.st_dev):\(information.st_ino)"
    }

    /// The fields of an entry, each as `NAME=value` in bytes.
    ///
    /// - Parameters:
    ///   - message: What people read.
    ///   - priority: Of syslog(3), 0 to 7.
    ///   - identifier: The program's name.
    ///   - pairs: Further ones; `from` becomes `FAIRLEAD_FROM`.
    package static func fields(
        message: String, priority: Int, identifier: String, pairs: [(key: String, value: String)]
    ) -> [[UInt8]] {
        let fixed = ["MESSAGE=\(message)", "PRIORITY=\(priority)", "SYSLOG_IDENTIFIER=\(identifier)"]
        return (fixed + pairs.map { "FAIRLEAD_\(fieldName($0.key))=\($0.value)" }).map { Array($0.utf8) }
    }

    /// Writes an entry. Any thread; waits while journald is busy.
    ///
    /// - Parameter fields: As `fields` makes them.
    /// - Returns: Whether the journal has it.
    package static func send(_ fields: [[UInt8]]) -> Bool {
        // One buffer for all: every iovec must stay valid until the call returns.
        var bytes = fields.flatMap(\.self)
        let result = bytes.withUnsafeMutableBytes { buffer -> Int32 in
            var start = 0
            let vectors = fields.map { field -> iovec in
                defer { start += field.count }
                return iovec(iov_base: buffer.baseAddress.map { $0 + start }, iov_len: field.count)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
        return result == 0
    }

    /// The journal drops fields whose names have other characters or more than 64 of them.
    private static func fieldName(_ key: String) -> String {
        String(
            key.unicodeScalars.prefix(50).map { scalar -> Character in
                switch scalar {
                case "a"..."z": Character(UnicodeScalar(UInt8(scalar.value) - 32))
                case "A"..."Z", "0"..."9": Character(scalar)
                default: "_"
                }
            })
    }
}
