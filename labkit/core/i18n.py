"""The language of messages: English or Chinese, chosen once, spoken at the place of use."""

import locale
import os
from typing import Literal

Language = Literal["en", "zh"]

_chosen: Language | None = None


def language() -> Language:
    """The language messages are written in now.

    Usage: ``language()  # "zh"``

    Order: :func:`use_language`, then the variable ``LABKIT_LANG``, then the system's locale;
    English where none of them says Chinese.
    """
    if _chosen is not None:
        return _chosen
    wish = os.environ.get("LABKIT_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG")
    wish = wish or locale.getlocale()[0] or ""
    return "zh" if wish.lower().startswith(("zh", "chinese")) else "en"


def use_language(code: Language | None) -> None:
    """Choose the language for this process; ``None`` goes back to the surroundings.

    Usage: ``use_language("zh")``. Raises ValueError for any other code.
    """
    global _chosen
    if code not in ("en", "zh", None):
        raise ValueError(f"language {code!r} is not known; use 'en' or 'zh'")
    _chosen = code


def t(en: str, zh: str) -> str:
    """The one of two sentences that is in the reader's language.

    Usage: ``t("No GPU was found.", "没有找到 GPU。")``
    """
    return zh if language() == "zh" else en
