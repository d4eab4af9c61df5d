"""How many requests and tokens a second `lab.serve` answers, beside `python -m llama_cpp.server`.

Usage: ``python tests/bench_server.py [TURNS]``. Prints a table and one line of JSON.

Both serve the same F16 GGUF of pocket/qwen2.5 with the same context at once. They are asked by
turns, so that a busy machine slows both alike: a turn is 16 questions from 4 clients, streamed. The
ratio is the median over the turns; the answers must be the same.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from time import perf_counter

import labkit as lab
from labkit.gguf_files import gguf_for
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
    """llama_cpp.server as its documentation starts it; yields the port."""
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
    )
    try:
        while server.poll() is None:
            try:
                ask(port, "你好")
                break
            except OSError:
                time.sleep(0.5)
        yield port
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


def turn(port: int) -> tuple[float, list[tuple[str, int]]]:
    start = perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda question: ask(port, question), QUESTIONS))
    return perf_counter() - start, answers


def measure(turns: int) -> dict[str, float | int]:
    """Requests and pieces (about a token each) a second of both, and their ratio."""
    rows = []
    with lab.serve("pocket/qwen2.5", port=0, context=CONTEXT, api_key=KEY) as ours:
        with by_hand() as theirs:
            turn(ours.port), turn(theirs)  # warm
            for index in range(turns):
                order = (ours.port, theirs) if index % 2 else (theirs, ours.port)
                done = {port: turn(port) for port in order}
                (seconds, answers), (other, same) = done[ours.port], done[theirs]
                if answers != same:
                    raise SystemExit(f"the answers differ: {answers} and {same}")
                rows.append((seconds, other, sum(pieces for _, pieces in answers)))
    return {
        "turns": turns,
        "clients": CLIENTS,
        "requests_per_second": round(median(len(QUESTIONS) / s for s, _, _ in rows), 2),
        "requests_per_second_by_hand": round(median(len(QUESTIONS) / o for _, o, _ in rows), 2),
        "pieces_per_second": round(median(p / s for s, _, p in rows), 1),
        "pieces_per_second_by_hand": round(median(p / o for _, o, p in rows), 1),
        "ratio": round(median(o / s for s, o, _ in rows), 3),
    }


def main() -> None:
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    for label, key in (
        ("lab.serve, requests/s", "requests_per_second"),
        ("python -m llama_cpp.server, requests/s", "requests_per_second_by_hand"),
        ("lab.serve, pieces/s", "pieces_per_second"),
        ("python -m llama_cpp.server, pieces/s", "pieces_per_second_by_hand"),
        ("ratio (at least 0.97)", "ratio"),
    ):
        print(f"{label:42}{result[key]:>8}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
