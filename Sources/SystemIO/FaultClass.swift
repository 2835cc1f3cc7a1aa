/// What a failed connection shows, and about which side. Probes and dials judge by it.
///
///     class     shown by                                       what it means for a backend
///     -------   --------------------------------------------   ------------------------------------------------------
///     host      an error of this host: the packet never left   nothing: no state changes, no connection is reset
///     silence   nothing came back, or the path said that       counts, under the guards of `BackendHealth`
///               nothing can
///     answer    the peer's kernel or process answered          no new connections; standing ones are kept
///
/// The errors of a connection, by the moment of the error:
///
///     error                                     connect(2) itself   later
///     ---------------------------------------   -----------------   -------
///     ECONNREFUSED, ECONNRESET, EPIPE, EPROTO   answer              answer
///     ETIMEDOUT, EHOSTDOWN                      silence             silence
///     ENETUNREACH, EHOSTUNREACH                 host                silence
///     ENETDOWN, EPERM, EACCES, EADDRNOTAVAIL,   host                host
///     EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM
///     any other                                 host                silence
///
/// connect(2) that fails at once has asked the routing table and the port range of this host: no route is
/// ENETUNREACH, an `unreachable` route EHOSTUNREACH, a `prohibit` route EACCES, a `blackhole` route EINVAL. The same
/// EHOSTUNREACH some time later is a failed neighbour discovery or an ICMP message: a node that is powered off looks like that.
package enum FaultClass: Hashable, Sendable, CaseIterable {
    case host
    case silence
    case answer

    /// When an error of a connection was met.
    package enum Moment: Hashable, Sendable, CaseIterable {
        /// socket(2), bind(2) or connect(2) returned it.
        case call
        /// It was found on the socket later: SO_ERROR, recv(2), send(2).
        case later
    }

    /// Whether an error says that there is no path: this host's routing table, neighbour discovery or the network does. It may
    /// be back in a moment.
    package static func isWithoutPath(_ error: Errno) -> Bool {
        error == .networkUnreachable || error == .hostUnreachable
    }

    /// Classifies an error of a connection.
    package init(_ error: Errno, at moment: Moment) {
        switch error {
        case .connectionRefused, .connectionReset, .brokenPipe, .protocolError:
            self = .answer
        case .timedOut, .hostDown:
            self = .silence
        case .networkUnreachable, .hostUnreachable:
            self = moment == .call ? .host : .silence
        case .networkDown, .operationNotPermitted, .permissionDenied, .addressNotAvailable, .wouldBlock:
            self = .host
        case _ where error.isResourceExhaustion:
            self = .host
        default:
            self = moment == .call ? .host : .silence
        }
    }
}
