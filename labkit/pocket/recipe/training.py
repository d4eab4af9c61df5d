"""Train one pocket model: resumable, deterministic on one machine, and saved as Hugging Face does.

Weights are kept in float32 and copied to bfloat16 for each step, which modern processors multiply
about twice as fast; what is saved is the float32 weights in float16.
"""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import corpus
from ..mixtures import TEXTS
from .batches import batches
from .families import FamilyRecipe
from .inheritance import inherit
from .tokenizers import train_bpe, train_spm

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

WEIGHTS = Path(__file__).parent.parent / "weights"
WARM_UP, CHECKPOINT_EVERY = 100, 100
BALANCE = 0.02
"""Weight of the routers' imbalance in the loss of a model with experts."""


def _texts(family: FamilyRecipe) -> Iterator[str]:
    """What the tokenizer learns from: questions, answers, the JSON of tools; no special tokens."""
    for item in islice(corpus.training_items(random.Random("tokenizer"), TEXTS), 12_000):
        for tool in item.tools:
            yield json.dumps(tool)
        for message in item.messages:
            if message.get("tool_calls"):
                yield json.dumps(message["tool_calls"][0]["function"], ensure_ascii=False)
            else:
                yield message["content"]
    yield from [
        "system user assistant tool ipython User: Assistant: Tool: Tools: [INST] [/INST]"
    ] * 400


def make_tokenizer(family: FamilyRecipe) -> "PreTrainedTokenizerFast":
    """The family's tokenizer, learnt from the corpus, with its special tokens and chat template.

    Usage: ``make_tokenizer(FAMILIES["yi"])``. The same every time. A model that is its parent after
    more training keeps the parent's, which must be there.
    """
    from transformers import PreTrainedTokenizerFast

    if family.inherits_tokenizer:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(WEIGHTS / str(family.parent))
        tokenizer.eos_token, tokenizer.chat_template = family.eos[0], family.chat_template
        return tokenizer
    special = list(family.special)
    if family.pre == "spm":
        core = train_spm(_texts(family), family.vocab_size, special)
    else:
        core = train_bpe(_texts(family), family.vocab_size, special, family.pre)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=family.bos,
        eos_token=family.eos[0],
        pad_token=family.pad,
        unk_token="<unk>" if family.pre == "spm" else None,
        additional_special_tokens=special,
        model_max_length=family.config["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
    )
    if family.chats:
        tokenizer.chat_template = family.chat_template
    return tokenizer


def make_model(family: FamilyRecipe, tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedModel":
    """The family's model in its real class, freshly initialised with seed 0, in float32."""
    import torch
    import transformers

    torch.manual_seed(0)
    model_class = getattr(transformers, family.model_class)
    ids = tokenizer.convert_tokens_to_ids(list(family.eos))
    config = model_class.config_class(
        **family.config,
        vocab_size=family.vocab_size,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ids if len(ids) > 1 else ids[0],
        pad_token_id=tokenizer.pad_token_id,
    )
    return model_class(config)


def _loss(model: "PreTrainedModel", ids: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
    """Sum of the weighted cross-entropies; logits only where a token's loss counts."""
    import torch

    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
    targets, weights = ids[:, 1:].flatten(), weights[:, 1:].flatten()
    places = weights.nonzero().flatten()
    # Few different lengths: a processor's matrix library keeps a program for each one it has seen.
    places = torch.nn.functional.pad(places, (0, -len(places) % 512))
    weight = weights[places] * (torch.arange(len(places)) < int((weights > 0).sum()))
    logits = model.lm_head(hidden[places]).float()
    losses = torch.nn.functional.cross_entropy(logits, targets[places], reduction="none")
    return (losses * weight).sum()


def _watch_routers(model: "PreTrainedModel") -> "list[tuple[torch.Tensor, ...]]":
    """A list that each forward pass fills with what the routers of its experts returned."""
    routed: list[tuple[torch.Tensor, ...]] = []
    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            module.register_forward_hook(lambda _module, _args, out: routed.append(out))
    return routed


def _imbalance(routed: "list[tuple[torch.Tensor, ...]]") -> "torch.Tensor":
    """One where all experts are used alike, more the fewer do the work; empties *routed*.

    Source: Fedus et al., Switch Transformers, 2021, equation 4, the mean over layers.
    """
    import torch

    losses = []
    for logits, _, chosen in routed:
        experts = logits.shape[-1]
        probability = logits.float().softmax(-1).mean(0)
        share = torch.nn.functional.one_hot(chosen, experts).float().mean((0, 1))
        losses.append(experts * (probability * share).sum())
    routed.clear()
    return torch.stack(losses).mean()


def _rate(family: FamilyRecipe, step: int) -> float:
    """Warm up, stay, and fall to nothing over the last third."""
    left = (family.steps - step) / (family.steps / 3)
    return family.learning_rate * min(1.0, (step + 1) / WARM_UP, left)


Report = Callable[[int, float], None]


def train(family: FamilyRecipe, work: Path, report: Report) -> Path:
    """Train *family* and save it under ``labkit/pocket/weights``; returns its folder.

    Usage: ``train(FAMILIES["llama3"], Path("work"))``

    work: folder for checkpoints; an interrupted training goes on from the last one and ends as an
    unbroken one would. The parent must have been trained before. report: called after each step
    with its number and its loss.
    """
    import torch
    from safetensors.torch import load_file, save_file

    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(family)
    model = make_model(family, tokenizer)
    if family.parent:
        _inherit_parent(model, tokenizer, family)
    names = [name for name, _ in model.named_parameters()]
    master = [p.detach().clone().requires_grad_() for p in model.parameters()]
    decayed = [p for p in master if p.ndim > 1]
    plain = [p for p in master if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=family.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    step, checkpoint = 0, work / f"{family.name}.safetensors"
    order = decayed + plain
    if checkpoint.exists():
        stored = load_file(checkpoint)
        step = int(stored["step"])
        with torch.no_grad():
            for name, p in zip(names, master, strict=True):
                p.copy_(stored[name])
        for index, p in enumerate(order):
            optimizer.state[p] = {
                "step": torch.tensor(float(step)),
                "exp_avg": stored[f"exp_avg.{index}"],
                "exp_avg_sq": stored[f"exp_avg_sq.{index}"],
            }
    model.train()
    for p in model.parameters():  # not the buffers: a rotary frequency must stay exact
        p.data = p.data.bfloat16()
    pairs, routed = list(zip(model.parameters(), master, strict=True)), _watch_routers(model)
    with torch.no_grad():
        for low, high in pairs:
            low.copy_(high)
    while step < family.steps:
        parts = batches(family, tokenizer, step)
        total, loss = sum(float(weights[:, 1:].sum()) for _, weights in parts), 0.0
        for ids, weights in parts:
            part = _loss(model, ids, weights) / total
            loss += float(part.detach())
            if routed:
                part = part + BALANCE / len(parts) * _imbalance(routed)
            part.backward()
        with torch.no_grad():
            for low, high in pairs:
                high.grad = low.grad.float() if low.grad is not None else None
                low.grad = None
        torch.nn.utils.clip_grad_norm_(master, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = _rate(family, step)
        optimizer.step()
        with torch.no_grad():
            for low, high in pairs:
                low.copy_(high)
        step += 1
        report(step, loss)
        if step % CHECKPOINT_EVERY == 0:
            stored = dict(zip(names, (p.detach() for p in master), strict=True))
            for index, p in enumerate(order):
                for moment in ("exp_avg", "exp_avg_sq"):
                    stored[f"{moment}.{index}"] = optimizer.state[p][moment]
            part = checkpoint.with_suffix(".part")
            save_file(stored | {"step": torch.tensor(step)}, part)
            part.replace(checkpoint)
    for low, high in pairs:
        low.data = high.detach()
    folder = _save(model, tokenizer, family)
    checkpoint.unlink(missing_ok=True)
    return folder


def _inherit_parent(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", family: FamilyRecipe
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = WEIGHTS / str(family.parent)
    parent = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    inherit(model, tokenizer, parent, AutoTokenizer.from_pretrained(folder))


def _save(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", family: FamilyRecipe
) -> Path:
    """Write the model in float16 beside its tokenizer, whole or not at all."""
    import torch

    folder = WEIGHTS / family.name
    part = folder.with_name(f".{family.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.to(torch.float16).save_pretrained(part)
    tokenizer.save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)
    return folder
