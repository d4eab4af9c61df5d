"""A record of where requests went and why, without a word of what they said.

Usage: ``log = AuditLog("audit.jsonl")``; ``print(log.table())``

A line of JSON an entry, in a file that only its owner can read (mode 0600 where the system has
modes). No text and no hash of one is kept: a hash of eleven digits is found by trying them all.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..core.tables import Table


@dataclass(frozen=True)
class Entry:
    """One decision. time: UTC, ISO 8601. target: local, api or refused. rule: what decided.

    kinds: of sensitive data, as :data:`labkit.privacy.sensitive_data.KINDS`; "custom" for a
    detector of your own. task: only one that the rules name. tokens: of the request, about.
    """

    time: str
    target: str
    rule: str
    kinds: tuple[str, ...]
    task: str | None
    tokens: int
    mean_logprob: float | None
    estimated_usd: float


class AuditLog:
    """A file of entries. Raises OSError where it cannot be written; links are not followed."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, entry: Entry) -> None:
        """Append an entry, on disk before this returns. Usage: ``log.write(entry)``"""
        line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            if hasattr(os, "fchmod"):  # a file that was there before may be open to others
                os.fchmod(handle, 0o600)
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def entries(self) -> Iterator[Entry]:
        """What was written so far, the oldest first. Usage: ``list(log.entries())``"""
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                yield Entry(**row | {"kinds": tuple(row["kinds"])})

    def table(self) -> Table:
        """The same for a reader. Usage: ``print(log.table())``"""
        names = [field.name for field in fields(Entry)]
        rows = [[_show(getattr(entry, name)) for name in names] for entry in self.entries()]
        return Table(names, rows)


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
