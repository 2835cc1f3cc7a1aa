import CLinux
import Glibc

/// What the operating system allows this process.
package enum ProcessLimits {
    /// Raises the soft descriptor limit to the hard one and returns it (RLIMIT_NOFILE).
    @discardableResult
    package static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        if limit.rlim_cur < limit.rlim_max {
            let raised = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
            if withUnsafePointer(to: raised, { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), $0) }) == 0 {
                limit = raised
            }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// How many processors this process may run on (sched_getaffinity(2)), at least 1.
    package static var processors: Int { max(1, Int(clinux_usable_processors())) }

    /// The process's own number (getpid(2)).
    package static var processIdentifier: Int { Int(getpid()) }

    /// How many descriptors are open now (/proc/self/fd), or nil when /proc is not mounted.
    package static var openDescriptors: Int? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            // "." and ".." are the only entries that begin with a dot.
            if entry.pointee.d_name.0 != 0x2e { count += 1 }
        }
        return count - 1  // the directory itself
    }

    /// Ignores SIGPIPE for the whole process: a write to a closed peer is EPIPE.
    package static func ignoreBrokenPipes() {
        signal(SIGPIPE, SIG_IGN)
    }
}
