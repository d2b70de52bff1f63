#!/usr/bin/env python3
"""Asks the server of the built program, with the built-in model, as clients do: test_server.py PROGRAM."""
import base64
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import test_program

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo"
PROGRAM = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else pathlib.Path("eyeshot")
PICTURE = sorted(DEMO.glob("*.png"))[0]


def data_url(path: pathlib.Path) -> str:
    """A picture as requests carry it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def question(text: str, *pictures: str, **more) -> dict:
    """A request with one message."""
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in pictures]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}], "max_tokens": 8} | more


class Server:
    """The program `eyeshot serve` on a free port."""

    def __init__(self, *flags: str, log=subprocess.PIPE, cache: str = "/nowhere"):
        environment = {key: value for key, value in os.environ.items() if key != "EYESHOT_MODEL"}
        environment["XDG_CACHE_HOME"] = cache  # without one this machine was not measured
        self.process = subprocess.Popen([PROGRAM, "serve", "--port", "0", *flags], stdout=subprocess.PIPE, stderr=log,
                                        text=True, env=environment)
        self.first_line = self.process.stdout.readline().strip()
        self.port = int(self.first_line.rsplit(":", 1)[1]) if ":" in self.first_line else 0

    def ask(self, method: str, path: str, body: dict | None = None, headers: dict | None = None):
        """Returns (status, text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": "application/json"} | (headers or {}))
        reply = connection.getresponse()
        text = reply.read().decode("utf-8")
        connection.close()
        return reply.status, text

    def chat(self, body: dict) -> dict:
        """Returns the reply to a question that must succeed."""
        status, text = self.ask("POST", "/v1/chat/completions", body)
        if status != 200:
            raise AssertionError(f"{status}: {text}")
        return json.loads(text)

    def end(self) -> tuple[int, str]:
        """Asks the program to end; returns its exit code and its log."""
        self.process.send_signal(signal.SIGTERM)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, log


class Serve(unittest.TestCase):
    """One server for all tests."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.server = Server("--allow-files", str(DEMO))

    @classmethod
    def tearDownClass(cls):
        code, log = cls.server.end()
        cls.folder.cleanup()
        assert code == 0, log
        assert "What is" not in log and "Count" not in log, "questions are not logged"
        assert "/v1/chat/completions 200" in log, log

    def test_a_picture_streamed_and_not_gives_the_answer_of_ask(self):
        """The same words by three ways."""
        asked = subprocess.run([PROGRAM, "ask", "--detail", "low", "-n", "8", "-q", PICTURE, "What is this?"],
                               capture_output=True, text=True, check=True).stdout.strip()
        reply = self.server.chat(question("What is this?", data_url(PICTURE)))
        self.assertEqual(reply["choices"][0]["message"]["content"].strip(), asked)
        usage = reply["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        stages = {stage["name"]: stage for stage in usage["eyeshot"]["stages"]}
        for name in ("decode_image", "prefill", "decode"):
            self.assertGreater(stages[name]["wall_ms"], 0, name)
        self.assertEqual(usage["eyeshot"]["pictures"][0]["rows"], 0)

        status, text = self.server.ask("POST", "/v1/chat/completions",
                                       question("What is this?", data_url(PICTURE), stream=True,
                                                stream_options={"include_usage": True}))
        self.assertEqual(status, 200)
        events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        self.assertEqual(events.pop(), "[DONE]")
        events = [json.loads(event) for event in events]
        words = "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])
        self.assertEqual(words.strip(), asked)
        self.assertEqual(events[-1]["usage"]["prompt_tokens"], usage["prompt_tokens"])

    def test_a_request_says_how_many_visual_tokens_stay(self):
        """Fewer, and none of another request's; the question first."""
        whole = self.server.chat(question("What is this?", data_url(PICTURE)))
        fewer = self.server.chat(question("What is this?", data_url(PICTURE), reduce="stride:16", question_first=True))
        own = fewer["usage"]["eyeshot"]
        self.assertEqual(own["visual_tokens"], 16)
        self.assertEqual(own["pictures"][0]["reduction"], "stride:16")
        self.assertLess(fewer["usage"]["prompt_tokens"], whole["usage"]["prompt_tokens"])
        status, text = self.server.ask("POST", "/v1/chat/completions", question("What?", reduce="stripe:16"))
        self.assertEqual(status, 400)
        self.assertIn("stride", text, "the names that there are")

    def test_raw_prompts_are_used_as_they_are(self):
        """What the chat's template writes, as a text and as ids, gives the chat's answer."""
        text = "<|im_start|>User: What is this?<end_of_utterance>\nAssistant:"
        chat = self.server.chat({"messages": [{"role": "user", "content": "What is this?"}], "max_tokens": 8})
        ids = json.loads(self.server.ask("POST", "/tokenize", {"prompt": text})[1])["tokens"]
        for prompt in (text, ids, [text, "Once upon"], [ids, ids[:4]]):
            status, reply = self.server.ask("POST", "/v1/completions", {"prompt": prompt, "max_tokens": 8})
            self.assertEqual(status, 200, reply)
            reply = json.loads(reply)
            several = isinstance(prompt[0], (str, list)) and not isinstance(prompt, str)
            self.assertEqual([choice["index"] for choice in reply["choices"]], [0, 1] if several else [0])
            self.assertEqual(reply["choices"][0]["text"].strip(), chat["choices"][0]["message"]["content"])
            if not several:
                self.assertEqual(reply["usage"]["prompt_tokens"], chat["usage"]["prompt_tokens"])
        status, reply = self.server.ask("POST", "/v1/completions", {"prompt": "Look: <image>"})
        self.assertEqual((status, "stands for a picture" in reply), (400, True), reply)

    def test_an_estimate_is_what_the_answer_then_has(self):
        """Tiles and tokens to the last one; no milliseconds where nobody has measured this machine."""
        with open(PICTURE, "rb") as file:
            header = file.read(24)
        size = {"width": int.from_bytes(header[16:20], "big"), "height": int.from_bytes(header[20:24], "big")}
        for detail, reduce in (("auto", "none"), ("low", "none"), ("high", "stride:25%")):
            body = question("What is this?", data_url(PICTURE), reduce=reduce)
            body["messages"][0]["content"][0]["image_url"]["detail"] = detail
            usage = self.server.chat(body)["usage"]
            status, text = self.server.ask("POST", "/v1/estimate", {
                "pictures": [size], "text": "What is this?", "detail": detail, "reduce": reduce})
            self.assertEqual(status, 200, text)
            estimate = json.loads(text)
            self.assertEqual(estimate["prompt_tokens"], usage["prompt_tokens"])
            for key in ("tiles", "visual_tokens", "pictures"):
                self.assertEqual(estimate[key], usage["eyeshot"][key], key)
            self.assertIsNone(estimate["predicted"])
            self.assertIn("plan --calibrate", estimate["not_predicted"])
        status, text = self.server.ask("POST", "/v1/estimate", {"pictures": [size], "detail": "high",
                                                                "earlier_tokens": 100000})
        self.assertEqual((status, json.loads(text)["error"]["code"]), (400, "context_length_exceeded"))

    def test_answers_side_by_side_are_not_mixed(self):
        """Each client gets the answer to its own question."""
        pictures = sorted(DEMO.glob("*.png"))[:3]
        alone = [self.server.chat(question("What is this?", data_url(picture))) for picture in pictures]
        with concurrent.futures.ThreadPoolExecutor(len(pictures)) as pool:
            together = list(pool.map(lambda picture: self.server.chat(question("What is this?", data_url(picture))),
                                     pictures))
        self.assertEqual([reply["choices"][0]["message"]["content"] for reply in alone],
                         [reply["choices"][0]["message"]["content"] for reply in together])

    def test_files_of_the_allowed_folder_alone_are_read(self):
        """file:// URLs."""
        reply = self.server.chat(question("What is this?", PICTURE.as_uri()))
        self.assertGreater(reply["usage"]["eyeshot"]["visual_tokens"], 0)
        for url in ("file:///etc/passwd", f"file://{DEMO}/../README.md", "http://127.0.0.1:1/a.png"):
            status, text = self.server.ask("POST", "/v1/chat/completions", question("What is this?", url))
            self.assertEqual(status, 400, text)

    def test_errors_have_openais_shape(self):
        """Codes that clients look at."""
        for body, code, status in ((question("Count", max_tokens=-1), "limit_exceeded", 400),
                                   (question("Count " * 20000), "context_length_exceeded", 400),
                                   (question("Count", "data:image/png;base64,AAAA"), "unsupported_media", 415)):
            got, text = self.server.ask("POST", "/v1/chat/completions", body)
            self.assertEqual((got, json.loads(text)["error"]["code"]), (status, code), text)

    def test_the_other_paths(self):
        """Models, tokens, metrics, page."""
        _, models = self.server.ask("GET", "/v1/models")
        self.assertEqual(json.loads(models)["data"][0]["id"], "eyeshot-tiny")
        _, tokens = self.server.ask("POST", "/tokenize", {"content": "Hello"})
        self.assertGreater(json.loads(tokens)["count"], 0)
        _, page = self.server.ask("GET", "/")
        self.assertIn("<title>Eyeshot</title>", page)
        self.server.chat(question("What is 1?"))
        _, metrics = self.server.ask("GET", "/metrics")
        self.assertRegex(metrics, r'eyeshot_answers_total\{outcome="finished"\} [1-9]')
        self.assertRegex(metrics, r"eyeshot_completion_tokens_total [1-9]")


class Start(unittest.TestCase):
    """What keeps it from starting, and what it does from its first line on."""

    def test_bad_flags_are_told(self):
        """Exit codes and messages."""
        for flags, code, words in ((("--host", "localhost"), 1, "no address"), (("--port", "70000"), 2, "port"),
                                   (("--allow-files", "/nowhere"), 2, "--allow-files"),
                                   (("--api-keys", "/nowhere"), 1, "/nowhere")):
            done = subprocess.run([PROGRAM, "serve", *flags], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)

    def test_a_log_that_cannot_be_written_ends_no_answer(self):
        """A full disk, and a reader of the log that has gone."""
        reader, writer = os.pipe()
        os.close(reader)
        with open("/dev/full", "wb") as full, os.fdopen(writer, "wb") as gone:
            for log in (full, gone):
                server = Server(log=log)
                for _ in range(3):
                    self.assertEqual(server.ask("GET", "/health")[0], 200)
                self.assertEqual(server.end()[0], 0)

    def test_a_signal_right_after_its_first_line_ends_it_in_order(self):
        """Whoever reads the line may end it."""
        code, log = Server().end()
        self.assertEqual(code, 0, log)


class Budgets(unittest.TestCase):
    """A server on a machine of which the file of speeds says: a multiply-add takes 4 ps, and nothing else any time."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        test_program.known_speed(pathlib.Path(cls.folder.name))
        cls.server = Server(cache=cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        code, log = cls.server.end()
        cls.folder.cleanup()
        assert code == 0, log
        assert "not as planned" in log, "no machine is so fast or slow: it is planned anew"

    def estimate(self, **body) -> dict:
        """The estimate of a question that must succeed."""
        status, text = self.server.ask("POST", "/v1/estimate", {"text": "What is this?"} | body)
        self.assertEqual(status, 200, text)
        return json.loads(text)

    def test_a_request_keeps_to_its_budget(self):
        """The least there is for a millisecond; all there is for an hour; what is planned is what is run."""
        picture = {"type": "image_url", "image_url": {"url": data_url(ROOT / "tests/data/media/photos/astronaut.png")}}
        for budget, detail, tiles in (("1ms", "low", 1), ("3600s", "reference", 5)):
            body = question("What is this?", budget=budget)
            body["messages"][0]["content"].insert(0, picture)
            own = self.server.chat(body)["usage"]["eyeshot"]
            self.assertEqual((own["budget"]["detail"], own["tiles"]), (detail, tiles))
            self.assertEqual(own["budget"]["within"], budget != "1ms")
            self.assertIn("visual tokens", own["budget"]["why"])
            self.assertIn("another", own["budget"]["doubts"][0])
        kept = self.server.chat(question("What is this?", data_url(PICTURE), reduce="stride:1e9ms"))["usage"]["eyeshot"]
        self.assertEqual((kept["visual_tokens"], kept["budget"]["reduce"]), (64, "stride:64"))
        status, text = self.server.ask("POST", "/v1/chat/completions", question("What?", data_url(PICTURE), budget="1s"))
        self.assertEqual((status, json.loads(text)["error"]["type"]), (400, "invalid_request_error"), "it has a detail")

    def test_estimates_have_budgets(self):
        """As the request would be asked."""
        estimate = self.estimate(pictures=[{"width": 512, "height": 512}], budget="1ms")
        self.assertEqual((estimate["tiles"], estimate["budget"]["detail"]), (1, "low"))
        self.assertNotIn("budget", self.estimate(pictures=[{"width": 512, "height": 512}]))

    def test_an_estimate_of_a_video_is_what_the_answer_then_has(self):
        """Frames and tokens to the last one, with a prediction of the tower's time."""
        clip = ROOT / "tests/data/media/video/five_seconds.mp4"
        url = "data:video/mp4;base64," + base64.b64encode(clip.read_bytes()).decode()
        body = question("What is this?")
        body["messages"][0]["content"].insert(0, {"type": "video_url", "video_url": {"url": url, "max_frames": 4}})
        usage = self.server.chat(body)["usage"]
        shown = usage["eyeshot"]["pictures"][0]
        estimate = self.estimate(videos=[{"duration_s": 5, "max_frames": 4, "width": shown["width"],
                                          "height": shown["height"]}])
        self.assertEqual(estimate["prompt_tokens"], usage["prompt_tokens"])
        for key in ("tiles", "visual_tokens", "pictures"):
            self.assertEqual(estimate[key], usage["eyeshot"][key], key)
        self.assertIn("encode", [stage["name"] for stage in estimate["predicted"]["stages"]])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
