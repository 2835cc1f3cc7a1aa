import Testing

@testable import DataPlane

@Suite struct ClientHelloTests {
    private func scan(_ bytes: [UInt8]) -> ClientHello { bytes.withUnsafeBytes { ClientHello(scanning: $0) } }

    @Test func wholeHelloCanBeReplayedAndTellsTheProtocols() {
        #expect(scan(Hello.recorded) == .replayable(.http2))
        #expect(scan(Hello.make()) == .replayable(.http2))
        #expect(scan(Hello.make(protocols: ["http/1.1"])) == .replayable(.upgrade))
        #expect(scan(Hello.make(protocols: [])) == .replayable(.upgrade))
        #expect(scan(Hello.make(protocols: ["h3", "h2c", "h2"])) == .replayable(.http2))
        #expect(scan(Hello.make(padding: 15_000)) == .replayable(.http2))
    }

    @Test(arguments: [1, 2, 3, 4, 5, 100, 300]) func helloOverSeveralRecordsIsOneHello(limit: Int) {
        #expect(scan(Hello.make(recordLimit: limit)) == .replayable(.http2))
    }

    @Test func helloWithoutExtensionsIsAHello() {
        let body: [UInt8] = [3, 3] + Array(repeating: 1, count: 32) + [0, 0, 2, 0, 0x2f, 1, 0]
        #expect(scan(Hello.records([1, 0, 0, UInt8(body.count)] + body)) == .replayable(.upgrade))
    }

    @Test func whateverMayHaveAnEffectIsOpaque() {
        #expect(scan(Hello.make(earlyData: true)) == .opaque)
        #expect(scan(Hello.recorded + [0x17, 3, 3, 0, 1, 0]) == .opaque)  // early data behind it
        #expect(scan(Hello.recorded + [20, 3, 3, 0, 1, 1]) == .opaque)  // change_cipher_spec
        #expect(scan(Hello.recorded + [1]) == .opaque)
        #expect(scan(Hello.recorded + [22]) == .opaque)
        #expect(scan(Hello.recorded + [22, 3, 3, 0, 4, 0, 0, 0, 0]) == .opaque)
        #expect(scan(Hello.records(Array(Hello.recorded.dropFirst(5)) + [0])) == .opaque)
        #expect(scan(Array("GET / HTTP/1.1\r\n".utf8)) == .opaque)
        #expect(scan(Array("PRI * HTTP/2.0".utf8)) == .opaque)
        #expect(scan([22, 2]) == .opaque)  // SSL 2
        #expect(scan([22, 3, 1, 0, 0]) == .opaque)  // an empty record
        #expect(scan([22, 3, 1, 0x50, 0]) == .opaque)  // too long a record
        #expect(scan(Hello.records([2, 0, 0, 4, 1, 2, 3, 4])) == .opaque)  // a ServerHello
        #expect(scan(Hello.records([1, 0xff, 0xff, 0xff])) == .opaque)  // 16 MiB announced
        #expect(scan(Hello.records([1, 0, 0, 0])) == .opaque)  // an empty hello
    }

    @Test func beginningIsIncompleteUntilTheLastByte() {
        for hello in [Hello.recorded, Hello.make(), Hello.make(recordLimit: 7)] {
            for length in 0..<hello.count {
                #expect(scan(Array(hello[..<length])) == .incomplete, "\(length) of \(hello.count) bytes")
            }
            #expect(scan(hello) == .replayable(.http2))
        }
    }

    @Test func mutatedHellosNeverCrashAndAreDecidedOnce() {
        var random = SplitMix(state: 7)
        for round in 0..<3000 {
            var hello = round % 2 == 0 ? Hello.recorded : Hello.make(recordLimit: 1 + random.next(below: 200))
            for _ in 0...random.next(below: 4) {
                let position = random.next(below: hello.count)
                switch random.next(below: 4) {
                case 0: hello[position] = UInt8(truncatingIfNeeded: random.next())
                case 1: hello[position] ^= 1 << UInt8(random.next(below: 8))
                case 2: hello.remove(at: position)
                default: hello.insert(UInt8(truncatingIfNeeded: random.next()), at: position)
                }
            }
            // Arriving in pieces: once decided, more bytes never make it incomplete again, and never replayable.
            var length = 0
            var decided: ClientHello?
            while length < hello.count {
                length = min(hello.count, length + 1 + random.next(below: 60))
                let state = scan(Array(hello[..<length]))
                if decided != nil { #expect(state == .opaque) }
                if state != .incomplete { decided = state }
            }
        }
    }

    @Test func aMessageMeansTheSameHoweverItIsCutIntoRecords() {
        var random = SplitMix(state: 9)
        var verdicts: Set<String> = []
        for round in 0..<3000 {
            var message = Array(Hello.recorded.dropFirst(5))
            if round % 2 == 0 { message[random.next(below: message.count)] ^= 1 << UInt8(random.next(below: 8)) }
            message.removeLast(random.next(below: 3))
            message += Array(repeating: 0, count: random.next(below: 3))
            let verdict = scan(Hello.records(message))
            verdicts.insert("\(verdict)")
            let limit = 1 + random.next(below: message.count)
            #expect(scan(Hello.records(message, limit)) == verdict, "at most \(limit) bytes a record: \(message)")
        }
        #expect(verdicts.count > 2, "\(verdicts)")
    }

    @Test func randomBytesNeverCrash() {
        var random = SplitMix(state: 8)
        for _ in 0..<3000 {
            var bytes = (0..<random.next(below: 300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            // Some begin as a handshake does, to get further.
            if random.next(below: 2) == 0, bytes.count > 9 {
                bytes.replaceSubrange(0..<9, with: [22, 3, 1, 0, bytes[4], 1, 0, 0, bytes[8]])
            }
            _ = scan(bytes)
        }
    }
}
