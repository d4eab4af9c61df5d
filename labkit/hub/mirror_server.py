"""A mirror of the Hub for one room: models on this disk, served as the Hub serves them.

Usage: ``with serve_mirror({"our/model": folder}) as mirror: print(mirror.url)``

An unmodified ``huggingface_hub`` (Transformers, ``hf download``, vLLM …) finds lists of files with
sizes and hashes, ETags and ranges there; ModelScope's two addresses are answered, too. It only
reads, and fetches nothing itself: what it lacks it answers with 404 (notebooks/classroom/README.md
names one that fetches). The web server is uvicorn, the files are sent by Starlette.

Not covered: revisions (every name of one gives what is here), data sets, uploads, and Xet.
"""

import hashlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.units import MiB

PORT = 8090
"""The port to try first."""

WEIGHTS = (".safetensors", ".gguf")
"""What a Hub keeps in large-file storage, named by SHA-256; git names the rest by SHA-1."""


class MirrorRequest(NamedTuple):
    """A request: its method, its path, and which bytes it wanted; None: all."""

    method: str
    path: str
    range: str | None


@dataclass(frozen=True)
class File:
    """A file of a repository. size: bytes. digest: SHA-256 of weights, else what git calls it."""

    name: str
    path: Path
    size: int
    digest: str

    @property
    def is_weights(self) -> bool:
        return self.name.endswith(WEIGHTS)


def list_files(folder: Path) -> dict[str, File]:
    """The files of a repository by name, hashed; hidden ones are left out.

    Usage: ``list_files(folder)["config.json"].digest``. Large files are hashed once a process, and
    not at all in the Hub's cache, where a file's own name is its hash.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if not any(part.startswith(".") for part in name.split("/")):
            status = path.stat()
            digest = _digest(path, name.endswith(WEIGHTS), status.st_size, status.st_mtime_ns)
            found[name] = File(name, path, status.st_size, digest)
    return found


@lru_cache(maxsize=4096)
def _digest(path: Path, whole: bool, size: int, _changed: int) -> str:
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", real.name):
        return real.name
    found = hashlib.sha256() if whole else hashlib.sha1(usedforsecurity=False)
    if not whole:
        found.update(f"blob {size}\0".encode())
    with path.open("rb") as data:
        while chunk := data.read(MiB):
            found.update(chunk)
    return found.hexdigest()


def commit_of(folder: Path, files: Mapping[str, File]) -> str:
    """The Hub's name of the version where it is known, else one made of what is in it."""
    if re.fullmatch("[0-9a-f]{40}", folder.name):
        return folder.name
    text = "\n".join(f"{file.name} {file.digest}" for file in files.values())
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _license(folder: Path) -> str | None:
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace")[:10_000] if card.is_file() else ""
    found = re.search(r"\A---\n(?:.*\n)*?license:[ \t]*(\S+)", text)
    return found[1] if found else None


def stored_repositories() -> dict[str, Path]:
    """The models in the Hub's cache of this computer, by name: what ``main`` was when fetched.

    Usage: ``serve_mirror(stored_repositories())``
    """
    constants = need("huggingface_hub.constants")
    found = {}
    for head in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*/refs/main")):
        root = head.parents[1]
        folder = root / "snapshots" / head.read_text(encoding="utf-8").strip()
        if folder.is_dir():
            found[root.name.removeprefix("models--").replace("--", "/", 1)] = folder
    return found


def bundled_repositories(bundle: Path) -> dict[str, Path]:
    """The models of a bundle, by name. Usage: ``bundled_repositories(Path("/media/stick"))``"""
    folders = sorted(path for path in (bundle / "models").glob("*/*") if path.is_dir())
    return {f"{path.parent.name}/{path.name}": path for path in folders}


@dataclass
class Mirror:
    """A mirror that runs; made by :func:`serve_mirror`.

    url: what HF_ENDPOINT or MODELSCOPE_ENDPOINT is set to. repositories: what it serves; may
    change while it runs. asked: the last requests, the newest at the end. cuts: for a drill, name
    of a file to the bytes after which its next answers break off.
    """

    url: str
    repositories: dict[str, Path]
    asked: deque[MirrorRequest] = field(default_factory=lambda: deque(maxlen=10_000))
    cuts: dict[str, list[int]] = field(default_factory=dict)

    def ranges(self, name: str) -> list[str | None]:
        """Which bytes were asked of files whose address ends so.

        Usage: ``mirror.ranges(".gguf")  # [None, "bytes=1000-"]``
        """
        return [a.range for a in self.asked if a.method == "GET" and a.path.endswith(name)]


@contextmanager
def serve_mirror(
    repositories: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    log: bool = False,
) -> Iterator[Mirror]:
    """Serve repositories to the Hub's clients as long as the block lasts.

    Usage: ``with serve_mirror(stored_repositories(), port=8090) as mirror: print(mirror.url)``

    repositories: ``OWNER/NAME`` to folder. host: 127.0.0.1 lets only this computer in; "0.0.0.0"
    everyone on the network, in plain HTTP. port: 0 takes a free one. token: what clients must
    show, as for a gated model on the Hub; needed where models are that not everybody may have.
    log: whether requests are written to stderr. Raises LabError when it cannot listen.
    """
    uvicorn = need("uvicorn")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise LabError(
            t(f"Cannot listen on {host}:{port}: {reason}.", f"无法监听 {host}:{port}：{reason}。"),
            t(
                "Choose another port: --port 0 takes a free one.",
                "请换一个端口；--port 0 会自动选。",
            ),
        ) from None
    reached = "127.0.0.1" if host == "0.0.0.0" else host
    mirror = Mirror(f"http://{reached}:{listener.getsockname()[1]}", dict(repositories))
    level = "info" if log else "critical"  # below it stands every client that goes, or is cut off
    server = uvicorn.Server(
        uvicorn.Config(mirror_app(mirror, token), log_level=level, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def mirror_app(mirror: Mirror, token: str | None = None) -> Any:
    """The mirror as a Starlette application, for a web server of one's own.

    Usage: ``uvicorn.run(mirror_app(Mirror("", repositories)))``
    """
    starlette, routing = need("starlette.applications"), need("starlette.routing")
    responses = need("starlette.responses")
    in_thread = need("starlette.concurrency").run_in_threadpool

    # Of 64 KiB most of the time would go into passing them on.
    sent = type("Sent", (responses.FileResponse,), {"chunk_size": MiB})
    broken = type("Broken", (sent,), {"__call__": _answer_in_part})

    def refuse(status: int, code: str) -> Any:
        return responses.Response(status_code=status, headers={"X-Error-Code": code})

    def answers(make: Any) -> Any:
        """An endpoint: it notes the request, looks for the repository and makes the answer."""

        async def endpoint(request: Any) -> Any:
            path = request.url.path
            if file := request.query_params.get("FilePath"):
                path += f"/{file}"
            mirror.asked.append(MirrorRequest(request.method, path, request.headers.get("range")))
            shown = f"{request.headers.get('authorization')} {request.headers.get('cookie')}"
            if token and token not in shown:
                return refuse(401, "GatedRepo")
            name = "{owner}/{name}".format(**request.path_params)
            folder = mirror.repositories.get(name)
            if folder is None or not folder.is_dir():
                return refuse(404, "RepoNotFound")
            files = await in_thread(list_files, folder)
            if request.method == "POST":
                files = _chosen(await request.body(), files)
            return make(request, name, folder, files)

        return endpoint

    def info(_: Any, name: str, folder: Path, files: dict[str, File]) -> Any:
        siblings = [_entry(file, "rfilename", "blobId") for file in files.values()]
        facts = {"id": name, "modelId": name, "sha": commit_of(folder, files), "tags": []}
        card = {"cardData": {"license": _license(folder)}}
        return responses.JSONResponse(facts | card | {"siblings": siblings})

    def tree(_: Any, name: str, folder: Path, files: dict[str, File]) -> Any:
        listed = [{"type": "file"} | _entry(file, "path", "oid") for file in files.values()]
        return responses.JSONResponse(listed)

    def send(request: Any, name: str, folder: Path, files: dict[str, File]) -> Any:
        wanted = request.path_params.get("file") or request.query_params.get("FilePath")
        file = files.get(wanted)
        if file is None:
            return refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{file.digest}"', "X-Repo-Commit": commit_of(folder, files)}
        cuts = mirror.cuts.get(file.name) if request.method == "GET" else None
        answer = (broken if cuts else sent)(
            file.path, headers=headers, media_type="application/octet-stream"
        )
        answer.broken_after = cuts.pop(0) if cuts else None
        return answer

    def modelscope_info(_: Any, name: str, folder: Path, files: dict[str, File]) -> Any:
        owner, _, short = name.partition("/")
        data = {"Path": owner, "Name": short, "License": _license(folder), "Revision": "master"}
        return responses.JSONResponse({"Code": 200, "Success": True, "Data": data})

    def modelscope_files(_: Any, name: str, folder: Path, files: dict[str, File]) -> Any:
        listed = [
            {"Path": file.name, "Name": file.name.rpartition("/")[2], "Type": "blob"}
            | {"Size": file.size, "Sha256": file.digest if file.is_weights else ""}
            for file in files.values()
        ]
        return responses.JSONResponse({"Code": 200, "Success": True, "Data": {"Files": listed}})

    addresses = (
        ("/api/models/{owner}/{name}", info),
        ("/api/models/{owner}/{name}/revision/{revision}", info),
        ("/api/models/{owner}/{name}/tree/{revision}", tree),
        ("/api/models/{owner}/{name}/paths-info/{revision}", tree),
        ("/{owner}/{name}/resolve/{revision}/{file:path}", send),
        ("/api/v1/models/{owner}/{name}", modelscope_info),
        ("/api/v1/models/{owner}/{name}/repo/files", modelscope_files),
        ("/api/v1/models/{owner}/{name}/repo", send),
    )
    methods = ["GET", "POST"]  # the second only asks about some of the files
    return starlette.Starlette(
        routes=[routing.Route(place, answers(make), methods=methods) for place, make in addresses]
    )


async def _answer_in_part(self: Any, scope: Any, receive: Any, send: Any) -> None:
    """Send the answer as it would be, but break off after some bytes of it."""
    left = self.broken_after

    async def send_some(message: Any) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
            return
        body = message["body"][:left]
        left -= len(body)
        await send(message | {"body": body, "more_body": True})
        if not left:
            raise ConnectionAbortedError

    await super(type(self), self).__call__(scope, receive, send_some)


def _chosen(body: bytes, files: Mapping[str, File]) -> dict[str, File]:
    """The files that a form or a JSON object names as ``paths``."""
    try:
        named = json.loads(body)["paths"]
    except (ValueError, TypeError, LookupError):
        named = parse_qs(body.decode("utf-8", "replace")).get("paths", [])
    return {name: files[name] for name in named if isinstance(name, str) and name in files}


def _entry(file: File, name: str, digest: str) -> dict[str, Any]:
    """A file as the Hub lists it, whose two lists use other words for the same."""
    entry: dict[str, Any] = {name: file.name, "size": file.size, digest: file.digest}
    if file.is_weights:
        large = {"oid": file.digest, "sha256": file.digest, "size": file.size, "pointerSize": 134}
        entry |= {"lfs": large}
    return entry
