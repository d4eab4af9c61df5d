"""Work in a fresh Python: what it loads, patches and prints leaves this one as it was.

A worker's peak memory is its own, and an interrupt here ends it.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, TextIO

from .errors import LabError
from .i18n import language, t
from .progress import Callback

_CHILD = "from labkit.core.workers import _answer; _answer()"


def run_apart(
    function: Callable[..., Any],
    *arguments: Any,
    callback: Callback | None = None,
    small: bool = False,
) -> Any:
    """What a function gives when a fresh Python calls it.

    Usage: ``run_apart(measure, job, callback=lambda done, total: bar.advance())``

    function: one of labkit's own, at the top of its file. arguments and result: what JSON holds.
    callback: given to the function as its keyword argument of that name when there is one here;
    it is called here. small: keep to one thread, which for a model of a few megabytes is faster
    than several that wait for each other, far faster on a busy machine.

    A LabError raised there is raised here; whatever else ends the worker becomes a LabError with
    the last line it wrote. The worker ends with this call, at the latest.
    """
    call = {
        "module": function.__module__,
        "name": function.__name__,
        "arguments": arguments,
        "reports": callback is not None,
    }
    environment = os.environ | {"LABKIT_LANG": language(), "PYTHONUTF8": "1"}
    if small:
        environment.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            encoding="utf-8",
        )
        assert worker.stdin and worker.stdout
        try:
            worker.stdin.write(json.dumps(call))
            worker.stdin.close()
            for line in worker.stdout:
                said = json.loads(line)
                if "result" in said:
                    return said["result"]
                if "error" in said:
                    raise LabError(*said["error"])
                if callback is not None:
                    callback(said["done"], said["total"])
            worker.wait()
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        finally:
            worker.kill()
            worker.wait()
            worker.stdout.close()
    raise _ended(function.__name__, worker.returncode, last)


def _ended(name: str, status: int, last: str) -> LabError:
    if status == -9:
        return LabError(
            t(
                "The system ended the worker, most likely for lack of memory.",
                "工作进程被系统终止，多半是内存不足。",
            ),
            t("Close other programs, or take a smaller model.", "请关闭其他程序，或换更小的模型。"),
        )
    return LabError(
        t(f"'{name}' failed: {last}", f"'{name}' 失败：{last}"),
        t("Check the installation with: labkit doctor", "请用 labkit doctor 检查安装。"),
    )


def take_stdout() -> TextIO:
    """Standard output for our own lines; what libraries print goes the way of errors from now on.

    Usage: ``print(json.dumps(said), file=take_stdout())``, once, at the start of a process.
    """
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _answer() -> None:
    """The worker's side: one call on stdin; on stdout reports and the result, a line each."""
    out = take_stdout()

    def say(**said: Any) -> None:
        print(json.dumps(said), file=out, flush=True)

    call = json.loads(sys.stdin.read())
    function = getattr(importlib.import_module(call["module"]), call["name"])
    report = {"callback": lambda done, total: say(done=done, total=total)}
    try:
        result = function(*call["arguments"], **(report if call["reports"] else {}))
    except LabError as error:
        say(error=[error.what, error.way_out])
    else:
        say(result=result)
