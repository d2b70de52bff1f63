"""Reads, judges and writes the table of docs/claims.md, whose format that page explains."""
import dataclasses
import json
import math
import re

COLUMNS = ["id", "claim", "command", "check", "needs", "last value", "machine", "date", "verdict"]
ID = re.compile(r"C\d+")
CHECK = re.compile(r"^(?P<read>/(?:[^/\\]|\\.)+/|json:\S+|exit) (?P<op><=|>=|==|~=|<|>) (?P<bound>\S+)"
                   r"(?: (?P<unit>[^±]*?))?(?: ?± ?(?P<tolerance>[\d.]+) ?%)?$")
VERDICT = re.compile(r"^(holds|fails|not run: \S.*)$")
CELL_BORDER = re.compile(r"(?<!\\)\|")


class ClaimError(Exception):
    """A row that cannot be read, or an output without the value that its row asks for."""


@dataclasses.dataclass
class Check:
    """What to read from a command's output, and what must be true of it."""

    read: str
    op: str
    bound: str
    unit: str = ""
    tolerance: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Check":
        """Parses e.g. `json:prefill.wall_ms <= 850 ms`, `/(\\d+) of/ == 12`, `json:x ~= 40 ms ± 10 %`."""
        match = CHECK.match(text)
        if not match:
            raise ClaimError(f"'{text}' is no check: READ OPERATOR BOUND [UNIT] [± N %]")
        if (match["op"] == "~=") != (match["tolerance"] is not None):
            raise ClaimError(f"'{text}': ~= and ± go together")
        if match["op"] not in ("==",) and to_number(match["bound"]) is None:
            raise ClaimError(f"'{text}': {match['op']} needs a number")
        return cls(match["read"], match["op"], match["bound"], (match["unit"] or "").strip(),
                   float(match["tolerance"] or 0))

    def extract(self, output: str, status: int) -> str:
        """Returns the value that the command's standard output and exit status give."""
        if self.read == "exit":
            return str(status)
        if status != 0:
            raise ClaimError(f"the command failed with status {status}")
        if self.read.startswith("/"):
            found = re.findall(self.read[1:-1], output)
            if not found:
                raise ClaimError(f"nothing in the output matches {self.read}")
            return found[-1] if isinstance(found[-1], str) else found[-1][0]
        value = last_json(output)
        for key in self.read.removeprefix("json:").split("."):
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise ClaimError(f"the output has no {self.read}") from None
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    def holds(self, value: str) -> bool:
        """Whether the claim is true of this value."""
        number, bound = to_number(value), to_number(self.bound)
        if number is None or bound is None:
            return self.op == "==" and value == self.bound
        if self.op == "~=":
            return math.isclose(number, bound, rel_tol=0, abs_tol=abs(bound) * self.tolerance / 100)
        return {"<=": number <= bound, ">=": number >= bound, "<": number < bound, ">": number > bound,
                "==": number == bound}[self.op]


@dataclasses.dataclass
class Claim:
    """A row of the table."""

    id: str
    claim: str
    command: str
    check: Check
    needs: list[str]
    value: str
    machine: str
    date: str
    verdict: str
    line: int  # 0-based, in the page

    @classmethod
    def parse(cls, row: str, line: int) -> "Claim":
        """Parses a row."""
        cells = split_row(row)
        if len(cells) != len(COLUMNS):
            raise ClaimError(f"{len(cells)} cells, not {len(COLUMNS)}: {row}")
        if not ID.fullmatch(cells[0]):
            raise ClaimError(f"'{cells[0]}' is no id: C and a number")
        if not VERDICT.match(cells[8]):
            raise ClaimError(f"{cells[0]}: '{cells[8]}' is no verdict: holds, fails, or 'not run: why'")
        if cells[8] in ("holds", "fails") and not all(cells[5:8]):
            raise ClaimError(f"{cells[0]}: '{cells[8]}' without value, machine and date")
        needs = [] if cells[4] in ("", "-") else cells[4].split()
        return cls(cells[0], cells[1], uncode(cells[2]), Check.parse(uncode(cells[3])), needs, cells[5], cells[6],
                   cells[7], cells[8], line)

    def renewed(self, row: str) -> str:
        """The row with the present value, machine, date and verdict; its other cells as they were written."""
        cells = [cell.strip() for cell in CELL_BORDER.split(row.strip().strip("|"))]
        fresh = [escape(cell) for cell in (self.value, self.machine, self.date, self.verdict)]
        return "| " + " | ".join(cells[:5] + fresh) + " |"


def to_number(text: str) -> float | None:
    """A number, with or without thousands separators; None if it is none."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def last_json(output: str) -> object:
    """The whole output as JSON, or else its last line that is JSON."""
    for candidate in [output, *reversed(output.splitlines())]:
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    raise ClaimError("the output holds no JSON")


def uncode(cell: str) -> str:
    """A cell without the backticks around it."""
    return cell.strip("`")


def escape(cell: str) -> str:
    """A cell as Markdown wants it."""
    return cell.replace("|", "\\|")


def split_row(row: str) -> list[str]:
    """The cells of a Markdown row; `\\|` is a bar inside a cell."""
    return [cell.strip().replace("\\|", "|") for cell in CELL_BORDER.split(row.strip()[1:-1])]


def read_claims(page: str) -> list[Claim]:
    """Returns the claims of the page, in order. Raises ClaimError for a row that cannot be read or an id used twice."""
    claims: list[Claim] = []
    in_table = False
    for number, line in enumerate(page.splitlines()):
        if not line.startswith("|"):
            in_table = False
        elif split_row(line) == COLUMNS:
            in_table = True
        elif in_table and not set(line) <= set("|-: "):
            claims.append(Claim.parse(line, number))
            if claims[-1].id in {claim.id for claim in claims[:-1]}:
                raise ClaimError(f"{claims[-1].id} is there twice")
    return claims
