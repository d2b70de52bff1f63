"""VLMEvalKit's run.py with SmolVLM's prompts as adapters: run it in the kit's folder, with run.py's own flags.

    python .../bench/kits/vlmevalkit_run.py --data MMStar --model smolvlm --custom-prompt smolvlm-mcq \\
        --base-url http://127.0.0.1:8080/v1 --key none --local-media --judge exact_matching

Adapters, as `eyeshot eval --prompt` names them (docs/eval.md):
    smolvlm-mcq     MMStar, AI2D, ScienceQA, SEEDBench: options are "Choices:", the answer is begun with "Answer:"
    smolvlm-brief   OCRBench, InfoVQA, OCRVQA: "Give a very brief answer."
The kit strips no text that it sends to a server, and its own SmolVLM does: so does every adapter.
"""
import os
import runpy
import sys

sys.path.insert(0, os.getcwd())
from vlmeval.api.adapters import ModelAdapter, register_adapter  # noqa: E402 (the path must be set first)

MCQ_WORDS = {"\nOptions:": "\nChoices:",
             "Please select the correct answer from the options above.": "Answer with the letter."}
BRIEF = "\nGive a very brief answer."


class SmolVlmAdapter(ModelAdapter):
    """Rewords the questions of a set."""

    def reword(self, text: str) -> str:
        """A text of the user."""
        return text.strip()

    def process_inputs(self, inputs: list[dict], dataset=None) -> list[dict]:
        """The texts of one question, its pictures as they are."""
        return [part | {"value": self.reword(part["value"])} if part["type"] == "text" else part for part in inputs]


class McqAdapter(SmolVlmAdapter):
    """Questions with choices."""

    def reword(self, text: str) -> str:
        """Other words for choices and what to answer with."""
        text = text.strip()
        for old, new in MCQ_WORDS.items():
            text = text.replace(old, new)
        return text

    def process_payload(self, payload: dict, dataset=None) -> dict:
        """A last message of the assistant's, from which the answer goes on."""
        payload["messages"].append({"role": "assistant", "content": "Answer:"})
        return payload


class BriefAdapter(SmolVlmAdapter):
    """Questions of a word or two."""

    def reword(self, text: str) -> str:
        """With what to answer."""
        return text.strip() + BRIEF


register_adapter("smolvlm-mcq", McqAdapter)
register_adapter("smolvlm-brief", BriefAdapter)

if __name__ == "__main__":
    sys.argv[0] = "run.py"
    runpy.run_path("run.py", run_name="__main__")
