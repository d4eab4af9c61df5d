"""The process that holds the replicas of a model: Ray's driver, and the cluster if it started one.

It reads its order, says its port and ends as :mod:`labkit.serving.openai_server.process` does.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from ...core.errors import LabError
from ...core.extras import need
from ...core.i18n import t
from ...core.workers import take_stdout
from ...hub.resolver import locate
from ..openai_server.process import bind, end_with_parent, make_app
from .launch import GRACE, join_cluster, start_cluster


def main() -> None:
    """Serve until told to stop. Usage: ``python -m labkit.serving.ray_cluster.process`` by
    :func:`labkit.serving.ray_cluster.serve_replicas`."""
    out = take_stdout()
    order = json.loads(sys.stdin.readline())
    told = threading.Event()
    end_with_parent(GRACE)
    with contextlib.ExitStack() as ends:
        try:
            listener = bind(order["host"], order["port"])
            order["port"] = listener.getsockname()[1]
            listener.close()  # Ray Serve opens it itself
            _start(order, ends)
        except LabError as error:
            print(json.dumps({"error": [error.what, error.way_out]}), file=out, flush=True)
            return
        for number in (signal.SIGTERM, signal.SIGINT):  # after Ray, which has one of its own
            signal.signal(number, lambda *_: told.set())
        print(json.dumps({"port": order["port"]}), file=out, flush=True)
        out.close()
        told.wait()


def _start(order: dict[str, Any], ends: contextlib.ExitStack) -> None:
    if os.environ.get("RAY_ADDRESS"):
        join_cluster()
        ends.callback(need("ray").shutdown)
        _check_room(order["replicas"] * order["n_threads"])
    else:  # each node has room for all: where one dies, the others take its replicas
        ends.enter_context(start_cluster(order["nodes"], order["replicas"] * order["n_threads"]))
    serve = need("ray.serve")
    ends.callback(serve.shutdown)
    serve.start(
        http_options={"host": order["host"], "port": order["port"]}, proxy_location="HeadOnly"
    )
    deployment = serve.deployment(
        name="model",
        num_replicas=order["replicas"],
        max_ongoing_requests=16,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=GRACE / 3,
        ray_actor_options={"num_cpus": order["n_threads"]},
        logging_config={"enable_access_log": False},
    )(serve.ingress(_app_builder(order))())
    try:
        serve.run(deployment.bind(), name="labkit", route_prefix="/")
    except RuntimeError as error:
        raise LabError(
            t("The replicas did not start.", "副本没有启动。"),
            t(f"Ray says: {error}", f"Ray 的说明：{error}"),
        ) from error


def _check_room(wanted: int) -> None:
    """Ray itself would wait for further machines without end."""
    cpus = int(need("ray").cluster_resources().get("CPU", 0))
    if cpus < wanted:
        raise LabError(
            t(f"The cluster has {cpus} CPUs, the replicas need {wanted}.",
              f"集群有 {cpus} 个 CPU，副本需要 {wanted} 个。"),
            t("Take fewer replicas, or let more machines join the cluster.",
              "请减少副本，或让更多机器加入集群。"),
        )  # fmt: skip


def _app_builder(order: dict[str, Any]) -> Callable[[], Any]:
    """What a replica calls for its app, on its own machine; Ray Serve wants a plain function."""
    alone = need("ray.util").get_node_ip_address() == "127.0.0.1"

    def build() -> Any:
        if alone:
            _close_port()
        return make_app(order | {"gguf": str(locate(order["model"]).gguf())})

    return build


def _close_port() -> None:
    """To the network. A replica opens it for other replicas on all addresses and without a
    password; Ray 2.60 has no setting for it."""
    replica: Any = need("ray.serve._private.replica")
    add_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: add_port(
        server, address.replace("[::]", "127.0.0.1")
    )


if __name__ == "__main__":
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    main()
