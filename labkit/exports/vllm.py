"""A model for vLLM: a script with the command line, and the model's files where they are here.

Usage: ``write_vllm("pocket/qwen2.5", "for-vllm")``

vLLM renders the tokenizer's own template by Transformers, so nothing has to be put over. What is
written here has not been run by us, for want of a GPU that vLLM knows; see the notes.
"""

import shlex
from pathlib import Path

from ..core.i18n import t
from .exported import Exported, write_export
from .vllm_job import VllmJob, settle_vllm

FILE = "serve.sh"


def write_vllm(
    model: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    adapter: str | Path | None = None,
    context: int | None = None,
    vram: str | int | None = None,
    gpus: int = 1,
) -> Exported:
    """Write the script that starts vLLM's server on 127.0.0.1.

    Usage: ``write_vllm("Qwen2.5-7B", "out", vram="24GiB")``

    name to gpus: as for :func:`.vllm_job.settle_vllm`. The key that clients must show is in the
    environment (VLLM_API_KEY); the script ends without one. Raises LabError as that does.
    """
    job = settle_vllm(model, name=name, adapter=adapter, context=context, vram=vram, gpus=gpus)
    commands = ["export VLLM_API_KEY=$(openssl rand -hex 24)", f"sh {FILE}"]
    return write_export("vllm", folder, {FILE: _script(job)}, commands, job.notes, job.files)


def _script(job: VllmJob) -> str:
    told = t(
        f"Serves {job.name} by vLLM's OpenAI-compatible server. Clients must show VLLM_API_KEY.",
        f"用 vLLM 的 OpenAI 兼容服务提供 {job.name}。客户端必须出示 VLLM_API_KEY。",
    )
    missing = t("set it to a secret of your own", "请设为自己的密钥")
    lines = ["#!/bin/sh", f"# {told}", "set -eu", 'cd "$(dirname "$0")"']
    lines.append(f': "${{VLLM_API_KEY:?{missing}}}"')
    words = ["--host", "127.0.0.1", *job.arguments]
    # An option and what belongs to it on a line.
    at = [i for i, word in enumerate(words) if word.startswith("--")]
    options = [shlex.join(words[i:j]) for i, j in zip(at, [*at[1:], len(words)], strict=True)]
    model = shlex.quote(job.base or "./model")
    lines.append(" \\\n    ".join([f"exec vllm serve {model}", *options]))
    return "\n".join(lines) + "\n"
