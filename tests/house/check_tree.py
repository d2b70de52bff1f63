#!/usr/bin/env python3
"""Checks the tracked tree: at most 56 MiB, no paths of a developer's machine, no unfinished-work markers, no files that a
fuzzer wrote into a folder of data.

`check_tree.py --size` prints the size alone.
"""
import re
import sys

from repository import ROOT, report, tracked_files

LIMIT_MIB = 56  # a GPU machine takes no larger tree (docs/design.md section 8)
# Written so that this file does not find itself.
FORBIDDEN = [
    (re.compile(r"(?<![\w.])/wor" r"k/"), "a path of a developer's machine"),
    (re.compile(r"(?:^|[\s\"'`(])share" r"d/"), "a path of a developer's machine"),
    (re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b"), "unfinished work: finish it or file it"),
]
# libFuzzer names its inputs by their checksum and writes them into the first folder that it is given.
FUZZER_INPUT = re.compile(r"[0-9a-f]{40}")
# Data is not prose: token lists and recorded answers may hold any word.
DATA_FOLDERS = ("models", "tests/data", "fuzz/corpus", "training/data")
# Sample sentences for the tokenizer goldens; one of them is a comment that announces work.
SAMPLE_TEXTS = ("tests/golden/tokenizer.py",)


def check_text(name: str, text: str) -> list[str]:
    """Returns what one file says that a committed file must not."""
    return [f"{name}:{number}: {reason}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            for pattern, reason in FORBIDDEN if pattern.search(line)]


def main() -> int:
    """Checks the tree."""
    files = tracked_files()
    mib = sum((ROOT / path).stat().st_size for path in files) / 2**20
    print(f"tracked tree: {mib:.1f} MiB")
    if sys.argv[1:] == ["--size"]:
        return 0
    findings = []
    if mib > LIMIT_MIB:
        findings.append(f"the tracked tree has {mib:.1f} MiB, the limit is {LIMIT_MIB} MiB; the largest files:")
        largest = sorted(files, key=lambda path: -(ROOT / path).stat().st_size)[:5]
        findings += [f"  {(ROOT / path).stat().st_size / 2**20:.1f} MiB {path}" for path in largest]
    findings += [f"{path}: an input that a fuzzer made: give new ones to build/fuzz/corpus (scripts/fuzz.sh does)"
                 for path in files if FUZZER_INPUT.fullmatch(path.name)]
    for path in files:
        if path.as_posix().startswith(DATA_FOLDERS) or path.as_posix() in SAMPLE_TEXTS:
            continue
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8192]:
            findings += check_text(path.as_posix(), content.decode("utf-8", "replace"))
    return report("tree", findings)


if __name__ == "__main__":
    sys.exit(main())
