#!/usr/bin/env python3
"""Runs the program `eyeshot` as a user would: test_program.py PROGRAM [CLASS...]."""
import base64
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/eyeshot-tiny"
GOLDEN = ROOT / "tests/data/golden/eyeshot-tiny"
DEMO = ROOT / "demo"
MEDIA = ROOT / "tests/data/media"
EVAL = ROOT / "tests/data/eval/eval-dev"
# Damage behind the last pixel, which Pillow refuses (src/media/decode_test.cc).
MORE_LENIENT = {"malformed/png/pillow_truncated_end_chunk.png"}
PROGRAM = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else pathlib.Path("eyeshot")

STAGES = ["load", "decode_image", "preprocess", "encode", "connect", "reduce", "prefill", "decode", "detokenize"]


def run(*arguments, stdin: bytes | None = None, env: dict | None = None, cwd: str | None = None):
    """Runs the program; returns (exit code, standard output, standard error)."""
    environment = {key: value for key, value in os.environ.items() if key != "EYESHOT_MODEL"} | (env or {})
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin or b"", capture_output=True, env=environment,
                          cwd=cwd, check=False)
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def known_speed(folder: pathlib.Path, picoseconds: float = 4) -> dict:
    """An environment in which this machine is calibrated: a multiply-add takes so long, and nothing else any time."""
    env = {"XDG_CACHE_HOME": str(folder)}
    message = json.loads(run("plan", MODEL, "--json", env=env)[1])["error"]["message"]
    speed = pathlib.Path(re.search(r"there is no (\S+\.json)", message)[1])
    speed.parent.mkdir()
    linear = {"call": 0, "multiply_add": picoseconds, "input": 0, "output": 0, "weight": 0, "gelu": 0, "gate": 0, "deep": 0}
    few = {"call": 0, "weight_byte": 0, "multiply_add": picoseconds}
    speed.write_text(json.dumps({"eyeshot_speed": 1, "cpu": "another", "isa": "avx2", "threads": 1, "version": "1",
                                 "date": "2026-01-01", "picoseconds": {"linear.exact": linear, "few.exact": few}}))
    return env


class ProgramTest(unittest.TestCase):
    """What all tests use."""

    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = pathlib.Path(self._folder.name)

    def succeeds(self, *arguments, **more) -> str:
        """Returns the standard output of a run that must succeed."""
        code, out, err = run(*arguments, **more)
        self.assertEqual(code, 0, err)
        return out

    def fails(self, wanted: int, parts: list, *arguments, **more) -> str:
        """Checks exit code and message of a run that must fail; returns its standard output."""
        code, out, err = run(*arguments, **more)
        self.assertEqual(code, wanted, err)
        self.assertTrue(err.splitlines()[-1].startswith("eyeshot: "), err)
        for part in parts:
            self.assertIn(str(part), err)
        return out

    def model_copy(self) -> pathlib.Path:
        """A copy of the built-in model whose files can be changed."""
        copy = self.folder / "model"
        shutil.copytree(MODEL, copy, ignore=shutil.ignore_patterns("*.xz", "README.md"))
        return copy


class Ask(ProgramTest):
    """eyeshot ask"""

    def test_prints_the_answer_and_the_stages(self):
        code, out, err = run("ask", DEMO / "receipt.png", "What is the total?")
        self.assertEqual((code, out), (0, "$18.36\n"), err)
        for stage in ("load", "decode_image", "preprocess", "encode", "connect", "prefill", "decode", "total"):
            self.assertRegex(err, rf"(?m)^{stage} +\d")

    def test_quiet_prints_the_answer_alone(self):
        self.assertEqual(run("ask", "-q", DEMO / "sign.png", "What does the sign say?"),
                         (0, "Station Road\nPlatform 3\n", ""))

    def test_json(self):
        result = json.loads(self.succeeds("ask", "--json", DEMO / "chart.png", "How many bars does the chart have?"))
        self.assertEqual(list(result), ["answer", "finish_reason", "model", "device", "precision", "prompt_tokens",
                                        "visual_tokens", "completion_tokens", "tiles", "pictures", "peak_rss_bytes",
                                        "gpu", "stages"])
        self.assertIsNone(result["gpu"])
        self.assertEqual(result["answer"], "5")
        self.assertEqual(result["finish_reason"], "stop")
        self.assertEqual(result["model"], "eyeshot-tiny")
        self.assertEqual((result["tiles"], result["visual_tokens"]), (5, 320))
        self.assertGreater(result["peak_rss_bytes"], 30e6)
        self.assertEqual([stage["name"] for stage in result["stages"]], STAGES)
        for stage in result["stages"]:
            self.assertEqual(set(stage), {"name", "wall_ms", "device_ms", "flops", "bytes", "tokens", "joules"})
        by_name = {stage["name"]: stage for stage in result["stages"]}
        self.assertEqual(by_name["prefill"]["tokens"], result["prompt_tokens"])
        for name in ("load", "decode_image", "encode", "prefill", "decode"):
            self.assertGreater(by_name[name]["wall_ms"], 0, name)

    def test_two_pictures_and_a_clip(self):
        self.assertEqual(self.succeeds("ask", "-q", DEMO / "before.png", DEMO / "after.png", "What changed?"),
                         "The triangle changed from blue to orange.\n")
        clip = [DEMO / f"clip_{i}.png" for i in range(1, 9)]
        self.assertEqual(self.succeeds("ask", "-q", "--frames", "--fps", 1, *clip, "What happens in the video?"),
                         "An orange circle moves right.\n")

    def test_no_split_takes_one_tile(self):
        result = json.loads(self.succeeds("ask", "--json", "--no-split", DEMO / "shapes.png", "How many shapes?"))
        self.assertEqual((result["tiles"], result["visual_tokens"]), (1, 64))

    def test_picture_from_standard_input(self):
        picture = (DEMO / "receipt.png").read_bytes()
        self.assertEqual(self.succeeds("ask", "-q", "-", "What is the total?", stdin=picture), "$18.36\n")

    def test_text_alone(self):
        self.assertIn("picture", self.succeeds("ask", "-q", "What can you do?", stdin=b""))

    def test_formats(self):
        question = ("ask", "-q", "What can you do?")
        plain = self.succeeds(*question)
        self.assertEqual(self.succeeds(*question, "--format", "raw"), plain)
        self.assertEqual(self.succeeds(*question, "--format", "html"), f"<p>{plain.strip()}</p>\n")
        result = json.loads(self.succeeds("ask", "--json", "--format", "markdown", "What can you do?"))
        self.assertEqual((result["answer"], result["raw"]), (plain, plain.strip()))

    def test_a_seed_repeats_an_answer(self):
        def answer(seed):
            return self.succeeds("ask", "-q", "--temperature", 2, "--seed", seed, "-n", 24, "Hello")
        self.assertEqual(answer(1), answer(1))
        self.assertGreater(len({answer(seed) for seed in range(1, 5)}), 1)

    def test_max_tokens_and_stop(self):
        result = json.loads(self.succeeds("ask", "--json", "-n", 2, "What can you do?"))
        self.assertEqual((result["finish_reason"], result["completion_tokens"]), ("length", 2))
        result = json.loads(self.succeeds("ask", "--json", "--stop", "receipts", "What can you do?"))
        self.assertEqual(result["finish_reason"], "stop")
        self.assertNotIn("receipts", result["answer"])

    def test_question_longer_than_the_context(self):
        out = self.fails(3, ["2048", "context", "shorter question"], "ask", "--json", "why " * 3000)
        self.assertEqual(json.loads(out)["error"]["code"], "context full")
        self.fails(3, ["128", "fewer pictures"], "ask", "--context", 128,
                   DEMO / "chart.png", "What is this?")

    def test_control_c_ends_with_130(self):
        # At this temperature an answer is noise that goes on until the context is full.
        process = subprocess.Popen([PROGRAM, "ask", "-q", "--temperature", "9", "-n", "2000", "Hello"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(), 130)

    def test_model_from_the_environment(self):
        self.fails(1, ["EYESHOT_MODEL", "/nowhere"], "ask", "Hi", env={"EYESHOT_MODEL": "/nowhere"})
        self.fails(1, ["--model", "/nowhere"], "ask", "--model", "/nowhere", "Hi")


class Chat(ProgramTest):
    """eyeshot chat"""

    def chat(self, lines: list, *arguments):
        """Runs a conversation through a pipe."""
        return run("chat", "-q", *arguments, stdin="\n".join(lines).encode() + b"\n")

    def test_a_conversation_keeps_its_cache(self):
        code, out, err = self.chat(["What is the total?", "How much is the soup?", "/stats", "/quit", "never"],
                                   DEMO / "receipt.png")
        self.assertEqual((code, out), (0, "$18.36\n$6.45\n"), err)
        self.assertRegex(err, r"3[45]\d were cached")
        self.assertNotIn("\nencode ", err)

    def test_pictures_can_be_shown_later(self):
        code, out, err = self.chat([f"/image {DEMO / 'sign.png'}", "What does the sign say?", "/reset",
                                    f"/image {DEMO / 'clipart.png'}", "What is this?"])
        self.assertEqual((code, out), (0, "Station Road\nPlatform 3\nA mushroom.\n"), err)

    def test_errors_do_not_end_it(self):
        code, out, err = self.chat(["/image /nowhere.png", "/nonsense", f"/image {DEMO / 'receipt.png'}",
                                    "What is the total?"])
        self.assertEqual((code, out), (1, "$18.36\n"))
        self.assertIn("/nowhere.png", err)
        self.assertIn("/nonsense", err)


class ClipTest(ProgramTest):
    """What the tests of videos share."""

    CLIP = MEDIA / "video/five_seconds.mp4"  # 132 frames, 25 a second

    def clip(self, *arguments, **more) -> dict:
        """The clip that `ask --json` says it took."""
        result = json.loads(self.succeeds("ask", "--json", "-n", 2, *arguments, **more))
        self.assertEqual(len(result["clips"]), 1)
        self.assertEqual(result["tiles"], result["clips"][0]["frames"])
        return result["clips"][0]


class Video(ClipTest):
    """Videos, and pictures that are the frames of one."""

    def test_ask_takes_a_video_and_says_what_it_took(self):
        code, out, err = run("ask", self.CLIP, "What happens?")
        self.assertEqual(code, 0, err)
        self.assertNotEqual(out.strip(), "")
        self.assertIn("5 of 132 frames (mp4, h264, 256 x 144, 5.28 s, 25 a second), 1 a second, at most 8", err)
        for stage in ("decode_image", "preprocess", "encode"):
            self.assertRegex(err, rf"(?m)^{stage} +\d")
        clip = self.clip(self.CLIP, "What happens?")
        self.assertEqual(clip["indices"], [0, 32, 65, 98, 131])
        self.assertEqual(clip["timestamps_s"], [0.0, 1.28, 2.6, 3.92, 5.24])
        self.assertEqual(clip["source"], {"container": "mp4", "codec": "h264", "width": 256, "height": 144,
                                          "rotation": 0, "frames": 132, "fps": 25.0, "duration_s": 5.28})

    def test_every_kind_of_file(self):
        for file in ("video/vp9_odd.webm", "video/full_range.mkv", "video/mpeg4.mov", "video/bunny.gif",
                     "video/turned_90.mp4", "video/uneven_times.mp4", "formats/anim_mixed_disposal.gif"):
            with self.subTest(file):
                self.assertGreater(self.clip(MEDIA / file, "What happens?")["frames"], 0)
        self.assertEqual(self.clip("-", "What happens?", stdin=self.CLIP.read_bytes())["frames"], 5)

    def test_frames_and_part_are_chosen(self):
        clip = self.clip("--fps", 2, "--max-frames", 20, "--from", "0:01", "--to", "3", self.CLIP, "What happens?")
        self.assertEqual(clip["indices"], [25, 41, 57, 74])
        self.assertEqual(self.clip("--clip-tokens", 200, self.CLIP, "What happens?")["frames"], 3)
        clip = self.clip("--sample", "scene", "--max-frames", 2, MEDIA / "video/scenes_80s.mp4", "What happens?")
        self.assertEqual((clip["sampling"], clip["indices"]), ("scene", [0, 80]))

    def test_pictures_as_frames(self):
        frames = [DEMO / f"clip_{i}.png" for i in range(1, 9)]
        want = "An orange circle moves right.\n"
        folder = self.folder / "frames"
        folder.mkdir()
        for i, frame in enumerate(frames):
            shutil.copy(frame, folder / f"f{i + 5}.png")  # f5 to f12: numbers, not letters, give the order
        listed = self.folder / "list.txt"
        listed.write_text("# a clip\n" + "".join(f"0:{i:02} {frame}\n" for i, frame in enumerate(frames)))
        for arguments in (["--frames", *frames], ["--frames", folder], ["--frames", listed]):
            self.assertEqual(self.succeeds("ask", "-q", *arguments, "What happens in the video?"), want, arguments)
        clip = self.clip("--frames", "--max-frames", 3, folder, "What?")
        self.assertEqual((clip["indices"], clip["timestamps_s"]), ([0, 3, 7], [0.0, 3.0, 7.0]))
        listed.write_text(f"2 {frames[0]}\n1 {frames[1]}\n")
        self.fails(1, ["list.txt: line 2", "comes after"], "ask", "--frames", listed, "What?")
        self.fails(1, ["is a folder", "--frames"], "ask", folder, "What?")
        self.fails(1, ["--from"], "ask", "--frames", "--from", 1, folder, "What?")

    def test_chat(self):
        code, out, err = run("chat", self.CLIP, stdin=b"What happens?\nAnd then?\n/stats\n")
        self.assertEqual(code, 0, err)
        self.assertEqual(len(out.splitlines()), 2)
        self.assertIn("5 of 132 frames", err)
        self.assertIn("were cached", err)

    def test_inspect(self):
        clip = json.loads(self.succeeds("inspect", "--json", MEDIA / "video/turned_90.mp4", "What happens?"))
        golden = next(entry for entry in json.loads((ROOT / "tests/data/golden/video.json").read_text())["clips"]
                      if entry["file"] == "video/turned_90.mp4")
        sampled = next(one for one in golden["sampled"] if one["processor"] == "eyeshot-tiny")
        self.assertEqual(clip["tiles_sha256"], sampled["tiles_sha256"])
        self.assertEqual(clip["indices"], sampled["indices"])
        self.assertEqual((clip["visual_tokens"], clip["context_tokens"]), (128, 2048))
        self.assertEqual(len(clip["prompt_ids"]), clip["prompt_tokens"])
        text = self.succeeds("inspect", self.CLIP, "--max-frames", "auto", "--fps", 25, "--tiles",
                             self.folder / "frames.png")
        self.assertIn("which is what fits into the context", text)
        self.assertIn("Frame from 00:05:", text)
        self.assertTrue((self.folder / "frames.png").read_bytes().startswith(b"\x89PNG"))

    def test_a_moving_gif_can_be_a_picture(self):
        gif = MEDIA / "formats/anim_mixed_disposal.gif"
        result = json.loads(self.succeeds("ask", "--json", "-n", 2, "--still", gif, "What is this?"))
        self.assertNotIn("clips", result)
        self.assertEqual(result["tiles"], 5)
        self.fails(1, ["pictures and clips"], "ask", gif, DEMO / "sign.png", "What is this?")

    def test_bad_files_and_flags(self):
        broken = self.folder / "broken.mp4"
        broken.write_bytes(self.CLIP.read_bytes()[:3000])
        self.fails(1, ["broken.mp4", "damaged or cut off"], "ask", broken, "What happens?")
        self.fails(1, ["no video in it"], "ask", MEDIA / "malformed/video/sound_only.m4a", "What happens?")
        for flags in (["--max-frames", "0"], ["--max-frames", "many"], ["--from", "x"], ["--to", "1:99"],
                      ["--sample", "best"], ["--fps", "0"]):
            self.assertEqual(run("ask", *flags, self.CLIP, "What?")[0], 2, flags)
        self.fails(1, ["5.28 s", "earlier"], "ask", "--from", "9", self.CLIP, "What?")


class LongVideo(ClipTest):
    """Clips of more frames than the context holds."""

    def test_a_clip_that_does_not_fit_is_not_cut_in_silence(self):
        many = ("--fps", 25, "--max-frames", 64, self.CLIP, "What happens?")
        out = self.fails(3, ["64 tiles", "the context holds 2048", "at most 25 frames"], "ask", "--json", *many)
        self.assertEqual(json.loads(out)["error"]["code"], "context full")
        self.assertEqual(self.clip("--fps", 25, "--max-frames", 25, self.CLIP, "What happens?")["frames"], 25)
        self.fails(3, ["at most 25 frames"], "ask", "--fps", 25, "--max-frames", 26, self.CLIP, "What happens?")
        # Room is left for --max-tokens of answer (2 here, 256 without it).
        auto = self.clip("--fps", 25, "--max-frames", "auto", self.CLIP, "What happens?")
        self.assertEqual((auto["frames"], auto["max_frames"], auto["fit_context"]), (25, 25, True))
        code, _, err = run("ask", "--fps", 25, "--max-frames", "auto", self.CLIP, "What happens?")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"2\d of 132 frames .* at most 2\d, which is what fits into the context")
        self.fails(3, ["not one frame"], "ask", "--context", 64, "--max-frames", "auto", self.CLIP, "What happens?")

    def test_automatic_detail_answers_sixty_four_frames(self):
        many = ("--fps", 25, "--max-frames", 64, self.CLIP, "What happens?")
        result = json.loads(self.succeeds("ask", "--json", "--detail", "auto", *many))
        self.assertEqual((result["tiles"], result["visual_tokens"]), (64, 64 * 16))
        self.assertNotEqual(result["answer"], "")
        clip, = result["pictures"]
        self.assertEqual((clip["frames"], clip["reference_visual_tokens"], clip["shrunk"]), (64, 64 * 64, True))
        self.assertIn("64 frames: 1024 visual tokens, the reference takes 4096", run("ask", "--detail", "auto", *many)[2])


class Inspect(ProgramTest):
    """eyeshot inspect"""

    def test_prompt_and_tiles_of_the_goldens(self):
        for golden in json.loads((GOLDEN / "golden.json").read_text("utf-8")):
            if len(golden["images"]) > 1:
                continue
            result = json.loads(self.succeeds("inspect", "--json", "--question", golden["question"],
                                              GOLDEN / golden["images"][0]))
            ids = [id_ for id_, count in golden["input_ids"] for _ in range(count)]
            self.assertEqual(result["prompt_ids"], ids)
            self.assertEqual(result["tiles"], golden["pixel_values_shape"][1])
            self.assertEqual(result["visual_tokens"], 64 * result["tiles"])
            self.assertEqual(result["tiles"], result["rows"] * result["cols"] + 1)
            self.assertRegex(result["tiles_sha256"], r"^[0-9a-f]{64}$")

    def test_processor_files_are_enough_for_tiles(self):
        for name in ("preprocessor_config.json", "processor_config.json"):
            shutil.copy(MODEL / name, self.folder)
        whole = json.loads(self.succeeds("inspect", "--json", DEMO / "chart.png"))
        result = json.loads(self.succeeds("inspect", "--json", "--model", self.folder, DEMO / "chart.png"))
        self.assertEqual(result["tiles_sha256"], whole["tiles_sha256"])
        self.assertEqual(result["visual_tokens"], 320)
        self.assertIsNone(result["prompt_ids"])
        self.fails(1, [self.folder, "tokenizer.json"], "inspect", "--model", self.folder, DEMO / "chart.png", "Why?")
        shutil.copy(MODEL / "tokenizer.json", self.folder)
        shutil.copy(MODEL / "tokenizer_config.json", self.folder)
        self.assertIn("ids:", self.succeeds("inspect", "--model", self.folder, DEMO / "chart.png", "Why?"))

    def test_draws_the_tiles(self):
        out = self.folder / "tiles.png"
        self.succeeds("inspect", DEMO / "receipt.png", "--tiles", out)
        drawn = json.loads(self.succeeds("inspect", "--json", out))
        self.assertGreater(drawn["width"], 3 * 256)
        self.assertGreater(drawn["height"], 2 * 256)

    def test_no_split(self):
        result = json.loads(self.succeeds("inspect", "--json", "--no-split", DEMO / "receipt.png"))
        self.assertEqual((result["rows"], result["cols"], result["tiles"]), (0, 0, 1))

    def test_jpeg_scaling_changes_tiles_but_not_the_grid(self):
        photo = MEDIA / "exif/Portrait_8.jpg"  # 1200 x 1800 upright; the built-in model takes 512 and 256
        exact, scaled = (json.loads(self.succeeds("inspect", photo, "--json", *flags)) for flags in
                         ([], ["--jpeg-scaling"]))
        self.assertNotEqual(exact.pop("tiles_sha256"), scaled.pop("tiles_sha256"))
        self.assertEqual(exact, scaled)
        small = MEDIA / "formats/flower.jpg"  # smaller than what the model takes
        self.assertEqual(self.succeeds("inspect", small, "--json"),
                         self.succeeds("inspect", small, "--json", "--jpeg-scaling"))

    def test_a_model(self):
        text = self.succeeds("inspect", MODEL)
        for part in ("29342208", "smolvlm", "bfloat16", "memory plan", "KV cache", "<end_of_utterance>"):
            self.assertIn(part, text)
        result = json.loads(self.succeeds("inspect", "--json", MODEL))
        self.assertEqual(result["parameters"]["total"], 29342208)
        self.assertEqual(result["most_tiles"], 5)
        parts = [value for key, value in result["parameters"].items() if key != "total"]
        self.assertEqual(sum(parts), 29342208)
        plan = result["memory_plan"]
        parts = [value for key, value in plan.items() if key.endswith(("weights", "workspace", "pictures", "cache"))]
        self.assertEqual(sum(parts), plan["total"])

    def test_a_memory_plan(self):
        text = self.succeeds("inspect", "--plan", MODEL)
        for part in ("exact", "int8", "int4", "vision tower", "KV cache", "total"):
            self.assertIn(part, text)
        plans = json.loads(self.succeeds("inspect", "--plan", "--json", MODEL))["plans"]
        self.assertEqual(plans["exact"], plans["bf16"])
        for part in ("tower_weights", "decoder_weights", "total"):
            self.assertLess(plans["int8"][part], plans["exact"][part])
        self.assertLess(plans["int4"]["decoder_weights"], plans["int8"]["decoder_weights"])
        self.fails(2, ["is a picture"], "inspect", "--plan", DEMO / "receipt.png")


class Quantize(ProgramTest):
    """eyeshot quantize"""

    def test_a_packed_model_answers(self):
        out = self.folder / "packed"
        text = self.succeeds("quantize", MODEL, out, "--precision", "int8,q8_0", "--calibration", DEMO / "receipt.png")
        for part in ("worst cos", "int8", "q8_0", "visual tokens", "divergence"):
            self.assertIn(part, text)
        self.assertEqual(sorted(path.name for path in out.glob("*.safetensors")), [])
        question = ("ask", "--json", DEMO / "receipt.png", "What is the total?", "--model")
        packed = json.loads(self.succeeds(*question, out))
        direct = json.loads(self.succeeds(*question, MODEL, "--precision", "auto"))
        self.assertEqual(packed["answer"], direct["answer"])
        self.assertEqual(packed["precision"], "int8,q8_0")
        self.assertIn("packed as", self.succeeds("inspect", out))
        self.fails(1, ["int8,q8_0", "exact"], *question, out, "--precision", "exact")

    def test_json(self):
        out = self.folder / "packed"
        result = json.loads(self.succeeds("quantize", "--json", "--precision", "int4", MODEL, out))
        self.assertEqual({weight["format"] for weight in result["weights"]}, {"int8", "int4", "q8_0", "exact", "float32"})
        self.assertGreater(result["comparison"]["visual_cosine"], 0.99)
        self.fails(1, ["both read and written"], "quantize", MODEL, MODEL)
        self.fails(1, ["the precision is 'int3'"], "quantize", "--precision", "int3", MODEL, out)


class Pictures(ProgramTest):
    """Malformed pictures and other bad input."""

    def test_every_malformed_picture(self):
        pillow = json.loads((MEDIA / "pillow.json").read_text("utf-8"))
        files = sorted(path for path in (MEDIA / "malformed").rglob("*") if path.is_file())
        self.assertGreater(len(files), 50)
        for path in files:
            name = path.relative_to(MEDIA).as_posix()
            with self.subTest(name):
                code, _, err = run("inspect", "--json", path)
                if "error" in pillow["files"].get(name, {}) and name not in MORE_LENIENT:
                    self.assertEqual(code, 1, f"{name} was decoded, by Pillow it is not")
                self.assertIn(code, (0, 1), err)
                if code == 1:
                    # File, what was found, and the mend.
                    self.assertRegex(err, rf"^eyeshot: {re.escape(str(path))}: .+: .+\n$")

    def test_what_is_no_picture(self):
        text = self.folder / "text.png"
        text.write_text("not a picture")
        self.fails(1, [text], "ask", text, "What is this?")
        self.fails(1, ["/nowhere.png"], "ask", "/nowhere.png", "What is this?")
        self.fails(1, [self.folder], "ask", self.folder, "What is this?")
        self.fails(1, ["standard input"], "ask", "-", "What is this?", stdin=b"")
        out = self.fails(1, [text], "ask", "--json", text, "What is this?")
        self.assertEqual(set(json.loads(out)["error"]), {"code", "message"})


class BrokenModels(ProgramTest):
    """Models that lie, or are not whole."""

    def setUp(self):
        super().setUp()
        self.model = self.model_copy()
        self.weights = self.model / "model.safetensors"

    def rewrite_header(self, change):
        """Changes the header of the weights as JSON."""
        data = self.weights.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        change(header)
        text = json.dumps(header).encode()
        self.weights.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])

    def rewrite_json(self, name, change):
        """Changes a JSON file of the model."""
        value = json.loads((self.model / name).read_text("utf-8"))
        change(value)
        (self.model / name).write_text(json.dumps(value))

    def refused(self, *parts):
        """Checks that asking the model fails with a message that names the parts."""
        self.fails(1, [self.model, *parts], "ask", "--model", self.model, "Hello")

    def test_the_copy_itself_works(self):
        self.succeeds("ask", "-q", "--model", self.model, "Hello")

    def test_truncated_weights(self):
        data = self.weights.read_bytes()
        for size in (len(data) // 2, len(data) - 1, 100, 7, 0):
            with self.subTest(size):
                self.weights.write_bytes(data[:size])
                self.refused("model.safetensors")

    def test_a_header_that_lies(self):
        original = self.weights.read_bytes()
        name = "model.text_model.norm.weight"

        def beyond(header):
            header[name]["data_offsets"][1] += 1 << 40

        def overlapping(header):
            header[name]["data_offsets"] = [0, 768]

        def reversed_(header):
            header[name]["data_offsets"].reverse()

        def huge(header):
            header[name]["shape"] = [1 << 31, 1 << 31, 1 << 31]

        for change in (beyond, overlapping, reversed_, huge):
            with self.subTest(change.__name__):
                self.weights.write_bytes(original)
                self.rewrite_header(change)
                # Of two tensors that overlap, either may be named.
                self.refused("model.safetensors", "tensor" if change is overlapping else name)
        self.weights.write_bytes(struct.pack("<Q", 1 << 60) + original[8:])
        self.refused("model.safetensors", 1 << 60)

    def test_a_missing_or_misshapen_tensor(self):
        name = "model.text_model.layers.3.mlp.up_proj.weight"
        original = self.weights.read_bytes()
        self.rewrite_header(lambda header: header.update({name + "x": header.pop(name)}))
        self.refused(name)
        self.weights.write_bytes(original)
        self.rewrite_header(lambda header: header[name]["shape"].reverse())
        self.fails(1, [name, "384"], "ask", "--model", self.model, "Hello")

    def test_a_config_with_a_missing_key(self):
        for part, key in (("text_config", "hidden_size"), ("text_config", "num_hidden_layers"),
                          ("text_config", "vocab_size")):
            with self.subTest(key):
                shutil.copy(MODEL / "config.json", self.model)
                self.rewrite_json("config.json", lambda config, part=part, key=key: config[part].pop(key))
                self.refused("config.json", f"{part}.{key}")

    def test_a_config_with_wrong_values(self):
        for part, key, value in (("text_config", "hidden_size", -5), ("text_config", "num_hidden_layers", "eight"),
                                 ("vision_config", "patch_size", 0), ("text_config", "vocab_size", 1 << 40)):
            with self.subTest(key):
                shutil.copy(MODEL / "config.json", self.model)
                self.rewrite_json("config.json", lambda config, p=part, k=key, v=value: config[p].update({k: v}))
                self.refused("config.json", f"{part}.{key}", value)
        (self.model / "config.json").write_text('{"model_type": "smolvlm"')
        self.refused("config.json")
        shutil.copy(MODEL / "config.json", self.model)
        self.rewrite_json("config.json", lambda config: config.update(model_type="llava"))
        self.fails(1, ["llava", "smolvlm"], "ask", "--model", self.model, "Hello")

    def test_missing_files(self):
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            with self.subTest(name):
                kept = (self.model / name).read_bytes()
                (self.model / name).unlink()
                self.refused(name)
                (self.model / name).write_bytes(kept)

    def test_a_broken_tokenizer(self):
        self.rewrite_json("tokenizer.json", lambda tokenizer: tokenizer["model"].pop("merges"))
        self.refused("tokenizer.json", "merges")
        (self.model / "tokenizer.json").write_text("[" * 5000)
        self.refused("tokenizer.json")


class Bench(ProgramTest):
    """eyeshot bench"""

    def test_json(self):
        result = json.loads(self.succeeds("bench", "--json", "--repeat", 1, "--warmup", 0, "--tiles", "1,5", "--depths",
                                          "64,1000000", "--tokens", 4, "--steady"))
        self.assertEqual([(stage["name"], stage["size"]) for stage in result["steady"]],
                         [("encode", 1), ("encode", 5), ("prefill", result["decode"][0]["depth"])])
        self.assertTrue(all(stage["ms"] > 0 for stage in result["steady"]))
        self.assertEqual([picture["tiles"] for picture in result["pictures"]], [1, 5])
        for picture in result["pictures"]:
            self.assertEqual([stage["name"] for stage in picture["stages"]], STAGES)
            self.assertGreater(picture["ttft_ms"], 0)
        self.assertEqual(len(result["decode"]), 1)
        self.assertEqual(result["batches"], [])
        self.assertGreater(result["decode"][0]["tokens_per_s"], 0)
        for key in ("cpu", "isa", "threads", "precision", "model"):
            self.assertTrue(result[key], key)

    def test_table(self):
        text = self.succeeds("bench", "--repeat", 1, "--warmup", 0, "--tiles", 3, "--depths", 16, "--tokens", 2)
        self.assertRegex(text, r"(?m)^encode +\d")
        text = self.succeeds("bench", "--repeat", 1, "--warmup", 0, "--tiles", 1, "--depths", 40, "--batch", "2,5",
                             "--tokens", 3)
        self.assertRegex(text, r"(?m)^ +side by side +prompt tokens +ms a step +tokens a s\n +2 +40 .*\n +5 +40 ")
        self.fails(1, ["--tiles 2", "1, 3, 5"], "bench", "--tiles", 2)


class Plan(ProgramTest):
    """eyeshot plan"""

    SIMULATED = ("plan", MODEL, "--machine", "h100-sxm", "--precision", "exact", "--picture", "400x300")

    def test_simulated(self):
        result = json.loads(self.succeeds(*self.SIMULATED, "--goal", "joules", "--batch", "1,8", "--json"))
        self.assertTrue(result["simulated"])
        self.assertEqual(result["chosen"]["batch"], 8)
        self.assertEqual(result["chosen"]["joules_from"], "simulated")
        self.assertTrue(all(later["ms"] > sooner["ms"] and later["accuracy"] > sooner["accuracy"]
                            for sooner, later in zip(result["front"], result["front"][1:])))
        svg, page = self.folder / "plan.svg", self.folder / "plan.html"
        text = self.succeeds(*self.SIMULATED, "--goal", "time", "--svg", svg, "--html", page)
        self.assertIn("simulated: H100", text)
        self.assertIn("Ask eyeshot-tiny at the detail low", text)
        for file in (svg, page):
            self.assertIn("Simulated: ", file.read_text())

    def test_points_are_taken_first(self):
        points = self.folder / "points.jsonl"
        points.write_text('{"model": "eyeshot-tiny", "detail": "low", "score": 0.9, "tokens": 64}\n')
        result = json.loads(self.succeeds(*self.SIMULATED, "--goal", "accuracy", "--points", points, "--json"))
        self.assertIn("measured", result["chosen"]["accuracy_from"])
        points.write_text("{}")
        self.fails(1, [f"{points}:1", "model"], *self.SIMULATED, "--points", points)

    def test_refit(self):
        result = json.loads(self.succeeds("plan", "--refit", "--json"))
        self.assertFalse(result["reasoning"]["floor_identified"])
        self.assertIn("D is not identifiable", self.succeeds("plan", "--refit"))

    def known_speed(self) -> dict:
        return known_speed(self.folder)

    QUESTION = (MEDIA / "photos/astronaut.png", "What is this?")

    def test_budget_of_ask(self):
        env = self.known_speed()
        question = self.QUESTION
        tight = json.loads(self.succeeds("ask", "--json", "-n", 2, "--budget", "1ms", *question, env=env))["budget"]
        self.assertEqual((tight["detail"], tight["within"]), ("low", False))
        code, _, err = run("ask", "-n", 2, "--budget", "1000s", *question, env=env)
        self.assertEqual(code, 0, err)
        self.assertIn("budget: 5 tiles, 320 visual tokens", err)
        self.assertIn("careful: it was measured with the CPU another", err)
        self.fails(2, ["--budget"], "ask", "--budget", "1s", "--detail", "low", *question)
        self.fails(1, ["soon"], "ask", "--budget", "soon", *question, env=env)
        self.reducer_of_a_budget(env)

    def reducer_of_a_budget(self, env):
        """A reducer that is planned is what the engine runs: where one tile is too much, and where points say so."""
        def ask(*more):
            return json.loads(self.succeeds("ask", "--json", "-n", 2, *more, *self.QUESTION, env=env))
        one_tile = ask("--budget", "1ms")["budget"]["planned_ms"]
        tight = ask("--budget", f"{0.999 * one_tile}ms")
        self.assertEqual(tight["pictures"][0]["reduction"], "divprune:16")
        self.assertEqual((tight["visual_tokens"], tight["budget"]["reduce"]), (16, "divprune:16"))

        swept, points = EVAL / "questions.jsonl", self.folder / "points.jsonl"
        self.succeeds("eval", swept, "--limit", 1, "-n", 2, "--detail", "low", "--points", points,
                      "--sweep", "reduce=pool:40,stride:25%")
        point, = map(json.loads, points.read_text().splitlines())  # a share is no number of tokens
        self.assertEqual((point["model"], point["detail"], point["reduce"], point["precision"]),
                         ("eyeshot-tiny", "low", "pool:40", "exact"))
        points.write_text("".join(json.dumps(point | change) + "\n" for change in (
            {"score": 0.7}, {"score": 0.4, "reduce": "stride:40"}, {"score": 0.6, "reduce": "tome:128", "tokens": 64})))
        measured = ask("--budget", f"{0.999 * one_tile}ms", "--points", points)
        self.assertEqual(measured["pictures"][0]["reduction"], "pool:40")
        self.assertIn("70.0 % right (measured)", measured["budget"]["why"])
        words = self.succeeds("plan", MODEL, "--precision", "exact", "--points", points, "--goal", "time", "--at-least",
                              "0.65", "--picture", "512x512", env=env)
        self.assertIn("Of 2 reducers that were measured here at so many tokens pool answers most right",
                      " ".join(words.split()))

    def test_keep_as_a_budget(self):
        """What KEEP in milliseconds buys is what the engine is asked to keep."""
        env = self.known_speed()
        low = ("ask", "--json", "-n", 2, "--detail", "low", "--reduce")

        def ask(keep, *more):
            return json.loads(self.succeeds(*low, keep, *more, *self.QUESTION, env=env))
        least, most = ask("stride:1"), ask("stride:1e9ms")
        all_ms = most["budget"]["planned_ms"]
        few, many = (answer["stages"][STAGES.index("prefill")]["flops"] for answer in (least, most))
        # Half of the way from one token to all of them, at 2 ps a FLOP.
        answer = ask(f"stride:{all_ms - (many - few) / 2 * 2e-9:.4f}ms")
        self.assertTrue(25 < answer["visual_tokens"] < 40, answer["visual_tokens"])
        self.assertEqual(answer["pictures"][0]["reduction"], f"stride:{answer['visual_tokens']}")
        self.assertEqual(answer["budget"]["reduce"], f"stride:{answer['visual_tokens']}")
        self.assertIn("predicted", answer["budget"]["why"])
        self.assertEqual(ask("divprune:1e9J", "--watts", 30)["visual_tokens"], 64)
        merged = ask(f"tome:{0.8 * all_ms:.4f}ms")
        self.assertRegex(merged["pictures"][0]["reduction"], r"tome:\d+$")
        self.assertLess(merged["stages"][STAGES.index("encode")]["flops"],
                        0.9 * most["stages"][STAGES.index("encode")]["flops"])

        clip = json.loads(self.succeeds("ask", "--json", "-n", 2, "--max-frames", 2, "--reduce", "evs:1e9ms",
                                        MEDIA / "video/five_seconds.mp4", "What happens?", env=env))
        self.assertEqual(clip["pictures"][0]["reduction"], "evs:64")
        self.assertIn("64 of 64 tokens a frame", clip["budget"]["why"])

        whole = ("ask", "--json", "-n", 2, "--max-frames", 4, MEDIA / "video/five_seconds.mp4", "What happens?", "--budget")
        rich = json.loads(self.succeeds(*whole, "1000s", env=env))["budget"]
        self.assertIn("4 frames, 256 visual tokens", rich["why"])
        tight = json.loads(self.succeeds(*whole, f"{0.999 * rich['planned_ms']}ms", env=env))
        self.assertEqual((tight["pictures"][0]["frames"], tight["pictures"][0]["reduction"]), (4, "divprune:16"))

        asked = ("ask", "-n", 2, "--detail", "low")
        self.fails(1, ["predicted to take", "encode", "tome"], *asked, "--reduce", "pool:1e-3ms", *self.QUESTION, env=env)
        self.fails(1, ["joules", "--watts"], *asked, "--reduce", "pool:5J", *self.QUESTION, env=env)
        self.fails(1, ["two budgets"], "ask", "--budget", "1s", "--reduce", "pool:5ms", *self.QUESTION, env=env)
        self.fails(1, ["plan --calibrate"], *asked, "--reduce", "pool:5ms", *self.QUESTION,
                   env={"XDG_CACHE_HOME": str(self.folder / "none")})

    def test_budgets_of_other_commands(self):
        env = self.known_speed()
        code, out, err = run("chat", "--budget", "1ms", "-n", 2, self.QUESTION[0], stdin=b"What?\nWhy?\n", env=env)
        self.assertEqual((code, err.count("budget: 1 tile, 64 visual tokens")), (0, 1), err)
        code, out, err = run("chat", "--reduce", "stride:1e9ms", "--detail", "low", "-n", 2, self.QUESTION[0],
                             stdin=b"What?\nWhy?\n", env=env)
        self.assertEqual((code, err.count("budget: stride:64: 64 of 64 tokens a tile")), (0, 1), err)
        bench = json.loads(self.succeeds("bench", "--tiles", 1, "--depths", 8, "--repeat", 1, "--warmup", 0, "-n", 2,
                                         "--reduce", "stride:1e9ms", "--json", env=env))
        self.assertEqual(bench["pictures"][0]["budget"]["reduce"], "stride:64")
        self.fails(1, ["question 6", "predicted to take"], "eval", EVAL / "questions.jsonl", "--limit", 1, "--reduce",
                   "stride:1e-3ms", env=env)

    def test_a_machine_that_was_not_measured(self):
        self.fails(1, ["plan --calibrate", self.folder], "plan", MODEL, env={"XDG_CACHE_HOME": str(self.folder)})


class Gpu(ProgramTest):
    """--device, with the CUDA plug-in over an emulated GPU and with a stand-in for NVIDIA's meter"""

    GPU = {"EYESHOT_CUDA_PLUGIN": os.environ.get("EYESHOT_TEST_CUDA_PLUGIN", ""),
           "EYESHOT_NVML": os.environ.get("EYESHOT_TEST_NVML", "")}
    QUESTION = ("--detail", "low", DEMO / "icon.png", "What is this?")

    def test_answers_with_its_own_times_and_a_meter(self):
        result = json.loads(self.succeeds("ask", "--json", "--device", "cuda", *self.QUESTION, env=self.GPU))
        self.assertEqual(result["answer"], "An orange circle.")
        self.assertEqual((result["device"], result["precision"]), ("cuda:0 (emulated GPU)", "bf16"))
        for stage in result["stages"]:
            on_gpu = stage["name"] in ("encode", "connect", "prefill", "decode")
            self.assertEqual(stage["device_ms"] is not None, on_gpu, stage)
        self.assertEqual(result["gpu"]["joules"]["value"], 50)
        self.assertEqual(result["gpu"]["joules"]["source"], "nvml_counter")
        self.assertEqual(result["gpu"]["after"]["sm_clock_mhz"], 1980)
        self.assertIn("power cap", result["gpu"]["after"]["throttled_by"])

    def test_weights_of_few_bits(self):
        code, out, err = run("ask", "--device", "cuda:0", "--precision", "int8,q4_0", *self.QUESTION, env=self.GPU)
        self.assertEqual((code, out), (0, "An orange circle.\n"), err)
        self.assertRegex(err, r"(?m)^stage +ms +GPU ms")
        self.assertRegex(err, r"(?m)^GPU: \d+ MB taken, 50 J .*312 W, SM 1980 MHz")

    def is_of_400_watts(self, joules, ms):
        """As good as the bounds that the program gives, or within 2 %."""
        slack = 0.02 * 0.4 * ms
        self.assertLessEqual(joules["low"] - slack, 0.4 * ms)
        self.assertGreaterEqual(joules["high"] + slack, 0.4 * ms)

    def test_joules_of_stages(self):
        out = self.succeeds("energy", "--json", "--device", "cuda", "--sizes", "64x64", "--tokens", 1, "--question", "Hi",
                            "--runs", 1, "--seconds", 0.1, "--idle-seconds", 0.2,
                            env=self.GPU | {"EYESHOT_FAKE_NVML_WATTS": "400"})
        result = json.loads(out)
        self.assertEqual((result["meters"][0]["group"], result["meters"][0]["source"]), ("gpu", "nvml_counter"))
        self.assertGreaterEqual(result["meters"][0]["period_s"], 0.015)  # of 20 ms, and more where readings came late
        picture = result["requests"][1]
        self.is_of_400_watts(picture["gpu"]["joules"], picture["gpu"]["measured_ms"])
        for stage in picture["stages"]:
            if stage["name"] in ("encode", "prefill"):
                self.is_of_400_watts(stage["gpu"]["joules"], stage["gpu"]["exposed_ms"])
                self.assertEqual(stage["gpu"]["joules"]["source"], "nvml_counter")
        self.assertGreater(picture["gpu"]["inflation"]["encode_share"]["value"], 0)
        self.assertIn("power cap", picture["gpu_state"]["throttled_by"])

    def test_memory_is_planned(self):
        self.fails(1, ["needs", "of weights", "key/value cache of 2048 tokens", "27 MB can be had beside the 34 that are taken", "--gpu-memory"],
                   "ask", "--device", "cuda", "--gpu-memory", "60M", "Hi", env=self.GPU)
        self.fails(1, ["--kv-cache"], "ask", "--device", "cuda", "--kv-cache", "int8", "Hi", env=self.GPU)
        plan = self.succeeds("inspect", "--plan", "--device", "cuda", MODEL, env=self.GPU)
        self.assertIn("cuda backend", plan)

    def test_what_cannot_be_used_is_named(self):
        self.fails(1, ["'gpu'", "cuda:1"], "ask", "--device", "gpu", "Hi")
        self.fails(1, ["portable", "cuda"], "ask", "--device", "cuda", "--backend", "portable", "Hi", env=self.GPU)
        self.fails(1, ["/nowhere.so"], "ask", "--device", "cuda", "Hi", env={"EYESHOT_CUDA_PLUGIN": "/nowhere.so"})
        self.fails(1, ["is of version none"], "ask", "--device", "cuda", "Hi",
                   env={"EYESHOT_CUDA_PLUGIN": self.GPU["EYESHOT_NVML"]})
        code, _, err = run("ask", "-n", 1, "--device", "cuda", *self.QUESTION,
                           env=self.GPU | {"EYESHOT_NVML": "/nowhere.so"})
        self.assertEqual(code, 0, err)
        self.assertIn("note: no meter of the GPU", err)

    @unittest.skipIf(os.path.exists("/dev/nvidiactl"), "this machine has a GPU")
    def test_without_a_gpu(self):
        self.fails(1, ["--device cpu"], "ask", "--device", "cuda", "Hi")
        code, out, err = run("ask", "-n", 1, "Hi")
        self.assertEqual(code, 0, err)
        self.assertEqual(err.count("on cpu"), 1, err)


class Eval(ProgramTest):
    """eyeshot eval"""

    def test_the_subset_agrees_with_the_reference(self):
        out = self.folder / "answers.jsonl"
        result = json.loads(self.succeeds("eval", EVAL / "questions.jsonl", "--answers",
                                          EVAL / "reference-answers.json", "--backend", "portable", "--out", out,
                                          "--json"))
        total = result["total"]
        self.assertEqual(total["questions"], 128)
        self.assertGreaterEqual(total["agreement"], 0.93)
        # The reference has 68 exact answers; a share within 3 points is within 4 questions.
        self.assertLessEqual(abs(total["exact"] - 68), 4)
        self.assertLess(total["character_error_rate"], 0.21)
        self.assertEqual(sum(task["questions"] for task in result["tasks"].values()), 128)
        header, *records = map(json.loads, out.read_text("utf-8").splitlines())
        self.assertEqual((header["questions"], header["settings"]["precision"], len(records)), (128, "exact", 128))

    def test_limit_and_every(self):
        result = json.loads(self.succeeds("eval", EVAL / "questions.jsonl", "--every", 50, "--limit", 2, "--json"))
        self.assertEqual(result["total"]["questions"], 2)

    def test_bad_sets(self):
        bad = self.folder / "set.jsonl"
        bad.write_text('{"question": "a", "answer": "b"}\n{"question": "a"}\n')
        self.fails(1, [f"{bad}:2", "answer"], "eval", bad)
        bad.write_text('{"id": "x", "images": ["no.png"], "question": "a", "answer": "b"}\n')
        self.fails(1, ["question x", self.folder / "no.png"], "eval", bad)
        self.fails(1, ["no scorer 'luck'", "anls"], "eval", bad, "--scorer", "luck")
        self.fails(1, ["no setting 'colour'", "detail"], "eval", bad, "--sweep", "colour=red")
        self.fails(1, ["--sweep detail", "'huge'"], "eval", bad, "--sweep", "detail=low,huge")

    SWEEP = ["eval", EVAL / "questions.jsonl", "--limit", 3, "--sweep", "detail=low,2", "--sweep", "precision=int8", "-n", 4]

    def test_a_killed_sweep_goes_on_and_draws(self):
        out, page, chart = (self.folder / name for name in ("sweep.jsonl", "sweep.html", "sweep.svg"))
        with subprocess.Popen([str(word) for word in [PROGRAM, *self.SWEEP, "--out", out]], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as program:
            while program.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") >= 3):
                time.sleep(0.01)
            program.kill()
        before = out.read_bytes()
        self.assertLess(before.count(b"\n"), 7)
        result = json.loads(self.succeeds(*self.SWEEP, "--out", out, "--html", page, "--svg", chart, "--cost", "tokens", "--json"))
        whole = before[:before.rindex(b"\n") + 1]
        self.assertEqual(out.read_bytes()[:len(whole)], whole)
        self.assertEqual(result["resumed"], whole.count(b"\n") - 1)
        records = [json.loads(line) for line in out.read_text("utf-8").splitlines()[1:]]
        self.assertEqual(len({(json.dumps(r["point"]), r["id"]) for r in records}), 6)
        self.assertEqual(len(records), 6)
        low, two = (point["total"] for point in result["points"])
        self.assertLess(low["visual_tokens"], two["visual_tokens"])
        self.assertIn("precision int8", page.read_text("utf-8"))
        ElementTree.parse(chart)
        self.fails(1, [out, "settings.max-tokens 4", "this run has 5"], *self.SWEEP[:-1], 5, "--out", out)
        point = f"{out}#precision=int8 detail="
        compared = json.loads(self.succeeds("eval", "--compare", point + "low", point + "2", "--json"))
        self.assertEqual((compared["questions"], compared["verdict"]), (3, "none"))
        self.fails(1, ["has no point", "'precision=int8 detail=low'"], "eval", "--compare", out, out)

    def test_points_of_a_sweep_over_models_have_their_own_precision(self):
        packed, out, points = (self.folder / name for name in ("packed", "sweep.jsonl", "points.jsonl"))
        self.succeeds("quantize", "--json", "--precision", "int4", MODEL, packed)
        sweep = ("eval", EVAL / "questions.jsonl", "--limit", 1, "-n", 1, "--detail", "low", "--sweep",
                 f"model={packed},{MODEL}", "--out", out, "--points", points)
        for _ in range(2):  # the second finds all answers in the file
            self.succeeds(*sweep)
            first, second = map(json.loads, points.read_text().splitlines())
            self.assertEqual((first["model"], second["model"]), (str(packed), str(MODEL)))
            self.assertIn("int4", first["precision"])
            self.assertEqual(second["precision"], "exact")

    def test_a_table_with_choices(self):
        picture = base64.b64encode((DEMO / "chart.png").read_bytes()).decode()
        table = self.folder / "AI2D_TEST.tsv"
        table.write_text("index\timage\tquestion\tA\tB\tanswer\tprediction\n"
                         f"0\t{picture}\tWhat is this?\ta chart\ta cat\tA\tThe answer is A.\n"
                         "1\t0\tWhat is it not?\ta chart\ta cat\tB\tIt is a chart.\n", "utf-8")
        asked = json.loads(self.succeeds("eval", table, "--detail", "low", "-n", 2, "--json"))
        self.assertEqual((asked["scorer"], asked["total"]["questions"]), ("letter", 2))
        self.assertEqual(asked["total"]["visual_tokens"], 64)
        recorded = json.loads(self.succeeds("eval", table, "--recorded", "--json"))
        self.assertEqual(recorded["total"]["score"]["value"], 0.5)


    def test_what_cannot_be_shown_is_told_before_anything_is_asked(self):
        questions = EVAL / "questions.jsonl"
        self.fails(2, ["--sweep"], "eval", questions, "--svg", self.folder / "x.svg")
        self.fails(2, ["luck"], "eval", questions, "--sweep", "detail=low,auto", "--cost", "luck")
        self.fails(2, ["--answers"], "eval", questions, "--sweep", "detail=low,auto", "--answers", self.folder / "a.json")


class Dev(ProgramTest):
    """eyeshot dev"""

    def test_a_seeded_checkpoint_runs(self):
        out = [self.folder / "a", self.folder / "b", self.folder / "c"]
        for folder, seed, threads in zip(out, (7, 7, 8), (1, 2, 2)):
            self.succeeds("dev", "checkpoint", "--config", MODEL, "--seed", seed, "--out", folder, "--threads", threads)
        weights = [(folder / "model.safetensors").read_bytes() for folder in out]
        self.assertEqual(weights[0], weights[1])
        self.assertNotEqual(weights[0], weights[2])
        self.succeeds("ask", "-q", "--model", out[0], "-n", 3, DEMO / "chart.png", "What is this?")
        self.fails(1, ["true weights"], "dev", "checkpoint", "--config", out[0], "--seed", 1, "--out", out[0])
        self.fails(1, ["/nowhere"], "dev", "checkpoint", "--config", "/nowhere", "--seed", 1, "--out", out[0])

    def test_isas(self):
        script = subprocess.run([ROOT / "scripts/supported_isas.sh"], capture_output=True, text=True, check=True)
        self.assertEqual(self.succeeds("dev", "isas"), script.stdout)

    def test_every_isa_answers_alike(self):
        for isa in self.succeeds("dev", "isas").split():
            self.assertEqual(self.succeeds("ask", "-q", DEMO / "receipt.png", "What is the total?",
                                           env={"EYESHOT_ISA": isa}), "$18.36\n", isa)
        self.fails(1, ["EYESHOT_ISA", "mmx"], "ask", "Hi", env={"EYESHOT_ISA": "mmx"})


class Help(ProgramTest):
    """--help and --version"""

    def test_every_command_has_help_with_examples(self):
        for command in ([], ["ask"], ["chat"], ["inspect"], ["bench"], ["energy"], ["energy", "compare"], ["eval"], ["dev"], ["dev", "checkpoint"],
                        ["dev", "isas"]):
            with self.subTest(command):
                text = self.succeeds(*command, "--help")
                self.assertIn(" ".join(["Usage: eyeshot", *command]), text)
                self.assertIn("Example", text)
        self.assertIn("Exit codes", self.succeeds("--help"))

    def test_version(self):
        self.assertRegex(self.succeeds("--version"), r"^eyeshot \d+\.\d+\.\d+\n$")


class Usage(ProgramTest):
    """Wrong usage ends with 2 and says what is wrong."""

    def test_bad_flags(self):
        for arguments, part in ((["--nonsense"], "nonsense"), ([], "subcommand"), (["ask"], "there is no question"),
                                (["ask", "--temperature", "warm", "Hi"], "temperature"),
                                (["ask", "--max-tokens", "0", "Hi"], "max-tokens"),
                                (["ask", "--backend", "abacus", "Hi"], "abacus"),
                                (["ask", "--format", "pdf", "Hi"], "format"),
                                (["ask", "--threads", "100000", "Hi"], "threads"),
                                (["ask", "--nonsense", "Hi"], "nonsense"), (["frob"], "frob"),
                                (["ask", ""], "empty"), (["ask", "--frames", "Hi"], "--frames"),
                                (["ask", DEMO / "chart.png"], "chart.png"),
                                (["inspect", MODEL, "Why?"], "--question"), (["eval"], "set"), (["dev"], "subcommand")):
            with self.subTest(arguments):
                self.fails(2, [part], *arguments)

    def test_json_errors(self):
        for arguments in (["ask", "--json", "--nonsense", "Hi"], ["ask", "--json", ""]):
            out = self.fails(2, [], *arguments)
            self.assertEqual(json.loads(out)["error"]["code"], "invalid argument")


class Demo(ProgramTest):
    """scripts/demo.sh"""

    def test_the_answers_of_its_page(self):
        done = subprocess.run([ROOT / "scripts/demo.sh"], capture_output=True, text=True, check=False, cwd="/",
                              env=os.environ | {"EYESHOT": str(PROGRAM)})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = re.findall(r"(?m)^\| `.*\| (.*) \| (.*) \|$", (DEMO / "README.md").read_text("utf-8"))
        self.assertEqual(len(rows), 7)
        for question, answer in rows:
            self.assertIn(f"  question: {question}\n  answer:   " + answer.replace(" / ", "\n  ") + "\n", done.stdout)
        self.assertEqual(len(re.findall(r"(?m)^  total +\d", done.stdout)), 7)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
