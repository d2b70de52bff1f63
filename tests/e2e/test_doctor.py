#!/usr/bin/env python3
"""Runs `eyeshot doctor` as a user would: test_doctor.py PROGRAM."""
import json
import sys
import unittest

import test_program as program

DUMP = program.ROOT / "tests/data/golden/doctor"


class Doctor(program.ProgramTest):
    """eyeshot doctor"""

    def test_the_built_in_model(self):
        out = self.succeeds("doctor")
        self.assertIn("Nothing wrong was found", out)
        out = self.succeeds("doctor", program.MODEL, "--dump", DUMP)
        self.assertRegex(out, r"(?m)^tiles +ok +8 tiles of 2 pictures: equal to the byte$")
        self.assertRegex(out, r"(?m)^logits +ok .*cosine (0\.9999|1\.0)")
        self.assertIn("Every step gives what the reference gives", out)

    def test_json(self):
        result = json.loads(self.succeeds("doctor", "--json", "--model", program.MODEL, "--dump", DUMP))
        self.assertEqual((result["parts_at"], result["likely"], result["precision"]), (None, [], "exact"))
        self.assertEqual({step["finding"] for step in result["steps"]}, {"ok"})
        self.assertEqual(set(result["steps"][0]), {"step", "what", "found", "bound", "finding", "note"})

    def test_says_where_a_copy_parts(self):
        copy = self.model_copy()
        path = copy / "preprocessor_config.json"
        config = json.loads(path.read_text("utf-8"))
        config["size"]["longest_edge"] = 256
        path.write_text(json.dumps(config), "utf-8")
        code, out, err = program.run("doctor", copy, "--dump", DUMP)
        self.assertEqual((code, err), (1, ""))
        self.assertRegex(out, r"(?m)^tiles +PARTS HERE")
        self.assertEqual(out.count("PARTS HERE"), 1)
        self.assertIn('The first step that is wrong is "tiles"', out)
        self.assertIn("- likely: files that are not those that the dump was made from: preprocessor_config.json", out)

    def test_missing_files(self):
        copy = self.model_copy()
        (copy / "tokenizer.json").unlink()
        code, out, _ = program.run("doctor", "--json", copy)
        self.assertEqual((code, json.loads(out)["parts_at"]), (1, "tokenizer"))
        self.fails(1, [self.folder / "none"], "doctor", self.folder / "none")
        self.fails(1, ["dump.json", "no such file"], "doctor", "--dump", self.folder)
        self.fails(2, ["--backend"], "doctor", "--backend", "abacus")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
