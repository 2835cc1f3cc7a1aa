import SecureHTTP

/// The status as a page: three resources without any other, so that the policy can forbid everything else.
///
/// The script writes text nodes only, never HTML: names, reasons and certificates come from other hosts.
enum Dashboard {
    /// `/`
    static let page = resource("text/html; charset=utf-8", html)
    /// `/dashboard.js`
    static let script = resource("text/javascript; charset=utf-8", javaScript)
    /// `/dashboard.css`
    static let style = resource("text/css; charset=utf-8", css)

    /// Content Security Policy, level 3: own script, style and status; no frames, no forms, no other host.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    private static func resource(_ type: String, _ text: String) -> HTTPResponse {
        let headers = HTTPHeaders([
            ("Content-Type", type), ("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"),
        ])
        return HTTPResponse(status: 200, headers: headers, body: Array(text.utf8))
    }

    private static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Fairlead</title>
        <link rel="stylesheet" href="dashboard.css">
        <script src="dashboard.js" defer></script>
        </head>
        <body>
        <header><h1>Fairlead</h1><span id="ready" class="badge">…</span><span id="about"></span></header>
        <p id="problem" role="alert" hidden></p>
        <main id="main"><noscript>This page needs JavaScript. The same as JSON: /v1/status</noscript></main>
        <footer><a href="v1/status">status as JSON</a> <a href="metrics">metrics</a> <a href="readyz">readyz</a></footer>
        </body>
        </html>

        """

    private static let css = """
        :root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --text: #1c2430; --dim: #5d6878; --line: #e1e5ea;
          --up: #14743c; --degraded: #8a5a00; --draining: #1f5fae; --down: #b3261e; --unknown: #5d6878; }
        @media (prefers-color-scheme: dark) {
          :root { --back: #11151b; --card: #1a2029; --text: #e4e9f0; --dim: #9aa6b6; --line: #2c3542;
            --up: #5fd08b; --degraded: #f0b849; --draining: #79b4f5; --down: #ff8a80; --unknown: #9aa6b6; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 84rem; padding: 1rem 1.5rem; background: var(--back); color: var(--text);
          font: 15px/1.5 system-ui, sans-serif; }
        header, .head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .4rem 1rem; }
        h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0; }
        #about, .dim, footer, th { color: var(--dim); } footer a { color: inherit; margin-right: 1rem; }
        section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
          margin: 1rem 0; overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; margin-top: .8rem; font-variant-numeric: tabular-nums; }
        th { font-weight: 500; font-size: .82rem; text-align: left; } td, th { padding: .35rem 1rem .35rem 0; }
        td { border-top: 1px solid var(--line); vertical-align: top; } td:last-child { min-width: 14rem; }
        th.number, td.number { text-align: right; white-space: nowrap; } code { font-size: .92em; }
        .badge { border: 1px solid currentColor; border-radius: 99px; padding: 0 .6rem; font-size: .85rem; font-weight: 600;
          white-space: nowrap; }
        .up { color: var(--up); } .degraded { color: var(--degraded); } .draining { color: var(--draining); }
        .down { color: var(--down); } .unknown { color: var(--unknown); }
        #problem { color: var(--down); font-weight: 600; }

        """

    private static let javaScript = #"""
        "use strict";
        const byId = (id) => document.getElementById(id);
        function node(tag, content, className) {
          const element = document.createElement(tag);
          if (className) element.className = className;
          for (const child of [content].flat()) if (child !== null && child !== undefined) element.append(child);
          return element;
        }
        const badge = (text, kind) => node("span", text, "badge " + kind);
        function age(seconds) {
          const s = Math.max(0, Math.floor(seconds)), two = (n) => String(n).padStart(2, "0");
          if (s < 60) return s + "s";
          if (s < 3600) return Math.floor(s / 60) + "m" + two(s % 60) + "s";
          if (s < 86400) return Math.floor(s / 3600) + "h" + two(Math.floor(s / 60) % 60) + "m";
          return Math.floor(s / 86400) + "d" + two(Math.floor(s / 3600) % 24) + "h";
        }
        const since = (time, now) => age((now - Date.parse(time)) / 1000);
        const latency = (s) => s === null ? "-" : s < 1 ? (s * 1000).toFixed(1) + " ms" : s.toFixed(1) + " s";
        function bytes(count) {
          const units = ["B", "KiB", "MiB", "GiB", "TiB"];
          let unit = 0;
          while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
          return (unit ? count.toFixed(1) : count) + " " + units[unit];
        }
        function expiry(certificate, now) {
          if (!certificate) return "-";
          const days = Math.floor((Date.parse(certificate.notAfter) - now) / 86400000);
          const text = node("span", days < 0 ? "expired" : days + " d", days < 0 ? "down" : days < 30 ? "degraded" : "");
          text.title = certificate.notAfter + "\n" + certificate.names.join("\n");
          return text;
        }
        // A title that begins with ">" makes a column of numbers.
        function table(titles, rows) {
          const kind = (i) => titles[i].startsWith(">") ? "number" : "";
          const head = node("tr", titles.map((title, i) => node("th", title.replace(">", ""), kind(i))));
          const body = rows.map((row) => node("tr", row.map((cell, i) => node("td", cell, kind(i)))));
          return node("table", [node("thead", head), node("tbody", body)]);
        }
        const byOperator = { drained: "drained by the operator", excluded: "drained hard by the operator" };
        function frontend(f, now) {
          const c = f.connections;
          const counts = `${c.active} active, ${c.accepted} accepted, ${c.refused} refused, ` +
            `${c.dialFailures} dial failures, ${c.reset} reset`;
          const rows = f.backends.map((b) => [
            b.name, node("code", b.address),
            [b.lastResort ? badge("last resort", "down") : badge(b.state, b.state), byOperator[b.administrative]
              ? node("div", byOperator[b.administrative], "dim") : null],
            since(b.since, now), b.weight === b.effectiveWeight ? b.weight : `${b.effectiveWeight} of ${b.weight}`,
            b.connections.active, b.connections.total, bytes(b.bytes.received), bytes(b.bytes.sent),
            latency(b.probe ? b.probe.latencySeconds : null), expiry(b.certificate, now),
            [b.reason, b.probe && b.probe.failedChecks.length
              ? node("div", "failed checks: " + b.probe.failedChecks.join(", "), "dim") : null]]);
          return node("section", [
            node("div", [node("h2", f.name), node("code", f.listen.join(" ")), node("span", f.algorithm, "dim"),
              badge(f.ready ? "ready" : "not ready", f.ready ? "up" : "down"), node("span", counts, "dim")], "head"),
            f.guard ? node("p", "held: " + f.guard, "degraded") : null,
            f.hostFault ? node("p", f.hostFault, "down") : null,
            table(["backend", "address", "state", "for", ">weight", ">active", ">total", ">received", ">sent", ">probe",
              ">certificate", "reason"], rows)]);
        }
        function etcd(e) {
          const rows = e.members.map((m) => [m.name, node("code", m.url),
            badge(m.healthy ? "healthy" : "unhealthy", m.healthy ? "up" : "down"),
            m.leader ? "leader" : m.learner ? "learner" : "follower", m.version, bytes(m.databaseBytes), m.raftLag,
            latency(m.latencySeconds), [...m.alarms, m.error].filter(Boolean).join("; ")]);
          return node("section", [
            node("div", [node("h2", "etcd"), node("span", e.topology, "dim"),
              badge(e.quorum ? "quorum" : "no quorum", e.quorum ? "up" : "down"),
              node("span", `leader ${e.leader ?? "none"}, term ${e.term}, ${e.leaderChanges} leader changes`, "dim")], "head"),
            table(["member", "url", "state", "role", "version", ">database", ">lag", ">probe", "problems"], rows)]);
        }
        function leases(list) {
          const rows = list.map((l) => [l.name, badge(l.state, l.state === "held" ? "up" : "degraded"), l.holder || "-",
            l.renewedAgoSeconds === null ? "-" : age(l.renewedAgoSeconds) + " ago", age(l.durationSeconds), l.transitions]);
          return node("section", [node("h2", "leases"),
            table(["lease", "state", "holder", ">renewed", ">duration", ">transitions"], rows)]);
        }
        function show(status, now) {
          const path = status.configuration.path || "built in";
          byId("ready").textContent = status.ready ? "ready" : "not ready";
          byId("ready").className = "badge " + (status.ready ? "up" : "down");
          byId("about").textContent = `${status.version}, pid ${status.pid}, up ${since(status.startTime, now)}, ` +
            `configuration ${path} (generation ${status.configuration.generation})`;
          byId("main").replaceChildren(...status.frontends.map((f) => frontend(f, now)),
            ...(status.etcd ? [etcd(status.etcd)] : []), ...(status.leases?.length ? [leases(status.leases)] : []));
        }
        async function refresh() {
          const problem = byId("problem");
          try {
            const answer = await fetch("v1/status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
            if (!answer.ok) throw new Error("HTTP " + answer.status);
            // The server's clock, so that ages do not depend on the clock of the reader.
            show(await answer.json(), Date.parse(answer.headers.get("Date")) || Date.now());
            problem.hidden = true;
          } catch (error) {
            problem.textContent = `Fairlead does not answer (${error.message}). What stands below is old.`;
            problem.hidden = false;
          }
          setTimeout(refresh, 2000);
        }
        refresh();

        """#
}
