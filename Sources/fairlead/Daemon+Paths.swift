import Admin
import ControlPlane
import DataPlane
import SystemIO

extension Daemon {
    /// How long a look at the ways to the backends may take: who asks for it has an address to move.
    private static let pathTime = Duration.milliseconds(350)

    func paths() async -> PathsStatus {
        let controllers = controllers
        let own = Set(((try? NetworkInterfaces.addresses()) ?? []).map(\.unmapped))
        // Side by side: together they may not take longer than one.
        let found = await withTaskGroup(of: FrontendPaths.self) { group in
            for controller in controllers {
                group.addTask { await controller.paths(within: Self.pathTime, own: own) }
            }
            return await group.reduce(into: [String: FrontendPaths]()) { $0[$1.name] = $1 }
        }
        return PathsStatus(
            frontends: controllers.compactMap { found[$0.name] }.map { paths in
                PathsStatus.Frontend(
                    name: paths.name, listen: dataPlane.addresses(ofFrontend: paths.name).map(\.description),
                    isCut: paths.isCut,
                    backends: paths.backends.map {
                        PathsStatus.Backend(name: $0.name, address: $0.address, path: $0.path.rawValue)
                    })
            })
    }
}
