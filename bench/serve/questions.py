"""What benchmarks ask: texts of so many tokens and pictures that nobody has sent before."""
import base64
import random
import struct
import zlib

from client import Endpoint, token_ids

WORDS = ("river stone window morning letter garden bridge winter silver market forest table summer paper kitchen "
         "island shadow engine harbor candle village pencil mountain orchard blanket lantern meadow copper").split()


def png(width: int, height: int, seed: int, cell: int = 32) -> bytes:
    """A picture of random coloured squares, different for each seed."""
    draw = random.Random(seed)
    columns = -(-width // cell)
    rows = bytearray()
    for top in range(0, height, cell):
        line = b"".join(draw.randbytes(3) * cell for _ in range(columns))[:3 * width]
        rows += (b"\0" + line) * min(cell, height - top)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1))
            + chunk(b"IEND", b""))


def data_url(content: bytes, kind: str = "image/png") -> str:
    """Bytes as requests carry them."""
    return f"data:{kind};base64," + base64.b64encode(content).decode()


def picture_part(content: bytes, detail: str | None = None) -> dict:
    """A part of a message."""
    image = {"url": data_url(content)} | ({"detail": detail} if detail else {})
    return {"type": "image_url", "image_url": image}


def chat(text: str, *parts: dict, max_tokens: int, **more) -> dict:
    """A request with one message, whose answer is as long as was asked for."""
    content = [*parts, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": content if parts else text}], "max_tokens": max_tokens,
            "temperature": 0, "ignore_eos": True, "skip_special_tokens": False} | more


def stream(text: str, *parts: dict, max_tokens: int, **more) -> dict:
    """The same as a stream with its usage."""
    return chat(text, *parts, max_tokens=max_tokens, stream=True, stream_options={"include_usage": True}, **more)


class Texts:
    """Texts of a length in tokens that begin differently, so that no prefix of them is known already."""

    def __init__(self, words_per_token: float, seed: int):
        self.words_per_token = words_per_token
        self.random = random.Random(seed)

    @staticmethod
    async def by(endpoint: Endpoint, seed: int) -> "Texts":
        """Measures how many words this server's tokenizer makes a token of."""
        draw = random.Random(0)
        sample = [draw.choice(WORDS) for _ in range(400)]
        return Texts(len(sample) / len(await token_ids(endpoint, " ".join(sample))), seed)

    def of(self, tokens: int) -> str:
        """About so many tokens, within a few percent."""
        words = max(1, round(tokens * self.words_per_token))
        return " ".join(self.random.choice(WORDS) for _ in range(words))
