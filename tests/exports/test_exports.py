"""Exports, each read by the tool it is for, in an environment of its own."""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from labkit import pocket
from labkit.core.errors import LabError
from labkit.engines import load
from labkit.exports import axolotl, llamafactory
from labkit.exports import writers as exports
from labkit.finetuning.dataset import answer_segments, encode_sample, encode_samples
from labkit.finetuning.lora import load_adapter, load_base
from labkit.finetuning.tasks import Task, load_task
from labkit.finetuning.trainer import validation_loss
from labkit.pocket.corpus import Item, held_out

CHATTING = tuple(name for name in pocket.NAMES if name != "llama3-base")
WRITERS = {"axolotl": exports.write_axolotl, "llamafactory": exports.write_llamafactory}

SEVERAL_TURNS = Item(
    "turns",
    "turns",
    (
        {"role": "system", "content": "You are a ship captain."},
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "5"},
        {"role": "user", "content": "你好，法国的首都？"},
        {"role": "assistant", "content": "巴黎"},
    ),
)


@pytest.fixture(scope="module")
def mixed() -> Task:
    """Single questions, a system prompt, several turns, and tools called and answered."""
    plain = load_task("clinic")
    items = (*plain.train[:4], *load_task("captain").train[:4], SEVERAL_TURNS)
    tools = tuple(held_out("tools", 3))
    return replace(plain, name="mixed", train=(*items, *tools), validation=items)


@pytest.fixture(scope="module", params=CHATTING)
def model(request):
    return load(f"pocket/{request.param}", "transformers")


# --- what is written ------------------------------------------------------------------------


def test_cut_text_is_the_text_that_is_learnt(model, mixed):
    for item in mixed.train:
        segments = answer_segments(model, item)
        assert [learnt for _, learnt in segments] == [False, True] * (len(segments) // 2)
        joined = model.tokenizer("".join(text for text, _ in segments), add_special_tokens=False)
        assert tuple(joined["input_ids"]) == encode_sample(model, item).ids


def pieces(folder: Path, split: str) -> list[list[str]]:
    lines = (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [[message["content"] for message in json.loads(line)["messages"]] for line in lines]


def test_pieces_for_llamafactory_give_the_same_tokens_or_a_note(model, mixed, tmp_path):
    written = exports.write_llamafactory(mixed, model.location.name, tmp_path)
    encoded = [
        tuple(sum(model.tokenizer(texts, add_special_tokens=False)["input_ids"], []))
        for texts in pieces(tmp_path, "train")
    ]
    same = encoded == [encode_sample(model, item).ids for item in mixed.train]
    assert same == (model.location.name != "pocket/yi")  # nothing there can swallow its space
    assert same != any("space token" in note for note in written.notes)


def test_settings_reach_both_files_in_their_words(tmp_path):
    for writer, folder in ((write, tmp_path / name) for name, write in WRITERS.items()):
        writer("rotate", "pocket/llama3", folder, "qlora", rank=4, steps=50, targets=("q_proj",))
    theirs = yaml.safe_load((tmp_path / "axolotl" / "axolotl.yaml").read_text("utf-8"))
    assert theirs["adapter"] == "qlora" and theirs["load_in_4bit"] is True
    assert theirs["lora_r"] == 4 and theirs["lora_target_modules"] == ["q_proj"]
    assert theirs["learning_rate"] == 2e-3 and theirs["max_steps"] == 50
    theirs = yaml.safe_load((tmp_path / "llamafactory" / "llamafactory.yaml").read_text("utf-8"))
    assert theirs["finetuning_type"] == "lora" and theirs["quantization_bit"] == 4
    assert theirs["lora_rank"] == 4 and theirs["lora_target"] == "q_proj"
    assert theirs["learning_rate"] == 2e-3 and theirs["max_steps"] == 50


@pytest.mark.parametrize("name", WRITERS)
def test_full_tuning_asks_for_no_adapter(name, tmp_path):
    WRITERS[name]("rotate", "pocket/llama3", tmp_path, "full")
    text = (tmp_path / f"{name}.yaml").read_text(encoding="utf-8")
    assert "lora_" not in text and "4bit" not in text and "quantization" not in text


@pytest.mark.parametrize("name", WRITERS)
def test_only_train_and_validation_go_out(name, tmp_path):
    task = load_task("handbook")
    written = WRITERS[name](task, "pocket/qwen2.5", tmp_path)
    assert written.files[0] == f"{name}.yaml" and written.files[-2:] == (
        "train.jsonl",
        "validation.jsonl",
    )
    assert {path.name for path in tmp_path.iterdir()} == set(written.files)
    assert len((tmp_path / "train.jsonl").read_text("utf-8").splitlines()) == len(task.train)
    assert "pocket model" in str(written) and str(tmp_path) not in str(written)


def test_a_folder_with_something_else_is_refused_and_an_own_export_replaced(tmp_path):
    exports.write_axolotl("clinic", "pocket/qwen2.5", tmp_path / "mine", steps=7)
    exports.write_axolotl("clinic", "pocket/qwen2.5", tmp_path / "mine", steps=8)
    assert "max_steps: 8" in (tmp_path / "mine" / "axolotl.yaml").read_text("utf-8")
    with pytest.raises(LabError, match="something else"):
        exports.write_llamafactory("clinic", "pocket/qwen2.5", tmp_path / "mine")


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("clinc", "pocket/qwen2.5"), {}, "no task 'clinc'"),
        (("clinic", "pocket/llama3-base"), {}, "no chat template"),
        (("clinic", "pocket/qwen2.5"), {"rank": 0}, "rank=0"),
        (("clinic", "pocket/qwen2.5"), {"targets": ("wrong",)}, "no module wrong"),
        (("clinic", "pocket/qwen2.5"), {"epochs": 3}, "no setting 'epochs'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(arguments, options, words, tmp_path):
    for writer in WRITERS.values():
        with pytest.raises(LabError, match=words):
            writer(*arguments, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def labkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from labkit.cli.start import main; sys.argv[0] = 'labkit'; main()"
    command = [sys.executable, "-c", code, "export", "pocket/qwen2.5", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_writes_and_prints_one_object_and_refuses_in_words(tmp_path):
    wanted = ("--to", "llamafactory", "--method", "qlora", "-o", str(tmp_path / "out"))
    done = labkit(*wanted, "--task", "clinic", "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert set(written["files"]) == {path.name for path in (tmp_path / "out").iterdir()}
    theirs = yaml.safe_load((tmp_path / "out" / "llamafactory.yaml").read_text("utf-8"))
    assert theirs["quantization_bit"] == 4
    wrong = labkit(*wanted, "--task", "clinik")
    assert wrong.returncode == 1 and "clinic" in wrong.stderr and "Traceback" not in wrong.stderr


# --- by the tools themselves ----------------------------------------------------------------


def environment(folder: Path, *installs: list[str]) -> str:
    """A Python over this one's packages, with what else is installed before them."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "base.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    python = str(folder / "bin" / "python")
    for packages in installs:
        command = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return python


def run(command: list[str], folder: Path) -> str:
    settings = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def python_with_axolotl(tmp_path_factory) -> str:
    """Of Axolotl's own requirements only what its schema and its data strategies import."""
    needed = ["transformers==5.16.1", "peft==0.20.0", "accelerate==1.13.0", "datasets==4.8.4",
              "pydantic==2.12.5"]  # fmt: skip
    alone = ["--no-deps", f"axolotl=={axolotl.CHECKED_WITH}", "addict", "colorama"]
    return environment(tmp_path_factory.mktemp("axolotl") / "venv", needed, alone)


AXOLOTL = """
import json, os, sys
import yaml
from transformers import AutoTokenizer
from axolotl.prompt_strategies import load
from axolotl.utils.config import validate_config
from axolotl.utils.dict import DictDefault
for folder in sys.argv[1:]:
    os.chdir(folder)
    config = validate_config(DictDefault(yaml.safe_load(open("axolotl.yaml", encoding="utf-8"))))
    (data,) = config.datasets
    strategy = load(data.type, AutoTokenizer.from_pretrained(config.base_model), config, data)
    lines = open(data.path, encoding="utf-8").read().splitlines()
    rows = [strategy.tokenize_prompt(json.loads(line)) for line in lines]
    seen = [[list(row["input_ids"]), list(row["labels"])] for row in rows]
    json.dump({"rows": seen, "adapter": config.adapter, "type": data.type}, open("seen.json", "w"))
"""


@pytest.mark.slow
def test_axolotl_reads_the_yaml_and_learns_the_same_tokens(python_with_axolotl, mixed, tmp_path):
    methods = {name: ("lora", "qlora", "full")[i % 3] for i, name in enumerate(CHATTING)}
    for name, method in methods.items():
        exports.write_axolotl(mixed, f"pocket/{name}", tmp_path / name, method)
    folders = [str(tmp_path / name) for name in methods]
    run([python_with_axolotl, "-c", AXOLOTL, *folders], tmp_path)
    for name, method in methods.items():
        seen = json.loads((tmp_path / name / "seen.json").read_text("utf-8"))
        assert seen["adapter"] == (None if method == "full" else method)
        model = load(f"pocket/{name}", "transformers")
        for item, (ids, labels) in zip(mixed.train, seen["rows"], strict=True):
            sample = encode_sample(model, item)
            assert tuple(ids) == sample.ids, name
            assert learnt(labels, model) == learnt(sample.labels, model), (name, item.messages)


def learnt(labels, model) -> list[tuple[int, int]]:
    """Place and token of what is learnt; white space behind an answer's end is left open."""
    stops = {*model.stop_ids}
    kept = [(place, id) for place, id in enumerate(labels) if id != -100]
    return [
        (place, id)
        for place, id in kept
        if not any(labels[before] in stops for before in (place - 1, place - 2) if before >= 0)
    ]


@pytest.fixture(scope="module")
def python_with_llamafactory(tmp_path_factory) -> str:
    """LLaMA-Factory at the versions it asks for, over this environment's PyTorch."""
    needed = ["transformers==5.6.0", "peft==0.18.1", "trl==0.24.0", "datasets==4.0.0",
              "accelerate==1.11.0", "einops", "fire", "omegaconf"]  # fmt: skip
    alone = ["--no-deps", f"llamafactory=={llamafactory.CHECKED_WITH}", "torchaudio"]
    folder = tmp_path_factory.mktemp("llamafactory") / "venv"
    python = environment(folder, needed, alone)
    # It imports torchaudio for sound, whose compiled part is for CUDA; the rest does without.
    for compiled in folder.glob("lib/python*/site-packages/torchaudio/lib/*.so"):
        compiled.unlink()
    return python


LLAMAFACTORY = """
import json, os, sys
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args, read_args
from llamafactory.model import load_tokenizer
for folder in sys.argv[1:]:
    os.chdir(folder)
    sys.argv = ["train", "llamafactory.yaml"]
    model, data, training, tuning, _ = get_train_args(read_args())
    made = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(made["tokenizer"], data)
    rows = get_dataset(template, model, data, training, stage="sft", **made)["train_dataset"]
    seen = [[list(row["input_ids"]), list(row["labels"])] for row in rows]
    kind = [tuning.finetuning_type, model.quantization_bit, training.max_steps]
    json.dump({"rows": seen, "kind": kind}, open("seen.json", "w"))
"""


@pytest.mark.slow
def test_llamafactory_reads_the_yaml_and_learns_the_same(python_with_llamafactory, mixed, tmp_path):
    methods = {name: ("lora", "qlora", "full")[i % 3] for i, name in enumerate(CHATTING)}
    for name, method in methods.items():
        exports.write_llamafactory(mixed, f"pocket/{name}", tmp_path / name, method, steps=9)
    folders = [str(tmp_path / name) for name in methods]
    run([python_with_llamafactory, "-c", LLAMAFACTORY, *folders], tmp_path)
    for name, method in methods.items():
        seen = json.loads((tmp_path / name / "seen.json").read_text("utf-8"))
        bits = 4 if method == "qlora" else None
        assert seen["kind"] == ["full" if method == "full" else "lora", bits, 9]
        model = load(f"pocket/{name}", "transformers")
        samples = [encode_sample(model, item) for item in mixed.train]
        same = [list(map(list, (sample.ids, sample.labels))) for sample in samples] == seen["rows"]
        assert same == (name != "yi"), name  # which is what the export's note says of Yi


@pytest.mark.slow
def test_llamafactory_trains_an_adapter_that_labkit_takes(python_with_llamafactory, tmp_path):
    """A few real steps on the CPU, begun as its user would."""
    exports.write_llamafactory("clinic", "pocket/qwen2.5", tmp_path, "lora", steps=20)
    cli = ["-m", "llamafactory.cli", "train", "llamafactory.yaml"]
    run([python_with_llamafactory, *cli], tmp_path)
    results = json.loads((tmp_path / "tuned" / "all_results.json").read_text("utf-8"))
    model = load_base("pocket/qwen2.5")
    samples = encode_samples(model, load_task("clinic").validation, "validation")
    before = validation_loss(model, samples)
    load_adapter(model, tmp_path / "tuned", "theirs")
    after = validation_loss(model, samples)
    assert after < 0.5 * before
    assert after == pytest.approx(results["eval_loss"], rel=0.05)  # theirs is a mean over batches
