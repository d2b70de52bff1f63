"""Goldens of the prompts of SmolVLM's relatives: SmolVLM2-2.2B, granite-docling, and Idefics3's own rules.

    python prompts_family.py --checkpoints DIR --out FILE

The folders of these models are not complete: SmolVLM2-2.2B is made of SmolVLM2-500M's files with the sizes of its tiles,
granite-docling's tokenizer is the cut that tokenizer.py makes, and Idefics3-8B's rules (sizes, template) stand on
SmolVLM-Instruct's tokenizer, which has no tokens for rows and columns either. The file is packed with `zstd -19`.
"""

import argparse
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers import logging as transformers_logging
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

import prompts
import reference
import templates
import tokenizer as tokenizer_goldens

# One for each grid: width, height.
SIZES = ((512, 512), (640, 480), (480, 640), (2048, 1024), (1024, 2048), (3000, 200), (200, 3000))


def load_granite(folder: Path) -> Idefics3Processor:
    cut = tokenizer_goldens.granite_tokenizer(folder, tokenizer_goldens.GRANITE_MERGES)
    words = {"bos_token": "<|start_of_role|>", "eos_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(cut), **words)
    template = (folder / "chat_template.jinja").read_text("utf-8")
    images = Idefics3ImageProcessorPil.from_pretrained(folder)
    return Idefics3Processor(images, tokenizer, image_seq_len=64, chat_template=template)


def load_smolvlm2(folder: Path):
    processor = reference.load_processor(folder)
    processor.image_processor.size = {"longest_edge": 4 * 384}
    processor.image_processor.max_image_size = {"longest_edge": 384}
    processor.image_seq_len = 81
    return processor


def load_idefics3(folder: Path) -> Idefics3Processor:
    images = Idefics3ImageProcessorPil.from_pretrained(folder)
    images.size = {"longest_edge": 4 * 364}
    images.max_image_size = {"longest_edge": 364}
    tokenizer = reference.load_tokenizer(folder)
    return Idefics3Processor(images, tokenizer, image_seq_len=169, chat_template=templates.IDEFICS3)


def run_grids(name: str, processor, pictures: prompts.Pictures) -> list:
    """Prompts of one picture for each grid, and of one that is not split."""
    grids = {}
    for index, (width, height) in enumerate(SIZES + SIZES[:1]):
        split = index < len(SIZES)
        picture = pictures.load({"pattern": "smooth"}, width, height)
        _, rows, cols = prompts.raw_tiles(processor, picture, split)
        _, ids = prompts.expand(processor, [prompts.user(None, prompts.QUESTION)], [picture], split)
        runs = reference.run_lengths(ids)
        grids[rows, cols] = {"processor": name, "rows": rows, "cols": cols, "count": len(ids), "ids": runs}
    return list(grids.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    transformers_logging.set_verbosity_error()

    folders = {
        "granite-docling": ("granite-docling-258M", load_granite),
        "smolvlm2-2.2b": ("SmolVLM2-500M-Video-Instruct", load_smolvlm2),
        "idefics3": ("SmolVLM-Instruct", load_idefics3),
    }
    processors = {name: load(args.checkpoints / folder) for name, (folder, load) in folders.items()}
    pictures = prompts.Pictures(Path())
    grids, conversations = [], []
    for name, processor in processors.items():
        grids += run_grids(name, processor, pictures)
        conversations += prompts.run_conversations(name, processor, pictures)
    described = {name: prompts.describe(folders[name][0], processor) for name, processor in processors.items()}
    for name, processor in processors.items():
        if name == "idefics3":
            described[name]["template"] = processor.chat_template
    plain = args.out.with_suffix("")
    reference.write_sections(
        plain,
        {
            "versions": reference.versions(),
            "question": prompts.QUESTION,
            "video_question": prompts.VIDEO_QUESTION,
            "processors": described,
            "grids": grids,
            "conversations": conversations,
            "video_prompts": prompts.run_video_prompts("smolvlm2-2.2b", processors["smolvlm2-2.2b"]),
        },
    )
    tokenizer_goldens.pack(args.out, plain.read_text("utf-8"))
    plain.unlink()


if __name__ == "__main__":
    main()
