#!/usr/bin/env python3
"""What bench/gpu.sh runs on a machine with a GPU: each step in a process of its own, with a limit, into one JSON and a
table.

  bench/gpu/run.py --pack build/gpu/pack.tar.xz --out OUT [--seconds 510] [--steps alone,eval]
"""
import argparse
import datetime
import json
import lzma
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import time

import table

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench/gpu/peers.py"
MODELS = {"256M": "SmolVLM-256M-Instruct", "500M": "SmolVLM-500M-Instruct", "2.2B": "SmolVLM-Instruct"}
PARITY = {"256M": "smolvlm-256m", "500M": "smolvlm-500m", "2.2B": "smolvlm-2.2b"}
EVAL = ROOT / "tests/data/eval/eval-dev/questions.jsonl"
ASKED = "name,driver_version,memory.total,power.limit,power.draw,clocks.sm,clocks.mem,temperature.gpu,compute_cap"


class Failed(Exception):
    """A step did not do what it should; the text says what."""


def unpack_xz(source: pathlib.Path, target: pathlib.Path) -> None:
    """Decompresses a .xz."""
    with lzma.open(source) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)


def unpack_zst(source: pathlib.Path, target: pathlib.Path) -> None:
    """Decompresses a .zst, by whatever the machine has for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("zstd"):
        subprocess.run(["zstd", "-dqf", source, "-o", target], check=True)
        return
    import pyarrow  # comes with many installations of PyTorch
    with pyarrow.input_stream(str(source), compression="zstd") as stream:
        target.write_bytes(stream.read())


def cublas_folders() -> list[str]:
    """Where nvcc's toolkit has its libraries, which may not be where the program was built."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        return []
    toolkit = pathlib.Path(nvcc).resolve().parents[1]
    return [str(library.parent) for library in toolkit.glob("**/libcublasLt.so.*")][:1]


class Run:
    """The steps and what they gave."""

    def __init__(self, args: argparse.Namespace):
        self.out = pathlib.Path(args.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + args.seconds
        self.work = self.out.parent / "gpu-work"
        self.bin = self.work / "bin"
        self.log = (self.out / "gpu.log").open("w", encoding="utf-8")
        self.results: dict = {"date": datetime.date.today().isoformat(), "steps": {}}
        paths = [str(self.work / "lib"), *cublas_folders(), os.environ.get("LD_LIBRARY_PATH", "")]
        self.environment = os.environ | {"LD_LIBRARY_PATH": ":".join(path for path in paths if path)}
        with tarfile.open(args.pack) as pack:
            pack.extractall(self.work)
        self._unpack_data()

    def _unpack_data(self) -> None:
        """The built-in model, the checkpoints' files, and the tree where the tests look for it."""
        weights = ROOT / "models/eyeshot-tiny/model.safetensors"
        if not weights.exists():
            unpack_xz(weights.with_suffix(".safetensors.xz"), weights)
        for folder in MODELS.values():
            source = ROOT / "tests/data/checkpoints" / folder
            shutil.copytree(source, self.work / "checkpoints" / folder, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.zst"))
        # Tokenizers are those of the 256M model, but for the 2.2B's.
        for folder in MODELS.values():
            packed = ROOT / "tests/data/checkpoints" / folder / "tokenizer.json.zst"
            if not packed.exists():
                packed = ROOT / "tests/data/checkpoints" / MODELS["256M"] / "tokenizer.json.zst"
            unpack_zst(packed, self.work / "checkpoints" / folder / "tokenizer.json")
        if not (self.work / "data").exists():  # described machines are looked for above the program
            (self.work / "data").symlink_to(ROOT / "data")
        built_in = pathlib.Path((self.work / "source_folder").read_text(encoding="utf-8").strip())
        if not built_in.exists():
            built_in.parent.mkdir(parents=True, exist_ok=True)
            built_in.symlink_to(ROOT)

    def command(self, *arguments: object, limit: float, env: dict | None = None, cwd: pathlib.Path = ROOT) -> str:
        """Standard output of a command that must succeed within `limit` seconds."""
        limit = min(limit, self.deadline - time.monotonic())
        if limit <= 1:
            raise Failed("no time was left")
        words = [str(argument) for argument in arguments]
        self.log.write(f"\n$ {' '.join(words)}\n")
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False, cwd=cwd,
                                  env=self.environment | (env or {}))
        except subprocess.TimeoutExpired as error:
            self.log.write(f"{error.stdout or ''}\n{error.stderr or ''}\n")
            raise Failed(f"took more than {limit:.0f} s") from error
        self.log.write(done.stdout[-20000:] + done.stderr[-20000:])
        self.log.flush()
        if done.returncode != 0:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise Failed(f"exit {done.returncode}: {lines[-1][:300] if lines else 'no message'}")
        return done.stdout

    def step(self, name: str, action) -> None:
        """Runs one step and keeps what it returns, or why it failed."""
        begin = time.monotonic()
        try:
            result = {"ok": True, "result": action()}
        except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            result = {"ok": False, "reason": str(error)}
        result["seconds"] = round(time.monotonic() - begin, 1)
        self.results["steps"][name] = result
        print(f"{name}: {'ok' if result['ok'] else result['reason']} ({result['seconds']} s)", flush=True)
        self.write()

    def write(self) -> None:
        """Writes what there is, after each step: a machine may go at any time."""
        (self.out / "gpu.json").write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        (self.out / "gpu.md").write_text(table.markdown(self.results), encoding="utf-8")

    # --- Steps

    def machine(self) -> dict:
        """What the figures depend on."""
        answer = self.command("nvidia-smi", f"--query-gpu={ASKED}", "--format=csv,noheader,nounits", limit=30)
        return dict(zip(ASKED.split(","), [field.strip() for field in answer.splitlines()[0].split(",")]))

    def peak(self) -> dict:
        """Copies and products at most."""
        return json.loads(self.command(self.bin / "gpu_peak", limit=60))

    def operations(self) -> dict:
        """Microseconds of each operation."""
        return json.loads(self.command(self.bin / "gpu_operations", limit=60))

    def alone(self) -> dict:
        """The kernels with base, ledger and tensor, built here, and their tests."""
        build = self.work / "alone"
        self.command("cmake", "-S", ROOT, "-B", build, "-DEYESHOT_KERNELS_ONLY=ON", "-DEYESHOT_CUDA=ON",
                     "-DCMAKE_CUDA_ARCHITECTURES=90a-real", "-DEYESHOT_BENCH=OFF", "-DCMAKE_BUILD_TYPE=Release",
                     f"-DCMAKE_PREFIX_PATH={self.work / 'deps/usr'}", limit=60)
        self.command("cmake", "--build", build, "--target", "cuda_test", "-j", os.cpu_count(), limit=150)
        return self.run_tests(build / "src/kernels/cuda/cuda_test")

    def run_tests(self, program: pathlib.Path) -> dict:
        """The backend's tests."""
        passed = self.command(program, limit=60).count("[       OK ]")
        if passed == 0:
            raise Failed("all tests were skipped: there is no GPU")
        return {"passed": passed}

    def sanitizer(self, tool: str) -> str:
        """compute-sanitizer over the backend's tests."""
        text = self.command("compute-sanitizer", "--tool", tool, "--error-exitcode", 9, self.bin / "cuda_test", limit=60)
        return [line for line in text.splitlines() if "SUMMARY" in line][-1].strip("= ")

    def checkpoint(self, size: str) -> pathlib.Path:
        """A model of true shape with weights from a seed."""
        out = self.work / "models" / size
        if not (out / "model.safetensors").exists():
            self.command(self.bin / "eyeshot", "dev", "checkpoint", "--config", self.work / "checkpoints" / MODELS[size],
                         "--seed", 1, "--out", out, limit=120)
        return out

    def parity(self, size: str, precision: str = "exact") -> list[str]:
        """Tower, connector and logits against transformers in float32."""
        text = self.command(self.bin / "parity_family_cuda", "--gtest_filter=Family.*ATile", "--gtest_brief=1", limit=60,
                            env={"EYESHOT_FAMILY": PARITY[size], "EYESHOT_FAMILY_MODEL": str(self.checkpoint(size)),
                                 "EYESHOT_FAMILY_PRECISION": precision})
        return [line for line in text.splitlines() if "cosine" in line]

    def bench(self, size: str, *more: object) -> dict:
        """All stages of a picture of 17 tiles, decoding, and with `more` what else."""
        return json.loads(self.command(self.bin / "eyeshot", "bench", "--device", "cuda", "--model", self.checkpoint(size),
                                       "--context", 4096, "--tiles", 17, "--depths", "128,1100,1208", "--tokens", 64, "--repeat",
                                       7, "--steady", "--json", *more, limit=90))

    def energy(self, size: str) -> dict:
        """Joules of a token, over answers that last a second."""
        return json.loads(self.command(self.bin / "eyeshot", "bench", "--device", "cuda", "--model", self.checkpoint(size),
                                       "--tiles", 1, "--depths", 64, "--tokens", 2400, "--repeat", 3, "--warmup", 0,
                                       "--json", limit=60))["decode"][0]

    def stages(self, size: str, runs: int, sizes: str, pictures: str) -> dict:
        """Joules of each stage, by NVML, and what pictures add to text; as a page too."""
        return json.loads(self.command(self.bin / "eyeshot", "energy", "--device", "cuda", "--model",
                                       self.checkpoint(size), "--sizes", sizes, "--images-per-question", pictures, "--tokens", 64, "--runs", runs,
                                       "--seconds", 1, "--json", "--html", self.out / f"energy-{size}.html", limit=70))

    def stall(self, *flags: str) -> dict:
        """Gaps between tokens of 8 streams behind the server while pictures of 17 tiles come, ten a second."""
        out = self.out / f"stall{'-'.join(flags)}.json"
        out.unlink(missing_ok=True)  # an earlier run's
        try:
            self.command(sys.executable, ROOT / "bench/serve/stall.py", "--program", self.bin / "eyeshot", "--model",
                         self.checkpoint("256M"), f"--serve={' '.join(['--device cuda', *flags])}", "--every", 0.1,
                         "--answer", 1200, "--out", out, limit=60)
        except Failed:  # also where its own bar isn't held, which is none of this page
            if not out.exists():
                raise
        return json.loads(out.read_text("utf-8"))

    def frames(self) -> dict:
        """Memory of 64 frames."""
        picture = ROOT / "demo/clip_1.png"
        answer = json.loads(self.command(self.bin / "eyeshot", "ask", "--device", "cuda", "--model",
                                         self.checkpoint("256M"), "--json", "-n", 4, "--frames", *[picture] * 64,
                                         "What happens?", limit=60))
        return {"visual_tokens": answer["visual_tokens"], "gpu": answer["gpu"]}

    def eval(self) -> dict:
        """The built-in model's answers on the GPU beside those on the CPU."""
        answers = {}
        scores = {}
        for device in ("cpu", "cuda"):
            out = self.work / f"answers-{device}.jsonl"
            out.unlink(missing_ok=True)  # what is there would not be asked again
            scores[device] = json.loads(self.command(self.bin / "eyeshot", "eval", EVAL, "--model",
                                                     ROOT / "models/eyeshot-tiny", "--device", device, "--out", out,
                                                     "--json", limit=90))["total"]
            answers[device] = [json.loads(line)["answer"] for line in out.read_text("utf-8").splitlines()[1:]]
        same = sum(cpu == gpu for cpu, gpu in zip(answers["cpu"], answers["cuda"], strict=True))
        return {"questions": len(answers["cpu"]), "same": same, "exact": {key: score["exact"] for key, score in scores.items()}}

    def peers(self, size: str, variant: str) -> dict:
        """transformers on the same GPU, with the same weights."""
        text = self.command(sys.executable, PEERS, "--model", self.checkpoint(size), "--variant", variant,
                            limit=100 if variant == "compile" else 60)
        return json.loads(text.splitlines()[-1])


def main() -> int:
    """Runs the steps in the order of their weight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=510)
    parser.add_argument("--steps", help="only these, with commas: the beginnings of their names")
    args = parser.parse_args()
    run = Run(args)
    only = args.steps
    steps = {"machine": run.machine, "peak": run.peak,
             "tests": lambda: run.run_tests(run.bin / "cuda_test"),
             "memcheck": lambda: run.sanitizer("memcheck"),
             "parity 256M": lambda: run.parity("256M"),
             "bench 256M": lambda: run.bench("256M", "--batch", "1,8,64"),
             "eval": run.eval,
             "energy 256M": lambda: run.energy("256M"),
             "frames": run.frames,
             "stall beside": run.stall,
             "stall between": lambda: run.stall("--pictures-between-steps"),
             "parity 2.2B": lambda: run.parity("2.2B"), "bench 2.2B": lambda: run.bench("2.2B"),
             "parity 500M": lambda: run.parity("500M"), "bench 500M": lambda: run.bench("500M"),
             "parity 2.2B fp8": lambda: run.parity("2.2B", "fp8"),
             "bench 2.2B fp8": lambda: run.bench("2.2B", "--precision", "fp8"),
             "stages 256M": lambda: run.stages("256M", 2, "512x512,1024x1024,2048x2048", "1,2"),
             "transformers eager 256M": lambda: run.peers("256M", "eager"),
             "transformers sdpa 256M": lambda: run.peers("256M", "sdpa"),
             "transformers eager 2.2B": lambda: run.peers("2.2B", "eager"),
             "stages 2.2B": lambda: run.stages("2.2B", 2, "384x384,1536x1536", "1"),
             "stages 500M": lambda: run.stages("500M", 5, "2048x2048", "1"),
             "operations": run.operations,
             "transformers compile 256M": lambda: run.peers("256M", "compile"),
             "bench 256M fp8": lambda: run.bench("256M", "--precision", "fp8"),
             "bench 256M int8": lambda: run.bench("256M", "--precision", "int8"),
             "bench 256M int4": lambda: run.bench("256M", "--precision", "int4"),
             "alone": run.alone,
             "racecheck": lambda: run.sanitizer("racecheck")}
    for name, action in steps.items():
        if only is None or any(name.startswith(begin) for begin in only.split(",")):
            run.step(name, action)
    return 0 if all(step["ok"] for step in run.results["steps"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
