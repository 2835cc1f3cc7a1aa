import Glibc

/// As whom this process runs.
package enum ProcessUser {
    /// The effective user number (geteuid(2)).
    package static var effective: UInt32 { geteuid() }
}
