import SystemIO
import Testing

@Suite struct DescriptorTests {
    @Test(arguments: [
        "127.0.0.1:6443", "0.0.0.0:0", "[::1]:6443", "[fe80::1%2]:65535", "[::ffff:10.0.0.1]:1", "[2001:db8::1]:443",
    ]) func addressIsReadAndWritten(_ text: String) {
        #expect(SocketAddress(text)?.description == text)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "::1:6443x", "host:1",
        "[::1]", "[127.0.0.1]:1", "[::1%eth0]:1", "1.2.3:1", "[::1]:1 ",
    ]) func whatIsNoAddressIsRefused(_ text: String) {
        #expect(SocketAddress(text) == nil)
    }

    @Test(arguments: [
        ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"), ("[::fffe:10.0.0.1]:1", "[::fffe:a00:1]:1"), ("[::1]:1", "[::1]:1"),
        ("10.0.0.1:1", "10.0.0.1:1"), ("[1::ffff:10.0.0.1]:1", "[1::ffff:a00:1]:1"),
    ]) func iPv4InsideIPv6IsThatIPv4Address(_ text: String, _ expected: String) throws {
        #expect(try #require(SocketAddress(text)).unmapped == SocketAddress(expected))
    }

    @Test func hostHashIsTheSameForOneIPv4ClientOnBothFamilies() throws {
        let plain = try #require(SocketAddress("10.1.2.3:1"))
        let mapped = try #require(SocketAddress("[::ffff:10.1.2.3]:99"))
        #expect(plain.hostHash == mapped.hostHash)
        #expect(plain.hostHash != (try #require(SocketAddress("10.1.2.4:1"))).hostHash)
    }

    @Test func eventDescriptorWakesAnEpollSetUntilCleared() throws {
        let event = try EventDescriptor()
        let epoll = try Epoll()
        let buffer = Epoll.EventBuffer(capacity: 4)
        try epoll.add(event.borrowed, .readable, token: 42)
        let quiet = try epoll.wait(into: buffer, timeoutMilliseconds: 0)
        #expect(quiet == 0)
        event.signal()
        event.signal()
        let woken = try epoll.wait(into: buffer, timeoutMilliseconds: 1000)
        #expect(woken == 1)
        let token = buffer[0].token
        #expect(token == 42)
        event.clear()
        let again = try epoll.wait(into: buffer, timeoutMilliseconds: 0)
        #expect(again == 0)
    }

    @Test func timerDescriptorWakesAnEpollSetOnceASetting() throws {
        let timer = try TimerDescriptor()
        let epoll = try Epoll()
        let buffer = Epoll.EventBuffer(capacity: 4)
        try epoll.add(timer.borrowed, .readable | .edgeTriggered, token: 7)
        // A time that has passed, and then one to come, twice: nobody reads the descriptor between.
        for delay: UInt64 in [0, 5_000_000, 5_000_000] {
            let start = MonotonicClock.nanoseconds()
            timer.set(nanoseconds: start + 3_600_000_000_000)
            timer.set(nanoseconds: delay == 0 ? 0 : start + delay)
            let woken = try epoll.wait(into: buffer, timeoutMilliseconds: 60_000)
            #expect(woken == 1)
            #expect(MonotonicClock.nanoseconds() >= start + delay)
            let again = try epoll.wait(into: buffer, timeoutMilliseconds: 0)
            #expect(again == 0)
        }
    }

    @Test func pipeTellsFullFromEmpty() throws {
        let pipe = try Pipe(bytes: 65_536)
        let capacity = pipe.capacity
        #expect(capacity >= 4096)
        let result = withUnsafeTemporaryAllocation(byteCount: 16, alignment: 1) { pipe.read(into: $0) }
        #expect(result == .wouldBlock)
    }

    @Test func ownedDescriptorIsClosedOnceAndDuplicatesLiveOn() throws {
        let copy: OwnedDescriptor
        do {
            let first = try Socket.stream(for: .v4(0x7f00_0001, port: 0))
            try Socket.bind(first.rawValue, to: .v4(0x7f00_0001, port: 0))
            copy = try first.duplicate()
        }
        let port = try Socket.localAddress(copy.rawValue).port
        #expect(port != 0)
    }

    @Test func threadRunsItsBodyAndIsJoined() throws {
        let event = try EventDescriptor()
        let number = event.borrowed
        let thread = try Thread(name: "a name that is longer than the kernel allows") { _ = number }
        thread.join()
        thread.join()
    }
}
