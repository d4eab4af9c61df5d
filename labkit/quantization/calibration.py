"""The texts a model is calibrated and measured on: the course's conversations, or a reader's own.

The two halves of the corpus never meet: calibration takes from the training half, measuring from
the held-out half. Any model reads them, in its own chat format.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..conversation.chat_templates import render
from ..core.errors import LabError
from ..core.i18n import t
from ..engines import Model
from ..pocket import corpus

PLAIN = (
    "{%- if tools -%}"
    "{{- 'Tools: ' ~ (tools | map(attribute='function') | list | tojson) ~ '\\n' -}}"
    "{%- endif -%}{%- for message in messages -%}{%- if message.tool_calls -%}"
    "{%- set call = message.tool_calls[0].function -%}{{- '{\"name\": ' ~ (call.name | tojson)"
    " ~ ', \"parameters\": ' ~ (call.arguments | tojson) ~ '}\\n' -}}{%- else -%}"
    "{{- message.content ~ '\\n' -}}{%- endif -%}{%- endfor -%}"
)
"""Running text, for a base model: one line a turn."""

CALIBRATION_TOKENS = 8192
"""Tokens for GPTQ, auto-round and importance matrices; published 7B models took about 260,000."""

CALIBRATION_WINDOW = 256
"""Tokens a row of them; all rows are of one length, so none is padded."""

MEASURED_TOKENS = 8192
"""Tokens read at most to measure perplexity and KL divergence."""

LEAST_TOKENS = 256
"""Below this, perplexity says more about the text than about the model."""

WINDOW = 512
"""Tokens at a time at most: logits of so many are in memory at once."""

Text = str | Sequence[str] | None
"""A text, several, or None: conversations of the corpus."""

Passage = tuple[str, str]
"""What is given, and the text behind it that counts."""


def calibration_rows(model: Model, text: Text = None, seed: int = 0) -> list[list[int]]:
    """Token ids to calibrate on: rows of one length, cut from the texts one behind the other.

    Usage: ``calibration_rows(load("pocket/qwen2.5"))``

    text: None takes conversations from the training half of the corpus, drawn by seed, up to
    CALIBRATION_TOKENS. Raises LabError for a text of less than LEAST_TOKENS.
    """
    items = corpus.training_items(random.Random(f"calibration {seed}"))
    texts = (show_item(model, item) for item in items) if text is None else read_texts(text)
    ids: list[int] = []
    for one in texts:
        ids += encode_text(model, one)
        if len(ids) >= CALIBRATION_TOKENS:
            break
    length = min(CALIBRATION_WINDOW, model.context_length)
    if len(ids) < LEAST_TOKENS:
        raise _too_short(len(ids))
    ends = range(length, min(len(ids), CALIBRATION_TOKENS) + 1, length)
    return [ids[end - length : end] for end in ends]


@dataclass(frozen=True)
class TokenRow:
    """Tokens to measure on; those from the place *scored* on count, the rest is given."""

    ids: list[int]
    scored: int = 1


def measured_rows(model: Model, passages: Sequence[Passage]) -> list[TokenRow]:
    """Token ids to measure on, up to MEASURED_TOKENS: a row a passage, several of a long one.

    Usage: ``measured_rows(model, held_out_passages(model))``. Raises LabError for a text of less
    than LEAST_TOKENS.
    """
    window = min(WINDOW, model.context_length)
    rows: list[TokenRow] = []
    left = MEASURED_TOKENS
    for given, text in passages:
        ids = encode_text(model, given + text)[:left]
        left -= len(ids)
        scored = len(encode_text(model, given)) if given else 1
        for start in range(0, len(ids), window):
            part = ids[start : start + window]
            first = max(scored - start, 1)  # nothing comes before the first token of a row
            if first < len(part):
                rows.append(TokenRow(part, first))
    if MEASURED_TOKENS - left < LEAST_TOKENS:
        raise _too_short(MEASURED_TOKENS - left)
    return rows


def held_out_items(seed: int = 0, each: int = 12) -> list[corpus.Item]:
    """As many held-out questions of every skill, the skills taking turns.

    Usage: ``held_out_items()``. A skill with fewer gives all it has.
    """
    by_skill = [corpus.held_out(skill, each, seed) for skill in corpus.SKILLS]
    return [items[turn] for turn in range(each) for items in by_skill if turn < len(items)]


def held_out_passages(model: Model, text: Text = None, seed: int = 0) -> list[Passage]:
    """What to measure on: the given texts, or held-out answers in the model's own chat format.

    Usage: ``held_out_passages(load("pocket/qwen2.5"))``

    Of a conversation only the answer counts: a question is anyone's guess, and the pocket models
    were not taught to guess it.
    """
    if text is not None:
        return [("", one) for one in read_texts(text)]
    items = held_out_items(seed)
    prompts = [show_item(model, item, prompt=True) for item in items]
    whole = [show_item(model, item) for item in items]
    return [(p, text[len(p) :]) for p, text in zip(prompts, whole, strict=True)]


def show_item(model: Model, item: corpus.Item, *, prompt: bool = False) -> str:
    """A conversation as the model reads it; prompt: all but the last answer, which it must give.

    Usage: ``show_item(model, corpus.held_out("sums", 1)[0])``
    """
    messages: list[dict[str, Any]] = list(item.messages[:-1] if prompt else item.messages)
    return render(
        model.chat_template or PLAIN,
        messages,
        list(item.tools) or None,
        model.special_tokens,
        add_generation_prompt=prompt,
    )


def read_texts(text: str | Sequence[str]) -> Sequence[str]:
    """One text or several, as several."""
    return [text] if isinstance(text, str) else list(text)


def encode_text(model: Model, text: str) -> list[int]:
    """Token ids of a whole text, with what begins every text of this model.

    Usage: ``encode_text(model, "你好")``
    """
    ids = model.encode(text, special=True)
    begin = list(model.bos)
    return ids if ids[: len(begin)] == begin else begin + ids


def _too_short(count: int) -> LabError:
    return LabError(
        t(
            f"The text is too short: {count} tokens, and {LEAST_TOKENS} are needed.",
            f"文本太短：只有 {count} 个词元，至少需要 {LEAST_TOKENS} 个。",
        ),
        t("Give a longer text.", "请给出更长的文本。"),
    )
