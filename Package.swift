// swift-tools-version: 6.2
import PackageDescription

/// Every target: Swift 6 mode, warnings are errors, imports are internal unless said otherwise and every
/// member used must come from a module that the file imports itself.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]

/// The optional products of the three libraries that Fairlead does not write itself.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
    name: "fairlead",
    products: [.executable(name: "fairlead", targets: ["fairlead"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // The lists below are the architecture: a module may import what stands here and nothing else. The
        // Makefile builds with --explicit-target-dependency-import-check error, which makes it binding.
        .target(name: "CLinux"),
        .target(name: "COpenSSL", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CSystemd", linkerSettings: [.linkedLibrary("systemd")]),
        .target(name: "SystemIO", dependencies: ["CLinux", "CSystemd"], swiftSettings: strict),
        .target(name: "Balancing", swiftSettings: strict),
        .target(name: "StateCodec", swiftSettings: strict),
        .target(name: "DataPlane", dependencies: ["Balancing", "StateCodec", "SystemIO"], swiftSettings: strict),
        .target(name: "SecureHTTP", dependencies: ["SystemIO", "COpenSSL"], swiftSettings: strict),
        .target(
            name: "ControlPlane", dependencies: ["SecureHTTP", "Balancing", "SystemIO", logging, yams],
            swiftSettings: strict),
        .target(name: "Admin", dependencies: ["SecureHTTP", "SystemIO", logging], swiftSettings: strict),
        .target(name: "FairleadConfiguration", dependencies: ["SystemIO", yams], swiftSettings: strict),
        .executableTarget(
            name: "fairlead",
            dependencies: [
                "Admin", "Balancing", "ControlPlane", "DataPlane", "FairleadConfiguration", "SecureHTTP", "StateCodec",
                "SystemIO", argumentParser, logging,
            ],
            swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["SystemIO", "SecureHTTP"], path: "Tests/TestSupport",
            swiftSettings: strict),
        .testTarget(name: "SystemIOTests", dependencies: ["SystemIO", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "BalancingTests", dependencies: ["Balancing"], swiftSettings: strict),
        .testTarget(name: "StateCodecTests", dependencies: ["StateCodec", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "DataPlaneTests", dependencies: ["DataPlane", "Balancing", "StateCodec", "SystemIO", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "SecureHTTPTests", dependencies: ["SecureHTTP", "SystemIO", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "ControlPlaneTests",
            dependencies: ["ControlPlane", "Balancing", "SecureHTTP", "SystemIO", "TestSupport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "AdminTests", dependencies: ["Admin", "SecureHTTP", "SystemIO", "TestSupport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "FairleadConfigurationTests", dependencies: ["FairleadConfiguration", "SystemIO", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Balancing", "ControlPlane", "DataPlane", "SecureHTTP", "StateCodec", "SystemIO", "TestSupport",
                "fairlead",
            ],
            swiftSettings: strict),

        // Counted by `make costs`. Here rather than in a package of its own, because what it measures is `package`.
        .executableTarget(
            name: "microbenchmarks", dependencies: ["Admin", "Balancing", "DataPlane", "TestSupport"],
            path: "Benchmarks/Micro", exclude: ["README.md", "thresholds.txt"], swiftSettings: strict),
    ]
)
