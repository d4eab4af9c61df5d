"""A lesson gets another number: its files, its line in the table, and what names it."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.catalog import DATA
from labkit.catalog import lessons as course

HOME = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(HOME))

import move  # noqa: E402
import rules  # noqa: E402

TABLE = (DATA / "lessons.toml").read_text(encoding="utf-8")
NUMBERS = move.read_numbers(TABLE)
LLAMA, QWEN = NUMBERS["llama"], NUMBERS["qwen"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of what a move touches, in which labkit looks the numbers up."""
    for folder in ("source", "en", "zh"):
        shutil.copytree(HOME / folder, tmp_path / folder)
    shutil.copy(DATA / "lessons.toml", tmp_path)
    monkeypatch.setattr(course, "DATA", tmp_path)
    course.lessons.cache_clear()
    yield tmp_path
    course.lessons.cache_clear()


def run(home: Path, *words: str) -> int:
    return move.main(list(words), home, home / "lessons.toml")


def list_files(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def test_a_move_renames_and_what_names_a_lesson_follows(home: Path) -> None:
    before = list_files(home)
    assert run(home, "lora", "5") == 0
    course.lessons.cache_clear()
    topics = [lesson.topic for lesson in course.lessons()]
    others = [topic for topic in NUMBERS if topic != "lora"]
    assert topics == [*others[:5], "lora", *others[5:]]
    assert [lesson.id for lesson in course.lessons()] == [f"{n:02}" for n in range(len(topics))]
    for lesson in course.lessons():
        old = f"{NUMBERS[lesson.topic]:02}_{lesson.topic}"
        for folder, ending in (("source", "py"), ("en", "ipynb"), ("zh", "ipynb")):
            now = home / folder / f"{lesson.stem}.{ending}"
            assert now.read_bytes() == before[f"{folder}/{old}.{ending}"]
    (source,) = home.glob("source/*_fine-tuning-tools.py")
    text = "\n".join(cell.text for cell in rules.read(source))
    assert "Lesson 05 comes before." in text and "请先学第 05 课。" in text
    assert run(home, "lora", f"{NUMBERS['lora']}") == 0
    assert list_files(home) == before


def test_the_table_keeps_its_comments() -> None:
    entry = f'[[lessons]]\nid = "{QWEN:02}"'
    marked = TABLE.replace(entry, f"# More on tools.\n{entry}")
    moved = move.write_numbers(marked, move.move(NUMBERS, "qwen", 2))
    assert moved.startswith(TABLE[: TABLE.index("[[lessons]]")])
    assert '# More on tools.\n[[lessons]]\nid = "02"\ntopic = "qwen"' in moved
    assert move.write_numbers(moved, NUMBERS) == marked


def test_a_gap_is_opened_and_a_free_number_is_just_taken(home: Path) -> None:
    last = max(NUMBERS.values())
    assert run(home, "--gap", f"{LLAMA:02}") == 0
    gapped = move.read_numbers((home / "lessons.toml").read_text(encoding="utf-8"))
    assert gapped == {name: n + (n >= LLAMA) for name, n in NUMBERS.items()}
    assert not list(home.glob(f"*/{LLAMA:02}_*"))
    assert len(list(home.glob(f"*/{LLAMA + 1:02}_llama.*"))) == 3
    assert move.move(gapped, "capstone", LLAMA) == gapped | {"capstone": LLAMA}
    assert max(gapped.values()) == last + 1


def test_a_dry_run_says_and_leaves_all_as_it_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list_files(home)
    assert run(home, "qwen", str(LLAMA), "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"source/{QWEN:02}_qwen.py → {LLAMA:02}_qwen.py" in said
    assert f"zh/{LLAMA:02}_llama.ipynb → {LLAMA + 1:02}_llama.ipynb" in said
    assert "Nothing was changed." in said and list_files(home) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["love", "3"], "There is no lesson 'love'; there are: start-here, "),
        (["lora", "77"], "There is no number 77; the last lesson is "),
        (["lora", "three"], "'three' is not the number of a lesson.\n"),
        (["--gap", "77"], "There is no number 77; the last lesson is "),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    before = list_files(home)
    assert run(home, *words) == 1
    told = capsys.readouterr().err
    assert told.startswith(said) and told.count("\n") == 1
    assert list_files(home) == before


def test_a_topic_or_a_gap_is_asked_for() -> None:
    for words in (["3"], ["lora", "3", "--gap"]):
        with pytest.raises(SystemExit):
            move.main(words)
