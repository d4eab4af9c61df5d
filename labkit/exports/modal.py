"""A model for Modal's cloud: a script that deploys vLLM there, with the GPU that it needs.

Usage: ``write_modal("pocket/qwen2.5", "for-modal")``

GPUs and their names: modal.com/docs/guide/gpu, read in November 2026. The script is loaded by
Modal's own package in a test, and has not been deployed by us.
"""

from pathlib import Path

from ..catalog.quotes import find_device
from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import GB, show_bytes
from .exported import Exported, write_export
from .vllm_job import VllmJob, settle_vllm

FILE = "modal_app.py"

GPUS = {
    "L4": "L4",
    "A100-40GB": "A100-40GB",
    "L40S": "L40S",
    "A100-80GB": "A100-80GB SXM",
    "H200": "H200",
    "B200": "B200",
}
"""Modal's name to the catalogue's, small to large: one of each size, and none without bfloat16."""

VLLM = "0.33.0"

_APP = '''"""{told}

    modal secret create {secret} VLLM_API_KEY=$(openssl rand -hex 24)
    modal deploy {file}
"""

import subprocess
{import_path}
import modal

image = modal.Image.debian_slim(python_version="3.12").pip_install("vllm=={vllm}"){add}
cache = modal.Volume.from_name("labkit-huggingface", create_if_missing=True)
app = modal.App({app!r})

COMMAND = {command}


@app.function(
    image=image,
    gpu={gpu!r},
    volumes={{"/root/.cache/huggingface": cache}},
    secrets=[modal.Secret.from_name({secret!r}, required_keys=["VLLM_API_KEY"])],
    scaledown_window=5 * 60,
    max_containers=1,
)
@modal.concurrent(max_inputs=32)
@modal.web_server(port=8000, startup_timeout=20 * 60)
def serve() -> None:
    subprocess.Popen(COMMAND)
'''


def write_modal(
    model: str | Path,
    folder: str | Path,
    *,
    gpu: str | None = None,
    name: str | None = None,
    adapter: str | Path | None = None,
    context: int | None = None,
    gpus: int = 1,
) -> Exported:
    """Write the script for ``modal deploy``.

    Usage: ``write_modal("Qwen2.5-7B", "out", context=8192)``

    gpu: one of GPUS; None takes the smallest that the model fits on. name to gpus: as
    for :func:`.vllm_job.settle_vllm`. The server stands in the open internet: its key is
    a secret of Modal's. Raises LabError where no GPU suffices.
    """
    known = {name: int((find_device(row).memory_gb or 0) * GB) for name, row in GPUS.items()}
    if gpu is not None and gpu not in known:
        raise LabError(
            t(f"Modal's GPU {gpu!r:.40} is not known.", f"不认识 Modal 的 GPU {gpu!r:.40}。"),
            t(f"Known: {', '.join(known)}.", f"可用的有：{'、'.join(known)}。"),
        )
    vram = known[gpu] if gpu else None
    job = settle_vllm(model, name=name, adapter=adapter, context=context, vram=vram, gpus=gpus)
    if gpu is None:
        each = -(-job.needed // job.gpus)
        gpu = next((name for name, size in known.items() if size >= each), None)
        if gpu is None:
            raise LabError(
                t(
                    f"No GPU of Modal's holds {show_bytes(each)}.",
                    f"Modal 没有哪种 GPU 放得下 {show_bytes(each)}。",
                ),
                t(
                    "Take more of them (gpus=2, 4, 8) or a quantized model.",
                    "请增加 GPU 数量（gpus=2、4、8），或使用量化模型。",
                ),
            )
    commands = [
        f"modal secret create {_secret(job)} VLLM_API_KEY=$(openssl rand -hex 24)",
        f"modal deploy {FILE}",
    ]
    text = _script(job, gpu)
    notes = [_price_note(gpu, job.gpus), *job.notes]
    return write_export("modal", folder, {FILE: text}, commands, notes, job.files)


def _secret(job: VllmJob) -> str:
    return f"{job.name}-key"


def _script(job: VllmJob, gpu: str) -> str:
    told = t(
        f"Serves {job.name} by vLLM on Modal, with a key. In this folder:",
        f"在 Modal 上用 vLLM 提供 {job.name}，需要密钥。在本文件夹里运行：",
    )
    places = sorted({name.partition("/")[0] for name in job.files})
    here = "Path(__file__).parent"
    add = "".join(f"\nimage = image.add_local_dir({here} / {p!r}, {f'/{p}'!r})" for p in places)
    arguments = [word.replace("=adapter", "=/adapter") for word in job.arguments]
    words = ["vllm", "serve", job.base or "/model", "--host", "0.0.0.0", "--port", "8000"]
    listed = "".join(f"    {word!r},\n" for word in [*words, *arguments])
    return _APP.format(
        told=told,
        file=FILE,
        secret=_secret(job),
        vllm=VLLM,
        add=add,
        app=job.name,
        command=f"[\n{listed}]",
        gpu=gpu if job.gpus == 1 else f"{gpu}:{job.gpus}",
        import_path="from pathlib import Path\n" if places else "",
    )


def _price_note(gpu: str, gpus: int) -> str:
    counted = gpu if gpus == 1 else f"{gpus} × {gpu}"
    return t(
        f"Modal bills {counted} by the second while a container runs; it stops five minutes after"
        " the last request.",
        f"容器运行期间 Modal 按秒计费（{counted}）；最后一个请求五分钟后自动停止。",
    )
