"""The chart: what a request, a connection and a gigabyte cost, a bar for each balancer."""

from __future__ import annotations

from .axes import AXES
from .results import FAIRLEAD, Results, metric_of

# Axis and metric of each group of bars.
GROUPS = [
    ("keepalive-1", "cpu_us"),
    ("keepalive-64", "cpu_us"),
    ("keepalive-512", "cpu_us"),
    ("h2", "cpu_us"),
    ("connect-plain", "cpu_us"),
    ("connect-tls", "cpu_us"),
    ("thousand-backends", "cpu_us"),
    ("bulk-down", "cpu_s_per_gb"),
    ("bulk-up", "cpu_s_per_gb"),
    ("bulk-both", "cpu_s_per_gb"),
]
BARS = ("fairlead", "haproxy", "haproxy-auto", "nginx", "floor")
WIDTH, LEFT, RIGHT = 760, 130, 70
BAR, GAP, HEAD = 14, 5, 34

# Transparent ground; colours follow the reader's scheme.
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.head { font-weight: 600; }
.ours { fill: #0b7285; }
.peer { fill: #adb5bd; }
.spread { stroke: #495057; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ours { fill: #3bc9db; }
  .peer { fill: #6c757d; }
  .spread { stroke: #ced4da; }
}"""


def as_svg(results: Results) -> str:
    y, body = 8, []
    for axis, key in GROUPS:
        targets = [each for each in BARS if results.values(axis, each, key)]
        if not targets:
            continue
        metric = metric_of(axis, key)
        largest = max(max(results.values(axis, each, key)) for each in targets) or 1
        scale = (WIDTH - LEFT - RIGHT) / largest
        body.append(f'<text class="head" x="8" y="{y + 16}">{AXES[axis].title}: {metric.title}</text>')
        y += HEAD - 10
        for target in targets:
            values, middle = results.values(axis, target, key), results.median(axis, target, key)
            assert middle is not None
            kind = "ours" if target == FAIRLEAD else "peer"
            center, end = y + BAR / 2, LEFT + max(values) * scale
            body += [
                f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{target}</text>',
                f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" rx="2"/>',
                f'<path class="spread" d="M{LEFT + min(values) * scale:.1f} {center}H{end:.1f}"/>',
                f'<text x="{end + 6:.1f}" y="{y + 11}">{middle:.{metric.digits}f}</text>',
            ]
            y += BAR + GAP
        y += 10
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" width="{WIDTH}" height="{y + 8}" '
        f'role="img" aria-label="Processor time by balancer; shorter is better">\n<style>\n{STYLE}\n</style>\n'
        f"{lines}\n"
        f'<text x="{WIDTH - 8}" y="{y}" text-anchor="end">shorter is better; line: least to most of the rounds</text>\n'
        "</svg>\n"
    )
