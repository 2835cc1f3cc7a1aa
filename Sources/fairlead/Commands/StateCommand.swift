import ArgumentParser
import StateCodec
import SystemIO

/// `fairlead read-state`: can this binary go on with the state on its standard input? A running daemon asks that of the
/// binary that is to take its place; nobody else has a use for it.
struct StateCommand: ParsableCommand {
    /// The name, by which every version to come is asked.
    static let name = "read-state"

    static let configuration = CommandConfiguration(
        commandName: name, abstract: "Tell whether this binary can go on with the state on standard input.",
        shouldDisplay: false)

    func run() throws {
        let bytes: [UInt8]
        do throws(Errno) {
            bytes = try SealedMemory.read(0)
        } catch {
            StandardStream.error.write("standard input is no state: \(error)\n")
            throw ExitCode.finding
        }
        let faults = Inheritance.faults(in: bytes)
        guard faults.isEmpty else {
            StandardStream.error.write(faults.map { "\($0)\n" }.joined())
            throw ExitCode.finding
        }
        StandardStream.output.write("\(Version.current)\n")
    }
}
