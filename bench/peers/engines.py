"""Which engines are measured, and with which worker, interpreter and files each runs."""
import dataclasses
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
OPENVINO_FILES = ("tower-f32.onnx", "embeddings.npy")
NATIVE = "native"  # whatever the engine itself chooses on this machine


@dataclasses.dataclass(frozen=True)
class Engine:
    """One line of the table."""

    family: str
    variant: str  # weights or settings
    isa: str = NATIVE
    installed: str = ""  # the step of setup.sh that it needs
    files: tuple[str, ...] = ()  # exported models that it needs

    @property
    def name(self) -> str:
        """What --engines matches: `llama:q8_0@avx2`."""
        return f"{self.family}:{self.variant}" + ("" if self.isa == NATIVE else f"@{self.isa}")

    @property
    def worker(self) -> pathlib.Path:
        """The script that measures it."""
        return HERE / f"worker_{self.family}.py"

    def environment(self, peers: pathlib.Path, threads: int) -> dict[str, str]:
        """Variables for its process."""
        variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        if self.family == "llama":
            variables["PYTHONPATH"] = str(peers / f"llama-{self.isa}")
        if self.family == "eyeshot" and self.isa != NATIVE:
            variables["EYESHOT_ISA"] = self.isa
        return variables

    def why_not(self, peers: pathlib.Path, unprepared: dict[str, str]) -> str:
        """Why it cannot run, or nothing."""
        failed = peers / "failed" / self.installed
        if self.installed and failed.is_file():
            return f"setup.sh: {failed.read_text(encoding='utf-8').strip()}"
        if self.installed and not (peers / "stamps" / self.installed).is_file():
            return f"not installed: run bench/peers/setup.sh {peers}"
        return next((unprepared[file] for file in self.files if file in unprepared), "")


def all_engines(precisions: list[str], isas: list[str]) -> list[Engine]:
    """All that can be compared, ours first in each group of one instruction set."""
    engines = []
    for isa in isas:
        engines += [Engine("eyeshot", precision, isa) for precision in precisions]
        engines += [Engine("llama", kind, isa, f"llama-{isa}", (f"text-{kind}.gguf", "mmproj-f16.gguf"))
                    for kind in ("q8_0", "q4_0")]
    engines += [Engine("torch", variant, installed="transformers") for variant in ("bf16", "compile")]
    engines += [Engine("openvino", variant, installed="openvino", files=(*OPENVINO_FILES, f"decoder-{weights}.xml"))
                for variant, weights in (("default", "f16"), ("f32", "f16"), ("int8", "int8"), ("int4", "int4"))]
    engines += [Engine("onnxruntime", variant, installed="onnxruntime", files=(f"tower-{variant}.onnx",))
                for variant in ("f32", "int8")]
    engines += [Engine("onednn", variant, installed="transformers") for variant in ("f32", "bf16", "int8")]
    return engines
