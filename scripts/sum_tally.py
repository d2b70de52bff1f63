#!/usr/bin/env python3
"""Prints the parts of a test run and, as the last line, `N passed, N failed[, N skipped]`.

The file holds a line a part: name, passed, failed, skipped, seconds, separated by tabs (scripts/tally.sh writes
it). Exits with 1 when a test failed or there was none.
"""
import argparse
import sys


def main() -> int:
    """Reads the file, prints the summary, returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--no-closing-line", action="store_true", help="the caller prints it")
    args = parser.parse_args()

    passed = failed = skipped = 0
    with open(args.file, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t")[:5] for line in file]
    print(f"\n{'part':<44} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    for name, *numbers in rows:
        print(f"{name:<44} {numbers[0]:>7} {numbers[1]:>7} {numbers[2]:>8} {numbers[3]:>8}")
        passed, failed, skipped = passed + int(numbers[0]), failed + int(numbers[1]), skipped + int(numbers[2])
    if not args.no_closing_line:
        print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    return 1 if failed or not (passed or skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
