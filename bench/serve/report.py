"""Percentiles, tables, and where results go."""
import argparse
import datetime
import json
import pathlib
import statistics
from typing import Iterable, Sequence


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Where the result goes beside the table."""
    parser.add_argument("--json", action="store_true", help="print all figures as JSON in the last line too")
    parser.add_argument("--out", type=pathlib.Path, help="write them into this file")


def percentile(values: Iterable[float], percent: float) -> float:
    """Between the nearest two values; NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    at = (len(ordered) - 1) * percent / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def spread(values: Sequence[float], scale: float = 1e3) -> dict:
    """p50, p90, p99, the most and how many; seconds become milliseconds."""
    if not values:
        return {"count": 0}
    return {"count": len(values)} | {f"p{percent}": round(percentile(values, percent) * scale, 3)
                                     for percent in (50, 90, 99)} | {"max": round(max(values) * scale, 3)}


def median(values: Sequence[float]) -> float:
    """NaN of none."""
    return statistics.median(values) if values else float("nan")


def cell(value: object) -> str:
    """A figure as tables have it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "-" if value is None else str(value)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need to be; the first one to the left."""
    lines = [list(heads), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for line in lines:
        print("  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                        for column, (text, width) in enumerate(zip(line, widths))))


def holds(value: float, sign: str, bar: float) -> bool:
    """The value is as asked for."""
    return value >= bar if sign == ">=" else value <= bar


def print_bars(bars: dict[str, tuple[float, str, float]]) -> bool:
    """Names with (value, ">=" or "<=", bar); says which hold, and whether all do."""
    holding = {name: holds(*bar) for name, bar in bars.items()}
    for name, (value, sign, bar) in bars.items():
        print(f"{name}: {cell(float(value))} (asked for {sign} {cell(float(bar))}): "
              f"{'holds' if holding[name] else 'MISSED'}")
    return all(holding.values())


def bars_json(bars: dict[str, tuple[float, str, float]]) -> dict:
    """The same for the file."""
    return {name: {"value": value, "asked": f"{sign} {bar}", "holds": holds(value, sign, bar)}
            for name, (value, sign, bar) in bars.items()}


def deliver(args: argparse.Namespace, result: dict) -> None:
    """Writes the figures where the flags say."""
    result = {"date": datetime.date.today().isoformat()} | result
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(result))
