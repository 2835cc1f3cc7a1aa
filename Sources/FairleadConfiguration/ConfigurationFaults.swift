/// Everything that is wrong with a configuration file: not the first fault but all of them.
package struct ConfigurationFaults: Error, Sendable, Equatable {
    /// One thing that is wrong, and what to do about it.
    package struct Fault: Sendable, Equatable {
        /// Which field, such as `frontends[0].health.rise`. Empty when the fault is the file's as a whole.
        package var fieldPath: String
        /// The line in the file, from 1.
        package var line: Int
        /// The column in the line, from 1, counted in Unicode scalars.
        package var column: Int
        /// What is wrong and what to do, in words.
        package var message: String

        package init(fieldPath: String, line: Int, column: Int, message: String) {
            self.fieldPath = fieldPath
            self.line = line
            self.column = column
            self.message = message
        }
    }

    /// The file, as it was named to the loader.
    package var path: String
    /// The faults in the order of the lines, at least one and at most `limit` (the first of more).
    package var faults: [Fault]
    /// How many faults beyond `limit` there were.
    package var omitted: Int

    /// The most faults that are kept. A file with more is not a configuration that someone wrote by hand.
    package static let limit = 1_000

    package init(path: String, faults: [Fault], omitted: Int = 0) {
        self.path = path
        self.faults = faults
        self.omitted = omitted
    }
}

extension ConfigurationFaults.Fault: CustomStringConvertible {
    /// `12:5: frontends[0].health.rise: message`.
    package var description: String {
        "\(line):\(column): " + (fieldPath.isEmpty ? "" : "\(fieldPath): ") + message
    }
}

extension ConfigurationFaults {
    /// The description, and a line that counts: what commands print.
    package var report: String {
        let count = faults.count + omitted
        return "\(self)\n\(path): \(count) \(count == 1 ? "fault" : "faults")\n"
    }
}

extension ConfigurationFaults: CustomStringConvertible {
    /// One fault a line, each as `path:line:column: field: message`: the form that editors know how to jump to.
    package var description: String {
        var lines = faults.map { "\(path):\($0)" }
        if omitted > 0 { lines.append("\(path): and \(omitted) more") }
        return lines.joined(separator: "\n")
    }
}
