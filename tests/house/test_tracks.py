"""The READMEs show the lessons, the tracks and the times that the data files hold."""

import importlib.util
from pathlib import Path

import pytest

from labkit.course import overview

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("tracks", ROOT / ".ci" / "tracks.py")
assert spec and spec.loader
tracks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tracks)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_readme_shows_the_tracks_of_today(language):
    text = tracks.READMES[language].read_text(encoding="utf-8")
    marked = tracks.MARKED.findall(text)
    assert len(marked) == 1
    assert tracks.make_block(language) in text, "run: python .ci/tracks.py"


def test_the_block_has_a_line_for_every_lesson_and_links_what_is_there(language="en"):
    heading, _, *lines, last = tracks.make_block(language).splitlines()
    assert "beginner" in heading and len(lines) == len(overview().stages)
    for line, stage in zip(lines, overview().stages, strict=True):
        assert str(stage.lesson.title) in line
        there = (ROOT / f"notebooks/en/{stage.lesson.stem}.ipynb").exists()
        assert (".ipynb" in line) == there
    assert overview("beginner").time in last
