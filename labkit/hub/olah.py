"""olah, a mirror of the Hub that fetches what it lacks and keeps it: https://github.com/vtuber-plan/olah

It pins old versions of what we use, so it lives in an environment of its own, made once.
"""

import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from ..core.cache import cache_folder, replacing
from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import MiB

VERSION = "0.5.4"

PATIENCE = 60
"""Seconds that it may take to begin."""


def install_olah() -> Path:
    """The program, installed into an environment of its own if it is not there; needs the network.

    Usage: ``install_olah()``. Raises LabError when pip fails.
    """
    home = cache_folder() / "environments" / f"olah-{VERSION}"
    if not home.exists():
        with replacing(home, 300 * MiB, folder=True) as part:
            venv.create(part, with_pip=True, symlinks=os.name == "posix")
            words = ["-m", "pip", "install", "--quiet", f"olah=={VERSION}"]
            done = subprocess.run([_bin(part) / "python", *words], capture_output=True, text=True)
            if done.returncode:
                last = done.stderr.strip().rpartition("\n")[2]
                raise LabError(
                    t(f"olah could not be installed: {last}", f"olah 安装失败：{last}"),
                    t(
                        "Go online and try again, or serve what is here: labkit mirror",
                        "请联网后重试；也可以只提供本机已有的模型：labkit mirror",
                    ),
                )
    return _bin(home) / "python"


def _bin(home: Path) -> Path:
    return home / ("Scripts" if os.name == "nt" else "bin")


@contextmanager
def serve_olah(
    *, host: str = "127.0.0.1", port: int = 8090, upstream: str | None = None
) -> Iterator[str]:
    """A mirror that fetches from the Hub what is asked of it; yields its address.

    Usage: ``with serve_olah(port=8090) as url: print(url)``

    upstream: where it fetches; None: HF_ENDPOINT, else huggingface.co. What it has fetched is kept
    in labkit's cache. Raises LabError when it does not begin; its log is on stderr.
    """
    source = urlsplit(upstream or os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    large = "cdn-lfs.huggingface.co" if source.netloc == "huggingface.co" else source.netloc
    here = f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    folder = cache_folder() / "olah"
    options = {
        "host": host, "port": port, "hf-scheme": source.scheme, "hf-netloc": source.netloc,
        "hf-lfs-netloc": large, "mirror-scheme": "http", "mirror-netloc": here,
        "mirror-lfs-netloc": here, "repos-path": folder / "repositories",
        "log-path": folder / "logs",
    }  # fmt: skip
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    python = install_olah()
    # Not by its script: that names the folder in which it was installed, which has moved since.
    code = "import sys; sys.argv[0] = 'olah-cli'; from olah.server import cli; cli()"
    process = subprocess.Popen([python, "-c", code, *words], stdout=sys.stderr)
    try:
        _wait(process, here)
        yield f"http://{here}"
    finally:
        process.terminate()
        process.wait()


def _wait(process: "subprocess.Popen[bytes]", here: str) -> None:
    """Until it answers, with whatever."""
    opener = build_opener(ProxyHandler({}))
    for _ in range(PATIENCE * 2):
        if process.poll() is not None:
            break
        try:
            opener.open(f"http://{here}/", timeout=5).close()
        except OSError as error:
            if hasattr(error, "code"):  # it refused, so it is there
                return
            time.sleep(0.5)
        else:
            return
    raise LabError(
        t("olah did not start.", "olah 没有启动。"),
        t("Its log is above; another port may help.", "请看上面的日志，或换一个端口。"),
    )
