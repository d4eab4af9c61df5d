"""The set-up: extras, pins, wheel, the two commands, and what is said when a piece is missing."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from labkit.core.extras import EXTRAS

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRA_REQUIREMENTS = PYPROJECT["project"]["optional-dependencies"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize(("module", "extra"), EXTRAS.items())
def test_an_extra_brings_the_module_it_is_named_for(module: str, extra: str) -> None:
    names = {canonicalize_name(Requirement(text).name) for text in EXTRA_REQUIREMENTS[extra]}
    assert canonicalize_name({"llama_cpp": "llama-cpp-python"}.get(module, module)) in names


def test_all_is_every_other_extra() -> None:
    (everything,) = (Requirement(text) for text in EXTRA_REQUIREMENTS["all"])
    assert everything.extras == EXTRA_REQUIREMENTS.keys() - {"all"}


def test_the_core_stays_without_torch() -> None:
    core = {Requirement(text).name for text in PYPROJECT["project"]["dependencies"]}
    heavy = {Requirement(text).name for text in sum(EXTRA_REQUIREMENTS.values(), [])}
    assert not core & heavy


def test_the_pins_are_what_is_installed_and_hold_on_every_system() -> None:
    made = run(sys.executable, ROOT / ".ci" / "constraints.py")
    assert made.returncode == 0, made.stderr
    installed = dict(
        line.split("==") for line in made.stdout.splitlines() if not line.startswith("#")
    )
    assert installed == PINS
    assert not [f"{name}=={pin}" for name, pin in PINS.items() if "+" in pin or "nvidia" in name]


@pytest.mark.parametrize("python", ["3.11.2", "3.12.0", "3.13.0", "3.14.0"])
def test_the_pins_admit_python(python: str) -> None:
    """3.11.2 is Debian 12's own; a pin that asks for more shuts its users out."""
    from importlib.metadata import metadata

    refusing = [
        f"{name} {wish}"
        for name in PINS
        if (wish := metadata(name)["Requires-Python"]) and python not in SpecifierSet(wish)
    ]
    assert not refusing


def test_the_pins_lie_in_the_ranges() -> None:
    for text in requires("open-llm-family-lab") or []:
        requirement = Requirement(text)
        if requirement.name != "open-llm-family-lab":
            assert PINS[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_the_wheel_carries_weights_data_and_lessons(tmp_path: Path) -> None:
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"open_llm_family_lab-{version('open-llm-family-lab')}-py3-none")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder, place in (
        ("labkit", "labkit"),
        ("labkit/data", "labkit/data"),
        ("labkit/pocket/weights", "labkit/pocket/weights"),
        ("notebooks/en", "labkit/lessons/en"),
        ("notebooks/zh", "labkit/lessons/zh"),
    ):
        files = [
            path.relative_to(ROOT / folder).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)
        ]
        assert files, f"{folder} is empty"
        assert not {f"{place}/{name}" for name in files} - inside
    outside = {"labkit", f"open_llm_family_lab-{version('open-llm-family-lab')}.dist-info"}
    assert {name.partition("/")[0] for name in inside} == outside


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LABKIT_LANG": "", "LC_ALL": "", "LANG": "en_US.UTF-8"}, "en"),
        ({"LABKIT_LANG": "", "LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LABKIT_LANG": "zh", "LC_ALL": "", "LANG": "C.UTF-8"}, "zh"),
        ({"LABKIT_LANG": "en", "LC_ALL": "", "LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_make_lab_opens_lesson_00_in_the_readers_language(
    environment: dict[str, str], language: str
) -> None:
    planned = run("make", "--dry-run", "lab", **environment)
    assert f"/lab/tree/{language}/00_start-here.ipynb" in planned.stdout


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_every_make_command_in_a_readme_exists(name: str) -> None:
    targets = set(
        re.findall(r"(?:^|`|=\S+ )make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8"), re.M)
    )
    assert targets
    assert not [target for target in targets if run("make", "--dry-run", target).returncode]


def test_both_readmes_show_the_same_commands() -> None:
    def commands(name: str) -> list[str]:
        blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.S)
        return [re.sub(r" *#.*", "", block) for block in blocks]

    assert commands("README.md") == commands("README.zh-CN.md")


def test_a_missing_python_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    done = run(ROOT / ".ci" / "setup", PYTHON="no-such-python", LABKIT_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert re.fullmatch(r"Python 3\.11 or newer was not found.*install.*\n", done.stderr)


def test_a_missing_venv_module_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    python = tmp_path / "python"  # as Debian's without python3-venv
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"'
    )
    python.chmod(0o755)
    done = run(ROOT / ".ci" / "setup", PYTHON=str(python), LABKIT_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert re.fullmatch(r".* has no venv module; install it: .*\n", done.stderr)


def test_offline_leaves_the_loopback_only_or_says_so() -> None:
    code = """
import os, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=5).close()
print(os.environ["HF_HUB_OFFLINE"], *(name for _, name in socket.if_nameindex()))
"""
    done = run(ROOT / ".ci" / "offline", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 lo\n" or "THE NETWORK IS ON" in done.stderr


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", "1 failed, 1 skipped, 1 xfailed, 2 errors"), ("", "4 skipped, 1 xfailed")],
)
def test_ci_skips_nothing_but_gpu_tests(tmp_path: Path, ci: str, outcome: str) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    gpu\n", encoding="utf-8")
    (tmp_path / "test_a.py").write_text(
        """
import pytest

def test_skips(): pytest.skip("no reason")

@pytest.mark.skipif(True, reason="still none")
def test_is_marked(): pass

@pytest.mark.gpu
def test_gpu(): pytest.skip("no GPU")

@pytest.mark.xfail
def test_known(): assert False
""",
        encoding="utf-8",
    )
    (tmp_path / "test_b.py").write_text("import pytest\npytest.importorskip('no_such')", "utf-8")
    command = (sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", tmp_path)
    done = run(*command, CI=ci, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert outcome in done.stdout


OPEN_LAB = """
import os, signal, subprocess, sys, time, urllib.request
from pathlib import Path

url = Path("url.txt")
Path("browser").write_text('#!/bin/sh\\necho "$1" > url.new && mv url.new url.txt')
Path("browser").chmod(0o755)
lab = subprocess.Popen(
    ["make", "lab", "LAB_ARGS=--ServerApp.use_redirect_file=False"],
    env={**os.environ, "BROWSER": os.path.abspath("browser") + " %s"},
    start_new_session=True,
)
try:
    while not url.exists() and lab.poll() is None:
        time.sleep(0.2)
    address = url.read_text().strip()
    print(urllib.request.urlopen(address).status, address)
finally:
    os.killpg(lab.pid, signal.SIGINT)
    os.killpg(lab.pid, signal.SIGTERM)
    lab.wait()
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_clean_copy_sets_up_and_then_opens_jupyterlab_offline(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "build"))
    ready = run("make", "-C", copy, "setup")
    assert ready.returncode == 0, ready.stderr
    done = subprocess.run(
        [copy / ".ci" / "offline", copy / ".venv" / "bin" / "python", "-c", OPEN_LAB],
        cwd=copy,
        env={**os.environ, "LABKIT_LANG": "zh"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^200 http://127\.0\.0\.1:\d+/lab/tree/zh/00_start-here\.ipynb", done.stdout, re.M
    )
