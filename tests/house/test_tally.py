#!/usr/bin/env python3
"""Tests of what counts tests: scripts/count_junit.py, scripts/sum_tally.py, scripts/tally.sh."""
import subprocess
import sys
import tempfile
import unittest

from repository import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from count_junit import count  # noqa: E402 (the path must be set first)

JUNIT = """<testsuite name="(empty)" tests="6">
  <testcase name="A.B" status="run"/>
  <testcase name="A.F" status="fail"><failure message=""/></testcase>
  <testcase name="A.S" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>
  <testcase name="D" status="disabled"/>
  <testcase name="R" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/></testcase>
  <testcase name="gone" status="notrun"><skipped message="Unable to find executable"/></testcase>
</testsuite>"""


def shell(script: str) -> tuple[int, str]:
    """Runs lines after scripts/tally.sh; returns the exit status and what was printed."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", f"unset EYESHOT_TALLY; source scripts/tally.sh; {script}"],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


class TallyTest(unittest.TestCase):
    def test_counts_junit(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(JUNIT)
            file.flush()
            self.assertEqual(count(file.name), (1, 2, 3))

    def test_closing_line_sums_and_fails(self):
        status, output = shell("record a 3 0 1 5; record b 4 1 0 2; close_tally")
        self.assertEqual((status, output.splitlines()[-1]), (1, "7 passed, 1 failed, 1 skipped"))
        status, output = shell("run_step good true; close_tally")
        self.assertEqual((status, output.splitlines()[-1]), (0, "1 passed, 0 failed"))

    def test_no_test_is_a_failure(self):
        self.assertEqual(shell("close_tally")[0], 1)

    def test_a_requirement_that_fails_ends_the_run(self):
        status, output = shell("require build false; echo not reached")
        self.assertEqual((status, output.splitlines()[-1]), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
