"""Needles in a haystack: facts hidden in filler, and whether a model finds them again.

Usage: ``find_needles(model, make_haystack(model, 512, (0, 0.5, 1), random.Random(0)))``

The texts are those the pocket models were trained to search: codes of words among sentences that
say nothing. Other models can be asked too; what they answer besides the code counts as a miss.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from os.path import commonprefix

from ..conversation.chat_templates import encode_chat
from ..engines import Model
from ..pocket.words import LEXICON

NEEDLE, FILLER, QUESTION = (
    "The code of {} is {}. ",
    "The {} is near the {}. ",
    "What is the code of {}?",
)
ANSWER_TOKENS = 6
"""A code has three digits; no tokenizer of the course needs more for it and the end of the turn."""


@dataclass(frozen=True)
class Haystack:
    """One text and a question for each needle in it.

    prompts: token ids of the whole conversation, one for each needle; they begin alike. codes: the
    right answers. depths: where each needle lies, 0 at the beginning and 1 at the end of the text.
    """

    prompts: tuple[list[int], ...]
    codes: tuple[str, ...]
    depths: tuple[float, ...]

    @property
    def length(self) -> int:
        """Tokens of the longest prompt."""
        return max(map(len, self.prompts))


def make_haystack(
    model: Model, length: int, depths: Sequence[float], rng: random.Random
) -> Haystack:
    """A text of at most *length* tokens, question included, with a needle at each depth.

    Usage: ``make_haystack(model, 1024, (0, 0.25, 0.5, 0.75, 1), random.Random(0))``
    """
    words = sorted(LEXICON)
    names = rng.sample(words, len(depths))
    codes = tuple(str(rng.randint(100, 999)) for _ in depths)
    needles = [NEEDLE.format(*pair) for pair in zip(names, codes, strict=True)]
    filler = [FILLER.format(*rng.sample(words, 2)) for _ in range(length // 4)]

    def prompts(count: int, some: Sequence[str]) -> tuple[list[int], ...]:
        sentences = filler[:count]
        for depth, needle in sorted(zip(depths, needles, strict=True), reverse=True):
            sentences.insert(round(depth * count), needle)
        text = "".join(sentences).strip()
        return tuple(_ask(model, text, name) for name in some)

    counts = range(len(filler) + 1)
    fitting = bisect_right(counts, length, key=lambda count: len(prompts(count, names[:1])[0]))
    return Haystack(prompts(max(fitting - 1, 0), names), codes, tuple(depths))


def hide_needle(model: Model, distance: int, rng: random.Random) -> tuple[list[int], str]:
    """The ids of one question whose needle is followed by *distance* tokens of filler, its code.

    Usage: ``ids, code = hide_needle(model, 100, random.Random(0))``
    """
    words = sorted(LEXICON)
    name, code, filler = rng.choice(words), str(rng.randint(100, 999)), ""
    while len(model.encode(filler)) < distance:
        filler += FILLER.format(*rng.sample(words, 2))
    return _ask(model, (NEEDLE.format(name, code) + filler).strip(), name), code


def find_needles(model: Model, haystack: Haystack) -> tuple[bool, ...]:
    """For each needle whether the model's greedy answer is its code, letter for letter.

    Usage: ``sum(find_needles(model, haystack))``; on Transformers. The text is read once and its
    cache used for every question. The model's own limit of length is not heeded: what happens
    beyond it is the question here.
    """
    import torch

    network = model.model
    shared = commonprefix(list(haystack.prompts))
    shared = shared[: min(len(shared), min(map(len, haystack.prompts)) - 1)]

    def ids(tokens: Sequence[int]) -> "torch.Tensor":
        return torch.tensor([list(tokens)], device=network.device)

    found = []
    with torch.inference_mode():
        text = network(ids(shared), use_cache=True, logits_to_keep=1).past_key_values
        for prompt, code in zip(haystack.prompts, haystack.codes, strict=True):
            cache, new, said = deepcopy(text), prompt[len(shared) :], list[int]()
            for _ in range(ANSWER_TOKENS):
                out = network(ids(new), past_key_values=cache, use_cache=True, logits_to_keep=1)
                new = [int(out.logits[0, -1].argmax())]
                if new[0] in model.stop_ids:
                    break
                said += new
            found.append("".join(model.decode(said)).strip() == code)
    return tuple(found)


def _ask(model: Model, text: str, name: str) -> list[int]:
    content = f"{text}\n{QUESTION.format(name)}"
    with _no_limit(model):
        return encode_chat(model, [{"role": "user", "content": content}], None)


@contextmanager
def _no_limit(model: Model) -> Iterator[None]:
    """A tokenizer of Transformers warns of texts longer than its model was trained for."""
    tokenizer = model.tokenizer
    limit = getattr(tokenizer, "model_max_length", None)
    if limit is None:
        yield
        return
    tokenizer.model_max_length = 10**9
    try:
        yield
    finally:
        tokenizer.model_max_length = limit
