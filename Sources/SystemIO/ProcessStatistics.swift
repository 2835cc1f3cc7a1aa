import Glibc

/// What this process uses at a moment (proc(5), getrusage(2)).
package struct ProcessStatistics: Equatable, Sendable {
    /// Memory that is resident, in bytes; nil when /proc is not mounted.
    package var residentBytes: UInt64?
    /// Processor time of all threads since the start, user and system, in seconds.
    package var processorSeconds: Double
    /// Descriptors that are open; nil when /proc is not mounted.
    package var openDescriptors: Int?

    /// All fields at once.
    package init(residentBytes: UInt64?, processorSeconds: Double, openDescriptors: Int?) {
        self.residentBytes = residentBytes
        self.processorSeconds = processorSeconds
        self.openDescriptors = openDescriptors
    }

    /// The figures of this moment. Reads /proc, which the kernel makes up in memory: it does not wait for a disk.
    package static func current() -> ProcessStatistics {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return ProcessStatistics(
            residentBytes: residentBytes(), processorSeconds: usage.ru_utime.seconds + usage.ru_stime.seconds,
            openDescriptors: ProcessLimits.openDescriptors)
    }

    /// The second field of /proc/self/statm, which counts pages.
    private static func residentBytes() -> UInt64? {
        guard let bytes = try? File.read("/proc/self/statm", limit: 4096) else { return nil }
        let fields = bytes.split(separator: UInt8(ascii: " "))
        guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self)) else { return nil }
        return pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }
}

extension timeval {
    fileprivate var seconds: Double { Double(tv_sec) + Double(tv_usec) / 1e6 }
}
