"""Other computers, as their files and tools would describe them: texts in the recorded formats."""

from collections.abc import Mapping
from pathlib import Path

from labkit.machine.host import Host


def computer(
    root: Path,
    files: Mapping[str, str] | None = None,
    tools: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    system: str = "Linux",
) -> Host:
    """A Host whose files lie below root. tools: a command line's beginning to what it prints."""
    for path, text in (files or {}).items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def run(*command: str) -> str | None:
        line = " ".join(command)
        found = [text for start, text in (tools or {}).items() if line.startswith(start)]
        return found[0] if found else None

    return Host(root=root, run=run, environ=environ or {}, system=system)
