"""Repositories of ModelScope, which is near where the Hugging Face Hub is far.

Its two addresses, the list of files and a file, are asked directly: the ``modelscope`` package is
not needed. ``MODELSCOPE_ENDPOINT`` names another host, ``MODELSCOPE_API_TOKEN`` gives a token.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ..core.cache import cache_folder
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import is_static
from .downloads import PATIENCE, RemoteFile, fetch_files, refused
from .huggingface import DownloadPlan, read_license, wanted_files

REVISION = "master"


def plan_download(repository: str, quant: str | None = None) -> DownloadPlan:
    """Ask ModelScope what a model's files are; nothing is fetched.

    Usage: ``print(plan_download("Qwen/Qwen2.5-0.5B-Instruct"))``. See
    :func:`labkit.hub.huggingface.plan_download`.
    """
    listing = _ask(repository, f"/repo/files?Revision={REVISION}&Recursive=True")
    entries = {f["Path"]: f for f in listing.get("Files") or () if f.get("Type") != "tree"}
    folder = _folder(repository)
    files = tuple(
        RemoteFile(
            name,
            f"{_address(repository)}/repo?Revision={REVISION}&FilePath={quote(name, safe='')}",
            folder / name,
            entries[name].get("Size"),
            entries[name].get("Sha256") or None,
        )
        for name in wanted_files(repository, list(entries), quant)
    )
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return DownloadPlan(
        repository,
        urlsplit(_endpoint()).netloc,
        REVISION,
        read_license(repository, _ask(repository, "").get("License")),
        files,
        sum(file.size or 0 for file in files),
        sum(file.size or 0 for file in files if not file.target.exists()),
        shutil.disk_usage(existing).free,
    )


def fetch_repository(repository: str, quant: str | None = None) -> Path:
    """The folder of a repository in our cache, or its GGUF file; fetched if need be.

    Usage: ``fetch_repository("Qwen/Qwen2.5-0.5B-Instruct")``. As
    :func:`labkit.hub.huggingface.fetch_repository`; what was whole once is used without the
    network.
    """
    if here := cached(repository, quant):
        return here
    plan = plan_download(repository, quant)
    if not is_static():
        print(plan, file=sys.stderr)
    fetch_files(plan.files, repository, _headers())
    names = sorted(file.name for file in plan.files)
    _list_of(repository, quant).write_text(json.dumps(names), encoding="utf-8")
    folder = _folder(repository)
    return folder if quant is None else folder / names[0]


def cached(repository: str, quant: str | None = None) -> Path | None:
    """The folder of a repository in our cache, or its GGUF file; None where it was never whole.

    Usage: ``cached("Qwen/Qwen2.5-0.5B-Instruct")``. The network is not used.
    """
    names = _list_of(repository, quant)
    if not names.exists():
        return None
    if quant is None:
        return names.parent
    return names.parent / str(json.loads(names.read_text(encoding="utf-8"))[0])


def _endpoint() -> str:
    host = os.environ.get("MODELSCOPE_ENDPOINT") or "https://modelscope.cn"
    return (host if "://" in host else f"https://{host}").rstrip("/")


def _address(repository: str) -> str:
    return f"{_endpoint()}/api/v1/models/{repository}"


def _folder(repository: str) -> Path:
    return cache_folder() / "models" / "modelscope" / repository


def _list_of(repository: str, quant: str | None) -> Path:
    """Written when all of it had come: the files of the model, or of one GGUF format."""
    return _folder(repository) / f".whole-{quant or 'model'}.json"


def _headers() -> dict[str, str]:
    token = os.environ.get("MODELSCOPE_API_TOKEN")
    return {"Cookie": f"m_session_id={token}"} if token else {}


def _ask(repository: str, path: str) -> Any:
    httpx, hub = need("httpx2"), need("huggingface_hub")
    offline = need("huggingface_hub.errors").OfflineModeIsEnabled
    try:
        answer = hub.get_session().get(
            _address(repository) + path, headers=_headers(), timeout=PATIENCE
        )
    except (httpx.TransportError, offline):
        raise LabError(
            t(
                f"'{repository}' is not on this computer and ModelScope cannot be reached.",
                f"本机没有 '{repository}'，也连不上 ModelScope。",
            ),
            t(
                "Go online, or use a pocket model: 'pocket/qwen2.5'.",
                "请联网，或使用口袋模型，例如 'pocket/qwen2.5'。",
            ),
        ) from None
    if answer.status_code != 200:
        raise refused(repository, answer.status_code, login="MODELSCOPE_API_TOKEN")
    return answer.json().get("Data") or {}
