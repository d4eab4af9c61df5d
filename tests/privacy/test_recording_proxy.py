"""The proxy shows what left, passes it on unchanged, and fails as ordered."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import openai
import pytest
from recording_api import RecordingAPI

from labkit.core.errors import LabError
from labkit.engines import RemoteModel, Sampling
from labkit.privacy.recording_proxy import FAILURES, OPENAI, RecordingProxy, find_api


@pytest.fixture
def api() -> Iterator[RecordingAPI]:
    with RecordingAPI("From far away.") as running:
        yield running


@pytest.fixture
def proxy(api: RecordingAPI) -> Iterator[RecordingProxy]:
    with RecordingProxy(api.url) as running:
        yield running


def ask(proxy: RecordingProxy, text: str, retries: int = 0) -> str:
    client = openai.OpenAI(base_url=proxy.url, api_key="sk-very-secret", max_retries=retries)
    stream = client.chat.completions.create(
        model="a-model", messages=[{"role": "user", "content": text}], stream=True
    )
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_what_arrives_is_what_was_sent_and_the_answer_comes_back(api, proxy):
    assert ask(proxy, "我的问题") == "From far away."
    (kept,) = proxy.requests
    assert kept.line == "POST /v1/chat/completions HTTP/1.1"
    assert kept.json["messages"] == [{"role": "user", "content": "我的问题"}]
    (raw,) = api.bodies
    assert raw.endswith(kept.body)
    assert b"Bearer sk-very-secret" in raw
    assert len(kept.body) < kept.size < len(kept.body) + 2000


def test_no_key_is_kept_or_shown(proxy):
    ask(proxy, "Hi")
    (kept,) = proxy.requests
    assert "sk-very-secret" not in str(kept) + repr(kept)
    assert "********" in str(kept)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("rate-limit", openai.RateLimitError),
        ("retired", openai.NotFoundError),
        ("overloaded", openai.InternalServerError),
        ("hang-up", openai.APIConnectionError),
    ],
)
def test_failures_are_those_the_client_knows(api, proxy, failure, error):
    proxy.failure = failure
    with pytest.raises(error):
        ask(proxy, "Hi")
    assert len(proxy.requests) == 1 and not api.bodies
    proxy.failure = None
    assert ask(proxy, "Hi") == "From far away."


def test_the_client_asks_again_after_a_rate_limit_and_not_for_a_retired_model(proxy):
    proxy.failure = "rate-limit"
    start = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        ask(proxy, "Hi", retries=2)
    assert len(proxy.requests) == 3 and time.monotonic() - start < 5
    proxy.failure = "retired"
    with pytest.raises(openai.NotFoundError):
        ask(proxy, "Hi", retries=2)
    assert len(proxy.requests) == 4


def test_a_closed_proxy_refuses_and_an_upstream_that_is_down_is_said_so(api, proxy):
    api.close()
    with pytest.raises(openai.InternalServerError, match="cannot be reached"):
        ask(proxy, "Hi")
    proxy.close()
    with pytest.raises(openai.APIConnectionError):
        ask(proxy, "Hi")
    proxy.close()  # twice does no harm


def test_an_answer_that_breaks_off_upstream_breaks_off_here(api, proxy):
    api.failure = "break"
    with pytest.raises(LabError, match="broke off"):
        list(RemoteModel(proxy.url, "m", "k").stream([], [], Sampling()))


def test_an_unknown_failure_is_answered_with_the_known_ones(proxy):
    with pytest.raises(LabError, match="hang-up"):
        proxy.failure = "earthquake"
    assert proxy.failure is None
    assert set(FAILURES) == {"rate-limit", "retired", "overloaded", "hang-up"}


HERE = SimpleNamespace(url="http://127.0.0.1:1/v1", model="pocket/mistral", api_key="k")


def test_without_a_key_a_model_on_this_computer_stands_in_and_says_so():
    found = find_api(HERE, {})
    assert found.is_stand_in and found.url == HERE.url and "no key" in found.note
    assert "pocket/mistral" in found.note


def test_a_key_is_used_only_when_asked_in_words_and_never_in_static_renderings():
    key = {"OPENAI_API_KEY": "sk-1"}
    unused = find_api(HERE, key)
    assert unused.is_stand_in and "left alone" in unused.note and "sk-1" not in repr(unused)
    found = find_api(HERE, key, permission=" Use my key ")
    assert (found.url, found.is_stand_in) == (OPENAI, False)
    assert "api.openai.com" in found.note and "sk-1" not in repr(found)
    elsewhere = key | {"OPENAI_BASE_URL": "https://api.deepseek.com/v1"}
    assert find_api(HERE, elsewhere, permission="用我的密钥").url == "https://api.deepseek.com/v1"
    static = find_api(HERE, key | {"LABKIT_STATIC": "1"}, permission="use my key")
    assert static.is_stand_in and static.api_key == "k"
    with pytest.raises(LabError, match="use my key"):
        find_api(HERE, key, permission="yes")


def test_the_stand_in_is_asked_greedily_and_a_closed_model_gets_no_settings():
    assert find_api(HERE, {}).settings == {"temperature": 0}
    found = find_api(HERE, {"OPENAI_API_KEY": "sk-1"}, permission="use my key")
    assert found.settings == {}


def test_a_request_reads_as_json(proxy):
    ask(proxy, "Hi")
    text = str(proxy.requests[0])
    assert json.loads(text[text.index("\n{") :])["model"] == "a-model"
