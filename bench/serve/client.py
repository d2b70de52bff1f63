"""One request to a server with OpenAI's API, over asyncio: what came back, and when each piece of it came.

While bytes come they are only kept with their time; a reply is parsed when it is asked for, so that a client that
measures eight streams costs them little.
"""
import asyncio
import functools
import json
import time
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens, and the key it wants."""
    host: str
    port: int
    key: str = ""

    @staticmethod
    def of(url: str) -> "Endpoint":
        """Of http://HOST:PORT."""
        parts = urllib.parse.urlsplit(url)
        return Endpoint(parts.hostname or "127.0.0.1", parts.port or 80)


@dataclass
class Event:
    """A server-sent event with new text. `at` is when its last byte was read: events read together have one time."""
    at: float
    text: str


@dataclass
class Reply:
    """A parsed answer. Times are of time.perf_counter()."""
    status: int = 0  # 0: the connection ended before one came
    sent: float = 0
    ended: float = 0
    body: str = ""  # of an answer that is not a stream
    events: list[Event] = field(default_factory=list)
    text: str = ""
    usage: dict = field(default_factory=dict)
    finish: str | None = None
    error: dict | None = None
    whole: bool = False  # it came to its end

    @property
    def ok(self) -> bool:
        """An answer, complete and without an error in it."""
        return self.status == 200 and self.whole and self.error is None

    @property
    def first_s(self) -> float:
        """From the request to the first text, or to the end where the answer has none or is no stream."""
        return (self.events[0].at if self.events else self.ended) - self.sent

    @property
    def total_s(self) -> float:
        """From the request to the end of the answer."""
        return self.ended - self.sent

    @property
    def tokens(self) -> int:
        """Of the answer, as the server counts them."""
        return self.usage.get("completion_tokens", 0)

    def timed_gaps(self, begin: float = 0, end: float = float("inf")) -> list[tuple[float, float]]:
        """Of events that both lie within [begin, end]: when the second one came, and the seconds between them."""
        times = [event.at for event in self.events if begin <= event.at <= end]
        return [(later, later - earlier) for earlier, later in zip(times, times[1:])]


def check(replies: Iterable[Reply]) -> None:
    """Raises RuntimeError with what went wrong where one is not ok."""
    wrong = [reply.error or reply.status for reply in replies if not reply.ok]
    if wrong:
        raise RuntimeError(f"{len(wrong)} requests failed: {wrong[:3]}")


def request_bytes(endpoint: Endpoint, method: str, path: str, body: bytes = b"", headers: dict | None = None) -> bytes:
    """A request after whose answer the connection ends."""
    lines = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    if body:
        lines["Content-Type"] = "application/json"
    if endpoint.key:
        lines["Authorization"] = f"Bearer {endpoint.key}"
    lines |= headers or {}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode() + b"\r\n" + body


def chat_bytes(endpoint: Endpoint, body: dict) -> bytes:
    """A request for a chat completion."""
    return request_bytes(endpoint, "POST", "/v1/chat/completions", json.dumps(body).encode())


class Exchange(asyncio.Protocol):
    """A connection with one request. `done` ends with the connection."""

    def __init__(self, request: bytes):
        self.request = request
        self.sent = 0.0
        self.ended = 0.0
        self.pieces: list[tuple[float, bytes]] = []
        self.transport: asyncio.Transport | None = None
        self.first = asyncio.get_running_loop().create_future()  # the first bytes, or the end
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.sent = time.perf_counter()
        if self.request:
            transport.write(self.request)

    def data_received(self, data):
        self.pieces.append((time.perf_counter(), data))
        if not self.first.done():
            self.first.set_result(None)

    def connection_lost(self, exc):
        self.ended = time.perf_counter()
        for future in (self.first, self.done):
            if not future.done():
                future.set_result(None)

    @functools.cached_property
    def reply(self) -> Reply:
        """REQUIRES: the connection has ended."""
        return parse(self.pieces, self.sent, self.ended)


async def open_exchange(endpoint: Endpoint, request: bytes) -> Exchange:
    """Sends a request and does not wait for its answer."""
    loop = asyncio.get_running_loop()
    _, exchange = await loop.create_connection(lambda: Exchange(request), endpoint.host, endpoint.port)
    return exchange


async def ask(endpoint: Endpoint, body: dict) -> Reply:
    """A chat completion, from its question to its end."""
    exchange = await open_exchange(endpoint, chat_bytes(endpoint, body))
    await exchange.done
    return exchange.reply


async def get(endpoint: Endpoint, path: str) -> Reply:
    """What a path gives."""
    exchange = await open_exchange(endpoint, request_bytes(endpoint, "GET", path))
    await exchange.done
    return exchange.reply


async def token_ids(endpoint: Endpoint, text: str) -> list[int]:
    """The tokens of a text, by the server's tokenizer."""
    request = request_bytes(endpoint, "POST", "/tokenize", json.dumps({"content": text}).encode())
    exchange = await open_exchange(endpoint, request)
    await exchange.done
    return json.loads(exchange.reply.body)["tokens"]


# --- Parsing

def unchunk(data: bytes) -> tuple[bytes, list[tuple[int, int]], bool]:
    """The content of chunks, where each of their ends lies (in the content, in `data`), and whether the last came."""
    content, ends, at = bytearray(), [], 0
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return bytes(content), ends, False
        size = int(data[at:line], 16)
        if size == 0:
            return bytes(content), ends, data[line:line + 4] == b"\r\n\r\n"
        begin = line + 2
        if len(data) < begin + size:
            return bytes(content), ends, False
        content += data[begin:begin + size]
        ends.append((len(content), begin + size))
        at = begin + size + 2


def time_of(pieces: list[tuple[float, bytes]], offsets: list[int]) -> list[float]:
    """When each byte of ascending offsets was there."""
    times, piece, seen = [], 0, 0
    for offset in offsets:
        while piece < len(pieces) - 1 and seen + len(pieces[piece][1]) < offset:
            seen += len(pieces[piece][1])
            piece += 1
        times.append(pieces[piece][0])
    return times


def parse(pieces: list[tuple[float, bytes]], sent: float, ended: float) -> Reply:
    """The answer in what was read."""
    data = b"".join(piece for _, piece in pieces)
    reply = Reply(sent=sent, ended=ended)
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator:
        return reply
    lines = head.decode("latin-1").split("\r\n")
    reply.status = int(lines[0].split()[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    ends: list[tuple[int, int]] = []
    if headers.get("transfer-encoding", "").lower() == "chunked":
        rest, ends, reply.whole = unchunk(rest)
    else:
        reply.whole = len(rest) >= int(headers.get("content-length", len(rest)))
    if pieces and reply.whole:
        reply.ended = pieces[-1][0]  # the connection's end may come later
    if headers.get("content-type", "").startswith("text/event-stream"):
        times = time_of(pieces, [len(head) + 4 + there for _, there in ends])
        read_events(reply, rest, [here for here, _ in ends], times)
    else:
        reply.body = rest.decode("utf-8", "replace")
        read_body(reply)
    return reply


def read_body(reply: Reply) -> None:
    """A chat completion that is no stream, or an error."""
    try:
        body = json.loads(reply.body)
    except ValueError:
        return
    if not isinstance(body, dict):
        return
    reply.error = body.get("error")
    reply.usage = body.get("usage") or {}
    for choice in body.get("choices", []):
        reply.text = choice.get("message", {}).get("content") or ""
        reply.finish = choice.get("finish_reason")


def read_events(reply: Reply, stream: bytes, ends: list[int], times: list[float]) -> None:
    """Server-sent events; chunk i ends at ends[i] of the stream and came at times[i]."""
    at, chunk, finished = 0, 0, False
    for block in stream.split(b"\n\n"):
        at += len(block) + 2
        while chunk < len(ends) - 1 and ends[chunk] < at:
            chunk += 1
        if not block.startswith(b"data: "):
            continue
        if block == b"data: [DONE]":
            finished = True
            continue
        event = json.loads(block[6:])
        reply.error = event.get("error") or reply.error
        reply.usage = event.get("usage") or reply.usage
        for choice in event.get("choices", []):
            reply.finish = choice.get("finish_reason") or reply.finish
            text = choice.get("delta", {}).get("content")
            if text:
                reply.events.append(Event(times[chunk] if times else reply.ended, text))
    reply.whole = reply.whole and finished
    reply.text = "".join(event.text for event in reply.events)
