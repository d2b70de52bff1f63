#!/usr/bin/env python3
"""Checks that includes follow the table of rooms in docs/design.md section 3, and the include guards.

- A file of src/ROOM may include headers of its own room, of those that the table's third column names, of what
  those may use (the column is transitive), of `ledger` from `media` up, and the public headers of include/.
- A header of include/eyeshot/ includes only the standard library and other headers of include/eyeshot/.
- The guard of include/eyeshot/x.h is EYESHOT_X_H_, that of src/base/x.h is EYESHOT_BASE_X_H_.
"""
import pathlib
import re
import sys

from repository import ROOT, report, tracked_files

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
TABLE_ROW = re.compile(r"^\| (`[^|]+`) \|(.*)\|([^|]*)\|\s*$")
# Where the third column is prose, or a room has no row: the C interface sits on the runtime.
PROSE = {"plan": {"energy", "reduce", "models"}, "cli": {"all"}, "capi": {"runtime"}}
FIRST_WITH_LEDGER = "media"
# Highway's own way to include its headers is with quotes.
QUOTED_LIBRARIES = ("hwy/",)
# <x.h> headers that belong to the system; all other <...> without a dot are the C++ standard library.
C_SYSTEM_HEADERS = {"stddef.h", "stdint.h", "stdbool.h"}


def read_rooms(design: str) -> dict[str, set[str]]:
    """Returns for each room, in the order of the table, the rooms that it may use directly."""
    rooms: dict[str, set[str]] = {}
    known = re.findall(r"^\| `src/(\w+)/`", design, re.MULTILINE)
    for line in design.splitlines():
        row = TABLE_ROW.match(line)
        if not row:
            continue
        for room in re.findall(r"`src/(\w+)/`", row[1]):
            words = set(re.findall(r"\w+", row[3]))
            rooms[room] = PROSE.get(room, words & set(known))
    rooms.setdefault("capi", PROSE["capi"])
    return rooms


def close(rooms: dict[str, set[str]]) -> dict[str, set[str]]:
    """Returns for each room all rooms that it may use, itself included."""
    order = list(rooms)
    from_media_up = order[order.index(FIRST_WITH_LEDGER):]
    closed = {}
    for room in order:
        allowed, pending = {room}, list(rooms[room])
        if room in from_media_up:
            pending.append("ledger")
        while pending:
            other = pending.pop()
            if other == "all":
                pending.extend(set(order) - allowed)
            elif other not in allowed:
                allowed.add(other)
                pending.extend(rooms.get(other, ()))
        closed[room] = allowed
    return closed


def guard_of(path: pathlib.PurePath) -> str:
    """The include guard that a header must have."""
    parts = path.parts[1:] if path.parts[0] == "src" else path.parts[2:]
    return "EYESHOT_" + re.sub(r"[^A-Z0-9]", "_", "/".join(parts).upper()) + "_"


def check_file(path: pathlib.PurePath, text: str, allowed: dict[str, set[str]], public: set[str]) -> list[str]:
    """Returns the findings in one file of src/ or include/. `public` holds the headers of include/."""
    findings = []
    is_public = path.parts[0] == "include"
    room = None if is_public else path.parts[1]
    if room is not None and room not in allowed:
        return [f"{path}: docs/design.md section 3 has no room '{room}'"]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        where, header, system = f"{path}:{number}", match[1], match[2]
        if is_public:
            if (system and "." in system and system not in C_SYSTEM_HEADERS) or (header and header not in public):
                findings.append(f"{where}: public headers include only the standard library and eyeshot/, "
                                f"not {header or system}")
            continue
        if header is None or header in public or header.startswith(QUOTED_LIBRARIES):
            continue
        used = header.split("/")[0]
        if "/" not in header or used not in allowed:
            findings.append(f'{where}: "{header}" is no ROOM/FILE path of src/ or include/')
        elif used not in allowed[room]:
            findings.append(f"{where}: room '{room}' may not use '{used}' ({header}); "
                            f"it may use {', '.join(sorted(allowed[room] - {room})) or 'no other room'}")
    if path.suffix == ".h" and "generated" not in text[:400]:
        guard = guard_of(path)
        # Highway compiles such headers several times: <hwy/foreach_target.h> with a toggled guard.
        if f"#ifndef {guard}\n#define {guard}\n" not in text and "HWY_TARGET_TOGGLE" not in text:
            findings.append(f"{path}: the include guard must be {guard}")
    return findings


def main() -> int:
    """Checks the tree."""
    rooms = close(read_rooms((ROOT / "docs/design.md").read_text(encoding="utf-8")))
    if len(rooms) < 10:
        return report("includes", ["docs/design.md: the table of rooms in section 3 cannot be read any more"])
    files = tracked_files("src/*.h", "src/*.cc", "src/*.inc", "include/*.h")
    public = {path.relative_to("include").as_posix() for path in files if path.parts[0] == "include"}
    findings = []
    for path in files:
        findings += check_file(path, (ROOT / path).read_text(encoding="utf-8"), rooms, public)
    return report("includes", findings)


if __name__ == "__main__":
    sys.exit(main())
