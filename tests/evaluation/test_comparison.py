"""lab.compare: figures against their definitions, the order of formats, the same table twice."""

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import pocket
from labkit.cli.entry import run
from labkit.conversation.chat_templates import render
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.core.workers import run_apart
from labkit.engines import load
from labkit.evaluation.comparison import Comparison, Row, compare
from labkit.evaluation.metrics import (
    exact_match,
    kl_divergence,
    log_softmax,
    measure_logits,
    peak_memory,
    perplexity,
)
from labkit.gguf.files import gguf_for
from labkit.quantization.calibration import (
    LEAST_TOKENS,
    PLAIN,
    calibration_rows,
    encode_text,
    held_out_items,
    held_out_passages,
    measured_rows,
)
from labkit.quantization.versions import quantize

MODEL = "pocket/llama3"
TEXT = "The quick brown fox jumps over the lazy dog near the river bank. 你好，世界！" * 40
SPEEDS = {"prompt_tokens_per_second", "tokens_per_second", "peak_memory"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def table() -> Comparison:
    return compare(MODEL, ["F16", "Q8_0", "Q5_0", "Q4_0", "Q2_K", "nf4"])


# --- the figures


def test_log_softmax_and_kl_equal_torchs() -> None:
    import torch

    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 7, 50)).astype(np.float32) * 5
    p, q = (torch.log_softmax(torch.from_numpy(x), -1) for x in (first, second))
    assert np.allclose(log_softmax(first), p.numpy(), atol=1e-5)
    theirs = torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(-1)
    assert np.allclose(kl_divergence(log_softmax(first), log_softmax(second)), theirs, atol=1e-4)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), scale=st.floats(0.01, 30))
def test_kl_is_never_negative_and_zero_for_the_same(seed: int, scale: float) -> None:
    logits = np.random.default_rng(seed).standard_normal((3, 20)).astype(np.float32) * scale
    same, other = log_softmax(logits), log_softmax(logits[::-1])
    assert np.abs(kl_divergence(same, same)).max() == 0
    assert (kl_divergence(same, other) > -1e-6).all()


def test_perplexity_of_equal_guesses_is_how_many_there_are() -> None:
    value, error = perplexity(np.full(100, np.log(7)))
    assert value == pytest.approx(7) and error == pytest.approx(0, abs=1e-9)


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(0)
    draws = [perplexity(rng.exponential(0.5, 400)) for _ in range(300)]
    spread = np.std([value for value, _ in draws])
    assert spread == pytest.approx(np.mean([error for _, error in draws]), rel=0.15)


def test_perplexity_is_what_transformers_computes(table: Comparison) -> None:
    """On the same rows, by its own loss; and both engines agree in full precision."""
    import torch

    model = load(MODEL)
    losses = []
    for row in measured_rows(model, held_out_passages(model)):
        labels = torch.tensor([row.ids])
        labels[:, : row.scored] = -100
        with torch.no_grad():
            loss = model.model(torch.tensor([row.ids]), labels=labels).loss
        losses += [float(loss)] * (len(row.ids) - row.scored)
    assert table["F16"].perplexity == pytest.approx(np.exp(np.mean(losses)), rel=1e-3)


def test_both_engines_give_the_same_logits_and_answers() -> None:
    ids = load(MODEL).encode("Qwen2.5有哪些尺寸？")
    path = gguf_for(pocket.folder("llama3"), "F32")
    ours, theirs = measure_logits(load(MODEL), ids), measure_logits(load(path), ids)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-2


def test_exact_match_is_the_same_on_both_engines(table: Comparison) -> None:
    assert table["F16"].exact_match == pytest.approx(exact_match(load(MODEL)), abs=0.01)


# --- the table


def test_more_bits_less_divergence(table: Comparison) -> None:
    kl = {row.format: row.kl_mean for row in table.rows}
    assert 0 == kl["F16"] < kl["Q8_0"] < kl["Q5_0"] < kl["Q4_0"] < kl["Q2_K"]
    for row in table.rows:
        assert row.kl_mean <= row.kl_p99 or row.format == "F16"
        assert 0.5 < row.top1_agreement <= 1 and 0 <= row.exact_match <= 1
        assert row.perplexity > 1 and row.perplexity_stderr > 0
        assert row.prompt_tokens_per_second > 0 and row.tokens_per_second > 0
        assert row.peak_memory is None or row.peak_memory >= 20_000_000
    sizes = [row.file_size for row in table.rows[:5]]
    assert sizes == sorted(sizes, reverse=True)
    assert "pocket model" in table.note and "same engine" in table.note


def test_the_same_again_comes_from_the_cache(table: Comparison) -> None:
    start = time.perf_counter()
    again = compare(MODEL, [row.format for row in table.rows])
    assert again == table  # speeds too: nothing was measured
    assert time.perf_counter() - start < 20


def test_measured_anew_only_speeds_differ(
    table: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    again = compare(MODEL, ["Q4_0"]).rows[0]
    for field in dataclasses.fields(Row):
        if field.name not in SPEEDS:
            assert getattr(again, field.name) == getattr(table["Q4_0"], field.name), field.name


def test_a_text_of_ones_own_and_files_as_they_are(tmp_path: Path) -> None:
    made = quantize(MODEL, ["Q4_0", "F16"])
    small, full = (row.path for row in made.rows)
    found = compare([small, full], text=TEXT)
    assert [row.format for row in found.rows] == [small.stem, full.stem]
    assert found.rows[1].kl_mean == 0 < found.rows[0].kl_mean
    assert found.rows[0].exact_match is None  # no pocket name: nobody knows what it learnt
    assert found.files == (small, full)
    alone = compare([small], text=TEXT).rows[0]
    assert alone.kl_mean is None and alone.perplexity == found.rows[0].perplexity


def test_it_shows_itself_in_both_languages(table: Comparison) -> None:
    lines = str(table).splitlines()
    assert lines[0].split()[:2] == ["Format", "Size"]
    assert lines[1].split()[0] == "F16" and "±" in lines[1]
    assert "<th" in table._repr_html_()
    use_language("zh")
    assert "困惑度" in str(table)


def test_the_command_gives_the_fields_that_others_rely_on(
    table: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quantize", MODEL, "--to", "Q4_0", "--to", "Q8_0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert (
        list(rows[0])
        == (
            "format file_size bits_per_weight perplexity perplexity_stderr kl_mean kl_p99"
            " top1_agreement exact_match prompt_tokens_per_second tokens_per_second peak_memory"
        ).split()
    )
    assert rows[0]["kl_mean"] == table["Q4_0"].kl_mean
    assert run(["quantize", MODEL, "--to", "Q4_0"]) == 0
    shown = capsys.readouterr()
    assert "Q4_0" in shown.out and ".gguf" in shown.err


# --- what is refused


def test_other_tokenizers_are_refused_with_the_reason() -> None:
    paths = [gguf_for(pocket.folder(name)) for name in ("llama3", "qwen2.5")]
    with pytest.raises(LabError, match="other tokens") as caught:
        compare(paths, text=TEXT)
    assert "per token" in caught.value.way_out


def test_a_text_too_short_to_measure() -> None:
    with pytest.raises(LabError, match=f"too short: .* tokens, and {LEAST_TOKENS}"):
        compare(MODEL, ["Q4_0"], text="Hello world")
    with pytest.raises(LabError, match="too short"):
        calibration_rows(load(MODEL), "Hello world")


# --- the texts


def test_only_answers_count_and_halves_do_not_meet() -> None:
    model = load(MODEL)
    items = held_out_items()
    assert {item.skill for item in items[:10]} == {item.skill for item in items}
    for (before, answer), item in zip(held_out_passages(model), items, strict=True):
        assert answer and before.endswith("\n\n")
        if not item.messages[-1].get("tool_calls"):
            assert item.messages[-1]["content"] in answer
    rows = calibration_rows(model)
    assert {len(row) for row in rows} == {256}
    assert calibration_rows(model) == rows != calibration_rows(model, seed=1)


def test_a_long_text_is_cut_into_windows_and_no_first_token_is_guessed() -> None:
    model = load(MODEL)
    rows = measured_rows(model, [("", TEXT)])
    assert [row.scored for row in rows] == [1] * len(rows)
    assert max(len(row.ids) for row in rows) <= 512
    assert sum((row.ids for row in rows), []) == encode_text(model, TEXT)


def test_a_base_model_reads_what_it_was_trained_on() -> None:
    """PLAIN stands for the template of the recipe, which does not come with the weights."""
    recipe = Path(pocket.__file__).parent / "recipe" / "templates" / "plain.jinja"
    for item in held_out_items(each=3):
        arguments = (list(item.messages), list(item.tools) or None)
        assert render(PLAIN, *arguments) == render(recipe.read_text("utf-8"), *arguments)


# --- workers


def test_a_worker_has_its_own_memory() -> None:
    block = np.ones(100_000_000, np.uint8)
    assert block.nbytes < peak_memory()
    assert run_apart(peak_memory) < block.nbytes


def test_what_ends_a_worker_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="'_missing' failed: (ModuleNotFound|Assertion)Error"):
        run_apart(_missing)
    with pytest.raises(LabError, match="cannot be read"):
        run_apart(gguf_for, str(tmp_path / "none.gguf"))


def _missing() -> None:
    raise AssertionError("runs in a worker only")
