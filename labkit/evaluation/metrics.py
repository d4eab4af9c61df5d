"""What one variant of a model is worth: perplexity, divergence, exact match, speed, memory.

Perplexity is exp of the mean negative log-likelihood of each next token; its standard error is
perplexity * sd / √tokens. KL divergence, Σ p log(p / q) over the vocabulary at each token, compares
the next-token probabilities with those of the model in full precision: 0 where nothing changed.
Not covered: that neighbouring tokens are related, which makes true errors a little larger.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ..architecture.config_file import read_json_config
from ..conversation.chat_templates import end_of_turn
from ..core.cache import check_room
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.units import MB
from ..engines import Engine, Model, Sampling, load
from ..quantization.calibration import (
    PLAIN,
    Passage,
    Text,
    TokenRow,
    encode_text,
    held_out_items,
    held_out_passages,
    measured_rows,
    show_item,
)
from .scoring import answers

Floats = npt.NDArray[np.float32]

CHUNK = 64
"""Tokens whose probabilities are compared at a time: 78 MB in float64 with 152,000 tokens known."""

RUNS, PROMPT, ANSWER = 3, 256, 33
"""Timed runs, the tokens of their prompt at most, and of their answer."""

RESOLVED = 20 * MB
"""Growth of memory below this drowns in what Python itself takes."""


@dataclass(frozen=True)
class Job:
    """One variant to measure. Everything in it is what JSON holds.

    path, engine: of the variant. text, seed: what to measure on
    (:mod:`~labkit.quantization.calibration`). skills: whether to ask the corpus's questions, which
    only pocket models learnt. passages and tokens: what another variant was measured on, so that
    this one is measured on the same. write, reference: a file for this variant's log-probabilities,
    and one with those to compare with.
    """

    path: str
    engine: Engine
    text: Text = None
    seed: int = 0
    skills: bool = False
    passages: Sequence[Passage] | None = None
    tokens: str | None = None
    write: str | None = None
    reference: str | None = None


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Measure one variant; to be run in a fresh process, whose memory is nobody else's.

    Usage: ``run_apart(measure, {"path": "model.gguf", "engine": "llama.cpp"})``

    Gives the measured fields of :class:`~labkit.evaluation.comparison.Row` by name, and passages
    and tokens for the next job. Raises LabError for a text that is too short, another tokenizer, a
    full disk.
    """
    wanted = Job(**job)
    _bring(wanted)
    before = peak_memory()
    model = load(wanted.path, wanted.engine)
    _keep_to_threads(model)
    passages = wanted.passages or held_out_passages(model, wanted.text, wanted.seed)
    rows = measured_rows(model, passages)
    tokens = hashlib.sha256(json.dumps([row.ids for row in rows]).encode()).hexdigest()
    if wanted.tokens not in (None, tokens):
        raise _other_tokenizer(wanted.path)
    prompt_speed, answer_speed = measure_speed(model, rows)
    growth = peak_memory() - before
    found = compare_probabilities(model, rows, wanted)
    if wanted.skills:
        found["exact_match"] = exact_match(model, wanted.seed)
    return found | {
        "prompt_tokens_per_second": prompt_speed,
        "tokens_per_second": answer_speed,
        "peak_memory": growth if growth >= RESOLVED else None,
        "passages": passages,
        "tokens": tokens,
    }


def compare_probabilities(model: Model, rows: list[TokenRow], job: Job) -> dict[str, Any]:
    """Perplexity, and divergence from the reference where there is one; a row at a time.

    Usage: ``compare_probabilities(model, rows, Job(path, "llama.cpp"))["perplexity"]``
    """
    losses, divergences, agreements = [], [], []
    kept = None
    reference = None if job.reference is None else np.load(job.reference, mmap_mode="r")
    place = 0
    for ids, chunk in _chunks(model, rows):
        if job.write is not None and kept is None:
            shape = (sum(len(row.ids) - row.scored for row in rows), chunk.shape[1])
            check_room(Path(job.write), 4 * shape[0] * shape[1])
            kept = np.lib.format.open_memmap(job.write, "w+", np.float32, shape)
        end = place + len(chunk)
        losses.append(-chunk[np.arange(len(chunk)), ids])
        if kept is not None:
            kept[place:end] = chunk
        if reference is not None:
            divergences.append(kl_divergence(reference[place:end], chunk))
            agreements.append(reference[place:end].argmax(1) == chunk.argmax(1))
        place = end
    value, error = perplexity(np.concatenate(losses))
    found: dict[str, Any] = {"perplexity": value, "perplexity_stderr": error}
    if kept is not None:  # it is the reference
        kept.flush()
        return found | {"kl_mean": 0.0, "kl_p99": 0.0, "top1_agreement": 1.0}
    if reference is None:
        return found
    divergence = np.concatenate(divergences)
    return found | {
        "kl_mean": float(divergence.mean()),
        "kl_p99": float(np.percentile(divergence, 99)),
        "top1_agreement": float(np.concatenate(agreements).mean()),
    }


def measure_logits(model: Model, ids: list[int], start: int = 0) -> Floats:
    """Logits at every token of a row from the place *start* on: float32 (tokens, vocabulary).

    Usage: ``measure_logits(load("pocket/qwen2.5"), ids)``. ids: at most 512 (llama.cpp's batch).
    The output head, a large part of a small model, is computed for those tokens only.
    """
    count = len(ids) - start
    if model.engine == "transformers":
        torch = need("torch")
        with torch.inference_mode():
            given = torch.tensor([ids], device=model.model.device)
            out = model.model(given, use_cache=False, logits_to_keep=count)
        return np.asarray(out.logits[0].float().cpu().numpy())
    cpp, context = need("llama_cpp"), model.model.ctx
    cpp.llama_memory_clear(cpp.llama_get_memory(context), True)
    batch = cpp.llama_batch_init(len(ids), 0, 1)
    try:
        batch.n_tokens = len(ids)
        for place, id in enumerate(ids):
            batch.token[place], batch.pos[place] = id, place
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
            batch.logits[place] = place >= start
        if status := cpp.llama_decode(context, batch):
            raise LabError(
                t(
                    f"llama.cpp could not read {len(ids)} tokens (status {status}).",
                    f"llama.cpp 读不了这 {len(ids)} 个词元（状态码 {status}）。",
                ),
                t("Take a shorter text or a smaller model.", "请缩短文本，或换更小的模型。"),
            )
        shape = (count, model.model.n_vocab())
        return np.ctypeslib.as_array(cpp.llama_get_logits(context), shape).copy()
    finally:
        cpp.llama_batch_free(batch)
        model.forget()


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities of logits, along the last axis. Usage: ``log_softmax(logits)``"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    found: Floats = shifted
    return found


def kl_divergence(reference: Floats, other: Floats) -> npt.NDArray[np.float64]:
    """Σ p log(p / q) at every token, in nats: how far the second is from the first.

    Usage: ``kl_divergence(log_softmax(full), log_softmax(quantized)).mean()``

    Both are log-probabilities (tokens, vocabulary).
    """
    log_p = reference.astype(np.float64)
    return np.asarray((np.exp(log_p) * (log_p - other)).sum(axis=-1))


def perplexity(losses: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Perplexity and its standard error, of the negative log-likelihood of each token.

    Usage: ``value, error = perplexity(losses)``. Source: exp and its derivative (delta method).
    """
    value = float(np.exp(losses.mean()))
    return value, value * float(losses.std(ddof=1)) / len(losses) ** 0.5


def measure_speed(model: Model, rows: list[TokenRow]) -> tuple[float, float]:
    """Tokens a second while the prompt is read and while the answer is written.

    Usage: ``prompt_speed, answer_speed = measure_speed(model, rows)``

    Medians of RUNS, after one that warms up. The answer goes on past its end token.
    """
    room = min(PROMPT, model.context_length - ANSWER)
    prompt = [id for row in rows for id in row.ids][:room]
    reading, writing = [], []
    for _ in range(RUNS + 1):
        model.forget()
        start = perf_counter()
        answer = model.next_tokens(prompt, Sampling())
        next(answer)
        read = perf_counter()
        count = sum(1 for _ in islice(answer, ANSWER - 1))
        end = perf_counter()
        reading.append(len(prompt) / (read - start))
        writing.append(count / (end - read))
    return median(reading[1:]), median(writing[1:])


def exact_match(model: Model, seed: int = 0) -> float:
    """Share of the corpus's held-out questions that the model answers word for word.

    Usage: ``exact_match(load("pocket/qwen2.5"))``. Twelve questions of every skill.
    """
    items = held_out_items(seed)
    if model.engine == "transformers":
        template = None if model.chat_template else PLAIN
        said = list(answers(model.model, model.tokenizer, items, chat_template=template))
        return sum(one == right for one, right in said) / len(said)
    newline = "" if model.chat_template else "\n"
    stop = model.stop_ids | end_of_turn(model)
    right = 0
    for item in items:
        prompt = show_item(model, item, prompt=True)
        wanted = show_item(model, item)[len(prompt) :]
        longest = len(model.encode(wanted, special=True)) + 4
        ids = encode_text(model, prompt)
        new = model.generate(ids, Sampling(max_new_tokens=longest), stop_ids=stop)
        text = "".join(model.decode((id for id in new if id not in stop), special=True))
        ends = [t for t in (*model.special_tokens.values(), newline) if t]
        right += _first(text, ends) == _first(wanted, [*ends, *_stop_texts(model, stop)])
    return right / len(items)


def peak_memory() -> int:
    """The most memory this process has had so far, in bytes (peak resident set).

    Usage: ``peak_memory()``. Linux: VmHWM, which a new program begins afresh; elsewhere psutil or
    getrusage.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return int(need("psutil").Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# --- the parts of one measurement -------------------------------------------------------------


def _bring(job: Job) -> None:
    """Load the libraries before memory is counted, and keep them from talking."""
    if job.engine == "llama.cpp":
        need("llama_cpp")
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    need("torch")
    need("transformers").AutoModelForCausalLM  # noqa: B018 - Transformers loads when first asked
    config = read_json_config(Path(job.path))
    method = config.get("quantization_config", {}).get("quant_method")
    if method == "bitsandbytes":
        need("bitsandbytes")
    if method == "gptq":
        need("auto_round")


def _keep_to_threads(model: Model) -> None:
    """OMP_NUM_THREADS, which torch goes by, holds for llama.cpp too."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
    if threads and model.engine == "llama.cpp":
        need("llama_cpp").llama_set_n_threads(model.model.ctx, threads, threads)


def _chunks(model: Model, rows: list[TokenRow]) -> Iterator[tuple[list[int], Floats]]:
    """The tokens to guess, and log-probabilities where each is guessed, CHUNK at a time."""
    for row in rows:
        guesses = measure_logits(model, row.ids, row.scored - 1)[:-1]
        wanted = row.ids[row.scored :]
        for start in range(0, len(wanted), CHUNK):
            end = start + CHUNK
            yield wanted[start:end], log_softmax(guesses[start:end])


def _first(text: str, ends: Sequence[str]) -> str:
    """A text up to the first of these ends, without the white space around it."""
    for end in ends:
        text = text.lstrip().partition(end)[0]
    return text.strip()


def _stop_texts(model: Model, stop: frozenset[int]) -> list[str]:
    return [text for id in stop if (text := "".join(model.decode([id], special=True)))]


def _other_tokenizer(path: str) -> LabError:
    return LabError(
        t(
            f"'{Path(path).name}' cuts this text into other tokens than the model before it.",
            f"'{Path(path).name}' 把这段文本切成的词元与前面的模型不同。",
        ),
        t(
            "Perplexity is a figure per token: the larger the tokens of a tokenizer, the harder"
            " each is to guess, so the two cannot be compared. Compare variants of one model.",
            "困惑度按词元计算：词元越大，每一个就越难猜，所以不同分词器的困惑度不能相互比较。"
            "请比较同一个模型的不同版本。",
        ),
    )
