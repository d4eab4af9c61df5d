"""From conversations to what a training step reads: tokens, and which of them are to be learnt.

Only the assistant's answers are learnt, with the token that ends them; the prompt is read, not
learnt. Padding is told by its place, not by its token: a model that pads with its end token still
learns to end.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..conversation.chat_templates import end_of_turn, render
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.tables import Table
from ..engines import Model

if TYPE_CHECKING:
    import torch

    from ..pocket.corpus import Item

IGNORED = -100
"""The label of a token that is not learnt: what PyTorch's cross-entropy passes over."""

MULTIPLE = 8
"""Batches are padded to a multiple of this: fewer shapes, for which libraries keep programs."""


@dataclass(frozen=True)
class Sample:
    """One conversation as a model reads it. labels: the ids again, IGNORED where not learnt."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


def encode_sample(model: Model, item: "Item") -> Sample:
    """Tokens of a conversation by the model's own template, and the labels of its answers.

    Usage: ``encode_sample(lab.load("pocket/qwen2.5"), load_task("clinic").train[0])``

    An answer reaches from the end of the generation prompt to the token that ends it; where the
    template writes none, the model's own is added. Every answer of the conversation is learnt.
    Raises LabError for a model without a template, when the template refuses the messages, and
    when it rewrites what stands before the last answer, so that the two cannot be told apart.
    """
    whole, spans = _answers(model, item)
    encoded = model.tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids, starts = list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]
    learnt = [any(a <= start < b for a, b in spans) for start in starts]
    if not end_of_turn(model) & set(ids[-3:]):
        ids, learnt = [*ids, _end(model)], [*learnt, True]
    labels = tuple(id if learn else IGNORED for id, learn in zip(ids, learnt, strict=True))
    return Sample(tuple(ids), labels)


def answer_segments(model: Model, item: "Item") -> list[tuple[str, bool]]:
    """The text of a conversation cut where learning begins and ends: what is read, what is learnt.

    Usage: ``[text for text, learnt in answer_segments(model, item) if learnt]``

    Read and learnt come in turn, ``[(prompt, False), (answer, True), …]``; an answer holds the
    token that ends it. Raises LabError as :func:`encode_sample` does. For tools that are given
    text: joined and tokenized it is what :func:`encode_sample` gives.
    """
    whole, spans = _answers(model, item)
    segments, position = [], 0
    for start, end in spans:
        segments += [(whole[position:start], False), (whole[start:end], True)]
        position = end
    last = model.tokenizer(segments[-1][0], add_special_tokens=False)["input_ids"]
    if not end_of_turn(model) & set(last[-3:]):
        end_token = model.tokenizer.convert_ids_to_tokens(_end(model))
        segments[-1] = (segments[-1][0] + end_token, True)
    return segments


def _answers(model: Model, item: "Item") -> tuple[str, list[tuple[int, int]]]:
    """A conversation's text by the model's template, and where in it the answers stand."""
    if model.chat_template is None:
        raise LabError(
            t(
                f"'{model.name}' is a base model and has no chat template to tune by.",
                f"'{model.name}' 是基座模型，没有可用来微调的对话模板。",
            ),
            t(
                "Take its chat model, such as 'pocket/llama3'.",
                "请换用对话模型，例如 'pocket/llama3'。",
            ),
        )
    messages, tools = list(item.messages), list(item.tools) or None

    def text_of(count: int, prompt: bool) -> str:
        assert model.chat_template is not None
        return render(
            model.chat_template,
            messages[:count],
            tools,
            model.special_tokens,
            add_generation_prompt=prompt,
        )

    whole = text_of(len(messages), False)
    spans = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt, answered = text_of(index, True), text_of(index + 1, False)
            # Some templates drop the thinking of earlier answers: those are read, not learnt.
            if answered.startswith(prompt) and whole.startswith(answered):
                spans.append((len(prompt), len(answered)))
    if not spans or spans[-1][1] != len(whole):
        raise LabError(
            t(
                f"The chat template of '{model.name}' writes the prompt otherwise once it is"
                " answered: prompt and answer cannot be told apart.",
                f"'{model.name}' 的对话模板在有回答后会改写提示部分，无法区分提示与回答。",
            ),
            t("Use samples of one question each.", "请改用单轮问答的样本。"),
        )
    return whole, spans


def _end(model: Model) -> int:
    """The token that ends an answer where the template writes none behind it.

    In ChatGLM's format it is the mark of the next role; else the tokenizer's end token.
    """
    said = "42"
    turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]
    text = render(str(model.chat_template), [*turn, turn[0]], None, model.special_tokens)
    behind = model.special and model.special.match(text.partition(said)[2].lstrip())
    if behind:
        (id, *_) = model.encode(behind[0], special=True)
        if id in model.stop_ids:
            return id
    return int(model.tokenizer.eos_token_id)


def encode_samples(model: Model, items: "Sequence[Item]", name: str) -> list[Sample]:
    """All samples of a split, each within the model's context.

    Usage: ``encode_samples(model, task.train, "train")``. name: of the split, for the error.
    Raises LabError as :func:`encode_sample` does, and for the first sample that is too long.
    """
    samples = []
    for number, item in enumerate(items, 1):
        sample = encode_sample(model, item)
        if len(sample.ids) > model.context_length:
            raise LabError(
                t(
                    f"Sample {number} of '{name}' has {len(sample.ids)} tokens;"
                    f" {model.name} takes {model.context_length}.",
                    f"'{name}' 的第 {number} 个样本有 {len(sample.ids)} 个词元；"
                    f"{model.name} 最多 {model.context_length} 个。",
                ),
                t("Shorten it or leave it out.", "请缩短或去掉这个样本。"),
            )
        samples.append(sample)
    return samples


def batch_order(count: int, batch: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of sample numbers: all samples in random order, then all again.

    Usage: ``next(batch_order(2000, 16, seed=0))``. The seed alone decides: a resumed training
    passes over what it has done and sees what an unbroken one would have seen.
    """
    rng, waiting = random.Random(seed), list[int]()
    while True:
        while len(waiting) < batch:
            epoch = list(range(count))
            rng.shuffle(epoch)
            waiting += epoch
        yield waiting[:batch]
        waiting = waiting[batch:]


def collate(samples: Sequence[Sample], pad: int, device: Any = "cpu") -> "dict[str, torch.Tensor]":
    """One batch, padded on the right: ``input_ids``, ``attention_mask`` and ``labels``.

    Usage: ``model(**collate(samples[:16], tokenizer.pad_token_id))``. All are of shape (samples,
    length); pad: any token, for neither attention nor loss sees it.
    """
    torch = need("torch")
    length = -(-max(len(sample.ids) for sample in samples) // MULTIPLE) * MULTIPLE
    ids = torch.full((len(samples), length), pad)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        labels[row, : len(sample.ids)] = torch.tensor(sample.labels)
        mask[row, : len(sample.ids)] = 1
    batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def label_table(model: Model, sample: Sample) -> Table:
    """Token by token what is read and what is learnt, for a person.

    Usage: ``label_table(model, encode_sample(model, item))``
    """
    header = (t("Token", "词元"), "id", t("Learnt", "学习"))
    rows = [
        (repr(model.tokenizer.decode([id]))[1:-1], str(id), "" if label == IGNORED else "✓")
        for id, label in zip(sample.ids, sample.labels, strict=True)
    ]
    return Table(header, rows)
