package import SecureHTTP
package import SystemIO

/// One readiness question to one backend, asked just as the daemon's probes ask it; for `fairlead check --live`.
package struct LiveProbe: Sendable {
    /// What the backend said.
    package enum Verdict: Sendable, Equatable {
        /// It is ready.
        case ready
        /// 401 or 403: it is alive, and does not tell this client whether it is ready.
        case unauthorized
        /// Another status, with the checks that its body calls failed.
        case notReady(failedChecks: [String])
        /// It gave no answer that counts, for this reason.
        case failed(String)
    }

    /// What the backend said.
    package let verdict: Verdict
    /// The HTTP status, if there was one.
    package let status: Int?
    /// The certificate that it showed, also when it did not verify.
    package let certificate: CertificateSummary?
    /// From the start of the connect to the answer.
    package let latency: Duration

    /// Asks.
    ///
    /// - Parameters:
    ///   - address: Where the backend listens.
    ///   - options: What to ask, and how.
    ///   - timeout: The bound over connect, handshake and answer.
    package static func ask(_ address: SocketAddress, options: ProbeOptions, timeout: Duration) async -> LiveProbe {
        let prober = NetworkProber(address: address, options: options, connectionEnded: {})
        let start = MonotonicClock.nanoseconds()
        let answer = await prober.ask(.readiness, timeout: timeout)
        let latency = Duration.nanoseconds(Int64(MonotonicClock.nanoseconds() - start))
        await prober.close()
        return LiveProbe(
            verdict: Verdict(answer), status: answer.status, certificate: answer.certificate, latency: latency)
    }
}

extension LiveProbe.Verdict {
    fileprivate init(_ answer: ProbeAnswer) {
        switch answer.verdict {
        case .ok: self = .ready
        case .unauthorized: self = .unauthorized
        case .red(let failedChecks): self = .notReady(failedChecks: failedChecks)
        case .untrusted(let reason), .failed(_, let reason): self = .failed(reason)
        case .hostFault(let reason, _): self = .failed("this host: \(reason)")
        }
    }
}
