"""The platforms of the course, each from a clean start: wheel, Colab, Kaggle, Binder.

Colab and Kaggle are imitated: their module or variable, their ipywidgets, their packages and not
ours. What cannot be had here is their Python 3.12 and their network.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SITE = Path(sysconfig.get_path("purelib"))
sys.path.insert(0, str(ROOT / "notebooks"))

import frame  # noqa: E402
from cgroups import make_cgroup  # noqa: E402

from labkit.catalog.lessons import lessons  # noqa: E402
from labkit.course.bundles import make_bundle  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

COLAB_LACKS = ("open_llm_family_lab", "labkit", "ipywidgets", "gguf", "llama_cpp", "bitsandbytes")
"""By how their folders begin: what Colab does not have of ours, or has in another version."""


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a release holds: the course, and the engine that the registry has no wheel of."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    pin = f"llama-cpp-python=={version('llama-cpp-python')}"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, pin)
    return folder


def venv(folder: Path) -> Path:
    run(sys.executable, "-m", "venv", folder)
    return folder / "bin" / "python"


# --- the wheel


def test_the_wheel_alone_brings_lessons_picker_and_doctor(tmp_path: Path, wheels: Path) -> None:
    python = venv(tmp_path / "venv")
    (course,) = wheels.glob("open_llm_family_lab-*.whl")
    pins = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", pins, course)
    labkit = python.with_name("labkit")
    copied = json.loads(run(labkit, "lessons", "copy", tmp_path / "course", "--json"))["copied"]
    assert {le.stem for le in lessons()} >= {Path(p).stem for p in copied if "_" in p}
    assert (tmp_path / "course" / "zh" / "00_start-here.ipynb").exists()
    options = json.loads(run(labkit, "pick", "--need", "chat", "--vram", "8", "--json"))["options"]
    assert options
    packages = {row["name"]: row for row in json.loads(run(labkit, "doctor", "--json"))["packages"]}
    assert packages["numpy"]["version"] == version("numpy")  # the pinned one
    assert not packages["torch"]["installed"]
    pocket = "import labkit.pocket as p; print(len(p.NAMES))"
    assert int(run(python, "-c", pocket)) >= 9


def test_a_class_installs_from_the_stick_without_a_network(tmp_path: Path) -> None:
    """What README.txt on the stick says, in an empty environment; then lessons run from it."""
    stick = make_bundle(tmp_path / "stick", wheels=True).folder
    lines = [
        line for line in (stick / "README.txt").read_text("utf-8").splitlines() if "pip" in line
    ]
    python = venv(tmp_path / "venv")
    quick = os.environ | {"PIP_NO_COMPILE": "1"}
    for line in lines[: len(lines) // 2]:  # the other half says the same in Chinese
        command = line[line.index("install") :].split()
        run(ROOT / ".ci" / "offline", python, "-m", "pip", *command, cwd=stick, env=quick)
    labkit, clean = python.with_name("labkit"), without_ours()
    packages = json.loads(run(labkit, "doctor", "--json", cwd=stick, env=clean))["packages"]
    lacking = {row["name"] for row in packages if not row["installed"]} - {"gptqmodel"}
    assert lacking == set()
    said = run(labkit, "chat", "pocket/qwen2.5", "Which sizes does Qwen2.5 come in?", env=clean)
    assert "0.5B, 1.5B, 3B" in said
    made_for = "import llama_cpp; print(llama_cpp.llama_print_system_info().decode())"
    features = run(python, "-c", made_for, env=clean)
    assert "AVX512 = 1" not in features, "pip's cache holds a llama.cpp for this processor alone"


# --- Colab and Kaggle


@pytest.fixture
def colab(tmp_path: Path) -> Path:
    """A Python with what Colab has installed: nearly all we need, an old ipywidgets, no labkit."""
    python = venv(tmp_path / "colab")
    (site,) = (tmp_path / "colab").glob("lib/python*/site-packages")
    there = tmp_path / "preinstalled"
    there.mkdir()
    for path in SITE.iterdir():
        lacking = path.name.startswith(COLAB_LACKS) or path.suffix == ".pth"
        if not lacking and not (site / path.name).exists():
            (there / path.name).symlink_to(path)
    (site / "preinstalled.pth").write_text(f"{there}\n", encoding="utf-8")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    # Colab's kernel has its module imported before the first cell runs.
    (site / "colab.pth").write_text("import importlib; importlib.import_module('google.colab')\n")
    old = ["ipywidgets==7.7.1", "ipython-genutils"]
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *old)
    return python


def set_up(python: Path, topic: str, language: str, **variables: str) -> str:
    """Run the first cell of a lesson in a notebook of its own; returns what it printed."""
    kernel = python.parents[1] / "share" / "jupyter" / "kernels" / "away"
    kernel.mkdir(parents=True, exist_ok=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "away", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    cell = nbformat.v4.new_code_cell(frame.set_up(topic, language))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    os.environ["JUPYTER_PATH"] = str(python.parents[1] / "share" / "jupyter")
    try:
        away = {"metadata": {"path": str(python.parent)}}  # not in the checkout
        client = NotebookClient(notebook, timeout=600, kernel_name="away", resources=away)
        client.execute(env=without_ours() | variables)
    finally:
        del os.environ["JUPYTER_PATH"]
    return "".join(out.get("text", "") for out in notebook.cells[0].outputs)


def without_ours() -> dict[str, str]:
    """This process's variables, less what would show the checkout to another Python."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}


def run_lesson(python: Path, stem: str, language: str, folder: Path) -> str:
    copy = folder / f"{stem}.ipynb"
    shutil.copyfile(ROOT / "notebooks" / language / copy.name, copy)
    static = {"LABKIT_STATIC": "1", "LABKIT_LANG": language, "HF_HUB_OFFLINE": "1"}
    command = (python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", copy)
    return run(*command, cwd=folder, env=without_ours() | static)


def test_a_lesson_opens_on_colab(tmp_path: Path, colab: Path, wheels: Path) -> None:
    said = set_up(colab, "start-here", "zh", LABKIT_WHEELS=str(wheels))
    print(said)
    assert "ERROR" not in said and "没有适合这个 Python" not in said
    where = "import labkit, llama_cpp, ipywidgets; print(labkit.__file__, ipywidgets.__version__)"
    placed = run(colab, "-c", where, env=without_ours(), cwd=tmp_path)
    assert str(colab.parents[1]) in placed and "7.7.1" in placed
    assert " passed" in run_lesson(colab, "00_start-here", "zh", tmp_path)


def test_without_a_wheel_of_llama_cpp_models_run_on_transformers_and_it_is_said(
    tmp_path: Path, colab: Path, wheels: Path
) -> None:
    alone = tmp_path / "wheels"
    alone.mkdir()
    (course,) = wheels.glob("open_llm_family_lab-*.whl")
    shutil.copy(course, alone)
    said = set_up(colab, "start-here", "en", LABKIT_WHEELS=str(alone))
    assert "models run on Transformers" in said
    talk = "import labkit; c = labkit.chat('pocket/qwen2.5'); print(c('Qwen2.5有哪些尺寸？'), c)"
    talked = run(colab, "-c", talk, env=without_ours(), cwd=tmp_path)
    assert "0.5B、1.5B、3B" in talked and "transformers" in talked


# --- Binder


@pytest.fixture
def two_gigabytes() -> Iterator[list[str | Path]]:
    """A command line that runs what follows it in the 2 GB that Binder gives."""
    with make_cgroup(2 * 10**9) as group:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]


def test_binder_builds_and_runs_every_lesson_that_has_its_badge(
    tmp_path: Path, two_gigabytes: list[str | Path]
) -> None:
    """As repo2docker does it: an environment with pip, then postBuild, in a copy."""
    python = venv(tmp_path / "venv")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "build"))
    prefix = without_ours() | {"NB_PYTHON_PREFIX": str(tmp_path / "venv")}
    run(*two_gigabytes, "bash", copy / "binder" / "postBuild", cwd=copy, env=prefix)
    pins = copy / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", pins, "nbval", "pytest-timeout")
    fitting = [le.stem for le in lessons() if frame.fits_binder(le)]
    assert len(fitting) > 5
    static = without_ours() | {"LABKIT_STATIC": "1", "LABKIT_LANG": "en"}
    here = [copy / "notebooks" / "en" / f"{stem}.ipynb" for stem in fitting]
    command = [*two_gigabytes, copy / ".ci" / "offline", python, "-m", "pytest", "-q", "--nbval"]
    assert " passed" in run(*command, *here, cwd=copy, env=static)
