"""The table of a run of bench/gpu.sh: what was measured beside what is asked for and what transformers takes."""

# What is measured, how to find it in the results, the most (or, with ">=", the least) that is asked for, and the unit.
ROWS = [
    ("decode 256M, one sequence, 136 tokens of context", ("bench 256M", "depth 136"), 0.45, "ms a token", None),
    ("decode 256M, one sequence, 1,108 tokens", ("bench 256M", "depth 1108"), 0.45, "ms a token", "decode_ms"),
    ("decode 500M, 136 tokens", ("bench 500M", "depth 136"), 0.6, "ms a token", None),
    ("decode 500M, 1,108 tokens", ("bench 500M", "depth 1108"), 0.6, "ms a token", None),
    ("decode 2.2B, 136 tokens", ("bench 2.2B", "depth 136"), 1.7, "ms a token", None),
    ("decode 2.2B, 1,108 tokens", ("bench 2.2B", "depth 1108"), 1.7, "ms a token", "decode_ms"),
    ("decode 2.2B in fp8, 136 tokens", ("bench 2.2B fp8", "depth 136"), 1.7, "ms a token", None),
    ("tower in fp8, 17 tiles, 2.2B", ("bench 2.2B fp8", "steady encode 17"), 27, "ms", None),
    ("prefill in fp8, 1,216 tokens, 2.2B", ("bench 2.2B fp8", "steady prefill 1216"), 12, "ms", None),
    ("energy of a token, 256M", ("energy 256M", "joules_per_token"), 0.15, "J", None),
    ("tower, 17 tiles, 256M", ("bench 256M", "steady encode 17"), 11, "ms", "encode_ms"),
    ("tower, 17 tiles, 2.2B", ("bench 2.2B", "steady encode 17"), 27, "ms", "encode_ms"),
    ("prefill of 1,216 tokens, 256M", ("bench 256M", "steady prefill 1216"), 3, "ms", "prefill_ms"),
    ("prefill of 1,216 tokens, 2.2B", ("bench 2.2B", "steady prefill 1216"), 12, "ms", "prefill_ms"),
    ("decode 256M, 64 sequences of 1,100 tokens", ("bench 256M", "batch 64"), ">= 40000", "tokens/s", None),
    ("memory taken, 256M, 17 tiles", ("bench 256M", "decode", 1, "allocated_bytes"), 0.75e9, "bytes", "allocated_bytes"),
    ("memory taken, 256M, 64 frames", ("frames", "gpu", "allocated_bytes"), 1e9, "bytes", None),
    ("memory taken, 2.2B, 17 tiles", ("bench 2.2B", "decode", 1, "allocated_bytes"), 5.5e9, "bytes", "allocated_bytes"),
    ("p99 gap of 8 answers while pictures are encoded beside, of the one without", ("stall beside", "ratio"), 3, "x", None),
    ("the same between steps", ("stall between", "ratio"), 3, "x", None),
    ("answers of the built-in model that are the CPU's", ("eval", "same share"), ">= 0.95", "", None),
]
VARIANTS = ("eager", "sdpa", "compile")


def find(results: dict, path: tuple):
    """The value at a path, or None."""
    step = results["steps"].get(path[0])
    if step is None or not step["ok"]:
        return None
    value = step["result"]
    for key in path[1:]:
        if isinstance(key, str) and key.startswith("steady "):
            _, name, size = key.split()
            return next((stage["ms"] for stage in value["steady"]
                         if stage["name"] == name and stage["size"] == int(size)), None)
        if isinstance(key, str) and key.startswith("depth "):
            depth = int(key.removeprefix("depth "))
            return next((entry["ms_per_token"] for entry in value["decode"] if entry["depth"] == depth), None)
        if key == "same share":
            return value["same"] / value["questions"]
        if key == "batch 64":
            return next((batch["tokens_per_s"] for batch in value["batches"]
                         if batch["sequences"] == 64 and batch["depth"] >= 1000), None)
        value = value[key]
    return value


def shown(value, unit: str) -> str:
    """A figure for people."""
    if value is None:
        return "not measured"
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB"
    return (f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}").strip()


def peers(results: dict, row: tuple) -> str:
    """What transformers takes for the same."""
    if row[4] is None:
        return "-"
    size = "2.2B" if "2.2B" in row[0] else "256M"
    found = [(variant, find(results, (f"transformers {variant} {size}", row[4]))) for variant in VARIANTS]
    return ", ".join(f"{variant} {shown(value, row[3])}" for variant, value in found if value is not None) or "not measured"


def verdict(value, bar) -> str:
    """Whether the bar is met."""
    if value is None:
        return ""
    if isinstance(bar, str):
        return "met" if value >= float(bar.removeprefix(">= ")) else "missed"
    return "met" if value <= bar else "missed"


def markdown(results: dict) -> str:
    """The whole page."""
    machine = results["steps"].get("machine", {}).get("result") or {}
    lines = [f"# Eyeshot on {machine.get('name', 'an unknown GPU')}, {results['date']}", "",
             "| what | Eyeshot | asked for | | transformers |", "|---|---|---|---|---|"]
    for row in ROWS:
        value = find(results, row[1])
        bar = row[2] if isinstance(row[2], str) else f"<= {shown(row[2], row[3])}"
        lines.append(f"| {row[0]} | {shown(value, row[3])} | {bar} | {verdict(value, row[2])} | {peers(results, row)} |")
    lines += ["", "| step | | seconds |", "|---|---|---|"]
    for name, step in results["steps"].items():
        said = "ok" if step["ok"] else step["reason"]
        if step["ok"] and name.split()[0] in ("machine", "peak", "tests", "alone", "eval", "memcheck", "racecheck", "parity"):
            said = str(step["result"])
        lines.append(f"| {name} | {said.replace('|', '/')} | {step['seconds']} |")
    return "\n".join(lines) + "\n"
