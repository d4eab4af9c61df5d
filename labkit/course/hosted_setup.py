"""What to mind after the course was installed into a notebook that runs at somebody else's."""

import sys
from importlib import metadata

from ..core.extras import has
from ..core.i18n import Language, t, use_language


def report(code: Language) -> None:
    """Print what the reader must know after an installation; nothing where all is well.

    Usage: ``labkit.course.hosted_setup.report("zh")``, by the first cell of a lesson on Colab or
    Kaggle.
    """
    use_language(code)
    for line in advise():
        print(line)


def advise() -> list[str]:
    """Sentences: a package that was exchanged under a running kernel, an engine that is missing.

    Usage: ``advise()``
    """
    found = []
    if loaded := getattr(sys.modules.get("numpy"), "__version__", None):
        if loaded != metadata.version("numpy"):
            found.append(
                t(
                    "numpy was replaced while it was in use: restart the runtime, then go on here.",
                    "numpy 在使用中被换掉了：请重启运行时，再从这里继续。",
                )
            )
    if not has("llama_cpp"):
        found.append(
            t(
                "There is no wheel of llama-cpp-python for this Python: models run on "
                "Transformers, and a cell that needs llama.cpp says so.",
                "llama-cpp-python 没有适合这个 Python 的轮子：模型改用 Transformers 运行，"
                "要用 llama.cpp 的单元格会另行说明。",
            )
        )
    return found
