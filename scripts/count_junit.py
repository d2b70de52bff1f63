#!/usr/bin/env python3
"""Prints `passed failed skipped` of a JUnit file that CTest wrote.

A test that could not be run at all (its program was not built) counts as failed, not as skipped.
"""
import sys
import xml.etree.ElementTree as ElementTree


def count(path: str) -> tuple[int, int, int]:
    """Returns (passed, failed, skipped) of one file."""
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skip = case.find("skipped")
        if case.get("status") == "fail" or case.find("failure") is not None:
            failed += 1
        elif skip is not None or case.get("status") in ("notrun", "disabled"):
            reason = skip.get("message", "") if skip is not None else ""
            if reason.startswith("Unable to find") or "not found" in reason.lower():
                failed += 1
            else:
                skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*count(sys.argv[1]))
