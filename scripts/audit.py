#!/usr/bin/env python3
"""Measures the claims of docs/claims.md again and says which hold.

  scripts/audit.py               every claim that this machine can run
  scripts/audit.py C3 C7         only these
  scripts/audit.py --write C3    and write the new value, machine, date and verdict into the page

Exits with 1 when a claim fails. A claim that this machine lacks something for is not run and keeps its row.
"""
import argparse
import datetime
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sys

from claims import Claim, ClaimError, read_claims

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/claims.md"


def machine() -> str:
    """This machine in a few words: CPU, cores that this process may use, memory."""
    cpu = platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            cpu = line.partition(": ")[2]
            break
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory_gib:.0f} GiB"


def lacking(need: str) -> str | None:
    """What the machine lacks for a need, or None. docs/claims.md lists the kinds of needs."""
    kind, _, name = need.partition(":")
    if kind == "file":
        return None if (ROOT / os.path.expandvars(name)).exists() else f"needs the file {name}"
    if kind == "program":
        return None if shutil.which(name) else f"needs the program {name}"
    if kind == "python":
        return None if importlib.util.find_spec(name) else f"needs the Python package {name}"
    if kind == "cpu":
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return None if name in flags.split() else f"needs a CPU with {name}"
    if kind == "gpu":
        return None if shutil.which("nvidia-smi") else "needs a GPU"
    raise ClaimError(f"'{need}' is no need: file:, program:, python:, cpu: or gpu")


def run(claim: Claim, timeout_s: float) -> None:
    """Runs the claim's command; sets its value, machine, date and verdict."""
    try:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", claim.command], cwd=ROOT, timeout=timeout_s, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        value = claim.check.extract(done.stdout, done.returncode)
        claim.verdict = "holds" if claim.check.holds(value) else "fails"
        claim.value = f"{value} {claim.check.unit}".strip()
    except subprocess.TimeoutExpired:
        claim.value, claim.verdict = f"none in {timeout_s:g} s", "fails"
    except ClaimError as error:
        claim.value, claim.verdict = f"none: {error}", "fails"
    claim.machine = machine()
    claim.date = datetime.date.today().isoformat()


def main() -> int:
    """Runs the audit, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--write", action="store_true", help="write the results into docs/claims.md")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="of one command (600)")
    args = parser.parse_args()

    lines = PAGE.read_text(encoding="utf-8").splitlines()
    claims = read_claims("\n".join(lines))
    unknown = set(args.ids) - {claim.id for claim in claims}
    if unknown:
        parser.error(f"docs/claims.md has no {', '.join(sorted(unknown))}")

    counts = {"holds": 0, "fails": 0, "not run": 0}
    print(f"on {machine()}\n{'id':<5} {'verdict':<9} {'value':<24} {'must be':<24} claim", flush=True)
    for claim in claims:
        if args.ids and claim.id not in args.ids:
            continue
        reasons = [reason for reason in map(lacking, claim.needs) if reason]
        if reasons:
            verdict, value = "not run", "; ".join(reasons)
        else:
            run(claim, args.timeout)
            verdict, value = claim.verdict, claim.value
            lines[claim.line] = claim.renewed(lines[claim.line])
        counts[verdict] += 1
        must = f"{claim.check.op} {claim.check.bound} {claim.check.unit}".strip()
        print(f"{claim.id:<5} {verdict:<9} {value:<24} {must:<24} {claim.claim}", flush=True)
    if args.write:
        PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{counts['holds']} hold, {counts['fails']} fail, {counts['not run']} not run")
    return 1 if counts["fails"] else 0


if __name__ == "__main__":
    sys.exit(main())
