"""A class: what is handed in and seen of it; nbgrader, from a source to what the student reads."""

import csv
import html
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from labkit.catalog.lessons import find_lesson, lessons
from labkit.cli.entry import run as labkit
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.course import class_progress
from labkit.course import exercises as course

HOME = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(HOME))

import build  # noqa: E402
import handouts  # noqa: E402

# --- progress ---------------------------------------------------------------------------------

RIGHT, WRONG = "start-here.weights-size", "start-here.exact-match"
GUESS = "choose-a-model.four-bits"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A learner who got one exercise right at the second try, one wrong, and a prediction."""
    for name in ("LABKIT_STATIC", "LABKIT_GRADING", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "data" / "progress.json"))
    course.check(RIGHT, "my secret answer", 6)
    course.check(RIGHT, 6, 6)
    course.check(WRONG, 1, 2)
    course.predict(GUESS, next(c.key for c in course.questions()[GUESS].choices if c.right))
    yield tmp_path


def test_what_leaves_is_who_what_and_when_and_never_the_answer(answered: Path) -> None:
    texts = {}
    for ending in class_progress.ENDINGS:
        path = class_progress.export_progress(answered / f"mine{ending}", who=" 李雷 ")
        texts[ending] = path.read_text(encoding="utf-8-sig")
    rows = json.loads(texts[".json"])["answers"]
    assert [(r["who"], r["lesson"], r["exercise"], r["state"], r["attempts"]) for r in rows] == [
        ("李雷", "start-here", "exact-match", "wrong", 1),
        ("李雷", "start-here", "weights-size", "right", 2),
        ("李雷", "choose-a-model", "four-bits", "right", 1),
    ]
    assert set(rows[0]) == set(class_progress.COLUMNS)
    assert list(csv.DictReader(texts[".csv"].splitlines())) == [
        {name: str(value) for name, value in row.items()} for row in rows
    ]
    assert not any("secret" in text or str(Path.home()) in text for text in texts.values())
    assert "李雷" not in class_progress.export_progress(answered / "mine.csv").read_text(
        "utf-8-sig"
    )


def test_the_command_exports_and_shows(answered: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handed_in = answered / "handed-in" / "li.csv"
    assert labkit(["progress", "export", str(handed_in), "--who", "Li Lei", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(handed_in), "answers": 3}
    assert labkit(["progress", "show"]) == 0
    assert "weights-size" in capsys.readouterr().out
    assert labkit(["progress", "class", str(handed_in.parent)]) == 0
    shown = capsys.readouterr().out
    assert "Li Lei" in shown and WRONG in shown
    assert labkit(["progress", "export", str(answered / "mine.xls")]) == 1
    assert "neither .json nor .csv" in capsys.readouterr().err
    assert labkit(["progress", "export", str(handed_in / "below-a-file.json")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def row(id: str, state: str, at: str = "2026-03-02T09:00:00+00:00", who: str = "") -> dict:
    lesson, _, exercise = id.partition(".")
    names = {"who": who, "lesson": lesson, "exercise": exercise}
    return names | {"state": state, "attempts": 1, "at": at}


def hand_in(path: Path, *rows: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": 2, "answers": rows}), encoding="utf-8")


def test_a_class_is_read_from_its_files(tmp_path: Path) -> None:
    hand_in(tmp_path / "a.json", row(RIGHT, "right", who="An"), row(WRONG, "wrong", who="An"))
    # Handed in again, later: what was right stays right, the other is right by now.
    hand_in(
        tmp_path / "b.json", row(RIGHT, "wrong", "2027", "An"), row(WRONG, "right", "2027", "An")
    )
    hand_in(tmp_path / "x" / "p.json", row(RIGHT, "right"), row(WRONG, "wrong"))
    hand_in(tmp_path / "y" / "p.json", row(WRONG, "wrong"), row("start-here.gone", "right"))
    hand_in(tmp_path / "z.json")
    found = class_progress.read_class(tmp_path)
    assert found.students == ("An", "x/p", "y/p", "z")
    total = sum(id.startswith("start-here.") for id in course.exercises())
    assert [found.share(who, "start-here") for who in found.students] == [
        (2, total), (1, total), (0, total), (0, total),
    ]  # fmt: skip
    assert found.unknown == ("start-here.gone",) and "start-here.gone" in str(found)
    assert found.table().header == ("Student", "00")
    assert [tuple(line) for line in found.hardest().rows] == [(WRONG, "2 (67%)", "3", "1")]
    assert found.misjudged().rows == []


OF_FORMAT_1 = """\ufeffwho,lesson,exercise,state,attempts,at
Li Lei,00,exact-match,wrong,1,2026-11-30T21:02:03+00:00
Li Lei,00,weights-size,right,2,2026-11-30T21:02:03+00:00
Li Lei,09,four-bits,right,1,2026-11-30T21:02:03+00:00
"""


def test_files_of_format_1_are_of_the_same_class(tmp_path: Path) -> None:
    (tmp_path / "li.csv").write_text(OF_FORMAT_1, encoding="utf-8")
    old = [row("00.weights-size", "right"), row("13.merge", "wrong")]
    (tmp_path / "han.json").write_text(json.dumps({"format": 1, "answers": old}), encoding="utf-8")
    hand_in(tmp_path / "again.json", row(WRONG, "right", "2027", "Li Lei"))
    found = class_progress.read_class(tmp_path)
    assert found.students == ("Li Lei", "han") and not found.unknown
    assert found.share("Li Lei", "start-here")[0] == 2 and found.has_begun("han", "lora")
    assert found.lessons() == ("start-here", "lora")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("notes.json", "[]", "list"),
        ("notes.json", '{"answers": [{"who": ""}]}', "lesson"),
        ("notes.csv", "name,mark\nAn,5\n", "the columns are not who, lesson"),
        ("notes.csv", ",".join(class_progress.COLUMNS) + "\n,00,a,right,0,\n", "attempts 0"),
        ("notes.csv", ",".join(class_progress.COLUMNS) + "\n,00,a,good,1,\n", "state 'good'"),
    ],
)
def test_a_file_that_is_something_else_is_named(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    with pytest.raises(LabError, match="holds no progress files"):
        class_progress.read_class(tmp_path)
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match=f"{name}' is not a progress file: .*{reason}"):
        class_progress.read_class(tmp_path)


def test_a_sample_class_is_the_same_each_time_and_named_so(tmp_path: Path) -> None:
    found = class_progress.read_class(class_progress.write_sample_class(tmp_path / "one"))
    again = class_progress.read_class(class_progress.write_sample_class(tmp_path / "two"))
    assert found == again
    assert len(found.students) == 12 and all(who.startswith("Sample ") for who in found.students)
    assert not found.unknown
    missed = [int(line[1].split()[0]) for line in found.hardest().rows]
    assert missed == sorted(missed, reverse=True) and missed[0] > missed[-1]
    assert found.plot().alt.startswith("Heat map")
    use_language("zh")
    assert (
        class_progress.read_class(class_progress.write_sample_class(tmp_path / "zh")).students[0]
        == "样例 01"
    )


# --- nbgrader ---------------------------------------------------------------------------------

TOPIC, STUDENT = "choose-a-model", "li-lei"
ASSIGNMENT = f"{TOPIC}-zh"
SOURCE = HOME / "source" / f"{find_lesson(TOPIC).stem}.py"

POINTS = f"""
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    work = book.find_submission_notebook("{SOURCE.stem}", "{ASSIGNMENT}", "{STUDENT}")
    print(json.dumps({{g.name: [g.score, g.max_score] for g in work.grades}}))
"""


def test_a_class_folder_is_made_and_its_settings_stay_the_teachers(tmp_path: Path) -> None:
    for settings in ("", "mine"):
        if settings:
            (tmp_path / "nbgrader_config.py").write_text(settings, encoding="utf-8")
        assert build.main([TOPIC, "--assignment", "--language", "zh", "--out", str(tmp_path)]) == 0
    made = tmp_path / "source" / ASSIGNMENT / f"{SOURCE.stem}.ipynb"
    assert "### BEGIN SOLUTION" in made.read_text(encoding="utf-8")
    assert (tmp_path / "nbgrader_config.py").read_text(encoding="utf-8") == "mine"


def test_nbgrader_leaves_the_stub_that_the_build_leaves() -> None:
    assert f'"{build.STUB}\\n..."' in build.NBGRADER.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def nbgrader_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """nbgrader beside this Python's packages, in an environment of its own."""
    venv = tmp_path_factory.mktemp("nbgrader") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    here = [sysconfig.get_paths()["purelib"], str(HOME.parent)]
    (site / "base.pth").write_text("\n".join(here), encoding="utf-8")
    install = [venv / "bin" / "python", "-m", "pip", "install", "-q", "nbgrader==0.9.6"]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bare = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
    return bare | {
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",  # it calls alembic by name
        "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),  # nbconvert's templates
    }


def run(environment: dict[str, str], folder: Path, *command: str) -> str:
    program = Path(environment["PATH"].split(os.pathsep)[0]) / command[0]
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(notebook: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """nbgrader's id to cell."""
    marked = (cell for cell in notebook.cells if "nbgrader" in cell.metadata)
    return {cell.metadata.nbgrader.grade_id: cell for cell in marked}


@pytest.mark.slow
@pytest.mark.timeout(1800)  # an installation and four programs
def test_an_assignment_is_given_out_handed_in_graded_and_answered(
    tmp_path: Path, nbgrader_environment: dict[str, str]
) -> None:
    """One answer right, one wrong, one left open; the points and the words say so."""
    build.main([TOPIC, "--assignment", "--language", "zh", "--out", str(tmp_path)])
    given = tmp_path / "source" / ASSIGNMENT / f"{SOURCE.stem}.ipynb"
    solutions = cells(nbformat.read(given, as_version=4))
    run(nbgrader_environment, tmp_path, "nbgrader", "generate_assignment", ASSIGNMENT, "--create")

    released = nbformat.read(tmp_path / "release" / ASSIGNMENT / given.name, as_version=4)
    work = cells(released)
    assert build.STUB in work[f"{TOPIC}-kv-cache"].source
    assert not any("SOLUTION" in cell.source for cell in released.cells)
    work[f"{TOPIC}-kv-cache"].source = solutions[f"{TOPIC}-kv-cache"].source
    work[f"{TOPIC}-longest-context"].source = "longest = 10**7"
    handed_in = tmp_path / "submitted" / STUDENT / ASSIGNMENT / given.name
    handed_in.parent.mkdir(parents=True)
    # A student who makes the check say yes: nbgrader puts the locked cell back.
    work[f"{TOPIC}-longest-context-check"].source = "print('all is well')"
    nbformat.write(released, handed_in)

    run(nbgrader_environment, tmp_path, "nbgrader", "autograde", ASSIGNMENT, "--create")
    points = json.loads(run(nbgrader_environment, tmp_path, "python", "-c", POINTS))
    assert points == {
        f"{TOPIC}-kv-cache-check": [1, 1],
        f"{TOPIC}-longest-context-check": [0, 1],
        f"{TOPIC}-company-check": [0, 1],
    }

    run(nbgrader_environment, tmp_path, "nbgrader", "generate_feedback", ASSIGNMENT)
    (page,) = (tmp_path / "feedback" / STUDENT / ASSIGNMENT).glob("*.html")
    words = html.unescape(re.sub("<[^>]+>", "", page.read_text(encoding="utf-8")))
    assert "✘ 太长了，放不下。" in words
    assert "○ 还没有作答。" in words
    assert "NotImplementedError" not in words
    assert words.count("AssertionError: ") == 2


# --- the dashboard ----------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_dashboard_shows_the_sample_class_and_says_so(tmp_path: Path, language: str) -> None:
    made = build.make(build.DASHBOARD, language)
    build.execute(made, build.DASHBOARD)
    kept = nbformat.read(HOME / "classroom" / f"dashboard.{language}.ipynb", as_version=4)
    shown = [cell.outputs for cell in kept.cells if cell.cell_type == "code"]
    again = [cell.outputs for cell in made.notebook.cells if cell.cell_type == "code"]

    def texts(cells: list) -> list[str]:
        return [o.data["text/plain"] for outputs in cells for o in outputs if "data" in o]

    assert texts(again) == texts(shown)
    assert all({"en": "Sample 01", "zh": "样例 01"}[language] in text for text in texts(shown)[:2])
    assert any("start-here." in text for text in texts(shown)[3:])


# --- the guide and the slides -----------------------------------------------------------------


def test_the_guide_speaks_of_every_lesson_in_both_languages() -> None:
    assert set(handouts.advice()) == {lesson.topic for lesson in lessons()}
    for language in ("en", "zh"):
        page = handouts.guide(language)
        ready = [lesson.id for lesson in lessons() if lesson.minutes is not None]
        assert re.findall(r"^## \[(\d\d) ", page, re.MULTILINE) == ready
    words = [text for own in handouts.advice().values() for part in handouts.PARTS
             for text in getattr(own, part)]  # fmt: skip
    assert all(re.search("[\u4e00-\u9fff]", text.zh) for text in words)
    assert not [text.en for text in words if re.search("[\u4e00-\u9fff]", text.en)]


def test_a_lesson_takes_longer_in_a_room() -> None:
    own = handouts.advice()["start-here"]
    assert (len(own.show), len(own.discuss)) == (3, 2)
    assert own.room_minutes(20) == 40  # 20 + 3 × 3 + 2 × 5 = 39


def test_slides_hold_what_the_lesson_shows_and_keep_answers_back(tmp_path: Path) -> None:
    reveal = tmp_path / "node_modules"
    arguments = ["family-album", "--slides", "--language", "zh", "--out", str(tmp_path), "--reveal"]
    assert build.main([*arguments, str(reveal)]) == 0
    (path,) = (tmp_path / "zh").glob("*_family-album.slides.html")
    page = path.read_text(encoding="utf-8")
    (notebook,) = (HOME / "zh").glob("*_family-album.ipynb")
    cells = nbformat.read(notebook, as_version=4).cells
    images = [
        output.data["image/png"] for cell in cells for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]  # fmt: skip
    assert len(images) >= 2
    packed = page.replace("\n", "")
    assert all(f"data:image/png;base64,{image.replace(chr(10), '')}" in packed for image in images)
    chapters = sum(bool(re.match("##? ", c.source)) for c in cells if c.cell_type == "markdown")
    starts = [
        n for n, cell in enumerate(cells) if cell.source.endswith(")") and "ask(" in cell.source
    ]
    assert len(starts) == 2
    # One section for each chapter, in it one for each slide; each question ends its slide.
    texts = [
        c.source for c in cells if c.cell_type == "markdown" and not handouts._is_frame(c.source)
    ]
    followed = sum(cells[n + 1].cell_type == "code" for n in starts)
    assert len(re.findall("<section[ >]", page)) == chapters + len(texts) + followed
    assert "pip install" not in page and "badges/colab" not in page
    assert 'src="../node_modules/requirejs/require.js"' in page
    assert '"../node_modules/reveal.js/dist/reveal.js"' in page
    assert '<html lang="zh">' in page


def test_slides_come_from_an_address_of_the_room_too() -> None:
    found = handouts._libraries("http://10.0.0.2:8000/", Path("slides/en/x.html"))
    assert found["reveal_url_prefix"] == "http://10.0.0.2:8000/reveal.js"
    assert handouts._libraries(None, Path("x.html")) == {}


# --- the files for a room ---------------------------------------------------------------------


def test_the_hubs_files_can_be_read_and_fit_the_lessons() -> None:
    """They were not run by us; this much can be said of them, and that they say so."""
    import ast

    import yaml

    hub = HOME / "classroom" / "jupyterhub"
    assert all("un by us" in path.read_text("utf-8") or "built by us" in path.read_text("utf-8")
               for path in hub.iterdir())  # fmt: skip
    settings = (hub / "jupyterhub_config.py").read_text(encoding="utf-8")
    ast.parse(settings)
    values = yaml.safe_load((hub / "values.yaml").read_text(encoding="utf-8"))
    largest = max(lesson.memory or 0 for lesson in lessons())
    for limit in (values["singleuser"]["memory"]["limit"],
                  re.search(r'mem_limit = "(.+)"', settings)[1]):  # fmt: skip
        assert int(limit.removesuffix("G")) * 10**9 >= 2 * largest
    wanted = {"lab"}.union(*(lesson.extras for lesson in lessons()))
    texts = [hub / "Dockerfile", *(HOME / "classroom").glob("README*.md")]
    assert len(texts) == 3
    for text in texts:
        extras = re.search(r"\.ci/setup ([\w,]+)$", text.read_text(encoding="utf-8"), re.M)
        assert extras and wanted <= set(extras[1].split(",")), text


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_class_readme_names_what_there_is(name: str) -> None:
    text = (HOME / "classroom" / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (HOME / "classroom" / link).exists(), link
    for command in set(re.findall(r"(?m)(?:^|`)labkit ([a-z]+(?: (?:make|export|class))?)", text)):
        assert labkit([*command.split(), "--help"]) == 0, command
