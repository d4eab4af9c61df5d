"""Files from the network: resumed where they broke off, and there only when size and hash agree."""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import ProgressBar, show_progress
from ..core.units import MiB, show_bytes

ATTEMPTS = 4
"""How often a file is asked for before it is given up; what arrived is kept either way."""

PATIENCE = 20
"""Seconds without a byte after which a connection counts as stalled."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    name: for people. url: where it is. target: where it goes. size: bytes, None if not known.
    digest: 64 hexadecimal digits (SHA-256), 40 (as git names a file), or None if not known.
    """

    name: str
    url: str
    target: Path
    size: int | None = None
    digest: str | None = None


def fetch_files(
    files: Iterable[RemoteFile], title: str, headers: Mapping[str, str] | None = None
) -> None:
    """Fetch those that are not there yet, one after another, with one bar for all.

    Usage: ``fetch_files([RemoteFile("model.gguf", url, path, size)], "model.gguf")``

    What an earlier try left is gone on with. Two processes that want the same file take turns.
    Raises LabError, with what to do next, when there is no room, when the server refuses, when the
    connection breaks too often, and when a size or a hash is wrong; such a file is thrown away.
    """
    missing = [file for file in files if not file.target.exists()]
    if not missing:
        return
    sizes = [file.size for file in missing]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    folder = missing[0].target.parent
    folder.mkdir(parents=True, exist_ok=True)
    here = sum(_size(_part(file)) for file in missing)
    free = shutil.disk_usage(folder).free
    if total is not None and free < total - here:
        raise _no_room(folder, total - here, free)
    lock = need("filelock").FileLock
    with show_progress(total, title, unit="B") as bar:
        for file in missing:
            file.target.parent.mkdir(parents=True, exist_ok=True)
            with lock(f"{file.target}.lock"):
                if file.target.exists():
                    bar.advance(file.size or 0)  # another process was faster
                else:
                    _fetch(file, headers or {}, bar)
            Path(f"{file.target}.lock").unlink(missing_ok=True)


def _part(file: RemoteFile) -> Path:
    return file.target.with_name(f"{file.target.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch(file: RemoteFile, headers: Mapping[str, str], bar: ProgressBar) -> None:
    part = _part(file)
    bar.advance(_size(part))
    failed = 0
    while file.size is None or _size(part) < file.size:
        before = _size(part)
        try:
            _read_rest(file, part, headers, bar)
        except need("httpx2").TransportError as error:
            failed = 1 if _size(part) > before else failed + 1
            if failed >= ATTEMPTS:
                raise _broken(file, error) from None
            time.sleep(min(2**failed, 8) / 4)
        else:
            if file.size is None or _size(part) <= before:
                break
    if not _is_right(file, part):
        part.unlink()
        raise LabError(
            t(
                f"'{file.name}' did not arrive as it was sent: its size or hash is wrong.",
                f"'{file.name}' 与原文件不一致：大小或哈希值不符。",
            ),
            t(
                "It was thrown away. Try again; if that does not help, use another mirror.",
                "该文件已删除。请重试；若再次出现，请换镜像。",
            ),
        )
    os.replace(part, file.target)


def _read_rest(file: RemoteFile, part: Path, headers: Mapping[str, str], bar: ProgressBar) -> None:
    """Append what is missing; a server that cannot do that sends all of it again."""
    client = need("huggingface_hub").get_session()
    here = _size(part)
    wish = dict(headers) | {"Accept-Encoding": "identity"}
    if here:
        wish["Range"] = f"bytes={here}-"
    with client.stream(
        "GET", file.url, headers=wish, timeout=PATIENCE, follow_redirects=True
    ) as response:
        if response.status_code == 416:  # it is shorter than what is here
            part.unlink()
            bar.advance(-here)
            return
        if response.status_code >= 500 or response.status_code == 429:
            wait = response.headers.get("Retry-After", "")
            time.sleep(min(int(wait), 30) if wait.isdigit() else 0)
            raise need("httpx2").RemoteProtocolError(f"HTTP {response.status_code}")
        if response.status_code >= 400:
            raise refused(file.name, response.status_code)
        whole = response.status_code != 206
        if whole:
            bar.advance(-here)
        try:
            with part.open("wb" if whole else "ab") as out:
                for chunk in response.iter_raw():  # as it comes: a broken end keeps all that came
                    out.write(chunk)
                    bar.advance(len(chunk))
        except OSError as error:
            free = shutil.disk_usage(part.parent).free
            raise _no_room(part, (file.size or 0) - _size(part), free) from error


def _is_right(file: RemoteFile, part: Path) -> bool:
    if not part.exists() or file.size not in (None, _size(part)):
        return False
    if file.digest is None:
        return True
    found = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(usedforsecurity=False)
    if len(file.digest) == 40:
        found.update(f"blob {_size(part)}\0".encode())  # as git hashes a file
    with part.open("rb") as data:
        while chunk := data.read(MiB):
            found.update(chunk)
    return found.hexdigest() == file.digest


def refused(name: str, status: int, login: str = "hf auth login") -> LabError:
    """What to do about an answer of 4xx or 5xx. Usage: ``raise refused("Qwen/Qwen2.5-7B", 404)``

    login: how one shows who one is there.
    """
    if status in (401, 403):
        return LabError(
            t(f"'{name}' may not be fetched without permission.", f"没有权限获取 '{name}'。"),
            t(
                f"Show who you are ({login}), and accept the terms on the model's page, if any.",
                f"请先登录（{login}）；若模型页面有使用条款，请先接受。",
            ),
        )
    if status == 404:
        return LabError(
            t(f"There is no '{name}' there.", f"远端没有 '{name}'。"),
            t("Check the spelling.", "请检查拼写。"),
        )
    if status == 429:
        return LabError(
            t(
                f"The server is too busy for '{name}' (429).",
                f"服务器繁忙，暂时不提供 '{name}'（429）。",
            ),
            t("Wait a few minutes and try again.", "请等几分钟再试。"),
        )
    return LabError(
        t(
            f"The server failed on '{name}' ({status}).",
            f"服务器处理 '{name}' 时出错（{status}）。",
        ),
        t(
            "Try again later, or set HF_ENDPOINT to a mirror.",
            "请稍后再试，或把 HF_ENDPOINT 设为镜像。",
        ),
    )


def _broken(file: RemoteFile, error: Exception) -> LabError:
    status = str(error).removeprefix("HTTP ")
    if status.isdigit():
        return refused(file.name, int(status))
    return LabError(
        t(
            f"The connection broke while fetching '{file.name}'.",
            f"获取 '{file.name}' 时连接中断。",
        ),
        t(
            "Try again: it goes on where it stopped. Where the Hub is slow, set HF_ENDPOINT to a"
            " mirror.",
            "请重试，会从断点继续。若访问 Hub 较慢，请把 HF_ENDPOINT 设为镜像。",
        ),
    )


def _no_room(folder: Path, size: int, free: int) -> LabError:
    return LabError(
        t(
            f"There is no room in '{folder}': {show_bytes(size)} are still to come, and"
            f" {show_bytes(free)} are free.",
            f"'{folder}' 所在磁盘空间不足：还需 {show_bytes(size)}，只剩 {show_bytes(free)}。",
        ),
        t(
            "Free some space, or set HF_HOME (LABKIT_CACHE for other sources) to another disk;"
            " then try again: it goes on where it stopped.",
            "请清理磁盘，或把 HF_HOME（其他来源用 LABKIT_CACHE）设到另一块磁盘；重试会从断点继续。",
        ),
    )
