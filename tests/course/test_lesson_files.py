"""The notebooks that came with the package, copied to where a learner works."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.cli.entry import make_app
from labkit.core.errors import LabError
from labkit.course.lesson_files import copy_lessons, list_lesson_files

ROOT = Path(__file__).parents[2]


def test_a_copy_opens_its_glossary_and_badges_by_the_same_paths(tmp_path: Path) -> None:
    done = copy_lessons(tmp_path / "course", "zh")
    sources = {f"zh/{path.stem}.ipynb" for path in (ROOT / "notebooks" / "source").glob("*.py")}
    badges = {f"badges/{path.name}" for path in (ROOT / "notebooks" / "badges").iterdir()}
    assert set(done.copied) == sources | badges | {"zh/glossary.md"} and not done.kept
    lesson = (tmp_path / "course" / "zh" / "00_start-here.ipynb").read_text(encoding="utf-8")
    assert "(../badges/colab.svg)" in lesson and "(glossary.md#" in lesson


def test_what_a_learner_wrote_stays(tmp_path: Path) -> None:
    copy_lessons(tmp_path)
    mine = tmp_path / "en" / "00_start-here.ipynb"
    mine.write_text("my answers", encoding="utf-8")
    (tmp_path / "en" / "02_family-album.ipynb").unlink()
    again = copy_lessons(tmp_path)
    assert mine.read_text(encoding="utf-8") == "my answers"
    assert again.copied == ("en/02_family-album.ipynb",)
    assert len(again.kept) == len(list(list_lesson_files())) - 1
    assert "stay as they are" in str(again)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "course").write_text("a file", encoding="utf-8")
    with pytest.raises(LabError, match="course"):
        copy_lessons(tmp_path / "course")


def test_the_command_says_how_many_and_prints_json(tmp_path: Path) -> None:
    english = ["lessons", "copy", str(tmp_path / "a"), "--language", "en"]
    done = CliRunner().invoke(make_app(), english)
    assert done.exit_code == 0 and "Copied" in done.output
    done = CliRunner().invoke(make_app(), ["lessons", "copy", str(tmp_path / "a"), "--json"])
    found = json.loads(done.output)
    assert any(name.startswith("zh/") for name in found["copied"])
    assert any(name.startswith("en/") for name in found["kept"])
