"""Where the repository is, which files it holds, and how a house check reports what it found."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77  # the exit status that CTest takes for "skipped"


def tracked_files(*patterns: str) -> list[pathlib.Path]:
    """Files that git tracks, relative to ROOT; with patterns, only those that match one.

    Outside a git checkout (a source archive) the check is skipped.
    """
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z", "--", *patterns]
    try:
        listing = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"skipped: {ROOT} is no git checkout ({error})")
        sys.exit(SKIPPED)
    paths = [pathlib.Path(name) for name in listing.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file()]


def report(check: str, findings: list[str]) -> int:
    """Prints the findings and returns the exit status."""
    for finding in findings:
        print(finding)
    print(f"{check}: {len(findings)} findings" if findings else f"{check}: nothing found")
    return 1 if findings else 0
