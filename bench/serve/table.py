#!/usr/bin/env python3
"""One table of all bars in the files that bench/serve wrote: bench/serve/table.py FOLDER [--markdown]."""
import argparse
import json
import pathlib
import sys

import report


def rows_of(path: pathlib.Path) -> list[list[object]]:
    """A row for each bar of one file."""
    found = json.loads(path.read_text("utf-8"))
    rows = []
    for name, bar in found.get("bars", {}).items():
        rows.append([path.stem, name, float(bar["value"]), bar["asked"], "holds" if bar["holds"] else "MISSED"])
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--markdown", action="store_true", help="as documents have it")
    args = parser.parse_args()
    rows = [row for path in sorted(args.folder.glob("*.json")) for row in rows_of(path)]
    rows += [[path.stem, "gave nothing", None, None, f"FAILED: {path}"] for path in sorted(args.folder.glob("*.txt"))
             if path.name != "table.txt" and not path.with_suffix(".json").exists()]
    heads = ["run", "what", "value", "asked for", ""]
    if args.markdown:
        print(f"| {' | '.join(heads)} |\n|---|---|---:|---|---|")
        for row in rows:
            print(f"| {' | '.join(report.cell(value) for value in row)} |")
    else:
        report.print_table(heads, rows)
    return 0 if rows and all(row[-1] == "holds" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
