#!/usr/bin/env python3
"""Checks that docs/dependencies.md lists what the build uses, and nothing else.

Every find_package, pkg_check_modules, find_path and find_library name of cmake/EyeshotDependencies.cmake, and every
Debian package of scripts/setup.sh, must stand in backticks in the page; every package of the page's first column
must be one that scripts/setup.sh installs.
"""
import re
import sys

from repository import ROOT, report

NOT_A_DEPENDENCY = {"PkgConfig"}  # a tool to find the others


def build_names(cmake: str) -> set[str]:
    """The names by which CMake looks for third-party software."""
    cmake = re.sub(r"#.*", "", cmake)
    names = set(re.findall(r"find_package\((\w+)", cmake))
    for arguments in re.findall(r"pkg_check_modules\(\w+ ([^)]*)\)", cmake):
        names |= {word for word in arguments.split() if word.islower() or word.startswith("lib")}
    names |= set(re.findall(r"find_(?:path|library)\(\w+ ([\w./]+)", cmake))
    return names - NOT_A_DEPENDENCY


def setup_packages(script: str) -> set[str]:
    """The packages that scripts/setup.sh installs."""
    arrays = re.findall(r"^(?:check_)?packages=\(\n(.*?)^\)", script, re.MULTILINE | re.DOTALL)
    return set(" ".join(arrays).split())


def main() -> int:
    """Checks the page."""
    page = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"`([^`]+)`", page))
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    packages = setup_packages((ROOT / "scripts/setup.sh").read_text(encoding="utf-8"))
    names = build_names((ROOT / "cmake/EyeshotDependencies.cmake").read_text(encoding="utf-8"))
    findings = [f"docs/dependencies.md does not mention `{name}`, which cmake/EyeshotDependencies.cmake looks for"
                for name in sorted(names - quoted)]
    findings += [f"docs/dependencies.md has no row for `{name}`, which scripts/setup.sh installs"
                 for name in sorted(packages - listed)]
    findings += [f"docs/dependencies.md has a row for `{name}`, which scripts/setup.sh does not install"
                 for name in sorted(listed - packages)]
    return report("dependencies", findings)


if __name__ == "__main__":
    sys.exit(main())
