"""The load test, against a real server of ours and against servers that fail."""

import json
import math
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

import labkit as lab
from labkit.cli.entry import run
from labkit.core.errors import LabError
from labkit.plots.load import draw_waits
from labkit.serving.load_test import LoadTest, make_prompts, measure_load, percentile

QUESTION = "Which sizes does Qwen2.5 come in?"
SIZES = "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"


@pytest.fixture(scope="module")
def server():
    with lab.serve("pocket/qwen2.5", port=0, n_threads=1, context=512) as running:
        yield running


@pytest.fixture(scope="module")
def measured(server) -> LoadTest:
    return measure_load(
        server.url, api_key=server.api_key, clients=(1, 4), requests=8, prompts=[QUESTION],
        max_new_tokens=64,
    )  # fmt: skip


def test_every_answer_is_whole_and_counted(measured):
    assert [(row.clients, row.requests, row.answered) for row in measured.rows] == [
        (1, 8, 8),
        (4, 8, 8),
    ]
    assert {a.text for answers in measured.answers for a in answers} == {SIZES}
    assert all(not row.errors and not row.retried for row in measured.rows)
    tokens = lab.load("pocket/qwen2.5", "llama.cpp")
    assert measured.rows[0].output_tokens == len(tokens.encode(SIZES))


def test_the_sums_follow_from_the_answers(measured):
    row, answers = measured.rows[1], measured.answers[1]
    assert row.seconds == pytest.approx(
        max(a.ended for a in answers) - min(a.sent for a in answers)
    )
    assert row.requests_per_second == pytest.approx(8 / row.seconds)
    assert row.output_tokens_per_second == pytest.approx(
        sum(a.output_tokens for a in answers) / row.seconds
    )
    waits = sorted(a.pieces[0] - a.sent for a in answers)
    assert (row.first_token.p50, row.first_token.p99) == (waits[3], waits[7])
    assert all(a.sent < a.pieces[0] <= a.pieces[-1] <= a.ended for a in answers)


def test_clients_do_ask_at_once(measured):
    """One server answers one after another, so who asks with others waits for them."""
    alone, together = (row.first_token.p50 for row in measured.rows)
    assert together > 1.5 * alone
    first = sorted(a.sent for a in measured.answers[1])[:4]
    assert first[-1] < min(a.ended for a in measured.answers[1])


def test_longer_prompts_and_answers_are_what_is_asked_for(server):
    def ask(words: int, most: int):
        return measure_load(
            server.url, api_key=server.api_key, clients=[2], requests=4,
            prompt_words=words, max_new_tokens=most,
        ).rows[0]  # fmt: skip

    short, long = ask(8, 2), ask(32, 6)
    assert long.prompt_tokens > short.prompt_tokens + 20
    assert short.output_tokens == 2 < long.output_tokens <= 6


def test_prompts_are_all_different_and_the_same_each_time():
    prompts = list(make_prompts(50, 24))
    assert len(set(prompts)) == 50
    assert prompts == list(make_prompts(50, 24))
    assert {len(prompt.split()) for prompt in prompts} == {24}


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3, 1, 2], 50, 2), ([1, 2, 3, 4], 50, 2), ([1, 2, 3, 4], 95, 4), ([5], 99, 5),
     (range(1, 101), 95, 95), (range(1, 101), 99, 99), (range(1, 1001), 99, 990)],
)  # fmt: skip
def test_percentiles_by_hand(values, percent, expected):
    assert percentile(list(values), percent) == expected


def test_no_waits_have_no_percentile():
    assert math.isnan(percentile([], 50))


# --- servers that fail


class Flaky(BaseHTTPRequestHandler):
    """Answers a question with a 503 first, then with a stream that breaks off, then whole; but the
    very first question, the one before the load test, whole."""

    seen: ClassVar[dict[str, int]] = {}
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][0]["content"]
        with Flaky.lock:  # each question has its own count, for clients come in any order
            tries = Flaky.seen.get(text, 1) if Flaky.seen else 3
            Flaky.seen[text] = tries % 3 + 1
        if tries == 1:
            return self.send_error(503)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f'data: {{"choices":[{{"delta":{{"content":"{text}"}}}}]}}\n\n'.encode())
        if tries == 3:
            self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def flaky():
    Flaky.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        httpd.shutdown()


def test_what_fails_is_counted_with_its_reason(flaky):
    row = measure_load(flaky, model="x", clients=[1], requests=9, prompts=["hello"]).rows[0]
    assert (row.answered, sum(row.errors.values())) == (3, 6)
    assert any("503" in reason for reason in row.errors)
    assert any("broke off" in reason for reason in row.errors)
    assert row.requests_per_second == pytest.approx(3 / row.seconds)
    assert row.output_tokens is None and row.output_tokens_per_second is None


def test_what_is_asked_again_is_answered(flaky, monkeypatch):
    monkeypatch.setattr("labkit.serving.load_test.PAUSE", 0.01)
    prompts = [f"hello {number}" for number in range(9)]
    test = measure_load(flaky, model="x", clients=[2], requests=9, prompts=prompts, retries=2)
    assert (test.rows[0].answered, test.rows[0].errors) == (9, {})
    assert test.rows[0].retried == 9 and {a.tries for a in test.answers[0]} == {3}
    # Not the pieces of two tries together.
    assert sorted(a.text for a in test.answers[0]) == prompts


def test_a_wrong_key_is_said_at_once(server):
    with pytest.raises(LabError) as error:
        measure_load(server.url, api_key="wrong", clients=[1])
    assert "401" in error.value.what and "wrong" not in str(error.value)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(LabError, match=str(port)):
        measure_load(f"http://127.0.0.1:{port}/v1", clients=[1])


@pytest.mark.parametrize("wrong", [{"clients": []}, {"clients": [0]}, {"requests": 0},
                                   {"prompts": []}, {"max_new_tokens": 0}])  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(LabError):
        measure_load("http://127.0.0.1:1/v1", model="x", **wrong)


# --- what is shown


def test_the_table_and_the_figures(measured):
    text = str(measured)
    assert "8 / 8" in text and "p95" in text
    assert "pocket" in text.splitlines()[-1]  # a pocket result says so
    assert draw_waits(measured).png.startswith(b"\x89PNG")


def test_the_command(server, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LABKIT_API_KEY", server.api_key)
    plot = tmp_path / "waits.png"
    words = ["bench-serve", server.url, "--clients", "1", "--clients", "2", "--requests", "4"]
    assert run([*words, "--json", "--plot", str(plot)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["clients"] for row in found["rows"]] == [1, 2]
    assert found["rows"][1]["first_token"]["p95"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run([*words, "--requests", "0"]) == 1
    assert "requests=0" in capsys.readouterr().err
