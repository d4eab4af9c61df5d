"""What runs only at GitHub, conda or in a container: it is valid, and has the versions of here."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path: Path) -> list[dict]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.slow
def test_the_workflows_pass_schema_and_linter(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "lint"], check=True)
    tools = tmp_path / "lint" / "bin"
    packages = ["check-jsonschema==0.39.0", "zizmor==1.32.0"]
    subprocess.run([tools / "python", "-m", "pip", "install", "-q", *packages], check=True)
    schema = [tools / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    config = ROOT / ".github" / "zizmor.yml"
    linter = [tools / "zizmor", "--offline", "--quiet", "--config", config]
    for command in (schema, linter):
        done = subprocess.run([*command, *WORKFLOWS], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.yml"
    text = WORKFLOWS[-1].read_text(encoding="utf-8")
    broken.write_text(text.replace("runs-on:", "run-on:"), encoding="utf-8")
    assert subprocess.run([*schema, broken], capture_output=True).returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_files_a_workflow_runs_exist(path: Path) -> None:
    words = " ".join(step.get("run", "") for step in steps(path))
    named = set(re.findall(r"(?<![\w/])(?:\.ci|notebooks)/[\w./-]+", words))
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_weekly_lessons_run_on_every_system_and_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["lessons"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(v) for v in matrix["python"])
    assert matrix["python"][0] == "3.11" and {"pinned", "newest"} == set(matrix["versions"])


def test_the_release_builds_the_llama_that_is_pinned_and_what_the_lessons_fetch() -> None:
    words = " ".join(step.get("run", "") for step in steps(ROOT / ".github/workflows/release.yml"))
    assert "grep ^llama-cpp-python== constraints.txt" in words
    assert "GGML_NATIVE=OFF" in (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    assert "gh release create" in words


def test_conda_binder_and_the_dev_container_take_the_versions_of_the_constraints() -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    by_pip = next(part["pip"] for part in conda["dependencies"] if isinstance(part, dict))
    assert "--constraint constraints.txt" in by_pip and "--editable .[all]" in by_pip
    binder = yaml.safe_load((ROOT / "binder/environment.yml").read_text(encoding="utf-8"))
    pythons = [
        p for e in (conda, binder) for p in e["dependencies"] if str(p).startswith("python=")
    ]
    assert pythons == ["python=3.11", "python=3.11"]
    assert ".ci/setup" in (ROOT / "binder/postBuild").read_text(encoding="utf-8")
    assert "--constraint constraints.txt" in (ROOT / ".ci/setup").read_text(encoding="utf-8")
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "make setup"
    assert container["image"].endswith("python:3.11")


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/oldest.py"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = dict(line.split("==") for line in done.stdout.splitlines())
    wishes = [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]
    bounds = {re.split(r"[\[>]", wish)[0] for wish in wishes} - {PROJECT["name"]}
    assert set(listed) == bounds and listed["numpy"] == "2.0"
