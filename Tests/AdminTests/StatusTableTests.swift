import Admin
import Testing

@Suite("The table of fairlead status")
struct StatusTableTests {
    private func table(_ status: Status, width: Int? = nil, colour: Bool = false) -> String {
        StatusTable(width: width, usesColour: colour).render(status, now: Samples.now)
    }

    @Test func theWholeStatusFitsOneScreen() {
        #expect(table(Samples.full) == golden)
    }

    @Test func absentPartsTakeNoLines() {
        let text = table(Samples.bare)
        #expect(text.contains("NOT READY"))
        #expect(text.contains("configuration built in"))
        #expect(!text.contains("etcd") && !text.contains("leases"))
    }

    @Test func whoWaitsAndWhatIsHeldIsSaidOnce() {
        var status = Samples.full
        status.frontends[0].guard = "held: etcd has no leader since 1.2 s; master-1 stays"
        status.frontends[0].connections.queued = 12
        let text = table(status)
        #expect(text.contains("  refused 1  waiting 12  dial failures 3"))
        #expect(text.contains("\n  held: etcd has no leader since 1.2 s; master-1 stays\n"))
    }

    @Test(arguments: [1, 20, 80, 132])
    func noLineIsWiderThanTheScreen(width: Int) {
        for line in table(Samples.full, width: width).split(separator: "\n") { #expect(line.count <= width) }
    }

    @Test func coloursAreClosedOnEveryLine() {
        let text = table(Samples.full, width: 60, colour: true)
        #expect(text.contains("\u{1b}[32mready\u{1b}[0m"))
        for line in text.split(separator: "\n") {
            #expect(line.ranges(of: "\u{1b}[0m").count * 2 == line.ranges(of: "\u{1b}[").count)
        }
        #expect(!table(Samples.full).contains("\u{1b}"))
    }

    @Test func controlCharactersFromOtherHostsDoNotReachTheTerminal() {
        var status = Samples.bare
        status.frontends[0].backends[0].reason = "a\u{1b}[2Jb\r\nc\u{7f}\u{202e}d"
        let text = table(status, colour: false)
        #expect(text.contains("a?[2Jb??c??d"))
        #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || $0.value >= 0x20 })
    }

    @Test func aDrainedBackendThatIsInUseStandsOut() {
        var status = Samples.bare
        status.frontends[0].backends = [Samples.backend("a", state: .draining), Samples.backend("b", state: .down)]
        status.frontends[0].backends[0].administrative = .drained
        status.frontends[0].backends[0].lastResort = true
        status.frontends[0].backends[1].administrative = .excluded
        let text = table(status, colour: true)
        #expect(text.contains("\u{1b}[1;31m  drained, LAST RESORT\u{1b}[0m"), "\(text)")
        #expect(text.contains("down, drained hard"), "\(text)")
    }

    @Test func certificatesThatEndSoonStandOut() {
        var status = Samples.bare
        func cell(_ notAfter: String) -> String {
            status.frontends[0].backends[0].certificate = BackendStatus.Certificate(
                notAfter: Timestamp(notAfter)!, names: [])
            return table(status, colour: true)
        }
        #expect(cell("2026-03-11T13:12:31Z").contains("\u{1b}[33m   10d\u{1b}[0m"))
        #expect(cell("2026-03-01T13:12:30Z").contains("\u{1b}[1;31m  expired\u{1b}[0m"))
    }

    @Test func aFrontendWithoutBackendsSaysSo() {
        var status = Samples.bare
        status.frontends[0].backends = []
        #expect(table(status).contains("no backends"))
    }
}

private let golden = """
    fairlead 0.1.0  pid 4711  up 3h12m  ready  configuration /etc/fairlead/fairlead.yaml, generation 2, loaded 1h12m ago

    kube-apiserver  [::]:6443  leastConnections  ready  active 7  accepted 1234  refused 1  dial failures 3  reset 2
      held: etcd elects a leader
      this host: Network is unreachable, since 0.4 s (master-1)
      BACKEND   ADDRESS         STATE    FOR    WEIGHT  ACTIVE  TOTAL  PROBE  CERT  REASON
      master-1  10.0.0.11:6443  up       3h12m  40/100       5    900  3.2ms  364d  /readyz is ok
      master-2  10.0.0.12:6443  drained  30s      0/50       2    334   1.3s     -  /readyz answers 500 (failed: etcd, shutdown)

    etcd  stacked  quorum  leader master-1  term 9  leader changes 1
      MEMBER    URL                     STATE      ROLE      VERSION  DATABASE  LAG  PROBE  ERROR
      master-1  https://10.0.0.11:2379  healthy    leader    3.4.23      24MiB    0  2.0ms
      master-2  https://10.0.0.12:2379  unhealthy  follower                 0B    0      -  alarm NOSPACE; connection refused

    leases
      LEASE           STATE  HOLDER      RENEWED  DURATION  TRANSITIONS
      kube-scheduler  held   master-1_x   1s ago       15s            3

    """
