"""What lmms-eval calls for a question of Eyeshot's own sets: the functions that eyeshot_set.yaml names.

lmms-eval finds them by a file beside its task; run.py puts both into one folder.
"""
import base64
import pathlib


def doc_to_messages(doc: dict) -> list[dict]:
    """One turn of the user: pictures or a clip, then the question, as `eyeshot eval` asks it."""
    if doc["video"]:
        frames = (base64.b64encode(pathlib.Path(path).read_bytes()).decode() for path in doc["images"])
        content = [{"type": "video", "url": "data:video/jpeg;base64," + ",".join(frames)}]
    else:
        content = [{"type": "image", "url": path} for path in doc["images"]]
    return [{"role": "user", "content": [*content, {"type": "text", "text": doc["question"]}]}]


def doc_to_visual(doc: dict) -> list:
    """Unused where there are messages."""
    return list(doc["images"])


def doc_to_text(doc: dict) -> str:
    """The question alone."""
    return doc["question"]


def process_results(doc: dict, results: list[str]) -> dict:
    """1 where the answer is the true one but for white space: the scorer `exact` of `eyeshot eval`."""
    return {"exact_match": float(" ".join(results[0].split()) == " ".join(doc["answer"].split()))}
