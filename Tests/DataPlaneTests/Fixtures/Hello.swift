import TestSupport

/// TLS ClientHello messages for tests.
enum Hello {
    /// A hello of TLS 1.3 with the usual extensions.
    static func make(
        serverName: String = "kubernetes", protocols: [String] = ["h2", "http/1.1"], earlyData: Bool = false,
        padding: Int = 0, recordLimit: Int = 16_384
    ) -> [UInt8] {
        var extensions: [UInt8] = []
        func add(_ type: UInt16, _ body: [UInt8]) { extensions += two(Int(type)) + two(body.count) + body }
        let name = Array(serverName.utf8)
        add(0, two(name.count + 3) + [0] + two(name.count) + name)
        add(11, [3, 0, 1, 2])
        add(10, two(8) + [0, 0x1d, 0, 0x17, 0, 0x1e, 0, 0x19])
        if !protocols.isEmpty {
            let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
            add(16, two(list.count) + list)
        }
        add(43, [4, 3, 4, 3, 3])
        add(51, two(36) + [0, 0x1d, 0, 32] + Array(repeating: 0x42, count: 32))
        if earlyData { add(42, []) }
        if padding > 0 { add(21, Array(repeating: 0, count: padding)) }
        var body: [UInt8] = [3, 3] + (0..<32).map { UInt8($0) }
        body += [32] + Array(repeating: 7, count: 32)
        body += two(6) + [0x13, 0x02, 0x13, 0x01, 0x00, 0xff]
        body += [1, 0]
        body += two(extensions.count) + extensions
        return records(
            [1, UInt8(body.count >> 16), UInt8(body.count >> 8 & 255), UInt8(body.count & 255)] + body, recordLimit)
    }

    /// Puts a handshake message into records of at most so many bytes.
    static func records(_ message: [UInt8], _ limit: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: message.count, by: limit).flatMap { start in
            let part = message[start..<min(start + limit, message.count)]
            return [22, 3, 1] + two(part.count) + part
        }
    }

    static func two(_ value: Int) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }

    /// A real one, as it was on the wire.
    static var recorded: [UInt8] { RecordedHello.bytes }
}
