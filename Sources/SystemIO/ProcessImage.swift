import CLinux
import Glibc

/// The program that this process runs, and how another takes its place (execve(2)): same process number, same parent, same
/// service, and whatever descriptors are kept.
package enum ProcessImage {
    /// Where the program was started from, by name: what is installed there now may be another file. Call it once at the
    /// start: afterwards the kernel knows only where the file that runs has gone to.
    ///
    /// - Parameter argument: The first argument. Only when it names no folder is it left to the kernel (/proc/self/exe).
    /// - Returns: An absolute path; nil when /proc is not mounted.
    package static func path(argument: String) -> String? {
        if argument.hasPrefix("/") { return argument }
        if argument.contains("/") { return currentDirectory.map { "\($0)/\(argument)" } }
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { return nil }
        let path = String(decoding: buffer[..<count], as: UTF8.self)
        return path.hasSuffix(Self.deletedMark) ? String(path.dropLast(Self.deletedMark.count)) : path
    }

    /// What the kernel writes behind the name of a file that is not there any more.
    private static let deletedMark = " (deleted)"

    private static var currentDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    /// The process's arguments, the name first. `CommandLine.arguments` has none where /proc is not mounted.
    package static var arguments: [String] { strings(clinux_arguments()) }

    /// The process's environment, each as `NAME=value`.
    package static var environment: [String] { strings(clinux_environment()) }

    /// A list of C strings that ends with NULL.
    private static func strings(_ list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> [String] {
        var result: [String] = []
        guard var entry = list else { return [] }
        while let text = entry.pointee {
            result.append(String(cString: text))
            entry += 1
        }
        return result
    }

    /// Removes a variable from the environment, for whoever comes after.
    package static func removeVariable(_ name: String) { unsetenv(name) }

    /// The value of a variable of the environment.
    package static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Puts another program in place of this one. On success it does not return: all threads end where they are.
    ///
    /// The program to come begins with the signals blocked that it will listen for (`SignalSource`): those that come before it
    /// does, and those that nobody has taken here (`SignalSource.hold`), wait for it. When the call fails everything is as
    /// before.
    ///
    /// - Parameters:
    ///   - path: The program.
    ///   - arguments: With the name first.
    ///   - environment: Each as `NAME=value`.
    ///   - kept: The descriptors that it gets, under the same numbers, beside the standard streams.
    /// - Throws: What execve failed with, such as ENOEXEC, ENOENT or EACCES.
    package static func replace(
        with path: String, arguments: [String], environment: [String], keeping kept: [BorrowedDescriptor]
    ) throws(Errno) {
        var held = sigset_t(SignalSource.Signal.allCases)
        var former = sigset_t()
        pthread_sigmask(SIG_SETMASK, &held, &former)
        for descriptor in kept { _ = clinux_set_close_on_exec(descriptor, 0) }
        let error = withCStrings(arguments) { arguments in
            withCStrings(environment) { environment in
                execve(path, arguments, environment)
                return Errno.current
            }
        }
        for descriptor in kept { _ = clinux_set_close_on_exec(descriptor, 1) }
        pthread_sigmask(SIG_SETMASK, &former, nil)
        throw error
    }

    /// Calls `body` with a list of C strings that ends with NULL.
    static func withCStrings<Result>(
        _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return body(copies + [nil])
    }
}

/// The descriptors that the program before has left to this one.
package enum InheritedDescriptors {
    /// Those above the standard streams that are not close-on-exec, ascending: nothing of this program's own is among them.
    ///
    /// Call it before anything else could open one.
    package static var all: [BorrowedDescriptor] {
        guard let directory = opendir("/proc/self/fd") else { return [] }
        defer { closedir(directory) }
        var numbers: [BorrowedDescriptor] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let number = Int32(name), number > 2, number != dirfd(directory) else { continue }
            if clinux_get_close_on_exec(number) == 0 { numbers.append(number) }
        }
        return numbers.sorted()
    }

    /// Takes an inherited descriptor over: from here on it is close-on-exec, like every other.
    ///
    /// - Returns: false when it is not open, or not inherited.
    package static func take(_ number: BorrowedDescriptor) -> Bool {
        guard number > 2, clinux_get_close_on_exec(number) == 0 else { return false }
        return clinux_set_close_on_exec(number, 1) == 0
    }
}
