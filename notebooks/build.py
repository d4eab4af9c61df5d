"""Make the notebooks of the course from their sources: checked, executed, in both languages.

Usage: ``python notebooks/build.py [NAME …] [--force] [--solved | --inputs-only] [--out DIR]``

``source/NN_topic.py`` (jupytext, py:percent) becomes ``en/NN_topic.ipynb`` and ``zh/…``. How a
source is written stands in STYLE.md; what breaks its rules is reported with file and line.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import frame
import handouts
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from rules import LANGUAGES, SOLUTION, BuildError, Cell, check, read, topic_of

HERE = Path(__file__).parent
NBGRADER = HERE / "classroom" / "nbgrader_config.py"
DASHBOARD = HERE / "classroom" / "dashboard.py"
"""No lesson, but made like one: a teacher's view of a class."""
LONG_CELL_SECONDS, HUNG_CELL_SECONDS = 90, 600
PRIVATE = (str(HERE.resolve().parent) + "/", str(Path.home()) + "/", tempfile.gettempdir() + "/")

Version = Literal["student", "solved", "assignment"]

STUB = "# your code here / 在这里写代码"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"},
}


@dataclass(frozen=True)
class Made:
    """A notebook with its inputs and no outputs. lines: cell id to the line in the source."""

    notebook: NotebookNode
    lines: dict[str, int]


def make(source: Path, language: str, version: Version = "student") -> Made:
    """The inputs of a notebook in one language; nothing is executed.

    version: student (solutions replaced by a stub), solved, or assignment (as nbgrader takes it:
    solutions between their markers). Cell ids come from the content, so that a changed cell
    changes in a diff and its neighbours do not.
    """
    cells = [cell for cell in read(source) if cell.options.get("lang") in (None, language)]
    topic = topic_of(source)
    first = next((n for n, cell in enumerate(cells) if cell.kind == "code"), len(cells))
    line = cells[first].line if cells[first:] else 1
    set_up = frame.set_up(topic, language) if topic else frame.SPEAK.format(language=language)
    cells.insert(first, Cell(line, "code", set_up, {}))
    if topic:
        opening = [frame.platforms(source.stem, language), frame.before(topic, language)]
        cells.insert(1, Cell(1, "markdown", "\n\n".join(filter(None, opening)), {}))
    if words := frame.words(topic, language):
        cells.append(Cell(line, "markdown", words, {}))
    made = nbformat.v4.new_notebook()
    lines: dict[str, int] = {}
    for cell in cells:
        id = _id(cell, taken=lines)
        lines[id] = cell.line
        if cell.kind == "markdown":
            made.cells.append(nbformat.v4.new_markdown_cell(cell.text, id=id))
            continue
        text = SOLUTION.sub(_stub, cell.text) if version == "student" else cell.text
        metadata = _metadata(cell, topic)
        made.cells.append(nbformat.v4.new_code_cell(text, id=id, metadata=metadata))
    made.metadata = nbformat.from_dict(METADATA)
    made.metadata.labkit = {"source": source.name, "language": language, "inputs": _digest(made)}
    return Made(made, lines)


def _stub(match: re.Match[str]) -> str:
    indent = match[1]  # inside of a function something must stand: … is "not answered yet"
    return f"{indent}{STUB}" + (f"\n{indent}..." if indent else "")


def _id(cell: Cell, taken: dict[str, int]) -> str:
    if name := cell.options.get("exercise"):
        return name
    if name := cell.options.get("check"):
        return f"{name}-check"
    digest = hashlib.sha256(f"{cell.kind}\n{cell.text}".encode()).hexdigest()[:8]
    return next(id for n in range(99) if (id := digest + (f"-{n}" if n else "")) not in taken)


def _metadata(cell: Cell, topic: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    tags = list(cell.options.get("tags", []))
    if reason := cell.options.get("varies"):
        made["varies"] = reason
        tags.append("nbval-ignore-output")
    if tags:
        made["tags"] = tags
    name = cell.options.get("exercise") or cell.options.get("check")
    if name:
        is_check = "check" in cell.options
        made["nbgrader"] = {
            "grade": is_check,
            "grade_id": f"{topic}-{name}" + ("-check" if is_check else ""),
            "locked": is_check,
            "schema_version": 3,
            "solution": not is_check,
            "task": False,
        }
        if is_check:
            made["nbgrader"]["points"] = cell.options.get("points", 1)
    return made


def _inputs(notebook: NotebookNode) -> list[Any]:
    return [[cell.id, cell.cell_type, cell.source, cell.metadata] for cell in notebook.cells]


def _digest(notebook: NotebookNode) -> str:
    text = json.dumps(_inputs(notebook), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def execute(made: Made, source: Path, *, graded: bool = False) -> str:
    """Run a notebook in a fresh kernel and keep its outputs; returns one line about the times.

    graded: anything but a right answer fails. Raises BuildError where a cell fails, takes too
    long, warns, or shows a live widget, for a kept output must be the same the next time.
    """
    notebook = made.notebook
    language = notebook.metadata.labkit.language
    wishes = {"LABKIT_STATIC": "1", "LABKIT_LANG": language, "HF_HUB_OFFLINE": "1"}
    wishes |= {"LABKIT_GRADING": "1"} if graded else {}
    metadata = notebook.metadata.copy()
    with tempfile.TemporaryDirectory() as folder:  # what a lesson writes does not stay
        client = NotebookClient(
            notebook,
            timeout=HUNG_CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=True,
            extra_arguments=["--log-level=ERROR"],
        )
        try:
            client.execute(env=os.environ | wishes)
        except (CellExecutionError, CellTimeoutError) as error:
            reached = [cell for cell in notebook.cells if cell.metadata.get("execution")]
            where = f"{source}:{made.lines[reached[-1].id]}: in {language}"
            if isinstance(error, CellTimeoutError):
                raise BuildError(f"{where}: hung for {HUNG_CELL_SECONDS} s") from None
            words = " ".join(error.evalue.split())
            raise BuildError(f"{where}: {error.ename}: {words}") from None
    notebook.metadata = metadata  # without the versions of the kernel that ran it
    seconds = {cell.id: _settle(cell, made, source) for cell in notebook.cells}
    slowest = max(seconds, key=lambda id: seconds[id])
    most = f"slowest {seconds[slowest]:.1f} s (line {made.lines[slowest]})"
    if seconds[slowest] > LONG_CELL_SECONDS:  # on a busy machine it may still be the cell's right
        most += f": warning, a cell takes at most {LONG_CELL_SECONDS} s"
    return f"{sum(seconds.values()):.1f} s, {most}"


def _settle(cell: NotebookNode, made: Made, source: Path) -> float:
    """Strip from an executed cell what differs from run to run; returns its seconds."""
    times = cell.metadata.pop("execution", {})
    kept: list[NotebookNode] = []
    for output in cell.get("outputs", []):
        where = f"{source}:{made.lines[cell.id]}"
        if output.get("name") == "stderr":
            raise BuildError(f"{where}: a lesson writes nothing to stderr: {output.text.strip()}")
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            raise BuildError(f"{where}: with LABKIT_STATIC=1 a widget shows its static form")
        if any(place in json.dumps(output) for place in PRIVATE):
            raise BuildError(f"{where}: the output names a folder of this computer")
        if kept and output.output_type == kept[-1].output_type == "stream":
            kept[-1].text += output.text  # how a stream is cut into pieces is chance
        else:
            kept.append(output)
    if cell.cell_type == "code":
        cell.outputs = kept
    start, end = times.get("iopub.execute_input"), times.get("shell.execute_reply")
    if not (start and end):
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    draft.replace(path)


def assign(source: Path, language: str, folder: Path) -> Path:
    """Write what ``nbgrader generate_assignment topic-language`` takes when run in the folder.

    Settings that are there already stay as the teacher left them.
    """
    path = folder / "source" / f"{topic_of(source)}-{language}" / f"{source.stem}.ipynb"
    write(make(source, language, "assignment").notebook, path)
    if not (folder / NBGRADER.name).exists():
        shutil.copy(NBGRADER, folder)
    return path


def pages() -> dict[Path, str]:
    """The files made beside the notebooks: path below notebooks/ to text."""
    badges = {Path("badges", f"{name.lower()}.svg"): frame.badge(name) for name in frame.BADGES}
    words = {Path(language, "glossary.md"): frame.glossary(language) for language in LANGUAGES}
    guides = {path: handouts.guide(language) for language, path in handouts.GUIDE.items()}
    return badges | words | guides


def stale_pages(home: Path = HERE) -> list[str]:
    """Which of those files are not as the build makes them: one sentence each."""
    return [
        f"{home / path} is not what the build makes"
        for path, text in pages().items()
        if not (home / path).exists() or (home / path).read_text(encoding="utf-8") != text
    ]


def _target(home: Path, source: Path, language: str) -> Path:
    if source.name == DASHBOARD.name:
        return home / "classroom" / f"{source.stem}.{language}.ipynb"
    return home / language / f"{source.stem}.ipynb"


def drift(home: Path = HERE) -> list[str]:
    """Where the notebooks are not what their sources say: one sentence each; empty if none."""
    found = []
    sources = sorted((home / "source").glob("*.py"))
    for language in LANGUAGES:
        for source in [*sources, *home.glob(f"classroom/{DASHBOARD.name}")]:
            path = _target(home, source, language)
            if not path.exists():
                found.append(f"{path} is missing")
                continue
            new, old = make(source, language).notebook, nbformat.read(path, as_version=4)
            if (_inputs(new), new.metadata) != (_inputs(old), old.metadata):
                found.append(f"{path} is not what {source.name} makes")
        stems = {source.stem for source in sources}
        extra = [p for p in (home / language).glob("*.ipynb") if p.stem not in stems]
        found += [f"{path} has no source" for path in extra]
    return found


def build(source: Path, language: str, target: Path, *, force: bool = False) -> str:
    """Make the student's notebook if its inputs changed; returns one line about it."""
    made = make(source, language)
    if not force and target.exists():
        old = nbformat.read(target, as_version=4)
        if old.metadata.get("labkit", {}).get("inputs") == made.notebook.metadata.labkit.inputs:
            return "unchanged"
        if _keep_outputs(made.notebook, old):
            write(made.notebook, target)
            return "only words changed: outputs kept"
    times = execute(made, source)
    write(made.notebook, target)
    return times


def _keep_outputs(new: NotebookNode, old: NotebookNode) -> bool:
    """Take over the outputs of a notebook that runs the same code after its set-up."""
    before, after = ([c for c in n.cells if c.cell_type == "code"] for n in (old, new))
    if [cell.source for cell in before[1:]] != [cell.source for cell in after[1:]]:
        return False
    for cell, run in zip(after, before, strict=True):
        cell.outputs, cell.execution_count = run.outputs, run.execution_count
    return True


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="lessons, by number or topic; default: all")
    parser.add_argument("--force", action="store_true", help="also those that did not change")
    parser.add_argument("--language", choices=LANGUAGES, action="append", help="default: both")
    parser.add_argument("--out", type=Path, default=HERE, help="where en/ and zh/ are written")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--solved", action="store_true", help="run with solutions, write nothing")
    kind.add_argument("--inputs-only", action="store_true", help="write without executing")
    kind.add_argument("--assignment", action="store_true", help="write a folder for nbgrader")
    kind.add_argument("--slides", action="store_true", help="write slides of the made notebooks")
    parser.add_argument("--reveal", help="for slides: folder or URL with reveal.js and its kin")
    wish = parser.parse_args(words)
    sources = [*sorted((HERE / "source").glob("*.py")), DASHBOARD]
    if wish.assignment or wish.solved or wish.slides:
        sources.remove(DASHBOARD)  # it asks nothing
    for name in wish.names:
        if not any(_is_called(source, name) for source in sources):
            parser.error(
                f"no lesson begins with '{name}'; there are: "
                f"{', '.join(source.stem for source in sources)}"
            )
    if (wish.inputs_only or wish.assignment or wish.slides) and wish.out == HERE:
        parser.error("this goes elsewhere; add --out DIR")
    try:
        for path, text in pages().items() if wish.out == HERE and not wish.solved else ():
            (HERE / path).parent.mkdir(exist_ok=True)
            (HERE / path).write_text(text, encoding="utf-8")
        for source in sources:
            if wish.names and not any(_is_called(source, name) for name in wish.names):
                continue
            _report(source, check(source) if source != DASHBOARD else [])
            for language in wish.language or LANGUAGES:
                target = _target(wish.out, source, language)
                if wish.solved:
                    said = execute(make(source, language, "solved"), source, graded=True)
                elif wish.assignment:
                    said = str(assign(source, language, wish.out))
                elif wish.slides:
                    page = target.with_suffix(".slides.html")
                    made = _target(HERE, source, language)
                    said = str(handouts.show_slides(made, page, wish.reveal))
                elif wish.inputs_only:
                    write(make(source, language).notebook, target)
                    said = str(target)
                else:
                    said = build(source, language, target, force=wish.force)
                print(f"{source.stem} {language}: {said}", flush=True)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _is_called(source: Path, name: str) -> bool:
    """Whether a lesson's number or topic begins so."""
    return any(word.startswith(name) for word in (source.stem, topic_of(source)))


def _report(source: Path, warnings: list[str]) -> None:
    for warning in warnings:
        print(warning, file=sys.stderr)
    sizes = [len(cell.text.splitlines()) for cell in read(source) if cell.kind == "code"]
    print(f"{source.stem}: {len(sizes)} code cells, median {statistics.median(sizes):g} lines")


if __name__ == "__main__":
    sys.exit(main())
