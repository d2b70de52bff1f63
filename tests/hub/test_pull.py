#!/usr/bin/env python3
"""Runs `eyeshot pull` and `eyeshot models` against a hub on this machine: test_pull.py PROGRAM [CLASS...]."""
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

from hub_server import COMMIT, Hub, git_sha1, repository_of

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import test_program as program  # noqa: E402

REPO = "EyeShot/tiny.model_1"
NEEDED = {"chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
          "preprocessor_config.json", "processor_config.json", "special_tokens_map.json", "tokenizer.json",
          "tokenizer_config.json"}


class HubTest(program.ProgramTest):
    """A hub with a small repository, and an empty cache. Files of 100 kB and more are LFS files."""

    def setUp(self):
        super().setUp()
        self.files = {"config.json": b'{"model_type": "smolvlm"}', "tokenizer.json": b"[]" * 100,
                      "model.safetensors": bytes(range(256)) * 4096, "README.md": b"card", "flax.msgpack": b"1",
                      "sub/config.json": b"{}"}
        self.hub = self.enterContext(Hub({REPO: self.files}))
        self.home = self.folder / "hf"

    def env(self, **more) -> dict:
        proxies = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
        return proxies | {"HF_HOME": str(self.home), "HF_ENDPOINT": self.hub.url(), "HF_HUB_CACHE": "", "HF_TOKEN": "",
                          "HF_HUB_OFFLINE": "", "HF_HUB_DOWNLOAD_TIMEOUT": "5"} | more

    def pull(self, *arguments, **env) -> pathlib.Path:
        """A pull that must succeed; returns the folder that it prints."""
        out = self.succeeds("pull", "-q", *(arguments or (REPO,)), env=self.env(**env))
        return pathlib.Path(out.strip())

    def pull_fails(self, parts: list, *arguments, code: int = 1, **env) -> str:
        return self.fails(code, parts, "pull", *(arguments or (REPO,)), env=self.env(**env))

    @property
    def cached(self) -> pathlib.Path:
        return self.home / "hub" / ("models--" + REPO.replace("/", "--"))

    def assert_whole(self, folder: pathlib.Path, names=("config.json", "tokenizer.json", "model.safetensors")):
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
        self.assertEqual(found, set(names))
        for name in names:
            self.assertEqual((folder / name).read_bytes(), self.files[name], name)
        self.assertEqual([path.name for path in self.cached.glob("blobs/*.incomplete")], [])


class Pull(HubTest):
    """What goes well."""

    def test_takes_what_an_engine_needs_and_no_more(self):
        folder = self.pull()
        self.assert_whole(folder)
        self.assertEqual(folder, self.cached / "snapshots" / COMMIT)
        self.assertEqual((self.cached / "refs/main").read_text(), COMMIT)

    def test_the_cache_has_the_layout_of_huggingface_hub(self):
        folder = self.pull()
        weights = self.files["model.safetensors"]
        self.assertEqual(os.readlink(folder / "model.safetensors"),
                         f"../../blobs/{hashlib.sha256(weights).hexdigest()}")
        self.assertEqual(os.readlink(folder / "config.json"), f"../../blobs/{git_sha1(self.files['config.json'])}")

    def test_a_second_pull_downloads_nothing(self):
        self.pull()
        self.hub.requests.clear()
        out = json.loads(self.succeeds("pull", "--json", REPO, env=self.env()))
        self.assertEqual((out["downloaded_bytes"], out["commit"], self.hub.bodies()), (0, COMMIT, []))

    def test_a_cache_that_is_up_to_date_is_only_read(self):
        self.pull()
        before = {path: path.lstat().st_mtime_ns for path in self.home.rglob("*")}
        self.pull(REPO, "--verify")
        self.assertEqual({path: path.lstat().st_mtime_ns for path in self.home.rglob("*")}, before)

    def test_json_has_files_and_hashes(self):
        out = json.loads(self.succeeds("pull", "--json", REPO, env=self.env()))
        self.assertEqual((out["model"], out["revision"], out["dir"]),
                         (REPO, "main", str(self.cached / "snapshots" / COMMIT)))
        sizes = {file["path"]: file["bytes"] for file in out["files"]}
        self.assertEqual(sizes, {name: len(self.files[name]) for name in sizes})
        self.assertEqual(out["downloaded_bytes"], sum(sizes.values()))

    def test_revisions(self):
        self.pull(REPO + "@refs/pr/1")
        self.assertEqual((self.cached / "refs/refs/pr/1").read_text(), COMMIT)
        self.assertFalse((self.cached / "refs/main").exists())
        self.assertTrue(any(path.endswith("/revision/refs%2Fpr%2F1?blobs=true")
                            for _, _, path, _ in self.hub.requests))
        self.assert_whole(self.pull(f"{REPO}@{COMMIT}"))

    def test_dry_run_takes_nothing(self):
        out = self.succeeds("pull", "--dry-run", REPO, env=self.env())
        self.assertIn("1.05 MB  model.safetensors", out)
        self.assertEqual(self.hub.bodies(), [])
        self.assertFalse(self.home.exists())

    def test_shards_by_their_index(self):
        del self.files["model.safetensors"]
        shards = {f"model-0000{i}-of-00002.safetensors": bytes([i]) * 200_000 for i in (1, 2)}
        index = {"metadata": {}, "weight_map": {f"t{i}": name for i, name in enumerate(shards)}}
        self.files.update(shards, **{"model.safetensors.index.json": json.dumps(index).encode(),
                                     "consolidated.safetensors": b"x" * 200_000})
        self.assert_whole(self.pull(), ["config.json", "tokenizer.json", "model.safetensors.index.json", *shards])
        self.files.pop("model-00002-of-00002.safetensors")
        shutil.rmtree(self.home)
        self.pull_fails(["model-00002-of-00002.safetensors", "does not have"])

    def test_gguf_files_by_pattern(self):
        del self.files["model.safetensors"]
        for name in ("tiny-Q8_0.gguf", "tiny-F16.gguf", "mmproj-tiny-Q8_0.gguf", "deep/mmproj-Q8_0.gguf"):
            self.files[name] = name.encode() * 1000
        self.pull_fails(["GGUF", "tiny-Q8_0.gguf", "mmproj-tiny-Q8_0.gguf", "--file"])
        folder = self.pull(REPO, "--file", "*Q8_0.gguf")
        self.assert_whole(folder, ["config.json", "tokenizer.json", "tiny-Q8_0.gguf", "mmproj-tiny-Q8_0.gguf",
                                   "deep/mmproj-Q8_0.gguf"])
        self.assertEqual(os.readlink(folder / "deep/mmproj-Q8_0.gguf").count("../"), 3)
        self.pull_fails(["Q5_K", "tiny-F16.gguf"], REPO, "--file", "*Q5_K.gguf")

    def test_verify_finds_a_broken_blob(self):
        folder = self.pull()
        blob = (folder / "model.safetensors").resolve()
        blob.write_bytes(b"\xff" + blob.read_bytes()[1:])
        self.pull()
        with self.assertRaises(AssertionError):
            self.assert_whole(folder)  # sizes alone are compared
        self.pull(REPO, "--verify")
        self.assert_whole(folder)

    def test_a_token_goes_to_the_hub_and_to_no_other_host(self):
        self.hub.token = "hf_secret"
        self.assert_whole(self.pull(HF_TOKEN="hf_secret"))
        for name, _, path, headers in self.hub.requests:
            self.assertEqual(headers.get("Authorization"), "Bearer hf_secret" if name == "hub" else None, path)

    def test_the_file_of_a_token(self):
        self.hub.token = "hf_from_file"
        self.home.mkdir()
        (self.home / "token").write_text("hf_from_file\n")
        self.assert_whole(self.pull())

    def test_two_processes_and_one_cache(self):
        self.hub.faults.hold = threading.Event()
        command = [program.PROGRAM, "pull", REPO]
        both = [subprocess.Popen(command, env=os.environ | self.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for _ in range(2)]
        time.sleep(1)
        self.hub.faults.hold.set()
        errors = "".join(process.communicate()[1].decode() for process in both)
        self.assertEqual([process.returncode for process in both], [0, 0], errors)
        self.assertIn("waiting for another process", errors)
        self.assert_whole(self.cached / "snapshots" / COMMIT)
        bodies = self.hub.bodies()
        self.assertEqual(len(bodies), len(set(bodies)), bodies)

    def test_other_places_for_the_cache(self):
        cache = self.folder / "other cache"
        self.assertEqual(self.pull(HF_HUB_CACHE=str(cache)), cache / self.cached.name / "snapshots" / COMMIT)


class Faults(HubTest):
    """What goes wrong on the way."""

    def test_a_cut_connection_goes_on_from_there(self):
        self.hub.faults.cut_after, self.hub.faults.cuts = 300_000, 3
        code, out, err = program.run("pull", REPO, env=self.env())
        self.assertEqual(code, 0, err)
        self.assert_whole(pathlib.Path(out.strip()))
        ranges = [headers["Range"] for name, _, _, headers in self.hub.requests if "Range" in headers and name == "cdn"]
        self.assertEqual(ranges, ["bytes=300000-", "bytes=600000-", "bytes=900000-"])
        tags = {headers["If-Range"] for name, _, _, headers in self.hub.requests if "Range" in headers and name == "cdn"}
        self.assertEqual(tags, {f'"cdn-{git_sha1(self.files["model.safetensors"])}"'})
        self.assertIn("trying again from byte 300000", err)

    def test_a_connection_that_is_always_cut(self):
        self.hub.faults.cut_after, self.hub.faults.cuts = 0, -1
        self.pull_fails(["0 of 25 bytes", "goes on from there"], REPO, "--retries", 1)
        self.hub.faults.cut_after = 400_000
        self.pull_fails(["of 1048576 bytes"], REPO, "--retries", 0)
        partial, = self.cached.glob("blobs/*.incomplete")
        self.assertEqual(partial.stat().st_size, 400_000)
        self.assertFalse((self.cached / "refs/main").exists())
        self.hub.faults.cuts = 0
        self.hub.requests.clear()
        self.assert_whole(self.pull())
        self.assertIn("bytes=400000-", [headers.get("Range") for _, _, _, headers in self.hub.requests])

    def test_a_damaged_partial_file_is_taken_anew(self):
        self.hub.faults.cut_after, self.hub.faults.cuts = 400_000, -1
        self.pull_fails(["of 1048576 bytes"], REPO, "--retries", 0)
        self.hub.faults.cuts = 0
        partial, = self.cached.glob("blobs/*.incomplete")
        partial.write_bytes(b"\xee" * 400_000)
        code, out, err = program.run("pull", REPO, env=self.env())
        self.assertEqual(code, 0, err)
        self.assertIn("starting over", err)
        self.assert_whole(pathlib.Path(out.strip()))

    def test_a_server_without_ranges(self):
        self.hub.faults.cut_after, self.hub.faults.cuts, self.hub.faults.no_ranges = 300_000, 1, True
        self.assert_whole(self.pull())

    def test_a_partial_file_that_is_too_long(self):
        weights = self.files["model.safetensors"]
        blob = self.cached / "blobs" / (hashlib.sha256(weights).hexdigest() + ".incomplete")
        blob.parent.mkdir(parents=True)
        blob.write_bytes(weights + b"more")
        self.assert_whole(self.pull())

    def test_a_partial_file_that_is_whole(self):
        weights = self.files["model.safetensors"]
        blob = self.cached / "blobs" / (hashlib.sha256(weights).hexdigest() + ".incomplete")
        blob.parent.mkdir(parents=True)
        blob.write_bytes(weights)
        self.assert_whole(self.pull())
        self.assertFalse(any("model.safetensors" in path for path in self.hub.bodies()))

    def test_a_wrong_hash(self):
        self.hub.faults.wrong_bytes = True
        self.pull_fails(["config.json", "hash", git_sha1(self.files["config.json"]), "removed"])
        self.assertEqual(list(self.cached.glob("blobs/*")), [])
        self.hub.faults.wrong_bytes = False
        self.assert_whole(self.pull())

    def test_a_wrong_length(self):
        for off in (-3, 5):
            with self.subTest(off):
                self.hub.faults.length_off = off
                self.pull_fails(["config.json", 25 + off, "expected 25"])

    def test_more_bytes_than_promised(self):
        self.hub.faults.too_long = True
        self.pull_fails(["config.json", "more than the 25 bytes"])

    def test_a_server_that_stalls(self):
        self.hub.faults.stall = True
        self.pull_fails(["config.json", "1 of 25 bytes"], REPO, "--retries", 0, HF_HUB_DOWNLOAD_TIMEOUT="1")

    def test_a_busy_server(self):
        self.hub.faults.busy = 2
        self.assert_whole(self.pull())
        self.hub.faults.busy = 100
        self.pull_fails(["503"], REPO, "--retries", 0)

    def test_control_c_keeps_what_is_there(self):
        self.hub.faults.hold = threading.Event()
        process = subprocess.Popen([program.PROGRAM, "pull", REPO], env=os.environ | self.env(), stderr=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL)
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=20)[1].decode()
        self.assertEqual(process.returncode, 130, error)
        self.hub.faults.hold.set()
        self.assert_whole(self.pull())

    def test_a_disk_without_room_is_told_before_the_download(self):
        def huge(listing):
            one = listing["siblings"][-1]
            listing["siblings"] = [one | {"rfilename": f"{i}.gguf", "size": 60 << 30, "blobId": f"{i:040}"}
                                   for i in range(5000)]  # 300 TiB
            return listing
        self.hub.listing_edit = huge
        self.pull_fails([self.home / "hub", "bytes are needed", "free"], REPO, "--file", "*.gguf")
        self.assertEqual(self.hub.bodies(), [])

    def test_a_disk_that_fills_up(self):
        def little_room():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        done = subprocess.run([program.PROGRAM, "pull", REPO], env=os.environ | self.env(), capture_output=True, text=True,
                              preexec_fn=little_room, restore_signals=False, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assert_whole(self.pull())

    def test_nobody_listens(self):
        gone = self.hub.url()
        with Hub({}) as other:
            gone = other.url()
        self.pull_fails([gone, "network"], REPO, "--retries", 0, HF_ENDPOINT=gone)


class Refusals(HubTest):
    """What the hub does not give, and what we don't take."""

    def test_gated(self):
        self.hub.token = "hf_right"
        self.pull_fails(["asked first", "restricted", f"https://huggingface.co/{REPO}", "HF_TOKEN"])
        self.hub.faults.open_list = True
        self.pull_fails(["asked first", "restricted", f"https://huggingface.co/{REPO}", "HF_TOKEN"])
        self.hub.faults.status = (403, "GatedRepo", "not in the list")
        self.pull_fails(["not in the list", "token of that account"], HF_TOKEN="hf_wrong")
        self.hub.faults.status = (401, "", "Invalid credentials")
        self.pull_fails(["refuses the token", "Invalid credentials"], HF_TOKEN="hf_wrong")

    def test_no_such_model(self):
        self.pull_fails(["Nobody/here", "spelling", "HF_TOKEN"], "Nobody/here")
        self.pull_fails(["did you mean HuggingFaceTB/SmolVLM-256M-Instruct?"], "HugginFaceTB/SmolVLM-256M-Instruct")
        self.pull_fails(["no revision 'v9'"], REPO + "@v9")

    def test_names_that_can_not_be(self):
        self.pull_fails(["did you mean HuggingFaceTB/SmolVLM-500M-Instruct?"], "SmolVLM-500M-Instruct", code=2)
        for name in ("a/b/c", "../x", "a/..", "a/b--c", "/etc/passwd", "a/b@../../x", "a/" + "b" * 97, "a b/c", "a/b@"):
            with self.subTest(name):
                self.pull_fails([], name, code=2)
        self.assertEqual(self.hub.requests, [])

    def test_paths_that_lead_out(self):
        for path in ("../evil", "/etc/evil", "a/../../evil", "a\\evil", "a//evil", "./evil", "evil\x1b[2J", "", "a/..",
                     "x" * 300):
            with self.subTest(path):
                self.hub.listing_edit = lambda listing, path=path: listing["siblings"][0].update(rfilename=path) or listing
                err = self.pull_fails(["leads out of the model's folder"])
                self.assertNotIn("\x1b", err)
        self.assertEqual([path for path in self.folder.rglob("*evil*")], [])

    def test_lists_that_can_not_be(self):
        def edit(**values):
            return lambda listing: listing["siblings"][0].update(values) or listing
        for change, part in ((edit(size=-1), "size"), (edit(size=1 << 50), "68719476736"), (edit(blobId="../x"), "hash"),
                             (edit(lfs={"sha256": "no"}), "hash"),
                             (lambda listing: listing | {"sha": "main"}, "sha"),
                             (lambda listing: listing | {"siblings": 5}, "siblings"),
                             (lambda listing: listing | {"siblings": listing["siblings"] * 2}, "twice"),
                             (lambda listing: listing | {"siblings": [{"rfilename": "a"}] * 20000}, "10000"),
                             (lambda listing: listing | {"filler": "x" * (9 << 20)}, "8388608"),
                             (lambda listing: [{"rfilename": f["rfilename"]} for f in listing["siblings"]], "object"),
                             (lambda listing: listing | {"siblings": [{"rfilename": "config.json"}]}, "no size")):
            with self.subTest(part):
                self.hub.listing_edit = change
                self.pull_fails([part])

    def test_no_weights(self):
        del self.files["model.safetensors"]
        self.pull_fails(["neither model.safetensors nor GGUF"])

    def test_a_file_that_the_hub_lost(self):
        self.hub.faults.gone = {"tokenizer.json"}
        self.pull_fails(["tokenizer.json", "lists it"])

    def test_redirects(self):
        self.hub.faults.redirect_loop = True
        self.pull_fails(["redirects"])
        self.hub.faults.redirect_loop = False
        for url, part in (("http://example.com/x", "http://example.com"), ("file:///etc/passwd", "neither https"),
                          ("ftp://127.0.0.1/x", "neither https")):
            with self.subTest(url):
                self.hub.faults.cdn_url = url
                self.pull_fails([part], REPO, "--retries", 0)

    def test_plain_http_elsewhere(self):
        self.pull_fails(["http://hub.example", "--insecure-http"], HF_ENDPOINT="http://hub.example")
        self.pull_fails(["neither https"], HF_ENDPOINT="ftp://hub.example")
        self.pull_fails(["password"], HF_ENDPOINT="https://me:pw@hub.example")

    def test_no_certificates(self):
        endpoint = self.hub.url().replace("http:", "https:")
        self.pull_fails(["certificates", "ca-certificates", "SSL_CERT_FILE"], HF_ENDPOINT=endpoint,
                        SSL_CERT_FILE=str(self.folder / "none.pem"))

    def test_a_token_with_a_line_break(self):
        self.pull_fails(["HF_TOKEN", "token"], HF_TOKEN="a\r\nX-Evil: 1")
        self.assertEqual(self.hub.requests, [])

    def test_a_cache_that_can_not_be_written(self):
        blocker = self.folder / "file"
        blocker.write_text("")
        self.pull_fails([blocker, "HF_HUB_CACHE"], HF_HUB_CACHE=str(blocker / "cache"))


class Offline(HubTest):
    """Without the hub."""

    def test_says_where_the_model_is(self):
        folder = self.pull()
        self.hub.requests.clear()
        self.assertEqual(self.pull(REPO, "--offline"), folder)
        self.assertEqual(self.pull(HF_HUB_OFFLINE="1"), folder)
        self.assertEqual(self.hub.requests, [])

    def test_says_that_it_is_not_there(self):
        self.pull_fails([REPO, "main", "--offline"], REPO, "--offline")
        self.pull_fails([REPO, "HF_HUB_OFFLINE"], HF_HUB_OFFLINE="true")
        self.assertEqual(self.hub.requests, [])


class PulledModel(HubTest):
    """A pulled model answers as its folder does."""

    def setUp(self):
        super().setUp()
        self.files.clear()
        self.files.update(repository_of(program.MODEL))

    def test_ask(self):
        question = ("ask", "-q", program.DEMO / "receipt.png", "What is the total?")
        for name in ("--model", "EYESHOT_MODEL"):
            env = self.env(**({"EYESHOT_MODEL": REPO} if name == "EYESHOT_MODEL" else {}))
            flags = ("--model", REPO) if name == "--model" else ()
            self.fails(1, [name, f"eyeshot pull {REPO}"], *question, *flags, env=env)
        folder = self.pull()
        self.assertEqual({path.name for path in folder.iterdir()}, NEEDED)
        self.assertEqual(self.succeeds(*question, "--model", REPO, env=self.env()), "$18.36\n")
        self.assertEqual(self.succeeds(*question, env=self.env(EYESHOT_MODEL=f"{REPO}@main")), "$18.36\n")
        out = json.loads(self.succeeds("ask", "--json", "-n", 1, "--model", f"{REPO}@{COMMIT}", "Hi", env=self.env()))
        self.assertEqual(out["model"], REPO)
        self.assertIn("smolvlm", self.succeeds("inspect", REPO, env=self.env()))
        self.assertIn("Nothing wrong was found", self.succeeds("doctor", REPO, env=self.env()))
        self.fails(1, ["Nobody/picture.png", "no such file"], "inspect", "Nobody/picture.png", env=self.env())

    def test_a_snapshot_that_has_only_some_files(self):
        folder = self.pull()
        (folder / "config.json").unlink()
        self.fails(1, ["only some files", f"eyeshot pull {REPO}"], "ask", "--model", REPO, "Hi", env=self.env())

    def test_a_folder_of_that_name_comes_first(self):
        folder = self.folder / REPO
        folder.mkdir(parents=True)
        self.fails(1, ["config.json"], "ask", "--model", REPO, "Hi", env=self.env(), cwd=self.folder)

    def test_models(self):
        out = json.loads(self.succeeds("models", "--json", env=self.env()))
        self.assertEqual((out["others"], out["cache"]), ([], str(self.home / "hub")))
        known = [model["id"] for model in out["known"]]
        self.assertIn("HuggingFaceTB/SmolVLM-256M-Instruct", known)
        self.assertEqual(out["built_in"], str(program.MODEL))
        self.hub.repositories[known[0]] = self.files
        folder, other = self.pull(), self.pull(known[0])
        (self.home / "hub/models--Some--llama/snapshots" / COMMIT).mkdir(parents=True)
        (self.home / "hub/models--Some--llama/snapshots" / COMMIT / "config.json").write_text('{"model_type": "llama"}')
        out = json.loads(self.succeeds("models", "--json", env=self.env()))
        self.assertEqual([(model["id"], model["dir"], model["revision"]) for model in out["others"]],
                         [(REPO, str(folder), "main")])
        cached, = out["known"][0]["cached"]
        self.assertEqual(cached["dir"], str(other))
        self.assertGreater(cached["bytes"], 30e6)
        text = self.succeeds("models", env=self.env())
        for part in (known[0], "Apache-2.0", "513 MB", str(folder), "eyeshot pull"):
            self.assertIn(part, text)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
