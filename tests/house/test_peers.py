#!/usr/bin/env python3
"""Tests of what bench/peers makes of its results, on a small made-up run: no peer is needed."""
import pathlib
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from repository import ROOT

sys.path.insert(0, str(ROOT / "bench/peers"))
import chart  # noqa: E402 (the path must be set first)
import report  # noqa: E402
import run  # noqa: E402
from engines import Engine, all_engines  # noqa: E402


def row(family: str, variant: str, group: str = "native", **measured: object) -> dict:
    """A line of results."""
    return {"engine": Engine(family, variant, group).name, "family": family, "variant": variant, "group": group,
            "load_average": 0.1, "failed": {}, **measured}


RESULTS = {
    "machine": {"cpu": "A & B <CPU>", "family": "26", "model": "2", "cores": 2, "memory_bytes": 24 << 30,
                "isa": ["avx2"], "commit": "abc"},
    "date": "2026-01-02", "command": "bench/peers/run.py", "threads": 2, "repeat": 5, "quick": False,
    "depths": [0, 1024],
    "rows": [
        row("eyeshot", "int8", tile_ms=200.0, ttft_ms=3000.0, prefill_tokens_per_s=2000.0, decode_0=300.0,
            decode_1024=200.0, peak_rss_bytes=500e6, isa="avx512", first_token="Oliver", versions={"eyeshot": "1"}),
        row("llama", "q8_0", tile_ms=1000.0, ttft_ms=15000.0, prefill_tokens_per_s=1000.0, decode_0=150.0,
            peak_rss_bytes=1000e6, isa="AVX2 = 1 | AVX512 = 1", first_token=" Oliver",
            failed={"decode_1024": "died | early"}),
        row("eyeshot", "int8", "avx2", tile_ms=400.0, first_token="Olive"),
        row("openvino", "default", failed={"all": "not installed"}),
        row("onednn", "bf16", linear_ms=100.0, linear_gflops=1739.0),
    ],
}


class ReportTest(unittest.TestCase):
    def test_the_table(self):
        table = report.figures(RESULTS)
        self.assertEqual(table[1], ["Eyeshot int8", "avx512", "-", "200", "3.00", "2,000", "300", "200", "500"])
        self.assertEqual(table[2][1], "avx512")
        self.assertEqual(table[2][7], "failed")
        self.assertEqual(table[3][:5], ["Eyeshot int8, AVX2", "avx2", "-", "400", "-"])
        self.assertEqual(set(table[4][3:]), {"failed"})
        self.assertEqual(len(table), 5)

    def test_ratios_say_how_many_times_as_good(self):
        table = report.ratios(RESULTS)
        self.assertEqual(table[1:], [["Eyeshot int8", "5.00 x", "5.00 x", "2.00 x", "2.00 x", "-", "2.00 x"]])

    def test_the_pages_say_what_failed_and_who_answered_otherwise(self):
        for page in (report.text(RESULTS), report.markdown(RESULTS)):
            for part in ("llama.cpp Q8_0: decode_1024: died | early", "OpenVINO default: not installed",
                         "bf16 100 ms (1,739 GFLOP/s)", "'Olive' (Eyeshot int8, AVX2); 'Oliver' (all others)",
                         "2026-01-02, 2 threads, medians of 5 runs", "eyeshot 1"):
                self.assertIn(part, page)

    def test_nothing_measured(self):
        empty = {**RESULTS, "rows": [row("openvino", "default", failed={"all": "not installed"})]}
        self.assertIn("not installed", report.text(empty))
        self.assertIn("not installed", report.markdown(empty))
        xml.etree.ElementTree.fromstring(chart.svg(empty))


class ChartTest(unittest.TestCase):
    def test_it_is_a_picture_with_all_that_was_measured(self):
        picture = chart.svg(RESULTS)
        root = xml.etree.ElementTree.fromstring(picture)
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts.count("Eyeshot int8"), 4)
        self.assertEqual(texts.count("Eyeshot int8, AVX2"), 1)
        self.assertNotIn("OpenVINO default", texts)
        self.assertIn("15.0", texts)

    def test_nothing_leaves_it(self):
        root = xml.etree.ElementTree.fromstring(chart.svg(RESULTS))
        for bar in root.iter("{http://www.w3.org/2000/svg}rect"):
            self.assertLessEqual(float(bar.get("x")) + float(bar.get("width")), chart.WIDTH)
            self.assertLessEqual(float(bar.get("y")) + float(bar.get("height")), float(root.get("height")))


class EnginesTest(unittest.TestCase):
    def test_names_are_unique_and_every_worker_exists(self):
        engines = all_engines(["exact", "int8"], ["native", "avx2"])
        self.assertEqual(len({engine.name for engine in engines}), len(engines))
        for engine in engines:
            self.assertTrue(engine.worker.is_file(), engine.name)

    def test_the_reason_why_an_engine_cannot_run(self):
        engine = Engine("llama", "q8_0", "avx2", "llama-avx2", ("text-q8_0.gguf",))
        with tempfile.TemporaryDirectory() as name:
            peers = pathlib.Path(name)
            self.assertIn("setup.sh", engine.why_not(peers, {}))
            for folder, text in (("failed", "error: no compiler\n"), ("stamps", "x")):
                (peers / folder).mkdir()
                (peers / folder / "llama-avx2").write_text(text, encoding="utf-8")
            self.assertEqual(engine.why_not(peers, {}), "setup.sh: error: no compiler")
            (peers / "failed/llama-avx2").unlink()
            self.assertEqual(engine.why_not(peers, {}), "")
            self.assertEqual(engine.why_not(peers, {"text-q8_0.gguf": "disk full"}), "disk full")


class ProcessTest(unittest.TestCase):
    def test_how_a_worker_can_end(self):
        with tempfile.TemporaryDirectory() as name:
            log = pathlib.Path(name) / "log"
            for script, reason in (("exit 0", ""), ("echo one >&2; echo 'it broke' >&2; exit 3", "exit 3: it broke"),
                                   ("kill -SEGV $$", "died by SIGSEGV"), ("sleep 60", "stopped after 0 s")):
                limit = 0.2 if "sleep" in script else 30
                self.assertEqual(run.run_logged(["bash", "-c", script], log, limit, {}), reason)


if __name__ == "__main__":
    unittest.main()
