"""Exact match: how many questions a model answers word for word, with an honest interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from ..pocket.corpus import Item


@dataclass(frozen=True)
class Score:
    """Right answers out of count; low and high bound the true share with 95% confidence."""

    right: int
    count: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Right answers as a share of all."""
        return self.right / self.count


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's interval of a share: it stays honest near 0 and 1, where the usual one does not.

    Usage: ``wilson(497, 500)  # (0.9825, 0.9979)``. z: 1.96 for 95% confidence.
    Source: E. B. Wilson, Probable inference, 1927, J. Am. Stat. Assoc. 22.
    Raises ValueError without at least one question.
    """
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"{right} right answers of {count} cannot be")
    share, square = right / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def score(right: int, count: int) -> Score:
    """A score with its interval. Usage: ``score(497, 500)``."""
    return Score(right, count, *wilson(right, count))


def answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    items: "Sequence[Item]",
    *,
    chat_template: str | None = None,
    batch_size: int = 50,
) -> Iterator[tuple[str, str]]:
    """What the model says to each item and what it should say, greedily decoded.

    Usage: ``sum(said == right for said, right in answers(model, tokenizer, items)) / len(items)``

    An item's last message is the right answer, all before it the prompt. Both texts are in the
    model's own chat format up to the end of turn, so a tool call counts with name and arguments.
    Items of one length go together; none is padded by more than its neighbours in length need.
    """
    import torch

    def render(item: "Item", count: int, prompt: bool) -> str:
        found: str = tokenizer.apply_chat_template(
            list(item.messages[:count]),
            tools=list(item.tools) or None,
            chat_template=chat_template,
            add_generation_prompt=prompt,
            tokenize=False,
        )
        return found

    ends = model.generation_config.eos_token_id
    ends = tokenizer.convert_ids_to_tokens(ends if isinstance(ends, list) else [ends])
    if chat_template is not None and tokenizer.chat_template is None:
        ends = [*ends, "\n"]  # a base model's answer is a line

    def finish(text: str) -> str:
        for end in ends:
            text = text.lstrip().partition(end)[0]
        return text.strip()

    prompts = [render(item, len(item.messages) - 1, True) for item in items]
    whole = [render(item, len(item.messages), False) for item in items]
    tails = [text[len(prompt) :] for text, prompt in zip(whole, prompts, strict=True)]
    # There and back, as what is said comes: SentencePiece writes a space after a special token.
    tails_ids = tokenizer(tails, add_special_tokens=False)["input_ids"]
    right = [finish(tokenizer.decode(row)) for row in tails_ids]
    ids = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    if tokenizer.chat_template is None:
        ids = [[tokenizer.bos_token_id, *row] for row in ids]
    longest = max(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in right)
    said: dict[int, str] = {}
    order = sorted(range(len(items)), key=lambda index: len(ids[index]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        padded = tokenizer.pad(
            {"input_ids": [ids[index] for index in chosen]},
            padding_side="left",
            return_tensors="pt",
        )
        with torch.inference_mode():
            out = model.generate(
                **padded.to(model.device), max_new_tokens=longest + 4, do_sample=False
            )
        for index, row in zip(chosen, out[:, padded["input_ids"].shape[1] :], strict=True):
            said[index] = finish(tokenizer.decode(row, skip_special_tokens=False))
    return iter([(said[index], right[index]) for index in range(len(items))])


def answer_loss(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", items: "Sequence[Item]"
) -> float:
    """How unexpected the right answers are to a model: mean negative log-likelihood of a token.

    Usage: ``answer_loss(m.model, m.tokenizer, held_out("sums", 40))``, in nats, 0 at best. Finer
    than exact match: it moves before the first answer tips. The end-of-turn token counts.
    """
    import torch

    total, count = 0.0, 0
    for item in items:
        texts = [
            tokenizer.apply_chat_template(
                list(item.messages[:end]),
                tools=list(item.tools) or None,
                add_generation_prompt=end is not None,
                tokenize=False,
            )
            for end in (-1, None)
        ]
        prompt, whole = (tokenizer(x, add_special_tokens=False)["input_ids"] for x in texts)
        ids = torch.tensor([whole], device=model.device)
        with torch.inference_mode():
            logits = model(ids, logits_to_keep=len(whole) - len(prompt) + 1).logits[0, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.float(), ids[0, len(prompt) :], reduction="sum"
        )
        total, count = total + float(losses), count + len(whole) - len(prompt)
    return total / count
