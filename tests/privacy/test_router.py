"""The router against an endpoint that records what arrives: nothing sensitive ever does."""

import json
import stat
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from privacy.test_sensitive_data import noisy_numbers, put
from recording_api import RecordingAPI
from sensitive_samples import harmless_prompts, sensitive_prompts

from labkit.catalog import Price
from labkit.catalog.quotes import find_price
from labkit.conversation.uncertainty import measure_uncertainty
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.engines import RemoteModel, Sampling, load
from labkit.privacy.audit_log import AuditLog, Entry
from labkit.privacy.router import Refused, Router, Rules

EAGER = Rules(api_tasks=("any",))
"""Whatever may leave, does."""

PRICE = Price("a provider", "a model", 1.0, 2.0, "2026-11-01", "made up for this test")


@pytest.fixture
def api() -> Iterator[RecordingAPI]:
    with RecordingAPI("From far away.") as running:
        yield running


@pytest.fixture
def here() -> Iterator[RecordingAPI]:
    with RecordingAPI("From here.") as running:
        yield running


def remote(server: RecordingAPI) -> RemoteModel:
    return RemoteModel(server.url, "a-model", "key")


def router(here: RecordingAPI | None, api: RecordingAPI | None, rules: Rules = EAGER, **more):
    return Router(here and remote(here), api and remote(api), rules, **more)


def messages(body: bytes) -> list:
    return json.loads(body[body.index(b'{"model"') :])["messages"]


# --- the promise -------------------------------------------------------------------------------


def test_of_hundreds_of_prompts_no_sensitive_one_leaves(here, api):
    bad = sensitive_prompts()
    good = harmless_prompts()
    asked = [(prompt, True) for _, _, prompt in bad] + [(prompt, False) for prompt in good]
    one = router(here, api)
    for prompt, sensitive in asked:
        one.reset()
        routed = one(prompt, task="any")
        assert routed.decision.target == ("local" if sensitive else "api"), prompt
    arrived = [messages(body)[-1]["content"] for body in api.bodies]
    assert arrived == good
    assert len(here.bodies) == len(bad) > 500
    everything = b"".join(api.bodies)
    assert not [raw for _, raw, _ in bad if raw.encode() in everything]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    noisy_numbers(),
    st.text(st.characters(codec="utf-8"), max_size=20).filter(str.strip),
    st.integers(0, 20),
    st.sampled_from(["question", "system", "earlier", "answer", "tools", "arguments", "result"]),
    st.booleans(),
)
def test_it_never_leaves_from_any_place_of_a_request(here, api, number, text, at, place, is_up):
    secret = put(text, number[1], at)
    tools = [{"type": "function", "function": {"name": "f", "description": "a tool"}}]
    if place == "tools":
        tools[0]["function"]["description"] = secret
    arguments = {"q": secret if place == "arguments" else "x"}
    call = {
        "type": "function",
        "id": "1",
        "function": {"name": "f", "arguments": arguments},
    }
    one = router(
        here if is_up else None, api, system=secret if place == "system" else "Be brief.",
        tools=tools,
    )  # fmt: skip
    one.history += [
        {"role": "user", "content": secret if place == "earlier" else "Hello"},
        {"role": "assistant", "content": secret if place == "answer" else "", "tool_calls": [call]},
        {"role": "tool", "content": secret if place == "result" else "ok", "tool_call_id": "1"},
    ]  # fmt: skip
    question = secret if place == "question" else "And now?"
    if is_up:
        assert one(question, task="any").decision.rule == "sensitive"
    else:
        with pytest.raises(Refused):
            one(question, task="any")
    assert api.bodies == []


def test_a_conversation_with_something_sensitive_stays_here_until_it_is_reset(here, api):
    one = router(here, api)
    assert one("Hello", task="any").decision.target == "api"
    assert one("My number is 138 1234 5678", task="any").decision.target == "local"
    assert one("Write a poem", task="any").decision.target == "local"
    one.reset()
    assert one("Write a poem", task="any").decision.target == "api"
    assert b"1234" not in b"".join(api.bodies)


def test_stop_texts_and_words_of_ones_own_are_judged_too(here, api):
    stops = Sampling(stop=("call 13812345678",))
    assert router(here, api, sampling=stops)("Hi", task="any").decision.kinds == ("phone",)
    rules = Rules(words=("Project Phoenix",), api_tasks=("any",))
    assert router(here, api, rules)("ｐｒｏｊｅｃｔ-phoenix?", task="any").decision.kinds == (
        "word",
    )
    assert api.bodies == []


def test_a_broken_detector_sends_nothing(here, api):
    def broken(text: str) -> list[str]:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError):
        router(here, api, Rules(detectors=(broken,), api_tasks=("any",)))("Hi", task="any")
    assert api.bodies == here.bodies == []


def test_what_becomes_sensitive_after_the_decision_is_stopped_at_the_door(here, api):
    kinds: list[list[str]] = [[], [], ["person"], ["person"]]
    rules = Rules(detectors=(lambda text: kinds.pop(0),), api_tasks=("any",))
    with pytest.raises(Refused, match="sensitive after all"):
        router(here, api, rules)("Hi", task="any")
    assert api.bodies == []


# --- fails closed ------------------------------------------------------------------------------


def test_sensitive_requests_are_refused_where_the_local_model_is_down(here, api):
    here.close()
    one = router(here, api)
    with pytest.raises(Refused, match=r"holds a phone number.*does not answer") as refused:
        one("Call 138 1234 5678", task="any")
    assert "Start the local model" in refused.value.way_out
    with pytest.raises(Refused, match="local model is not available"):
        router(None, api)("Call 138 1234 5678", task="any")
    assert api.bodies == [] and one.history == []
    use_language("zh")
    try:
        with pytest.raises(Refused, match=r"含有电话号码.*本地模型不可用"):
            router(None, api)("电话 13812345678", task="any")
    finally:
        use_language(None)


@pytest.mark.parametrize("failure", [500, 429, "break"])
def test_the_local_model_failing_midway_does_not_send_sensitive_things_out(here, api, failure):
    here.failure = failure
    with pytest.raises(Refused):
        router(here, api)("Call 138 1234 5678", task="any")
    assert len(here.bodies) == 1 and api.bodies == []


def test_a_model_elsewhere_is_not_taken_for_local(api):
    elsewhere = RemoteModel("https://api.example.com/v1", "m")
    with pytest.raises(LabError, match="not on this computer"):
        Router(elsewhere, remote(api))
    with pytest.raises(LabError, match="nobody to ask"):
        Router(None, None)


# --- availability and budget -------------------------------------------------------------------


@pytest.mark.parametrize("failure", [500, 429, "break"])
def test_an_api_that_fails_is_replaced_and_left_alone_for_a_while(here, api, failure):
    api.failure = failure
    now = [0.0]
    one = router(here, api, clock=lambda: now[0])
    routed = one("Hello", task="any")
    assert (routed.decision.target, routed.decision.rule) == ("local", "api-down")
    assert str(routed) == "From here."
    assert one("Again", task="any").decision.rule == "api-down" and len(api.bodies) == 1
    now[0], api.failure = 61.0, None
    assert one("Once more", task="any").decision.target == "api"


def test_the_api_stands_in_for_a_local_model_that_is_down(here, api):
    here.close()
    routed = router(here, api)("Hello")
    assert (routed.decision.target, routed.decision.rule) == ("api", "local-down")
    assert str(routed) == "From far away."


def test_where_both_are_down_it_ends(here, api):
    here.close()
    api.failure = 500
    with pytest.raises(Refused, match="does not answer"):
        router(here, api)("Hello")
    with pytest.raises(Refused):
        router(here, api)("Hello", task="any")
    with pytest.raises(Refused, match="There is no API"):
        router(here, None)("Hello")


def test_an_empty_question_is_nobodys_failure(here, api):
    one = router(here, api)
    with pytest.raises(LabError, match="empty"):
        one(" ", task="any")
    assert one("Hello", task="any").decision.target == "api"


def test_the_budget_holds(here, api):
    # The endpoint counts 1,000 tokens in and 500 out: at $1 and $2 a million, $0.002 an answer.
    one = router(here, api, Rules(api_tasks=("any",), budget=0.005, price=PRICE))
    targets = [one(f"Hello {i}", task="any").decision.target for i in range(4)]
    assert targets == ["api", "api", "local", "local"]
    assert one.spent == pytest.approx(0.004)
    last = one.decide("Hello", task="any")
    assert last.rule == "budget" and "of the budget" in str(last)
    assert last.estimated_usd > 0.001


def test_an_answer_that_broke_off_is_counted_as_paid(here, api):
    api.failure = "break"
    one = router(here, api, Rules(api_tasks=("any",), budget=1.0, price=PRICE, pause=0.0))
    most = one.decide("Hello", task="any").estimated_usd
    assert one("Hello", task="any").decision.target == "local"
    assert one.spent == most > 0.001


# --- difficulty --------------------------------------------------------------------------------


def test_length_and_task_send_it_out(here, api):
    rules = Rules(api_tasks=("code",), longest_prompt=300)
    one = router(here, api, rules)
    assert one.decide("Hi").rule == "simple"
    assert one.decide("Hi", task="code").rule == "task"
    assert one.decide("long " * 100).rule == "length"
    assert one.decide("long " * 100 + "13812345678", task="code").rule == "sensitive"
    assert router(here, None, rules).decide("Hi", task="code").rule == "no-api"
    assert api.bodies == here.bodies == []


def test_the_uncertainty_of_a_real_model_decides(api):
    model = load("pocket/qwen2.5", "llama.cpp")
    known = measure_uncertainty(model, "What is 12 + 34?")
    strange = measure_uncertainty(model, "qzx blorp wug flim?")
    assert strange.mean_logprob < known.mean_logprob <= 0
    assert strange.mean_entropy > known.mean_entropy >= 0
    assert known.perplexity >= 1 and known.tokens >= 1
    between = (strange.mean_logprob + known.mean_logprob) / 2
    one = Router(model, remote(api), Rules(least_logprob=between))
    assert one.decide("What is 12 + 34?").target == "local"
    doubt = one.decide("qzx blorp wug flim?")
    assert (doubt.target, doubt.rule) == ("api", "uncertain") and "unsure" in str(doubt)
    assert doubt.mean_logprob == pytest.approx(strange.mean_logprob, abs=1e-3)
    assert str(one("qzx blorp wug flim?")) == "From far away."
    assert one("我的手机号是 138 1234 5678").decision.target == "local"
    assert len(api.bodies) == 1


def test_both_engines_are_equally_sure():
    first, second = (
        measure_uncertainty(load("pocket/qwen2.5", engine), "Who are you?")
        for engine in ("llama.cpp", "transformers")
    )
    assert first.text == second.text and first.tokens == second.tokens
    assert first.mean_logprob == pytest.approx(second.mean_logprob, abs=0.02)
    assert first.mean_entropy == pytest.approx(second.mean_entropy, abs=0.05)


# --- rules and record --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"budget": -1}, "budget=-1"), ({"budget": 5.0}, "price=None"),
        ({"least_logprob": 0.5}, "least_logprob=0.5"), ({"longest_prompt": 0}, "longest_prompt=0"),
        ({"words": "Phoenix"}, "words='Phoenix'"), ({"words": ("x",)}, "'x' is too short"),
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(values, words):
    with pytest.raises(LabError, match=words):
        Rules(**values)


def test_a_price_of_the_catalogue_will_do(here, api):
    rules = Rules(budget=1.0, price=find_price("gpt-6-luna"), api_tasks=("any",))
    one = router(here, api, rules)
    one("Hello", task="any")
    assert one.spent == pytest.approx((1000 * 0.1 + 500 * 0.5) / 1e6)


def test_the_audit_log_holds_every_decision_and_no_text(here, api, tmp_path):
    path = tmp_path / "audit.jsonl"
    rules = Rules(
        words=("Phoenix",),
        api_tasks=("any",),
        detectors=(lambda x: ["Anna"] if "Anna" in x else [],),
    )
    one = router(here, api, rules, audit=path)
    for _, _, prompt in sensitive_prompts()[::40]:
        one.reset()
        one(prompt, task="13812345678")
    one.reset()
    one("Anna's phoenix", task="any")
    one.reset()
    one("Hello world", task="any")
    text = path.read_text()
    entries = list(one.audit.entries())
    assert len(entries) == len(sensitive_prompts()[::40]) + 2
    assert entries[-1].target == "api" and entries[-1].task == "any" and entries[-1].kinds == ()
    assert entries[-2].kinds == ("word", "custom") and entries[0].task is None
    for words in ("Hello", "Anna", "hoenix", "13812345678", "号码", "number"):
        assert words not in text
    for _, raw, _ in sensitive_prompts():
        assert raw not in text and raw[-6:] not in text
    assert "sensitive" in str(one.audit.table())


def test_the_log_says_what_was_refused_and_why_it_went_elsewhere(here, api, tmp_path):
    here.close()
    one = router(here, api, audit=tmp_path / "log")
    with pytest.raises(Refused):
        one("Call 138 1234 5678")
    one("Hello")
    targets = [(entry.target, entry.rule) for entry in one.audit.entries()]
    assert targets == [
        ("local", "sensitive"), ("refused", "sensitive"),
        ("local", "simple"), ("api", "local-down"),
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_only_the_owner_can_read_the_log(tmp_path):
    entry = Entry("2026-11-25T00:00:00+00:00", "local", "simple", (), None, 3, None, 0.0)
    path = tmp_path / "open"
    path.touch(mode=0o644)
    for log in (AuditLog(tmp_path / "new"), AuditLog(path)):
        log.write(entry)
        assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
        assert list(log.entries()) == [entry]
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError):
        AuditLog(tmp_path / "link").write(entry)


def test_where_nothing_can_be_written_nothing_is_sent(here, api, tmp_path):
    one = router(here, api, audit=tmp_path / "no such folder" / "log")
    with pytest.raises(OSError):
        one("Hello", task="any")
    assert api.bodies == here.bodies == []


def test_decisions_speak_both_languages(here, api):
    one = router(here, api)
    assert str(one.decide("13812345678")).startswith("Local model: It holds a phone number")
    use_language("zh")
    try:
        assert str(one.decide("13812345678")) == "本地模型：内容含有电话号码：只在本机处理。"
    finally:
        use_language(None)


def test_tools_are_answered_through_the_router(here, api):
    one = router(here, api, tools=[{"type": "function", "function": {"name": "f"}}])
    call = {"type": "function", "id": "1", "function": {"name": "f", "arguments": {}}}
    one.history += [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    one.add_tool_result({"owner": "13812345678"})
    assert one(None, task="any").decision.kinds == ("phone",)
    assert api.bodies == []
