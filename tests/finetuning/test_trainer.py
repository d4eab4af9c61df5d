"""The loop: killed and resumed, checkpoints cut off, early stop, settings that cannot be."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from labkit.core.errors import LabError
from labkit.finetuning.dataset import batch_order, collate, encode_samples
from labkit.finetuning.lora import load_base
from labkit.finetuning.settings import Settings
from labkit.finetuning.tasks import load_task
from labkit.finetuning.trainer import (
    Run,
    answer_losses,
    learnt_tokens,
    open_base,
    train,
    validation_loss,
)

BASE = "pocket/qwen2.5"
SMALL = Settings(
    "lora", steps=8, batch=4, rank=4, learning_rate=2e-3, warmup=2, evaluate_every=2,
    checkpoint_every=2, dropout=0.1,
)  # fmt: skip

CHILD = """
import sys, time
sys.path[:0] = [sys.argv[2], str(__import__("pathlib").Path(sys.argv[2]).parent)]
from pathlib import Path
from test_trainer import SMALL, run
if sys.argv[3] == "slow":  # so that the kill falls into the training
    run(Path(sys.argv[1]), callback=lambda done, total: time.sleep(0.3 if done > 4 else 0))
else:
    run(Path(sys.argv[1]))
"""


def run(work: Path, settings: Settings = SMALL, callback=None, identity: str = "rotate"):
    model = open_base(BASE, settings, "float32")
    task = load_task("rotate")
    samples = encode_samples(model, task.train[:64], "train")
    validation = encode_samples(model, task.validation[:8], "validation")
    result = train(model, samples, validation, settings, work, identity=identity, callback=callback)
    return result, {n: p.detach() for n, p in model.model.named_parameters() if p.requires_grad}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return run(tmp_path_factory.mktemp("unbroken"))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(a[name], b[name], rtol=1e-5, atol=1e-7) for name in a | b)


def losses(run: Run) -> list[tuple[int, float, float]]:
    return [(p.step, round(p.training_loss, 4), round(p.validation_loss, 4)) for p in run.history]


def test_it_learns_and_tells_where_the_loss_stood(unbroken):
    result, _ = unbroken
    assert [p.step for p in result.history] == [2, 4, 6, 8]
    assert result.history[-1].validation_loss < result.history[0].validation_loss
    assert result.steps == 8 and result.best_step in (6, 8) and result.seconds > 0


@pytest.mark.timeout(1800)  # a busy machine takes minutes to begin
def test_killed_and_run_again_it_ends_as_if_unbroken(unbroken, tmp_path):
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", CHILD, str(tmp_path), here, "slow"]
    child = subprocess.Popen(command)
    try:
        while not (tmp_path / "checkpoint-000004.safetensors").exists():
            assert child.poll() is None
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    result, weights = run(tmp_path)
    assert 4 <= result.resumed_at < 8
    assert losses(result) == losses(unbroken[0])
    assert same(weights, unbroken[1])


class Interrupted(Exception):
    pass


def interrupt_at(step: int):
    def callback(done: int, _total: int | None) -> None:
        if done == step:
            raise Interrupted

    return callback


def test_a_checkpoint_cut_off_costs_the_way_back_to_the_one_before(unbroken, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path, callback=interrupt_at(7))
    newest, older = sorted(tmp_path.glob("checkpoint-*"), reverse=True)
    assert (newest.name, older.name) == (
        "checkpoint-000006.safetensors",
        "checkpoint-000004.safetensors",
    )
    newest.write_bytes(newest.read_bytes()[:-1000])
    result, weights = run(tmp_path)
    assert result.resumed_at == 4
    assert "checkpoint-000006.safetensors" in result.notes[0] and "damaged" in result.notes[0]
    assert same(weights, unbroken[1])


def test_checkpoints_of_another_training_are_not_gone_on_from(tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path, callback=interrupt_at(3))
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(LabError, match=r"another training \(step 2\)"):
        run(tmp_path, replace(SMALL, seed=1))
    with pytest.raises(LabError, match="another training"):
        run(tmp_path, identity="clinic")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept  # nothing lost


def test_it_stops_when_nothing_is_gained_and_keeps_the_best(tmp_path):
    wild = replace(SMALL, steps=40, learning_rate=0.05, patience=2, dropout=0.0)
    result, weights = run(tmp_path, wild)
    assert result.steps < 40 and result.steps - result.best_step == 2 * wild.evaluate_every
    best = load_file(tmp_path / "best.safetensors")
    assert same(weights, best)
    lowest = min(result.history, key=lambda point: point.validation_loss)
    assert lowest.step == result.best_step


def test_accumulated_passes_equal_one_large_one(tmp_path):
    """The loss is a mean over tokens, so how a step is divided must not matter."""
    whole = replace(SMALL, dropout=0.0, steps=3, evaluate_every=3)
    parts = replace(whole, batch=1, accumulate=4)
    (_, a), (_, b) = run(tmp_path / "a", whole), run(tmp_path / "b", parts)
    assert all(torch.allclose(a[name], b[name], atol=2e-4) for name in a)


def test_the_loop_does_what_a_bare_one_does(tmp_path):
    settings = Settings("full", steps=3, batch=4, learning_rate=1e-3, warmup=1)
    _, ours = run(tmp_path, settings)
    model = load_base(BASE)
    samples = encode_samples(model, load_task("rotate").train[:64], "train")
    net = model.model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    order = batch_order(64, 4, seed=0)
    for step in range(3):
        batch = collate([samples[i] for i in next(order)], model.tokenizer.pad_token_id)
        (answer_losses(net, batch) / learnt_tokens(batch)).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = settings.rate_at(step)
        optimizer.step()
        optimizer.zero_grad()
    theirs = dict(net.named_parameters())
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in ours)


def test_a_quantized_base_can_be_trained_on_after_it_was_asked(tmp_path):
    """bitsandbytes repacks weights for some CPUs when asked, and those cannot be trained on."""
    result, _ = run(tmp_path, replace(SMALL, method="qlora", steps=4))
    assert [point.step for point in result.history] == [2, 4]


def test_checkpointing_of_activations_changes_no_result(tmp_path):
    settings = replace(SMALL, steps=2, dropout=0.0)
    (_, kept), (_, again) = (
        run(tmp_path / str(flag), replace(settings, checkpointing=flag)) for flag in (False, True)
    )
    assert all(torch.allclose(kept[name], again[name], atol=1e-5) for name in kept)


def test_validation_leaves_the_model_as_it_was():
    model = load_base(BASE)
    model.model.train()
    samples = encode_samples(model, load_task("rotate").validation[:5], "validation")
    assert validation_loss(model, samples, 2) == pytest.approx(
        validation_loss(model, samples, 5), rel=1e-4
    )
    assert model.model.training


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "dora"}, "method='dora'"),
        ({"steps": 0}, "steps=0"),
        ({"batch": 1.5}, "batch=1.5"),
        ({"rank": True}, "rank=True"),
        ({"learning_rate": 3.0}, "learning_rate=3.0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"seed": -1}, "seed=-1"),
        ({"precision": "int4"}, "precision='int4'"),
        ({"method": "full", "precision": "fp16"}, "precision='fp16'"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(options, named):
    with pytest.raises(LabError, match=named):
        Settings(**options)


def test_the_learning_rate_rises_stays_and_falls():
    settings = Settings("lora", steps=100, learning_rate=0.01, warmup=10)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.001) and rates[9] == rates[49] == 0.01
    assert rates[75] == pytest.approx(0.005) and 0 < rates[-1] < 0.001
