"""lab.finetune whole: the report, the methods compared, memory, the command line."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import labkit as lab
from labkit.core.errors import LabError
from labkit.finetuning.advice import TrainingPlan, is_out_of_memory
from labkit.finetuning.dataset import encode_samples
from labkit.finetuning.experiment import compare_methods, exact_match, finetune, train_on
from labkit.finetuning.lora import load_adapter, load_base
from labkit.finetuning.report import MethodComparison, Report
from labkit.finetuning.settings import Settings
from labkit.finetuning.tasks import Task, load_task
from labkit.pocket.corpus import held_out

BASE = "pocket/qwen2.5"
OLD = held_out("sums", 6)
QUICK = {"steps": 4, "batch": 4, "rank": 4, "evaluate_every": 2, "old_skills": OLD}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def small() -> Task:
    task = load_task("rotate")
    return replace(task, train=task.train[:40], validation=task.validation[:4], test=task.test[:6])


@pytest.fixture(scope="module")
def compared(small):
    return compare_methods(small, BASE, measure_memory=False, **QUICK)


def test_three_methods_one_table(compared):
    assert isinstance(compared, MethodComparison)
    assert [row.method for row in compared.rows] == ["full", "lora", "qlora"]
    full, lora, qlora = compared.rows
    assert full.trainable_parameters > 10 * lora.trainable_parameters
    assert lora.trainable_parameters == qlora.trainable_parameters
    assert full.adapter_size > 5 * lora.adapter_size
    assert len({row.exact_match_before for row in compared.rows}) == 1
    assert full.predicted_memory > qlora.predicted_memory
    shown = str(compared)
    assert all(word in shown for word in ("full", "lora", "qlora", "pocket model", "Old skills"))


def test_the_comparison_as_a_figure(compared):
    from labkit.plots.methods import draw_methods

    figure = draw_methods(compared)
    assert figure.png.startswith(b"\x89PNG")
    assert all(word in figure.alt for word in ("new task: full", "old skills after", "qlora"))


def test_the_report_tells_what_it_must(compared):
    row = compared.rows[1]
    assert [field.name for field in fields(Report)][:11] == [
        "method", "task", "exact_match_before", "exact_match_after", "old_skills_before",
        "old_skills_after", "trainable_parameters", "adapter_size", "seconds", "peak_memory",
        "predicted_memory",
    ]  # fmt: skip
    assert row.task == "rotate" and row.steps == 4 and row.seed == 0 and row.device == "cpu"
    assert row.test_questions == 6 and row.old_questions == 6
    assert row.steps_per_second == pytest.approx(4 / row.seconds)
    assert [point.step for point in row.history] == [2, 4]
    files = {path.name for path in row.folder.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "labkit.json"} <= files
    assert not row.folder.with_name(row.folder.name + ".checkpoints").exists()


def test_what_was_made_answers_as_was_measured(compared, small):
    full, lora, _ = compared.rows
    assert exact_match(lab.load(full.folder), small.test) == full.exact_match_after
    model = load_base(BASE)
    load_adapter(model, lora.folder)
    assert exact_match(model, small.test) == lora.exact_match_after


def test_the_same_seed_gives_the_same_table(compared, small):
    again = finetune(BASE, small, "lora", measure_memory=False, **QUICK)
    before = compared.rows[1]
    assert again.history == before.history
    assert again.exact_match_after == before.exact_match_after


def test_a_finished_training_is_found_again(small, monkeypatch):
    steps = []

    def tune(**options):
        def count(done, _):
            steps.append(done)

        steps.clear()
        options = QUICK | {"measure_memory": False, "reuse": True, "seed": 5} | options
        return finetune(BASE, small, "lora", callback=count, **options)

    first = tune()
    assert steps[-1] == 4
    monkeypatch.setenv("LABKIT_LANG", "zh")  # what is kept speaks no language
    again = tune()
    assert not steps and "口袋模型" in again.notes[0]
    assert again == replace(first, notes=again.notes)
    monkeypatch.setenv("LABKIT_LANG", "en")
    assert tune(rank=2).trainable_parameters == first.trainable_parameters / 2
    assert steps  # what is set otherwise is another training
    tune(reuse=False)
    assert steps
    tune(old_skills=OLD[:3])
    assert steps  # the report would have said what was not asked
    (first.folder / "adapter_model.safetensors").unlink()
    assert tune(old_skills=OLD[:3]).exact_match_after == first.exact_match_after
    assert steps


@pytest.mark.parametrize("reuse", [True, False])
def test_two_who_train_the_same_at_once_take_turns(small, reuse):
    steps = []
    options = QUICK | {"measure_memory": False, "seed": 6 + reuse, "reuse": reuse}

    def tune(_):
        return finetune(BASE, small, callback=lambda done, _: steps.append(done), **options)

    with ThreadPoolExecutor(2) as both:
        one, other = both.map(tune, range(2))
    trained = [1, 2, 3, 4]
    assert steps == (trained if reuse else trained * 2)  # never mixed, and once where it may be
    assert one.exact_match_after == other.exact_match_after and one.folder == other.folder
    assert (one == other) == reuse


def test_an_adapter_is_trained_on_samples_as_they_are(small):
    base = load_base(BASE)
    samples = encode_samples(base, small.train, "train")
    wrong = [replace(sample, labels=sample.ids) for sample in samples]
    call = {"steps": 4, "batch": 4, "rank": 4, "reuse": True}
    made, other = (train_on(BASE, each, samples[:4], **call) for each in (samples, wrong))
    found = train_on(BASE, samples, samples[:4], **call)
    ids = torch.tensor([samples[0].ids])
    with torch.no_grad():
        said = [model.model(ids).logits for model in (made, found, other)]
    assert torch.allclose(said[0], said[1], atol=1e-5)
    assert not torch.allclose(said[0], said[2], atol=1e-2)
    with pytest.raises(LabError, match="no setting 'epochs'"):
        train_on(BASE, samples, samples, epochs=1)


def test_peak_memory_beside_the_prediction(small):
    report = finetune(BASE, small, "lora", **QUICK)
    assert report.peak_memory is not None
    assert 1 / 3 < report.peak_memory / report.predicted_memory < 3


# Refused, before anything takes long ------------------------------------------------------


def test_faulty_calls_are_refused_in_words(small, tmp_path):
    for options, said in (
        ({"epochs": 3}, "no setting 'epochs'.*steps"),
        ({"targets": ("c_attn",)}, "c_attn"),
        ({"method": "dora"}, "method='dora'"),
    ):
        with pytest.raises(LabError, match=said):
            finetune(BASE, small, **options)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(LabError, match="holds something else"):
        finetune(BASE, small, out=tmp_path / "mine")
    with pytest.raises(LabError, match="line 1"):
        (tmp_path / "bad.jsonl").write_text("{}")
        finetune(BASE, tmp_path / "bad.jsonl")
    with pytest.raises(LabError, match="Did you mean"):
        finetune("pocket/qwen", small)


def test_memory_that_does_not_suffice_is_told_with_what_would(monkeypatch, small):
    plan = TrainingPlan(lab.load(BASE).location.path, Settings("full", batch=64), "fp32", 256)
    needed = plan.predict().total
    monkeypatch.setattr("labkit.finetuning.advice.free_memory", lambda: needed // 2)
    with pytest.raises(LabError) as caught:
        plan.check()
    assert "batch=64" in caught.value.what and "MiB" in caught.value.what
    assert "batch=32, accumulate=2" in caught.value.way_out or "qlora" in caught.value.way_out
    with pytest.raises(LabError, match="take a smaller model"):
        raise plan.advice(1000)


LIMITED = """
import resource, sys
import labkit.finetuning.trainer, torch, transformers, peft
from labkit.engines import load
from labkit.core.errors import LabError
from labkit.finetuning.advice import TrainingPlan
from labkit.finetuning.settings import Settings
plan = TrainingPlan(load("pocket/qwen2.5").location.path, Settings("full"), "fp32", 64)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28))
try:
    with plan.advising():
        torch.ones(2**32)
except LabError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process so")
def test_running_out_of_memory_becomes_advice():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Memory does not suffice: full with batch=8" in done.stdout


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert is_out_of_memory(MemoryError())


# The command line -------------------------------------------------------------------------


def test_the_command_prints_one_object(tmp_path):
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"Say {n}"},
                                 {"role": "assistant", "content": str(n)}]})
        for n in range(12)
    ]  # fmt: skip
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    command = [
        "finetune", "pocket/llama3", "--task",
        str(tmp_path / "mine.jsonl"), "--method", "lora", "--steps", "2", "--batch", "2",
        "--no-memory", "--targets", "q_proj", "-o", str(tmp_path / "out"), "--json",
    ]  # fmt: skip
    code = "import sys; from labkit.cli.start import main; sys.argv[0] = 'labkit'; main()"
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {field.name for field in fields(Report)}
    assert report["task"] == "mine" and report["steps"] == 2 and report["peak_memory"] is None
    assert Path(report["folder"]) == tmp_path / "out"
    wrong = subprocess.run(
        [sys.executable, "-c", code, "finetune", "pocket/llama3", "--task", "clinik"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert wrong.returncode == 1 and "clinic" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_on_a_gpu_it_learns_and_counts_its_memory(method):
    report = finetune(BASE, "rotate", method)
    print(report)
    assert report.device.startswith(("cuda", "mps", "xpu"))
    assert report.exact_match_after >= 0.9
    assert report.peak_memory and report.peak_memory < 3 * report.predicted_memory
