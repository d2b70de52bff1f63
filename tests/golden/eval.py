"""Goldens of `eyeshot eval`: what VLMEvalKit's scorers and prompt builders make of answers and questions.

    python eval.py --vlmevalkit DIR --out tests/data/golden/eval

DIR is a checkout of github.com/open-compass/VLMEvalKit; its code is imported, nothing of it is copied. The modules
that are needed import pandas, numpy, sty, tqdm, tabulate, portalocker, validators, rich, matplotlib, opencv-python,
huggingface_hub, torch and Pillow: use a scratch environment. README.md says what the files hold.
"""

import argparse
import importlib
import json
import random
import re
import string
import sys
import types
from pathlib import Path

ROWS = 50  # a scorer

# Answers, references and choices, most of them odd in some way.
TEXTS = ("", " ", "Paris", "paris", " PARIS\n", "New  York", "new york", "Zürich", "STRASSE", "straße", "ΑΘΗΝΑ", "αθηνα",
         "Москва", "МОСКВА", "東京", "ﬁve", "$1,234.56", "1,234", "1234", "5%", "0.05", "5 %", "12 March 2019",
         "12/03/2019", "a red car", "the red car", "red car.", "two", "2", "It's 5 o'clock", "dont know", "don't know",
         "3.14", "-7", "+7", "1e3", "1_000", "nan", "inf", "Yes", "yes.", "No", "\"quoted\"", "well-known", "U.S.A.",
         "Coca-Cola", "Answer: B", "x+y = 3", "\\frac{a}{b}", "😀 ok")
CHOICES = ({"A": "cat", "B": "dog", "C": "bird", "D": "fish"}, {"A": "3", "B": "13", "C": "23"},
           {"A": "Yes", "B": "No"}, {"A": "A red car", "B": "a blue car", "C": "None of the above", "D": ""},
           {"A": 1, "B": 2.5, "C": "Zürich", "D": "ΑΘΗΝΑ", "E": "five"}, {})
LETTERS = ("A", "B", " C", "D.", "(A)", "(B)", "[C]", "Answer: B", "The answer is C", "The correct answer is **D**.",
           "the answer is a dog", "Option B is right, I think so", "A cat sits on a mat", "B or C", "b", "(b)", "dog",
           "It is a Dog!", "none of these", "Z", "I choose Z", "", "yes", "No", "13", "3", "The picture shows 13 birds",
           "Cannot determine the answer", "Sorry, I can't help with images of people yet.",
           "Failed to obtain answer via API. A", "A. cat", "B: dog", "C) bird", "**B**", "{D}", "E", "E. five", "zürich",
           "αθηνα", "2.5", "Because of the A and the many other words that follow here it can not be", "a blue car",
           "C. None of the above", "answer is E", "Answer is\nB", "#B", "B!", "A;B", "A A", "The best answer is B",
           "Best option: C", "The best option is D", "The answer: D", "no letter here", "Option: A", "A\u3000cat")
VIDEO_QUESTION = "What happens first?\nA. A man runs.\nB. A dog barks.\nC. Rain falls.\nD. Nothing."


def import_vlmevalkit(folder: str) -> dict:
    """Imports single modules of a checkout, without the packages' __init__ files, which import everything."""
    root = Path(folder) / "vlmeval"
    for name in ("vlmeval", "vlmeval.vlm", "vlmeval.dataset", "vlmeval.dataset.utils", "vlmeval.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    matching = importlib.import_module("vlmeval.utils.matching_util")
    sys.modules["vlmeval.utils"].can_infer = matching.can_infer
    sys.modules["vlmeval.utils"].can_infer_lego = matching.can_infer_lego
    sys.modules["vlmeval.utils"].track_progress_rich = None
    sys.modules["vlmeval.dataset"].DATASET_TYPE = sys.modules["vlmeval.dataset"].DATASET_MODALITY = None
    utils = sys.modules["vlmeval.dataset.utils"]
    utils.build_judge, utils.DEBUG_MESSAGE = None, ""
    names = {"vqa": "vlmeval.dataset.utils.vqa_eval", "choice": "vlmeval.dataset.utils.multiple_choice",
             "video": "vlmeval.dataset.utils.videomme", "image_vqa": "vlmeval.dataset.image_vqa",
             "image_mcq": "vlmeval.dataset.image_mcq", "smolvlm": "vlmeval.vlm.smolvlm"}
    return {key: importlib.import_module(name) for key, name in names.items()}


def pairs(seed: int, references: tuple, predictions: tuple = TEXTS) -> list:
    """ROWS pairs of a prediction and one to four references, half of them near each other."""
    draw = random.Random(seed)
    rows = []
    for i in range(ROWS):
        answers = draw.sample(references, draw.choice((1, 1, 2, 4)))
        prediction = predictions[i % len(predictions)]
        if i % 2 == 0:
            prediction = draw.choice(answers)
            change = draw.randrange(6)
            if change == 1 and len(prediction) > 1:
                at = draw.randrange(len(prediction))
                prediction = prediction[:at] + draw.choice("ab 9") + prediction[at + 1:]
            elif change == 2:
                prediction = prediction.upper()
            elif change == 3:
                prediction = f" {prediction} "
            elif change == 4:
                prediction = f"The answer is {prediction}."
        rows.append((prediction, answers))
    return rows


def vqa_rows(kit: dict, method: str, dataset: str, rows: list) -> list:
    out = []
    for prediction, answers in rows:
        line = {"prediction": prediction, "answer": str(answers)}
        score = kit["vqa"].hit_calculate([kit["vqa"].process_line(line, method=method)], dataset)[0]
        out.append({"prediction": prediction, "references": answers, "score": float(score)})
    return out


def distance_rows(kit: dict, rows: list) -> list:
    """Levenshtein's distance over the length of the reference, white space collapsed."""
    out = []
    for prediction, answers in rows:
        said, truth = " ".join(prediction.split()), " ".join(answers[0].split())
        edits = kit["vqa"].levenshtein_distance(said, truth)
        out.append({"prediction": prediction, "references": answers[:1], "edits": edits, "characters": len(truth)})
    return out


def substring_rows(kit: dict, rows: list) -> list:
    """OCRBench.evaluate itself, on tables of one row."""
    import pandas as pd
    module, out = kit["image_vqa"], []
    module.dump = lambda *_: None
    module.get_intermediate_file_path = lambda *_: ""
    module.tqdm = lambda items: items
    for i, (prediction, answers) in enumerate(rows):
        category = "Handwritten Mathematical Expression Recognition" if i % 5 == 4 else "Doc-oriented VQA"
        if i % 5 == 4:
            prediction = prediction.replace("a", "a ") + "\n"
        table = pd.DataFrame([{"prediction": prediction, "answer": str(answers), "category": category}])
        module.load = lambda *_, table=table: table
        score = module.OCRBench.evaluate("")["Final Score"]
        out.append({"prediction": prediction, "references": answers, "category": category, "score": float(score)})
    return out


def letter_rows(kit: dict) -> list:
    draw, out = random.Random(5), []
    for i in range(2 * ROWS):
        choices, prediction = draw.choice(CHOICES), LETTERS[i % len(LETTERS)]
        truth = draw.choice(list(choices) or ["A"])
        item = {"prediction": prediction, "GT": truth, "question": "Which?"} | dict(choices)
        chosen = kit["choice"].extract_answer_from_item(None, dict(item))["opt"]
        out.append({"prediction": prediction, "references": [truth], "choices": {k: str(v) for k, v in choices.items()},
                    "chosen": chosen, "score": float(kit["choice"].eval_vanilla(None, dict(item))["hit"])})
    return out


def video_rows(kit: dict) -> list:
    """VideoMME.evaluate's two steps: the expression, else the options that the question lists."""
    draw, out = random.Random(6), []
    extra = ("a man runs", "It shows that nothing", "rain falls.", "the dog barks loudly and then all of them run off")
    predictions = LETTERS[:ROWS - len(extra)] + extra
    for prediction in predictions:
        truth, question = draw.choice("ABCD"), VIDEO_QUESTION if draw.random() < 0.7 else "What happens first?"
        chosen = kit["video"].extract_characters_regex(prediction)
        if chosen == "":
            item = {"prediction": prediction, "question": question, "answer": truth}
            chosen = kit["video"].extract_option(None, item, "Video-MME")
        out.append({"prediction": prediction, "references": [truth], "question": question, "chosen": chosen,
                    "score": float(chosen == truth)})
    return out


def scorer_goldens(kit: dict) -> dict:
    numbers = tuple(t for t in TEXTS if re.search(r"[0-9]", t)) + ("0", "0.0", "100", "95", "105", "106", "0%", "-7.2",
                                                                 "1e3%", " 5", "7.0", "Infinity", "5%%", "１２")
    crowd = ("red", "red", "red car", "a red car", "The Red Car", "two", "2", "dont know", "U.S.A.", "1,234", "u.s. a")
    vqa = pairs(4, crowd, TEXTS)
    draw = random.Random(7)
    vqa = [(prediction, [draw.choice(answers + [prediction, "red"]) for _ in range(10)] if i % 3 else answers)
           for i, (prediction, answers) in enumerate(vqa)]
    return {
        "accuracy": vqa_rows(kit, "accuracy", "OCRVQA_TEST", pairs(1, TEXTS)),
        "anls": vqa_rows(kit, "anls", "DocVQA_VAL", pairs(2, TEXTS)),
        "relaxed": vqa_rows(kit, "relaxed_accuracy", "ChartQA_TEST", pairs(3, numbers, numbers + TEXTS)),
        "vqa": vqa_rows(kit, "vqa_score", "TextVQA_VAL", vqa),
        "cer": distance_rows(kit, pairs(8, TEXTS)),
        "substring": substring_rows(kit, pairs(9, TEXTS, TEXTS[::-1])),
        "letter": letter_rows(kit),
        "letter-video": video_rows(kit),
    }


def prompt_goldens(kit: dict) -> list:
    """Each data set's message, and SmolVLM2's prompt of it."""
    sys.modules["transformers.image_utils"] = types.SimpleNamespace(load_image=lambda path: path)
    model = kit["smolvlm"].SmolVLM2.__new__(kit["smolvlm"].SmolVLM2)
    mcq = {"question": "What is in the picture?", "A": "a cat", "B": "a dog", "C": "Zürich", "D": "4"}
    lines = {
        "MMStar": mcq, "AI2D_TEST": mcq | {"question": "Which label shows the leaf?\nLook well."},
        "ScienceQA_TEST": mcq | {"hint": "It barks."}, "MMBench_DEV_EN": mcq | {"hint": "It barks.\nOften."},
        "MMBench_DEV_EN_V11": mcq, "SEEDBench_IMG": {k: v for k, v in mcq.items() if k not in "D"},
        "ChartQA_TEST": {"question": "How many bars are there?"}, "DocVQA_VAL": {"question": "What is the date? "},
        "TextVQA_VAL": {"question": "what does the sign say?"}, "InfoVQA_VAL": {"question": "How many percent?"},
        "OCRBench": {"question": "what is written in the image?"}, "OCRVQA_TESTCORE": {"question": "Who wrote this?"},
        "GQA_TestDev_Balanced": {"question": "Is it red?"},
        "RealWorldQA": mcq,
    }
    rows = []
    for dataset, line in lines.items():
        is_vqa = dataset.split("_")[0] in ("ChartQA", "DocVQA", "TextVQA", "InfoVQA", "OCRVQA", "GQA")
        plain = dataset == "OCRBench"
        base = (kit["image_vqa"].ImageVQADataset if is_vqa else
                kit["image_vqa"].OCRBench if plain else kit["image_mcq"].ImageMCQDataset)
        data = base.__new__(base)
        data.meta_only = True
        message = data.build_prompt(dict(line) | {"image_path": "a.png"})
        builder = {"MMBench": model.build_prompt_mmbench, "ChartQA": model.build_prompt_chartqa,
                   "DocVQA": model.build_prompt_docvqa, "TextVQA": model.build_prompt_textvqa,
                   "MMStar": model.build_prompt_puremcq, "AI2D": model.build_prompt_puremcq,
                   "ScienceQA": model.build_prompt_puremcq, "SEEDBench": model.build_prompt_puremcq}
        build = builder.get(dataset.split("_")[0], model.build_prompt_default)
        brief = dataset.split("_")[0] in ("OCRBench", "OCRVQA", "InfoVQA")
        prompt, _ = build(message, add_brief=brief) if build == model.build_prompt_default else build(message)
        choices = {k: v for k, v in line.items() if k in string.ascii_uppercase}
        rows.append({"dataset": dataset, "question": line["question"], "choices": choices, "hint": line.get("hint", ""),
                     "prompt": prompt})
    return rows


def write_rows(path: Path, rows: list, more: dict) -> None:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text = json.dumps(more, ensure_ascii=False)[:-1] + ', "rows": [\n' + lines + "\n]}\n"
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vlmevalkit", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    kit = import_vlmevalkit(args.vlmevalkit)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in scorer_goldens(kit).items():
        write_rows(args.out / f"{name}.json", rows, {"scorer": name})
        print(name, len(rows), "rows,", sum(row.get("score", 0) > 0 for row in rows), "of them score")
    write_rows(args.out / "prompts.json", prompt_goldens(kit), {"model": "SmolVLM2"})


if __name__ == "__main__":
    main()
