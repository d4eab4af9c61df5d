"""Repositories of the Hugging Face Hub, or of a mirror of it: looked at first, then fetched.

What is fetched stands in the Hub's own cache, as its documentation lays it out, so that
Transformers and ``hf`` find it, too. ``HF_ENDPOINT`` names a mirror, ``HF_TOKEN`` or ``hf auth
login`` gives a token, ``HF_HUB_OFFLINE=1`` keeps the network off.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.progress import is_static
from ..core.units import show_bytes
from .downloads import RemoteFile, fetch_files, refused

DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""What is taken of a repository: weights as safetensors, config, tokenizer; never code."""

DOUBLES = ("original/*", "onnx/*", "consolidated*", "*/consolidated*")
"""The same weights once more, for other programs."""

TIMEOUT = 20
"""Seconds that a question to the Hub may take."""


@dataclass(frozen=True)
class DownloadPlan:
    """What fetching a model takes; made before anything is fetched.

    name: of the repository. source: where it is. commit: which version. license: from the catalogue
    or the model's card, None where neither says. size: bytes of all that is wanted. missing: bytes
    still to come. free: bytes free on the disk it goes to.
    """

    name: str
    source: str
    commit: str
    license: str | None
    files: tuple[RemoteFile, ...]
    size: int
    missing: int
    free: int

    def __str__(self) -> str:
        terms = self.license or t("unknown, see the model's page", "未知，请看模型主页")
        return t(
            f"{self.name} from {self.source}: {show_bytes(self.missing)} to fetch of"
            f" {show_bytes(self.size)}, {show_bytes(self.free)} free; licence: {terms}.",
            f"{self.name}（来自 {self.source}）：共 {show_bytes(self.size)}，还需下载"
            f" {show_bytes(self.missing)}，磁盘剩余 {show_bytes(self.free)}；许可证：{terms}。",
        )


def plan_download(repository: str, quant: str | None = None) -> DownloadPlan:
    """Ask the Hub what a model's files are; nothing is fetched.

    Usage: ``print(plan_download("Qwen/Qwen2.5-0.5B-Instruct"))``. quant: of a repository of GGUF
    files, which one. Raises LabError as :func:`fetch_repository`.
    """
    hub = need("huggingface_hub")
    endpoint = _endpoint()
    with _in_words(repository):
        info = hub.HfApi(endpoint=endpoint).model_info(
            repository, files_metadata=True, timeout=TIMEOUT
        )
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    card = info.card_data or {}
    blobs = _folder(repository) / "blobs"
    files = []
    for name in wanted_files(repository, list(siblings), quant):
        sibling = siblings[name]
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        url = hub.hf_hub_url(repository, name, revision=info.sha, endpoint=endpoint)
        # Without a hash the Hub's own client has to find its name in the cache.
        target = blobs / digest if digest else _folder(repository) / "snapshots" / info.sha / name
        files.append(RemoteFile(name, url, target, sibling.size, digest))
    missing = [file for file in files if not file.target.exists()]
    return DownloadPlan(
        repository,
        re.sub(r"^https?://", "", endpoint or "huggingface.co"),
        info.sha,
        read_license(repository, card.get("license_name") or card.get("license")),
        tuple(files),
        sum(file.size or 0 for file in files),
        sum(file.size or 0 for file in missing),
        shutil.disk_usage(_existing(blobs)).free,
    )


def fetch_repository(repository: str, quant: str | None = None) -> Path:
    """The folder of a repository in the Hub's cache, or its GGUF file; fetched if need be.

    Usage: ``fetch_repository("Qwen/Qwen2.5-0.5B-Instruct")``; ``fetch_repository(gguf, "Q4_K_M")``

    What is here is used without the network. Else licence, size and free disk are shown first, and
    every file is checked by size and hash before it counts as here. Raises LabError with what to do
    when the model is gated or missing, the network slow or broken, the disk full.
    """
    if here := cached(repository, quant):
        return here
    hub = need("huggingface_hub")
    plan = plan_download(repository, quant)
    if not is_static():
        print(plan, file=sys.stderr)
    known = [file for file in plan.files if file.digest]
    headers = hub.utils.build_hf_headers()
    fetch_files(known, repository, headers)
    with _in_words(repository), _without_bars():  # only links what is here, and asks for the rest
        folder = hub.snapshot_download(
            repository,
            revision=plan.commit,
            endpoint=_endpoint(),
            allow_patterns=[_literal(file.name) for file in plan.files],
        )
    head = _folder(repository) / "refs" / "main"
    head.parent.mkdir(parents=True, exist_ok=True)
    head.write_text(plan.commit, encoding="utf-8")
    if quant is None:
        return Path(folder)
    return Path(folder) / min(file.name for file in plan.files)


def cached(repository: str, quant: str | None = None) -> Path | None:
    """The folder of a repository in the Hub's cache, or its GGUF file; None where it is not whole.

    Usage: ``cached("Qwen/Qwen2.5-0.5B-Instruct")``. The network is not used.
    """
    return _cached_folder(repository) if quant is None else _cached_gguf(repository, quant)


def fetch_config(repository: str) -> Path:
    """The ``config.json`` of a repository, in the Hub's cache; fetched if need be, and alone.

    Usage: ``fetch_config("Qwen/Qwen2.5-0.5B-Instruct")``. Raises LabError as
    :func:`fetch_repository`, and where the repository has none.
    """
    hub, errors = need("huggingface_hub"), need("huggingface_hub.errors")
    with _in_words(repository):
        try:
            return Path(hub.hf_hub_download(repository, "config.json", endpoint=_endpoint()))
        except errors.RemoteEntryNotFoundError:
            raise LabError(
                t(f"'{repository}' has no config.json.", f"'{repository}' 里没有 config.json。"),
                t(
                    f"If it holds GGUF files, name one as '{repository}:QUANT'.",
                    f"如果其中是 GGUF 文件，请写成 '{repository}:量化格式'。",
                ),
            ) from None


def _endpoint() -> str | None:
    """Asked each time: the Hub's client reads the variable only when it is first imported."""
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def _folder(repository: str) -> Path:
    constants = need("huggingface_hub.constants")
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _literal(name: str) -> str:
    """A pattern that only this name matches."""
    return re.sub(r"([\[\]*?])", r"[\1]", name)


def _cached_folder(repository: str) -> Path | None:
    hub, errors = need("huggingface_hub"), need("huggingface_hub.errors")
    try:
        path = hub.snapshot_download(
            repository, allow_patterns=list(DOWNLOADED), ignore_patterns=list(DOUBLES),
            local_files_only=True,
        )  # fmt: skip
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return None  # not here yet, or only in part
    folder = Path(path)
    index = folder / "model.safetensors.index.json"
    shards: set[str] = set()
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    whole = all((folder / name).is_file() for name in ("config.json", *shards))
    return folder if whole else None


def _cached_gguf(repository: str, quant: str) -> Path | None:
    root = _folder(repository)
    head = root / "refs" / "main"
    if not head.is_file():
        return None
    folder = root / "snapshots" / head.read_text(encoding="utf-8").strip()
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf")]
    found = sorted(name for name in names if has_quant(name, quant))
    parts = [match[1] for name in found if (match := re.search(r"-of-(\d+)\.gguf$", name))]
    whole = not parts or len(found) == int(parts[0])
    return folder / found[0] if found and whole else None


def list_parts(gguf: Path) -> list[Path]:
    """All files of a GGUF model: its parts where it is split, else itself.

    Usage: ``list_parts(Path("big-Q4_K_M-00001-of-00002.gguf"))  # both``
    """
    numbered = re.compile(r"-\d{5}(?=-of-\d{5}\.gguf$)")
    name = numbered.sub("", gguf.name)
    parts = (path for path in gguf.parent.iterdir() if numbered.sub("", path.name) == name)
    return sorted(parts) if numbered.search(gguf.name) else [gguf]


def wanted_files(repository: str, names: list[str], quant: str | None = None) -> list[str]:
    """Of all files of a repository those to fetch.

    Usage: ``wanted_files("Qwen/Qwen2.5-7B", names)``. quant: of GGUF files, which. Raises LabError
    where nothing is safe to run, or the GGUF file is not named.
    """
    ggufs = sorted(name for name in names if name.lower().endswith(".gguf"))
    if quant is not None:
        if found := [name for name in ggufs if has_quant(name, quant)]:
            return found
        raise _no_such_quant(repository, quant, ggufs)
    keep = need("huggingface_hub.utils").filter_repo_objects
    wanted = list(keep(names, allow_patterns=list(DOWNLOADED), ignore_patterns=list(DOUBLES)))
    if any(name.endswith(".safetensors") for name in wanted) and "config.json" in wanted:
        return wanted
    if ggufs:
        raise _no_such_quant(repository, None, ggufs)
    raise LabError(
        t(
            f"'{repository}' has no weights as safetensors or GGUF.",
            f"'{repository}' 没有 safetensors 或 GGUF 格式的权重。",
        ),
        t(
            "Other formats can run code when opened: take another repository of this model.",
            "其他格式在打开时可能执行代码：请换用该模型的其他仓库。",
        ),
    )


def has_quant(name: str, quant: str) -> bool:
    """Whether a GGUF file's name tells a format. Usage: ``has_quant("qwen-q4_0.gguf", "Q4_0")``"""
    stem = name.rpartition("/")[2].lower()
    bounded = rf"(?<![a-z0-9]){re.escape(quant.lower())}(?![a-z0-9_])"
    return re.search(bounded, stem) is not None and "mmproj" not in stem


def _no_such_quant(repository: str, quant: str | None, names: list[str]) -> LabError:
    quants = sorted({m[0].upper() for name in names if (m := _QUANT.search(name))})
    listed = ", ".join(quants) or ", ".join(names[:5]) or t("none", "无")
    what = t(f"'{repository}' holds GGUF files.", f"'{repository}' 存放的是 GGUF 文件。")
    if quant is not None:
        what = t(
            f"'{repository}' has no GGUF file '{quant}'.",
            f"'{repository}' 没有 '{quant}' 的 GGUF 文件。",
        )
    return LabError(
        what,
        t(
            f"Name one as '{repository}:QUANT'; there are: {listed}.",
            f"请写成 '{repository}:量化格式'；可选：{listed}。",
        ),
    )


_QUANT = re.compile(r"(?:IQ|Q)\d\w*|BF16|F16|F32", re.IGNORECASE)


def read_license(repository: str, written: str | None) -> str | None:
    """The catalogue's reading where it knows the model, else what is written on its card.

    Usage: ``read_license("Qwen/Qwen2.5-7B", "apache-2.0")``
    """
    from .. import catalog

    try:
        return " + ".join(row.name for row in catalog.terms(catalog.find(repository)))
    except LabError:
        return written


@contextmanager
def _without_bars() -> Iterator[None]:
    utils = need("huggingface_hub.utils")
    shown = not utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()


@contextmanager
def _in_words(repository: str) -> Iterator[None]:
    """What the Hub's client raises, as one sentence and a way out; it names no token."""
    errors = need("huggingface_hub.errors")
    httpx = need("httpx2")
    try:
        yield
    except errors.GatedRepoError:
        raise LabError(
            t(f"'{repository}' is gated.", f"'{repository}' 需要先获得授权。"),
            t(
                f"Accept its terms at https://huggingface.co/{repository}, then run: hf auth login",
                f"请先在 https://huggingface.co/{repository} 接受条款，再运行：hf auth login",
            ),
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise LabError(
            t(f"The Hub has no model '{repository}'.", f"Hub 上没有模型 '{repository}'。"),
            t(
                "Check the spelling; a private one needs: hf auth login",
                "请检查拼写；私有模型需要先运行：hf auth login",
            ),
        ) from None
    except errors.LocalEntryNotFoundError as error:
        status = getattr(getattr(error.__cause__, "response", None), "status_code", None)
        raise (refused(repository, status) if status else _unreachable(repository)) from None
    except errors.HfHubHTTPError as error:
        raise refused(repository, error.response.status_code) from None
    except (errors.OfflineModeIsEnabled, httpx.TransportError):
        raise _unreachable(repository) from None


def _unreachable(repository: str) -> LabError:
    return LabError(
        t(
            f"'{repository}' is not on this computer and the Hub cannot be reached.",
            f"本机没有 '{repository}'，也连不上 Hub。",
        ),
        t(
            "Go online, set HF_ENDPOINT to a mirror, or use a pocket model: 'pocket/qwen2.5'.",
            "请联网，或把 HF_ENDPOINT 设为镜像，或使用口袋模型，例如 'pocket/qwen2.5'。",
        ),
    )
