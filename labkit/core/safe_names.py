"""Names of files that come from elsewhere: lists of a Hub, manifests, addresses, indexes.

Whoever writes such a list chooses where a file would go. A name is taken only where it means the
same file on every system, and that file lies below the folder meant.

Not covered: two names that differ only in case are one file on Windows and macOS.
"""

import re
from pathlib import Path

from .errors import LabError
from .i18n import t

_DEVICES = {
    *("CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"),
    *(f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"),
}
"""What Windows opens instead of a file, whatever suffix follows."""

_LONGEST = 255
"""Bytes of one part of a path that the usual file systems allow."""


def is_safe_name(name: object) -> bool:
    """Whether a name from elsewhere is a plain relative path, with ``/`` between its parts.

    Usage: ``is_safe_name("onnx/model.onnx")``; ``is_safe_name("../.bashrc")  # False``
    """
    if not isinstance(name, str) or re.search(r'[\x00-\x1f\x7f\\:"<>|?*]', name):
        return False
    return all(map(_is_safe_part, name.split("/")))


def _is_safe_part(part: str) -> bool:
    """Of a path. Empty ones stand at the start of an absolute path; "." and ".." end in a dot."""
    try:
        size = len(part.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False
    device = part.partition(".")[0].rstrip(" ").upper() in _DEVICES
    return 0 < size <= _LONGEST and part[-1] not in ". " and not device


def path_below(folder: Path, name: object) -> Path:
    """Where the file of that name goes: always below the folder.

    Usage: ``path_below(folder, "tokenizer.json")``

    Raises LabError for every other name (:func:`is_safe_name`), and where a link in the folder
    leads out of it. Nothing is made.
    """
    if is_safe_name(name):
        path = folder / str(name)
        if path.parent.resolve().is_relative_to(folder.resolve()):
            return path
    raise LabError(
        t(
            f"{name!r:.120} is not the name of a file below '{folder}'.",
            f"{name!r:.120} 不是 '{folder}' 里面的文件名。",
        ),
        t(
            "Nothing was written there. Do not use this source: its list of files is broken or"
            " malicious.",
            "没有向那里写入任何内容。请不要使用这个来源：它的文件清单已损坏，或者怀有恶意。",
        ),
    )


def is_digest(text: object, *lengths: int) -> bool:
    """Whether a text is a digest: hexadecimal digits, small, of one of these lengths.

    Usage: ``is_digest("ab" * 32, 64)``. A file may be named by it.
    """
    return (
        isinstance(text, str)
        and len(text) in lengths
        and re.fullmatch("[0-9a-f]+", text) is not None
    )
