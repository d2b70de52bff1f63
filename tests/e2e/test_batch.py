#!/usr/bin/env python3
"""Answers files of requests with the built program and the built-in model: test_batch.py PROGRAM."""
import base64
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
PROGRAM = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else pathlib.Path("eyeshot")
PICTURES = sorted(DEMO.glob("*.png"))[:3]
REQUESTS = 24


def data_url(path: pathlib.Path) -> str:
    """A picture as requests carry it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def line(name: str, text: str, *pictures: str, **more) -> str:
    """A request as a line of a batch."""
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in pictures]
    body = {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}], "max_tokens": 8} | more
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


class Batch(unittest.TestCase):
    """One file of requests for all tests."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        self.requests = self.path / "requests.jsonl"
        urls = [data_url(picture) for picture in PICTURES]
        self.requests.write_text("".join(line(f"request {i}", f"What is {i}?", urls[i % len(urls)])
                                         for i in range(REQUESTS)))

    def start(self, output: str, *flags: str) -> subprocess.Popen:
        """Begins a run."""
        environment = {key: value for key, value in os.environ.items() if key != "EYESHOT_MODEL"}
        return subprocess.Popen([PROGRAM, "batch", "--parallel", "4", "--precision", "exact", *flags, self.requests, output],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def run_batch(self, output: str, *flags: str) -> tuple[int, str, str]:
        """Returns (exit code, standard output, standard error)."""
        process = self.start(output, *flags)
        stdout, stderr = process.communicate(timeout=120)
        return process.returncode, stdout, stderr

    def answers(self, output: pathlib.Path) -> dict[str, dict]:
        """The responses by custom_id, each of which stands there once."""
        answers = {}
        for text in output.read_text().splitlines():
            answer = json.loads(text)
            self.assertNotIn(answer["custom_id"], answers)
            answers[answer["custom_id"]] = answer["response"]
        return answers

    def words(self, output: pathlib.Path) -> dict[str, str]:
        """What was answered to each."""
        return {name: answer["body"]["choices"][0]["message"]["content"]
                for name, answer in self.answers(output).items()}

    def wait_for_lines(self, output: pathlib.Path, count: int):
        """Until so many answers are there."""
        for _ in range(6000):
            if output.exists() and output.read_bytes().count(b"\n") >= count:
                return
            time.sleep(0.01)
        self.fail("no answer came")

    def test_a_kill_loses_and_doubles_nothing(self):
        """Killed at a random place, torn, and begun again: the answers are those of a run that was left alone."""
        whole, killed = self.path / "whole.jsonl", self.path / "killed.jsonl"
        code, stdout, stderr = self.run_batch(whole, "--json")
        self.assertEqual(code, 0, stderr)
        summary = json.loads(stdout)
        self.assertEqual((summary["requests"], summary["answered"], summary["failed"]), (REQUESTS, REQUESTS, 0))
        self.assertIn("requests/s", stderr)
        process = self.start(killed)
        self.wait_for_lines(killed, random.randint(1, REQUESTS // 3))
        process.kill()
        process.communicate(timeout=60)
        there = len(self.answers(killed))
        self.assertLess(there, REQUESTS)
        # As if the machine had gone down in the middle of the next line.
        with killed.open("ab") as file:
            file.write(whole.read_bytes().splitlines(keepends=True)[-1][:random.randint(1, 200)])
        code, stdout, stderr = self.run_batch(killed, "--json")
        self.assertEqual(code, 0, stderr)
        self.assertEqual(json.loads(stdout)["answered_before"], there)
        self.assertEqual(self.words(killed), self.words(whole))

    def test_ctrl_c_ends_it_in_order(self):
        """It says how to go on, and does."""
        output = self.path / "answers.jsonl"
        process = self.start(output)
        self.wait_for_lines(output, 2)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn("the same command goes on", stderr)
        self.assertEqual(self.run_batch(output, "-q")[0], 0)
        self.assertEqual(len(self.answers(output)), REQUESTS)

    def test_answers_are_the_servers(self):
        """Files beside the requests, errors, and a text completion."""
        output = self.path / "answers.jsonl"
        (self.path / "picture.png").write_bytes(PICTURES[0].read_bytes())
        self.requests.write_text(
            line("file", "What is this?", (self.path / "picture.png").as_uri())
            + line("data", "What is this?", data_url(PICTURES[0]))
            + line("outside", "What is this?", "file:///etc/passwd") + line("bad", "Count", max_tokens=-1)
            + json.dumps({"custom_id": "text", "method": "POST", "url": "/v1/completions",
                          "body": {"prompt": "Hello", "max_tokens": 4}}))
        code, _, stderr = self.run_batch(output)
        self.assertEqual(code, 1, stderr)
        self.assertIn("2 have an error", stderr)
        answers = self.answers(output)
        self.assertEqual({name: answer["status_code"] for name, answer in answers.items()},
                         {"file": 200, "data": 200, "outside": 400, "bad": 400, "text": 200})
        self.assertEqual(*(answers[name]["body"]["choices"][0]["message"]["content"] for name in ("file", "data")))
        self.assertEqual(answers["text"]["body"]["object"], "text_completion")
        self.assertIn("joules", answers["data"]["body"]["usage"]["eyeshot"])

    def test_what_keeps_it_from_beginning_is_told(self):
        """Exit codes and messages."""
        self.requests.write_text(line("a", "Hello") + line("a", "Hello"))
        code, _, stderr = self.run_batch(self.path / "answers.jsonl")
        self.assertEqual(code, 1, stderr)
        self.assertIn('requests.jsonl:2: custom_id "a" stands in line 1 too', stderr)
        self.assertEqual(self.run_batch(self.path / "answers.jsonl", "--allow-files", "/nowhere")[0], 2)
        self.requests.unlink()
        self.assertIn("requests.jsonl can't be opened", self.run_batch(self.path / "answers.jsonl")[2])
        self.requests.write_text(line("a", "Hello"))
        code, _, stderr = self.run_batch("/dev/full")
        self.assertEqual(code, 1, stderr)
        self.assertIn("No space left on device", stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
