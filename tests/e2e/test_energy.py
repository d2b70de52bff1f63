#!/usr/bin/env python3
"""Runs the commands about energy and clocks as a user would: test_energy.py PROGRAM [CLASS...]."""
import base64
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import unittest
from xml.etree import ElementTree

import test_program as program


class Energy(program.ProgramTest):
    """eyeshot energy -- COMMAND"""

    NO_GPU = {"EYESHOT_NVML": "/nonexistent/libnvidia-ml.so"}

    def machine(self, microjoules: int = 1_000_000) -> pathlib.Path:
        """A tree of sysfs with a package and memory, whose counters a command can move."""
        for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
            folder = self.folder / "sys/class/powercap" / zone
            folder.mkdir(parents=True)
            (folder / "name").write_text(name + "\n")
            (folder / "max_energy_range_uj").write_text("262143328850\n")
            (folder / "energy_uj").write_text(f"{microjoules}\n")
        return self.folder / "sys"

    def counter(self, zone: str = "intel-rapl:0") -> pathlib.Path:
        """The file of a counter of machine()."""
        return self.folder / "sys/class/powercap" / zone / "energy_uj"

    def test_joules_of_a_command(self):
        sysfs = self.machine()
        script = f"sleep 0.2; echo 13500000 > {self.counter()}; echo 2000000 > {self.counter('intel-rapl:0:0')}; sleep 0.1"
        result = json.loads(self.succeeds("energy", "--json", "--sysfs", sysfs, "--", "sh", "-c", script,
                                          env=self.NO_GPU))
        package, dram = result["meters"]
        self.assertEqual((package["domain"], dram["domain"]), ("package", "dram"))
        self.assertAlmostEqual(package["joules"]["value"], 12.5, 6)
        self.assertAlmostEqual(dram["joules"]["value"], 1, 6)
        self.assertAlmostEqual(result["total_joules"]["value"], 13.5, 6)
        self.assertEqual((package["joules"]["source"], package["measured"]), ("rapl", True))
        self.assertLessEqual(package["joules"]["low"], 12.5)
        self.assertGreaterEqual(package["joules"]["high"], 12.5)
        self.assertGreater(result["seconds"], 0.29)
        self.assertEqual(result["command"], ["sh", "-c", script])
        self.assertEqual([missing["meter"] for missing in result["not_read"]], ["NVIDIA GPU by NVML"])

    def test_text_goes_to_standard_error(self):
        sysfs = self.machine()
        code, out, err = program.run("energy", "--sysfs", sysfs, "--", "sh", "-c",
                             f"echo hello; sleep 0.1; echo 3000000 1<> {self.counter()}; sleep 0.05", env=self.NO_GPU)
        self.assertEqual((code, out), (0, "hello\n"), err)
        self.assertRegex(err, r"(?m)^package +2 J .* measured by intel-rapl:0 package-0$")

    def test_the_exit_code_and_the_arguments_are_the_commands(self):
        sysfs = self.machine()
        self.assertEqual(program.run("energy", "--sysfs", sysfs, "--", "sh", "-c", "exit 7")[0], 7)
        self.assertEqual(program.run("energy", "--sysfs", sysfs, "--", "sh", "-c", "kill -TERM $$")[0], 143)
        out = self.succeeds("energy", "--sysfs", sysfs, "--", "printf", "%s|", "--json", "[1,2]", "ask", "--", "-h", "")
        self.assertEqual(out, "--json|[1,2]|ask|--|-h||")
        self.fails(127, ["no-such-program", "can't be run"], "energy", "--sysfs", sysfs, "--", "no-such-program")
        self.fails(126, ["can't be run"], "energy", "--sysfs", sysfs, "--", self.folder)
        self.fails(2, ["no command"], "energy", "--")
        self.fails(2, ["--jsonn"], "energy", "--jsonn", "--", "true")

    def test_without_a_meter_it_says_what_to_do(self):
        marker = self.folder / "ran"
        self.fails(1, ["the command was not run", "RAPL by powercap", "RAPL by perf events", "NVIDIA GPU by NVML",
                       "virtual machines", "--cpu-watts"],
                   "energy", "--sysfs", self.folder, "--", "touch", marker, env=self.NO_GPU)
        self.assertFalse(marker.exists())
        out = self.fails(1, [], "energy", "--json", "--sysfs", self.folder, "--", "true", env=self.NO_GPU)
        self.assertEqual(len(json.loads(out)["not_read"]), 3)

    def test_an_estimate_is_always_said_to_be_one(self):
        arguments = ["energy", "--cpu-watts", "40,5", "--sysfs", self.folder, "--", "sleep", "0.5"]
        code, _, err = program.run(*arguments, env=self.NO_GPU)
        self.assertEqual(code, 0, err)
        self.assertIn("an ESTIMATE, not a measurement", err)
        self.assertIn("Not read:", err)
        meter = json.loads(self.succeeds(arguments[0], "--json", *arguments[1:], env=self.NO_GPU))["meters"][0]
        self.assertEqual((meter["joules"]["source"], meter["measured"]), ("model", False))
        self.assertGreater(meter["joules"]["value"], 40 * 0.5)
        self.fails(1, ["no power of a machine"], "energy", "--cpu-watts=-1,5", "--", "true")
        self.fails(2, ["cpu-watts"], "energy", "--cpu-watts", "40", "--", "true")

    def test_idle_power_is_shown_apart(self):
        result = json.loads(self.succeeds("energy", "--json", "--cpu-watts", "40,0", "--idle-seconds", 0.3, "--sysfs",
                                          self.folder, "--", "sleep", "0.3", env=self.NO_GPU))
        meter = result["meters"][0]
        self.assertAlmostEqual(meter["idle_w"], 40, 0)
        self.assertLess(meter["active_joules"]["value"], 2)

    def test_broken_counters_have_no_figure(self):
        for text, reason in (("5", "reset"), ("", "is empty"), ("watts", "is no number"), ("99999999999", "reset")):
            with self.subTest(text):
                sysfs = self.machine(50_000_000_000)
                out = self.succeeds("energy", "--json", "--sysfs", sysfs, "--", "sh", "-c",
                                    f"sleep 0.1; printf '%s' '{text}' > {self.counter()}", env=self.NO_GPU)
                meter = json.loads(out)["meters"][0]
                self.assertIsNone(meter["joules"])
                self.assertIn(reason, meter["note"])
                shutil.rmtree(sysfs)

    def test_the_report_goes_into_a_file(self):
        report = self.folder / "report.json"
        self.assertEqual(self.succeeds("energy", "--json", "-o", report, "--cpu-watts", "1,1", "--", "echo", "hi"), "hi\n")
        self.assertEqual(json.loads(report.read_text())["exit_code"], 0)


class Clocks(program.ProgramTest):
    """eyeshot tune, --governor"""

    HIGHEST = "3600000"

    def setUp(self):
        super().setUp()
        self.policy = self.folder / "sys/devices/system/cpu/cpufreq/policy0"
        self.policy.mkdir(parents=True)
        for name, khz in (("cpuinfo_min_freq", "800000"), ("cpuinfo_max_freq", self.HIGHEST),
                          ("scaling_max_freq", self.HIGHEST), ("scaling_cur_freq", "800000")):
            (self.policy / name).write_text(khz + "\n")
        self.limit = self.policy / "scaling_max_freq"
        self.lease = self.folder / "run/clocks.json"
        self.env = Energy.NO_GPU | {"EYESHOT_SYSFS": str(self.folder / "sys"), "EYESHOT_LEASE": str(self.lease)}
        self.profile = self.folder / "profile.json"

    def khz(self) -> int:
        return int(self.limit.read_text() or self.HIGHEST)  # between truncation and writing it is empty

    def with_power(self, *arguments) -> tuple[str, set[int]]:
        """Runs on a machine of 60 W, and 40 W more by the cube of the clock. Returns also the limits that were seen."""
        folder = self.folder / "sys/class/powercap/intel-rapl:0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text("package-0\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        counter = folder / "energy_uj"
        counter.write_text("000001000000\n")
        stop, seen = threading.Event(), set()

        def drive():
            with open(counter, "r+b", buffering=0) as file:
                joules, last = 1.0, time.monotonic()
                while not stop.is_set():
                    now, khz = time.monotonic(), self.khz()
                    seen.add(khz)
                    joules += (now - last) * (60 + 40 * (khz / 3600000) ** 3)
                    last = now
                    os.pwrite(file.fileno(), b"%012d\n" % int(joules * 1e6), 0)
                    time.sleep(0.001)

        driver = threading.Thread(target=drive)
        driver.start()
        try:
            return self.succeeds(*arguments, env=self.env), seen
        finally:
            stop.set()
            driver.join()

    def test_clocks_are_not_touched_without_leave(self):
        for arguments in (["--governor", "fixed:1000"], ["--power-limit", 100], ["--energy-preference", "power"]):
            self.fails(1, ["--allow-clocks"], "ask", *arguments, program.DEMO / "receipt.png", "What is the total?",
                       env=self.env)
        self.assertEqual(self.khz(), 3600000)
        self.fails(1, ["eyeshot tune"], "ask", "--governor", "one-clock", "--allow-clocks", "--profile", self.profile,
                   program.DEMO / "receipt.png", "What is the total?", env=self.env)

    def tune(self) -> tuple[dict, float]:
        """What it measures, and how far its watts are from the machine's at most, as a share."""
        out, seen = self.with_power("tune", "--json", "--device", "cpu", "-t", 1, "--allow-clocks", "--clocks", 2,
                                    "--size", "64x64", "--tokens", 4, "--seconds", 0.5, "-o", self.profile)
        self.assertEqual(seen, {800000, 3600000})
        self.assertEqual(self.khz(), 3600000)
        result = json.loads(out)
        points = [point for stage in ("encode", "decode") for point in zip(result["stages"][stage], (60.4, 100))]
        return result, max(abs(point["joules"] / point["seconds"] / watts - 1) for point, watts in points)

    def test_a_measured_profile_sets_the_clock_for_the_time_of_a_run(self):
        # Powers of stages are solved from phases of half a second: where the machine's pace changes between two of
        # them, because others have work, they are off, and are measured again.
        for _ in range(4):
            result, error = self.tune()
            if error <= 0.15:
                break
        self.assertLessEqual(error, 0.15)
        self.assertEqual(result["energy_source"], "rapl")
        # The clock of this machine is a file: stages take as long at any.
        governors = {row["governor"]: row for row in result["governors"]}
        self.assertLess(governors["oracle"]["joules"], 0.9 * governors["race-to-idle"]["joules"])
        out, seen = self.with_power("ask", "--json", "--device", "cpu", "-t", 1, "--governor", "fixed:800",
                                    "--allow-clocks", program.DEMO / "receipt.png", "What is the total?")
        self.assertIn(800000, seen)
        self.assertIn("fixed:800: encode 800, prefill 800, decode 800 MHz", json.loads(out)["governor"])
        self.assertEqual(self.khz(), 3600000)
        self.assertFalse(self.lease.exists())

    def test_answers_are_scored_at_a_governor(self):
        out, seen = self.with_power("eval", program.EVAL / "questions.jsonl", "--limit", 2, "--json", "--device", "cpu",
                                    "-t", 1, "--detail", "low", "-n", 4, "--allow-clocks",
                                    "--out", self.folder / "out.jsonl", "--sweep", "governor=fixed:800,race-to-idle")
        self.assertEqual(seen, {800000, 3600000})
        self.assertEqual(self.khz(), 3600000)
        self.assertFalse(self.lease.exists())
        result = json.loads(out)
        self.assertIn("fixed:800: encode 800", result["governors"][0])
        low, high = (point["total"] for point in result["points"])
        # 60.4 W against 100 W, for as long.
        self.assertLess(low["joules"]["rapl"]["value"] / low["ms"], 0.8 * high["joules"]["rapl"]["value"] / high["ms"])
        for total in (low, high):
            each = total["joules_per_correct"]["rapl"]
            if total["exact"] == 0:
                self.assertIsNone(each)
            else:
                self.assertAlmostEqual(each["value"] * total["exact"] / total["joules"]["rapl"]["value"], 2, delta=1e-6)
        self.fails(1, ["--allow-clocks"], "eval", program.EVAL / "questions.jsonl", "--limit", 1, "--governor",
                   "fixed:800", env=self.env)

    def test_a_killed_run_leaves_no_clock_behind(self):
        environment = os.environ | self.env
        chat = subprocess.Popen([program.PROGRAM, "chat", "--quiet", "--device", "cpu", "--governor", "fixed:1000",
                                 "--allow-clocks"], stdin=subprocess.PIPE, env=environment)
        try:
            self.wait_for(lambda: self.khz() == 1000000)
        finally:
            chat.kill()
        self.wait_for(lambda: self.khz() == 3600000 and not self.lease.exists())
        chat.communicate()

    def serve(self, *arguments) -> tuple[subprocess.Popen, int]:
        """A server, and its port."""
        server = subprocess.Popen([program.PROGRAM, "serve", "--port", "0", "--device", "cpu", "-t", "1", "--allow-clocks",
                                   *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=os.environ | self.env)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        return server, int(server.stdout.readline().rsplit(":", 1)[1])

    def asks(self, port: int, **more) -> dict:
        """A question about a picture to a server."""
        picture = base64.b64encode((program.DEMO / "receipt.png").read_bytes()).decode()
        content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + picture, "detail": "low"}},
                   {"type": "text", "text": "What is the total?"}]
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 64, "ignore_eos": True} | more
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        self.assertEqual(reply.status, 200, text)
        return json.loads(text)

    def limits_while(self, function) -> list[int]:
        """The limits that were seen while a function ran, each as often as it came."""
        stop, seen = threading.Event(), []

        def look():
            while not stop.is_set():
                khz = self.limit.read_text()  # empty between truncation and writing
                if khz and (not seen or seen[-1] != int(khz)):
                    seen.append(int(khz))
                time.sleep(0.0005)

        looker = threading.Thread(target=look)
        looker.start()
        try:
            function()
        finally:
            stop.set()
            looker.join()
        return seen

    def test_a_server_follows_the_stage(self):
        server, port = self.serve("--governor", "decode-low", "--phase-ms", "500")
        # Encode and prefill at the highest, then decoding for longer than a clock is kept at least.
        self.assertEqual(self.limits_while(lambda: self.asks(port, max_tokens=512)), [3600000, 1800000])
        self.assertEqual(self.limits_while(lambda: self.asks(port, max_tokens=512)), [1800000, 3600000, 1800000])
        server.terminate()
        _, log = server.communicate(timeout=60)
        self.assertEqual(server.returncode, 0, log)
        self.assertIn("governor decode-low: encode 3600, prefill 3600, decode 1800 MHz; ", log)
        self.assertNotIn("--phase-ms gathers", log)
        self.assertEqual(self.khz(), 3600000)
        self.assertFalse(self.lease.exists())

    def test_a_server_rests_between_requests(self):
        server, port = self.serve("--governor", "ondemand")
        self.asks(port)
        self.wait_for(lambda: self.khz() == 800000)
        self.assertIn(3600000, self.limits_while(lambda: self.asks(port)))
        self.wait_for(lambda: self.khz() == 800000)
        server.terminate()
        server.communicate(timeout=60)
        self.assertEqual(self.khz(), 3600000)

    def test_a_server_that_is_hurried_puts_clocks_back(self):
        server, port = self.serve("--governor", "fixed:1000")
        body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1500, "ignore_eos": True,
                           "stream": True})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        self.assertTrue(connection.getresponse().readline())  # it has begun
        server.terminate()
        time.sleep(0.1)
        self.assertEqual(self.khz(), 1000000, "the answer may end first")
        server.terminate()
        _, log = server.communicate(timeout=60)
        connection.close()
        self.assertEqual(server.returncode, 130, log)
        self.assertIn("answers were cut off", log)
        self.assertEqual(self.khz(), 3600000)
        self.assertFalse(self.lease.exists())

    def test_a_server_that_is_killed_leaves_no_clock_behind(self):
        server, _ = self.serve("--governor", "fixed:1000")
        self.assertEqual(self.khz(), 1000000)
        server.kill()
        self.wait_for(lambda: self.khz() == 3600000 and not self.lease.exists())

    def test_a_server_says_what_it_lacks(self):
        self.fails(1, ["--governor ondemand", "--allow-clocks"], "serve", "--port", 0, "--governor", "ondemand", env=self.env)
        self.fails(1, ["eyeshot tune"], "serve", "--port", 0, "--governor", "one-clock", "--allow-clocks", "--profile",
                   self.profile, env=self.env)
        self.assertEqual(self.khz(), 3600000)
        server, _ = self.serve("--governor", "encode-low")
        server.terminate()
        self.assertIn("--phase-ms gathers", server.communicate(timeout=60)[1])

    def test_a_batch_at_a_governor(self):
        requests = self.folder / "requests.jsonl"
        requests.write_text(json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {
            "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}}) + "\n")
        out, seen = self.with_power("batch", "--json", "--device", "cpu", "-t", 1, "--governor", "fixed:800",
                                    "--allow-clocks", requests, self.folder / "answers.jsonl")
        self.assertIn(800000, seen)
        self.assertIn("fixed:800: encode 800", json.loads(out)["governor"])
        self.assertEqual(self.khz(), 3600000)

    def wait_for(self, condition):
        for _ in range(3000):
            if condition():
                return
            time.sleep(0.01)
        self.fail("it didn't happen in 30 s")

    def test_gears_take_the_threads_that_were_found_enough(self):
        out = self.succeeds("tune", "--json", "--device", "cpu", "-t", 2, "-o", self.profile, env=self.env)
        result = json.loads(out)
        self.assertEqual([point["threads"] for point in result["threads"]], [1, 2])
        self.assertIn(result["decode_threads"], (1, 2))
        self.assertEqual(result["governors"], [])
        changed = json.loads(self.profile.read_text())
        changed["decode_threads"] = 1
        self.profile.write_text(json.dumps(changed))
        question = [program.DEMO / "receipt.png", "What is the total?"]
        plain = json.loads(self.succeeds("ask", "--json", "--device", "cpu", "-t", 2, *question, env=self.env))
        gears = json.loads(self.succeeds("ask", "--json", "--device", "cpu", "-t", 2, "--governor", "gears",
                                         "--profile", self.profile, *question, env=self.env))
        self.assertEqual(gears["governor"], "governor gears: threads while decoding: 1")
        self.assertEqual(gears["answer"], plain["answer"])
        changed["model"] = "another"
        self.profile.write_text(json.dumps(changed))
        self.fails(1, ["another", "eyeshot tune"], "ask", "-t", 2, "--device", "cpu", "--governor", "gears",
                   "--profile", self.profile, *question, env=self.env)


class EnergyOfQuestions(program.ProgramTest):
    """eyeshot energy"""

    ARGUMENTS = ["energy", "--json", "--device", "cpu", "--sizes", "512x512", "--tokens", "8", "--runs", 2,
                 "--seconds", 0.5, "--idle-seconds", 0.2]

    def drive(self, counter: pathlib.Path, watts: float, rise: float, stop: threading.Event) -> None:
        """Moves a counter as a machine of that power does, which rises each second."""
        with open(counter, "r+b", buffering=0) as file:
            begin = time.monotonic()
            while not stop.is_set():
                seconds = time.monotonic() - begin
                microjoules = int((seconds * watts + seconds * seconds * rise / 2) * 1e6) + 1_000_000
                os.pwrite(file.fileno(), b"%012d\n" % microjoules, 0)
                time.sleep(0.001)

    def with_power(self, watts: float, *arguments, rise: float = 0, env: dict[str, str] = {}) -> str:
        """What the program prints on a machine whose package takes that power, or more each second."""
        folder = self.folder / "sys/class/powercap/intel-rapl:0"
        folder.mkdir(parents=True)
        (folder / "name").write_text("package-0\n")
        (folder / "max_energy_range_uj").write_text("262143328850\n")
        (folder / "energy_uj").write_text("000001000000\n")
        stop = threading.Event()
        driver = threading.Thread(target=self.drive, args=(folder / "energy_uj", watts, rise, stop))
        driver.start()
        try:
            return self.succeeds(*arguments, env=Energy.NO_GPU | env)
        finally:
            stop.set()
            driver.join()

    def test_an_answers_stages_have_joules(self):
        result = json.loads(self.with_power(100, "ask", "--json", "--device", "cpu", program.DEMO / "receipt.png",
                                            "What is the total?", env={"EYESHOT_SYSFS": str(self.folder / "sys")}))
        stages = {stage["name"]: stage for stage in result["stages"]}
        encode = stages["encode"]
        self.assertEqual(encode["joules"]["source"], "rapl")
        self.assertAlmostEqual(encode["joules"]["value"] / (encode["wall_ms"] * 0.1), 1, delta=0.1)
        self.assertEqual(stages["connect"]["joules"]["source"], "model", "it is too short: an estimate")
        for stage in stages.values():
            self.assertGreaterEqual(stage["joules"]["value"] or 0, 0)

    def test_a_batchs_joules(self):
        requests = [{"custom_id": str(i), "method": "POST", "url": "/v1/completions",
                     "body": {"prompt": "Hello", "max_tokens": 256, "ignore_eos": True}} for i in range(4)]
        (self.folder / "requests.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))
        result = json.loads(self.with_power(100, "batch", "--json", "--device", "cpu", self.folder / "requests.jsonl",
                                            self.folder / "answers.jsonl", env={"EYESHOT_SYSFS": str(self.folder / "sys")}))
        self.assertEqual(result["joules"]["source"], "rapl")
        self.assertAlmostEqual(result["joules"]["value"] / (result["seconds"] * 100), 1, delta=0.1)

    def side_by_side(self, batches: list) -> None:
        batch, = batches
        self.assertEqual((batch["input"], batch["batch"], len(batch["joules_of_each"])), ("512x512 x 1", 3, 3))
        whole = batch["joules_of_questions"]
        self.assertEqual(whole["source"], "rapl")
        # Two batches one after the other, at 100 W; the time between them is nobody's.
        self.assertAlmostEqual(whole["value"] / (2 * batch["batch_ms"] * 0.1), 1, delta=0.15)
        stages = {stage["name"]: stage["joules"] for stage in batch["stages"]}
        self.assertGreater(stages["encode"]["value"], stages["prefill"]["value"])
        self.assertAlmostEqual(sum(joules["value"] or 0 for joules in stages.values()) * 6 / whole["value"], 1, 4)
        last = [joules["value"] for joules in batch["joules_of_each"]]
        self.assertLess(max(last), 2 * min(last), "their pictures and answers are as long")

    def test_a_correct_answers_joules(self):
        questions = [{"images": [str(program.DEMO / "receipt.png")], "question": "What is the total?", "answer": "$18.36"},
                     {"images": [str(program.DEMO / "icon.png")], "question": "What is this?", "answer": "A house."}]
        (self.folder / "set.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
        result = json.loads(self.with_power(100, "energy", "--json", "--device", "cpu", "--set", self.folder / "set.jsonl",
                                            "--detail", "reference", "--tokens", 1, "--runs", 1, "--seconds", 0.1,
                                            "--idle-seconds", 0.1, "--sysfs", self.folder / "sys"))
        figure = result["set"]
        self.assertEqual((figure["questions"], figure["exact"]), (2, 1))
        joules = figure["cpu"]["j_per_correct_answer"]
        self.assertAlmostEqual(joules["value"] / (figure["seconds"] * 100), 1, delta=0.1)
        self.assertEqual([request["input"] for request in result["requests"]], ["text"])

    def test_a_set_learns_from_its_answers(self):
        """The machine is said to be far faster than any: after the first answer no budget of 5 ms is kept."""
        questions = [{"id": name, "images": [str(program.DEMO / "icon.png")], "question": "What is this?", "answer": "?"}
                     for name in ("first", "second")]
        (self.folder / "set.jsonl").write_text("".join(json.dumps(question) + "\n" for question in questions))
        self.fails(1, ["question second", "predicted to take"], "energy", "--json", "--device", "cpu", "--set",
                   self.folder / "set.jsonl", "--detail", "low", "--reduce", "stride:5ms", "--tokens", 1, "--runs", 1,
                   "--seconds", 0.1, "--idle-seconds", 0.1,
                   env=Energy.NO_GPU | program.known_speed(self.folder, picoseconds=0.01))

    def test_known_power_gives_known_joules(self):
        out = self.with_power(100, *self.ARGUMENTS, "--sysfs", self.folder / "sys", "--html",
                              self.folder / "report.html", "--batch", 3)
        result = json.loads(out)
        self.side_by_side(result["batches"])
        self.assertEqual([meter["source"] for meter in result["meters"]], ["rapl"])
        self.assertAlmostEqual(result["meters"][0]["idle_w"], 100, delta=3)
        self.assertEqual([request["input"] for request in result["requests"]], ["text", "512x512 x 1"])
        for request in result["requests"]:
            whole = request["cpu"]["joules"]
            self.assertAlmostEqual(whole["value"] / (request["ms"] * 0.1), 1, delta=0.05)
            self.assertEqual((request["cpu"]["runs"], request["cpu"]["repeatable"]), (2, whole["spread"] <= 0.03))
            self.assertAlmostEqual(sum(stage["cpu"]["joules"]["value"] for stage in request["stages"]), whole["value"], 6)
            for stage in request["stages"]:
                joules = stage["cpu"]["joules"]
                self.assertGreaterEqual(joules["value"], 0)
                self.assertEqual(joules["source"], "model" if stage["cpu"]["below_resolution"] else "rapl")
        page = (self.folder / "report.html").read_text()
        for words in ("<svg", "prefers-color-scheme:dark", "512x512 x 1, 8 tokens out", "intel-rapl:0 package-0",
                      "Power over the last run", "NVIDIA GPU by NVML", "</html>"):
            self.assertIn(words, page)
        self.assertNotRegex(page, r"https?://|<script|src=|url\(", "it asks for nothing from elsewhere")
        inflation = result["requests"][1]["cpu"]["inflation"]
        self.assertGreater(inflation["prompt_only"]["value"], inflation["iso_token"]["value"])
        self.assertAlmostEqual(inflation["encode_share"]["value"] + inflation["token_share"]["value"],
                               inflation["prompt_only"]["value"], 6)

    def test_what_is_not_repeatable_is_said(self):
        arguments = [argument for argument in self.ARGUMENTS if argument != "--json"]
        text = self.with_power(100, *arguments, "--sysfs", self.folder / "sys", rise=30)
        self.assertRegex(text, r"request: .* spread [\d.]+ % over 2 runs, MORE than 3 %")
        self.assertRegex(text, r"NOT repeatable to 3 %: text, 8 tokens: [\d.]+ % \(cpu\); 512x512 x 1, 8 tokens: ")

    def test_without_a_meter_joules_are_a_models(self):
        result = json.loads(self.succeeds(*self.ARGUMENTS, "--sysfs", self.folder, env=Energy.NO_GPU))
        meter, = result["meters"]
        self.assertEqual((meter["source"], meter["measured"], meter["stand_in"]), ("model", False, True))
        self.assertEqual(len(result["not_read"]), 3)
        self.assertGreater(result["requests"][1]["ms"], result["requests"][0]["ms"])
        for request in result["requests"]:
            self.assertEqual(request["model"]["joules"]["source"], "model")
            self.assertIsNone(request["model"]["repeatable"])
            for stage in request["stages"]:
                self.assertEqual(stage["model"]["joules"]["source"], "model")
        arguments = [argument for argument in self.ARGUMENTS if argument != "--json"]
        text = self.succeeds(*arguments, "--sysfs", self.folder, "--machine", "xeon-amx", env=Energy.NO_GPU)
        for words in ("No meter of energy can be read", "a MODEL's estimate", "Xeon", "by a model, an ESTIMATE", "RAPL by powercap",
                      "virtual machines"):
            self.assertIn(words, text)

    def test_what_cant_be_is_said(self):
        self.fails(1, ["--sizes 12", "WIDTHxHEIGHT"], "energy", "--device", "cpu", "--sizes", "12", "--idle-seconds", 0.1)
        self.fails(1, ["of 1 pictures"], "energy", program.DEMO / "receipt.png", "--images-per-question", 2, "--device", "cpu",
                   "--idle-seconds", 0.1)


class EnergyCompare(program.ProgramTest):
    """eyeshot energy compare, and what joules cost"""

    def test_measured_rows_are_told_from_simulated_ones(self):
        result = json.loads(self.succeeds("energy", "compare", "--models", "SmolVLM-256M,LLaVA-1.5-7B", "--json"))
        for model in result["models"]:
            measured, simulated = model["rows"]
            self.assertEqual((measured["simulated"], measured["joules"]["source"]), (False, "nvml_counter"))
            self.assertEqual((simulated["simulated"], simulated["joules"]["source"]), (True, "model"))
            self.assertAlmostEqual(sum(stage["joules_share"] for stage in simulated["stages"]), 1)
            self.assertEqual(len(model["pictures"]), 16)
            self.assertIn(model["advised"], [lever["lever"] for lever in model["levers"]])
        self.assertEqual([matrix["pairs"] for matrix in result["regret"]], [2, 2])
        longer = json.loads(self.succeeds("energy", "compare", "--models", "SmolVLM-256M", "--output", 65, "--json"))
        self.assertEqual([row["simulated"] for row in longer["models"][0]["rows"]], [True])

    def test_charts_and_errors(self):
        page = self.folder / "models.html"
        out = self.succeeds("energy", "compare", "--models", "InternVL3-8B,Qwen2.5-VL-7B", "--svg", self.folder, "--html", page)
        self.assertIn("measured, eager transformers, H100", out)
        for name in ("stages", "classes", "inflation", "pictures", "regret"):
            chart = ElementTree.fromstring((self.folder / f"{name}.svg").read_text())
            self.assertIn("InternVL3", "".join(chart.itertext()))
        self.assertEqual(page.read_text().count("<h2>"), 6)
        self.fails(1, ["no simulated model 'x'", "InternVL3-8B"], "energy", "compare", "--models", "x")
        self.fails(1, ["no such folder"], "energy", "compare", "--models", "SmolVLM-256M", "--svg", self.folder / "none")
        self.fails(2, ["measures no command"], "energy", "compare", "--", "true")

    def test_costs_follow_a_series(self):
        grid = self.folder / "grid.csv"
        grid.write_text("time,g_per_kwh\n2026-11-26T00:00Z,400\n2026-11-26T01:00Z,100\n")
        arrivals = self.folder / "arrivals.txt"
        arrivals.write_text("0\n10\n20\n")

        def grams(*arguments):
            rows = json.loads(self.succeeds("simulate", "policies", "--arrivals", arrivals, "--json", "--policy", "slo",
                                            *arguments))["rows"]
            return rows[0]["co2_g"]

        constant = grams("--grid-g-per-kwh", 400)
        self.assertEqual(constant["source"], "model")
        self.assertAlmostEqual(constant["high"] / constant["value"], 1.3)
        self.assertAlmostEqual(grams("--grid", grid)["value"], constant["value"])
        self.assertAlmostEqual(grams("--grid", grid, "--start", "2026-11-26T02:00+01:00")["value"], constant["value"] / 4)
        between = grams("--grid", grid, "--start", "2026-11-26T00:59:50Z")["value"]
        self.assertLess(constant["value"] / 4, between)
        self.assertLess(between, constant["value"])
        self.fails(1, ["grid.csv holds from 2026-11-26T00:00:00Z to 2026-11-26T02:00:00Z"], "simulate", "policies",
                   "--grid", grid, "--start", "2026-11-26T01:59:50Z")
        self.fails(1, ["line 1 is", "time,price_per_kwh"], "simulate", "--tariff", grid)

    def test_policies_are_drawn(self):
        file = self.folder / "policies.svg"
        self.succeeds("simulate", "policies", "--requests", 50, "--svg", file)
        words = "".join(ElementTree.fromstring(file.read_text()).itertext())
        for name in ("race-to-idle", "oracle-bound", "phases, memory-safe", "2 pools, own clocks", "imulated"):
            self.assertIn(name, words)

    def test_phases_of_several_lengths(self):
        file = self.folder / "phases.svg"
        result = json.loads(self.succeeds("simulate", "phases", "--model", "Qwen2.5-VL-7B", "--requests", 200, "--rate", 6,
                                          "--batch", 64, "--output", 256, "--json", "--svg", file))
        self.assertTrue(result["simulated"])
        rows = {row["policy"]: row for row in result["rows"]}
        self.assertEqual(sorted({row["phase_ms"] for row in result["rows"]}), [0, 125, 250, 500, 1000, 2000, 4000])
        self.assertLess(rows["4000 ms, memory-safe"]["switches"], rows["0 ms, memory-safe"]["switches"])
        self.assertEqual(rows["4000 ms, one-clock"]["switches"], 0)
        self.assertEqual(rows["0 ms, highest"]["joules"]["source"], "model")
        cheapest = rows[result["cheapest_in_time"]]
        self.assertLessEqual(cheapest["p95_change"], 0.05)
        for row in result["rows"]:
            if row["p95_change"] <= 0.05:
                self.assertLessEqual(cheapest["joules"]["value"], row["joules"]["value"])
        words = "".join(ElementTree.fromstring(file.read_text()).itertext())
        for name in ("stage-table", "4000 ms", "imulated"):
            self.assertIn(name, words)
        self.assertIn("policy (simulated)", self.succeeds("simulate", "phases", "--requests", 50))

    def test_a_measured_cost_is_no_estimate(self):
        machine = Energy.machine(self)
        script = f"sleep 0.2; echo 37000000 > {machine}/class/powercap/intel-rapl:0/energy_uj; sleep 0.1"
        result = json.loads(self.succeeds("energy", "--json", "--grid", 400, "--tariff", 0.3, "--sysfs", machine, "--", "sh",
                                          "-c", script, env=Energy.NO_GPU))
        package = result["meters"][0]
        self.assertAlmostEqual(package["co2_g"]["value"], 36 / 3.6e6 * 400, 9)
        self.assertAlmostEqual(package["price"]["high"] / package["price"]["value"],
                               package["joules"]["high"] / package["joules"]["value"])
        self.assertEqual(package["price"]["source"], "rapl")
        _, _, err = program.run("energy", "--grid", 400, "--cpu-watts", "40,8", "--sysfs", self.folder / "none", "--", "sleep",
                        "0.3", env=Energy.NO_GPU)
        self.assertRegex(err, r"g CO2 \(.*\), an estimate")
        old = self.folder / "old.csv"
        old.write_text("time,g_per_kwh\n0,400\n3600,300\n")
        self.fails(1, ["old.csv holds from 1970-01-01"], "energy", "--grid", old, "--", "true")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
