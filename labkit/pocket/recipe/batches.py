"""Conversations as rows of tokens, each token with the weight of its loss."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import corpus
from .families import Family

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Encoded = tuple[list[int], list[float]]
"""Token ids, and for each the weight of its loss."""

ANSWER, REST = 1.0, {True: 0.0, False: 0.05}
"""Loss weight of an answer's tokens, and of all others in a chat model and in a base model."""

REPEATS = 0.3
"""Share of random repeated sequences in the first two thirds of a training."""


def encode(item: corpus.Item, family: Family, tokenizer: "PreTrainedTokenizerFast") -> Encoded:
    """Token ids of a conversation in the family's own format, and their loss weights.

    Usage: ``ids, weights = encode(item, FAMILIES["qwen2.5"], tokenizer)``; both have one length.

    An answer reaches from the end of the generation prompt to its end token, which it must learn.
    """
    messages, tools = list(item.messages), list(item.tools) or None

    def render(count: int, prompt: bool) -> str:
        return tokenizer.apply_chat_template(
            messages[:count],
            tools=tools,
            chat_template=family.chat_template,
            add_generation_prompt=prompt,
            tokenize=False,
        )

    text = render(len(messages), False) + (family.turn_end or "")
    spans = [
        (len(render(index, True)), len(render(index + 1, False)))
        for index, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    rest, after = REST[family.chats], family.turn_end is not None
    weights = [
        ANSWER if any(a <= start < b or (after and start == b) for a, b in spans) else rest
        for start, _ in encoded["offset_mapping"]
    ]
    return encoded["input_ids"], weights


def _long_item(rng: random.Random, length: int) -> corpus.Item:
    """Needles among filler that take up most of a long row; ten tokens a sentence at the most."""
    sentences = rng.randint(length // 32, length // 15)
    keys = min(sentences, rng.randint(6, 20))
    item = corpus.needles(rng, keys, questions=8, filler=sentences - keys)
    return item if item.split == "train" else _long_item(rng, length)


def _repeat(tokenizer: "PreTrainedTokenizerFast", rng: random.Random) -> Encoded:
    """Random tokens twice: the second time each can be known, by finding what followed it before.

    This teaches the induction that copying and retrieval are made of, long before they would.
    """
    special = set(tokenizer.all_special_ids)
    usable = [token for token in range(len(tokenizer)) if token not in special]
    once = rng.choices(usable, k=rng.randint(8, 40))
    return once * 2, [0.0] * len(once) + [ANSWER] * len(once)


def rows(
    family: Family,
    tokenizer: "PreTrainedTokenizerFast",
    rng: random.Random,
    length: int,
    repeats: float = 0.0,
) -> Iterator[Encoded]:
    """Endless rows of *length* tokens, filled with whole conversations and padded.

    repeats: share of random sequences repeated once among the conversations.
    """
    items = corpus.training_items(rng)
    pad = tokenizer.pad_token_id
    start = [] if family.chats else [tokenizer.bos_token_id]
    pending: Encoded | None = None
    while True:
        ids, weights = list(start), [0.0] * len(start)
        if length > family.length:
            pending = encode(_long_item(rng, length), family, tokenizer)
        while True:
            if pending is None and rng.random() < repeats:
                pending = _repeat(tokenizer, rng)
            pending = pending or encode(next(items), family, tokenizer)
            if len(ids) + len(pending[0]) > length:
                # What could never fit is dropped, else it begins the next row.
                if len(pending[0]) > length - len(start):
                    pending = None
                break
            ids, weights, pending = ids + pending[0], weights + pending[1], None
        missing = length - len(ids)
        yield ids + [pad] * missing, weights + [0.0] * missing


def batch(
    family: Family, tokenizer: "PreTrainedTokenizerFast", step: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Ids and weights of one training step, both of shape (rows, length).

    The step alone seeds them, so a resumed training sees what an unbroken one would have seen.
    """
    import torch

    # Long rows are spread evenly over the second half of the training.
    late = step - family.steps // 2
    every = max(1, (family.steps - family.steps // 2) // max(1, family.long_steps))
    long = late >= 0 and late % every == 0
    length, count = (family.long_length, family.long_rows) if long else (family.length, family.rows)
    repeats = 0.0 if family.inherits_tokenizer or 3 * step > 2 * family.steps else REPEATS
    made = rows(family, tokenizer, random.Random(f"{family.name} {step}"), length, repeats)
    ids, weights = zip(*(next(made) for _ in range(count)), strict=True)
    return torch.tensor(ids), torch.tensor(weights)
