"""How sure a model is of what it is about to say, from the probabilities of its own tokens.

Usage: ``measure_uncertainty(lab.load("pocket/qwen2.5"), "What is 2 + 3?").mean_logprob``

The model begins its answer greedily; of each token two numbers are kept, in nats:

    log-probability   log p(token), 0 when it had no doubt
    entropy           − Σ p log p over the vocabulary, 0 when it had no alternative

Their means tell a model that knows from one that gropes, not one that is right from one that errs:
a model can be sure and wrong. Thresholds hold for one model; find yours on questions of your own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.extras import need
from ..engines import Model, Sampling
from .chat_templates import Message, encode_chat, end_of_turn

if TYPE_CHECKING:
    import numpy as np

TOKENS = 32
"""Of the answer that are looked at; the beginning decides most."""


@dataclass(frozen=True)
class Uncertainty:
    """Means over the first tokens of an answer, in nats. tokens: how many; text: what they say."""

    mean_logprob: float
    mean_entropy: float
    tokens: int
    text: str

    @property
    def perplexity(self) -> float:
        """Between how many equally likely tokens it wavered, on average."""
        return math.exp(-self.mean_logprob)


def measure_uncertainty(
    model: Model,
    prompt: str | Sequence[Message],
    tools: Sequence[Message] = (),
    *,
    tokens: int = TOKENS,
) -> Uncertainty:
    """How sure a model loaded here is of the beginning of its answer.

    Usage: ``measure_uncertainty(model, "What is 2 + 3?")``; prompt: a question or messages. A base
    model goes on with the text. Raises LabError for a prompt that does not fit into the context.
    """
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    stop_ids = model.stop_ids
    if model.chat_template is None:
        text = "\n".join(str(message["content"]) for message in messages)
        ids = [*model.bos, *model.encode(text)]
    else:
        ids = encode_chat(model, messages, list(tools) or None)
        stop_ids = stop_ids | end_of_turn(model)
    said = list(model.generate(ids, Sampling(max_new_tokens=tokens), stop_ids=stop_ids))
    rows = _llama_logits if model.engine == "llama.cpp" else _transformers_logits
    logprobs, entropies = [], []
    for id, logits in zip(said, rows(model, ids, said), strict=True):
        logp = _log_softmax(logits)
        logprobs.append(float(logp[id]))
        entropies.append(float(-(math.e**logp * logp).sum()))
    text = "".join(model.decode(id for id in said if id not in stop_ids)).strip()
    return Uncertainty(_mean(logprobs), _mean(entropies), len(said), text)


def _log_softmax(logits: "np.ndarray") -> "np.ndarray":
    shifted = logits.astype("float64") - logits.max()
    found: np.ndarray = shifted - math.log((math.e**shifted).sum())
    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _transformers_logits(model: Model, ids: list[int], said: list[int]) -> Any:
    """One row of logits a token said, from one pass over prompt and answer."""
    torch = need("torch")
    both = torch.tensor([ids + said[:-1]], device=model.model.device)
    with torch.inference_mode():
        out = model.model(input_ids=both, logits_to_keep=len(said))
    return out.logits[0].float().cpu().numpy()


def _llama_logits(model: Model, ids: list[int], said: list[int]) -> Iterator["np.ndarray"]:
    """The same from llama.cpp: the answer is gone through once more, the prompt is still read."""
    import numpy as np

    cpp = need("llama_cpp")
    rows: list[np.ndarray] = []

    def keep(_: Any, logits: "np.ndarray") -> "np.ndarray":
        rows.append(np.array(logits, copy=True))
        forced = np.full_like(logits, -np.inf)
        forced[said[len(rows) - 1]] = 0
        return forced

    steps = model.model.generate(ids, temp=0.0, logits_processor=cpp.LogitsProcessorList([keep]))
    for _ in zip(said, steps, strict=False):
        pass
    return iter(rows[: len(said)])
