"""A server that a benchmark starts and ends: `eyeshot serve`, or any other by its command line."""
import argparse
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from client import Endpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 300  # a model of a gigabyte from a slow disk


def add_flags(parser: argparse.ArgumentParser, threads_type=int, threads=2) -> None:
    """The flags that say which server is measured."""
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/src/cli/eyeshot",
                        help="the eyeshot that is measured (default: of the release build)")
    parser.add_argument("--model", help="its model; without it the built-in one")
    parser.add_argument("--precision", help="exact, bf16, int8, ...; without it the program's own choice")
    parser.add_argument("--threads", type=threads_type, default=threads, help="its threads (default 2)")
    parser.add_argument("--serve", default="", help="more flags for eyeshot serve, as one text")


class Server:
    """`eyeshot serve` on a free port of loopback, from `with` to its end."""

    def __init__(self, args: argparse.Namespace, *flags: object, before: tuple = (), stderr=None, **changed):
        chosen = argparse.Namespace(**(vars(args) | changed))
        self.command = [*map(str, before), str(chosen.program), "serve", "--port", "0"]
        self.command += ["--threads", str(chosen.threads)]
        if chosen.model:
            self.command += ["--model", chosen.model]
        if chosen.precision:
            self.command += ["--precision", chosen.precision]
        self.command += [str(flag) for flag in flags] + shlex.split(chosen.serve)
        self.stderr = stderr
        self.log = tempfile.TemporaryFile("w+")
        self.process: subprocess.Popen | None = None
        self.endpoint = Endpoint("127.0.0.1", 0)
        self.model = ""

    def __enter__(self) -> "Server":
        environment = {key: value for key, value in os.environ.items() if key != "EYESHOT_MODEL"}
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.stderr or self.log, text=True,
                                        env=environment)
        first_line = self.process.stdout.readline()
        found = re.fullmatch(r"(.*) at http://[\d.]+:(\d+)", first_line.strip())
        if found is None:
            self.process.wait(timeout=60)
            raise RuntimeError(f"{shlex.join(self.command)} did not start: {self.log_text() or first_line}")
        self.model, self.endpoint = found[1], Endpoint("127.0.0.1", int(found[2]))
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.end()
        self.log.close()

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def log_text(self) -> str:
        """What it has said on standard error."""
        self.log.seek(0)
        return self.log.read()

    def rss_kib(self) -> int:
        """Resident memory."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

    def metrics(self) -> dict[str, float]:
        """The values at /metrics by name and labels."""
        url = f"http://127.0.0.1:{self.endpoint.port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as reply:
            lines = reply.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}

    def end(self, wait_s: float = 120) -> int:
        """Asks it to end and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Peer:
    """Another engine's server: a command line to start it, or "" where it runs already, and its URL."""

    def __init__(self, command: str, url: str):
        self.words = shlex.split(command)
        self.url = url
        self.endpoint = Endpoint.of(url)
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Peer":
        if self.words:
            self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_S
        while not self.healthy():
            if time.monotonic() > until or (self.process and self.process.poll() is not None):
                self.__exit__()
                raise RuntimeError(f"{self.url}/health does not answer: {shlex.join(self.words)}")
            time.sleep(0.3)
        return self

    def healthy(self) -> bool:
        """It says that it takes requests."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def __exit__(self, *_) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
