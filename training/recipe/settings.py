"""What is trained: a grid of decoder sizes and connectors, read from a JSON file of configs/."""

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Vision:
    width: int
    layers: int
    heads: int
    mlp: int


@dataclasses.dataclass(frozen=True)
class Decoder:
    width: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int


@dataclasses.dataclass(frozen=True)
class Connector:
    """type: "elastic" (fewer tokens a tile, drawn for each batch from `reduced_tokens` and all), or "quecc" with `tokens`
    a tile."""

    type: str
    reduced_tokens: tuple = ()
    tokens: int = 0

    @property
    def name(self) -> str:
        return f"quecc{self.tokens}" if self.type == "quecc" else self.type


@dataclasses.dataclass(frozen=True)
class Settings:
    tile: int              # pixels of a tile's side
    patch: int
    scale_factor: int      # patches along a side of a visual token, of the elastic connector
    layouts: dict          # "ROWSxCOLUMNS" of tiles: weight; 1x1 is a picture that isn't split
    families: dict         # of scenes: weight
    vocabulary: int
    positions: int
    vision: Vision
    decoders: dict         # name: Decoder
    connectors: tuple
    pictures: int          # of a batch
    questions: int         # of a picture, at most
    steps: int
    warmup: int
    matrix_rate: float     # learning rates: of Muon, and of AdamW
    other_rate: float
    seed: int
    eval_questions: int
    tokenizer_scenes: int

    @property
    def grid(self) -> int:
        """Patches along a side of a tile."""
        return self.tile // self.patch

    @property
    def most_tokens(self) -> int:
        """Of a tile, of the elastic connector."""
        return (self.grid // self.scale_factor) ** 2


def load(path: Path) -> Settings:
    values = json.loads(path.read_text(encoding="utf-8"))
    values["vision"] = Vision(**values["vision"])
    values["decoders"] = {name: Decoder(**shape) for name, shape in values["decoders"].items()}
    connectors = []
    for connector in values["connectors"]:
        connectors.append(Connector(**{**connector, "reduced_tokens": tuple(connector.get("reduced_tokens", ()))}))
    values["connectors"] = tuple(connectors)
    return Settings(**values)
