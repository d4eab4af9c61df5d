"""Several copies of a model behind one address, and sweeps over several machines: Ray does both.

Usage: ``with serve_replicas("pocket/qwen2.5", replicas=2) as server: lab.chat(server.url, …)``

Where the variable RAY_ADDRESS names a cluster it is joined; else one is started here, on 127.0.0.1
only, and stopped at the end. No telemetry.

Not covered: Ray's own ports have no password (keep a cluster in a network of its own), replicas
and clusters that grow and shrink with the load, models that are split over several GPUs (vLLM does
that).
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.errors import LabError
from ...core.extras import need, require
from ...core.i18n import t
from ...core.progress import track
from ...hub.resolver import locate
from ..load_test import check_counts
from ..openai_server import PORT, Server, start_server

if TYPE_CHECKING:
    import psutil

GRACE = 15
"""Seconds that replicas have to finish what is under way, and Ray to end."""

OBJECTS = 80 * 1024 * 1024
"""Bytes of shared memory a node may use: answers and table rows are small."""

TRIES = 3
"""How often a task of a sweep is started again when its node has died."""

_LOCAL = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""As 0 it is how Ray stays on 127.0.0.1, as on Windows; else it takes the network's address."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a task that asks for no GPU still sees them
    "RAY_DISABLE_IMPORT_WARNING": "1",
}

T = TypeVar("T")
V = TypeVar("V")


class Nodes:
    """A cluster that this process has started; made by :func:`start_cluster`."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster

    @property
    def count(self) -> int:
        """Nodes that live. Usage: ``nodes.count  # 2``"""
        return sum(node["Alive"] for node in need("ray").nodes())

    def kill(self) -> None:
        """Kill all processes of a node but the first at once, as a power cut does.

        Usage: ``nodes.kill()``. Raises LabError when there is none left.
        """
        if not self._cluster.worker_nodes:
            raise LabError(
                t("Only the first node is left.", "只剩下第一个节点。"),
                t("Start the cluster with more nodes.", "请用更多节点启动集群。"),
            )
        node = next(iter(self._cluster.worker_nodes))
        self._cluster.remove_node(node, allow_graceful=False)


@contextlib.contextmanager
def start_cluster(nodes: int = 1, cpus: int = 1) -> Iterator[Nodes]:
    """A Ray cluster on this computer, stopped at the end of the block.

    Usage: ``with start_cluster(nodes=2) as here: sweep(measure, ["Q4_0", "Q8_0"])``

    nodes: Ray's word for a machine; here each is a group of processes. cpus: what each node offers;
    Ray counts them and does not enforce them. Raises LabError when this process is in a cluster,
    or Ray does not start; it takes some 15 s on two cores.
    """
    check_counts(nodes=nodes, cpus=cpus)
    _stay_on_loopback()
    ray = need_ray()
    if ray.is_initialized():
        raise LabError(
            t("This process is in a Ray cluster already.", "当前进程已连接到一个 Ray 集群。"),
            t("Leave it with ray.shutdown().", "请先用 ray.shutdown() 断开。"),
        )
    node = {
        "num_cpus": cpus, "num_gpus": 0, "object_store_memory": OBJECTS,
        "node_ip_address": "127.0.0.1", "include_dashboard": False,
        "no_monitor": True,  # it would start further nodes, of which there are none
    }  # fmt: skip
    cluster = need("ray.cluster_utils").Cluster()
    try:
        for _ in range(nodes):
            _add_node(cluster, node)
        join_cluster(cluster.address)
        yield Nodes(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


def join_cluster(address: str | None = None) -> None:
    """Connect this process to a cluster; None: the one in RAY_ADDRESS, else one on this computer.

    Usage: ``join_cluster("10.0.0.1:6379")``. What tasks print stays in Ray's own logs. Raises
    LabError when no cluster answers there within 5 s, or it has another Ray or Python.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # else a word of Ray's, as "auto" is
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            if socket.gethostbyname(host.strip("[]")).startswith("127."):
                _stay_on_loopback()
        need_ray().init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError) as error:
        raise LabError(
            t(f"No Ray cluster to join at {address}: {error}",
              f"无法加入位于 {address} 的 Ray 集群：{error}"),
            t("Start one there with: ray start --head; or unset RAY_ADDRESS to start one here.",
              "请在那里运行 ray start --head 启动集群；或取消 RAY_ADDRESS，改为在本机启动。"),
        ) from error  # fmt: skip


def need_ray() -> Any:
    """Ray, which reads its settings from the environment when it is imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    ray = need("ray")
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def sweep(work: Callable[[V], T], values: Sequence[V], *, cpus: float = 1) -> list[T]:
    """The same work for each value: on the cluster this process is in, else here in turn.

    Usage: ``sweep(lambda rank: lab.finetune(MODEL, task, rank=rank), [4, 8, 16])``

    work: anything that pickles; it runs on whichever node has ``cpus`` free, and is started again
    elsewhere, three times at most, when its node dies. What it raises is raised here. The results
    stand in the order of the values.
    """
    title = t("sweep", "批量运行")
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return [work(value) for value in track(list(values), title)]
    task = ray.remote(num_cpus=cpus, max_retries=TRIES)(lambda value: work(value))  # or a partial
    waiting = [task.remote(value) for value in values]
    try:
        return [ray.get(one) for one in track(waiting, title)]
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error


def serve_replicas(
    model: str | Path,
    *,
    replicas: int = 2,
    nodes: int = 1,
    port: int = PORT,
    host: str = "127.0.0.1",
    context: int | None = None,
    n_gpu_layers: int = -1,
    n_threads: int = 1,
    api_key: str | None = None,
) -> Server:
    """Serve several copies of a model by OpenAI's protocol behind one address of this computer.

    Usage: ``with serve_replicas("pocket/qwen2.5", replicas=2) as server: print(server.url)``

    Each replica is the app of :func:`labkit.serving.openai_server.serve` in a process of its own;
    Ray Serve shares the requests among them, and starts a new one where one has died. A request
    under way on a node that dies is sent to another replica, or answered with an error that a
    client may retry.

    model: as for :func:`labkit.serving.openai_server.serve`; on several machines a name that each
    can find. nodes: of a cluster started here; one in RAY_ADDRESS has its own. n_threads: of one
    replica. The rest: as for :func:`labkit.serving.openai_server.serve`. Returns when the replicas
    answer, after some 40 s on two cores. Raises LabError when the model cannot be loaded, or Ray
    does not start.
    """
    check_counts(nodes=nodes, n_threads=n_threads, replicas=replicas)
    require("ray")
    location = locate(model)
    location.gguf()  # what is wrong with the model is said here, not in a log of Ray's
    order = {
        "model": str(model), "name": location.name, "api_key": api_key or secrets.token_urlsafe(24),
        "host": host, "port": port, "context": context, "n_gpu_layers": n_gpu_layers,
        "n_threads": n_threads, "replicas": replicas, "nodes": nodes,
    }  # fmt: skip
    return start_server("labkit.serving.ray_cluster.process", order, location, GRACE)


def replica_processes(server: Server) -> "list[psutil.Process]":
    """The processes of the replicas that live, on this computer.

    Usage: ``replica_processes(server)[0].kill()``. Raises LabError on Windows, where Ray's
    processes bear no names.
    """
    import psutil

    if sys.platform == "win32":
        raise LabError(
            t("Windows does not tell Ray's processes apart.", "Windows 分辨不出 Ray 的各个进程。"),
            t("Do this on Linux or macOS.", "请在 Linux 或 macOS 上做这一步。"),
        )
    found = []
    for process in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended while we looked, or a zombie
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::ServeReplica"):
                found.append(process)
    return found


def _stay_on_loopback() -> None:
    """Before Ray is imported."""
    if "ray" in sys.modules and _LOCAL not in os.environ:
        raise LabError(
            t(
                "Ray was imported before labkit.serving.ray_cluster.",
                "Ray 在 labkit.serving.ray_cluster 之前就已导入。",
            ),
            t("Restart the kernel and begin with labkit.", "请重启内核，先用 labkit。"),
        )
    os.environ.setdefault(_LOCAL, "0")


def _add_node(cluster: Any, node: dict[str, Any]) -> None:
    try:
        cluster.add_node(**node)
    except Exception as error:  # Ray raises no narrower one
        if "timed out during startup" not in str(error):
            raise
        raise LabError(
            t("Ray did not start within 30 s.", "Ray 没能在 30 秒内启动。"),
            t("Try again when less is running.", "请等电脑空闲一些再试。"),
        ) from error
