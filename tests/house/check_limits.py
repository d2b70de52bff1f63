#!/usr/bin/env python3
"""Keeps docs/limits.md equal to src/base/limits.h: the table is generated from the header.

Without arguments it fails when they differ; `check_limits.py --write` writes the page anew. A constant's reason
is the comment on its line or above it; `// --- Title ---` starts a section.
"""
import ast
import operator
import re
import sys

from repository import ROOT, report

HEADER = ROOT / "src/base/limits.h"
PAGE = ROOT / "docs/limits.md"
BEGIN, END = "<!-- generated: python3 tests/house/check_limits.py --write -->\n", "<!-- end -->\n"
CONSTANT = re.compile(r"^inline constexpr \w+ (k\w+) = ([^;]+);(?:\s*//\s*(.*))?$")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv,
             ast.LShift: operator.lshift, ast.RShift: operator.rshift}


def evaluate(expression: str, known: dict[str, int | float]) -> int | float:
    """The value of a C++ constant expression of numbers, earlier constants and + - * / << >>."""
    def walk(node: ast.AST) -> int | float:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return known[node.id]
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        raise ValueError(f"cannot evaluate '{expression}'")

    plain = re.sub(r"(?<=\d)'(?=\d)", "", expression)
    plain = re.sub(r"(?<=\d)(?:[uUlL]+|(?<=[.]\d)[fF])\b", "", plain)
    return walk(ast.parse(plain, mode="eval").body)


def shown(name: str, value: int | float) -> str:
    """A value for readers: sizes in KiB, MiB or GiB, counts with thousands separators."""
    if "Bytes" in name:
        for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
            if value >= 1 << power and value % (1 << power) == 0:
                return f"{value >> power:,} {unit}"
    return f"{value:,}"


def read_header(text: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Returns the sections: (title, [(name, value, reason)])."""
    sections: list[tuple[str, list[tuple[str, str, str]]]] = []
    known: dict[str, int | float] = {}
    comment: list[str] = []
    in_comment = False
    for line in text.splitlines():
        title = re.match(r"^// --- (.+?) -+$", line)
        constant = CONSTANT.match(line)
        if title:
            sections.append((title[1], []))
        elif line.startswith("// "):
            comment = comment * in_comment + [line[3:]]
        elif constant:
            name, expression, reason = constant.groups()
            known[name] = evaluate(expression, known)
            if not sections:
                sections.append(("General", []))
            sections[-1][1].append((name, shown(name, known[name]), reason or " ".join(comment)))
        elif "constexpr" in line:
            raise ValueError(f"{HEADER.name}: one line a constant, please: {line}")
        elif not line.strip():
            comment = []
        in_comment = line.startswith("// ") and not title
    return sections


def render(sections: list[tuple[str, list[tuple[str, str, str]]]]) -> str:
    """The generated part of the page."""
    lines = []
    for title, constants in sections:
        lines += [f"## {title}", "| limit | value | why |", "|---|---|---|"]
        lines += [f"| `{name}` | {value} | {reason.replace('|', chr(92) + '|')} |" for name, value, reason in constants]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Checks or writes the page."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    fresh = head + BEGIN + render(read_header(HEADER.read_text(encoding="utf-8"))) + END + tail
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(fresh, encoding="utf-8")
        return 0
    stale = set(fresh.splitlines()) ^ set(page.splitlines())
    findings = [f"docs/limits.md differs from src/base/limits.h: {line}" for line in sorted(stale) if line.strip()]
    if findings or fresh != page:
        findings.append("run: python3 tests/house/check_limits.py --write")
    return report("limits", findings)


if __name__ == "__main__":
    sys.exit(main())
