/// Does one case's work so many times and prints what came of it, for a program that counts instructions from outside.
///
/// `microbenchmarks` alone lists the cases, each with a number of iterations that is enough to count it.
@main
enum Microbenchmarks {
    static let cases = PickCase.all + HelloCase.all + RenderingCase.all

    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.isEmpty {
            for each in cases { print(each.name, each.iterations) }
            return
        }
        guard arguments.count == 2, let name = arguments.first, let iterations = arguments.last.flatMap({ Int($0) }),
            iterations >= 0, let chosen = cases.first(where: { $0.name == name })
        else { fatalError("usage: microbenchmarks [CASE ITERATIONS]; without arguments it lists the cases") }
        print(chosen.run(iterations))
    }
}

/// A piece of work whose cost is watched.
struct Case: Sendable {
    /// What it is called on the command line and in thresholds.txt.
    let name: String
    /// How often it is done to be counted: often where it is cheap, so that a single allocation more or less is lost in it.
    let iterations: Int
    /// Prepares the work, then does it so many times. The result depends on every iteration, so that none is optimised out.
    let run: @Sendable (_ iterations: Int) -> Int
}
