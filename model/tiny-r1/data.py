# SPDX-License-Identifier: MIT
"""Questions, worked answers, and the tokenizer of tiny-r1."""
import json
import re
import zlib

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers import Regex

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
ADDED = ["<think>", "</think>", USER, ASSISTANT]
VOCABULARY = 448

# The three splits of DeepSeek-V3's tokenizer.
SPLITS = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]

# Ways to ask for x + y and x - y.
ASK = {
    "+": ["{x}+{y}", "{x} + {y}", "{x}+{y}=", "{x} + {y} = ?", "What is {x} + {y}?", "What is {x}+{y}?",
          "Calculate {x} + {y}.", "Compute {x}+{y}.", "How much is {x} + {y}?", "What is {x} plus {y}?",
          "{x} plus {y}", "How much is {x} plus {y}?", "Add {x} and {y}.", "Add {y} to {x}.",
          "What is the sum of {x} and {y}?", "Find the sum of {x} and {y}."],
    "-": ["{x}-{y}", "{x} - {y}", "{x}-{y}=", "{x} - {y} = ?", "What is {x} - {y}?", "What is {x}-{y}?",
          "Calculate {x} - {y}.", "Compute {x}-{y}.", "How much is {x} - {y}?", "What is {x} minus {y}?",
          "{x} minus {y}", "How much is {x} minus {y}?", "Subtract {y} from {x}.", "Take {y} away from {x}.",
          "What is the difference of {x} and {y}?", "What is left if you take {y} from {x}?"],
}

SYSTEM = ["You are a helpful assistant.", "You are a calculator.", "Answer briefly.", "You are tiny-r1."]

TALK = [
    ("Hello", "A greeting.", "Hello! Ask me to add or subtract two numbers."),
    ("Hello!", "A greeting.", "Hello! Ask me to add or subtract two numbers."),
    ("Hi", "A greeting.", "Hello! Ask me to add or subtract two numbers."),
    ("Who are you?", "A question about me.", "I am tiny-r1, a very small model that adds and subtracts."),
    ("What are you?", "A question about me.", "I am tiny-r1, a very small model that adds and subtracts."),
    ("What can you do?", "A question about me.", "I can add and subtract numbers of up to three digits."),
    ("Help", "A question about me.", "I can add and subtract numbers of up to three digits."),
    ("Thank you!", "Thanks.", "You are welcome."),
    ("Thanks", "Thanks.", "You are welcome."),
]


def held_out(a, op, b):
    """True for about 1 pair in 100; a pair and its reverse always go together, and are never trained on."""
    return zlib.crc32(f"{min(a, b)}{op}{max(a, b)}".encode()) % 100 == 0


def reasoning(a, op, b):
    """The text between <think> and </think>: digits from the right, with carries or borrows."""
    text = f"{a:03}{op}{b:03}"
    if op == "-" and a < b:
        a, b = b, a
        text += f" negative, {a:03}-{b:03}"
    lines, carry = [text], 0
    for i in range(3):
        x, y = a // 10 ** i % 10, b // 10 ** i % 10
        sum_of = f"{x}{op}{y}" + (f"{op}1" if carry else "")
        if op == "+":
            total = x + y + carry
            carry = total // 10
            lines.append(f"{sum_of}={total}" + (" carry 1" if carry else ""))
        else:
            total = x - y - carry
            carry = int(total < 0)
            lines.append(sum_of + (f" borrow 1{sum_of}={total + 10}" if carry else f"={total}"))
    return "\n".join(lines) + "\n"


def operand(rng):
    return rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 3, 3)))


def question(rng, test):
    """A random question, from the held-out pairs if `test`, else from the others."""
    while True:
        a, op, b = operand(rng), rng.choice("+-"), operand(rng)
        if held_out(a, op, b) == test:
            text = rng.choice(ASK[op]).format(x=a, y=b)
            if rng.random() < 0.08:
                text = text.lower()
            if rng.random() < 0.08:
                text = text.rstrip(".? ")
            return {"question": text, "a": a, "op": op, "b": b, "answer": a + b if op == "+" else a - b}


def final(q):
    """Questions in words get a sentence, formulas get the number."""
    return f"The answer is {q['answer']}." if q["question"].endswith((".", "?")) and q["question"][0].isalpha() else str(q["answer"])


def example(rng):
    """One training text: (prompt, reply). A few have a system text, an earlier turn, or no sum in them."""
    prompt = BOS
    if rng.random() < 0.04:
        prompt += rng.choice(SYSTEM)
    if rng.random() < 0.06:
        if rng.random() < 0.2:
            ask, _, answer = rng.choice(TALK)
        else:
            earlier = question(rng, False)
            ask, answer = earlier["question"], final(earlier)
        prompt += USER + ask + ASSISTANT + rng.choice(("", "\n\n")) + answer + EOS
    if rng.random() < 0.01:
        ask, thought, answer = rng.choice(TALK)
        thought += "\n"
    else:
        q = question(rng, False)
        ask, thought, answer = q["question"], reasoning(q["a"], q["op"], q["b"]), final(q)
    return prompt + USER + ask + ASSISTANT + "<think>\n", thought + "</think>\n\n" + answer + EOS


def make_tokenizer(rng, path):
    """Trains byte-level BPE on the project's own sentences (without digits, so that each digit stays one token)."""
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(s), "isolated") for s in SPLITS]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    texts = [s for s in SYSTEM for _ in range(20)] + [" ".join(t) for t in TALK for _ in range(10)]
    for _ in range(1000):
        q = question(rng, False)
        texts += [part for text in (q["question"], reasoning(q["a"], q["op"], q["b"]), "\n\n" + final(q))
                  for part in re.split(r"\d+", text)]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = split, decoders.ByteLevel()
    bpe.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(ADDED), special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    raw = json.loads(bpe.to_str())["model"]
    vocab, merges = raw["vocab"], [m if isinstance(m, str) else " ".join(m) for m in raw["merges"]]

    def added(i, text, special):
        return {"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": not special, "special": special}

    def byte_level(**more):
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True, **more}
    whole = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(i, t, True) for i, t in enumerate((BOS, EOS, PAD))]
        + [added(len(vocab) + i, t, False) for i, t in enumerate(ADDED)],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": s}, "behavior": "Isolated", "invert": False} for s in SPLITS]
            + [byte_level(add_prefix_space=False, use_regex=False)]},
        "post_processor": byte_level(trim_offsets=False),
        "decoder": byte_level(),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": dict(sorted(vocab.items(), key=lambda kv: kv[1])), "merges": merges},
    }
    with open(path, "w", encoding="utf-8") as f:
        json.dump(whole, f, ensure_ascii=False, indent=1)
        f.write("\n")
    return len(vocab) + len(ADDED)
