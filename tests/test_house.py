"""The order of the house: who may import whom, and what stays light (map: CONTRIBUTING.md)."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from time import perf_counter

import pytest

PACKAGE = Path(__file__).parents[1] / "labkit"

# Every file and folder of labkit, floor by floor: one may import only from those before it.
FLOORS = (
    "errors i18n units extras tables",
    "catalog guides glossary rubric host gpus machine diagnosis preflight hosted",
    "configuration traits architecture tensors gguf_types gguf_inspection gguf_config"
    " kv_cache weight_formats model_source running_memory training_memory memory speed"
    " quotes training_time assumptions costs capacity needs scoreboard budget ranking fitting"
    " reasons shortfall picker rules_of_thumb portraits tokenization",
    "progress storage workers background downloads repositories modelscope pocket hub"
    " gguf_tokenizer gguf_conversion gguf_files engines",
    "chat_templates grammars tool_calls turns conversation scoring experts haystack passes"
    " pictures block_formats"
    " bitsandbytes_formats gptq calibration importances checkpoints quantization measurement"
    " evaluation recommendation tasks reading preferences training_data adapters training_settings"
    " training training_peak training_advice training_report finetuning merging lora_gguf server"
    " web_page load_test exports mirrors olah lesson_files bundles check_digits sensitive_data"
    " network_guard recording_proxy uncertainty audit_log routing blind_comparison unsafe_files"
    " safety_probes decision_record cluster pocket.recipe",
    "learner course plots frontier_plot load_plot classroom terminal widgets page",
    "__init__ console choosing quantizing deploying sharing teaching tuning cli",
)
ORDER = " ".join(FLOORS).split()
LIGHT = " ".join(FLOORS[:3]).split()
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
    "openai",
    "peft",
    "requests",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "urllib3",
}


def modules() -> dict[str, Path]:
    """Dotted name inside labkit to file: ``{"errors": …, "pocket": …/__init__.py, …}``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(module: str) -> str | None:
    """The longest name in ORDER that the module is, or lies under; None where it has no place."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in ORDER), None)


def imports(module: str, path: Path) -> set[str]:
    """The modules of labkit that a file imports anywhere, inside functions too."""
    known = modules()
    package = ["labkit", *module.split(".")]
    if path.name != "__init__.py" or module == "__init__":
        package = package[:-1]
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "labkit":
                continue
            # The longest part that is a module; what is left is a name inside it.
            candidates = (".".join(parts[1:count]) for count in range(len(parts), 1, -1))
            found.add(next((name for name in candidates if name in known), "__init__"))
    return found


def test_every_file_has_its_place_in_the_order() -> None:
    homeless = [module for module in modules() if place(module) is None]
    assert not homeless, f"write these into FLOORS of {__file__}: {homeless}"


def test_contributing_shows_this_order() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d \w+ \| (.+?) \|", text, re.MULTILINE)
    assert [" ".join(re.findall(r"`(.+?)`", row)) for row in rows] == list(FLOORS)


def test_a_file_imports_only_from_files_earlier_in_the_order() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, path in modules().items()
        for other in imports(module, path)
        if place(module) != place(other)
        and ORDER.index(place(module) or "cli") < ORDER.index(place(other) or "cli")
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("module", "code", "expected"),
    [
        ("errors", "from .i18n import t", {"i18n"}),
        ("errors", "def f():\n    from . import units, t", {"units", "__init__"}),
        ("pocket.recipe.corpus", "from ...catalog import Text", {"catalog"}),
        ("errors", "import labkit.machine, json", {"machine"}),
        ("errors", "import labkit", {"__init__"}),
    ],
)
def test_imports_are_read_in_every_spelling(
    tmp_path: Path, module: str, code: str, expected: set[str]
) -> None:
    path = tmp_path / "file.py"
    path.write_text(code, encoding="utf-8")
    assert imports(module, path) == expected


def light_modules() -> list[str]:
    """Floors 0-2, and the widgets that stand on nothing but them."""
    known = modules()
    light = [module for module in known if place(module) in LIGHT]
    for module in (name for name in known if name.startswith("widgets.")):
        needed, waiting = set(), [module]
        while waiting:
            new = imports(name := waiting.pop(), known[name]) - needed
            needed |= new
            waiting += new
        if all(place(name) in [*LIGHT, "widgets"] for name in needed):
            light.append(module)
    return light


def test_the_lower_floors_load_nothing_heavy() -> None:
    names = ["labkit", *(f"labkit.{module}" for module in light_modules())]
    code = (
        "import importlib, json, sys\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "labkit" in loaded
    assert not loaded & HEAVY


def test_importing_labkit_adds_at_most_150_ms() -> None:
    def seconds(code: str) -> float:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return perf_counter() - start

    # Side by side, and the quickest of each: what a busy machine adds is not the import's.
    runs = [(seconds("import labkit"), seconds("pass")) for _ in range(15)]
    extra = min(full for full, _ in runs) - min(bare for _, bare in runs)
    assert extra <= 0.15


def test_no_module_and_public_function_share_a_name() -> None:
    functions = {
        (node.name, module)
        for module, path in modules().items()
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    taken = {module for module in modules() if "." not in module}
    shared = [f"{module}.{name}" for name, module in functions if name in taken]
    assert not shared, "with lazy attributes the module would hide the function"


def test_no_file_passes_400_lines() -> None:
    long = {
        module: lines
        for module, path in modules().items()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, "a file that passes 400 lines is two concepts"
