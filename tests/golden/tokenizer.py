"""Goldens of the tokenizers: lines, the ids that Hugging Face `tokenizers` gives them, and its Unicode classes.

    python tokenizer.py --checkpoints DIR --model DIR --out DIR

Every line is made here from fixed seeds or written down here. The files (see README.md) are packed with `zstd -19`.
"""

import argparse
import json
import random
import subprocess
import sys
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers

# The three SmolVLM tokenizers; the 500M file is byte-identical to the 256M one, so its ids are not stored again.
TOKENIZERS = ("SmolVLM-256M-Instruct", "SmolVLM-Instruct")
SAME_AS_FIRST = "SmolVLM-500M-Instruct"

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>", "<fake_token_around_image>", "<image>",
    "<end_of_utterance>", "<row_1_col_1>", "<row_3_col_4>", "<row_6_col_6>", "<|reserved_special_token_0|>",
    "<|reserved_special_token_87|>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>", "<gh_stars>",
    "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>",
    "<jupyter_output>", "<jupyter_script>", "<empty_output>", "<video>",
)  # fmt: skip

# First and last code point of blocks to draw words from.
BLOCKS = (
    (0x61, 0x7A), (0xC0, 0xFF), (0x100, 0x17F), (0x180, 0x24F), (0x250, 0x2AF), (0x2B0, 0x2FF), (0x370, 0x3FF),
    (0x400, 0x4FF), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x74F), (0x780, 0x7BF), (0x7C0, 0x7FF),
    (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xA7F), (0xA80, 0xAFF), (0xB00, 0xB7F), (0xB80, 0xBFF), (0xC00, 0xC7F),
    (0xC80, 0xCFF), (0xD00, 0xD7F), (0xD80, 0xDFF), (0xE00, 0xE7F), (0xE80, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F),
    (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1400, 0x167F), (0x16A0, 0x16FF),
    (0x1780, 0x17FF), (0x1800, 0x18AF), (0x1D00, 0x1D7F), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F),
    (0x2070, 0x209F), (0x20A0, 0x20CF), (0x2100, 0x214F), (0x2150, 0x218F), (0x2190, 0x21FF), (0x2200, 0x22FF),
    (0x2300, 0x23FF), (0x2460, 0x24FF), (0x2500, 0x257F), (0x2600, 0x26FF), (0x2700, 0x27BF), (0x2C00, 0x2C5F),
    (0x2D30, 0x2D7F), (0x3000, 0x303F), (0x3041, 0x30FF), (0x3131, 0x318E), (0x3200, 0x32FF), (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF), (0xA000, 0xA48C), (0xA4D0, 0xA4FF), (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xA8E0, 0xA8FF),
    (0xAB30, 0xAB6F), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF),
    (0x10000, 0x1007F), (0x10140, 0x1018F), (0x10330, 0x1034F), (0x10400, 0x1044F), (0x10D30, 0x10D8F),
    (0x11000, 0x1107F), (0x11BF0, 0x11BF9), (0x11DB0, 0x11DE9), (0x16FF0, 0x16FF6), (0x12000, 0x123FF),
    (0x13000, 0x1342F), (0x16100, 0x1613F), (0x1CC00, 0x1CCFF), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F),
    (0x1F000, 0x1F0FF), (0x1F100, 0x1F1FF), (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF),
    (0x1FA70, 0x1FAFF), (0x1FBF0, 0x1FBFF), (0x20000, 0x2A6DF), (0x2EBF0, 0x2EE5D), (0x30000, 0x3134A),
    (0x323B0, 0x33479), (0xE0100, 0xE01EF),
)  # fmt: skip

SPACES = (
    " ", "  ", "\t", "\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1f", "\x85", "\u00a0", "\u1680", "\u180e", "\u2003",
    "\u2009", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff",
)  # fmt: skip

WORDS = (
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but what "
    "all were when we there can an your which their said if do will each about how up out them then she many some "
    "so these would other into has more her two like him see time could no make than first been its who now "
    "people my made over did down only way find use may water long little very after words called just where most "
    "know get through back much before go good new write our used me man too any day same right look think also "
    "around another came come work three word must because does part even place well such here take why things "
    "help put years different away again off went old number great tell men say small every found still between "
    "name should Mr home big give air line set own under read last never us left end along while might next sound "
    "below saw something thought both few those always looked show large often together asked house world going "
    "want picture image colour receipt invoice chart Paris London Zürich Łódź naïve café façade jalapeño "
    "smörgåsbord résumé coöperate Ångström São déjà œuvre"
).split()

CONTRACTIONS = (
    "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'LL", "’s", "’t", "’re", "'", "''", "'x", "'lll",
    "'dd", "'ss", "'em", "`s", "´s",
)  # fmt: skip

CODE = (
    "for (int i = 0; i < n; ++i) {", "    return x[i] * y[i];", "\tif (!ptr) goto fail;", "}", "#include <vector>",
    "def f(a, *args, **kwargs):", "    \"\"\"Doc.\"\"\"", "print(f\"{x!r:>10}\")",
    "SELECT * FROM t WHERE id IN (1,2);", "<div class=\"a b\">&nbsp;</div>", "let v: Vec<u8> = vec![0; 16];",
    "x = (y << 3) | 0xFF & ~mask", "a->b::c<d>()", "https://example.org/a?b=1&c=%20#d",
    "user.name+tag@mail.example.com", "C:\\Temp\\new folder\\", "../../x.y.z", "{\"k\": [1, 2.5e-3, null, true]}",
    "$ grep -rn 'a\\|b' . | wc -l", "\\frac{a}{b} \\leq \\sum_{i=0}^{n} x_i", "// TODO(name): fix #123",
    "/* comment */", "0x1F600 0b1010 0o777 1_000_000", "SHA256=9f86d081884c7d65", "@@ -1,3 +1,4 @@",
    "int main(void){return 0;}", "<?php echo $a['b']; ?>", "x => x ** 2 // 3", "&&||!===!==", "----------------",
    "| a | b |", "|---|---|", "- [ ] item", "1. First", "**bold** _it_ ~~no~~ `code`", "```cpp", "!!!???...;;;",
)  # fmt: skip

EMOJI = (
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd",
    "\u2764\ufe0f", "\U0001f1e8\U0001f1ed", "\U0001f1fa\U0001f1f8",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "3\ufe0f\u20e3", "#\ufe0f\u20e3",
    "\U0001f9d1\U0001f3ff\u200d\U0001f680", "\U0001f3f3\ufe0f\u200d\U0001f308", "\u263a", "\u2600\ufe0e",
    "\U0001f469\u200d\u2764\ufe0f\u200d\U0001f48b\u200d\U0001f468", "\U0001fae0", "\U0001f979", "\u00a9\ufe0f",
    "\u203c\ufe0f", "\U0001f408\u200d\u2b1b", "\u200d", "\ufe0f", "\U0001f1e8", "\U0001f3fb",
)  # fmt: skip

HANDWRITTEN = (
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\t", "\t\t", " \n", "\n ", " \n ", "a", " a",
    "a ", "  a", "a  ", "a  b", "a   b", "a\nb", "a\n\nb", "a \n b", "a\tb", "a \tb", "Hello, world!",
    "Hello,  world !", "hello\n", "I'm you're he's we'll they'd I've don't", "I'M YOU'RE HE'S", "'s", " 's", "s's's",
    "it''s", "'tis 'twas", "O'Reilly's", "0", "1", "12", "123", "1234567890", "1 2 3", "12 34", "3.14159",
    "1,000,000", "-1", "1e10", "50%", "$9.99", "№5", "1st 2nd", "a1b2c3", "v1.2.3-rc4", "2024-01-31T23:59:59Z", "١٢٣",
    "۱۲۳", "१२३", "๑๒๓", "１２３", "²³¹", "x² + y³", "½ ¼ ⅔", "Ⅳ ⅷ", "①②③", "⒈⒉", "㊿", "一二三", "〇", "〡〢", "𝟎𝟏𝟐", "𝟙𝟚",
    "🄀🄁", "❶❷", "𐄇𐄈", "🯰🯱", "a²b", "²a", "½a", " ½", " ²", "1½2", "<image>", "<image><image>", " <image> ",
    "a<image>b", "<image>\n<image>", "\n<image>", "<image>\n\n", "<Image>", "< image>", "<image", "image>",
    "<image >", "<<image>>", "<imag<image>e>", "<row_1_col_1>", "<row_1_col_1", "row_1_col_1>", "<row_0_col_0>",
    "<row_7_col_1>", "<row_1_col_7>", "<row_10_col_10>", "<row_1_col_1><row_1_col_2>", "<global-img>", "<global-img",
    "<global_img>", "<fake_token_around_image>", "<fake_token_around_image><fake_token_around_image>",
    "<fake_token_around_image", "<|im_start|>", "<|im_start|", "|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|endoftext|><|endoftext|>", "<|end of text|>", "<|im_start|>user\n", "<end_of_utterance>",
    "<end_of_utterance>\n", " <end_of_utterance>", "<end_of_utterance> ", "<end_of_utterance\n>",
    "User:<image>What is this?<end_of_utterance>\nAssistant:",
    "<|im_start|>User: Hi<end_of_utterance>\nAssistant: Hello",
    "<fake_token_around_image><global-img><image><image><fake_token_around_image>",
    "\n<fake_token_around_image><global-img>", "<row_1_col_1><image><image>\n\n<fake_token_around_image>",
    "<|reserved_special_token_0|>", "<|reserved_special_token_88|>", "<video>", "<unk>", "<s>", "</s>", "<pad>",
    "<mask>", "[INST]", "<|user|>", "<0x0A>", "Ġ", "Ċ", "ĠĠ", "Ã©", "Âł", "ĉ", "č", "\x00", "\x01\x02\x03", "\x04",
    "\x06", "\x13", "\x14", "\x16", "\x1d", "a\x04b", "\x1b[31mred\x1b[0m", "\x7f", "\x80\x9f", "\x85", "\u00a0",
    "a\u00a0b", "\u200b", "a\u200bb", "\ufeff", "\ufeffa", "\ufffd", "\ufffe", "\uffff", "\u2028", "\u2029",
    "\u3000a", "é", "e\u0301", "ñ", "n\u0303", "Å", "A\u030a", "Å", "ﬁ", "ﬀ", "ß", "ẞ", "İ", "ı", "ǆ", "ǅ", "Ǆ", "ΐ",
    "ﬗ", "각", "\u1100\u1161\u11a8", "नमस्ते", "ப்", "กำ", "ខ្មែរ", "မြန်မာ", "བོད་", "ქართული", "Հայերեն", "עִבְרִית",
    "العربية", "بِسْمِ", "فارسی\u200cها", "ไทยไทย", "日本語のテキスト", "中文字符，标点。", "한국어 문장입니다.", "Привет, мир!", "Γειά σου",
    "Tiếng Việt", "Türkçe İstanbul", "Łódź", "čeština", "𝓗𝓮𝓵𝓵𝓸", "ℌ𝔢𝔩𝔩𝔬", "Ｈｅｌｌｏ", "ᴴᵉˡˡᵒ", "H̷̢̧e̸l̴l̶o̵",
    "\U0010ffff", "\U000f0000", "\ue000", "\uf8ff", "\U000e0001", "\u0378", "\U0001cccc", "\U00040000", "\U00080000",
    "\U000c0000", "\U00100000", "a\U00040000b", "\U0003fffd", "...", "…", "—", "--", "- -", "“quoted”", "‘single’",
    "«guillemets»", "(a)", "[b]", "{c}", "a/b\\c", "#tag @user", "C++ C# F#", "e.g. i.e.", "U.S.A.", "Mr. Smith's",
    "¿Qué?", "¡Hola!", "€5 £6 ¥7", "a=b+c*d/e", "x≠y ≤ z", "∑∫√∞", "→←↑↓", "■□▲△", "♠♥♦♣", "©®™", "°C", "µm", "±5",
    "…\n…", "\t \t", " \t ", "end with spaces   ", "end with tab\t", "end with newline\n", "end with crlf\r\n",
    "   start", "\n\n  indented\n\n    more\n", "a\r\nb\r\nc", "a\rb", "a\n\rb", "a\x0bb", "a\x0cb",
    "tab\tseparated\tvalues", "word " * 20, " " * 33, "\n" * 17, "\t" * 9,
)  # fmt: skip

LONG = (
    "a" * 3000, " " * 1500, "\n" * 700, "=" * 900, "ab" * 1500, "9" * 800, "\u00e9" * 900, "\U0001f600" * 300,
    "a " * 1200, "<image>" * 400, "Aa" * 700, "<row_1_col_1" * 120, "word" * 500, "\u4e2d" * 600, " \n" * 500,
)  # fmt: skip


def valid(codepoint: int) -> bool:
    return not 0xD800 <= codepoint <= 0xDFFF


def draw(rng: random.Random, first: int, last: int) -> str:
    """One code point of the range, assigned or not."""
    return chr(rng.randint(first, last))


def block_word(rng: random.Random, block: tuple, longest: int = 7) -> str:
    return "".join(draw(rng, *block) for _ in range(rng.randint(1, longest)))


def block_lines(rng: random.Random) -> list:
    """Words of one block, with spaces, digits and punctuation between."""
    lines = []
    for block in BLOCKS:
        for _ in range(12):
            words = [block_word(rng, block) for _ in range(rng.randint(1, 3))]
            lines.append(rng.choice((" ", " ", "", ", ", ". ", "1", "-", "'", "\n")).join(words))
    return lines


def numeric_lines(rng: random.Random, count: int) -> list:
    """Numbers of every kind (Nd, Nl, No), alone and beside letters and spaces."""
    kinds = {"Nd": [], "Nl": [], "No": []}
    for codepoint in range(0x110000):
        kind = unicodedata.category(chr(codepoint))
        if kind in kinds:
            kinds[kind].append(chr(codepoint))
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(2, 6)):
            pool = kinds[rng.choice(("Nd", "Nd", "Nl", "No"))]
            parts.append(rng.choice(("", " ", "a", "é", ".", "-", "0")) + rng.choice(pool))
        lines.append("".join(parts))
    return lines


def space_lines(rng: random.Random, count: int) -> list:
    """Runs of white space of all kinds between, before and after words."""
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 4)):
            for _ in range(rng.randint(0, 5)):
                parts.append(rng.choice(SPACES[:6] if rng.random() < 0.7 else SPACES))
            parts.append(rng.choice(("", "a", "word", "9", "!", "Café", "<image>", "}")))
        lines.append("".join(parts))
    return lines


def prose_lines(rng: random.Random, count: int) -> list:
    """Sentences of common words with numbers, contractions and punctuation."""
    lines = []
    for _ in range(count):
        words = []
        for _ in range(rng.randint(2, 14)):
            word = rng.choice(WORDS)
            word = rng.choice((word, word, word, word.capitalize(), word.upper()))
            if rng.random() < 0.12:
                word += rng.choice(CONTRACTIONS)
            if rng.random() < 0.1:
                word = str(rng.randint(0, 10 ** rng.randint(1, 7)))
            words.append(word + rng.choice(("", "", "", "", "", ",", ".", "?", "!", ":", ";", "...", ")", '"')))
        lines.append(" ".join(words))
    return lines


def mutated(rng: random.Random, text: str) -> str:
    """A special token with one character dropped, doubled, replaced or inserted."""
    at = rng.randrange(len(text))
    other = rng.choice(" _<>|-1aA\n")
    return rng.choice(
        (text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], text[:at] + other + text[at + 1 :],
         text[:at] + other + text[at:], text.upper(), text[: at + 1])
    )  # fmt: skip


def special_lines(rng: random.Random, count: int) -> list:
    """Special tokens and near-special strings inside text."""
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 5)):
            token = rng.choice(SPECIAL)
            parts.append(token if rng.random() < 0.55 else mutated(rng, token))
            parts.append(rng.choice(("", "", " ", "\n", "\n\n", "a", " word", "1", "é", ".", "<", ">")))
        lines.append("".join(parts))
    return lines


def odd_lines(rng: random.Random, count: int) -> list:
    """Control characters, private use, unassigned code points, non-characters, any code point at all."""
    lines = []
    while len(lines) < count:
        parts = []
        for _ in range(rng.randint(1, 5)):
            first, last = rng.choice(
                ((0, 0x1F), (0x7F, 0x9F), (0xE000, 0xF8FF), (0xFFF0, 0xFFFF), (0x2FE0, 0x2FEF), (0x40000, 0xDFFFF),
                 (0xE0000, 0xE007F), (0xF0000, 0x10FFFF), (0, 0x10FFFF), (0x200B, 0x200F), (0x202A, 0x206F))
            )  # fmt: skip
            codepoint = rng.randint(first, last)
            if valid(codepoint):
                parts.append(chr(codepoint) + rng.choice(("", "", " ", "a", "1")))
        lines.append("".join(parts))
    return lines


def mark_lines(rng: random.Random, count: int) -> list:
    """Base letters with combining marks."""
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 8)):
            base = rng.choice(("a", "e", "O", "n", " ", "1", "\u0915", "\u05d0", "\u0628", "\u1100", "Z"))
            marks = "".join(draw(rng, 0x300, 0x36F) for _ in range(rng.randint(0, 3)))
            parts.append(base + marks)
        lines.append("".join(parts))
    return lines


def joined_lines(rng: random.Random, count: int, pool: tuple, glue: tuple, most: int) -> list:
    """Members of a pool with something between them."""
    lines = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, most)):
            parts += [rng.choice(pool), rng.choice(glue)]
        lines.append("".join(parts[:-1] if rng.random() < 0.5 else parts))
    return lines


def mixed_lines(rng: random.Random, count: int, lines: list) -> list:
    """Pieces of other lines put together."""
    out = []
    for _ in range(count):
        pieces = []
        for _ in range(rng.randint(2, 3)):
            line = rng.choice(lines)
            start = rng.randrange(len(line) + 1)
            pieces.append(line[start : start + rng.randint(1, 16)])
        out.append(rng.choice(("", " ", "\n")).join(pieces))
    return out


def make_lines() -> list:
    """All lines, without repetition, in a fixed order."""
    rng = random.Random(20261125)
    lines = list(HANDWRITTEN)
    lines += block_lines(rng)
    lines += numeric_lines(rng, 350)
    lines += space_lines(rng, 450)
    lines += prose_lines(rng, 700)
    lines += special_lines(rng, 700)
    lines += odd_lines(rng, 350)
    lines += mark_lines(rng, 150)
    lines += joined_lines(rng, 300, CODE, ("\n", "\n", " ", "\n\n", "\t", "\r\n"), 3)
    lines += joined_lines(rng, 250, EMOJI, ("", "", " ", "a", "1", "\n"), 5)
    lines += joined_lines(rng, 150, CONTRACTIONS, ("", "I", "you", " he", "9", " ", "\n", "é"), 5)
    lines += mixed_lines(rng, 700, lines)
    lines += LONG
    return list(dict.fromkeys(lines))


def unicode_classes() -> dict:
    """How `tokenizers` classes every code point, found by splitting short strings, as ranges [first, last].

    letter, number, space: the classes \\p{L}, \\p{N}, \\s of the GPT-2 expression in the ByteLevel pre-tokenizer;
    digit: what the Digits pre-tokenizer isolates.
    """
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)

    def pieces(splitter, text: str) -> int:
        return len(splitter.pre_tokenize_str(text))

    found = {"letter": [], "number": [], "space": [], "digit": []}
    for codepoint in filter(valid, range(0x110000)):
        c = chr(codepoint)
        letter = pieces(byte_level, "a" + c) == 1
        number = pieces(byte_level, "1" + c) == 1
        # Anything that is neither joins a following "!", except white space.
        space = not letter and not number and pieces(byte_level, c + "!!") == 2 and c != " "
        found["letter"].append((codepoint, letter))
        found["number"].append((codepoint, number))
        found["space"].append((codepoint, space or c == " "))
        found["digit"].append((codepoint, pieces(digits, "x" + c) == 2))
    return {name: ranges([codepoint for codepoint, member in members if member]) for name, members in found.items()}


def ranges(codepoints: list) -> list:
    """Sorted code points as [[first, last], ...]."""
    out = []
    for codepoint in codepoints:
        if out and out[-1][1] + 1 == codepoint:
            out[-1][1] = codepoint
        else:
            out.append([codepoint, codepoint])
    return out


# The expression of GPT-4's tokenizers, which Llama 3 and granite use as it is.
GPT4_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Merges that the committed cut of granite-docling's tokenizer keeps, and which lines it is run over.
GRANITE_MERGES = 5000
GRANITE_LINE_STEP = 4


def granite_tokenizer(folder: Path, merge_count: int) -> str:
    """granite-docling's tokenizer as a tokenizer.json with its first merges alone; every id is the published one.

    The folder's own tokenizer.json is large. Its vocabulary, merges and added tokens stand in other files too; the
    expression was derived from these: tokens of signs with line ends, all numbers of three digits, none of four.
    """
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [line.rstrip("\r") for line in lines if line and not line.startswith("#version")][:merge_count]
    kept = {token for token in vocabulary if len(token) == 1}
    for merge in merges:
        left, right = merge.split(" ")
        kept |= {left, right, left + right}
    decoder = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["added_tokens_decoder"]
    # Those of the processor too, and all in the vocabulary: else they get other ids.
    for content, token_id in json.loads((folder / "added_tokens.json").read_text("utf-8")).items():
        vocabulary[content] = token_id
        decoder[str(token_id)] = {**next(iter(decoder.values())), "content": content}
    kept |= {token["content"] for token in decoder.values()}
    split = {"type": "Split", "pattern": {"Regex": GPT4_PATTERN}, "behavior": "Isolated", "invert": False}
    flags = {"add_prefix_space": False, "trim_offsets": True}
    byte_level = {"type": "ByteLevel", **flags}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [{"id": int(token_id), **token} for token_id, token in decoder.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, {**byte_level, "use_regex": False}]},
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "unk_token": None,
            "vocab": {token: i for token, i in vocabulary.items() if token in kept},
            "merges": merges,
        },
    }
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def pack(path: Path, text: str) -> None:
    """Writes text packed by zstd."""
    command = ["zstd", "-19", "--ultra", "-q", "-f", "-o", str(path)]
    subprocess.run(command, input=text.encode("utf-8"), check=True)


def write_ids(out: Path, name: str, tokenizer: Tokenizer, lines: list) -> None:
    """Ids of every line, and the decoded text of those lines that do not come back as they were."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(lines)]
    pack(out / f"ids-{name}.txt.zst", "".join(" ".join(map(str, ids)) + "\n" for ids in encoded))
    decoded = tokenizer.decode_batch(encoded, skip_special_tokens=False)
    changed = [f"{i}\t{json.dumps(d, ensure_ascii=False)}\n" for i, d in enumerate(decoded) if d != lines[i]]
    pack(out / f"decoded-{name}.txt.zst", "".join(changed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder of the built-in model")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    files = {name: args.checkpoints / name / "tokenizer.json" for name in TOKENIZERS}
    if (args.checkpoints / SAME_AS_FIRST / "tokenizer.json").read_bytes() != files[TOKENIZERS[0]].read_bytes():
        sys.exit(f"{SAME_AS_FIRST} no longer has the tokenizer of {TOKENIZERS[0]}: store its ids as well")
    files["eyeshot-tiny"] = args.model / "tokenizer.json"

    lines = make_lines()
    pack(args.out / "lines.txt.zst", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    for name, file in files.items():
        write_ids(args.out, name, Tokenizer.from_file(str(file)), lines)
    granite = granite_tokenizer(args.checkpoints / "granite-docling-258M", GRANITE_MERGES)
    pack(args.out / "granite-docling-258M.json.zst", granite)
    write_ids(args.out, "granite-docling-258M", Tokenizer.from_str(granite), lines[::GRANITE_LINE_STEP])
    classes = {name: json.dumps(found, separators=(",", ":")) for name, found in unicode_classes().items()}
    pack(args.out / "classes.json.zst", "{\n" + ",\n".join(f' "{k}": {v}' for k, v in classes.items()) + "\n}\n")


if __name__ == "__main__":
    main()
