"""What runs here: lessons against computers that have much, little, or the wrong things."""

import re
from dataclasses import replace
from importlib import metadata

import pytest
from computers import computer

from labkit.catalog.lessons import lessons
from labkit.core.extras import EXTRAS
from labkit.core.i18n import use_language
from labkit.core.units import GiB
from labkit.course.doctor import CORE, _judge, diagnose
from labkit.machine.gpu_detection import GPU
from labkit.machine.hardware import hardware


@pytest.fixture(autouse=True)
def english(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    use_language("en")
    yield
    use_language(None)


@pytest.fixture
def plain(tmp_path):
    """This machine's real packages on a computer with no GPU and 8 GiB."""
    found = hardware(computer(tmp_path))
    return replace(found, memory=replace(found.memory, total=8 * GiB, available=5 * GiB))


def test_a_lesson_whose_packages_are_missing_says_what_brings_them(plain, monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_module", "serve")
    lesson = replace(lessons()[0], modules=("psutil", "no_such_module"))
    verdict = _judge(lesson, plain)
    assert not verdict.runs
    command = 'pip install "open-llm-family-lab[serve]"'
    assert verdict.reasons == (f"no_such_module missing: {command}",)
    use_language("zh")
    assert _judge(lesson, plain).reasons == (f"缺少 no_such_module：{command}",)


@pytest.mark.parametrize(
    "memory, runs, words",
    [
        (4 * GiB, True, None),
        (6 * GiB, True, "close other programs first"),
        (9 * GiB, False, "this computer has 8.00 GiB"),
    ],
)
def test_memory_decides_by_what_there_is_and_what_is_free(plain, memory, runs, words):
    verdict = _judge(replace(lessons()[9], memory=memory), plain)
    assert verdict.runs is runs
    assert (words is None) == (verdict.reasons == ())
    assert words is None or words in verdict.reasons[0]


def test_a_download_needs_disk_and_some_lessons_might_need_a_gpu(plain):
    lesson = replace(lessons()[9], download=plain.cache_disk.free + 1, needs_gpu=True)
    verdict = _judge(lesson, plain)
    assert not verdict.runs and len(verdict.reasons) == 2
    gpu = GPU("NVIDIA", "card", 8 * GiB, 8 * GiB, "1", "CUDA")
    assert len(_judge(lesson, replace(plain, gpus=(gpu,))).reasons) == 1


def test_without_a_gpu_it_says_so_and_what_that_means(plain):
    assert diagnose(plain).advice[0].startswith("No GPU was found. Every lesson runs without one.")
    use_language("zh")
    assert diagnose(plain).advice[0].startswith("没有找到 GPU。所有课程都不需要它。")


def test_a_gpu_that_cannot_be_used_yet_says_why(plain, monkeypatch):
    card = GPU("NVIDIA", "NVIDIA 10DE:1B80", None, None, "nouveau", None)
    advice = diagnose(replace(plain, gpus=(card,))).advice
    assert any("NVIDIA 10DE:1B80 is there" in sentence for sentence in advice)
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "2.13.0+cpu" if n == "torch" else version(n))
    card = GPU("NVIDIA", "NVIDIA RTX A2000", 6 * GiB, 6 * GiB, "560", "CUDA")
    advice = diagnose(replace(plain, gpus=(card,))).advice
    assert any("torch 2.13.0+cpu is built for processors only" in one for one in advice)
    assert not any(sentence.startswith("No GPU") for sentence in advice)


def test_packages_are_those_of_the_core_and_the_extras(plain):
    packages = {package.name: package for package in diagnose(plain).packages}
    assert list(packages) == [*CORE, *EXTRAS]
    assert packages["psutil"].version == metadata.version("psutil")
    assert packages["psutil"].installed and packages["psutil"].extra is None
    assert packages["llama_cpp"].extra == "llama"


def test_missing_extras_are_one_command(plain, monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_module", "zzz")
    diagnosis = diagnose(plain)
    assert diagnosis.packages[-1].installed is False and diagnosis.packages[-1].version is None
    assert any(re.search(r'pip install "[\w-]+\[(\w+,)*zzz\]"', one) for one in diagnosis.advice)


def test_a_cache_that_cannot_be_written_is_part_of_the_advice(plain, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file"))
    assert "LABKIT_CACHE" in diagnose(plain).advice[-1]
