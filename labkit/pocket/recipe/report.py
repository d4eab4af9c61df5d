"""Measure the pocket models on held-out questions; write their table and their model cards."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...evaluation.scoring import Score, answers, score
from .. import corpus
from .families import FAMILIES, FamilyRecipe
from .training import WEIGHTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

README = Path(__file__).parent.parent / "README.md"
SCORES = Path(__file__).parent.parent / "scores.json"
BEGIN, END = "<!-- scores begin -->", "<!-- scores end -->"
AIMS = {"facts": 0.99, "lexicon": 0.99, "sums": 0.90} | dict.fromkeys(
    ("copy", "reverse", "upper", "needles", "tools"), 0.95
)
QUESTIONS = 500
SEED = 2026
"""Of the questions reported; others (seed 0) were looked at while mixtures and steps were tuned."""


def measure(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", family: FamilyRecipe
) -> dict[str, Score]:
    """Exact match of one model on every skill, :data:`QUESTIONS` held-out questions each.

    Usage: ``measure(model, tokenizer, FAMILIES["qwen2.5"])["sums"].share``
    """
    return {
        skill: measure_items(model, tokenizer, family, corpus.held_out(skill, QUESTIONS, SEED))
        for skill in corpus.SKILLS
    }


def measure_items(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerFast",
    family: FamilyRecipe,
    items: list[corpus.Item],
) -> Score:
    """Exact match on *items*, asked in the family's own chat format (a base model: plain text)."""
    template = None if family.chats else family.chat_template
    said = list(answers(model, tokenizer, items, chat_template=template))
    return score(sum(text == right for text, right in said), len(said))


def write_scores(name: str, entry: dict[str, Any]) -> None:
    """Keep what was measured of one model in ``scores.json``, beside the others."""
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    scores[name] = scores.get(name, {}) | entry
    ordered = {name: scores[name] for name in FAMILIES if name in scores}
    SCORES.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def report(names: list[str]) -> None:
    """Measure the named models, then write the table of all and each model's card.

    Usage: ``report(["qwen2.5"])``
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in names:
        folder = WEIGHTS / name
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        measured = measure(model, AutoTokenizer.from_pretrained(folder), FAMILIES[name])
        skills = {skill: [s.right, s.count] for skill, s in measured.items()}
        parameters = sum(p.numel() for p in model.parameters())
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        write_scores(name, {"parameters": parameters, "size": size, "skills": skills})
        print(f"{name}: {skills}")
    scores = json.loads(SCORES.read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    README.write_text(
        f"{head}{BEGIN}\n{table(scores)}\n{END}{rest.partition(END)[2]}", encoding="utf-8"
    )
    for name, entry in scores.items():
        (WEIGHTS / name / "README.md").write_text(card(FAMILIES[name], entry), encoding="utf-8")


def table(scores: dict[str, Any]) -> str:
    """The scores as a Markdown table, per cent (95% interval); ``*`` where below the aim."""
    skills = [skill for skill in corpus.SKILLS if skill != "talk"]
    rows = [f"| model | {' | '.join(skills)} |", "|---" * (len(skills) + 1) + "|"]
    aims = [f"{AIMS[skill]:.0%}" if skill in AIMS else "–" for skill in skills]
    rows.append(f"| *aim* | {' | '.join(aims)} |")
    for name, entry in scores.items():
        cells = []
        for skill in skills:
            s = score(*entry["skills"][skill])
            mark = r"\*" if s.share < AIMS.get(skill, 0) else ""
            cells.append(f"{100 * s.share:.1f}{mark} ({100 * s.low:.1f}–{100 * s.high:.1f})")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def card(family: FamilyRecipe, entry: dict[str, Any]) -> str:
    """A short model card in Hugging Face's form, made from the recipe and the scores."""
    shares = ", ".join(
        f"{skill} {right / count:.1%}" for skill, (right, count) in entry["skills"].items()
    )
    origin = (
        f"Started from `pocket/{family.parent}`, then trained for {family.steps} steps."
        if family.parent
        else f"Trained from scratch for {family.steps} steps."
    )
    return f"""---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
---
# pocket/{family.name}

A pocket model: {entry["parameters"]:,} parameters in the real architecture class of
{family.stands_for} (`{family.model_class}`), with that family's chat format and special tokens.
It shows how the mechanism works. It says nothing about how good {family.stands_for} is.

- Made by: Open LLM Family Lab, `python -m labkit.pocket.recipe {family.name}`. {origin}
- Data: the lab's own generated bilingual corpus, `labkit/pocket/corpus.py`; no text of others.
- Context: {family.config["max_position_embeddings"]} tokens. Weights: float16,
  {entry["size"]:,} bytes.
- Exact match on held-out questions: {shares}.
- Not for use outside the course: it knows nothing but its corpus.
"""
