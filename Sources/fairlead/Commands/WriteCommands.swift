import ArgumentParser
import SecureHTTP
import SystemIO

/// The backend that a command changes: `FRONTEND BACKEND`.
struct BackendArguments: ParsableArguments {
    @Argument(help: "The frontend's name.")
    var frontend: String

    @Argument(help: "The backend's name.")
    var backend: String

    @OptionGroup var admin: AdminOption

    /// Asks the daemon for a change and prints what it says.
    func post(_ action: String, query: String = "", body: String = "") async throws {
        let target = "/v1/frontends/\(Self.encoded(frontend))/backends/\(Self.encoded(backend)):\(action)\(query)"
        let response = try await admin.endpoint.change(
            HTTPRequest(method: "POST", target: target, body: Array(body.utf8)))
        guard (200..<300).contains(response.status) else {
            StandardStream.error.write(response.text.hasSuffix("\n") ? response.text : response.text + "\n")
            throw ExitCode.finding
        }
        StandardStream.output.write(response.text)
    }

    /// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
    private static func encoded(_ name: String) -> String {
        name.utf8.map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default: "%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))"
            }
        }.joined()
    }
}

/// `fairlead drain`: no new connections to a backend.
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain", abstract: "Send a backend no new connections; those that stand stay until they end.",
        discussion: """
            A drained backend is the last resort: it gets new connections only while every other backend is down or \
            drained. With --hard it gets none even then.
            """)

    @Flag(help: "No new connections at all, not even as the last resort.")
    var hard = false

    @Flag(help: "Drain it although it is the last usable backend of the frontend.")
    var force = false

    @OptionGroup var target: BackendArguments

    func run() async throws {
        // The daemon's defaults are left out.
        let options = [hard ? "hard=true" : nil, force ? "force=true" : nil].compactMap(\.self)
        try await target.post("drain", query: options.isEmpty ? "" : "?" + options.joined(separator: "&"))
    }
}

/// `fairlead resume`: the opposite of drain.
struct ResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Let a drained backend have connections again.")

    @OptionGroup var target: BackendArguments

    func run() async throws { try await target.post("resume") }
}

/// `fairlead weight`: a backend's share.
struct WeightCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "weight",
        abstract: "Change a backend's weight until the file gives it another one or the daemon stops.")

    @OptionGroup var target: BackendArguments

    @Argument(help: "0 to 256; 0 only when nothing else is left.")
    var weight: Int

    func validate() throws {
        guard (0...256).contains(weight) else { throw ValidationError("a weight is 0 to 256, not \(weight)") }
    }

    func run() async throws { try await target.post("weight", body: "{\"weight\": \(weight)}") }
}
