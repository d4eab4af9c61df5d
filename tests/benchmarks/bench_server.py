"""How many requests and tokens a second `lab.serve` answers, beside `python -m llama_cpp.server`.

Usage: ``python tests/benchmarks/bench_server.py [TURNS]``. Prints a table and one line of JSON.

Both serve the same F16 GGUF of pocket/qwen2.5 with the same context at once. They are asked by
turns of 16 questions from 4 clients, streamed; the answers must be the same. A turn asks one right
after the other, first the one, then the other, and compares the two, for what the machine does in
that second slows both; the median of the turns' ratios decides. The quickest turn of each is
printed too: it scatters more, as it may come from different moments. Ratios above 1 mean
lab.serve is ahead.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import comb
from statistics import median
from time import perf_counter

import psutil

import labkit as lab
from labkit.gguf.files import gguf_for
from labkit.pocket import folder

QUESTIONS = (
    "Which sizes does Qwen2.5 come in?",
    "Qwen2.5有哪些尺寸？",
    "你好",
    "Reverse: apple river moon",
) * 4
CLIENTS = 4
CONTEXT = 512
KEY = "bench"


@contextmanager
def by_hand():
    """llama_cpp.server as its documentation starts it; yields port and process id."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "llama_cpp.server",
        "--model",
        str(gguf_for(folder("qwen2.5"))),
    ]
    command += ["--n_ctx", str(CONTEXT), "--port", str(port), "--host", "127.0.0.1"]
    command += ["--interrupt_requests", "false", "--verbose", "false"]
    server = subprocess.Popen(
        command,
        env=os.environ | {"API_KEY": KEY},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # as lab.serve does: Linux shares a busy processor by sessions
    )
    try:
        while server.poll() is None:
            try:
                ask(port, "你好")
                break
            except OSError:
                time.sleep(0.5)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait()


def ask(port: int, question: str) -> tuple[str, int]:
    """An answer and how many pieces it came in."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    messages = [{"role": "user", "content": question}]
    body = {"messages": messages, "temperature": 0, "stream": True, "max_tokens": 48}
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {response.read()!r}")
    pieces = []
    for line in response:
        if line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            pieces.append(delta.get("content") or "")
    connection.close()
    return "".join(pieces), len([piece for piece in pieces if piece])


def turn(port: int, pid: int) -> tuple[float, float, list[tuple[str, int]]]:
    """Seconds, seconds of the server's processor time, answers."""
    start, spent = perf_counter(), sum(psutil.Process(pid).cpu_times()[:2])
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda question: ask(port, question), QUESTIONS))
    spent = sum(psutil.Process(pid).cpu_times()[:2]) - spent
    return perf_counter() - start, spent, answers


def measure(turns: int) -> dict[str, float | int]:
    """Requests a second of both and their ratio; the same of processor time, more is better."""
    rows = []
    with lab.serve("pocket/qwen2.5", port=0, context=CONTEXT, api_key=KEY) as server:
        with by_hand() as theirs:
            both = ((server.port, server.pid), theirs)
            for which in both:  # warm
                turn(*which)
            for index in range(turns):
                order = both if index % 2 else both[::-1]
                done = {which: turn(*which) for which in order}
                (seconds, spent, answers), (other, other_spent, same) = (done[w] for w in both)
                if answers != same:
                    raise SystemExit(f"the answers differ: {answers} and {same}")
                rows.append((seconds, other, spent, other_spent))
                print(f"turn {index + 1}: {seconds:.2f} s, {other:.2f} s by hand", file=sys.stderr)
    ours, theirs, spent, other_spent = (list(column) for column in zip(*rows, strict=True))
    ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
    low = middle(turns)
    return {
        "turns": turns,
        "clients": CLIENTS,
        "requests_per_second": round(len(QUESTIONS) / median(ours), 1),
        "requests_per_second_by_hand": round(len(QUESTIONS) / median(theirs), 1),
        "ratio": round(median(ratios), 3),
        "ratio_from": round(ratios[low], 3),
        "ratio_to": round(ratios[-1 - low], 3),
        "ratio_of_quickest": round(min(theirs) / min(ours), 3),
        "processor_ratio": round(median(other_spent) / median(spent), 3),
    }


def middle(turns: int) -> int:
    """The place in the sorted ratios where the median's 95 % interval begins (sign test)."""
    below = 0.0
    for place in range(turns):
        below += comb(turns, place) / 2**turns
        if below > 0.025:
            return max(place - 1, 0)
    return 0


def main() -> None:
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
    for label, key in (
        ("lab.serve, requests/s", "requests_per_second"),
        ("python -m llama_cpp.server, requests/s", "requests_per_second_by_hand"),
        ("median of the turns' ratios (>= 0.97)", "ratio"),
        ("its 95 % interval, from", "ratio_from"),
        ("to", "ratio_to"),
        ("ratio of the quickest turns", "ratio_of_quickest"),
        ("ratio of the servers' processor time", "processor_ratio"),
    ):
        print(f"{label:42}{result[key]:>8}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
