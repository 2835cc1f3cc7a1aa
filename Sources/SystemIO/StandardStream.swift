import Glibc

/// The process's standard streams.
package enum StandardStream: Int32, Sendable {
    case output = 1
    case error = 2

    /// Opens /dev/null in the place of each standard stream, input included, that the program was started without. Else a
    /// socket would get the number, and what is meant for the stream. Call it before anything is opened.
    package static func openMissing() {
        for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 { _ = open("/dev/null", O_RDWR) }
    }

    /// Writes a text as a whole, so that lines of different threads do not mix. A stream that cannot be written to, say a
    /// full disk or a closed pipe, loses the text: there is nowhere left to complain.
    package func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(rawValue, $0.baseAddress, $0.count) }
            if count < 0, Errno.current != .interrupted { return }
            rest = rest.dropFirst(max(0, count))
        }
    }

    /// Whether a person sees the stream: it is a terminal (isatty(3)).
    package var isTerminal: Bool { isatty(rawValue) == 1 }
}
