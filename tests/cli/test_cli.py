"""The command line from outside: exit status, stdout, stderr; and ``import labkit``."""

import ast
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import fields
from pathlib import Path

import pytest

import labkit
from labkit.course.doctor import Diagnosis, Lesson, LessonVerdict, Package
from labkit.machine.hardware import CPU, Hardware, Memory

LABKIT = str(Path(sysconfig.get_path("scripts")) / "labkit")


def shell(*command: str, lang: str = "en", **variables: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"LABKIT_LANG": lang, "COLUMNS": "160"} | variables
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, timeout=60)


def with_command(body: str) -> list[str]:
    """A Python command line whose labkit has one more command, `extra`."""
    code = (
        "import sys, os, time\nfrom labkit.cli import entry, start\n"
        "from labkit.core.errors import LabError\n"
        f"def extra():\n    {body}\n"
        "make_app = entry.make_app\n"
        "def with_extra(names):\n"
        "    app = make_app(())\n    app.command('extra')(extra)\n    return app\n"
        "entry.make_app = with_extra\nstart.main()\n"
    )
    return [sys.executable, "-c", code]


# --- doctor


@pytest.fixture(scope="module")
def report():
    done = shell(LABKIT, "doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)  # one object and nothing else


@pytest.mark.parametrize(
    "place, kind",
    [
        ((), Diagnosis),
        (("hardware",), Hardware),
        (("hardware", "cpu"), CPU),
        (("hardware", "memory"), Memory),
        (("packages", 0), Package),
        (("lessons", 0), LessonVerdict),
        (("lessons", 0, "lesson"), Lesson),
    ],
)
def test_the_keys_are_the_field_names(report, place, kind):
    for step in place:
        report = report[step]
    assert list(report) == [field.name for field in fields(kind)]


def test_sizes_are_whole_bytes(report):
    memory, disk = report["hardware"]["memory"], report["hardware"]["cache_disk"]
    assert all(type(size) is int for size in (memory["total"], memory["available"], disk["free"]))
    assert memory["total"] > 2**28


def test_doctor_for_a_reader_in_both_languages():
    english, chinese = shell(LABKIT, "doctor"), shell(LABKIT, "doctor", lang="zh")
    assert (english.returncode, english.stderr, chinese.returncode) == (0, "", 0)
    assert "Start here" in english.stdout and "从这里开始" in chinese.stdout
    assert "Memory" in english.stdout and "内存" in chinese.stdout
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in english.stdout)


def test_json_is_whole_where_the_terminal_is_not_utf8():
    done = shell(LABKIT, "doctor", "--json", PYTHONIOENCODING="ascii")
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["lessons"][0]["lesson"]["title"]["zh"] == "从这里开始"


def test_a_table_does_not_fail_where_the_terminal_is_not_utf8():
    done = shell(LABKIT, "doctor", lang="zh", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")


# --- options for every command


@pytest.mark.parametrize("place", [["--lang", "zh", "doctor"], ["doctor", "--lang=zh"]])
def test_the_language_may_stand_anywhere(place):
    assert "软件包" in shell(LABKIT, *place).stdout


def test_help_speaks_the_readers_language():
    english, chinese = shell(LABKIT, "--help"), shell(LABKIT, "--help", "--lang", "zh")
    assert "doctor" in english.stdout and "Check this computer" in english.stdout
    assert "检查本机" in chinese.stdout and "Check this" not in chinese.stdout
    assert "\x1f" not in english.stdout + chinese.stdout
    assert "把结果输出为一个 JSON 对象" in shell(LABKIT, "doctor", "-h", lang="zh").stdout


def test_version():
    assert shell(LABKIT, "--version").stdout == f"labkit {labkit.__version__}\n"


@pytest.mark.parametrize(
    "words", [["nosuch"], ["doctor", "--nosuch"], ["doctor", "--lang", "fr"], ["--lang"], []]
)
def test_wrong_usage_is_2_and_prints_no_result(words):
    done = shell(LABKIT, *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "{" not in done.stdout
    if words:
        assert done.stdout == "" and words[-1].lstrip("-") in done.stderr
        assert "用法有误" in shell(LABKIT, *words, lang="zh").stderr


# --- what can go wrong


def test_a_lab_error_is_two_sentences_and_1():
    command = with_command("raise LabError('The model is gone.', 'Fetch it again.')")
    done = shell(*command, "extra")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The model is gone.\nFetch it again.\n"
    for words in (["--debug", "extra"], ["extra", "--debug"]):
        assert "Traceback" in shell(*command, *words).stderr


def test_the_disk_is_no_bug():
    done = shell(*with_command("open('/no/such/folder/file')"), "extra")
    assert done.returncode == 1
    assert done.stderr.startswith("/no/such/folder/file: No such file or directory\n")


def test_a_bug_keeps_its_traceback():
    done = shell(*with_command("{}['key']"), "extra")
    assert done.returncode == 1 and "KeyError: 'key'" in done.stderr


def test_an_argument_that_is_not_utf8_is_one_sentence():
    done = subprocess.run(
        [LABKIT.encode(), b"doctor", b"caf\xe9"], capture_output=True, env=os.environ
    )
    assert done.returncode == 1 and b"UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr and done.stderr.count(b"\n") == 2


def test_input_that_is_not_utf8_says_where():
    command = with_command("sys.stdin.reconfigure(errors='strict'); sys.stdin.read()")
    done = subprocess.run(
        [*command, "extra"],
        input=b"abc\xff",
        capture_output=True,
        env=os.environ | {"LABKIT_LANG": "en", "PYTHONUTF8": "1"},
    )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("The input is not UTF-8 at byte 3.\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupt_is_130_and_one_line():
    # A shell leaves the signal ignored in what it starts in the background, a test run included.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = with_command(f"{listen}; print('ready', flush=True); time.sleep(60)")
    process = subprocess.Popen(
        [*command, "extra"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"LABKIT_LANG": "en"},
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (130, "Interrupted.\n")


@pytest.mark.parametrize("lines", [1, 100_000])  # one is written at exit, many before it
def test_a_reader_that_goes_away_is_no_error(lines):
    body = f"sys.stdin.readline(); print('line\\\\n' * {lines})"
    process = subprocess.Popen(
        [*with_command(body), "extra"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (1, "")


# --- import labkit


def test_the_lists_of_public_names_agree_and_every_name_is_there():
    tree = ast.parse(Path(labkit.__file__).read_text("utf-8"))
    for_editors = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert for_editors == labkit._MODULES
    for name in labkit.__all__:
        assert name in dir(labkit) and getattr(labkit, name) is not None
    with pytest.raises(AttributeError, match="nosuch"):
        labkit.nosuch  # noqa: B018


@pytest.mark.parametrize("code", ["import labkit", "from labkit.cli.entry import run; run(['-h'])"])
def test_import_and_help_bring_no_framework(code):
    heavy = {"torch", "transformers", "llama_cpp", "numpy", "pydantic_core", "ipywidgets"}
    if code == "import labkit":
        heavy |= {"typing", "labkit.core.errors", "psutil"}
    check = f"import sys; print(sorted({heavy} & set(sys.modules)))"
    assert shell(sys.executable, "-c", f"{code}; {check}").stdout.splitlines()[-1] == "[]"


def test_import_is_within_its_budget():
    def best(code: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best("import labkit") - best("pass") < 0.02  # seconds; about 0.003 where written


def test_a_public_name_of_before_is_still_understood():
    assert labkit.heirs is labkit.successors
