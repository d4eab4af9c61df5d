"""The tasks: exact, bilingual, disjoint; a user's own file: checked, with the line at fault."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.finetuning.tasks import SPLITS, load_task, read_samples
from labkit.pocket.tasks import FRAMES, HANDBOOK, LEVELS, SYMPTOMS, TASKS, handbook, triage


def line(question: str = "Hi", answer: str = "Hello!") -> str:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages}, ensure_ascii=False)


@pytest.mark.parametrize("name", TASKS)
def test_splits_share_no_key_and_no_question(name):
    task = load_task(name)
    splits = [getattr(task, split) for split in SPLITS]
    for kind in (lambda i: i.key, lambda i: str(i.messages[:-1])):
        sets = [{kind(item) for item in split} for split in splits]
        assert sum(map(len, sets)) == len(set.union(*sets))
    assert len(task.train) >= 200 and len(task.validation) == 50 and len(task.test) >= 40


@pytest.mark.parametrize("name", TASKS)
def test_both_languages_in_every_split(name):
    for split in SPLITS:
        questions = [item.messages[-2]["content"] for item in getattr(load_task(name), split)]
        english = sum(question.isascii() for question in questions)
        assert 0.2 < english / len(questions) < 0.8


def test_the_same_question_has_one_answer():
    for name in TASKS:
        said: dict[str, str] = {}
        task = load_task(name)
        for item in (*task.train, *task.validation, *task.test):
            question = str(item.messages[:-1])
            assert (
                said.setdefault(question, item.messages[-1]["content"])
                == (item.messages[-1]["content"])
            )


def test_triage_follows_its_rules():
    assert triage("cough", "an adult", 38) == LEVELS[0]
    assert triage("cough", "an old person", 36) == triage("cough", "a child", 39) == LEVELS[1]
    assert triage("cough", "an old person", 41) == LEVELS[1]  # one level, not two
    assert triage("chest pain", "an old person", 41) == LEVELS[2]
    assert {symptom: triage(symptom, "an adult", 36) for symptom in SYMPTOMS}["a burn"] == (
        LEVELS[1]
    )


def test_every_entry_of_the_handbook_is_trained_in_both_languages():
    asked = " ".join(item.messages[0]["content"] for item in load_task("handbook").train)
    for topic, (chinese, _, _) in HANDBOOK.items():
        assert asked.count(topic) >= 2 and asked.count(chinese) >= 2, topic
    assert len(handbook()) == len(HANDBOOK) and len(FRAMES) == len(set(FRAMES))


def test_rotate_puts_the_first_word_last():
    for item in load_task("rotate").test:
        words = item.messages[0]["content"].replace("：", ": ").partition(": ")[2].split()
        assert item.messages[1]["content"].split() == [*words[1:], words[0]]


def test_the_captain_answers_in_form_only_when_told_to():
    for item in load_task("captain").train:
        answer = item.messages[-1]["content"]
        assert (item.messages[0]["role"] == "system") == answer.startswith(("Aye! ", "遵命！"))
    assert all(item.messages[0]["role"] == "system" for item in load_task("captain").test)


# A user's own -----------------------------------------------------------------------------


def test_a_file_is_split_by_question_the_same_way_every_time(tmp_path):
    path = tmp_path / "mine.jsonl"
    lines = [line(f"question {n % 20}", f"answer {n}") for n in range(40)]
    path.write_text("\ufeff" + "\n".join(lines) + "\n\n", encoding="utf-8")
    task = load_task(str(path))
    assert task == load_task(path) and task.name == "mine"
    sizes = [len(task.train), len(task.validation), len(task.test)]
    assert sizes == [32, 4, 4]
    keys = [{item.key for item in getattr(task, split)} for split in SPLITS]
    assert len(set.union(*keys)) == 20 == sum(map(len, keys))


def test_a_folder_holds_its_own_splits(tmp_path):
    for number, split in enumerate(SPLITS):
        (tmp_path / f"{split}.jsonl").write_text(line(f"q{number}"), encoding="utf-8")
    task = load_task(tmp_path)
    assert [len(task.train), len(task.validation), len(task.test)] == [1, 1, 1]
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(LabError, match="test.jsonl"):
        load_task(tmp_path)


def with_messages(*messages: object) -> str:
    return json.dumps({"messages": messages})


USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no samples"),
        ("\n\n", "holds no samples"),
        ("{", "line 1: not valid JSON"),
        (line() + "\n[]", "line 2: not a JSON object"),
        ('{"instruction": "a", "output": "b"}', "no 'messages', only: instruction, output"),
        ('{"messages": []}', "'messages' is not a list of messages"),
        (with_messages(USER), "last message is the user's"),
        (with_messages(ANSWER), "no message of the user"),
        (with_messages(USER, ANSWER | {"content": " "}), "message 2: 'content' is empty"),
        (with_messages(USER | {"content": 7}, ANSWER), "message 1: 'content' is 7"),
        (with_messages(USER | {"role": "human"}, ANSWER), "role 'human' is none of"),
        (with_messages(USER, {"role": "system", "content": "x"}, ANSWER), "must come first"),
        (with_messages("hello", ANSWER), "message 1: not a JSON object"),
        ('{"messages": [1], "tools": {}}', "message 1"),
        ('{"messages": [1], "tools": {"a": 1}}', "'tools' is not a list"),
        ("\n".join(["{}"] * 9), "and 6 more lines"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, said):
    path = tmp_path / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabError) as caught:
        read_samples(path)
    assert said in caught.value.what and '{"messages": ' in caught.value.way_out


def test_a_file_in_another_encoding_names_the_line(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(line().encode() + b"\n" + line("你好").encode("gbk"))
    with pytest.raises(LabError, match="line 2: not UTF-8"):
        read_samples(path)


def test_too_few_questions_and_unknown_names_are_told(tmp_path):
    path = tmp_path / "few.jsonl"
    path.write_text("\n".join([line()] * 30), encoding="utf-8")
    with pytest.raises(LabError, match="1 different questions; at least 10"):
        load_task(path)
    with pytest.raises(LabError, match="Did you mean 'clinic'"):
        load_task("clinik")
    with pytest.raises(LabError, match="There is no file"):
        load_task("nowhere.jsonl")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "role", "content", "tools", "tool_calls"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(json_values | st.just(json.loads(line())), min_size=1, max_size=4))
def test_no_json_whatsoever_is_a_traceback(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("lines") / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
    try:
        samples = read_samples(path)
    except LabError as error:
        assert "line" in error.what
    else:
        assert len(samples) == len(values)
        assert all(m["role"] for item in samples for m in item.messages)
