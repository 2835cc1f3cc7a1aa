import Admin
import Balancing
import ControlPlane
import FairleadConfiguration

extension Daemon {
    /// Begins to watch etcd, goes on with changed options, or ends it: what the configuration wants.
    ///
    /// - Parameter configuration: nil: etcd is not watched from now on.
    func watchEtcd(_ configuration: Configuration.Etcd?) async {
        switch (etcdWatch, configuration?.monitorOptions) {
        case (nil, nil):
            return
        case (nil, let options?):
            let watch = EtcdWatch(options, logger: logger, events: events) { [weak self] in await self?.take(etcd: $0) }
            etcdWatch = watch
            await watch.start()
        case (let watch?, let options?):
            await watch.monitor.apply(options)
        case (let watch?, nil):
            etcdWatch = nil
            await watch.stop()
            etcdOutlook = nil
        }
        // The frontends may be others than when it was told last.
        await take(etcd: etcdOutlook)
    }

    /// Takes what etcd's members mean for the backends of every frontend; nil: nothing is known, nor will be.
    func take(etcd outlook: EtcdOutlook?) async {
        etcdOutlook = outlook
        // The property, not the parameter: while this waited for one controller, a newer one may have come.
        for controller in controllers {
            await controller.take(etcd: etcdOutlook) { [monitor = etcdWatch?.monitor] in monitor?.lookNow() }
        }
    }

    /// The etcd part of the status; nil while it is not watched.
    func etcdStatus() async -> EtcdStatus? {
        guard let health = await etcdWatch?.monitor.status() else { return nil }
        return EtcdStatus(
            topology: health.isStacked ? "stacked" : "external", quorum: health.hasQuorum, hasLeader: health.hasLeader,
            leader: health.leader, term: health.term, leaderChanges: health.leaderChanges,
            members: health.members.map { member in
                EtcdStatus.Member(
                    name: member.name, url: member.url, id: member.id, healthy: member.isHealthy,
                    leader: member.isLeader, learner: member.isLearner, version: member.version,
                    databaseBytes: member.databaseBytes, raftIndex: member.raftIndex, raftLag: member.raftLag,
                    alarms: member.alarms, error: member.error, latencySeconds: member.latencySeconds,
                    source: member.isDiscovered ? "discovered" : "static", probeFailures: member.probeFailures)
            })
    }
}
