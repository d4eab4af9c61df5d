"""What contributors rely on: forms, hooks, the quick check, the changelog, the recipes."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import gguf
import pytest
import yaml

from labkit.exports.targets import TARGETS
from labkit.gguf.quant_types import BLOCKS, FILE_TYPES
from labkit.gguf.reader import _TENSOR_TYPES, FILE_TYPE_NUMBERS

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
PLACEHOLDERS = {"FAMILY": "*", "NAME": "*", "NN": "[0-9][0-9]", "TOPIC": "*"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- forms and hooks


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_github_asks_for_and_speaks_both_languages(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.stem == "config":
        assert all({"name", "url", "about"} <= link.keys() for link in form["contact_links"])
        return
    assert {"name", "description", "body"} <= form.keys()
    assert re.search(r"[a-z].*[\u4e00-\u9fff]", form["name"])
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids)
    for field in form["body"]:
        assert field["type"] in ("input", "textarea", "dropdown") and field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_hooks_run_what_is_in_the_environment_and_fetch_nothing() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        program = hook["entry"].split()[0]
        assert program == "make" or program.startswith(".venv/bin/")


# --- the quick check and the changelog


def test_make_check_runs_lint_types_contract_and_tests() -> None:
    command = ["make", "--dry-run", "check", "ready=pyproject.toml"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for words in ("ruff check", "ruff format --check", "mypy", "lint-imports", "pytest"):
        assert words in planned
    tests = re.findall(r"tests/[\w/.]+", planned)
    assert tests and not [name for name in tests if not (ROOT / name).exists()]


def test_the_changelog_and_every_file_agree_on_the_version() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    listed = re.findall(r"^## \[(.+?)\]( - 20\d\d-\d\d-\d\d)?$", read("CHANGELOG.md"), re.M)
    names = [name for name, _ in listed]
    assert names[0] == "Unreleased" and names[1] == version
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert f'tag: "{version}"' in read("notebooks/classroom/jupyterhub/values.yaml")


# --- the recipes


def recipes() -> dict[str, str]:
    """What is to be added to the text of its recipe."""
    parts = re.split(r"^### Add an? (.+)$|^## .+$", read("CONTRIBUTING.md"), flags=re.M)
    return {name: text for name, text in zip(parts[1::2], parts[2::2], strict=True) if name}


@pytest.mark.parametrize("name", ["model", "quant type", "GPU", "export target", "lesson"])
def test_a_recipe_names_files_and_tests_that_exist(name: str) -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)(?:::(\w+))?`", recipes()[name])
    assert len(named) >= 5
    for path, test in named:
        pattern = re.sub("FAMILY|NAME|NN|TOPIC", lambda match: PLACEHOLDERS[match[0]], path)
        found = [*ROOT.glob(pattern), *ROOT.glob(f"tests/{pattern}")]
        assert found, path
        assert not test or f"def {test}(" in found[0].read_text(encoding="utf-8"), test


def test_a_quant_type_has_its_size_and_its_numbers() -> None:
    """In both tables, and as in gguf, the package that llama.cpp's makers publish."""
    assert set(FILE_TYPES) == set(FILE_TYPE_NUMBERS)
    assert set(BLOCKS) == set(_TENSOR_TYPES.values()) == set(FILE_TYPES.values())
    for number, name in _TENSOR_TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        assert (kind.name, BLOCKS[name]) == (name, (size, weights))
    for name, number in FILE_TYPE_NUMBERS.items():
        assert gguf.LlamaFileType(number).name.split("_", 1)[1] == name


def writers() -> dict[str, ast.FunctionDef]:
    """The functions ``write_NAME`` of the files ``NAME.py`` that give an export."""
    found = {}
    for path in (ROOT / "labkit" / "exports").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name == f"write_{path.stem}":
                if node.returns and ast.unparse(node.returns) == "Exported":
                    found[path.stem] = node
    return found


def test_every_file_that_writes_for_a_tool_is_a_target() -> None:
    assert set(writers()) == set(TARGETS)
    given = read("labkit/exports/writers.py")
    offered = read("labkit/cli/export.py")
    tested = read("tests/exports/test_model_exports.py") + read("tests/exports/test_exports.py")
    for name, function in writers().items():
        assert f'"write_{name}"' in given and f'"{name}": exports.write_{name}' in tested, name
        parameters = [*function.args.args, *function.args.kwonlyargs]
        assert set(TARGETS[name].options) <= {parameter.arg for parameter in parameters}
        for option in TARGETS[name].options:
            assert re.search(rf"^    {option}: Annotated", offered, re.M), option
