import FairleadConfiguration
import Testing

/// What is no YAML, or not one document, is refused with its place and what to do.
@Suite struct SyntaxTests {
    @Test(arguments: [
        ("\tworkers: 1", "8:1", "a tab cannot indent YAML, use spaces"),
        ("  health:\n\t  rise: 1", "9:1", "a tab cannot indent YAML, use spaces"),
        ("workers: 1\n  x: 2", "9:4", "look at the indentation of this line and of the one before"),
        ("a: b: c", "8:5", "mapping values are not allowed"),
        ("workers: [1", "8:13", "a bracket or comma is missing"),
        ("workers: \"1", "8:13", "a quoted scalar that begins at line 8"),
        ("workers: @1", "8:10", "put the text in quotes"),
        ("workers: *two", "8:10", "but is the alias \"*two\"; write it out"),
        ("etcd: &x {}\nleases: *x", "9:9", "but is the alias \"*x\"; write it out"),
        ("stateDirectory: *.d", "8:18", "a text that begins with * or & needs quotes"),
        ("workers: 1\u{0}", "8:11", "a control character (U+0)"),
        ("workers: \u{1b}[1m", "8:10", "a control character (U+1B)"),
        ("---\nworkers: 1", "9:1", "a second document begins here"),
        ("...\n---\nkind: x", "10:1", "a second document begins here"),
    ])
    func `broken YAML is refused where it is broken`(_ added: String, _ place: String, _ words: String) {
        let found = faults(of: minimal + added + "\n")
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("\(place): ") == true && found.first?.contains(words) == true, "\(found)")
    }

    @Test(arguments: ["", "\n", "# nothing\n", "---\n", "---\n# nothing\n...\n", "\u{FEFF}", "''"])
    func `an empty file says how to begin`(_ text: String) {
        #expect(faults(of: text) == ["1:1: the file is empty; begin with \"apiVersion: fairlead.dev/v1alpha1\""])
    }

    @Test(arguments: ["foo", "[]", "- a\n- b"])
    func `a file that is no mapping is refused once`(_ text: String) {
        let found = faults(of: text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("1:1: must be fields, each as \"name: value\"") == true)
    }

    @Test func `what is required is asked for`() {
        #expect(
            faults(of: "{}") == [
                "1:1: apiVersion: is missing; write \"apiVersion: fairlead.dev/v1alpha1\"",
                "1:1: kind: is missing; write \"kind: LoadBalancerConfiguration\"",
                "1:1: frontends: is missing; list at least one, with name, listen and backends",
            ])
        let wrong = "apiVersion: v1\nkind: Pod\nfrontends: []\n"
        #expect(
            faults(of: wrong) == [
                "1:13: apiVersion: \"v1\" is not known; this Fairlead reads fairlead.dev/v1alpha1",
                "2:7: kind: \"Pod\" is not known; this Fairlead reads LoadBalancerConfiguration",
                "3:12: frontends: is missing; list at least one, with name, listen and backends",
            ])
    }

    @Test func `Windows line ends and a byte order mark change neither values nor lines`() throws {
        #expect(try parse("\u{FEFF}" + minimal.replacing("\n", with: "\r\n")) == parse(minimal))
        let broken = (minimal + "workers: x\n").replacing("\n", with: "\r\n")
        #expect(faults(of: broken).map { $0.prefix(5) } == ["8:10:"])
    }

    @Test func `columns count characters, not bytes`() {
        #expect(faults(of: minimal + "logging: {ärger: 1, level: xyz}\n").map { $0.prefix(5) } == ["8:11:", "8:28:"])
    }
}
