import Admin
import Testing

@Suite("The status in one line")
struct StatusLineTests {
    @Test func itCountsBackendsThatAreUpAndConnections() {
        #expect(StatusLine.render(Samples.full) == "1/2 backends up, 7 connections")
        var status = Samples.full
        status.frontends[0].connections.active = 1
        #expect(StatusLine.render(status) == "1/2 backends up, 1 connection")
    }

    @Test func itNamesFrontendsWithoutAUsableBackend() {
        #expect(StatusLine.render(Samples.bare) == "no usable backend for f; 0/1 backends up, 0 connections")
    }

    @Test func itNamesADrainedBackendThatIsInUse() {
        var status = Samples.full
        status.frontends[0].backends[1].lastResort = true
        let line = StatusLine.render(status)
        #expect(
            line == "drained, but in use as the last resort: master-2; 1/2 backends up, 7 connections")
    }

    @Test func aRefusedReloadComesFirst() {
        let one = StatusLine.render(Samples.full, reloadFaults: ["f.yaml:1:1: a: wrong\nSTATUS=forged"])
        #expect(one == "reload failed: f.yaml:1:1: a: wrong?STATUS=forged; 1/2 backends up, 7 connections")
        let three = StatusLine.render(Samples.full, reloadFaults: ["a", "b", "c"])
        #expect(three == "reload failed: a (and 2 more); 1/2 backends up, 7 connections")
    }
}
