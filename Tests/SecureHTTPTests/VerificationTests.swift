import SecureHTTP
import SystemIO
import TestSupport
import Testing

@Suite("Verification of the server, and of the client", .serialized)
struct VerificationTests {
    private let pki: ThrowAwayPKI

    init() throws { pki = try ThrowAwayPKI(commonName: "cluster CA") }

    /// The words of the error of one GET.
    private func words(_ server: TLSServerContext, _ options: TLSClientOptions) async throws -> String {
        let server = try HTTPServer(listen: loopback, tls: server, limits: patient) { _ in .text(200, "ok") }
        defer { server.stop() }
        return await failure(server.address, tls: try TLSClientContext(options))?.description ?? "no error"
    }

    @Test("says which authority signed and which field to set")
    func unknownAuthority() async throws {
        let other = try ThrowAwayPKI(commonName: "another CA")
        let wrongFile = try await words(pki.server(), TLSClientOptions(caFile: other.caFile))
        #expect(wrongFile.contains("signed by unknown authority (CN=cluster CA)"))
        #expect(wrongFile.contains(other.caFile))
        let noFile = try await words(pki.server(), TLSClientOptions(fieldNames: .init(path: "frontends[0].health.tls")))
        #expect(noFile.contains("set frontends[0].health.tls.caFile to the cluster's CA"))
    }

    @Test("is not fooled by another authority of the same name")
    func sameName() async throws {
        let impostor = try ThrowAwayPKI(commonName: "cluster CA")
        let words = try await words(impostor.server(), TLSClientOptions(caFile: pki.caFile))
        #expect(words.contains("signed by unknown authority"))
    }

    @Test("says for which names the certificate is")
    func wrongName() async throws {
        let server = try pki.server(names: ["kubernetes", "10.96.0.1"])
        let byAddress = try await words(server, TLSClientOptions(caFile: pki.caFile))
        #expect(byAddress.contains("not valid for 127.0.0.1, only for kubernetes, 10.96.0.1"))
        #expect(byAddress.contains("health.tls.serverName"))
        let byName = try await words(server, TLSClientOptions(caFile: pki.caFile, serverName: "kube"))
        #expect(byName.contains("not valid for kube, only for kubernetes"))
        for name in ["kubernetes", "KUBERNETES", "10.96.0.1"] {
            #expect(try await words(server, TLSClientOptions(caFile: pki.caFile, serverName: name)) == "no error")
        }
        let nameless = try await words(pki.server(names: []), TLSClientOptions(caFile: pki.caFile))
        #expect(nameless.contains("carries no names"))
    }

    @Test("says when the certificate expired or begins, and shows it")
    func dates() async throws {
        let expired = try pki.server(validFor: .seconds(3_600), notBeforeOffset: .seconds(-7_200))
        let words = try await words(expired, TLSClientOptions(caFile: pki.caFile))
        #expect(words.contains(/certificate expired on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/))
        let early = try await self.words(
            pki.server(notBeforeOffset: .seconds(7_200)), TLSClientOptions(caFile: pki.caFile))
        #expect(early.contains("not valid before"))

        let server = try HTTPServer(listen: loopback, tls: expired, limits: patient) { _ in .text(200, "ok") }
        guard case .certificate(_, let summary?) = await failure(server.address, tls: try pki.client()) else {
            Issue.record("no certificate with the error")
            return
        }
        #expect(summary.names == ["127.0.0.1", "::1", "localhost"])
        #expect(summary.subject == "CN=test server")
        #expect(summary.notAfter < Int64(WallClock.seconds()))
    }

    @Test("accepts anything when told so, and still shows the certificate")
    func insecure() async throws {
        let server = try HTTPServer(listen: loopback, tls: try pki.server(names: ["x"]), limits: patient) { _ in
            .text(200, "ok")
        }
        let connection = try await HTTPConnection.connect(
            to: server.address, tls: TLSClientContext(TLSClientOptions(insecureSkipVerify: true)), hostHeader: "x",
            timeout: .seconds(60))
        #expect(connection.peerCertificate?.names == ["x"])
    }

    @Test("trusts an intermediate authority that the file names, as kubectl does")
    func leafAsAnchor() async throws {
        let pair = try pki.authority.issue(commonName: "self", names: ["127.0.0.1"], isServer: true)
        let anchor = try pki.directory.write("leaf.crt", pair.certificatePEM)
        let server = try TLSServerContext(certificatePEM: pair.certificatePEM, keyPEM: pair.keyPEM)
        #expect(try await words(server, TLSClientOptions(caFile: anchor)) == "no error")
    }

    @Test("refuses a client certificate in a server's place")
    func purpose() async throws {
        let pair = try pki.authority.issue(commonName: "admin", names: ["127.0.0.1"], isServer: false)
        let server = try TLSServerContext(certificatePEM: pair.certificatePEM, keyPEM: pair.keyPEM)
        let words = try await words(server, TLSClientOptions(caFile: pki.caFile))
        #expect(words.contains("not meant for servers"))
    }

    @Test("tells a required client certificate from a refused one")
    func clientCertificate() async throws {
        let other = try ThrowAwayPKI(commonName: "another CA")
        let server = try pki.server(clientCA: pki.authority)
        let missing = try await words(server, TLSClientOptions(caFile: pki.caFile))
        #expect(missing.contains("requires a client certificate"))
        #expect(missing.contains("health.tls.certFile"))
        let foreign = try other.clientFiles()
        let refused = try await words(
            server, TLSClientOptions(caFile: pki.caFile, certFile: foreign.certFile, keyFile: foreign.keyFile))
        #expect(refused.contains("refused the client certificate \(foreign.certFile)"))
        let right = try pki.clientFiles()
        let accepted = try await words(
            server, TLSClientOptions(caFile: pki.caFile, certFile: right.certFile, keyFile: right.keyFile))
        #expect(accepted == "no error")
    }

    @Test("recognises a backend that answers the hello in plain HTTP, or in something else, or not")
    func notTLS() async throws {
        let context = try pki.client()
        let http = try ScriptedServer { _ in [.text("HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n"), .silence] }
        let plain = try #require(await failure(http.address, tls: context)).description
        #expect(plain.contains("the backend speaks plain HTTP"))
        let ssh = try ScriptedServer { _ in [.text("SSH-2.0-OpenSSH\n"), .silence] }
        let other = try #require(await failure(ssh.address, tls: context)).description
        #expect(other.contains("does not speak TLS (it answered \"SSH-2.0-OpenSSH"))
        let brief = try ScriptedServer { _ in [.text("ok")] }
        #expect(await failure(brief.address, tls: context)?.description.contains("does not speak TLS") == true)
        let close = try ScriptedServer { _ in [] }
        let error = await failure(close.address, tls: context)
        #expect(error == .closed || error == .reset(.connectionReset))
    }

    @Test("survives a peer that answers the hello with mutated TLS", .timeLimit(.minutes(1)))
    func mutatedTLS() async throws {
        let context = try pki.client()
        var generator = SeededGenerator(seed: 7)
        var answers: [[UInt8]] = []
        for _ in 0..<40 {
            let count = Int.random(in: 1...600, using: &generator)
            var bytes: [UInt8] = [UInt8.random(in: 20...24, using: &generator), 3, 3]
            bytes += (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            answers.append(bytes)
        }
        let server = try ScriptedServer { [answers] number in [.send(answers[number % answers.count])] }
        for _ in answers { #expect(await failure(server.address, tls: context, timeout: .seconds(5)) != nil) }
    }
}

@Suite("Files of the TLS options", .serialized)
struct TLSFileTests {
    private func reason(_ options: TLSClientOptions) -> String {
        do throws(TLSError) {
            _ = try TLSClientContext(options)
            return "no error"
        } catch {
            return error.description
        }
    }

    @Test("are each named with what is wrong")
    func faults() throws {
        let pki = try ThrowAwayPKI()
        let pair = try pki.clientFiles()
        let other = try pki.clientFiles(commonName: "other")
        let empty = try pki.directory.write("empty", "")
        let damaged = try pki.directory.write(
            "damaged", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        let encrypted = try pki.directory.write(
            "encrypted",
            """
            -----BEGIN ENCRYPTED PRIVATE KEY-----
            MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBDo0TwKsgcmlPIq7ttQ
            -----END ENCRYPTED PRIVATE KEY-----

            """)
        #expect(
            reason(TLSClientOptions(caFile: "/nonexistent"))
                == "/nonexistent: cannot be read: No such file or directory")
        #expect(reason(TLSClientOptions(caFile: empty)).contains("empty: holds no certificate"))
        #expect(reason(TLSClientOptions(caFile: damaged)).contains("certificate 1 is damaged"))
        #expect(reason(TLSClientOptions(certFile: pair.certFile, keyFile: empty)).contains("holds no private key"))
        #expect(
            reason(TLSClientOptions(certFile: pair.certFile, keyFile: encrypted)).contains("private key is encrypted"))
        #expect(reason(TLSClientOptions(certFile: pair.certFile)).contains("holds no private key"))
        #expect(
            reason(TLSClientOptions(certFile: pair.certFile, keyFile: other.keyFile)).contains("does not belong"))
        #expect(reason(TLSClientOptions(keyFile: pair.keyFile)).contains("without health.tls.certFile"))
        #expect(reason(TLSClientOptions(certFile: pair.certFile, keyFile: pair.keyFile)) == "no error")
    }

    @Test("are loaded again when they change, and kept when the new ones are broken")
    func rotation() async throws {
        let old = try ThrowAwayPKI(commonName: "old CA")
        let new = try ThrowAwayPKI(commonName: "new CA")
        let server = try HTTPServer(listen: loopback, tls: try new.server(), limits: patient) { _ in .text(200, "ok") }
        let file = try old.directory.write("rotating.crt", old.authority.certificatePEM)
        let context = try TLSClientContext(TLSClientOptions(caFile: file))
        #expect(await failure(server.address, tls: context) != nil)
        try old.directory.write("rotating.crt", new.authority.certificatePEM)
        #expect(await failure(server.address, tls: context) == nil)
        try old.directory.write("rotating.crt", "half written")
        #expect(await failure(server.address, tls: context) == nil)
        #expect(context.reloadFailure?.file == file)
    }
}

@Suite("A certificate's names", .serialized)
struct CertificateNameTests {
    private let summary = CertificateSummary(
        subject: "", names: ["kubernetes", "*.example.com", "10.0.0.1", "fd00::1", "*"], notBefore: 0, notAfter: 0)

    @Test(
        "cover what clients may call the server",
        arguments: ["kubernetes", "Kubernetes.", "a.example.com", "10.0.0.1", "fd00::1", "[fd00:0::1]"])
    func covered(host: String) { #expect(summary.isValid(forHost: host)) }

    @Test(
        "cover nothing else",
        arguments: ["", "kube", "example.com", "a.b.example.com", "10.0.0.2", "fd00::2", ".", "*"])
    func notCovered(host: String) { #expect(host == "*" || !summary.isValid(forHost: host)) }
}
