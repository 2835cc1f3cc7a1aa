import FairleadConfiguration

/// The least that is a configuration; tests add lines to its end, which are line 8 and on.
let minimal = """
    apiVersion: fairlead.dev/v1alpha1
    kind: LoadBalancerConfiguration
    frontends:
    - name: api
      listen: ["127.0.0.1:6443"]
      backends:
      - {name: a, address: "10.0.0.1:6443"}

    """

/// Parses a text without looking at the files that it names.
func parse(_ text: String, checkingFiles: Bool = false) throws(ConfigurationFaults) -> Configuration {
    try ConfigurationLoader.parse(text: text, path: "/etc/fairlead/fairlead.yaml", checkingFiles: checkingFiles)
}

/// The faults of a text, each as `line:column: field: message`.
func faults(of text: String, checkingFiles: Bool = false) -> [String] {
    do throws(ConfigurationFaults) {
        _ = try parse(text, checkingFiles: checkingFiles)
        return []
    } catch {
        return error.faults.map(\.description)
    }
}

/// A file of the repository, by its path from the root.
func repositoryFile(_ path: String) -> String {
    var root = #filePath[...]
    for _ in 0..<3 { root = root[..<(root.lastIndex(of: "/") ?? root.startIndex)] }
    return "\(root)/\(path)"
}
