"""Ray: a node dies under load and no answer is lost; sweeps give what the same code gives."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import openai
import psutil
import pytest

import labkit as lab
from labkit.cli.entry import run
from labkit.core.errors import LabError
from labkit.core.extras import EXTRAS
from labkit.serving.load_test import measure_load
from labkit.serving.openai_server import Server
from labkit.serving.ray_cluster import (
    Nodes,
    replica_processes,
    serve_replicas,
    start_cluster,
    sweep,
)

QUESTION = "Which sizes does Qwen2.5 come in?"
SIZES = "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"


def below(pid: int) -> list[psutil.Process]:
    """The processes under one that live."""
    found = psutil.Process(pid).children(recursive=True)
    return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def wait_for(condition, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.5)
    return False


# --- replicas


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve_replicas("pocket/qwen2.5", replicas=2, nodes=2, port=0, context=512) as running:
        yield running


def kill_a_node(server: Server) -> None:
    """All at once, as a power cut does; not the first node, which holds the address."""
    raylets = [one for one in below(server.pid) if one.name() == "raylet"]
    node = next(one for one in raylets if "--head" not in one.cmdline())
    for process in (*node.children(recursive=True), node):
        process.kill()


@pytest.mark.slow
def test_replicas_answer_as_one_server_does(server):
    assert len(replica_processes(server)) == 2
    client = openai.OpenAI(base_url=server.url, api_key=server.api_key, max_retries=0)
    asked = {"model": server.model, "messages": [{"role": "user", "content": QUESTION}]}
    assert client.chat.completions.create(**asked).choices[0].message.content == SIZES
    pieces = [
        c.choices[0].delta.content for c in client.chat.completions.create(**asked, stream=True)
    ]
    assert "".join(filter(None, pieces)) == SIZES and len(pieces) > 2
    assert str(lab.chat(server.url, api_key=server.api_key)(QUESTION)) == SIZES
    stranger = openai.OpenAI(base_url=server.url, api_key="guess", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(**asked)
    assert server.api_key not in repr(server)


@pytest.mark.slow
def test_all_ports_are_on_this_computer_only(server):
    for process in below(server.pid):
        for port in process.net_connections("inet"):
            if port.status == psutil.CONN_LISTEN:
                assert port.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), (
                    process.name(),
                    port,
                )


@pytest.mark.slow
def test_a_node_is_killed_under_load_and_no_request_is_lost(server):
    threading.Timer(2, kill_a_node, [server]).start()
    test = measure_load(
        server.url, api_key=server.api_key, clients=[4], requests=120, prompts=[QUESTION],
        max_new_tokens=64, retries=6,
    )  # fmt: skip
    assert (test.rows[0].answered, test.rows[0].errors) == (120, {})
    assert {answer.text for answer in test.answers[0]} == {SIZES}
    assert test.rows[0].seconds > 2  # the node did die under load
    assert len([one for one in below(server.pid) if one.name() == "raylet"]) == 1
    # Ray Serve has started another in its place, on the node that is left.
    assert wait_for(lambda: len(replica_processes(server)) == 2, 60)


@pytest.mark.slow
def test_labkit_serve_replicas_ends_with_the_terminal_and_leaves_nothing():
    labkit = Path(sysconfig.get_path("scripts")) / "labkit"
    command = [labkit, "serve", "pocket/qwen2.5", "--replicas", "2", "--port", "0", "--json"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    try:
        said = ""
        while not said.endswith("}\n"):
            said += running.stdout.readline()
        facts = json.loads(said)
        everyone = below(facts["pid"])
        assert sum(one.name().startswith("ray::ServeReplica") for one in everyone) == 2
        assert str(lab.chat(facts["url"], api_key=facts["api_key"])(QUESTION)) == SIZES
    finally:
        running.kill()  # no goodbye: as when a kernel or a terminal is killed
    assert running.communicate()[0] == ""
    assert wait_for(lambda: not any(one.is_running() for one in everyone), 60)


@pytest.fixture(scope="module")
def started_by_ray(tmp_path_factory) -> Iterator[str]:
    """The address of a cluster that `ray start` made, with two CPUs."""
    folder = tmp_path_factory.mktemp("ray")
    ray = Path(sysconfig.get_path("scripts")) / "ray"
    command = [ray, "start", "--head", "--block", "--node-ip-address", "127.0.0.1", "--port", "0"]
    command += ["--num-cpus", "2", "--include-dashboard", "false", "--temp-dir", str(folder)]
    env = os.environ | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    address = folder / "ray_current_cluster"
    running = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: address.exists() and address.read_text(), 90)
        yield address.read_text().strip()
    finally:
        everyone = below(running.pid)
        running.terminate()
        running.wait(60)
        assert wait_for(lambda: not any(one.is_running() for one in everyone), 60)


@pytest.mark.slow
def test_replicas_and_sweeps_join_the_cluster_in_ray_address(started_by_ray, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", started_by_ray)
    with serve_replicas("pocket/qwen2.5", replicas=2, port=0, context=512) as joined:
        assert replica_processes(joined) == []  # they are the cluster's
        assert str(lab.chat(joined.url, api_key=joined.api_key)(QUESTION)) == SIZES
    with pytest.raises(LabError, match="has 2 CPUs, the replicas need 6"):
        serve_replicas("pocket/qwen2.5", replicas=3, n_threads=2, port=0)
    code = (
        "import os; from labkit.serving.ray_cluster import join_cluster, sweep; join_cluster()\n"
        "print(os.getpid() in sweep(lambda n: os.getpid(), [1, 2]), sweep(abs, [-1, -2]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False [1, 2]\n", done.stderr


@pytest.mark.slow
def test_no_cluster_at_ray_address_is_said(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    start = time.monotonic()
    with pytest.raises(LabError, match=f"No Ray cluster to join at {address}"):
        serve_replicas("pocket/qwen2.5", port=0)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("option", ["replicas", "nodes", "n_threads"])
def test_there_is_at_least_one(option):
    with pytest.raises(LabError, match=f"{option}=0"):
        serve_replicas("pocket/qwen2.5", **{option: 0})


def test_what_is_wrong_with_a_model_is_said_before_ray_starts(tmp_path):
    start = time.monotonic()
    with pytest.raises(LabError, match="nowhere"):
        serve_replicas(tmp_path / "nowhere")
    assert time.monotonic() - start < 20


def test_without_ray_it_is_said_what_brings_it(monkeypatch, capsys):
    monkeypatch.setattr("labkit.core.extras.has", lambda module: module != "ray")
    assert run(["serve", "pocket/qwen2.5", "--replicas", "2"]) == 1
    assert f"open-llm-family-lab[{EXTRAS['ray']}]" in capsys.readouterr().err


# --- sweeps


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    """Two nodes, whose tasks keep what they make in a cache of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        with start_cluster(nodes=2) as here:
            import ray

            patch.undo()
            ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as a notebook's are
            yield here


def figures(form: str) -> tuple[float, ...]:
    row = lab.compare("pocket/llama3", [form]).rows[0]
    return row.file_size, row.perplexity, row.kl_mean, row.top1_agreement


def tune(rank: int) -> tuple[float, ...]:
    report = lab.finetune(
        "pocket/qwen2.5", "clinic", rank=rank, steps=8, measure_memory=False, old_skills=[]
    )
    return report.trainable_parameters, report.exact_match_after, report.adapter_size


def stay(folder: Path) -> str:
    """Two seconds on a node, which is written down at once."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    (folder / f"{node}-{uuid.uuid4()}").touch()
    time.sleep(2)
    return node


def test_where_no_cluster_is_a_sweep_runs_here_in_turn():
    done: list[int] = []
    assert sweep(lambda n: done.append(n) or os.getpid(), [3, 1, 2]) == [os.getpid()] * 3
    assert done == [3, 1, 2]


@pytest.mark.slow
def test_a_quantization_table_is_the_same_on_a_cluster(nodes, monkeypatch, tmp_path):
    far = sweep(figures, ["Q8_0", "Q4_0"])
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    assert far == [figures("Q8_0"), figures("Q4_0")]
    assert far[0] != far[1]


@pytest.mark.slow
def test_ranks_of_lora_are_the_same_on_a_cluster(nodes, monkeypatch, tmp_path):
    far = sweep(tune, [2, 8])
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    assert far == [tune(2), tune(8)]
    assert far[0][0] * 4 == far[1][0]


@pytest.mark.slow
def test_what_a_task_raises_is_raised_here(nodes):
    def fail(value: int) -> int:
        raise LabError(f"{value} is wrong.", "Take another.")

    with pytest.raises(LabError, match="7 is wrong"):
        sweep(fail, [7])
    with pytest.raises(LabError, match="in a Ray cluster already"), start_cluster():
        pass


@pytest.mark.slow
def test_a_sweep_goes_on_where_a_node_died(nodes, tmp_path):
    """Last, for it takes the second node away."""

    def begun() -> list[str]:
        return [one.name.partition("-")[0] for one in tmp_path.iterdir()]

    def kill_when_both_work() -> None:
        assert wait_for(lambda: len(set(begun())) == 2, 60)
        nodes.kill()

    assert nodes.count == 2
    killer = threading.Thread(target=kill_when_both_work)
    killer.start()
    assert len(sweep(stay, [tmp_path] * 6)) == 6
    killer.join()
    assert len(begun()) == 7  # the one that died with its node was begun again
    assert wait_for(lambda: nodes.count == 1, 60)
    with pytest.raises(LabError, match="Only the first node is left"):
        nodes.kill()


@pytest.mark.slow
def test_ray_imported_by_someone_else_is_said():
    code = (
        "import ray; from labkit.core.errors import LabError\n"
        "from labkit.serving.ray_cluster import start_cluster\n"
        "try:\n    start_cluster().__enter__()\nexcept LabError as error: print(error.what)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout == "Ray was imported before labkit.serving.ray_cluster.\n"
