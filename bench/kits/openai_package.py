#!/usr/bin/env python3
"""What the official `openai` package gets from `eyeshot serve` with the built-in model.

    VENV/bin/python bench/kits/openai_package.py [--program build/release/src/cli/eyeshot]

VENV has `pip install openai`. Each test is a call as that package's own documents write it.
"""
import argparse
import asyncio
import base64
import pathlib
import sys
import unittest

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/serve"))
import server  # noqa: E402 (the path must be set first)

IMAGES = ROOT / "tests/data/eval/eval-dev/images"
FLAGS = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
server.add_flags(FLAGS)
MODEL = "eyeshot-tiny"


def encoded(name: str) -> str:
    """A picture of the set in base64."""
    return base64.b64encode((IMAGES / name).read_bytes()).decode()


def user(text: str, *pictures: str) -> dict:
    """A turn of the user's."""
    parts = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded(name)}", "detail": "low"}}
             for name in pictures]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


class OpenAi(unittest.TestCase):
    """One server for all tests."""
    args: argparse.Namespace

    @classmethod
    def setUpClass(cls):
        cls.serving = server.Server(cls.args, "--per-client", 4)
        cls.serving.__enter__()
        cls.url = f"http://127.0.0.1:{cls.serving.endpoint.port}/v1"
        cls.client = openai.OpenAI(base_url=cls.url, api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.serving.__exit__()

    def chat(self, *messages: dict, **more):
        """A chat completion."""
        return self.client.chat.completions.create(model=MODEL, messages=list(messages), max_tokens=12, **more)

    def test_models(self):
        """The list, and the model by its name."""
        names = [model.id for model in self.client.models.list()]
        self.assertEqual(names, [MODEL])
        self.assertEqual(self.client.models.retrieve(MODEL).id, MODEL)
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("gpt-none")

    def test_chat_of_text_and_pictures(self):
        """One, and two."""
        for pictures in ([], ["dev_0006_0.png"], ["dev_0006_0.png", "dev_0006_1.png"]):
            reply = self.chat(user("What is it?", *pictures))
            self.assertTrue(reply.choices[0].message.content)
            self.assertIn(reply.choices[0].finish_reason, ("stop", "length"))
            self.assertEqual(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens)
            self.assertEqual(len(reply.usage.eyeshot["pictures"]), len(pictures))

    def test_a_stream_is_the_answer_in_pieces(self):
        """With the usage in the last event."""
        whole = self.chat(user("Read the text.", "dev_0006_0.png"))
        events = list(self.chat(user("Read the text.", "dev_0006_0.png"), stream=True,
                                stream_options={"include_usage": True}))
        text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(events[-1].usage.completion_tokens, whole.usage.completion_tokens)

    def test_async_clients_side_by_side(self):
        """Answers are those of each alone."""
        questions = ["What is it?", "Read the text.", "Count the shapes."]
        alone = [self.chat(user(text, "dev_0010_0.png")).choices[0].message.content for text in questions]

        async def ask_all() -> list[str]:
            async with openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0) as client:
                replies = await asyncio.gather(*(client.chat.completions.create(
                    model=MODEL, messages=[user(text, "dev_0010_0.png")], max_tokens=12) for text in questions))
            return [reply.choices[0].message.content for reply in replies]
        self.assertEqual(asyncio.run(ask_all()), alone)

    def test_video_and_a_begun_answer(self):
        """Frames in one URL; the answer goes on from the assistant's last message."""
        frames = ",".join(encoded(f"dev_0025_{number}.png") for number in range(4))
        video = {"type": "video_url", "video_url": {"url": f"data:video/jpeg;base64,{frames}"}}
        message = {"role": "user", "content": [video, {"type": "text", "text": "What happens?"}]}
        reply = self.chat(message, {"role": "assistant", "content": "The number"},
                          extra_body={"media_io_kwargs": {"video": {"num_frames": 2}}})
        self.assertEqual(reply.usage.eyeshot["pictures"][0]["frames"], 2)
        self.assertTrue(reply.choices[0].message.content.startswith(" "))

    def test_raw_prompts(self):
        """A text, ids, and several of them, with and without a stream."""
        text = "<|im_start|>User: What is it?<end_of_utterance>\nAssistant:"
        chat = self.chat({"role": "user", "content": "What is it?"}).choices[0].message.content
        complete = self.client.completions.create
        one = complete(model=MODEL, prompt=text, max_tokens=12)
        self.assertEqual(one.choices[0].text.strip(), chat)
        ids = self.client.with_options(base_url=self.url.removesuffix("/v1")).post(
            "/tokenize", body={"prompt": text}, cast_to=dict[str, object])["tokens"]
        by_ids = complete(model=MODEL, prompt=ids, max_tokens=12)
        self.assertEqual(by_ids.choices[0].text, one.choices[0].text)
        self.assertEqual(by_ids.usage.prompt_tokens, len(ids))
        other = text.replace("What is it?", "Who are you?")
        several = complete(model=MODEL, prompt=[text, other], max_tokens=12)
        self.assertEqual([choice.index for choice in several.choices], [0, 1])
        self.assertEqual(several.choices[0].text, one.choices[0].text)
        texts = ["", ""]
        for event in complete(model=MODEL, prompt=[text, other], max_tokens=12, stream=True):
            texts[event.choices[0].index] += event.choices[0].text
        self.assertEqual(texts, [choice.text for choice in several.choices])
        both_ids = complete(model=MODEL, prompt=[ids, ids], max_tokens=12)
        self.assertEqual({choice.text for choice in both_ids.choices}, {one.choices[0].text})

    def test_errors_are_the_packages_own(self):
        """And say what was wrong."""
        complete = self.client.completions.create
        wrong = [({"prompt": ""}, "empty"), ({"prompt": "a", "echo": True}, "echo"), ({"prompt": [10**9]}, "token"),
                 ({"prompt": "a", "logprobs": 1}, "logprobs"), ({"prompt": "a", "n": 2}, "n"),
                 ({"prompt": ["a"] * 5}, "5 prompts"), ({"prompt": "<image>"}, "picture"),
                 ({"prompt": "a", "suffix": "b"}, "suffix"), ({"prompt": "a", "best_of": 3}, "best_of")]
        for body, found in wrong:
            with self.assertRaises(openai.BadRequestError) as caught:
                complete(model=MODEL, **body)
            self.assertIn(found, str(caught.exception))
        with self.assertRaises(openai.BadRequestError):
            self.chat(user("Hello"), tools=[{"type": "function", "function": {"name": "f"}}])
        cut = user("What is it?", "dev_0006_0.png")
        cut["content"][0]["image_url"]["url"] = cut["content"][0]["image_url"]["url"][:400]
        with self.assertRaises(openai.UnprocessableEntityError):
            self.chat(cut)


if __name__ == "__main__":
    OpenAi.args, rest = FLAGS.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
