"""A Hub on loopback: what an unmodified huggingface_hub needs, with faults on demand.

It serves folders of this disk under repository names as the Hub does: an API that lists files with
sizes and hashes, ``resolve`` addresses with ETags, weights behind a redirect, ranges. It answers
ModelScope's addresses, too.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "c" * 40
LARGE = (".safetensors", ".gguf")
"""What the Hub keeps in large-file storage: a redirect, and SHA-256 for a name."""


class Hub(ThreadingHTTPServer):
    """The server and what it remembers.

    repositories: name to folder. faults: name of a file (or ``api``) to what its next requests
    meet: ``cut`` (half of it, then the connection ends), ``wrong`` (a byte differs), ``stall``
    (half, then silence) or an HTTP status; asked for the rest, the first and third send nothing.
    token: needed for all if set. seen: every request, its range and its key. forged: name to what
    its lists say of it instead of the truth, in the Hub's words; a name of no file is added.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Path] = {}
        self.faults: dict[str, list[str | int]] = {}
        self.token: str | None = None
        self.forged: dict[str, dict[str, object]] = {}
        self.seen: list[tuple[str, str, str | None, str | None]] = []
        self.stalled = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, name: str) -> str | int | None:
        waiting = self.faults.get(name)
        return waiting.pop(0) if waiting else None

    def asked(self, name: str, method: str = "GET") -> list[str | None]:
        """The ranges of all requests of a method for addresses that end in a name."""
        return [r for m, path, r, _ in self.seen if m == method and path.endswith(name)]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that serves, and stops with the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stalled.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Silence: what was asked is in ``seen``."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        key = self.headers.get("Authorization")
        self.server.seen.append((self.command, path, self.headers.get("Range"), key))
        if listed := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/[^/]+)?", path):
            self.answer(listed[1], self.info)
        elif listed := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+/?", path):
            self.answer(listed[1], self.tree)
        elif listed := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)(/repo/files)?", path):
            self.answer(listed[1], self.modelscope_files if listed[2] else self.modelscope_info)
        elif listed := re.fullmatch(r"/api/v1/models/([^/]+/[^/]+)/repo", path):
            name = parse_qs(urlsplit(self.path).query)["FilePath"][0]
            self.server.seen.append(("GET", f"/{name}", self.headers.get("Range"), key))
            if self.may(listed[1], name):
                data = (self.server.repositories[listed[1]] / name).read_bytes()
                self.send_file(name, data, hashlib.sha256(data).hexdigest())
        elif file := re.fullmatch(r"/(cdn/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self.file(file[2], file[3], behind=bool(file[1]))
        else:
            self.refuse(404)

    def refuse(self, status: int, code: str = "") -> None:
        codes = {401: "GatedRepo", 403: "GatedRepo", 404: "RepoNotFound"}
        self.send_response(status)
        self.send_header("X-Error-Code", code or codes.get(status, ""))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def may(self, name: str, fault_of: str) -> bool:
        """Whether to answer: not for a fault, a wrong key or a repository that is not there."""
        fault = self.server.fault(fault_of)
        token = self.server.token
        shown = f"{self.headers.get('Authorization')} {self.headers.get('Cookie')}"
        if isinstance(fault, int):
            self.refuse(fault)
        elif fault is not None:
            self.server.faults[fault_of].insert(0, fault)  # for the file itself
            return True
        elif token and token not in shown:
            self.refuse(401)
        elif name not in self.server.repositories:
            self.refuse(404)
        else:
            return True
        return False

    def answer(self, name: str, make) -> None:
        if not self.may(name, "api"):
            return
        body = json.dumps(make(name, self.server.repositories[name])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def files(self, folder: Path) -> Iterator[tuple[str, bytes, dict[str, object] | None]]:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            data = path.read_bytes()
            large = None
            if path.suffix in LARGE:
                oid = hashlib.sha256(data).hexdigest()
                large = {"oid": oid, "sha256": oid, "size": len(data), "pointerSize": 134}
            yield path.relative_to(folder).as_posix(), data, large

    def forge(self, entries: list[dict], key: str) -> list[dict]:
        """The entries of a list with what ``forged`` says of them."""
        kept = {entry[key]: entry for entry in entries}
        for name, lie in self.server.forged.items():
            kept[name] = kept.get(name, {key: name}) | lie
        return list(kept.values())

    def info(self, name: str, folder: Path) -> dict[str, object]:
        siblings = []
        for file, data, large in self.files(folder):
            sibling = {"rfilename": file, "size": len(data), "blobId": git_hash(data)}
            siblings.append(sibling | ({"lfs": large} if large else {}))
        siblings = self.forge(siblings, "rfilename")
        card = {"license": "apache-2.0"}
        return {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "cardData": card}

    def tree(self, name: str, folder: Path) -> list[dict[str, object]]:
        entries = []
        for file, data, large in self.files(folder):
            entry = {"type": "file", "path": file, "size": len(data), "oid": git_hash(data)}
            entries.append(entry | ({"lfs": large} if large else {}))
        return entries

    def modelscope_info(self, name: str, folder: Path) -> dict[str, object]:
        owner, _, short = name.partition("/")
        data = {"Path": owner, "Name": short, "License": "apache-2.0", "Revision": "master"}
        return {"Code": 200, "Success": True, "Data": data}

    def modelscope_files(self, name: str, folder: Path) -> dict[str, object]:
        files = [
            {"Path": file, "Name": file.rpartition("/")[2], "Type": "blob", "Size": len(data)}
            | {"Sha256": hashlib.sha256(data).hexdigest(), "Revision": COMMIT}
            for file, data, _ in self.files(folder)
        ]
        files = self.forge(files, "Path")
        return {"Code": 200, "Success": True, "Data": {"Files": files}}

    def file(self, repository: str, name: str, behind: bool) -> None:
        """A file: small ones at once; of large ones the hash, and where they are."""
        if not behind and not self.may(repository, name):
            return
        path = self.server.repositories[repository] / name
        if not path.is_file():
            return self.refuse(404, "EntryNotFound")
        data = path.read_bytes()
        large = path.suffix in LARGE
        etag = hashlib.sha256(data).hexdigest() if large else git_hash(data)
        if large and not behind:
            self.send_response(302)
            self.send_header("Location", f"/cdn{urlsplit(self.path).path}")
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Linked-ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_file(name, data, etag)
        return None

    def send_file(self, name: str, data: bytes, etag: str) -> None:
        fault = self.server.fault(name) if self.command == "GET" else None
        if isinstance(fault, int):
            return self.refuse(fault)
        if fault == "wrong":
            data = data[:-1] + bytes([data[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        if asked and start >= len(data):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "HEAD":
            return None
        rest = data[start:]
        if fault in ("cut", "stall"):
            rest = rest[: len(data) // 2] if start == 0 else b""
            self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has gone
            self.wfile.write(rest)
            self.wfile.flush()
            if fault == "stall":
                self.server.stalled.wait(60)
        return None
