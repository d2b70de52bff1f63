#!/usr/bin/env python3
"""Checks that every measured figure in README.md and docs/*.md names a claim that holds.

A figure is a number with a unit of time, size, speed, power or ratio, outside code. It is covered by `[C7]` or by
`<!-- not measured: reason -->` in its own line, in its table, in the paragraph right before that table, or in the
heading of its section (not of an outer one).
"""
import re
import sys

from repository import ROOT, report, tracked_files

sys.path.insert(0, str(ROOT / "scripts"))
from claims import ClaimError, read_claims  # noqa: E402 (the path must be set first)

# Pages of plans, constants, licences and the claims themselves.
NOT_CHECKED = {"docs/design.md", "docs/limits.md", "docs/dependencies.md", "docs/claims.md"}
UNITS = (r"ns|us|µs|ms|s|sec|seconds?|min|minutes?|h|hours?|[kKMGT]i?B(?:/s)?|[kMGTP]?FLOPs?(?:/s)?|[GT]?OPs?/s|"
         r"tok(?:en)?s?/s(?:ec)?|tokens (?:per|a) second|(?:frames|images|tiles|requests)/s|fps|[mkM]?J(?:/token)?|"
         r"[mk]?Wh?|%|percent|times (?:faster|slower|smaller|larger|less|more)")
FIGURE = re.compile(rf"(?<![\w.\-])\d[\d.,]*\s?(?:(?:{UNITS})(?![\w/])|[x×](?![\w]|\s?\d))")
CITATION = re.compile(r"\[(C\d+(?:,\s*C\d+)*)\]")
EXEMPTION = re.compile(r"<!-- not measured: \S.*?-->")


def is_covered(text: str) -> bool:
    """Whether a text names a claim or an exemption."""
    return bool(CITATION.search(text) or EXEMPTION.search(text))


def blank_code(page: str) -> list[str]:
    """The lines of a page, those of code blocks empty, inline code taken out."""
    lines, fence = [], None
    for line in page.splitlines():
        marker = re.match(r"\s*(```+|~~~+)", line)
        if marker and (fence is None or line.strip().startswith(fence)):
            fence = None if fence else marker[1]
            lines.append("")
        else:
            lines.append("" if fence else re.sub(r"`[^`]*`", "``", line))
    return lines


def check_page(name: str, page: str, verdicts: dict[str, str]) -> list[str]:
    """Returns the findings in one page; `verdicts` are those of docs/claims.md by id."""
    findings = []
    lines = blank_code(page)
    heading_covers = table_covers = False
    paragraph = ""
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        for cited in CITATION.findall(line):
            for claim in re.split(r",\s*", cited):
                if claim not in verdicts:
                    findings.append(f"{where}: docs/claims.md has no {claim}")
                elif verdicts[claim] != "holds":
                    findings.append(f"{where}: {claim} is cited, but its verdict is '{verdicts[claim]}'")
        in_table = line.lstrip().startswith("|")
        if re.match(r"#+ ", line):
            heading_covers, paragraph, table_covers = is_covered(line), "", False
        elif in_table and not (number > 1 and lines[number - 2].lstrip().startswith("|")):
            rows = []
            for row in lines[number - 1:]:
                if not row.lstrip().startswith("|"):
                    break
                rows.append(row)
            # The caption covers the table; so does a claim in its head row.
            table_covers = is_covered(paragraph) or is_covered(rows[0])
        elif not in_table and line.strip():
            paragraph = line if not (number > 1 and lines[number - 2].strip()) else paragraph + " " + line
            table_covers = False
        prose = re.sub(r"<!--.*?-->|\]\([^)]*\)", "", line)
        figure = FIGURE.search(prose)
        if figure and not (is_covered(line) or heading_covers or (in_table and table_covers)):
            findings.append(f"{where}: '{figure[0].strip()}' names no claim: add a row to docs/claims.md and its id "
                            "as [C7], or <!-- not measured: reason -->")
    return findings


def main() -> int:
    """Checks all pages."""
    try:
        claims = read_claims((ROOT / "docs/claims.md").read_text(encoding="utf-8"))
    except ClaimError as error:
        return report("claims", [f"docs/claims.md: {error}"])
    verdicts = {claim.id: claim.verdict for claim in claims}
    findings = []
    for path in tracked_files("README.md", "docs/*.md"):
        if path.as_posix() not in NOT_CHECKED:
            findings += check_page(path.as_posix(), (ROOT / path).read_text(encoding="utf-8"), verdicts)
    return report("claims", findings)


if __name__ == "__main__":
    sys.exit(main())
