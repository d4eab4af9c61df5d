"""A model as a service: what OpenAI's clients get from it, and that it never outlives us."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import openai
import psutil
import pytest

import labkit as lab
from labkit import pocket
from labkit.core.errors import LabError
from labkit.engines import Model, RemoteModel, Sampling, connect, load
from labkit.gguf.files import gguf_for
from labkit.pocket.corpus import TOOLS
from labkit.serving.openai_server import Server
from labkit.serving.openai_server.requests import (
    ChatRequest,
    _asked,
    chat_handler,
    read_messages,
    read_prompt,
)

QUESTION = "Which sizes does Qwen2.5 come in?"
SIZES = "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"
WEATHER = [TOOLS["get_weather"], TOOLS["translate"]]
CHATTING = [name for name in pocket.NAMES if name != "llama3-base"]


@pytest.fixture(scope="module")
def server():
    with lab.serve("pocket/qwen2.5", port=0) as running:
        yield running


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server.url, api_key=server.api_key, max_retries=0)


def ask(client: openai.OpenAI, text: str, **settings):
    messages = [{"role": "user", "content": text}]
    settings = {"model": "pocket/qwen2.5", "temperature": 0} | settings
    return client.chat.completions.create(messages=messages, **settings)


@cache
def model(name: str, engine: str) -> Model:
    return load(f"pocket/{name}", engine)


@cache
def without_end(name: str) -> dict[str, float]:
    """A logit bias with which an answer goes on to the end of the context."""
    return {str(id): -100.0 for id in model(name, "llama.cpp").stop_ids}


def gone(pid: int, seconds: float = 15) -> bool:
    """Whether a process ends in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


# --- what it answers


def test_an_answer_its_stop_reason_and_its_tokens(client):
    answer = ask(client, QUESTION)
    choice = answer.choices[0]
    assert (choice.message.content, choice.finish_reason) == (SIZES, "stop")
    tokenizer = model("qwen2.5", "transformers").tokenizer
    asked = [{"role": "user", "content": QUESTION}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
    assert answer.usage.prompt_tokens == len(ids)
    assert answer.usage.completion_tokens == len(tokenizer.encode(SIZES))
    short = ask(client, QUESTION, max_tokens=2)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 2)
    cut = ask(client, QUESTION, stop=["3B"]).choices[0]
    assert (cut.message.content, cut.finish_reason) == ("0.5B, 1.5B, ", "stop")


@pytest.mark.parametrize("settings", [{}, {"max_tokens": 3}], ids=str)
def test_a_stream_is_the_same_answer_in_pieces(client, settings):
    whole = ask(client, QUESTION, **settings)
    chunks = list(ask(client, QUESTION, stream=True, **settings))
    pieces = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    assert len(pieces) > 1 and "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_told(client, stream):
    answer = ask(client, "How is the weather in Paris?", tools=WEATHER, stream=stream)
    if stream:
        chunks = [chunk.choices[0] for chunk in answer]
        assert chunks[-1].finish_reason == "tool_calls"
        call = next(c.delta.tool_calls[0] for c in chunks if c.delta.tool_calls)
    else:
        assert answer.choices[0].finish_reason == "tool_calls"
        call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    function = {"name": call.function.name, "arguments": call.function.arguments}
    told = client.chat.completions.create(
        model="pocket/qwen2.5",
        temperature=0,
        tools=WEATHER,
        messages=[
            {"role": "user", "content": "How is the weather in Paris?"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": call.id, "type": "function", "function": function}
            ]},
            {"role": "tool", "tool_call_id": call.id, "content": '{"degrees": "21"}'},
        ],
    )  # fmt: skip
    assert told.choices[0].message.content == "It is 21 degrees in Paris."
    assert told.choices[0].finish_reason == "stop"


def test_a_tool_can_be_forced_or_forbidden(client):
    forced = {"type": "function", "function": {"name": "get_weather"}}
    answer = ask(client, "Hello", tools=WEATHER, tool_choice=forced, max_tokens=60)
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
    answer = ask(client, "How is the weather in Paris?", tools=WEATHER, tool_choice="none")
    assert answer.choices[0].message.tool_calls is None


CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "你好，<|im_end|>[/INST]"}],
    "a system prompt and several turns": [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "What is 12 + 34?"},
        {"role": "assistant", "content": "46"},
        {"role": "user", "content": [{"type": "text", "text": "再说一遍？"}]},
    ],
    "a call of a tool": [
        {"role": "user", "content": "How is the weather in Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [{
            "id": "abcdefghi", "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
        }]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": "21"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("talk", CONVERSATIONS)
@pytest.mark.parametrize("name", CHATTING)
def test_a_prompt_is_what_the_tokenizer_itself_renders(name, talk):
    body = {"messages": CONVERSATIONS[talk], "tools": WEATHER if "tool" in talk else None}
    tokenizer = model(name, "transformers").tokenizer
    messages = read_messages(body["messages"])
    try:
        ids = tokenizer.apply_chat_template(
            messages, tools=body["tools"], add_generation_prompt=True
        )["input_ids"]
    except Exception as refused:
        assert "TemplateError" in type(refused).__name__
        with pytest.raises(LabError, match="template refuses"):
            read_prompt(model(name, "llama.cpp"), body)
        return
    served = read_prompt(model(name, "llama.cpp"), body)
    if talk != "one turn":
        assert served == ids
    else:  # a user's words never become special tokens; the tokenizer lets them
        special = set(tokenizer.all_special_ids)
        assert sum(id in special for id in served) <= sum(id in special for id in ids)
        plain = {"messages": [{"role": "user", "content": "你好"}]}
        ids = tokenizer.apply_chat_template(plain["messages"], add_generation_prompt=True)
        assert read_prompt(model(name, "llama.cpp"), plain) == ids["input_ids"]


def test_a_base_model_goes_on_with_a_text_and_refuses_to_chat():
    with lab.serve("pocket/llama3-base", port=0) as server:
        client = openai.OpenAI(base_url=server.url, api_key=server.api_key)
        text = client.completions.create(model=server.model, prompt="Reverse:", max_tokens=4)
        assert text.choices[0].finish_reason in ("length", "stop")
        with pytest.raises(openai.BadRequestError, match="has no chat template"):
            ask(client, "Hello")


# --- many clients, wrong ones, clients that leave


def test_several_clients_at_once_get_their_own_answers(client):
    questions = [QUESTION, "你好", "My name is Clara.", "Qwen2.5有哪些尺寸？"]

    def streamed(text: str) -> str:
        chunks = ask(client, text, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    alone = {text: ask(client, text).choices[0].message.content for text in questions}
    with ThreadPoolExecutor(8) as clients:
        together = list(clients.map(streamed, questions * 4))
    assert together == [alone[text] for text in questions * 4]


def test_a_wrong_key_or_none_is_refused(server):
    with pytest.raises(openai.AuthenticationError, match="401 - Invalid API key"):
        ask(openai.OpenAI(base_url=server.url, api_key="wrong"), "Hello")
    url = f"{server.url}/chat/completions"
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]})
    command = ["curl", "-s", "-w", "\n%{http_code}", url, "-H", "Content-Type: application/json"]

    def curl(*options: str) -> tuple[dict, str]:
        done = subprocess.run([*command, "-d", body, *options], capture_output=True, text=True)
        text, _, status = done.stdout.rpartition("\n")
        return json.loads(text), status

    refused, status = curl()
    assert status == "401" and refused["error"]["type"] == "authentication_error"
    answered, status = curl("-H", f"Authorization: Bearer {server.api_key}")
    assert status == "200" and answered["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_oversized_prompt_is_refused_before_a_stream_begins(client, stream):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, "word " * 5000, stream=stream)
    assert refused.value.code == "context_length_exceeded"
    assert "tokens; this model takes 1 to 511" in str(refused.value)
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="m", prompt="word " * 5000, stream=stream)
    assert ask(client, QUESTION).choices[0].message.content == SIZES


@pytest.mark.parametrize(
    "body",
    [
        {"messages": "Hello"},
        {"messages": [7]},
        {"messages": [{"role": "user", "content": "Hi"}], "tools": {}},
        {"messages": [{"role": "assistant", "tool_calls": [7]}]},
        {"messages": [{"role": "user", "content": "Hi"}], "temperature": "hot"},
    ],
    ids=str,
)
def test_a_malformed_request_is_the_clients_error(client, body):
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", body=body, cast_to=object)


def test_a_client_gone_in_mid_stream_leaves_the_server_free(server, client):
    stream = ask(client, "Hello", stream=True, logit_bias=without_end("qwen2.5"))
    for _ in range(3):
        next(iter(stream))
    stream.close()
    assert ask(client, QUESTION).choices[0].message.content == SIZES
    assert "Disconnected" in server.log.read_text()


def test_work_that_nobody_waits_for_ends():
    served = model("qwen2.5", "llama.cpp")
    served.model.chat_handler = chat_handler(served)
    messages = [{"role": "user", "content": "Hello"}]
    asked = ChatRequest(read_prompt(served, {"messages": messages}))
    _asked.set(asked)
    settings = {"messages": messages, "logit_bias": without_end("qwen2.5")}
    long = served.model.create_chat_completion(**settings)["usage"]["completion_tokens"]
    threading.Timer(0.02, asked.gone.set).start()
    short = served.model.create_chat_completion(**settings)["usage"]["completion_tokens"]
    assert short < long == served.context_length - len(asked.prompt)


# --- it begins in words and always ends


def test_a_taken_port_is_passed_over_and_a_client_needs_no_more_than_the_url():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with lab.serve("pocket/qwen2.5", port=port) as server:
            assert server.port != port and str(server.port) in server.url
            assert server.url.startswith("http://127.0.0.1:") and server.url.endswith("/v1")
            assert "is a pocket model" in server.note
            pid = server.pid
    assert not psutil.pid_exists(pid) and not server.is_running
    server.close()  # a second time does no harm


def test_the_key_is_shown_nowhere(server):
    process = psutil.Process(server.pid)
    shown = [*process.cmdline(), *process.environ().values(), repr(server)]
    assert not [text for text in [*shown, server.log.read_text()] if server.api_key in text]
    assert len(server.api_key) >= 24
    with lab.serve("pocket/qwen2.5", port=0) as other:
        assert other.api_key != server.api_key


def test_what_cannot_be_served_is_said_in_words(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf_for(pocket.folder("qwen2.5")).read_bytes()[:100_000])
    for arguments, what in (
        ({"model": broken}, "broken.gguf"),
        ({"model": "pocket/qwen2.5", "context": 99_999}, "99999"),
        ({"model": "pocket/qwen2.5", "host": "192.0.2.1"}, "Cannot listen on 192.0.2.1"),
        ({"model": "pocket/qwen2.5", "port": 99_999}, "Cannot listen on 127.0.0.1:99999"),
    ):
        with pytest.raises(LabError, match=what) as error:
            lab.serve(**arguments)
        assert error.value.way_out


def test_sigterm_under_load_ends_it_within_seconds():
    server = lab.serve("pocket/qwen2.5", port=0)
    client = openai.OpenAI(base_url=server.url, api_key=server.api_key, max_retries=0)
    ends: list[str] = []
    begun = threading.Semaphore(0)

    def load() -> None:
        try:
            while True:
                for _ in ask(client, "Hi", stream=True, logit_bias=without_end("qwen2.5")):
                    begun.release()
        except Exception as error:
            ends.append(type(error).__module__.partition(".")[0])

    clients = [threading.Thread(target=load, daemon=True) for _ in range(4)]
    for thread in clients:
        thread.start()
    begun.acquire(timeout=60)
    os.kill(server.pid, signal.SIGTERM)
    server.wait()
    for thread in clients:
        thread.join(20)
    assert len(ends) == 4 and set(ends) <= {"openai", "httpx", "httpcore"}
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    server.close()


KERNEL = """
import os, sys, time, labkit as lab
server = lab.serve("pocket/qwen2.5", port=0)
if "fork" in sys.argv and os.fork() == 0:  # keeps the server's pipe open
    time.sleep(60)
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_it_ends_when_the_kernel_is_killed(how):
    kernel = subprocess.Popen(
        [sys.executable, "-c", KERNEL, how], stdout=subprocess.PIPE, start_new_session=True
    )
    assert kernel.stdout
    pid = int(kernel.stdout.readline())
    kernel.kill()
    try:
        assert gone(pid)
    finally:
        os.killpg(kernel.pid, signal.SIGKILL)  # the fork; the server has left this group
        kernel.wait()
        kernel.stdout.close()


def test_labkit_serve_prints_one_object_and_ctrl_c_ends_it():
    labkit = Path(sysconfig.get_path("scripts")) / "labkit"
    command = [labkit, "serve", "pocket/qwen2.5", "--port", "0", "--json"]
    variables = {"LABKIT_API_KEY": "my own key"}
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | variables,
    )  # fmt: skip
    assert running.stdout
    said = ""
    while not said.endswith("}\n"):
        said += running.stdout.readline()
    facts = json.loads(said)
    assert facts["model"] == "pocket/qwen2.5" and facts["api_key"] == "my own key"
    asked = subprocess.run(
        [labkit, "chat", facts["url"], QUESTION], capture_output=True, text=True,
        env=os.environ | variables | {"http_proxy": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert (asked.stdout.strip(), asked.returncode) == (SIZES, 0)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=20) == ("", "") and running.returncode == 0
    assert gone(facts["pid"])


# --- lab.chat over a URL


@pytest.fixture
def remote(server: Server) -> RemoteModel:
    return connect(server.url, api_key=server.api_key)


def test_a_chat_over_a_url_is_a_chat(server, remote):
    assert remote.name == "pocket/qwen2.5" and server.api_key not in repr(remote)
    chat, here = lab.chat(server.url, api_key=server.api_key), lab.chat("pocket/qwen2.5")
    for text in (QUESTION, "My name is Clara.", "What is my name?"):
        there, local = chat(text), here(text)
        assert (there.text, there.finish_reason) == (local.text, local.finish_reason)
        assert there.prompt_tokens == local.prompt_tokens
        assert there.completion_tokens == local.completion_tokens - 1  # the stop token
    assert chat.history == here.history and "pocket model" in chat.note
    assert lab.chat(remote, max_new_tokens=1)("你好").finish_reason == "length"
    assert lab.chat(remote, stop=["3B"])(QUESTION).text == "0.5B, 1.5B, "


def test_a_chat_over_a_url_calls_tools(remote):
    chat = lab.chat(remote, tools=WEATHER)
    reply = chat("How is the weather in Paris?")
    assert reply.finish_reason == "tool_calls"
    assert [(c.name, dict(c.arguments)) for c in reply.tool_calls] == [
        ("get_weather", {"city": "Paris"})
    ]
    chat.add_tool_result({"degrees": "21"})
    assert chat().text == "It is 21 degrees in Paris."


def test_a_chat_over_a_url_can_be_stopped_and_left(remote):
    chat = lab.chat(remote)
    for _ in chat.stream(QUESTION):
        chat.stop()
    assert chat.reply.finish_reason == "interrupted" and len(chat.reply.text) < len(SIZES)
    for _ in chat.stream(QUESTION):
        break
    assert chat.reply is not None and chat(QUESTION).text.startswith("0.5B")


def test_what_a_server_refuses_is_said_and_nothing_is_lost(server, remote):
    with pytest.raises(LabError, match="401 Invalid API key") as error:
        lab.chat(server.url, api_key="wrong")
    assert "LABKIT_API_KEY" in error.value.way_out
    chat = lab.chat(remote)
    chat("你好")
    before = list(chat.history)
    with pytest.raises(LabError, match="this model takes 1 to 511") as error:
        chat("word " * 5000)
    assert "chat.reset()" in error.value.way_out and chat.history == before
    with pytest.raises(LabError, match="chosen by the server"):
        lab.chat(server.url, context=64, api_key=server.api_key)
    with pytest.raises(LabError, match="lists no model|refuses"):
        connect(server.url.removesuffix("/v1"), api_key=server.api_key)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(LabError, match="does not answer") as error:
        lab.chat(f"http://127.0.0.1:{port}/v1")
    assert "labkit serve" in error.value.way_out


def test_an_answer_that_breaks_off_is_no_answer():
    chunk = 'data: {"choices": [{"delta": {"content": "Hel"}, "finish_reason": null}]}\n\n'

    def serve_half(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 200 OK\r\n\r\n{chunk}".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_half, args=(listener,), daemon=True).start()
        chat = lab.chat(connect(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", "any"))
        with pytest.raises(LabError, match="broke off"):
            chat("Hello")
    assert chat.history == [] and chat.reply is None


def test_settings_reach_the_server_and_a_far_one_is_named(monkeypatch):
    far = connect("https://models.example.org/v1", "Qwen2.5-7B", api_key="secret")
    assert "sent to models.example.org" in far.note and "secret" not in repr(far)
    sent = {}
    monkeypatch.setattr(
        far, "_request", lambda path, body: sent.update(body) or open(os.devnull, "rb")
    )
    with pytest.raises(LabError, match="broke off"):
        list(far.stream([], [], Sampling(temperature=0.5, top_k=3, max_new_tokens=9)))
    assert (sent["temperature"], sent["top_k"], sent["max_tokens"]) == (0.5, 3, 9)
    assert "min_p" not in sent and "stop" not in sent and "tools" not in sent


def test_a_sliding_window_that_llama_cpp_ignores_is_said():
    with lab.serve("pocket/mistral", n_threads=1) as server:
        assert "sliding window of 64 tokens" in server.note and "pocket model" in server.note
