/// A lease (coordination.k8s.io/v1), as far as leader election uses it.
struct LeaseObject: KubernetesObject {
    struct Specification: Decodable, Sendable {
        var holderIdentity: String?
        var leaseDurationSeconds: Int?
        var acquireTime: String?
        var renewTime: String?
        var leaseTransitions: Int?
    }

    var metadata: ObjectMetadata?
    var spec: Specification?

    /// What is judged.
    var record: LeaseTracker.Record {
        LeaseTracker.Record(
            holder: JSONText.shown(spec?.holderIdentity ?? ""), renewTime: spec?.renewTime ?? "",
            acquireTime: spec?.acquireTime ?? "",
            duration: LeaseTracker.duration(seconds: spec?.leaseDurationSeconds),
            transitions: UInt64(max(0, spec?.leaseTransitions ?? 0)))
    }
}
