"""Requests a second of one replica, of two on Ray Serve, and of lab.serve without Ray.

Usage: ``python tests/benchmarks/bench_cluster.py [TURNS]`` (5 unless told). Prints a table and a
line of JSON.

All three run at once, with one thread a replica, and are asked by turns: 24 questions from 4
clients, streamed. The quickest turn of each counts, for what a busy machine adds is not theirs. Two
replicas need four free cores to show what they can: two for themselves, the rest for Ray's address
and for the clients.
"""

import json
import sys

import labkit as lab
from labkit.machine.hardware import hardware
from labkit.serving.load_test import measure_load
from labkit.serving.ray_cluster import serve_replicas

MODEL = "pocket/qwen2.5"
QUESTION = "Which sizes does Qwen2.5 come in?"


def rate(server) -> float:
    test = measure_load(
        server.url, api_key=server.api_key, clients=[4], requests=24, prompts=[QUESTION],
        max_new_tokens=64,
    )  # fmt: skip
    if test.rows[0].answered != 24:
        raise SystemExit(f"requests were lost: {test.rows[0].errors}")
    return test.rows[0].requests_per_second


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    settings = {"port": 0, "n_threads": 1, "context": 512}
    with (
        lab.serve(MODEL, **settings) as plain,
        serve_replicas(MODEL, replicas=1, **settings) as one,
        serve_replicas(MODEL, replicas=2, **settings) as two,
    ):
        places = {"without_ray": plain, "one_replica": one, "two_replicas": two}
        rates = [{name: rate(place) for name, place in places.items()} for _ in range(turns)]
    best = {name: round(max(turn[name] for turn in rates), 1) for name in places}
    for name, value in best.items():
        print(f"{name.replace('_', ' '):16}{value:>8} requests/s")
    ratio = round(best["two_replicas"] / best["one_replica"], 2)
    cores = hardware().cpu.usable_cores
    print(f"two to one: {ratio} on {cores} cores")
    print(json.dumps({"turns": turns, "cores": cores, **best, "ratio": ratio}))


if __name__ == "__main__":
    main()
