#!/usr/bin/env python3
"""Tests of the claims table's reader and of the check that figures name a claim."""
import sys
import unittest

import check_claims
from repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from claims import Check, ClaimError, read_claims  # noqa: E402 (the path must be set first)

HEAD = "| id | claim | command | check | needs | last value | machine | date | verdict |\n|---|---|---|---|---|---|---|---|---|\n"
ROW = r"| C1 | fast | `a \| b` | `json:x.0.ms <= 850 ms` | gpu file:a | 812 ms | M | 2026-01-02 | holds |"
VERDICTS = {"C1": "holds", "C2": "fails"}


def findings(page: str) -> int:
    """How many findings the check has in a page."""
    return len(check_claims.check_page("p.md", page, VERDICTS))


class TableTest(unittest.TestCase):
    def test_reads_a_row(self):
        claim, = read_claims("# Claims\n\n" + HEAD + ROW + "\n\n| other | table |\n|---|---|\n| a | b |\n")
        self.assertEqual((claim.id, claim.command, claim.needs, claim.line), ("C1", "a | b", ["gpu", "file:a"], 4))
        self.assertEqual((claim.check.op, claim.check.bound, claim.check.unit), ("<=", "850", "ms"))

    def test_writes_only_the_results(self):
        claim, = read_claims(HEAD + ROW)
        claim.value, claim.date = "9 | 9 ms", "2026-03-04"
        self.assertEqual(claim.renewed(ROW), ROW.replace("812 ms", r"9 \| 9 ms").replace("2026-01-02", "2026-03-04"))

    def test_refuses_bad_rows(self):
        for bad in (ROW.replace("C1", "1"), ROW.replace("holds", "maybe"), ROW.replace("812 ms", ""),
                    ROW.replace("<=", "about"), ROW.replace("850", "soon"), ROW.replace("| gpu file:a ", ""),
                    ROW + "\n" + ROW):
            with self.assertRaises(ClaimError, msg=bad):
                read_claims(HEAD + bad)


class CheckTest(unittest.TestCase):
    def value(self, check: str, output: str, status: int = 0) -> tuple[str, bool]:
        """The value that a check reads, and whether it holds."""
        parsed = Check.parse(check)
        value = parsed.extract(output, status)
        return value, parsed.holds(value)

    def test_reads_and_compares(self):
        self.assertEqual(self.value("json:a.1.ms < 850 ms", 'log\n{"a": [0, {"ms": 812.04}]}\n'), ("812", True))
        self.assertEqual(self.value("json:n <= 45,000,000 bytes", '{"n": 45899369}'), ("45899369", False))
        self.assertEqual(self.value(r"/(\d+\/\d+) right/ == 12/12", "1/12 right\n12/12 right\n"), ("12/12", True))
        self.assertEqual(self.value(r"/([\d.]+) x/ >= 1.5 x faster", "1.4 x"), ("1.4", False))
        self.assertEqual(self.value("json:x ~= 40 ms ± 10 %", '{"x": 43.9}'), ("43.9", True))
        self.assertEqual(self.value("json:x ~= 40 ms ±10%", '{"x": 44.1}'), ("44.1", False))
        self.assertEqual(self.value("exit == 0", "", status=3), ("3", False))

    def test_says_what_is_missing(self):
        for check, output, status in (("json:b == 1", '{"a": 1}', 0), ("json:a == 1", "no", 0),
                                      ("/x(y)/ == y", "z", 0), ("/x(y)/ == y", "xy", 1)):
            with self.assertRaises(ClaimError, msg=check):
                self.value(check, output, status)

    def test_tolerance_belongs_to_about(self):
        for bad in ("json:x ~= 40 ms", "json:x <= 40 ms ± 10 %"):
            with self.assertRaises(ClaimError):
                Check.parse(bad)


class FiguresTest(unittest.TestCase):
    def test_figures(self):
        for figure in ("812 ms", "0.3 s", "1,5 s", "44.9 MiB", "58.7MB", "12 GB/s", "31 tok/s", "2.5x", "2.5 × faster", "90 %",
                       "90%", "3.2 J", "15 W", "3 times faster", "70 GFLOP/s", "about 40us."):
            self.assertEqual(findings(f"It takes {figure} here"), 1, figure)

    def test_no_figures(self):
        for text in ("8 heads", "2x2 tiles", "512 x 512 pixels", "SmolVLM-256M", "AVX-512", "x86", "version 0.1.0",
                     "`sleep 5 s`", "SHA-256", "30 images", "7B model", "[5 s](a%20b)", "C++20", "Debian 12 saw it"):
            self.assertEqual(findings(text.replace("[5 s]", "[five]")), 0, text)

    def test_a_claim_in_the_line_covers(self):
        self.assertEqual(findings("It takes 812 ms [C1]."), 0)
        self.assertEqual(findings("It takes 812 ms [C1].\nAnd 3 s."), 1)
        self.assertEqual(findings("At most 5 s <!-- not measured: a setting -->"), 0)
        self.assertEqual(findings("At most 5 s <!-- not measured: -->"), 1)

    def test_a_claim_must_exist_and_hold(self):
        self.assertEqual(findings("It takes 812 ms [C2]."), 1)
        self.assertEqual(findings("It takes 812 ms [C9]."), 1)
        self.assertEqual(findings("It takes 812 ms [C1, C2]."), 1)

    def test_caption_and_heading_cover_their_own(self):
        table = "| what | time |\n|---|---|\n| a | 5 ms |\n| b | 6 ms |\n"
        self.assertEqual(findings("Times:\n\n" + table), 2)
        self.assertEqual(findings("Times [C1]:\n\n" + table), 0)
        self.assertEqual(findings("Times [C1]:\n" + table), 0)
        self.assertEqual(findings("Times [C1]:\n\n" + table + "\nAlso 7 ms.\n"), 1)
        self.assertEqual(findings("## Speed [C1]\nIt takes 5 ms.\n\nAnd 6 ms.\n"), 0)
        self.assertEqual(findings("## Speed [C1]\nIt takes 5 ms.\n### More\nAnd 6 ms.\n"), 1)

    def test_code_is_no_prose(self):
        self.assertEqual(findings("```\n5 ms\n```\nand\n~~~ text\n6 ms\n~~~\n"), 0)
        self.assertEqual(findings("```\n5 ms\n```\n6 ms\n"), 1)


if __name__ == "__main__":
    unittest.main()
