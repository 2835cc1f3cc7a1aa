import Glibc
import Testing

@testable import SystemIO

@Suite("Entries of the journal")
struct JournalTests {
    private func fields(_ pairs: [(key: String, value: String)]) -> [String] {
        Journal.fields(message: "backend a is up", priority: 5, identifier: "fairlead", pairs: pairs)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    @Test("An entry has a message, a priority and a field for each pair")
    func pairs() {
        #expect(
            fields([("backend", "a"), ("from", "unknown=\n?")]) == [
                "MESSAGE=backend a is up", "PRIORITY=5", "SYSLOG_IDENTIFIER=fairlead", "FAIRLEAD_BACKEND=a",
                "FAIRLEAD_FROM=unknown=\n?",
            ])
    }

    @Test("A name has only what the journal takes, at most 64 characters")
    func names() {
        #expect(fields([("a-b.Cé9=", "v")]).last == "FAIRLEAD_A_B_C_9_=v")
        let long = fields([(String(repeating: "x", count: 100), "v")]).last
        #expect(long?.prefix { $0 != "=" }.count == 59)
    }

    @Test("Standard error is the journal only when JOURNAL_STREAM has its device and inode")
    func standardError() {
        let former = getenv("JOURNAL_STREAM").map { String(cString: $0) }
        defer {
            if let former { setenv("JOURNAL_STREAM", former, 1) } else { unsetenv("JOURNAL_STREAM") }
        }
        unsetenv("JOURNAL_STREAM")
        #expect(!Journal.isStandardError)
        var information = stat()
        #expect(fstat(STDERR_FILENO, &information) == 0)
        setenv("JOURNAL_STREAM", "\(information.st_dev):\(information.st_ino)", 1)
        #expect(Journal.isStandardError)
        setenv("JOURNAL_STREAM", "\(information.st_dev):\(information.st_ino + 1)", 1)
        #expect(!Journal.isStandardError)
    }
}
