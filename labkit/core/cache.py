"""What is made once and kept: named by what it was made from, and there whole or not at all."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .errors import LabError
from .i18n import t
from .units import MiB, show_bytes

_HASHED_WHOLE = 64 * MiB
_DAY = 86_400
_MAY_NOT = (errno.EACCES, errno.EPERM, errno.EROFS)

_PART = re.compile(r"\..*\.(?P<pid>[0-9]{1,9})\.[0-9]+\.part", re.DOTALL)
"""How :func:`replacing` calls what it writes; the computer's name stands before the process."""


def cache_folder() -> Path:
    """The folder for what can be made or fetched again; it exists and can be written.

    Usage: ``cache_folder() / "logs"``

    The variable ``LABKIT_CACHE`` moves it. Raises LabError when it cannot be written. To look for
    what is there, :func:`cache_path` is enough: a cache that may only be read still gives it.
    """
    folder = cache_path(os.environ)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Asking for permission is not enough: root has it on a read-only disk too.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise LabError(
            t(
                f"The cache folder '{folder}' cannot be written: {error.strerror}.",
                f"缓存目录 '{folder}' 无法写入：{error.strerror}。",
            ),
            t(
                "Set LABKIT_CACHE to a folder that you may write to.",
                "请把环境变量 LABKIT_CACHE 设为一个可写的目录。",
            ),
        ) from error
    return folder


def cache_path(environ: Mapping[str, str]) -> Path:
    """Where the cache is, or would be; nothing is made.

    Usage: ``cache_path(os.environ) / "gguf"``
    """
    if chosen := environ.get("LABKIT_CACHE"):
        return Path(chosen).expanduser().absolute()
    import platformdirs  # not at the top: where nothing is cached, nothing asks for it

    return platformdirs.user_cache_path("labkit", appauthor=False)


def digest(made_by: str, files: Iterable[Path] = ()) -> str:
    """Twelve hexadecimal digits that stand for a version of what makes something, and for files.

    Usage: ``digest("converter 1", [folder / "config.json"])``

    Small files are hashed whole. Of larger ones, which would take minutes, name, size, time of
    change and the first megabyte (the header of safetensors and GGUF) count.
    """
    found = hashlib.sha256(made_by.encode())
    for path in files:
        status = path.stat()
        found.update(f"\0{path.name}\0{status.st_size}\0".encode())
        with path.open("rb") as file:
            if status.st_size <= _HASHED_WHOLE:
                found.update(file.read())
            else:
                found.update(f"{status.st_mtime_ns}\0".encode() + file.read(MiB))
    return found.hexdigest()[:12]


@contextlib.contextmanager
def replacing(path: Path, size: int, *, folder: bool = False) -> Iterator[Path]:
    """A file, or a folder, to write beside path, which takes its place when all went well.

    Usage: ``with replacing(path, size) as part: part.write_bytes(data)``

    size: bytes it will need. A folder that another process finished first is kept as it is.
    Raises LabError when there is no room or no permission.
    """
    parent = path.parent
    part = parent / f".{path.name}.{platform.node()}.{os.getpid()}.{threading.get_ident()}.part"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(parent)
        check_room(path, size)
        try:
            # Says why where it may not be written; llama.cpp would only fail.
            part.mkdir() if folder else part.touch()
            yield part
            if not (folder and path.exists()):
                os.replace(part, path)
        finally:
            _remove(part)
    except OSError as error:
        # numpy says how much it could write, but not why; EFBIG: more than a FAT disk can hold.
        if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _no_room(path, size, shutil.disk_usage(parent).free) from error
        raise not_written(error.filename or path, error) from error


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time makes what will stand at path; another waits until the first is done.

    Usage: ``with alone(folder): …``. For what takes minutes and keeps its progress beside path, as
    a training does; where that does not matter, :func:`replacing` is enough. A process that is
    killed holds nobody up. Raises LabError when the folder cannot be written.
    """
    from .extras import need

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with need("filelock").FileLock(path.with_name(f".{path.name}.lock")):
            yield
    except OSError as error:
        if error.errno not in _MAY_NOT:
            raise
        raise not_written(error.filename or path, error) from error


def check_room(path: Path, size: int) -> None:
    """Raise LabError when the disk of a file to be written has less room than size bytes.

    Usage: ``check_room(path, size)``. Its folder is there.
    """
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise _no_room(path, size, free)


def not_written(path: object, error: OSError) -> LabError:
    """What to do about a file that the system refuses to write.

    Usage: ``raise not_written(path, error) from error``
    """
    return LabError(
        t(
            f"'{path}' cannot be written: {error.strerror}.",
            f"无法写入 '{path}'：{error.strerror}。",
        ),
        t(
            "Choose a folder that you may write to; LABKIT_CACHE moves the cache.",
            "请换一个可写的目录；缓存位置可用环境变量 LABKIT_CACHE 更改。",
        ),
    )


def _no_room(path: Path, size: int, free: int) -> LabError:
    return LabError(
        t(
            f"There is no room for '{path}': it needs {show_bytes(size)}, "
            f"and {show_bytes(free)} are free.",
            f"磁盘空间不足，无法写入 '{path}'：需要 {show_bytes(size)}，只剩 {show_bytes(free)}。",
        ),
        t(
            "Free some space, or set LABKIT_CACHE to a folder on another disk.",
            "请清理磁盘，或把环境变量 LABKIT_CACHE 设为另一块磁盘上的目录。",
        ),
    )


def _remove_leftovers(parent: Path) -> None:
    """Remove what runs that were killed left behind; those of other machines after a day.

    Any other file is somebody's, and so is one that may not be removed: both are left alone.
    """
    import psutil  # here: a file that is in the cache is found without it

    for part in parent.glob(".*.part"):
        found = _PART.fullmatch(part.name)
        if not found:
            continue
        ours = part.name[: found.start("pid")].endswith(f".{platform.node()}.")
        with contextlib.suppress(OSError):  # another process was faster, or another's file
            old = time.time() - part.stat().st_mtime > _DAY
            if old or (ours and not psutil.pid_exists(int(found["pid"]))):
                _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
