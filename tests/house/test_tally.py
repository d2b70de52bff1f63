#!/usr/bin/env python3
"""Tests of what counts tests: scripts/count_junit.py, scripts/sum_tally.py, scripts/tally.sh."""
import os
import pathlib
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
    script = f"unset EYESHOT_TALLY EYESHOT_DEADLINE; source scripts/tally.sh; {script}"
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, capture_output=True, text=True,
                          check=False)
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

    def test_what_has_no_time_is_left_out_and_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "CTestTestfile.cmake").write_text(
                "".join(f"add_test(t{i} {'false' if i == 7 else 'true'})\n" for i in range(20)), encoding="utf-8")
            build = os.path.relpath(folder, ROOT)
            after = f"run_ctest 'a part' {build} -E t3; require_in_time build true || echo no build; close_tally"
            status, output = shell("EYESHOT_DEADLINE=1; " + after)
            self.assertEqual((status, output.splitlines()[-1]), (0, "0 passed, 0 failed, 20 skipped"))
            self.assertIn("19 tests are left out", output)
            self.assertIn("no build", output)
            for deadline in ("", "EYESHOT_DEADLINE=$(($(date +%s) + 300)); "):  # at once, and by slices
                status, output = shell(deadline + after)
                self.assertEqual((status, output.splitlines()[-1]), (1, "18 passed, 1 failed"))
                self.assertEqual(output.count("t7 (Failed)"), 1)

    def test_a_test_that_does_not_end_in_time_is_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "CTestTestfile.cmake").write_text("add_test(long sleep 600)\n", encoding="utf-8")
            status, output = shell("EYESHOT_DEADLINE=$(($(date +%s) + 1)); grace_s=1; "
                                   f"run_ctest long {os.path.relpath(folder, ROOT)}; close_tally")
            self.assertEqual((status, output.splitlines()[-1]), (0, "0 passed, 0 failed, 1 skipped"))
            self.assertIn("Start 1: long", output)

    def test_what_failed_before_the_deadline_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "CTestTestfile.cmake").write_text("add_test(bad false)\nadd_test(long sleep 600)\n",
                                                                   encoding="utf-8")
            status, output = shell("nproc() { echo 2; }; EYESHOT_DEADLINE=$(($(date +%s) + 2)); grace_s=1; "
                                   f"run_ctest both {os.path.relpath(folder, ROOT)}; close_tally")
            self.assertEqual((status, output.splitlines()[-1]), (1, "0 passed, 1 failed, 1 skipped"))

    def test_a_build_out_of_time_is_no_failure(self):
        status, output = shell("EYESHOT_DEADLINE=$(($(date +%s) + 1)); require_in_time build sleep 60 || true; "
                               "close_tally")
        self.assertEqual((status, output.splitlines()[-1]), (0, "0 passed, 0 failed, 1 skipped"))
        status, output = shell("require_in_time build false || echo not reached; close_tally")
        self.assertEqual((status, output.splitlines()[-1]), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
