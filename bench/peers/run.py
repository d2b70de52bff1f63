#!/usr/bin/env python3
"""Measures Eyeshot and its peers side by side on this machine's CPU, one process after another, and prints a table.

  bench/peers/setup.sh                     once: the peers
  bench/peers/run.py                       everything (under an hour on two cores)
  bench/peers/run.py --quick --engines 'eyeshot*,llama*'
  bench/peers/run.py --json run.json --markdown run.md --svg run.svg
  bench/peers/run.py --from run.json --svg run.svg      the same results again, nothing measured

The model has SmolVLM-256M's shape and weights from a seed (bench/seeded_model.sh); all engines get the same weights.
An engine that is missing or fails stands in the table with its reason, and the run goes on.
"""
import argparse
import datetime
import fnmatch
import json
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
import time

import chart
import report
from engines import HERE, NATIVE, Engine, all_engines
from measure import RESULT

ROOT = HERE.parents[1]
PHOTO = ROOT / "tests/data/media/photos/astronaut.png"
# Instruction sets that decide which kernels an engine takes.
ISA_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")


def capture(*command: str) -> str:
    """What a command prints, or nothing if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> dict:
    """What the figures depend on."""
    info = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    flags = info.get("flags", "").split()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": info.get("model name", platform.processor()), "family": info.get("cpu family"),
            "model": info.get("model"), "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory,
            "isa": [flag for flag in ISA_FLAGS if flag in flags], "kernel": platform.release(),
            "commit": capture("git", "describe", "--always", "--dirty")}


def last_line(path: pathlib.Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def run_logged(command: list[str], log: pathlib.Path, timeout: float, variables: dict[str, str]) -> str:
    """Runs a process with its output in LOG.out and LOG.err; returns why it failed, or nothing."""
    out, err = log.with_suffix(".out"), log.with_suffix(".err")
    log.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, **variables},
                                   start_new_session=True)
        try:
            status = process.wait(timeout)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stop:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(stop, KeyboardInterrupt):
                raise
            return f"stopped after {timeout:.0f} s"
    if status < 0:
        return f"died by {signal.Signals(-status).name}"
    return f"exit {status}: {last_line(err)}" if status else ""


def save(results: dict, path: pathlib.Path | None) -> None:
    """Writes the results so far, if they are wanted."""
    if path:
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


class Run:
    """One run over the engines."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.peers = args.peers.resolve()
        self.files = self.peers / "models"
        self.logs = self.peers / "logs"
        self.python = str(self.peers / "venv/bin/python")
        self.model = pathlib.Path(capture(str(ROOT / "bench/seeded_model.sh"), "SmolVLM-256M-Instruct"))
        if not (self.model / "config.json").is_file():
            sys.exit("run.py: no model: build Eyeshot first (make build)")

    def prepare(self, engines: list[Engine]) -> dict[str, str]:
        """Makes the files that the engines need; returns why some could not be made."""
        kinds = ",".join(sorted({engine.variant for engine in engines if engine.family == "llama"}))
        steps = {
            ("photo-1080p.jpg",): [HERE / "make_photo.py", PHOTO, self.files / "photo-1080p.jpg"],
            tuple(f"text-{kind}.gguf" for kind in kinds.split(",")) + ("mmproj-f16.gguf",):
                [HERE / "make_gguf.py", self.model, self.files, "--types", kinds],
            ("tower-f32.onnx", "tower-int8.onnx"): [HERE / "export_tower.py", self.model, self.files],
            ("embeddings.npy", *(f"decoder-{weights}.xml" for weights in ("f16", "int8", "int4"))):
                [HERE / "export_decoder.py", self.model, self.files],
        }
        needed = {"photo-1080p.jpg"}.union(*(engine.files for engine in engines))
        unprepared = {}
        for files, command in steps.items():
            if needed.isdisjoint(files) or self.current(files, command[0]):
                continue
            self.files.mkdir(parents=True, exist_ok=True)
            for file in files:
                (self.files / file).unlink(missing_ok=True)
            print(f"making {', '.join(files)}", file=sys.stderr)
            reason = run_logged([self.python, *map(str, command)], self.logs / command[0].stem, 900, {})
            unprepared.update({file: f"{command[0].name}: {reason}" for file in files
                               if not (self.files / file).is_file()})
        return unprepared

    def current(self, files: tuple[str, ...], script: pathlib.Path) -> bool:
        """Whether files are there and no older than the model and the script that makes them."""
        sources = max(script.stat().st_mtime, (self.model / "model.safetensors").stat().st_mtime)
        return all((self.files / file).is_file() and (self.files / file).stat().st_mtime >= sources for file in files)

    def job(self, engine: Engine) -> dict:
        """What a worker is told (measure.py)."""
        args = self.args
        return {"model": str(self.model), "photo": str(self.files / "photo-1080p.jpg"), "files": str(self.files),
                "program": str(args.program), "variant": engine.variant, "threads": args.threads, "tiles": 13,
                "prefill": 1024, "depths": args.depths, "tokens": 8 if args.quick else 32, "repeat": args.repeat}

    def measure(self, engine: Engine, unprepared: dict[str, str]) -> dict:
        """Measures one engine: a line of the table."""
        row = {"engine": engine.name, "family": engine.family, "variant": engine.variant, "group": engine.isa,
               "load_average": os.getloadavg()[0], "failed": {}}
        if reason := engine.why_not(self.peers, unprepared):
            return row | {"failed": {"all": reason}}
        start = time.monotonic()
        log = self.logs / f"run-{engine.name.replace(':', '-')}"
        python = sys.executable if engine.family == "eyeshot" else self.python
        reason = run_logged([python, str(engine.worker), json.dumps(self.job(engine))], log, self.args.timeout,
                            engine.environment(self.peers, self.args.threads))
        for line in log.with_suffix(".out").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(RESULT):
                result = json.loads(line.removeprefix(RESULT))
                row["failed"].update(result.pop("failed", {}))
                row.update(result)
        if reason:
            row["failed"]["process"] = reason
        return row | {"seconds": round(time.monotonic() - start, 1)}

    def all(self) -> dict:
        """Measures all engines, one after another."""
        chosen = [engine for engine in all_engines(self.args.precisions, self.isas())
                  if any(fnmatch.fnmatch(engine.name, pattern) for pattern in self.args.engines)]
        unprepared = self.prepare(chosen)
        results = {"machine": machine(), "date": datetime.date.today().isoformat(),
                   "command": shlex.join(["bench/peers/run.py", *sys.argv[1:]]), "threads": self.args.threads,
                   "repeat": self.args.repeat, "quick": self.args.quick, "depths": self.args.depths, "rows": []}
        for number, engine in enumerate(chosen, 1):
            print(f"[{number}/{len(chosen)}] {engine.name}", end=" ", file=sys.stderr, flush=True)
            try:
                row = self.measure(engine, unprepared)
            except KeyboardInterrupt:
                print("interrupted: the report has the engines until here", file=sys.stderr)
                break
            results["rows"].append(row)
            save(results, self.args.json)
            words = [f"{row.get('seconds', 0)} s", *(f"{stage}: {why}" for stage, why in row["failed"].items())]
            print("; ".join(words), file=sys.stderr)
        return results

    def isas(self) -> list[str]:
        """The wanted instruction sets; by default this machine's own and those that setup.sh built llama.cpp for."""
        if self.args.isas:
            return self.args.isas
        return [NATIVE, *(isa for isa in ("avx512", "avx2") if (self.peers / f"llama-{isa}").is_dir())]


def split(text: str) -> list[str]:
    """A list with commas."""
    return [word for word in text.split(",") if word]


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build/peers", help="the folder of setup.sh")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/src/cli/eyeshot")
    parser.add_argument("--engines", type=split, default=["*"], help="names or patterns, as eyeshot*,llama:q8_0")
    parser.add_argument("--precisions", type=split, default=["exact", "int8"], help="of Eyeshot")
    parser.add_argument("--isas", type=split, help=f"of Eyeshot and llama.cpp, as {NATIVE},avx2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeat", type=int, help="runs that each median is of (5; 1 with --quick)")
    parser.add_argument("--depths", type=lambda text: [int(word) for word in split(text)],
                        help="contexts at which decoding is measured (0,1024,4096; 0,1024 with --quick)")
    parser.add_argument("--quick", action="store_true", help="to see that all of it works; no figures to quote")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one engine")
    parser.add_argument("--from", dest="source", type=pathlib.Path, help="take results from this JSON file")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    args = parser.parse_args()
    args.repeat = args.repeat or (1 if args.quick else 5)
    args.depths = args.depths or ([0, 1024] if args.quick else [0, 1024, 4096])
    return args


def main() -> None:
    """Measures, or reads results, and writes them in the wanted forms."""
    args = parse_arguments()
    results = json.loads(args.source.read_text(encoding="utf-8")) if args.source else Run(args).all()
    save(results, args.json)
    if args.markdown:
        args.markdown.write_text(report.markdown(results), encoding="utf-8")
    if args.svg:
        args.svg.write_text(chart.svg(results), encoding="utf-8")
    print(report.text(results), end="")


if __name__ == "__main__":
    main()
