#!/usr/bin/env python3
"""Tests of the recipe's scenes, with the standard library alone: what is asked can be seen, and seeds repeat."""
import json
import random
import sys
import unittest
from pathlib import Path

TRAINING = Path(__file__).resolve().parent
sys.path.insert(0, str(TRAINING))
from recipe import scenes, settings, words  # noqa: E402 (the path must be set first)
from recipe.scene import COLOURS, SHAPES, Shape, Text  # noqa: E402

SIDE = 256


def make(family: str, number: int, split: str = "train"):
    return scenes.make({family: 1}, f"test-{number}", SIDE, SIDE, split)


class ScenesTest(unittest.TestCase):
    def test_the_same_seed_gives_the_same_scene(self) -> None:
        for family in scenes.FAMILIES:
            self.assertEqual(make(family, 1), make(family, 1))
            self.assertNotEqual(make(family, 1), make(family, 2))

    def test_every_scene_asks_and_answers_in_a_line_or_more(self) -> None:
        for family in scenes.FAMILIES:
            for number in range(30):
                scene = make(family, number)
                self.assertTrue(scene.questions)
                for question in scene.questions:
                    self.assertTrue(question.text.strip() and question.answer.strip() and question.task)

    def test_counts_are_of_what_is_drawn(self) -> None:
        for number in range(60):
            scene = make("shapes", number)
            shapes = [mark for mark in scene.marks if isinstance(mark, Shape)]
            asked = {question.text: question.answer for question in scene.questions}
            count = asked.get("How many shapes are there?") or asked.get("Count the shapes.")
            self.assertEqual(count, str(len(shapes)))

    def test_there_is_what_the_answer_says(self) -> None:
        for number in range(60):
            scene = make("shapes", number)
            for question in scene.questions:
                if question.task != "shapes_there":
                    continue
                colour, kind = question.text.removesuffix("?").split()[-2:]
                near = [mark for mark in scene.marks if mark.kind == kind
                        and max(abs(a - b) for a, b in zip(mark.fill, COLOURS[colour], strict=True)) <= 10]
                self.assertEqual(question.answer, "Yes" if near else "No")

    def test_texts_that_are_asked_for_stand_in_the_picture(self) -> None:
        for family in ("number", "sign", "receipt", "form", "lines", "bars"):
            for number in range(20):
                scene = make(family, number)
                written = {mark.text for mark in scene.marks if isinstance(mark, Text)}
                for question in scene.questions:
                    if question.task not in ("line_count", "chart_count"):
                        for line in question.answer.split("\n"):
                            self.assertIn(line, written, question)

    def test_marks_begin_inside_the_picture(self) -> None:
        for family in scenes.FAMILIES:
            for number in range(20):
                for mark in make(family, number).marks:
                    self.assertTrue(0 <= mark.x < SIDE and 0 <= mark.y < SIDE, mark)

    def test_words_and_numbers_of_evaluation_are_held_out(self) -> None:
        self.assertFalse(set(words.words("train")) & set(words.words("eval")))
        seen = {split: {make("number", i, split).questions[0].answer for i in range(300)} for split in ("train", "eval")}
        self.assertFalse(seen["train"] & seen["eval"])

    def test_unwanted_words_are_left_out(self) -> None:
        self.assertTrue(words.UNWANTED.search("murderer"))
        self.assertFalse(any(words.UNWANTED.search(word) for word in words.words("train")))

    def test_every_shape_can_be_drawn(self) -> None:
        kinds = {mark.kind for number in range(80) for mark in make("shapes", number).marks}
        self.assertEqual(kinds, set(SHAPES))


class SettingsTest(unittest.TestCase):
    def test_both_grids_have_three_decoders_and_connectors_that_fit(self) -> None:
        for path in sorted((TRAINING / "configs").glob("*.json")):
            grid = settings.load(path)
            self.assertEqual(len(grid.decoders), 3, path)
            for family in grid.families:
                self.assertIn(family, scenes.FAMILIES)
            for connector in grid.connectors:
                for tokens in [*connector.reduced_tokens, *([connector.tokens] if connector.tokens else [])]:
                    self.assertEqual(grid.grid % round(tokens**0.5), 0)
            for shape in grid.decoders.values():
                self.assertEqual(shape.width % shape.heads, 0)
                self.assertEqual(shape.heads % shape.kv_heads, 0)
            self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["seed"], grid.seed)

    def test_few_words_are_enough(self) -> None:
        self.assertIn(words.word(random.Random(1), "train"), words.words("train"))


if __name__ == "__main__":
    unittest.main()
