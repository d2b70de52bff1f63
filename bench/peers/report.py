"""The results of a run as tables: for a terminal and in Markdown."""
from collections.abc import Callable, Iterable

from engines import NATIVE

NONE = "-"  # not measured, or nothing that the engine does
BASELINE = "llama:q8_0"
BETTER = "Times as good as llama.cpp Q8_0 built for the same instruction set (more is better):"

# heading, key of a row, how it is shown, whether more is better
Column = tuple[str, str, Callable[[float], str], bool]


# How the families and variants are written.
FAMILIES = {"eyeshot": "Eyeshot", "llama": "llama.cpp", "torch": "transformers", "openvino": "OpenVINO",
            "onnxruntime": "onnxruntime", "onednn": "oneDNN"}
VARIANTS = {"q8_0": "Q8_0", "q4_0": "Q4_0", "compile": "bf16, compiled"}


def label(row: dict) -> str:
    """The name of an engine for readers."""
    variant = VARIANTS.get(row["variant"], row["variant"])
    group = "" if row["group"] == NATIVE else f", {row['group'].upper()}"
    return f"{FAMILIES[row['family']]} {variant}{group}"


def rounded(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def columns(results: dict) -> list[Column]:
    """What is compared."""
    decode: list[Column] = [(f"decode tok/s, depth {depth:,}", f"decode_{depth}", rounded, True)
                            for depth in results["depths"]]
    return [("tile ms", "tile_ms", rounded, False),
            ("TTFT s", "ttft_ms", lambda ms: rounded(ms / 1e3), False),
            ("prefill tok/s", "prefill_tokens_per_s", rounded, True), *decode,
            ("peak MB", "peak_rss_bytes", lambda size: rounded(size / 1e6), False)]


def compared(results: dict) -> list[dict]:
    """The rows of engines that run the model, or its tower."""
    return [row for row in results["rows"] if row["family"] != "onednn"]


def instruction_set(row: dict) -> str:
    """What the engine says it uses: the widest that is named, or what it was asked for."""
    said = row.get("isa", "")
    if "AMX_INT8 = 1" in said:
        return "amx"
    if " = 1" in said:
        return "avx512" if "AVX512 = 1" in said else "avx2"
    return said.lower() or row["group"]


def figures(results: dict) -> list[list[str]]:
    """The table of figures, with its heading."""
    shown = columns(results)
    table = [["engine", "instructions", "weights", *(heading for heading, *_ in shown)]]
    for row in compared(results):
        cells = [show(row[key]) if key in row else "failed" if "all" in row["failed"] or key in row["failed"] else NONE
                 for _, key, show, _ in shown]
        table.append([label(row), instruction_set(row), row.get("weights", NONE), *cells])
    return table


def ratios(results: dict) -> list[list[str]]:
    """How many times as good each engine is as llama.cpp in 8 bits with the same instruction set."""
    shown = columns(results)
    baselines = {row["group"]: row for row in results["rows"] if row["engine"].partition("@")[0] == BASELINE}
    table = [["engine", *(heading.removesuffix(" ms").removesuffix(" s").removesuffix(" MB").replace(" tok/s", "")
                          for heading, *_ in shown)]]
    for row in compared(results):
        baseline = baselines.get(row["group"], {})
        # The memory of a tower alone says nothing beside that of a model.
        comparable = [key for _, key, *_ in shown if row.get(key) and baseline.get(key)
                      and (key != "peak_rss_bytes" or "ttft_ms" in row)]
        cells = [f"{row[key] / baseline[key] if more else baseline[key] / row[key]:.2f} x"
                 if key in comparable else NONE for _, key, _, more in shown]
        if row["engine"] != baseline.get("engine") and any(cell != NONE for cell in cells):
            table.append([label(row), *cells])
    return table


def linear_lines(results: dict) -> list[str]:
    """oneDNN on the tower's matrix products, beside them the towers."""
    measured = [row for row in results["rows"] if "linear_ms" in row]
    parts = [f"{row['variant']} {rounded(row['linear_ms'])} ms ({rounded(row['linear_gflops'])} GFLOP/s)"
             for row in measured]
    return [f"oneDNN, the linear layers of one tile alone: {', '.join(parts)}"] if parts else []


def first_tokens(results: dict) -> list[str]:
    """Which engines gave which first token to the photo: the same, if they prepared and computed the same."""
    said: dict[str, list[str]] = {}
    for row in results["rows"]:
        if row.get("first_token") is not None:
            said.setdefault(row["first_token"].strip(), []).append(label(row))
    most = max(said.values(), key=len, default=[])
    return ["First token to the photo: " + "; ".join(
        f"'{token}' ({'all others' if who is most and len(said) > 1 else 'all' if who is most else ', '.join(who)})"
        for token, who in sorted(said.items(), key=lambda item: len(item[1])))] if said else []


def failures(results: dict) -> list[str]:
    """What could not be measured, and why."""
    return [f"{label(row)}: {'' if stage in ('all', 'process') else stage + ': '}{reason}"
            for row in results["rows"] for stage, reason in row["failed"].items()]


def versions(results: dict) -> str:
    """The versions of all engines."""
    found: dict[str, str] = {}
    for row in results["rows"]:
        found.update(row.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in found.items())


def circumstances(results: dict) -> list[str]:
    """Where, when and how."""
    machine = results["machine"]
    load = max((row["load_average"] for row in results["rows"]), default=0)
    threads, repeat = results["threads"], results["repeat"]
    return [f"{machine['cpu']} (family {machine['family']}, model {machine['model']}), {machine['cores']} cores, "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, {' '.join(machine['isa'])}",
            f"{results['date']}, {threads} thread{'' if threads == 1 else 's'}, medians of {repeat} "
            f"run{'' if repeat == 1 else 's'} after one to warm up, load average at most {load:.1f}"
            + (" (--quick: no figures to quote)" if results["quick"] else ""),
            f"{versions(results)}; commit {machine['commit']}"]


def aligned(table: list[list[str]]) -> Iterable[str]:
    """A table's lines for a terminal: words left, figures right."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        yield "  ".join(cell.ljust(width) if i < words_in(table) else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))).rstrip()


def words_in(table: list[list[str]]) -> int:
    """How many columns at the left are words."""
    return 3 if table[0][1] == "instructions" else 1


def text(results: dict) -> str:
    """The run for a terminal."""
    lines = [*circumstances(results), "", *aligned(figures(results))]
    if len(relative := ratios(results)) > 1:
        lines += ["", BETTER, *aligned(relative)]
    for more in (linear_lines(results), first_tokens(results), failures(results)):
        lines += ["", *more] if more else []
    return "\n".join(lines) + "\n"


def marked(table: list[list[str]]) -> Iterable[str]:
    """A table's lines in Markdown."""
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    left = words_in(table)
    return [rows[0], "|" + "---|" * left + "---:|" * (len(table[0]) - left), *rows[1:]]


def markdown(results: dict) -> str:
    """The run for a page of documentation."""
    lines = [f"`{results['command']}`  "]
    lines += [line + "  " for line in circumstances(results)]
    lines += ["", *marked(figures(results))]
    if len(relative := ratios(results)) > 1:
        lines += ["", BETTER, "",
                  *marked(relative)]
    for more in (linear_lines(results), first_tokens(results)):
        lines += ["", *more] if more else []
    lines += ["", "Not measured:", "", *(f"- {line}" for line in failures(results))] if failures(results) else []
    return "\n".join(lines) + "\n"
