"""The results of a run as an SVG picture: small multiples of bars, readable on light and on dark pages."""
import html

import report
from engines import NATIVE

WIDTH, MARGIN, GAP = 1080, 28, 36
PANEL = (WIDTH - 2 * MARGIN - GAP) // 2
LABEL = 176  # for the names of engines
VALUE = 64  # for the figure behind a bar
ROW, BAR = 22, 15
DEPTH_BAR = 13
OURS = "eyeshot"

# Each class has a colour for light pages and one for dark ones; the card is drawn, so none depends on the page's.
COLOURS = {"card": ("#ffffff", "#0d1117"), "edge": ("#d0d7de", "#30363d"), "ink": ("#1f2328", "#e6edf3"),
           "faint": ("#59636e", "#9198a1"), "ours": ("#0969da", "#4493f8"), "peer": ("#9aa4af", "#6e7681")}
# Bars of the decoding panel, by depth: the deeper, the fainter.
SHADES = (1.0, 0.7, 0.45)


def style() -> str:
    """The style sheet."""
    def rules(which: int) -> str:
        return "".join(f".{name}{{{'stroke' if name == 'edge' else 'fill'}:{pair[which]}}}"
                       for name, pair in COLOURS.items())
    return ("<style>text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
            ".head{font-size:15px;font-weight:600}.small{font-size:11.5px}"
            f".edge{{stroke-width:1;fill:none}}{rules(0)}"
            f"@media (prefers-color-scheme:dark){{{rules(1)}}}</style>")


def words(x: float, y: float, text: str, classes: str, anchor: str = "start") -> str:
    """A line of text."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}">{html.escape(text)}</text>'


def bar(x: float, y: float, width: float, height: float, classes: str, opacity: float = 1) -> str:
    """A bar, never so short that it cannot be seen."""
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1.5):.1f}" height="{height}" rx="2" class="{classes}" '
            f'fill-opacity="{opacity}"/>')


class Panel:
    """One measure: a title and a group of bars for each engine that has it."""

    def __init__(self, title: str, note: str, rows: list[dict], keys: list[str], scale: float = 1):
        self.title, self.note, self.keys, self.scale = title, note, keys, scale
        shorter_is_better = "shorter" in note
        best_first = sorted((row for row in rows if any(row.get(key) for key in keys)),
                            key=lambda row: row.get(keys[0], 0), reverse=not shorter_is_better)
        # Smaller instruction sets stay together, behind.
        self.rows = sorted(best_first, key=lambda row: (row["group"] != NATIVE, row["group"]))
        self.bar = BAR if len(keys) == 1 else DEPTH_BAR
        self.row = ROW if len(keys) == 1 else len(keys) * DEPTH_BAR + 9

    def height(self) -> int:
        """Pixels from top to bottom."""
        return 46 + self.row * len(self.rows)

    def draw(self, left: int, top: int) -> list[str]:
        """The panel's elements."""
        parts = [words(left, top + 14, self.title, "head ink"), words(left, top + 31, self.note, "small faint")]
        most = max((row.get(key, 0) for row in self.rows for key in self.keys), default=1)
        for number, row in enumerate(self.rows):
            y = top + 44 + number * self.row
            kind = "ours" if row["family"] == OURS else "peer"
            middle = y + len(self.keys) * self.bar / 2 + 4
            parts.append(words(left + LABEL - 8, middle, report.label(row), "ink", "end"))
            for i, key in enumerate(self.keys):
                if not row.get(key):
                    continue
                length = row[key] / most * (PANEL - LABEL - VALUE)
                parts.append(bar(left + LABEL, y + i * self.bar, length, self.bar - 1, kind, SHADES[i % len(SHADES)]))
                parts.append(words(left + LABEL + length + 5, y + (i + 1) * self.bar - self.bar / 2 + 3.5,
                                   report.rounded(row[key] * self.scale), "small ink"))
        return parts


def panels(results: dict) -> list[tuple[Panel, ...]]:
    """The panels, two in a line."""
    rows = report.compared(results)
    depths = results["depths"]
    shades = ", ".join(f"{depth:,}" for depth in depths)
    return [(Panel("Vision tower, one 512 x 512 tile", "milliseconds; shorter is better", rows, ["tile_ms"]),
             Panel("First token, 1920 x 1080 JPEG", "seconds; shorter is better", rows, ["ttft_ms"], 1e-3)),
            (Panel("Prefill, 1,024 tokens", "tokens a second; longer is better", rows, ["prefill_tokens_per_s"]),
             Panel("Decode", f"tokens a second behind {shades} tokens (strong to faint); longer is better", rows,
                   [f"decode_{depth}" for depth in depths]))]


def svg(results: dict) -> str:
    """The picture."""
    parts, top = [], MARGIN + 44
    for line in panels(results):
        for side, panel in enumerate(line):
            parts += panel.draw(MARGIN + side * (PANEL + GAP), top)
        top += max(panel.height() for panel in line) + GAP
    machine, _, software = report.circumstances(results)
    threads = results["threads"]
    head = words(MARGIN, MARGIN + 14, "SmolVLM-256M's shape on a CPU: Eyeshot and its peers in one run", "head ink")
    head += words(MARGIN, MARGIN + 32, f"{machine}; {threads} thread{'' if threads == 1 else 's'}; {results['date']}",
                  "small faint")
    foot = words(MARGIN, top - 8, software, "small faint")
    height = top + MARGIN - 8
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img" aria-label="Bars of times and speeds of Eyeshot and its peers">{style()}'
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>'
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="edge"/>\n'
            + "\n".join([head, *parts, foot]) + "\n</svg>\n")
