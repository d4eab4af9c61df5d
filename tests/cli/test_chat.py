"""`labkit chat`: one question, a talk, JSON, and what is said when it does not work."""

import io
import json

import pytest

from labkit.cli.entry import run

SHORT = ["--max-new-tokens", "4"]


def typed(monkeypatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.parametrize("engine", ["llama.cpp", "transformers"])
def test_one_question(capsys, engine):
    assert run(["chat", "pocket/qwen2.5", "你好", *SHORT, "--engine", engine]) == 0
    out, err = capsys.readouterr()
    assert out.strip() and err.strip() == (
        "pocket/qwen2.5 is a pocket model: it shows how things work,"
        " and says nothing about how good the family is."
    )


def test_json_is_one_object_of_the_reply(capsys):
    assert run(["chat", "pocket/qwen2.5", "你好", "--json", *SHORT]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert list(reply) == [
        "text",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "seconds",
        "tool_calls",
    ]
    assert 1 <= reply["completion_tokens"] <= 4


def test_a_question_from_stdin_is_the_same_question(capsys, monkeypatch):
    assert run(["chat", "pocket/qwen2.5", "Hello", *SHORT]) == 0
    answer = capsys.readouterr().out
    typed(monkeypatch, "Hello\n")
    assert run(["chat", "pocket/qwen2.5", "-", *SHORT]) == 0
    assert capsys.readouterr().out == answer


def test_a_talk_remembers_resets_and_leaves(capsys, monkeypatch):
    typed(monkeypatch, "My name is Anna.\n\nHello\n/reset\nMy name is Anna.\n/exit\nnever asked\n")
    assert run(["chat", *SHORT]) == 0
    first, _, third = capsys.readouterr().out.splitlines()
    assert first == third
    typed(monkeypatch, "Hello\n")  # ends without /exit, as Ctrl-D does
    assert run(["chat", *SHORT]) == 0


def test_a_talk_goes_on_after_an_error(capsys, monkeypatch):
    typed(monkeypatch, "apple " * 2000 + "\nHello\n")
    assert run(["chat", *SHORT]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and "The context is full" in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["pocket/qwen3", "Hi"], 1, "Did you mean 'pocket/qwen2.5'"),
        (["pocket/qwen2.5", ""], 1, "The prompt is empty."),
        (["pocket/qwen2.5", "a\udcff"], 1, "not valid UTF-8"),
        (["pocket/qwen2.5", "apple " * 2000], 1, "The context is full"),
        (["pocket/qwen2.5", "Hi", "--temperature", "-1"], 1, "temperature=-1.0 does not work"),
        (["pocket/llama3-base", "Hi", "--system", "Be brief."], 1, "is a base model"),
        (["pocket/qwen2.5", "--json"], 2, "--json needs a prompt"),
        (["pocket/qwen2.5", "Hi", "--engine", "onnx"], 2, "onnx"),
    ],
)
def test_what_does_not_work_is_said_in_words(capsys, arguments, status, said):
    assert run(["chat", *arguments]) == status
    out, err = capsys.readouterr()
    assert said in err and not out and "Traceback" not in err


def test_an_interrupt_ends_with_130_and_keeps_what_came(capsys, monkeypatch):
    from labkit.engines.llama_cpp import LlamaModel

    generate = LlamaModel.next_tokens

    def interrupted(self, ids, sampling):
        stream = generate(self, ids, sampling)
        yield next(stream)
        yield next(stream)
        raise KeyboardInterrupt

    monkeypatch.setattr(LlamaModel, "next_tokens", interrupted)
    assert run(["chat", "pocket/qwen2.5", "你好", "--temperature", "2"]) == 130
    assert "Interrupted." in capsys.readouterr().err
