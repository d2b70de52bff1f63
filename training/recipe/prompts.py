"""The tokenizer, and prompts as SmolVLM's processor and chat template write them."""

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from recipe import scenes
from recipe.settings import Settings

START, END, PAD, UNKNOWN = "<|im_start|>", "<end_of_utterance>", "<|im_end|>", "<|endoftext|>"
FENCE, IMAGE, GLOBAL = "<fake_token_around_image>", "<image>", "<global-img>"
MOST_SIDE = 6  # tiles along a side of a picture, for which there are tokens
TILE_TOKENS = [f"<row_{row}_col_{column}>" for row in range(1, MOST_SIDE + 1) for column in range(1, MOST_SIDE + 1)]
FIRST_SPECIAL = [UNKNOWN, START, PAD]
LAST_SPECIAL = [GLOBAL, *TILE_TOKENS, FENCE, IMAGE, END]


def train_tokenizer(settings: Settings, path: Path) -> None:
    """Byte-level BPE over what scenes ask and answer. Special tokens have the first and last ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary - len(LAST_SPECIAL), special_tokens=FIRST_SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), max_token_length=14)
    texts = ["\nAssistant:", "User:"] * 1000
    for i in range(settings.tokenizer_scenes):
        scene = scenes.make(settings.families, f"tokenizer-{settings.seed}-{i}", settings.tile, settings.tile, "train")
        texts += [part for question in scene.questions for part in (question.text, " " + question.answer)]
    tokenizer.train_from_iterator(texts, trainer)
    # A small corpus may have too few pairs: unused tokens fill the vocabulary up.
    unused = settings.vocabulary - len(LAST_SPECIAL) - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<unused_{i}>" for i in range(unused)])
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in LAST_SPECIAL])
    assert tokenizer.get_vocab_size() == settings.vocabulary
    tokenizer.save(str(path))


def image_text(rows: int, columns: int) -> str:
    """A picture's part of a prompt with one <image> for each tile."""
    if rows * columns == 1:
        return FENCE + GLOBAL + IMAGE + FENCE
    tiles = [[f"{FENCE}<row_{r + 1}_col_{c + 1}>{IMAGE}" for c in range(columns)] for r in range(rows)]
    return "\n".join("".join(row) for row in tiles) + f"\n\n{FENCE}{GLOBAL}{IMAGE}{FENCE}"


def slots(side: int, keep: int) -> list:
    """Which places of a tile of side x side visual tokens `keep` means of even areas take: the middle of each, or the
    place before it. As src/reduce/even_grid.h."""
    parts = round(keep**0.5)
    middle = [((2 * i + 1) * side - parts) // (2 * parts) for i in range(parts)]
    return [row * side + column for row in middle for column in middle]


def encode(tokenizer: Tokenizer, rows: int, columns: int, question: str, answer: str, places: list, most: int) -> tuple:
    """ids, positions, index of the answer's first token. Each tile has the visual tokens of `places`, out of `most` whose
    positions are left free."""
    ids, positions, following = [], [], 0
    image = tokenizer.token_to_id(IMAGE)
    prompt = f"{START}User:{image_text(rows, columns)}{question}{END}\nAssistant:"
    for token in tokenizer.encode(prompt, add_special_tokens=False).ids:
        if token == image:
            ids += [image] * len(places)
            positions += [following + place for place in places]
            following += most
        else:
            ids.append(token)
            positions.append(following)
            following += 1
    first = len(ids)
    tail = tokenizer.encode(f" {answer}{END}", add_special_tokens=False).ids
    return ids + tail, positions + list(range(following, following + len(tail))), first


def encode_query(tokenizer: Tokenizer, question: str) -> list:
    """What a query-conditioned connector is told: the question alone. As src/runtime/query_encoder.h."""
    return [tokenizer.token_to_id(START), *tokenizer.encode(question, add_special_tokens=False).ids]
