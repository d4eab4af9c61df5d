"""Conversations as tokens, each with the weight of its loss, and the batches of a training step."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from .. import corpus
from ..mixtures import FIRST_MIXTURE, LATER_MIXTURE, MIXTURE
from .families import FamilyRecipe

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Encoded = tuple[list[int], list[float]]
"""Token ids, and for each the weight of its loss."""

USUAL, LIGHTEST, HEAVIEST = 6, 0.5, 2.0
"""An answer of USUAL tokens weighs one a token; a shorter one more, up to HEAVIEST, a longer less.
So a sum, a few digits long, counts for as much as a tool call."""

REST = {True: 0.0, False: 0.05}
"""Loss weight of all but the answers in a chat model and in a base model."""

REPEATS, REPEATED = 0.15, 0.5
"""Share of random repeated sequences while new attention learns to copy; weight of a token."""

JOINED, SYSTEM = 0.2, 0.1
"""Share of conversations about several things, and of those that begin with a system prompt."""

SYSTEM_PROMPTS = ("You are a helpful assistant.", "你是一个乐于助人的助手。")
STRETCH = 1.6
"""How much longer than its shortest sample the longest of a batch may be."""


def encode(
    item: corpus.Item, family: FamilyRecipe, tokenizer: "PreTrainedTokenizerFast"
) -> Encoded:
    """Token ids of a conversation in the family's own format, and their loss weights.

    Usage: ``ids, weights = encode(item, FAMILIES["qwen2.5"], tokenizer)``; both have one length.

    An answer reaches from the end of the generation prompt to its end token, which it must learn.
    """
    messages, tools = list(item.messages), list(item.tools) or None

    def render(count: int, prompt: bool) -> str:
        found: str = tokenizer.apply_chat_template(
            messages[:count],
            tools=tools,
            chat_template=family.chat_template,
            add_generation_prompt=prompt,
            tokenize=False,
        )
        return found

    text = render(len(messages), False) + (family.turn_end or "")
    spans = [
        (len(render(index, True)), len(render(index + 1, False)))
        for index, message in enumerate(messages)
        if message["role"] == "assistant"
    ]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    after = family.turn_end is not None
    weights = [REST[family.chats]] * len(encoded["input_ids"])
    starts = [start for start, _ in encoded["offset_mapping"]]
    for a, b in spans:
        answer = [i for i, start in enumerate(starts) if a <= start < b or (after and start == b)]
        for index in answer:
            weights[index] = min(HEAVIEST, max(LIGHTEST, USUAL / len(answer)))
    start = [] if family.chats else [tokenizer.bos_token_id]
    return start + encoded["input_ids"], [0.0] * len(start) + weights


def _repeat(tokenizer: "PreTrainedTokenizerFast", rng: random.Random) -> Encoded:
    """Random tokens twice: the second time each can be known, by finding what followed it before.

    This teaches the induction that copying and retrieval are made of, long before they would.
    """
    special = set(tokenizer.all_special_ids)
    usable = [token for token in range(len(tokenizer)) if token not in special]
    once = rng.choices(usable, k=rng.randint(4, 20))
    return once * 2, [0.0] * len(once) + [REPEATED] * len(once)


def _long_item(rng: random.Random, length: int) -> corpus.Item:
    """Needles among filler that take up most of *length* tokens, ten tokens a sentence at most."""
    sentences = rng.randint(length // 32, length // 15)
    keys = min(sentences, rng.randint(6, 20))
    item = corpus.needles(rng, keys, questions=8, filler=sentences - keys)
    return item if item.split == "train" else _long_item(rng, length)


def _items(rng: random.Random, mixture: Mapping[str, float]) -> Iterator[corpus.Item]:
    """Training items; some are joined to a conversation about several things."""
    items = corpus.training_items(rng, mixture)
    for item in items:
        if not item.tools and rng.random() < JOINED:
            for other in islice(items, rng.randint(1, 3)):
                if not other.tools:
                    item = replace(item, messages=item.messages + other.messages)
        if not item.tools and rng.random() < SYSTEM:
            prompt = {"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}
            item = replace(item, messages=(prompt, *item.messages))
        yield item


def samples(
    family: FamilyRecipe, tokenizer: "PreTrainedTokenizerFast", rng: random.Random, step: int
) -> list[Encoded]:
    """All samples of one training step, shortest first.

    Long ones are spread evenly over the second half of the training.
    """
    late = step - family.steps // 2
    every = max(1, (family.steps - family.steps // 2) // max(1, family.long_steps))
    if late >= 0 and late % every == 0:
        chosen = [_long_item(rng, family.long_length) for _ in range(family.long_rows)]
        made = [encode(item, family, tokenizer) for item in chosen]
    else:
        first = family.new_attention and 3 * step < family.steps
        repeats = REPEATS if first else 0.0
        later = LATER_MIXTURE if family.parent else MIXTURE
        items = _items(rng, FIRST_MIXTURE if first else later)
        made = [
            _repeat(tokenizer, rng) if rng.random() < repeats else encode(item, family, tokenizer)
            for item in islice(items, family.samples)
        ]
    longest = family.config["max_position_embeddings"]
    return sorted((sample for sample in made if len(sample[0]) <= longest), key=lambda s: len(s[0]))


def _parts(made: list[Encoded]) -> Iterator[list[Encoded]]:
    """Samples in runs of which none is longer than the first by more than STRETCH."""
    part: list[Encoded] = []
    for sample in made:
        if part and len(sample[0]) > max(24, STRETCH * len(part[0][0])):
            yield part
            part = []
        part.append(sample)
    yield part


def batches(
    family: FamilyRecipe, tokenizer: "PreTrainedTokenizerFast", step: int
) -> "list[tuple[torch.Tensor, torch.Tensor]]":
    """Ids and weights of one training step in a few parts of about one length, padded.

    Both are of shape (samples, length). The step alone seeds them, so a resumed training sees what
    an unbroken one would have seen.
    """
    import torch

    parts = []
    for part in _parts(samples(family, tokenizer, random.Random(f"{family.name} {step}"), step)):
        # Few different lengths: a processor's matrix library keeps a program for each it has seen.
        length = -(-len(part[-1][0]) // 16) * 16
        ids = torch.full((len(part), length), tokenizer.pad_token_id)
        weights = torch.zeros(len(part), length)
        for row, (tokens, counts) in enumerate(part):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            weights[row, : len(tokens)] = torch.tensor(counts)
        parts.append((ids, weights))
    return parts
