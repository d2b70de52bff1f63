#!/usr/bin/env python3
"""Tests of how bench/serve reads answers and makes figures of them: no server is needed."""
import asyncio
import contextlib
import io
import pathlib
import sys
import unittest
import zlib

from repository import ROOT

sys.path.insert(0, str(ROOT / "bench/serve"))
import capacity  # noqa: E402 (the path must be set first)
import client  # noqa: E402
import equal_answers  # noqa: E402
import faults  # noqa: E402
import questions  # noqa: E402
import replay  # noqa: E402
import report  # noqa: E402
import traces  # noqa: E402

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(event: bytes) -> bytes:
    """An event as the server sends it."""
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


def text_event(text: str) -> bytes:
    """An event with text."""
    return b'data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": null}]}\n\n' % text.encode()


EVENTS = [text_event("one "), text_event("two "), text_event("three"),
          b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\n',
          b'data: {"choices": [], "usage": {"completion_tokens": 4, "prompt_tokens": 9}}\n\n', b"data: [DONE]\n\n"]


class Reading(unittest.TestCase):
    """What came back, and when."""

    def test_events_have_the_time_at_which_their_last_byte_came(self):
        """The second event comes in two pieces, the third with the rest."""
        chunks = [chunk(event) for event in EVENTS]
        pieces = [(1.0, HEAD + chunks[0]), (2.0, chunks[1][:30]), (3.0, chunks[1][30:]),
                  (5.0, b"".join(chunks[2:]) + b"0\r\n\r\n")]
        reply = client.parse(pieces, sent=0.5, ended=9.0)
        self.assertTrue(reply.ok)
        self.assertEqual([(event.at, event.text) for event in reply.events],
                         [(1.0, "one "), (3.0, "two "), (5.0, "three")])
        self.assertEqual((reply.text, reply.finish, reply.tokens), ("one two three", "length", 4))
        self.assertEqual((reply.first_s, reply.total_s), (0.5, 4.5))
        self.assertEqual([gap for _, gap in reply.timed_gaps(2)], [2.0])

    def test_an_answer_that_is_cut_off_is_not_whole(self):
        """At every byte."""
        data = HEAD + b"".join(chunk(event) for event in EVENTS) + b"0\r\n\r\n"
        for length in range(len(data)):
            self.assertFalse(client.parse([(1.0, data[:length])] if length else [], 0, 2).ok, length)
        self.assertTrue(client.parse([(1.0, data)], 0, 2).ok)

    def test_errors_are_no_answers(self):
        """As a reply of their own, and within a stream."""
        body = b'{"error": {"message": "full", "code": "queue_full"}}'
        plain = client.parse([(1.0, b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
                              b"Content-Length: %d\r\n\r\n" % len(body) + body)], 0, 1)
        self.assertEqual((plain.status, plain.error["code"], plain.ok), (429, "queue_full", False))
        error = chunk(b"data: " + body + b"\n\n") + chunk(EVENTS[-1]) + b"0\r\n\r\n"
        self.assertFalse(client.parse([(1.0, HEAD + chunk(EVENTS[0]) + error)], 0, 1).ok)

    def test_a_connection_that_ends_early_ends_the_wait(self):
        """Without an answer."""
        async def ask() -> client.Reply:
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            reply = await client.ask(client.Endpoint("127.0.0.1", port), questions.chat("Hello", max_tokens=1))
            server.close()
            return reply
        self.assertEqual(asyncio.run(ask()).status, 0)


class Figures(unittest.TestCase):
    """What is made of them."""

    def test_percentiles_lie_between_values(self):
        """As statistics has them."""
        self.assertEqual(report.percentile([4, 1, 3, 2], 50), 2.5)
        self.assertEqual(report.percentile(range(101), 99), 99)

    def test_growth_is_counted_after_the_warm_up(self):
        """2,000 requests that take memory, then 5 KiB for each thousand."""
        points = [(1000, 100), (2000, 5000), (3000, 5005), (4000, 5010), (5000, 5015)]
        self.assertAlmostEqual(faults.slope(points, 2000), 5)

    def test_the_exponent_of_a_power_is_found(self):
        """3 x^1.5."""
        self.assertAlmostEqual(replay.exponent([(x, 3 * x ** 1.5) for x in (64, 128, 1000)]), 1.5)

    def test_capacity_is_the_last_number_that_was_served_in_time(self):
        """The next one is told, refused requests count as missed, and files of several machines make one table."""
        def run(users: int, slo: float, refused: int = 0) -> dict:
            return {"model": "tiny", "threads": 2, "users": users, "slo": slo, "requests": 10, "refused": refused,
                    "failed": 0, "requests_per_s": 0.5, "tokens_per_s": 20.0, "ttft_ms": {"p50": 100.0, "p90": 900.0},
                    "tpot_ms": {"p50": 8.0}, "joules_per_request": {"rapl": 3.14}}
        result = {"machine": "a box", "precision": None, "share": 0.95, "slo_ttft": 5, "slo_tpot": 0.1, "rate": 0.1}
        rows = {"4 (8: 60% in time)": [run(1, 1.0), run(2, 1.0), run(4, 0.95), run(8, 0.6)],
                "2 (4: 99% in time)": [run(1, 1.0), run(2, 1.0), run(4, 0.99, refused=1)],
                "none (1: 50% in time)": [run(1, 0.5)], "1": [run(1, 1.0)]}
        for users, runs in rows.items():
            self.assertEqual(capacity.row_of(result, runs)[4], users)
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            capacity.print_markdown([result | {"threads": [runs]} for runs in rows.values()], "C1")
        lines = text.getvalue().splitlines()
        self.assertIn("first token within 5 s", lines[0])
        self.assertTrue(lines[0].endswith("[C1]:"), lines[0])
        self.assertEqual(len(lines), 4 + len(rows), "one caption, one head")
        self.assertEqual({line.count("|") for line in lines[2:]}, {len(capacity.HEADS) + 1})
        self.assertIn("| a box | tiny | the program's choice | 2 | 4 (8: 60% in time) | 30 | 20 | 100 / 900 | 8 | "
                      "3.1 (rapl) |", lines[4])

    def test_traces_and_questions_are_those_of_their_seed(self):
        """And grow with the clients."""
        self.assertEqual(traces.make(4, 60, 0.1, 7), traces.make(4, 60, 0.1, 7))
        self.assertGreater(len(traces.make(64, 60, 0.1, 7)), len(traces.make(4, 60, 0.1, 7)))
        self.assertEqual(equal_answers.draw_requests(5, 3, 10), equal_answers.draw_requests(5, 3, 10))

    def test_pictures_are_png_files(self):
        """Each row is whole, and another seed is another picture."""
        picture = questions.png(50, 40, 1)
        self.assertNotEqual(picture, questions.png(50, 40, 2))
        at = picture.index(b"IDAT")
        length = int.from_bytes(picture[at - 4:at], "big")
        self.assertEqual(len(zlib.decompress(picture[at + 4:at + 4 + length])), 40 * (1 + 3 * 50))


if __name__ == "__main__":
    assert pathlib.Path(client.__file__).parent == ROOT / "bench/serve"
    unittest.main()
