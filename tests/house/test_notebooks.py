"""The lessons: their rules, their notebooks in both languages, their solutions.

That every committed output still comes out the same is tested by ``pytest --nbval``.
"""

import re
import sys
from pathlib import Path

import nbformat
import pytest

HOME = Path(__file__).parents[2] / "notebooks"
sys.path.insert(0, str(HOME))

import build  # noqa: E402
import frame  # noqa: E402
import rules  # noqa: E402

from labkit.catalog.glossary import terms  # noqa: E402
from labkit.catalog.lessons import Lesson, find_lesson, lessons  # noqa: E402
from labkit.core.i18n import language, t, use_language  # noqa: E402
from labkit.course.exercises import exercises  # noqa: E402

SOURCES = sorted((HOME / "source").glob("*.py"))
NOTEBOOKS = [HOME / lang / f"{s.stem}.ipynb" for s in SOURCES for lang in rules.LANGUAGES]

LESSON = '''\
# %% [markdown] lang="en"
"""
# A lesson

**You will be able to** run it.
**You will learn** little. **You need** a minute.
"""

# %% [markdown] lang="zh"
"""
# 一课

**学完你能**运行它。
**你会明白**一点点。**需要准备**一分钟。
"""

# %%
from labkit import course
1 + 1

# %% [markdown] lang="en"
"""
## Recap

![a cat](cat.png)

## Exercises
"""

# %% [markdown] lang="zh"
"""
## 小结

![一只猫](cat.png)

## 练习
"""

# %% exercise="kv-cache"
size = None
### BEGIN SOLUTION
size = 6
### END SOLUTION

# %% check="kv-cache" points=2
course.check("choose-a-model.kv-cache", size, 6)

# %% varies="the time of day"
import time
time.time()

# %% [markdown] lang="en"
"""
## On real models
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型
"""
'''
EN, ZH = (f'# %% [markdown] lang="{language}"\n"""\n' for language in rules.LANGUAGES)
STEM = find_lesson("choose-a-model").stem


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    return write(tmp_path, LESSON)


def write(folder: Path, text: str, stem: str = STEM) -> Path:
    path = folder / "source" / f"{stem}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def cell(notebook: nbformat.NotebookNode, id: str) -> nbformat.NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == id)


# The lessons themselves


def test_a_source_and_its_line_in_the_table_have_one_number() -> None:
    assert [source.stem for source in SOURCES] == [lesson.stem for lesson in lessons()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_source_names_lessons_by_topic(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert not re.findall(r"(?i)\blessons? \d\d|第 \d\d ?课|\"\d\d\.[a-z]", text)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lesson_keeps_the_rules(source: Path) -> None:
    assert rules.check(source) == []


def test_sources_and_notebooks_have_not_drifted() -> None:
    assert build.drift() + build.stale_pages() == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_notebook_is_executed_and_leaves_the_exercises_open(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    use_language(notebook.metadata.labkit.language)
    try:
        words = t("Not answered yet.", "还没有作答。")
    finally:
        use_language(None)
    checks = [cell for cell in code if cell.metadata.get("nbgrader", {}).get("grade")]
    assert checks
    for check in checks:
        assert words in check.outputs[0].data["text/plain"]


def test_every_exercise_is_asked_in_its_lesson() -> None:
    cells = [(rules.topic_of(source), cell) for source in SOURCES for cell in rules.read(source)]
    asked = {f"{topic}.{cell.options.get('check')}" for topic, cell in cells}
    assert set(exercises()) <= asked


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_solutions_pass_their_checks(source: Path) -> None:
    build.execute(build.make(source, "zh", "solved"), source, graded=True)


# The rules, one broken at a time


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (f"{ZH}# 一课", f"# %%\n0\n{EN}# 一课", ":1: this text stands alone"),
        (f"{EN}# A", f"# %%\n0\n{ZH}# A", ":3: this text stands alone"),
        ('lang="en"\n"""\n## On', 'lang="fr"\n"""\n## On', ":52: a text cell is tagged"),
        ("## On real models", "# On real models", ":52: heading 'On real models' is of level 1"),
        ("## Recap", "### Recap", ":21: heading 'Recap' is of level 3"),
        ("## 小结", "### 小结", ":30: the headings differ from those of line 21"),
        ("![a cat]", "![ ]", ":21: an image has no alt text"),
        ("![一只猫](cat.png)", '<img src="cat.png">', ":30: an image has no alt text"),
        ("![一只猫](cat.png)", "", ":30: the images differ"),
        ("## 换成真实模型", "## On real models", ":57: there is no Chinese"),
        ("**You need**", "You need", ":1: the opening lacks **You need**"),
        ("## 练习", "## 习题", ":57: the last sections must be 小结, 练习, 换成真实模型"),
        ('varies="the time of day"', 'tags=["nbval-ignore-output"]', ":48: write varies="),
        ('varies="the time of day"', 'varies=" "', ":48: varies needs a reason"),
        ("points=2", "point=2", ":45: unknown cell options: point"),
        ('# %% exercise="kv-cache"', "# %%", ":39: an exercise cell, and no other"),
        ("### END SOLUTION\n", "", ":39: a '### BEGIN SOLUTION' has no"),
        ('check="kv-cache"', 'check="another"', ":45: no exercise 'another' stands before"),
        (".kv-cache", ".another", ":45: this cell does not check 'choose-a-model.kv-cache'"),
        ('# %% check="kv-cache" points=2', "# %%", "exercise 'kv-cache' has no check"),
        (
            "run it.",
            "run it,\nunlike lesson [[love]].",
            ":6: There is no lesson 'love'. The topics",
        ),
        (EN, f"import os\n{EN}", ":1: there is text"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert LESSON.count(old) >= 1
    source = write(tmp_path, LESSON.replace(old, new, 1))
    with pytest.raises(rules.BuildError) as failed:
        rules.check(source)
    assert problem in str(failed.value)
    assert all(line.startswith(f"{source}:") for line in str(failed.value).splitlines())


def test_a_long_cell_is_a_warning(tmp_path: Path) -> None:
    source = write(tmp_path, LESSON.replace("1 + 1\n", "1 + 1\n" * 30))
    assert rules.check(source) == [f"{source}:17: warning: 31 lines in a cell (at most 25)"]


# Sentences and paragraphs


@pytest.mark.parametrize(
    ("text", "language", "joined"),
    [
        ("One.\nTwo `a`.\n\nThree.", "en", "One. Two `a`.\n\nThree."),
        ("一句。\n**两**句。", "zh", "一句。**两**句。"),
        ("## Title\nOne.\nTwo.\n- a\n- b\nThree.\nFour.", "en",
         "## Title\nOne. Two.\n- a\n- b\nThree. Four."),
        ("One:\n```sh\na\nb\n```\nTwo.\nThree.", "en", "One:\n```sh\na\nb\n```\nTwo. Three."),
        ("| a |\n|---|\n| b |", "en", "| a |\n|---|\n| b |"),
        ("1. a\n2. b\n> c\n> d\n    e", "en", "1. a\n2. b\n> c\n> d\n    e"),
        ("<details>\n<b>\n$$x$$\n$$y$$", "zh", "<details>\n<b>\n$$x$$\n$$y$$"),
        ("4.5 bits.\n**1.** A.\n*B* it is.", "en", "4.5 bits. **1.** A. *B* it is."),
        ("", "en", ""),
    ],
)  # fmt: skip
def test_sentences_become_paragraphs_and_all_else_stays(
    text: str, language: str, joined: str
) -> None:
    assert rules.join_sentences(text, " " if language == "en" else "") == joined


@pytest.mark.parametrize("quotes", ['"""', 'r"""'])
def test_a_text_is_joined_and_numbered_and_its_backslashes_stay(
    tmp_path: Path, quotes: str
) -> None:
    said = LESSON.replace("run it.", "run it:\n$\\frac{1}{2}$\\, as in lesson [[lora]].")
    en, zh, *_ = rules.read(write(tmp_path, said.replace('"""', quotes, 1)))
    number = find_lesson("lora").id
    assert en.text == (
        "# A lesson\n\n**You will be able to** run it: "
        f"$\\frac{{1}}{{2}}$\\, as in lesson {number}. "
        "**You will learn** little. **You need** a minute."
    )
    assert "运行它。**你会明白**" in zh.text and en.options == {"lang": "en"}


# What is made


def test_a_student_gets_no_solution(lesson: Path) -> None:
    texts = {
        version: cell(build.make(lesson, "en", version).notebook, "kv-cache").source
        for version in ("student", "solved", "assignment")
    }
    assert texts["student"] == "size = None\n# your code here / 在这里写代码"
    assert "size = 6" in texts["solved"]
    assert texts["assignment"] == texts["solved"]


def test_a_solution_inside_a_function_leaves_a_function(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        LESSON.replace(
            "size = None\n### BEGIN SOLUTION\nsize = 6\n### END SOLUTION",
            "def size():\n    ### BEGIN SOLUTION\n    return 6\n    ### END SOLUTION",
        ),
    )
    text = cell(build.make(source, "en").notebook, "kv-cache").source
    found: dict = {}
    exec(text, found)
    assert found["size"]() is None


def test_nbgrader_finds_its_metadata(lesson: Path) -> None:
    made = build.make(lesson, "zh").notebook
    assert cell(made, "kv-cache").metadata.nbgrader == {
        "grade": False,
        "grade_id": "choose-a-model-kv-cache",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    graded = cell(made, "kv-cache-check").metadata.nbgrader
    assert (graded.grade, graded.solution, graded.locked, graded.points) == (True, False, True, 2)


def test_languages_share_the_code_and_its_ids(lesson: Path) -> None:
    def code(language: str) -> list[tuple[str, str]]:
        made = build.make(lesson, language).notebook
        cells = [(c.id, c.source) for c in made.cells if c.cell_type == "code"]
        return cells[1:]  # the first is the set-up, which chooses the language

    assert code("en") == code("zh")
    assert 'use_language("zh")' in build.make(lesson, "zh").notebook.cells[2].source


def test_a_changed_cell_leaves_the_ids_of_the_others(tmp_path: Path, lesson: Path) -> None:
    old = [cell.id for cell in build.make(lesson, "en").notebook.cells]
    write(tmp_path, LESSON.replace("1 + 1", "1 + 2"))
    new = [cell.id for cell in build.make(lesson, "en").notebook.cells]
    assert len(set(new)) == len(new) == len(old)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


@pytest.mark.parametrize("lesson", lessons(), ids=lambda lesson: lesson.id)
def test_the_set_up_never_forces_never_compiles_and_brings_what_the_lesson_imports(
    lesson: Lesson,
) -> None:
    text = frame.set_up(lesson.topic, "zh")
    installs = re.findall(r"^    %pip (.*)$", text, re.M)
    assert installs and "--force" not in text
    assert all("--only-binary :all:" in line for line in installs)
    brought = {name for line in installs for name in re.findall(r"[\w-]+", line)}
    wanted = lesson.extras - {"lab"}  # Colab has matplotlib
    assert wanted <= brought and 'use_language("zh")' in text


def test_a_set_up_outside_of_a_hosted_notebook_only_chooses_the_language(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = re.sub(
        r"^    %pip.*$", "    raise AssertionError", frame.set_up("start-here", "zh"), flags=re.M
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    try:
        exec(text, {})
        assert language() == "zh"
        monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
        with pytest.raises(AssertionError):
            exec(text, {})
    finally:
        use_language(None)


def test_only_lessons_that_fit_binder_have_its_badge() -> None:
    with_badge = {le.topic for le in lessons() if "mybinder" in frame.platforms(le.stem, "en")}
    assert with_badge == {le.topic for le in lessons() if frame.fits_binder(le)}
    assert "start-here" in with_badge
    assert "quantization-lab" not in with_badge  # it needs auto-round
    built = (HOME.parent / "binder" / "postBuild").read_text(encoding="utf-8")
    assert set(re.findall(r"\.ci/setup (\S+)", built)[0].split(",")) == frame.BINDER_EXTRAS


def test_the_badges_what_comes_first_and_the_words_frame_a_lesson(tmp_path: Path) -> None:
    qlora, needed = find_lesson("qlora"), [find_lesson(n) for n in find_lesson("qlora").needs]
    made = build.make(write(tmp_path, LESSON, qlora.stem), "zh").notebook
    badges, before = made.cells[1].source.split("\n\n")
    assert "在 Colab 中打开" in badges and f"/blob/main/notebooks/zh/{qlora.stem}.ipynb" in badges
    assert re.findall(r"\((\S+)\.ipynb\)", before) == [lesson.stem for lesson in needed]
    assert frame.before("start-here", "zh") == ""
    links = re.findall(r"\(glossary\.md#([\w-]+)\)", made.cells[-1].source)
    assert links == [term.id for term in terms("qlora")]
    assert all(f'<a id="{link}"></a>' in frame.glossary("zh") for link in links)


# Building


def test_words_that_change_keep_the_outputs(tmp_path: Path, lesson: Path) -> None:
    target = tmp_path / "en" / f"{STEM}.ipynb"
    build.build(lesson, "en", target)
    write(tmp_path, LESSON.replace("a minute", "two minutes"))
    assert build.build(lesson, "en", target) == "only words changed: outputs kept"
    assert "two minutes" in (text := target.read_text(encoding="utf-8")) and '"2"' in text
    write(tmp_path, LESSON.replace("1 + 1", "1 + 2"))
    assert re.match(r"\d", build.build(lesson, "en", target))


def test_a_term_used_in_one_language_only_is_reported(tmp_path: Path) -> None:
    said = "KV cache, " * rules.OFTEN
    source = write(tmp_path, LESSON.replace("# A lesson", f"# A lesson\n\n{said}"))
    with pytest.raises(rules.BuildError, match="'KV cache' / 'KV 缓存' stands in one language"):
        rules.check(source)


def test_a_build_is_done_once_and_drift_is_seen(tmp_path: Path, lesson: Path) -> None:
    target = tmp_path / "zh" / f"{STEM}.ipynb"
    assert re.match(r"\d", build.build(lesson, "zh", target))
    assert build.build(lesson, "zh", target) == "unchanged"
    text = target.read_text(encoding="utf-8")
    assert "还没有作答" in text
    assert not re.search(r"iopub|\"version\"|widgets", text)
    assert build.drift(tmp_path) == [f"{tmp_path / 'en' / STEM}.ipynb is missing"]
    write(tmp_path, LESSON.replace("1 + 1", "1 + 2"))
    assert f"{target} is not what {STEM}.py makes" in build.drift(tmp_path)
    lesson.unlink()
    assert build.drift(tmp_path) == [f"{target} has no source"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("1 / 0", ":17: in en: ZeroDivisionError: division by zero"),
        ("import sys; print('careful', file=sys.stderr)", ":17: a lesson writes nothing to stderr"),
        ("import ipywidgets; ipywidgets.IntSlider()", ":17: with LABKIT_STATIC=1 a widget"),
        ("import os; os.getcwd()", ":17: the output names a folder of this computer"),
    ],
)
def test_an_output_that_may_not_be_kept_fails_the_build(
    tmp_path: Path, code: str, problem: str
) -> None:
    source = write(tmp_path, LESSON.replace("1 + 1", code))
    with pytest.raises(rules.BuildError) as failed:
        build.execute(build.make(source, "en"), source)
    assert problem in str(failed.value)


def test_a_wrong_solution_fails_the_solved_version(tmp_path: Path) -> None:
    source = write(tmp_path, LESSON.replace("size = 6", "size = 7"))
    with pytest.raises(rules.BuildError, match=":45: in en: AssertionError: .*7"):
        build.execute(build.make(source, "en", "solved"), source, graded=True)


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build.main(["99"])
    assert ended.value.code == 2
    assert "no lesson begins with '99'; there are: 00_start-here" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        build.main(["--inputs-only"])
