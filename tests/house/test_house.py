"""The order of the house: who may import whom, and what stays light (map: CONTRIBUTING.md)."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import grimp
import pytest

import labkit

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "labkit"

# These, and the widgets that stand on nothing else, also run in a browser.
LIGHT = "core catalog machine architecture pocket gguf hub estimation picker costs".split()
HEAVY = {
    "accelerate",
    "aiohttp",
    "auto_round",
    "bitsandbytes",
    "gguf",
    "gptqmodel",
    "httpx",
    "huggingface_hub",
    "llama_cpp",
    "matplotlib",
    "numpy",
    "openai",
    "peft",
    "psutil",
    "requests",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "urllib3",
}


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("labkit", cache_dir=None)


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def packages() -> list[str]:
    return sorted({package_of(module) for module in graph().modules} - {""})


def test_imports_go_one_way_between_packages() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_can_fail(tmp_path: Path) -> None:
    """The same contract over a tree in which a lower package imports a higher one."""
    for name in ("core", "cli"):
        (tmp_path / "labkit" / name).mkdir(parents=True)
        (tmp_path / "labkit" / name / "__init__.py").write_text("")
    (tmp_path / "labkit" / "__init__.py").write_text("")
    (tmp_path / "labkit" / "core" / "errors.py").write_text("from ..cli import nothing\n")
    (tmp_path / "labkit" / "cli" / "nothing.py").write_text("")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    assert contract["layers"][0] == "cli" and contract["layers"][-1] == "core"
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = labkit\n\n[importlinter:contract:layers]\n"
        "name = layers\ntype = layers\ncontainers = labkit\nlayers =\n    cli\n    core\n"
    )
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "core is not allowed to import labkit.cli" in done.stdout


def light_modules() -> list[str]:
    """All of the light packages, and the widgets that stand on nothing but them and the plots."""
    modules = sorted(graph().modules)
    light = [m for m in modules if package_of(m) in LIGHT and ".recipe" not in m]
    for module in (m for m in modules if m.startswith("labkit.widgets.")):
        needed = graph().find_upstream_modules(module) - {"labkit"}
        if all(package_of(other) in {*LIGHT, "widgets", "plots"} for other in needed):
            light.append(module)
    return light


def test_the_widgets_of_the_picker_are_light() -> None:
    names = {"hardware_picker", "memory_explorer", "memory_bars", "cost_explorer"}
    assert {f"labkit.widgets.{name}" for name in names} <= set(light_modules())


def test_the_lower_layers_import_where_there_is_no_psutil_no_numpy_and_no_thread() -> None:
    code = f"""
import importlib, json, sys, _thread

def refuse(*_, **__):
    raise RuntimeError("can't start new thread")  # as Python says in a browser

for name in ("psutil", "numpy", "fcntl", "_multiprocessing"):
    sys.modules[name] = None
_thread.start_new_thread = _thread.start_joinable_thread = refuse
for name in {["labkit", *light_modules()]}:
    importlib.import_module(name)
loaded = {{name.partition(".")[0] for name, module in sys.modules.items() if module}}
print(json.dumps(sorted(loaded)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "labkit" in loaded
    assert not loaded & HEAVY


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts no children's time")
def test_importing_labkit_adds_at_most_20_ms() -> None:
    import resource

    def seconds(code: str) -> float:
        start = children_times()
        subprocess.run([sys.executable, "-c", code], check=True)
        return children_times() - start

    def children_times() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    # Processor time, side by side, and the least of each: waiting is not the import's.
    runs = [(seconds("import labkit"), seconds("pass")) for _ in range(15)]
    extra = min(full for full, _ in runs) - min(bare for _, bare in runs)
    assert extra <= 0.02


def test_the_package_shows_folders_and_hardly_a_file() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "py.typed"}
    assert 20 <= len(packages()) <= 25


def test_contributing_names_every_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = next(block for block in text.split("```") if "labkit/" in block)
    named = re.findall(r"^    (\w+)/ ", tree, re.MULTILINE)
    assert sorted(named) == sorted([*packages(), "data"])


def init_files() -> list[Path]:
    return sorted(path for path in PACKAGE.glob("*/**/__init__.py") if "weights" not in path.parts)


@pytest.mark.parametrize("path", init_files(), ids=lambda path: path.parent.name)
def test_an_init_is_empty_or_gives_names_on(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body
    for node in tree.body[1:]:
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        assert is_all or isinstance(node, ast.ImportFrom), ast.unparse(node)


def test_no_module_hides_a_name_of_its_package() -> None:
    """A name that a package gives, and a module of it: the one imported last wins."""
    taken = {name for name in labkit.__all__ if (PACKAGE / name).exists()}
    assert not taken, "with lazy attributes the package would hide the function"
    for path in init_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        given = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        modules = {other.stem for other in path.parent.iterdir()} - {"__init__", "__pycache__"}
        assert not given & modules, path


def test_public_functions_name_their_parameters() -> None:
    """No ``**options: Any``, behind which Shift-Tab and a type checker see nothing."""
    hidden = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                rest = node.args.kwarg
                if rest and rest.annotation and ast.unparse(rest.annotation) == "Any":
                    hidden.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert not hidden


def test_no_file_passes_400_lines() -> None:
    long = {
        path.relative_to(PACKAGE).as_posix(): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, "a file that passes 400 lines is two concepts"
