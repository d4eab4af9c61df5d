"""Write the lessons, their tracks and their time into both READMEs, between the markers.

Usage: ``python .ci/tracks.py``. A test compares what stands there with what this would write.
"""

import re
import sys
from pathlib import Path

from labkit.core.i18n import Language, use_language
from labkit.course import overview

ROOT = Path(__file__).parents[1]
READMES: dict[Language, Path] = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
MARKED = re.compile(r"(<!-- tracks: \.ci/tracks\.py -->\n).*?(<!-- /tracks -->)", re.S)


def make_block(language: Language) -> str:
    """The table in Markdown; a lesson is a link where its notebook is there.

    What the learner has answered does not belong into a README, so the last column is left out.
    """
    use_language(language)
    try:
        (*head, _), *rows = overview().rows()
    finally:
        use_language(None)
    lines = [head, ["---"] * len(head)]
    for (number, title, *cells, _), stage in zip(rows, [*overview().stages, None], strict=True):
        if stage:
            notebook = f"notebooks/{language}/{stage.lesson.stem}.ipynb"
            title = f"[{title}]({notebook})" if (ROOT / notebook).exists() else title
        lines.append([number, title, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    for language, path in READMES.items():
        block = make_block(language).replace("\\", r"\\")
        text, found = MARKED.subn(rf"\g<1>{block}\g<2>", path.read_text(encoding="utf-8"))
        if found != 1:
            sys.exit(f"{path.name} must hold the two markers of the tracks exactly once")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
