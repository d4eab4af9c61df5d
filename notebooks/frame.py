"""What the build adds to every lesson: the platforms it opens on, the set-up, its words.

All of it follows from three settings of pyproject.toml: where the repository is, the version, and
which extra brings which package.
"""

import tomllib
from pathlib import Path

from labkit.catalog.glossary import Term, terms
from labkit.catalog.lessons import Lesson, find_lesson, lessons

HERE = Path(__file__).parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
WHEELS = f"{REPOSITORY}/releases/expanded_assets/v{PROJECT['version']}"
BADGES = ("Colab", "Kaggle", "Binder")
BINDER_MEMORY = 1_800_000_000
"""Of the 2 GB that Binder gives, Jupyter itself takes the rest."""
BINDER_EXTRAS = {"models", "llama", "finetune", "search", "serve", "lab"}
"""What binder/postBuild installs."""

SETUP = """# @title Set-up: on Colab, Kaggle and ModelScope it installs what is missing
import importlib.util, os, sys
places = {{"KAGGLE_KERNEL_RUN_TYPE", "MODELSCOPE_ENVIRONMENT"}}
hosted = "google.colab" in sys.modules or places & {{*os.environ}}
if hosted and importlib.util.find_spec("labkit") is None:
    wheels = os.environ.get("LABKIT_WHEELS", "{wheels}")
{installs}
    import labkit.course.hosted_setup
    labkit.course.hosted_setup.report("{language}")
from labkit.core.i18n import use_language
use_language("{language}")"""

SPEAK = 'from labkit.core.i18n import use_language\n\nuse_language("{language}")'
"""The set-up of a notebook that is opened where labkit is."""

INSTALL = '    %pip install --quiet --only-binary :all: --find-links {{wheels}} "{package}"'


def set_up(topic: str, language: str) -> str:
    """The first code cell of a lesson: wheels only, and nothing replaced by force.

    llama-cpp-python comes by a line of its own, for where there is no wheel of it the rest of the
    lesson still runs.
    """
    lesson = find_lesson(topic)
    extras = lesson.extras - {"lab", "llama"}
    needs_llama = "llama_cpp" in lesson.modules
    wanted = [f"{PROJECT['name']}[{','.join(sorted(extras))}]=={PROJECT['version']}"]
    if needs_llama:
        wanted.append(f"{PROJECT['name']}[llama]=={PROJECT['version']}")
    installs = "\n".join(INSTALL.format(package=name.replace("[]", "")) for name in wanted)
    return SETUP.format(wheels=WHEELS, installs=installs, language=language)


def platforms(stem: str, language: str) -> str:
    """Badges that open a lesson elsewhere; pictures of ours, so that none is fetched."""
    here = f"{REPOSITORY.removeprefix('https://github.com/')}/blob/main/notebooks/{language}"
    links = {
        "Colab": f"https://colab.research.google.com/github/{here}/{stem}.ipynb",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src={REPOSITORY}/blob/main/notebooks/"
        f"{language}/{stem}.ipynb",
    }
    if fits_binder(find_lesson(stem.partition("_")[2])):
        links["Binder"] = (
            f"https://mybinder.org/v2/gh/{REPOSITORY.removeprefix('https://github.com/')}/main"
            f"?labpath=notebooks/{language}/{stem}.ipynb"
        )
    words = {"en": "Open in {}", "zh": "在 {} 中打开"}[language]
    return " ".join(
        f"[![{words.format(name)}](../badges/{name.lower()}.svg)]({link})"
        for name, link in links.items()
    )


def before(topic: str, language: str) -> str:
    """The lessons that come first, as links; empty where there are none."""
    needs = [find_lesson(need) for need in find_lesson(topic).needs]
    links = [f"[{le.id} {getattr(le.title, language)}]({le.stem}.ipynb)" for le in needs]
    title = {"en": "**Before this lesson**: ", "zh": "**先修**："}[language]
    return title + " · ".join(links) if links else ""


def fits_binder(lesson: Lesson) -> bool:
    """Whether a lesson runs in what binder/postBuild installs and in the memory Binder gives."""
    fits = (lesson.memory or BINDER_MEMORY + 1) <= BINDER_MEMORY
    return fits and lesson.extras <= BINDER_EXTRAS


def words(topic: str, language: str) -> str | None:
    """The last text of a lesson: the terms it explained, linked to the glossary."""
    own = terms(topic)
    if not own:
        return None
    title = {"en": "**Words of this lesson**", "zh": "**本课术语**"}[language]
    links = " · ".join(f"[{getattr(term.name, language)}](glossary.md#{term.id})" for term in own)
    return f"{title}: {links}" if language == "en" else f"{title}：{links}"


def glossary(language: str) -> str:
    """The page of all terms, in the order of the lessons that explain them."""
    head = {
        "en": "# Glossary\n\nThe words of the course, by the lesson that explains them first.",
        "zh": "# 术语表\n\n课程里的术语，按最先讲到它的那一课排列。",
    }[language]
    parts = [head]
    for lesson in lessons():
        own = terms(lesson.topic)
        if own:
            title = f"{lesson.id} {getattr(lesson.title, language)}"
            parts.append(f"## [{title}]({lesson.stem}.ipynb)")
            parts += [_entry(term, language) for term in own]
    return "\n\n".join(parts) + "\n"


def _entry(term: Term, language: str) -> str:
    en, zh = term.name.en, term.name.zh
    both = {"en": f"{en} ({zh})", "zh": f"{zh}（{en}）"}[language] if en != zh else en
    return f'<a id="{term.id}"></a>\n**{both}**  \n{getattr(term.text, language)}'


def badge(name: str) -> str:
    """A small picture with a name on it."""
    width = 7 * len(name) + 18
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img">'
        f"<title>{name}</title>"
        f'<rect width="{width}" height="20" rx="4" fill="#1f5f8b"/>'
        f'<text x="{width / 2:g}" y="14" fill="#ffffff" font-family="Verdana,sans-serif" '
        f'font-size="11" text-anchor="middle">{name}</text></svg>\n'
    )
