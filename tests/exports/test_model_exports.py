"""Exports of a model: every prompt is the tokenizer's own, every file is where its tool looks."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pocket_models import llama_cpp_ids, tokenizer, vocabulary

from labkit import pocket
from labkit.conversation.chat_templates import end_of_turn, render
from labkit.core.errors import LabError
from labkit.engines import load
from labkit.exports import writers as exports
from labkit.exports.lora_gguf import write_lora_gguf
from labkit.exports.prompt_shape import read_shape
from labkit.exports.textgen import readable_json
from labkit.finetuning.lora import add_lora, load_base, save_adapter
from labkit.finetuning.merging import merge
from labkit.gguf.reader import inspect_gguf
from labkit.pocket.corpus import TOOLS

CHATTING = tuple(name for name in pocket.NAMES if name != "llama3-base")
WRITERS = {
    "ollama": exports.write_ollama,
    "lmstudio": exports.write_lmstudio,
    "textgen": exports.write_textgen,
    "vllm": exports.write_vllm,
    "modal": exports.write_modal,
}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def said(role: str, content: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": content} | ({"tool_calls": list(calls)} if calls else {})


SYSTEM = said("system", "Be brief. 请简短。\n{{ .Content }}")
TURNS = [
    said("user", "Hello <b>world</b> & {{ x }} {% raw %}"),
    said("assistant", "你好！"),
    said("user", '"quoted" \\n 😀'),
    said("assistant", "[1, 2][0]"),
    said("user", "再见"),
]
ASKED = [said("user", "巴黎的天气？"), said("assistant", "", call("get_weather", city="巴黎"))]
RESULT = said("tool", '{"degrees": "21"}')
BOTH = said("assistant", "", call("get_weather", city="巴黎"), call("translate", word="水"))
NESTED = said("assistant", "", call("f", a=[1, [2.5, "x"]], b={"c": None, "d": True}))
PLAIN = [TURNS[:1], TURNS[:3], TURNS]
WITH_TOOLS = [
    *PLAIN,
    [*ASKED, RESULT],
    [*ASKED, RESULT, said("assistant", "21"), said("user", "谢谢")],
    [ASKED[0], BOTH, RESULT, said("tool", '{"word": "water"}')],
    [
        ASKED[0],
        said("assistant", "", call("f", a=[1, [2.5, "x"]], b={"c": None, "d": True})),
        RESULT,
    ],
]
BOOKING = {
    "type": "function",
    "function": {
        "name": "book",
        "description": "Book a room, 订房",
        "parameters": {
            "type": "object",
            "properties": {
                "beds": {"type": "string", "enum": ["one", "two"], "description": "床"},
                "guests": {"type": "array", "items": {"type": "string"}},
                "nights": {"type": ["integer", "null"], "description": "How many"},
            },
            "required": ["beds", "nights"],
        },
    },
}
OFFERED = [*TOOLS.values(), BOOKING]
TALKS = [
    {"messages": [*front, *talk], "tools": tools}
    for tools, talks in ((None, PLAIN), (OFFERED, WITH_TOOLS))
    for talk in talks
    for front in ([], [SYSTEM])
]


def own_prompt(name: str, talk: dict[str, Any]) -> str:
    return tokenizer(name).apply_chat_template(
        talk["messages"], tools=talk["tools"], tokenize=False, add_generation_prompt=True
    )


# --- Ollama -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def go_program(tmp_path_factory) -> Path:
    if not shutil.which("go"):
        pytest.skip("needs Go: apt-get install golang-go")  # in CI that fails
    folder = tmp_path_factory.mktemp("go")
    program = folder / "ollama_prompts"
    source = Path(__file__).parents[1] / "ollama_prompts.go"
    settings = {"GO111MODULE": "off", "GOCACHE": str(folder / "cache"), "GOFLAGS": ""}
    subprocess.run(
        ["go", "build", "-o", program, source], env=os.environ | settings, check=True, timeout=300
    )
    return program


def go_prompts(program: Path, modelfile: str, talks: list[dict[str, Any]]) -> list[str]:
    asked = json.dumps({"modelfile": modelfile, "talks": talks})
    done = subprocess.run([program], input=asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@cache
def modelfile(name: str, folder: Path) -> str:
    exports.write_ollama(f"pocket/{name}", folder / name)
    return (folder / name / "Modelfile").read_text("utf-8")


@pytest.fixture(scope="session")
def ollama(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ollama")


@pytest.mark.parametrize("name", CHATTING)
def test_go_renders_the_prompts_of_the_tokenizer(name, go_program, ollama):
    prompts = go_prompts(go_program, modelfile(name, ollama), TALKS)
    for talk, prompt in zip(TALKS, prompts, strict=True):
        assert prompt == own_prompt(name, talk)
        ids = tokenizer(name).apply_chat_template(
            talk["messages"], tools=talk["tools"], add_generation_prompt=True
        )["input_ids"]
        assert llama_cpp_ids(name, prompt, special=True) == ids


def test_what_ollama_does_to_objects_is_what_the_note_says(go_program, ollama):
    shown = exports.write_ollama("pocket/qwen2.5", ollama / "noted")
    assert any("alphabetical" in note and "\\u003c" in note for note in shown.notes)
    text = (ollama / "noted" / "Modelfile").read_text("utf-8")
    swapped = [said("user", "?"), said("assistant", "", call("f", b="<&>", a="1")), RESULT]
    (prompt,) = go_prompts(go_program, text, [{"messages": swapped, "tools": None}])
    own = own_prompt("qwen2.5", {"messages": swapped, "tools": None})
    theirs = '{"a": "1", "b": "\\u003c\\u0026\\u003e"}'
    assert '{"b": "<&>", "a": "1"}' in own
    assert prompt == own.replace('{"b": "<&>", "a": "1"}', theirs)
    assert json.loads(theirs) == {"b": "<&>", "a": "1"}


def test_the_first_token_is_left_to_a_tokenizer_that_adds_it(go_program, tmp_path):
    folder = shutil.copytree(pocket.folder("llama2"), tmp_path / "adds")
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["add_bos_token"] = True
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    exports.write_ollama(folder, tmp_path / "out", quant="F16")
    text = (tmp_path / "out" / "Modelfile").read_text("utf-8")
    vocab = vocabulary(tmp_path / "out" / "adds-F16.gguf")
    for talk, prompt in zip(TALKS, go_prompts(go_program, text, TALKS), strict=True):
        assert "<s>" + prompt == own_prompt("llama2", talk)
        ids = vocab.tokenize(prompt.encode(), add_bos=True, special=True)
        assert ids == llama_cpp_ids("llama2", own_prompt("llama2", talk), special=True)


@pytest.mark.parametrize("name", CHATTING)
def test_a_modelfile_names_its_files_its_stops_and_its_context(name, ollama):
    text = modelfile(name, ollama)
    (source,) = re.findall(r"^FROM \./(.+)$", text, re.MULTILINE)
    held = inspect_gguf(ollama / name / source)
    assert held.format == "Q4_K_M"
    assert f"\nPARAMETER num_ctx {held.context_length}\n" in text
    assert "\nPARAMETER temperature 0\n" in text
    stops = re.findall(r'^PARAMETER stop "(.+)"$', text, re.MULTILINE)
    model = load(f"pocket/{name}")
    known = {model.tokenizer.decode([id]) for id in model.stop_ids}
    assert {*stops} == known
    turn = [model.tokenizer.decode([id]) for id in end_of_turn(model)]  # none in ChatGLM3
    assert stops[: len(turn)] == turn


def test_sampling_is_the_models_own_where_it_says_so(tmp_path):
    folder = shutil.copytree(pocket.folder("qwen2.5"), tmp_path / "sampled")
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    settings |= {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}
    (folder / "generation_config.json").write_text(json.dumps(settings), "utf-8")
    exports.write_ollama(folder, tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text("utf-8")
    assert "temperature 0.7\n" in text and "top_p 0.8\n" in text
    assert "repeat_penalty 1.05\n" in text


def test_a_base_model_goes_on_with_the_prompt(ollama):
    assert 'TEMPLATE """<|begin_of_text|>{{ .Prompt }}"""' in modelfile("llama3-base", ollama)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_template(template: str, folder: Path) -> Path:
    shutil.copytree(pocket.folder("qwen2.5"), folder)
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    return folder


def test_a_template_without_tools_leaves_them_out_and_says_so(go_program, tmp_path):
    written = exports.write_ollama(with_template(CHATML, tmp_path / "in"), tmp_path / "out")
    assert any("Tools are left out" in note for note in written.notes)
    text = (tmp_path / "out" / "Modelfile").read_text("utf-8")
    assert ".Tools" not in text and "ToolCalls" not in text
    talk = {"messages": [SYSTEM, *TURNS], "tools": None}
    expected = render(CHATML, talk["messages"])
    assert go_prompts(go_program, text, [talk]) == [expected]


def test_a_prompt_that_stands_there_by_itself_goes_over(go_program, tmp_path):
    opening = "<|im_start|>system\nI am Q.<|im_end|>\n"
    template = "{% if messages[0].role != 'system' %}" + opening + "{% endif %}" + CHATML
    folder = with_template(template, tmp_path / "in")
    exports.write_ollama(folder, tmp_path / "out")
    text = (tmp_path / "out" / "Modelfile").read_text("utf-8")
    talks = [{"messages": [*front, *TURNS], "tools": None} for front in ([], [SYSTEM])]
    own = [render(template, talk["messages"]) for talk in talks]
    assert go_prompts(go_program, text, talks) == own


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.role if loop.last else '' }}{{ m.content }}{% endfor %}:",
        "{{ messages | length }}" + CHATML,
        CHATML.replace("m.content }}", "m.content | upper }}"),
        "{{ raise_exception('no system') if messages[0].role == 'system' }}" + CHATML,
    ],
)
def test_a_template_that_cannot_be_had_in_parts_is_refused(template, tmp_path):
    folder = with_template(template, tmp_path / "in")
    with pytest.raises(LabError, match="cannot be written without Jinja"):
        exports.write_ollama(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tools_alone_that_do_not_fit_are_left_out():
    for name in CHATTING:
        assert read_shape(load(f"pocket/{name}")).tools is not None


# --- LM Studio and text-generation-webui ------------------------------------------------------


def test_lm_studio_finds_publisher_model_and_file(tmp_path):
    written = exports.write_lmstudio("pocket/yi", tmp_path, quant="Q8_0", publisher="us")
    assert written.files == ("lmstudio.md", "us/pocket-yi/pocket-yi-Q8_0.gguf")
    model = load(tmp_path / written.files[1])
    for talk in TALKS:  # what LM Studio renders stands in the file
        prompt = render(model.chat_template, talk["messages"], talk["tools"], model.special_tokens)
        assert prompt == own_prompt("yi", talk)


def webui_prompt(template: str, talk: dict[str, Any], special: dict[str, str]) -> str:
    """As text-generation-webui renders it (modules/chat.py): with a ``tojson`` of its own."""
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from markupsafe import Markup

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = lambda value, indent=None, ensure_ascii=True: Markup(
        json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    )
    return environment.from_string(template).render(
        messages=talk["messages"], tools=talk["tools"], add_generation_prompt=True, **special
    )


@pytest.mark.parametrize("name", CHATTING)
def test_the_web_ui_renders_the_prompts_of_the_tokenizer(name, tmp_path):
    written = exports.write_textgen(f"pocket/{name}", tmp_path, name="mine")
    settings = yaml.safe_load((tmp_path / "config-user.yaml").read_text("utf-8"))
    ((pattern, chosen),) = settings.items()
    assert re.match(pattern.lower(), Path(written.files[-1]).name.lower())
    data = tmp_path / "user_data"
    template = (data / "instruction-templates" / "mine.jinja").read_text("utf-8")
    assert chosen["instruction_template"] == "mine" and chosen["loader"] == "llama.cpp"
    held = load(data / "models" / "mine-Q4_K_M.gguf")
    special = {key: held.special_tokens.get(key, "") for key in ("bos_token", "eos_token")}
    for talk in TALKS:
        assert webui_prompt(template, talk, special) == own_prompt(name, talk)


def test_untold_the_web_ui_would_write_chinese_as_numbers():
    own = tokenizer("qwen2.5").chat_template
    prompt = webui_prompt(own, TALKS[-1], {})
    assert "\\u5e8a" in prompt and prompt != own_prompt("qwen2.5", TALKS[-1])
    kept = "{{ x | tojson(indent=2) }}{{ x|tojson }}"
    assert readable_json(kept) == kept.replace("|tojson", "|tojson(ensure_ascii=False)")


# --- tuned models and adapters ----------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    model = load_base("pocket/llama3")
    add_lora(model, rank=5, targets=("q_proj", "v_proj"))
    return save_adapter(model, tmp_path_factory.mktemp("adapter") / "clinic")


def test_a_merged_model_is_exported_as_any_other(adapter, tmp_path, go_program):
    merged = merge(adapter, "pocket/llama3", tmp_path / "merged")
    for target, writer in WRITERS.items():
        written = writer(merged, tmp_path / target, name="clinic")
        assert all((written.folder / name).is_file() for name in written.files)
        assert not any("pocket" in note for note in written.notes)
    text = (tmp_path / "ollama" / "Modelfile").read_text("utf-8")
    own = [own_prompt("llama3", talk) for talk in TALKS]
    assert go_prompts(go_program, text, TALKS) == own


def test_an_adapter_goes_along_as_a_file_of_its_own(adapter, tmp_path):
    lora = write_lora_gguf(adapter, "pocket/llama3", tmp_path / "clinic.gguf")
    for kind, given in (("peft", adapter), ("gguf", lora)):
        exports.write_ollama("pocket/llama3", tmp_path / kind, name="clinic", adapter=given)
        text = (tmp_path / kind / "Modelfile").read_text("utf-8")
        assert "\nFROM ./clinic-Q4_K_M.gguf\nADAPTER ./clinic-lora.gguf\n" in text
        held = inspect_gguf(tmp_path / kind / "clinic-lora.gguf")
        assert held.metadata["general.type"] == "adapter"
        assert len(held.tensors) == 2 * 2 * load("pocket/llama3").config.num_hidden_layers
    from llama_cpp import Llama

    path = tmp_path / "peft" / "clinic-Q4_K_M.gguf"
    options = {"n_ctx": 64, "n_threads": 1, "verbose": False}
    base, tuned = Llama(str(path), **options), Llama(str(path), lora_path=str(lora), **options)
    both = [model("Hi", max_tokens=5, temperature=0) for model in (base, tuned)]
    (plain, tried) = (answer["choices"][0]["text"] for answer in both)
    assert plain == tried  # not trained yet, it changes nothing


def test_a_model_is_no_adapter_and_a_gguf_base_takes_only_gguf(adapter, tmp_path):
    exports.write_ollama("pocket/llama3", tmp_path / "base")
    gguf = tmp_path / "base" / "pocket-llama3-Q4_K_M.gguf"
    with pytest.raises(LabError, match="is a model, not an adapter"):
        exports.write_ollama("pocket/llama3", tmp_path / "out", adapter=gguf)
    with pytest.raises(LabError, match=r"without its config\.json"):
        exports.write_ollama(gguf, tmp_path / "out", adapter=adapter)
    again = exports.write_ollama(gguf, tmp_path / "again")  # a file is taken as it is
    assert (tmp_path / "again" / again.files[-1]).samefile(gguf.resolve())


def test_the_exported_file_is_linked_where_that_can_be(tmp_path):
    written = exports.write_lmstudio("pocket/qwen2.5", tmp_path)
    assert (tmp_path / written.files[-1]).stat().st_nlink > 1 or os.name == "nt"


# --- vLLM and Modal ---------------------------------------------------------------------------


def run_script(folder: Path, tmp_path: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The script, with a ``vllm`` in front of the real one that says what it was told."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir(exist_ok=True)
    program.write_text('#!/bin/sh\npwd\nfor word in "$@"; do echo "$word"; done\n', "utf-8")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "VLLM_API_KEY"}
    return subprocess.run(
        ["sh", str(folder / "serve.sh")],
        env=environment | {"PATH": path} | more, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("name", CHATTING)
def test_vllm_gets_files_whose_template_is_the_tokenizers(name, tmp_path):
    from transformers import AutoTokenizer

    exports.write_vllm(f"pocket/{name}", tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "model")
    for talk in TALKS:
        prompt = theirs.apply_chat_template(
            talk["messages"], tools=talk["tools"], tokenize=False, add_generation_prompt=True
        )
        assert prompt == own_prompt(name, talk)
    assert load(tmp_path / "model").model.num_parameters() > 0


def test_the_script_tells_vllm_and_wants_a_key(adapter, tmp_path):
    options = {"name": "clinic", "adapter": adapter, "context": 300, "gpus": 2}
    exports.write_vllm("pocket/llama3", tmp_path / "out", **options)
    refused = run_script(tmp_path / "out", tmp_path)
    assert refused.returncode != 0 and "VLLM_API_KEY" in refused.stderr
    done = run_script(tmp_path / "out", tmp_path, VLLM_API_KEY="k-123")
    folder, *words = done.stdout.splitlines()
    assert Path(folder).samefile(tmp_path / "out")
    assert words[:4] == ["serve", "./model", "--host", "127.0.0.1"]
    told = dict(zip(words[2::1], words[3::1], strict=False))
    assert told["--max-model-len"] == "300" and told["--served-model-name"] == "clinic"
    assert told["--tensor-parallel-size"] == "2" and told["--max-lora-rank"] == "8"
    assert told["--lora-modules"] == "clinic-lora=adapter" and "--enable-lora" in words
    assert told["--tool-call-parser"] == "llama3_json"
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "parser"), [("qwen2.5", "hermes"), ("mistral", "mistral"), ("llama2", None)]
)
def test_a_parser_reads_the_calls_or_a_note_says_that_none_does(name, parser, tmp_path):
    written = exports.write_vllm(f"pocket/{name}", tmp_path)
    script = (tmp_path / "serve.sh").read_text("utf-8")
    assert (f"--tool-call-parser {parser}" in script) == (parser is not None)
    assert any("no parser" in note for note in written.notes) == (parser is None)


def test_what_does_not_fit_is_refused_with_what_would(tmp_path):
    exports.write_vllm("Qwen2.5-7B", tmp_path / "fits", vram="24GiB")
    script = (tmp_path / "fits" / "serve.sh").read_text("utf-8")
    assert "vllm serve Qwen/Qwen2.5-7B" in script  # nothing was fetched for it
    with pytest.raises(LabError, match="does not fit") as error:
        exports.write_vllm("Qwen2.5-7B", tmp_path / "out", vram="12GiB")
    more = int(re.findall(r"Take (\d) such GPUs", error.value.way_out)[0])
    exports.write_vllm("Qwen2.5-7B", tmp_path / "more", vram="12GiB", gpus=more)
    with pytest.raises(LabError, match="28 attention heads among 3"):
        exports.write_vllm("Qwen2.5-7B", tmp_path / "out", gpus=3)
    with pytest.raises(LabError, match="Take larger GPUs"):
        exports.write_vllm("Qwen2.5-72B", tmp_path / "out", vram="8GiB")
    assert not (tmp_path / "out").exists()


def test_vllm_takes_no_gguf(ollama, tmp_path):
    modelfile("yi", ollama)
    (gguf,) = (ollama / "yi").glob("*.gguf")
    with pytest.raises(LabError, match="GGUF file"):
        exports.write_vllm(gguf, tmp_path)


def gpu_of(folder: Path) -> str:
    (found,) = re.findall(r"gpu='(.+)'", (folder / "modal_app.py").read_text("utf-8"))
    return str(found)


def test_modal_gets_the_smallest_gpu_that_holds_it(tmp_path):
    exports.write_modal("pocket/qwen2.5", tmp_path / "small")
    exports.write_modal("Qwen2.5-14B", tmp_path / "middle")
    exports.write_modal("Qwen2.5-72B", tmp_path / "large", gpus=4)
    assert gpu_of(tmp_path / "small") == "L4"
    assert gpu_of(tmp_path / "middle") in ("A100-40GB", "L40S")
    assert gpu_of(tmp_path / "large").endswith(":4")
    with pytest.raises(LabError, match="does not fit"):
        exports.write_modal("Qwen2.5-14B", tmp_path / "out", gpu="L4")
    with pytest.raises(LabError, match="No GPU of Modal's holds"):
        exports.write_modal("Qwen2.5-72B", tmp_path / "out", context=131072)
    for folder in ("small", "middle", "large"):
        ast.parse((tmp_path / folder / "modal_app.py").read_text("utf-8"))


@pytest.mark.slow
def test_modal_itself_loads_the_script(adapter, tmp_path):
    from exports.test_exports import environment

    python = environment(tmp_path / "venv", ["modal==1.6.4"])
    exports.write_modal("pocket/llama3", tmp_path / "out", name="clinic", adapter=adapter)
    code = (
        "import json, modal_app as m;"
        "print(json.dumps([m.app.name, m.serve._spec_.gpus, m.COMMAND]))"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path / "out", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    name, gpu, command = json.loads(done.stdout)
    assert (name, gpu) == ("clinic", "L4")
    assert command[:3] == ["vllm", "serve", "/model"] and "clinic-lora=/adapter" in command


# --- the command ------------------------------------------------------------------------------


def labkit(*arguments: str) -> "subprocess.CompletedProcess[str]":
    code = "import sys; from labkit.cli.start import main; sys.argv[0] = 'labkit'; main()"
    command = [sys.executable, "-c", code, "export", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("target", WRITERS)
def test_the_command_writes_every_target(target, tmp_path):
    done = labkit("pocket/qwen2.5", "--to", target, "-o", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {*written["files"]} == {path.relative_to(tmp_path).as_posix() for path in found}
    assert written["target"] == target and written["commands"]


def test_an_option_of_another_target_is_wrong_usage(tmp_path):
    wrong = labkit("pocket/qwen2.5", "--to", "lmstudio", "--adapter", "x", "-o", str(tmp_path))
    assert wrong.returncode == 2 and "--quant, --name" in wrong.stderr.replace("\n", " ")
    missing = labkit("pocket/qwen2.5", "--to", "axolotl", "-o", str(tmp_path))
    assert missing.returncode == 2 and "--task" in missing.stderr
    refused = labkit("pocket/qwen2.5", "--to", "ollama", "--name", "a b", "-o", str(tmp_path))
    assert refused.returncode == 1 and "'a b' cannot be the name" in refused.stderr
