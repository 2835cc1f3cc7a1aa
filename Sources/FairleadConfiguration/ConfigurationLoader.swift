import SystemIO

/// Reads `fairlead.dev/v1alpha1` files.
package enum ConfigurationLoader {
    /// The largest file that is read, in bytes.
    package static let sizeLimit = 1 << 20
}
