/// How often backends are probed and how many answers it takes to change one's state.
package struct HealthPolicy: Hashable, Sendable {
    /// Good answers in a row after which a backend that was away is up again. At least 1.
    package var rise: Int
    /// Bad answers in a row after which a backend is down, or slow ones after which it is degraded. At least 1.
    package var fall: Int
    /// The time between probes of a backend that is well.
    package var interval: Duration
    /// The time between probes of a backend that is not well, or about which there is a doubt.
    package var suspectInterval: Duration
    /// How long a probe may take, from its first packet to the last byte of its answer.
    package var timeout: Duration
    /// How long a backend that has come back takes to its full weight. Zero: it has it at once.
    package var slowStart: Duration
    /// Answers that take longer than this are slow.
    package var slowThreshold: Duration
    /// How long connections to a backend that refuses or resets may stand; nil: until one of their ends closes them.
    ///
    /// A kube-apiserver that was told to stop refuses new connections at once and serves the standing ones for 60 s, its
    /// request timeout. 15 s more are for what its host is slow with.
    package var terminationGracePeriod: Duration?

    /// A policy; the values given by default are those of the configuration.
    package init(
        rise: Int = 3, fall: Int = 2, interval: Duration = .seconds(1), suspectInterval: Duration = .milliseconds(200),
        timeout: Duration = .seconds(1), slowStart: Duration = .seconds(30),
        slowThreshold: Duration = .milliseconds(500), terminationGracePeriod: Duration? = .seconds(75)
    ) {
        self.rise = max(1, rise)
        self.fall = max(1, fall)
        self.interval = interval
        self.suspectInterval = suspectInterval
        self.timeout = timeout
        self.slowStart = slowStart
        self.slowThreshold = slowThreshold
        self.terminationGracePeriod = terminationGracePeriod
    }

    /// How far back to look for those who fell silent at the same time: every hang that began since is certain by now.
    var silenceWindow: Duration { interval + timeout + suspectInterval * fall }
}
