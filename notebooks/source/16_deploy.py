# %% [markdown] lang="en"
"""
# Deploy what you tuned

**You will be able to** take a fine-tuned model all the way in one sitting: adapter, merged model, GGUF, quantized file, server, and then a program and a web page that use it; and hand the same model to Ollama, LM Studio and text-generation-webui.

**You will learn** what is worth merging and what is not, how to choose a quantization by measuring your own task, where an API key belongs and where never, what a browser's cross-origin rules protect, and why a chat template is the part of a deployment that breaks in silence.

**You need** about 50 minutes, two CPU cores, 1.2 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# 部署微调好的模型

**学完你能**一口气走完全程：适配器、合并后的模型、GGUF、量化文件、服务，再到用上它的程序和网页；同一个模型还能交给 Ollama、LM Studio 和 text-generation-webui。

**你会明白**什么该合并、什么不必合并，怎样用自己的任务来选量化格式，API 密钥该放哪里、绝不能放哪里，浏览器的跨域规则在保护什么，以及为什么对话模板是部署中最容易悄悄出错的一环。

**需要准备**大约 50 分钟，两个 CPU 核心，1.2 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## What we have: an adapter

In lesson [[lora]] a model learnt the rules of a clinic's front desk: how urgent is a patient?
The training is found again if it was done here; else it takes a few minutes now.
"""

# %% [markdown] lang="zh"
"""
## 手里有什么：一个适配器

第 [[lora]] 课里，模型学会了诊所前台的分诊规则：病人有多急？
如果这台电脑上训练过，直接就能找到；没有的话，现在要训练几分钟。
"""

# %%
import labkit as lab
from labkit.finetuning.tasks import load_task

MODEL = "pocket/qwen2.5"
task = load_task("clinic")
report = lab.finetune(MODEL, task, "lora", reuse=True)
print(lab.load(MODEL).note)

# %% varies="a training ends a little differently on another processor"
print(f"{report.exact_match_before:.0%} → {report.exact_match_after:.0%}")

# %%
print(report.exact_match_after > report.exact_match_before + 0.5)
for file in sorted(report.folder.iterdir()):
    print(file.name)

# %% [markdown] lang="en"
"""
The adapter is all that was learnt.
To deploy it there are two ways: keep it beside the base model, or merge it into that one.
How large is the one, how large the other?
"""

# %% [markdown] lang="zh"
"""
学到的全部东西都在这个适配器里。
部署有两条路：让它跟着基座走，或者并进基座。
两者各有多大？
"""

# %%
from labkit.widgets.prediction import ask

ask("deploy.sizes")

# %%
import tempfile
from pathlib import Path

from labkit.exports.lora_gguf import write_lora_gguf
from labkit.finetuning.merging import merge

home = tempfile.TemporaryDirectory()
room = Path(home.name)
merged = merge(report.folder, MODEL, room / "clinic")
adapter = write_lora_gguf(report.folder, MODEL, room / "clinic-lora.gguf")
for path in (merged / "model.safetensors", adapter):
    print(f"{path.stat().st_size:>10,}  {path.name}")

# %% [markdown] lang="en"
"""
On a pocket model the adapter is a fifth of the whole.
And on a real one, by our estimate?
"""

# %% [markdown] lang="zh"
"""
口袋模型太小，适配器占了整体的五分之一。
放到真实模型上呢？
我们的估算是：
"""

# %%
real = lab.estimate("Qwen2.5-7B", train="lora", batch=1, seq=512)
print(f"{real.adapter / real.weights:.1%}")

# %% [markdown] lang="en"
"""
So ten customers with ten adapters share one base.
**Merge** where there is one adapter and the tool knows none (LM Studio), or where each token counts: an adapter is a little arithmetic on top of every layer.

Do both say the same?
"""

# %% [markdown] lang="zh"
"""
所以十个客户十个适配器，共用一个基座就行。
只有一个适配器、目标工具又不认适配器（比如 LM Studio），或者速度上要分毫必争（适配器会让每一层都多算一点），这时才**合并**。

两种做法，说的话一样吗？
"""

# %%
from llama_cpp import Llama

from labkit.conversation.session import Chat
from labkit.gguf.files import gguf_for

whole = lab.load(merged)


def load_gguf(path, **options):
    return Llama(str(path), n_ctx=512, n_threads=1, verbose=False, **options)


def ask_gguf(llama, question):
    messages = [{"role": "user", "content": question}]
    prompt = whole.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    return llama.create_completion(prompt, max_tokens=16, temperature=0)["choices"][0]["text"]


base = gguf_for(lab.load(MODEL).location.path, "F16")
beside = load_gguf(base, lora_path=str(adapter))

# %% varies="the tuned weights differ between processors"
questions = [item.messages[0]["content"] for item in task.test]
pairs = [(ask_gguf(beside, q), str(Chat(whole)(q))) for q in questions[:12]]
for question, (one, two) in zip(questions[:4], pairs, strict=False):
    print(question, one, two)

# %%
print(sum(one == two for one, two in pairs) >= 11)

# %% [markdown] lang="en"
"""
## GGUF and fewer bits

The merged folder becomes a GGUF file, and that becomes smaller.
Which format is good enough?
Tables on the internet speak of other models and other tasks.
You have a test of your own: use it.
"""

# %% [markdown] lang="zh"
"""
## 转成 GGUF，再少用几位

合并后的文件夹先转成 GGUF，再变小。
哪种格式够用？
网上的表格说的是别的模型、别的任务。
你手里有自己的测试题，就用它来测。
"""

# %%
FORMATS = ("F16", "Q8_0", "Q4_K_M", "Q2_K")
files = {row.format: row.path for row in lab.quantize(merged, FORMATS).rows}
right = [item.messages[-1]["content"] for item in task.test]


def share_right(path):
    llama = load_gguf(path)
    said = [ask_gguf(llama, question) for question in questions]
    return sum(a == b for a, b in zip(said, right, strict=True)) / len(right)


# %% varies="the tuned weights differ between processors"
from labkit.core.progress import track
from labkit.core.tables import Table
from labkit.core.units import show_bytes

scores = {format: share_right(files[format]) for format in track(FORMATS, "formats")}
rows = [(f, show_bytes(files[f].stat().st_size), f"{scores[f]:.0%}") for f in FORMATS]
Table(("", "", ""), rows)

# %%
from labkit.evaluation.scoring import score

interval = score(right=round(scores["F16"] * len(right)), count=len(right))
print(len(right), "questions:", interval.high - interval.low > 0.05)
print("Q8_0 like F16:", interval.low <= scores["Q8_0"] <= interval.high)

# %% [markdown] lang="en"
"""
Two things to see.
Q8_0 loses nothing that these questions can show.
And 48 questions show little: the interval is more than five points wide, so a difference of two or three is chance.
Before you go to Q4 for a real desk, ask five hundred.
"""

# %% [markdown] lang="zh"
"""
看两点。Q8_0 丢没丢东西，这些题看不出来。
而 48 道题能看出的东西本来就少：置信区间宽达五个百分点以上，差两三个点纯属偶然。
真要给前台用 Q4，先考五百题再说。
"""

# %%
CHOSEN = files["Q8_0"]

# %% [markdown] lang="en"
"""
## Serve it

One line starts llama-cpp-python's server (llama.cpp inside) with the model's own template and stops, on this computer only, with a key made for the occasion.
In a terminal: `labkit serve clinic.gguf`.
"""

# %% [markdown] lang="zh"
"""
## 提供服务

一行就能启动 llama-cpp-python 的服务（内核是 llama.cpp）：用模型自己的模板和停止符，只对本机开放，并现生成一个密钥。
在终端里是：`labkit serve clinic.gguf`。
"""

# %%
server = lab.serve(CHOSEN, n_threads=1)
print(server.url.startswith("http://127.0.0.1:"), server.url.endswith("/v1"), len(server.api_key))

# %% [markdown] lang="en"
"""
It speaks OpenAI's protocol, so every program written for that API works with it; only the address and the key change:
"""

# %% [markdown] lang="zh"
"""
它说的是 OpenAI 的协议，凡是为那套 API 写的程序都能直接用，只需换地址和密钥：
"""

# %%
import openai

client = openai.OpenAI(base_url=server.url, api_key=server.api_key)
asked = [{"role": "user", "content": questions[0]}]
answer = client.chat.completions.create(model=server.model, messages=asked, temperature=0)
print(answer.choices[0].finish_reason, answer.usage.prompt_tokens)

# %% varies="the tuned weights differ between processors"
stream = client.chat.completions.create(
    model=server.model, messages=asked, temperature=0, stream=True
)
print(*(chunk.choices[0].delta.content or "" for chunk in stream), sep="|")

# %% [markdown] lang="en"
"""
And without the key:
"""

# %% [markdown] lang="zh"
"""
没有密钥呢？
"""

# %%
stranger = openai.OpenAI(base_url=server.url, api_key="guess", max_retries=0)
try:
    stranger.models.list()
except openai.AuthenticationError as error:
    print(error)

# %% [markdown] lang="en"
"""
All of that stands in the server's log: who asked what path, and how it ended.
Not what was asked: a log with patients' words in it would be a leak of its own.
"""

# %% [markdown] lang="zh"
"""
这些都记在服务日志里：谁、访问了哪个路径、结果如何。
但不记问了什么：日志里要是有病人说的话，它本身就是一次泄露。
"""

# %%
import re

lines = server.log.read_text(encoding="utf-8").splitlines()
for line in lines[-3:]:
    print(re.sub(r"127.0.0.1:\d+", "127.0.0.1:…", line))

# %%
print(any(question in line for question in questions for line in lines))

# %% [markdown] lang="en"
"""
One warning is the server's own: `labkit serve pocket/mistral` says that llama.cpp ignores that model's sliding window (lesson [[mistral]]).
Read `server.note` before you promise anything.

## A web page

Now someone without Python.
The obvious page asks the model's server directly from the browser.
Before you build it:
"""

# %% [markdown] lang="zh"
"""
有一种提醒由服务自己给出：`labkit serve pocket/mistral` 会告诉你，llama.cpp 不支持它的滑动窗口（见第 [[mistral]] 课）。
向别人承诺之前，先看看 `server.note`。

## 做一个网页

现在轮到不懂 Python 的人。
最容易想到的做法，是让网页在浏览器里直接访问模型服务。
动手之前先想想：
"""

# %%
ask("deploy.key")

# %% [markdown] lang="en"
"""
There is a second rule in the way.
A browser lets a page read answers only from the address the page itself came from.
For others it asks first (`OPTIONS`, the *preflight*): may a page of that origin send you this?
Let us ask as the browser would:
"""

# %% [markdown] lang="zh"
"""
路上还有第二道关。
浏览器只允许网页读取自己来源地址的回答；要访问别处，浏览器会先问一声（`OPTIONS`，叫作**预检**）：那个来源的网页能不能给你发请求？
我们学浏览器的样子问一次：
"""

# %%
import urllib.request

preflight = urllib.request.Request(
    f"{server.url}/chat/completions",
    method="OPTIONS",
    headers={
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    },
)
with urllib.request.urlopen(preflight) as reply:
    for name, value in sorted(reply.headers.items()):
        if name.lower().startswith("access-control-allow"):
            print(f"{name.lower()}: {value}")

# %% [markdown] lang="en"
"""
llama-cpp-python's server lets every origin in.
Handy for trying out; and it means that the key alone keeps strangers' pages away, even from a server that listens to this computer only: any page you open in your browser could ask it.

So the key must not stand in a page.
The way out is a small **backend**: it gives the page to the browser, takes its questions on the same address, and asks the model with the key that it alone holds.
Same address: no cross-origin question either.
"""

# %% [markdown] lang="zh"
"""
llama-cpp-python 的服务对所有来源都放行。
试用方便，但也意味着：挡住陌生网页的只剩密钥这一道，哪怕服务只监听本机也一样，因为你在浏览器里打开的任何网页都能去问它。

所以密钥绝不能写在网页里。
办法是加一个小小的**后端**：网页由它发给浏览器，问题也交到同一个地址，再由它拿着只有它知道的密钥去问模型。
地址相同，跨域问题也就没有了。
"""

# %%
from labkit.serving.example_page import write_page

print(write_page())

# %% [markdown] lang="en"
"""
Look for three things: the address of `fetch` is relative; there is no key; the answer goes in as `textContent`, so that an answer like `<script>…` stays text.
And the heart of the backend:
"""

# %% [markdown] lang="zh"
"""
注意三点：`fetch` 的地址是相对的；没有密钥；回答是用 `textContent` 放进去的，就算回答里有 `<script>…`，也只是文字。
后端的核心在这里：
"""

# %%
import inspect

from labkit.serving.example_page import Backend, serve_page

print(inspect.getsource(Backend.do_POST))

# %%
import json
from contextlib import ExitStack

running = ExitStack()
address = running.enter_context(serve_page(server.url, server.api_key))


def post(body, kind="application/json"):
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}ask", data, {"Content-Type": kind})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


# %% varies="the tuned weights differ between processors"
post({"messages": [{"role": "user", "content": questions[0]}]})

# %% [markdown] lang="en"
"""
That was the page's own request, made by Python; in a test of this course a real Chromium makes it.
With `print(address)` you can open the page yourself while this notebook runs.
Is the key in it?
And a form from a stranger's page, which no preflight guards?
"""

# %% [markdown] lang="zh"
"""
这正是网页会发的那个请求，只不过由 Python 发出；课程的测试里，是真的 Chromium 在发。
运行着这个笔记本时，`print(address)` 打印出地址，就能自己打开看看。
网页里有密钥吗？
陌生网页提交的表单（预检管不到它）又会怎样？
"""

# %%
with urllib.request.urlopen(address) as reply:
    print(server.api_key in reply.read().decode())
try:
    post({}, kind="application/x-www-form-urlencoded")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"])

# %% [markdown] lang="en"
"""
## The same model in other people's tools

Not everybody wants your server.
`labkit export` writes what a tool reads.
**LM Studio** wants three levels of folders and runs the template that stands in the GGUF file:
"""

# %% [markdown] lang="zh"
"""
## 放进别人的工具

不是人人都想用你的服务。
`labkit export` 会写出各种工具能读的文件。
**LM Studio** 要求三层目录，模板直接用 GGUF 文件里的：
"""

# %%
from labkit.exports import writers as exports

exports.write_lmstudio(merged, room / "lmstudio", quant="Q8_0", name="clinic")

# %% [markdown] lang="en"
r"""
**text-generation-webui** has its own Jinja, which would write Chinese inside JSON as `\u5206`; so the template goes over as a file in which that is switched off:
"""

# %% [markdown] lang="zh"
r"""
**text-generation-webui** 有自己的一套 Jinja，会把 JSON 里的中文写成 `\u5206` 这样；所以模板单独写成文件，把这个行为关掉：
"""

# %%
exports.write_textgen(merged, room / "textgen", quant="Q8_0", name="clinic")

# %%
print((room / "textgen" / "config-user.yaml").read_text(encoding="utf-8"))

# %% [markdown] lang="en"
"""
**Ollama** runs no Jinja at all.
Its Modelfile holds a template in the language of Go, and here deployments break in silence: with a wrong one the model answers, only worse.
`labkit` takes the model's own template apart, writes it in Go, and our tests render it by Go and compare, for every family.
Here is the part after the definitions for tools:
"""

# %% [markdown] lang="zh"
"""
**Ollama** 完全不用 Jinja。
它的 Modelfile 里是 Go 语言的模板，部署往往就在这里悄悄出错：模板不对，模型照样回答，只是变差了。
`labkit` 把模型自己的模板拆开，用 Go 的写法写出来；我们的测试用真正的 Go 渲染，每个家族都逐一比对。
下面略去工具定义，只看后半部分：
"""

# %%
exports.write_ollama(merged, room / "ollama", quant="Q8_0", name="clinic")

# %%
modelfile = (room / "ollama" / "Modelfile").read_text(encoding="utf-8")
print(modelfile[: modelfile.index("TEMPLATE")])
print(modelfile[modelfile.index("{{ if and $.System") :])

# %% [markdown] lang="en"
"""
Read it aloud: `FROM` the file; a template over `.Messages`; `PARAMETER stop` where an answer ends; the context; greedy, as our test was.
And the adapter by itself, on the base:
"""

# %% [markdown] lang="zh"
"""
读一遍：`FROM` 指向文件；模板遍历 `.Messages`；`PARAMETER stop` 说明回答到哪里为止；上下文长度；贪心采样，和我们测试时一样。
只给适配器、挂在基座上，则是这样：
"""

# %%
exports.write_ollama(MODEL, room / "beside", quant="Q8_0", name="desk", adapter=report.folder)
beside_file = (room / "beside" / "Modelfile").read_text(encoding="utf-8")
print(*re.findall(r"^(?:FROM|ADAPTER) .*", beside_file, re.MULTILINE), sep="\n")

# %% [markdown] lang="en"
"""
For many users there are **vLLM** and rented GPUs. vLLM reads the merged folder itself; the command line is checked against our estimate before it is written.
We have not run it here, for want of a GPU:
"""

# %% [markdown] lang="zh"
"""
用户一多，就该上 **vLLM** 和租来的 GPU。
vLLM 直接读合并后的文件夹；命令行写出来之前，会先和我们的内存估算核对。
这里没有 GPU，这条命令我们没有运行过：
"""

# %%
exports.write_vllm("Qwen2.5-7B", room / "vllm", vram="24GiB", context=8192)
print((room / "vllm" / "serve.sh").read_text(encoding="utf-8"))

# %%
try:
    exports.write_vllm("Qwen2.5-7B", room / "small", vram="12GiB", context=8192)
except lab.LabError as error:
    print(error)

# %% [markdown] lang="en"
"""
### Before others rely on it

- **Encryption**: keys and questions in plain HTTP can be read on the way. Outside your computer put a reverse proxy with TLS in front.
- **Who**: one key a user, so that one can be withdrawn; a limit on requests, or one user takes all.
- **What is kept**: paths and times, not words.
- **Which model**: write down base, adapter, quantization and their hashes; the licence of the base goes along with what you made of it (lesson [[adopt]]).
- **The way back**: keep the last version running until the new one has passed the test.
"""

# %% [markdown] lang="zh"
"""
### 别人要靠它之前

- **加密**：明文 HTTP 里的密钥和问题，路上谁都能看到。只要出了自己的电脑，前面就要放一个带 TLS 的反向代理。
- **谁在用**：一人一个密钥，才能单独收回；请求要限速，否则一个人就能占满。
- **留什么**：留路径和时间，不留内容。
- **是哪个模型**：基座、适配器、量化格式和各自的哈希都记下来；基座的许可证会一直跟着你做出来的东西（见第 [[adopt]] 课）。
- **退路**：新版本通过测试之前，旧版本别停。
"""

# %% [markdown] lang="en"
"""
## Recap

- Adapter, merge, GGUF, fewer bits, server: five files and five lines. Keep the adapter beside the base where many share it; merge where a tool knows none.
- Choose the format by your own test, and say how many questions it had.
- The server speaks OpenAI's protocol: address and key are all that changes.
- A key in a page belongs to everyone. Put a backend between; answers go in as text.
- A template must arrive whole: in the GGUF file, or translated and compared.
- All figures here are of a pocket model and show the way, not the quality of Qwen.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 适配器、合并、GGUF、量化、服务：五份文件，五行代码。多人共用一个基座，就让适配器单独放着；工具不认适配器，才合并。
- 选格式要用自己的测试题，并说明考了多少题。
- 服务说的是 OpenAI 的协议，要换的只有地址和密钥。
- 写进网页的密钥，人人都能拿走。中间要有后端；回答只当文字放进去。
- 模板必须原样送到：要么就在 GGUF 文件里，要么翻译过去并逐一比对。
- 这里的数字都来自口袋模型，演示的是走法，不代表通义千问的水平。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Write `triage(text)` for the clinic's program: it asks the server by `client` with temperature 0, allows at most 8 new tokens, and returns the answer's text.
The check asks it five questions and compares with the file run directly.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 给诊所的程序写一个 `triage(text)`：通过 `client` 询问服务，温度 0，最多生成 8 个新词元，返回回答的文字。
检查时问它五个问题，和直接运行文件的结果比对。
"""


# %% exercise="client"
def triage(text):
    """The answer of the server to one question."""
    ### BEGIN SOLUTION
    answer = client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": text}],
        temperature=0,
        max_tokens=8,
    )
    return answer.choices[0].message.content
    ### END SOLUTION


# %% check="client" points=2
from labkit import course

direct = load_gguf(CHOSEN)
said = [triage(question) for question in questions[:5]]
answered = None if said[0] is None else said
course.check("deploy.client", answered, [ask_gguf(direct, question) for question in questions[:5]])

# %% [markdown] lang="en"
"""
**2.** Which is the smallest of the four files that loses no more than five points against F16 on these questions?
Let Python find it in `scores` and `files`.
"""

# %% [markdown] lang="zh"
"""
**2.** 在这些题上，得分比 F16 最多低五个百分点的，四个文件里哪个最小？
用 `scores` 和 `files` 让 Python 找出来。
"""

# %% exercise="smallest"
smallest = None
### BEGIN SOLUTION
good = [f for f in FORMATS if scores[f] >= scores["F16"] - 0.05]
smallest = min(good, key=lambda f: files[f].stat().st_size)
### END SOLUTION


# %% check="smallest" points=1
def judge(format):
    ranked = sorted(FORMATS, key=lambda f: files[f].stat().st_size)
    return format == next(f for f in ranked if scores["F16"] - scores[f] <= 0.05)


course.check("deploy.smallest", smallest, judge)

# %% [markdown] lang="en"
"""
**3.** At the clinic's desk answers are one word.
Add a line to the Modelfile that stops every answer after 8 tokens, and leave the rest as it is.
(Ollama's word for it is `num_predict`.)
"""

# %% [markdown] lang="zh"
"""
**3.** 前台的回答只有一个词。
给 Modelfile 加一行，让每个回答最多 8 个词元，其余不动。
（Ollama 把这个参数叫作 `num_predict`。）
"""

# %% exercise="modelfile"
changed = None
### BEGIN SOLUTION
changed = modelfile + "PARAMETER num_predict 8\n"
### END SOLUTION


# %% check="modelfile" points=1
def rest_and_new(text):
    parameters = dict(re.findall(r"^PARAMETER (num_\w+) (\S+)$", text, re.MULTILINE))
    rest = re.sub(r"^PARAMETER num_predict .*\n?", "", text, flags=re.MULTILINE)
    return parameters.get("num_predict") == "8" and rest.strip() == modelfile.strip()


course.check("deploy.modelfile", changed, rest_and_new)

# %% [markdown] lang="en"
"""
**4.** Without a check: who may ask your model, from where, and what would you have to log to notice misuse without keeping anybody's words?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：谁可以问你的模型，从哪里问？
要想发现滥用，又不留下任何人说的话，日志里该记什么？
"""

# %%
running.close()
server.close()
print(server.is_running)

# %% [markdown] lang="en"
"""
## On real models

The line at the top: `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`; training it wants a GPU or patience (lesson [[lora]]).
All the rest stays.
What the chosen format takes on disk and in memory, for one user with 4,096 tokens:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改最上面一行：`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`；训练它需要 GPU，或者耐心（见第 [[lora]] 课）。
其余照旧。按一个用户、4096 个词元算，各格式占的磁盘和内存是：
"""

# %%
for name in ("Qwen2.5-0.5B", "Qwen2.5-7B"):
    for format in ("Q8_0", "Q4_K_M"):
        need = lab.estimate(name, quant=format, context=4096)
        print(f"{name:14}{format:8}{show_bytes(need.file_size):>10}{show_bytes(need.total):>10}")

# %% [markdown] lang="en"
"""
More than one user at a time, and more than one machine: lesson [[scale-out]].
"""

# %% [markdown] lang="zh"
"""
同时不止一个用户，机器也不止一台：见第 [[scale-out]] 课。
"""
