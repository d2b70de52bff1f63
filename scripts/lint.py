#!/usr/bin/env python3
"""Runs clang-tidy-19 on the sources of build/release/compile_commands.json.

  scripts/lint.py                all sources that are not known to be clean
  scripts/lint.py --seconds 300  no new file after this time (for CI); the next run takes others first
  scripts/lint.py src/base       only sources below these paths

A source that was clean is not examined again until it, a header that it includes, its compile command or .clang-tidy
changes (build/lint holds their checksums).
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
STAMPS = ROOT / "build/lint"


def own_headers(entry: dict) -> list[pathlib.Path]:
    """The project's headers that a source includes, asked of the compiler."""
    command = [word for word in entry["command"].split() if "ccache" not in word]
    output = subprocess.run([*command[:command.index("-o")], "-MM", entry["file"]], cwd=entry["directory"],
                            capture_output=True, text=True, check=False).stdout
    paths = (pathlib.Path(entry["directory"], word) for word in output.replace("\\\n", " ").split()[1:])
    return sorted(path for path in paths if path.is_relative_to(ROOT) and path.exists())


def checksum(entry: dict) -> str:
    """Changes when what clang-tidy would say about a source may change."""
    digest = hashlib.sha256(entry["command"].encode())
    for path in [ROOT / ".clang-tidy", pathlib.Path(entry["file"]), *own_headers(entry)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def examine(entry: dict, deadline: float) -> tuple[str, str]:
    """Returns ("clean" | "found" | "known" | "left", what clang-tidy said)."""
    if time.monotonic() > deadline:
        return "left", ""
    stamp = STAMPS / hashlib.sha256(entry["file"].encode()).hexdigest()[:16]
    current = checksum(entry)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == current:
        return "known", ""
    done = subprocess.run(["clang-tidy-19", "--quiet", "-p", str(BUILD), "--extra-arg=-Wno-unknown-warning-option",
                           entry["file"]], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        stamp.write_text(current, encoding="utf-8")
        return "clean", ""
    return "found", done.stdout or done.stderr


def main() -> int:
    """Examines the sources, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", default=["src", "tests", "bench", "examples"])
    parser.add_argument("--seconds", type=float, default=float("inf"))
    args = parser.parse_args()

    STAMPS.mkdir(parents=True, exist_ok=True)
    wanted = [(ROOT / path).resolve() for path in args.paths]
    entries = [entry for entry in json.loads((BUILD / "compile_commands.json").read_text(encoding="utf-8"))
               if any(pathlib.Path(entry["file"]).is_relative_to(path) for path in wanted)
               and not entry["file"].endswith(".cu")]  # clang-tidy sees their kernels in kernels_emulated.cc
    # Another order each minute, so that runs with a time limit see all files in the end.
    entries.sort(key=lambda entry: hashlib.sha256(f"{entry['file']} {int(time.time()) // 60}".encode()).digest())
    deadline = time.monotonic() + args.seconds
    counts = {"clean": 0, "known": 0, "found": 0, "left": 0}
    said: set[str] = set()
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        for verdict, output in pool.map(lambda entry: examine(entry, deadline), entries):
            counts[verdict] += 1
            # A finding in a header comes once with each source that includes it.
            if output and output not in said:
                said.add(output)
                print(output, flush=True)
    print(f"lint: {counts['clean']} clean, {counts['known']} known to be clean, {counts['found']} with findings, "
          f"{counts['left']} left for lack of time")
    return 1 if counts["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
