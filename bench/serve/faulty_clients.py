"""Clients as they should not be: each opens a connection, does something wrong, and says what the server should do.

A function returns the status that it got, 0 where the server ended the connection without one, or None where the client
itself went away before an answer.
"""
import asyncio
import json
import random
import socket
import struct

import client
import questions

WAIT_S = 120  # longer than any time limit of the server


async def connect(endpoint: client.Endpoint, request: bytes = b"") -> client.Exchange:
    """Sends what is given, which may be less than a request."""
    return await client.open_exchange(endpoint, request)


def go(exchange: client.Exchange, draw: random.Random) -> None:
    """Ends the connection as a program that is killed does, or by a reset as when its machine goes."""
    if draw.random() < 0.5 and not exchange.transport.is_closing():
        own = exchange.transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.transport.abort()


async def status_of(exchange: client.Exchange) -> int:
    """Waits for the answer."""
    await asyncio.wait_for(exchange.done, WAIT_S)
    return exchange.reply.status


async def drops(endpoint: client.Endpoint, request: bytes, draw: random.Random) -> None:
    """Goes at a random point: before a byte, within the head or body, while it waits, or within the answer."""
    point = draw.choice(["nothing", "part", "part", "waiting", "waiting", "answer", "answer"])
    part = {"nothing": b"", "part": request[:draw.randrange(1, len(request))]}.get(point, request)
    exchange = await connect(endpoint, part)
    if point == "answer":
        await asyncio.wait([exchange.first], timeout=draw.choice([0.5, 5]))
    await asyncio.sleep(draw.choice([0, 0, 0.002, 0.02, 0.2]))
    go(exchange, draw)


async def sends_slowly(endpoint: client.Endpoint, request: bytes, draw: random.Random) -> int:
    """A good request in small pieces: it must be answered."""
    exchange = await connect(endpoint)
    pieces = 8
    for number in range(pieces):
        exchange.transport.write(request[len(request) * number // pieces:len(request) * (number + 1) // pieces])
        await asyncio.sleep(draw.choice([0.01, 0.05, 0.2]))
    return await status_of(exchange)


async def never_ends(endpoint: client.Endpoint, request: bytes) -> int:
    """A request whose end doesn't come: the server must cut it off."""
    exchange = await connect(endpoint, request[:-1])
    return await status_of(exchange)


async def reads_nothing(endpoint: client.Endpoint, request: bytes, draw: random.Random) -> None:
    """Asks for a stream and reads none of it for a while."""
    exchange = await connect(endpoint, request)
    exchange.transport.pause_reading()
    await asyncio.sleep(draw.choice([0.5, 2]))
    go(exchange, draw)


def malformed(draw: random.Random) -> tuple[str, bytes, tuple[int, ...]]:
    """A body or request that is wrong, and the statuses that are right for it."""
    here = client.Endpoint("127.0.0.1", 0)
    good = json.dumps(questions.chat("Hello", max_tokens=4)).encode()

    def post(body: bytes, **headers: str) -> bytes:
        return client.request_bytes(here, "POST", "/v1/chat/completions", body, headers)

    def chat(**changes: object) -> bytes:
        return post(json.dumps(json.loads(good) | changes).encode())

    def picture(url: str) -> bytes:
        part = {"type": "image_url", "image_url": {"url": url}}
        return chat(messages=[{"role": "user", "content": [part]}])

    cut = bytearray(good)
    cut[draw.randrange(len(cut))] = draw.randrange(256)
    image = questions.png(64, 64, draw.randrange(1000))
    huge = image[:16] + struct.pack(">II", 60000, 60000) + image[24:]
    wrong = [
        ("no JSON", post(b"{" * draw.randrange(1, 2000)), (400,)),
        ("JSON of another shape", post(draw.choice([b"[]", b"null", b"7", b'"x"'])), (400,)),
        ("a byte changed", post(bytes(cut)), (200, 400, 429)),
        ("bytes that are no text", post(b'{"messages": [{"role": "user", "content": "\xff\xfe\x80"}]}'), (400,)),
        ("no messages", chat(messages=[]), (400,)),
        ("max_tokens that are none", chat(max_tokens=draw.choice([-1, "x", 1.5, 0])), (400,)),
        ("a temperature out of range", chat(temperature=1e9), (400,)),
        ("another role", chat(messages=[{"role": "nobody", "content": "Hello"}]), (400,)),
        ("deep nesting", post(b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"), (400,)),
        ("a prompt longer than the context", chat(messages=[{"role": "user", "content": "river " * 30000}]), (400,)),
        ("a picture that is none", picture("data:image/png;base64,AAAA"), (415, 422)),
        ("a picture cut off", picture(questions.data_url(image[:len(image) // 2])), (200, 415, 422)),
        ("base64 that is none", picture("data:image/png;base64,****"), (400, 415, 422)),
        ("a picture of too many pixels", picture(questions.data_url(huge)), (413, 415, 422)),
        ("a URL that is not fetched", picture("http://127.0.0.1:1/a.png"), (400, 403)),
        ("a file", picture("file:///etc/passwd"), (400, 403)),
        ("a body that is too long", client.request_bytes(here, "POST", "/v1/chat/completions", b"{}",
                                                         {"Content-Length": str(1 << 34)}), (413,)),
        ("headers that are too long", client.request_bytes(here, "GET", "/health", b"", {"X-A": "a" * 40000}), (431,)),
        ("no HTTP", draw.randbytes(200) + b"\r\n\r\n", (0, 400)),
        ("another method", client.request_bytes(here, "DELETE", "/v1/chat/completions"), (405,)),
        ("no such path", client.request_bytes(here, "GET", "/nowhere"), (404,)),
        ("another content type", post(good, **{"Content-Type": "text/plain"}), (415,)),
        ("two lengths", post(good, **{"Content-Length": "1", "Transfer-Encoding": "chunked"}), (0, 400)),
    ]
    return draw.choice(wrong)
