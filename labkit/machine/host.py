"""Where facts about a computer are read: its files, its tools, its environment."""

import os
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


def run_tool(*command: str) -> str | None:
    """What a tool writes to stdout; None when it is missing, fails or hangs.

    Usage: ``run_tool("nvidia-smi", "-L")``
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=20,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Host:
    """Where the readers look: this computer, or the recorded texts of another one.

    Usage: ``hardware(Host(root=tmp_path, run=lambda *command: None, system="Linux"))``
    """

    root: Path = Path("/")
    run: Callable[..., str | None] = run_tool
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    system: str = field(default_factory=platform.system)

    def read(self, path: str | PurePosixPath) -> str | None:
        """The text of a file below the root; None when it cannot be read."""
        try:
            return (self.root / str(path).lstrip("/")).read_text("utf-8", errors="replace")
        except OSError:
            return None


def entry(text: str | None, *keys: str, separator: str = ":") -> str | None:
    """The value of the first of these keys in lines of "key: value"; None where there is none.

    Usage: ``entry(host.read("/proc/cpuinfo"), "model name")``
    """
    found: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, _, value = line.partition(separator)
        found.setdefault(key.strip(), value.strip())
    return next((found[key] for key in keys if found.get(key)), None)
