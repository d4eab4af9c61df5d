# %% [markdown] lang="en"
"""
# Get a model and run it

**You will be able to** fetch a model from Hugging Face, ModelScope, GitHub or a mirror in your own room, know its licence and size before the first byte, and get over the four things that go wrong; run it in Transformers and in llama.cpp; choose how it samples; hold its answers to a form; and make long prompts cheap.

**You will learn** what a Hub really serves, why a download can be trusted, why two engines give the same text, what temperature and top-p do to a distribution, what a grammar guarantees and what it ruins, and what a prompt cache keeps.

**You need** about 60 minutes, two CPU cores, 0.7 GiB of free memory.
Download: 0: the Hub of this lesson runs on this computer.
"""

# %% [markdown] lang="zh"
"""
# 下载模型并运行

**学完你能**从 Hugging Face、魔搭（ModelScope）、GitHub 或教室里的镜像拿到模型，在下载第一个字节之前就知道许可证和大小，遇到四种常见故障都知道怎么办；用 Transformers 和 llama.cpp 各跑一遍；选定采样方式；让回答符合规定的格式；让长提示变得便宜。

**你会明白**模型站到底提供了什么，下载来的文件凭什么可信，为什么两个引擎给出同样的文字，温度和 top-p 对概率分布做了什么，语法约束能保证什么、又会毁掉什么，提示缓存存的是什么。

**需要准备**大约 60 分钟，两个 CPU 核心，0.7 GiB 空闲内存。
下载量：0，这一课的模型站就跑在这台电脑上。
"""

# %% [markdown] lang="en"
"""
## A Hub on this computer

A Hub is a web server: it lists the files of a model with their sizes and hashes, and sends them.
`labkit mirror` is one for a classroom, and the unmodified clients of Hugging Face and ModelScope talk to it.
We start it with a pocket model under the name `classroom/qwen`, and give this notebook an empty cache, as on your first day.
"""

# %% [markdown] lang="zh"
"""
## 这台电脑上的模型站

模型站就是一个网页服务器：列出模型有哪些文件、各多大、哈希值是多少，再把文件发过来。
`labkit mirror` 就是给一间教室用的模型站，Hugging Face 和魔搭的客户端一行不改就能同它打交道。
我们启动它，把一个口袋模型以 `classroom/qwen` 的名字放上去，再给这个笔记本一个空的缓存，就像你第一天来上课。
"""

# %%
import os
import tempfile

home = tempfile.TemporaryDirectory()
os.environ |= {"HF_HOME": home.name, "LABKIT_CACHE": home.name, "HF_HUB_OFFLINE": "0"}

# %%
from contextlib import ExitStack

from labkit import pocket
from labkit.hub.mirror_server import serve_mirror

NAME = "classroom/qwen"
running = ExitStack()
mirror = running.enter_context(serve_mirror({NAME: pocket.folder("qwen2.5")}))
os.environ["HF_ENDPOINT"] = os.environ["MODELSCOPE_ENDPOINT"] = mirror.url

# %% [markdown] lang="en"
"""
`HF_ENDPOINT` is all a client needs to know.
Set it, and `HF_HOME`, **before** anything imports `huggingface_hub`: it reads both only once. labkit looks at the address each time, so we can change it below.
"""

# %% [markdown] lang="zh"
"""
客户端只需要知道 `HF_ENDPOINT`。
它和 `HF_HOME` 都要在导入 `huggingface_hub` **之前**设好，因为它只在导入时读一次。
labkit 每次都重新看这个地址，所以后面可以改。
"""

# %% [markdown] lang="en"
"""
## Before the first byte

Three questions before any download: may I use it, how large is it, is there room?
"""

# %% [markdown] lang="zh"
"""
## 下载之前

每次下载前先问三件事：许可证准不准我用？
有多大？磁盘放得下吗？
"""

# %% varies="the address of the mirror and the free disk differ"
from labkit.hub.huggingface import plan_download

plan = plan_download(NAME)
print(plan)

# %%
for file in plan.files:
    print(f"{file.size:>10,}  {file.digest[:12]}…  {file.name}")

# %% [markdown] lang="en"
"""
Every file comes with a hash: SHA-256 for weights, git's SHA-1 for the rest.
A file counts as arrived only when its size and hash agree, which catches damage on the way.
It does not catch a dishonest mirror, for the hashes come from it too: compare them with the maker's page.

And not everything in a repository is fetched.
Here is a repository as one sometimes meets it, with code and with weights in Python's own format, pickle, which can run any program when it is opened:
"""

# %% [markdown] lang="zh"
"""
每个文件都带着哈希值：权重用 SHA-256，其余用 git 的 SHA-1。
大小和哈希都对上，文件才算到手，传输中的损坏都查得出来。
但这防不了作假的镜像，因为哈希值也是它给的：要和厂商页面上的核对。

仓库里的东西也不是全都下载。
有时会遇到下面这样的仓库：里面有代码，还有用 Python 自己的 pickle 格式存的权重，这种文件一打开就能运行任意程序：
"""

# %%
import labkit as lab
from labkit.hub.huggingface import wanted_files

names = ["config.json", "modeling_custom.py", "pytorch_model.bin", "tokenizer.json"]
try:
    wanted_files("someone/something", names)
except lab.LabError as error:
    print(error)

# %%
wanted_files("someone/something", [*names, "model.safetensors"])

# %% [markdown] lang="en"
"""
With safetensors beside them, code and pickle are simply left where they are.
Safetensors and GGUF hold numbers and descriptions (GGUF also the tokenizer and the chat template), and no program that runs when they are opened.
"""

# %% [markdown] lang="zh"
"""
只要旁边有 safetensors，就拿它，代码和 pickle 一概不碰。
safetensors 和 GGUF 里只有数字和说明（GGUF 还带分词器和对话模板），没有一打开就运行的程序。
"""

# %% [markdown] lang="en"
"""
## Fetch

One line; the mirror remembers what it was asked:
"""

# %% [markdown] lang="zh"
"""
## 下载

就一行。镜像会记下别人问过它什么：
"""

# %%
model = lab.load(NAME)
print(model)
for asked in mirror.asked:
    if asked.method == "GET":
        print(asked.path.replace(plan.commit, "COMMIT"))

# %% [markdown] lang="en"
"""
Before you load the same model a second time:
"""

# %% [markdown] lang="zh"
"""
同一个模型再加载一次。
先猜一猜：
"""

# %%
from labkit.widgets.prediction import ask

ask("get-and-run.second")

# %%
before = len(mirror.asked)
lab.load(NAME)
print(len(mirror.asked) - before, "requests")

# %% [markdown] lang="en"
"""
What is on this disk and whole is used without the network.
It lies in the Hub's own cache, where Transformers, vLLM and `hf` find it, too:
"""

# %% [markdown] lang="zh"
"""
磁盘上有完整的，就不碰网络。
它放在 Hugging Face 自己的缓存里，Transformers、vLLM 和 `hf` 命令也都找得到：
"""

# %%
from transformers import AutoConfig

print(AutoConfig.from_pretrained(NAME, local_files_only=True).model_type)

# %% [markdown] lang="en"
"""
### ModelScope, GitHub, a link

ModelScope is near where Hugging Face is far.
A prefix chooses it; the files are the same:
"""

# %% [markdown] lang="zh"
"""
### 魔搭、GitHub、一个链接

在国内，魔搭往往比 Hugging Face 快得多。
加个前缀就换成它，文件是一样的：
"""

# %%
twin = lab.load(f"modelscope:{NAME}")
print(twin)
print(twin.location.path.joinpath("model.safetensors").stat().st_size)

# %% [markdown] lang="en"
"""
A GGUF file lies behind a plain link as well as anywhere: a release on GitHub, a share of your institute.
Put its SHA-256 behind the link, and it is checked:
"""

# %% [markdown] lang="zh"
"""
GGUF 文件放在普通链接后面也行：GitHub 的 Release，或者学校的网盘。
把它的 SHA-256 写在链接末尾，下载后会自动核对：
"""

# %%
import hashlib
from pathlib import Path

from labkit.gguf.files import write_gguf

shelf = Path(home.name, "shelf")
gguf = write_gguf(pocket.folder("qwen2.5"), shelf / "qwen-f16.gguf")
mirror.repositories["classroom/files"] = shelf
link = f"{mirror.url}/classroom/files/resolve/main/qwen-f16.gguf"
sha256 = hashlib.sha256(gguf.read_bytes()).hexdigest()

# %%
linked = lab.load(f"{link}#sha256={sha256}")
print(linked.engine, linked.context_length)

# %%
try:
    lab.load(f"{link}#sha256={'0' * 64}")
except lab.LabError as error:
    print(error)

# %% [markdown] lang="en"
"""
One trap is GitHub's own, and the Hub's with `git clone`: large files are kept apart (git-lfs), and without that program you get a **pointer**, three lines under the name of the weights:
"""

# %% [markdown] lang="zh"
"""
`git clone` 有一个坑，GitHub 和 Hugging Face 上都会碰到：大文件是分开存放的（git-lfs），没装这个程序，拿到的就只是一个**指针**，顶着权重的名字，里面只有三行字：
"""

# %%
weights = next(file for file in plan.files if file.name == "model.safetensors")
pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{weights.digest}\n"
pointer += f"size {weights.size}\n"
print(pointer)

# %%
import shutil

cloned = shutil.copytree(pocket.folder("qwen2.5"), Path(home.name, "cloned"))
(cloned / "model.safetensors").write_text(pointer)
try:
    lab.load(cloned)
except lab.LabError as error:
    print(str(error).replace(home.name, "~"))

# %% [markdown] lang="en"
"""
## What goes wrong

**Not there.** A letter too many is the most frequent fault of all:
"""

# %% [markdown] lang="zh"
"""
## 会出哪些错

**没有这个模型。** 最常见的故障，就是多打或少打一个字母：
"""

# %%
try:
    lab.load("classroom/qwenn")
except lab.LabError as error:
    print(error)

# %% [markdown] lang="en"
"""
**Gated.** Some makers want you to accept their terms first, Meta for Llama among them.
The Hub then answers 401 or 403 until you show who you are.
Here is a mirror that wants a token:
"""

# %% [markdown] lang="zh"
"""
**需要授权。** 有些厂商要你先接受条款，比如 Meta 的 Llama。
在你证明身份之前，模型站一律回答 401 或 403。
下面这个镜像就要令牌：
"""

# %%
TOKEN = "hf_of_this_lesson"
gated = running.enter_context(serve_mirror({"classroom/yi": pocket.folder("yi")}, token=TOKEN))
os.environ["HF_ENDPOINT"] = gated.url
try:
    lab.load("classroom/yi")
except lab.LabError as error:
    print(error)

# %%
os.environ["HF_TOKEN"] = TOKEN
print(lab.load("classroom/yi"))
del os.environ["HF_TOKEN"]
os.environ["HF_ENDPOINT"] = mirror.url

# %% [markdown] lang="en"
"""
A token is a password.
On your computer `hf auth login` keeps it out of sight; never write one into a notebook as we did with this worthless one, for notebooks are passed on.

**Cut off.** For a drill the mirror breaks its answers off: the first after a million bytes, the next three at once.
"""

# %% [markdown] lang="zh"
"""
令牌就是密码。
在自己的电脑上用 `hf auth login` 登录，它会收好令牌；千万别像上面这样写进笔记本（上面这个一文不值），因为笔记本是要传给别人的。

**中途断开。** 我们来演习一次，让镜像发到一半就断：第一次发一百万字节，后三次一个字节也不发。
"""

# %%
mirror.repositories["classroom/again"] = pocket.folder("qwen2.5")
mirror.cuts["model.safetensors"] = [1_000_000, 0, 0, 0]
try:
    lab.load("classroom/again")
except lab.LabError as error:
    print(error)

# %%
lab.load("classroom/again")
mirror.ranges("model.safetensors")[-5:]

# %% [markdown] lang="en"
"""
Read the list from left to right: the first request wants the whole file.
All later ones, and that of the second `load`, ask for what is still missing, by a `Range`.
What had arrived was kept; at the end the hash was checked over all of it.

A full disk is refused before the first byte, by the plan; a stalled connection counts as cut after 20 seconds.
"""

# %% [markdown] lang="zh"
"""
从左往右看：第一个请求要整个文件；后面几个，包括第二次 `load` 的那个，都只要还缺的部分，这就是 `Range`（断点续传）。
已经到手的留着，最后对整个文件核对哈希。

磁盘不够，看计划就知道，一个字节都不会下；连接卡住 20 秒没动静，就当作断开。
"""

# %% [markdown] lang="en"
"""
### A class behind one line

Thirty students who fetch the same 5 GB at once bring any line down.
Two ways around it:

| | the teacher | each student |
|---|---|---|
| a network in the room | `labkit mirror --host 0.0.0.0` | `export HF_ENDPOINT=http://teacher.example:8090` |
| a stick | `labkit bundle make /media/stick Qwen/Qwen2.5-0.5B-Instruct` | `labkit bundle restore /media/stick` |
"""

# %% [markdown] lang="zh"
"""
### 全班共用一条宽带

三十个人同时下载同一个 5 GB 的模型，什么网都扛不住。
有两个办法：

| | 老师 | 每个学生 |
|---|---|---|
| 教室里有局域网 | `labkit mirror --host 0.0.0.0` | `export HF_ENDPOINT=http://teacher.example:8090` |
| 一个 U 盘 | `labkit bundle make /media/stick Qwen/Qwen2.5-0.5B-Instruct` | `labkit bundle restore /media/stick` |
"""

# %%
from labkit.course.bundles import make_bundle, verify_bundle

stick = Path(home.name, "stick")
make_bundle(stick, [NAME], lessons=False)
print(str(verify_bundle(stick)).replace(home.name, "~"))

# %% [markdown] lang="en"
"""
## Two engines, one model

**Transformers** is the library in which models are published, trained and taken apart.
**llama.cpp** is a C++ program made to run them anywhere: it starts faster, quantizes, and needs no PyTorch.
It reads GGUF, so a folder is converted once.
Do they compute the same?
"""

# %% [markdown] lang="zh"
"""
## 两个引擎，一个模型

**Transformers** 是发布、训练、拆解模型用的库。
**llama.cpp** 是 C++ 写的，只为在哪儿都能跑：启动快，能量化，不需要 PyTorch。
它读 GGUF，所以文件夹要先转换一次。
它们算出来的一样吗？
"""

# %%
MODEL = "pocket/qwen2.5"
QUESTIONS = (
    "Which sizes does Qwen2.5 come in?", "Qwen2.5有哪些尺寸？", "How many layers does Llama-2-7B have?",
    "47 + 38 = ?", "Reverse: apple river moon", "What is water in Chinese?",
    "Python: max(3, 9, 4)", "Tell me something.",
)  # fmt: skip
engines = {name: lab.load(MODEL, name) for name in ("transformers", "llama.cpp")}
print(engines["transformers"].note)

# %%
from labkit.conversation.session import Chat


def answer(engine, question):
    return str(Chat(engines[engine])(question))


for question in QUESTIONS:
    texts = [answer(engine, question) for engine in engines]
    print(texts[0] == texts[1], "|", question, "|", texts[0])

# %% [markdown] lang="en"
"""
The same text, token for token, although one computes in float32 by PyTorch and the other in its own C++, with the cache in 16 bits.
How far apart are the numbers behind it?
"""

# %% [markdown] lang="zh"
"""
一个词元都不差。
可一个是 PyTorch 用 float32 算的，另一个是自己的一套 C++ 代码，缓存只有 16 位。
背后的数字究竟差多少？
"""

# %%
import llama_cpp
import numpy as np
import torch

llama, tokenizer = engines["llama.cpp"].model, engines["transformers"].tokenizer
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def logits_of(question):
    ids = tokenizer(CHATML.format(question), return_tensors="pt").input_ids
    with torch.no_grad():
        return ids, engines["transformers"].model(ids).logits[0, -1].float()


ids, logits = logits_of("Tell me something.")
llama.reset()
llama.eval(ids[0].tolist())
theirs = np.ctypeslib.as_array(llama_cpp.llama_get_logits(llama.ctx), (llama.n_vocab(),))

# %% varies="the last digits differ between processors"
difference = np.abs(logits.numpy() - theirs).max()
print(f"{difference:.5f} of {np.ptp(theirs):.1f}")

# %%
print(difference < 0.05, logits.argmax() == theirs.argmax())

# %% [markdown] lang="en"
"""
Rounding, no more.
The likeliest token is the same unless two are nearly even, so each engine can be checked by the other: that is how the converter of this course is tested.
"""

# %% [markdown] lang="zh"
"""
只是舍入误差。
只要前两名不是不相上下，最可能的词元就是同一个，所以两个引擎可以互相检验：这门课的转换程序就是这样测的。
"""

# %% [markdown] lang="en"
"""
### The template is part of the model

A chat model has learnt one exact way in which a conversation is written.
It stands in the folder, and the same text went into the GGUF file:
"""

# %% [markdown] lang="zh"
"""
### 模板也是模型的一部分

对话模型学的是一种固定的写法，一个字符都不能差。
这个写法存在文件夹里，转换时也原样写进了 GGUF 文件：
"""

# %%
print(engines["llama.cpp"].chat_template == engines["transformers"].chat_template)

# %%
LLAMA2 = "<s>[INST] {} [/INST]"


def complete(text, **options):
    return llama.create_completion(text, temperature=0, **options)["choices"][0]


for form in (CHATML, "{}", LLAMA2):
    texts = [complete(form.format(q), max_tokens=12)["text"] for q in QUESTIONS[3:6]]
    print(f"{form[:9]!r:14}", texts)

# %% [markdown] lang="en"
"""
The first row is Qwen's own form.
Without a template, or with that of Llama 2, the same weights hardly answer.
When a downloaded model "is stupid", look at its template first.
Tools that run the template from the model's files (labkit, llama.cpp, vLLM, LM Studio) get it right by themselves; Ollama wants it translated, see lesson [[deploy]].
"""

# %% [markdown] lang="zh"
"""
第一行是通义千问自己的写法。
不用模板，或者套上 Llama 2 的模板，同样的权重几乎答不上来。
下载来的模型要是“很笨”，先查模板。
直接运行模型自带模板的工具（labkit、llama.cpp、vLLM、LM Studio）不会弄错；Ollama 的模板要另外翻译一遍，见第 [[deploy]] 课。
"""

# %% [markdown] lang="en"
"""
## Sampling

The model gives a probability for every token.
*Sampling* is how one of them is chosen.
A question with many right answers shows it best:
"""

# %% [markdown] lang="zh"
"""
## 采样

模型给每个词元算出一个概率，从里面挑一个出来，叫**采样**。
答案不唯一的问题最能看出差别：
"""

# %% varies="digits of a probability differ between processors"
from labkit.plots import draw_bars

best = logits.topk(8).indices
shown = {
    f"T = {T}": {repr(tokenizer.decode(i))[1:-1]: float((logits / T).softmax(-1)[i]) for i in best}
    for T in (0.5, 1.0, 2.0)
}
draw_bars(shown, title="Tell me something. → ?", show=lambda p: f"{p:.1%}")

# %% [markdown] lang="en"
"""
**Temperature** divides the logits before the softmax.
Below 1 the likely get likelier, above 1 the tail rises; 0 means: always the first.
The order of the tokens never changes.
"""

# %% [markdown] lang="zh"
"""
**温度**就是 softmax 之前，logits 要除以的那个数。
小于 1，可能的更可能；大于 1，长尾抬起来；等于 0 表示永远取第一名。
词元的名次始终不变。
"""

# %%
p = logits.softmax(-1)
for T in (0.5, 1.0, 2.0):
    q = (logits / T).softmax(-1)
    print(T, bool((q.argsort(descending=True)[:3] == p.argsort(descending=True)[:3]).all()))

# %% [markdown] lang="en"
"""
Its price shows in a long answer: every token is another chance to slip.
Thirty draws of the same question at each temperature:
"""

# %% [markdown] lang="zh"
"""
代价要看整段回答：每个词元都是一次走偏的机会。
同一个问题，每个温度抽三十次：
"""

# %% varies="a draw falls otherwise when a last digit differs"
from labkit.core.progress import track
from labkit.engines import Sampling

distinct = {}
for T in (0.0, 0.5, 1.0, 2.0):
    draws = []
    for seed in track(range(30), f"T = {T}"):
        draws.append(
            str(Chat(engines["llama.cpp"], sampling=Sampling(T, seed=seed))("Tell me something."))
        )
    distinct[T] = len(set(draws))
    print(T, distinct[T], draws[-1])

# %%
print(distinct[0.0] == 1, distinct[0.5] < distinct[2.0])

# %% [markdown] lang="en"
"""
**Top-p** cuts the tail off: keep the likeliest tokens until they make up the share p, and draw only among them.
How many are kept depends on how sure the model is, and that is the point of it:
"""

# %% [markdown] lang="zh"
"""
**Top-p** 负责砍掉长尾：从最可能的词元开始往下数，凑够 p 就停，只在留下的里面抽。
留几个，要看模型有多大把握，妙就妙在这里：
"""

# %% varies="where a probability lies near the edge, one token more or less is kept"
from transformers import TopPLogitsWarper


def kept(logits, top_p):
    scores = TopPLogitsWarper(top_p)(None, logits[None])
    return int(scores.isfinite().sum())


_, sure = logits_of("47 + 38 = ?")
for top_p in (0.5, 0.9, 0.99):
    print(top_p, kept(sure, top_p), kept(logits, top_p))

# %%
print([kept(sure, top_p) < kept(logits, top_p) for top_p in (0.9, 0.99)])

# %% [markdown] lang="en"
"""
In the middle stands the sum, where the model is sure: hardly more than one token is left.
On the right our open question: from one to dozens.
For facts, code and tools take temperature 0; for talk what the maker recommends, which stands in `generation_config.json`.
Models that think first are the exception: always take the maker's values, for at temperature 0 they may repeat themselves without end.
"""

# %% [markdown] lang="zh"
"""
中间一列是加法题，模型有把握，几乎只留下一个词元；右边一列是那个开放的问题，少则一个，多则几十个。
查事实、写代码、调工具，用温度 0；聊天就用厂商推荐的值，写在 `generation_config.json` 里。
会先思考的模型例外：一律用厂商推荐的值，温度 0 可能让它没完没了地重复。
"""

# %% [markdown] lang="en"
"""
## A form for the answer

Programs want JSON, not prose.
A **grammar** makes sure: before each draw, every token that would break the form gets probability 0. llama.cpp writes grammars in GBNF:
"""

# %% [markdown] lang="zh"
"""
## 规定回答的格式

程序要的是 JSON，不是散文。
**语法约束**能保证这一点：每次采样之前，凡是会破坏格式的词元，概率一律归零。
llama.cpp 用 GBNF 来写语法：
"""

# %%
from llama_cpp import LlamaGrammar


def constrained(question, gbnf, max_tokens=48):
    grammar = LlamaGrammar.from_string(gbnf, verbose=False)
    return complete(CHATML.format(question), grammar=grammar, max_tokens=max_tokens)


DIGITS = "root ::= [1-9] [0-9]?"
SUMS = ("12 + 34 = ?", "47 + 38 = ?", "What is 25 + 61?")
print([constrained(q, DIGITS)["text"] for q in SUMS])

# %% [markdown] lang="en"
"""
Now the same questions, with the number in a JSON object.
What will the answers be?
"""

# %% [markdown] lang="zh"
"""
还是这几道题，这回把数字放进 JSON 对象里。
答案会怎样？
"""

# %%
ask("get-and-run.grammar")

# %% varies="the model was never trained to write this: two tokens can be nearly even"
JSON = r'root ::= "{\"answer\": " [1-9] [0-9]? "}"'
boxed = [constrained(q, JSON)["text"] for q in SUMS]
boxed

# %%
import json

values = [json.loads(text)["answer"] for text in boxed]
print("all valid JSON:", len(values) == 3, "| all right:", values == [46, 85, 86])

# %% [markdown] lang="en"
"""
Every answer is valid JSON, and the numbers are wrong.
**A grammar guarantees the form, never the truth.** It put `{"answer": ` into the model's mouth; our pocket model has never seen an answer begin like that, and is lost.
Large models have seen much JSON and are lost less easily, but the mechanism is the same.
Ask for the form in the prompt as well, let the model think before the braces begin, or take the plain answer and write the JSON in your program:
"""

# %% [markdown] lang="zh"
"""
个个都是合法的 JSON，可数字都不对。
**语法只保证格式，从不保证正确。** 它硬把 `{"answer": ` 塞进模型嘴里，而口袋模型从没见过这样开头的回答，于是迷路了。
大模型见过大量 JSON，不太容易迷路，但道理一样。
办法有三个：提示里也写明格式；让它在花括号之前先想；或者干脆要一个普通的回答，JSON 由你的程序来写：
"""

# %%
print(json.dumps({"answer": int(answer("llama.cpp", SUMS[0]))}))

# %% [markdown] lang="en"
"""
And a form must have an end.
`[0-9]+` allows digits for ever; the answer then stops at `max_tokens`, in the middle of the JSON.
Bound every repetition:
"""

# %% [markdown] lang="zh"
"""
格式还得有个尽头。
`[0-9]+` 允许数字一直写下去，写到 `max_tokens` 被切断，JSON 就只剩半截。
每处重复都要限定次数：
"""

# %% varies="far from what it was trained on, two tokens can be nearly even"
FOREVER = r'root ::= "{\"answer\": " [0-9]+ "}"'
constrained(SUMS[0], FOREVER)

# %%
BOUNDED = r'root ::= "{\"answer\": " [1-9] [0-9]{0,3} "}"'
for question in QUESTIONS:
    json.loads(constrained(question, BOUNDED)["text"])
print("always whole")

# %% [markdown] lang="en"
"""
## The prompt cache

Before it writes, a model must read.
For every token read it keeps keys and values (the KV cache), and a prompt that **begins** like the last one needs only its new part read.
We count the tokens that llama.cpp is given to read:
"""

# %% [markdown] lang="zh"
"""
## 提示缓存

模型写之前要先读。
每读一个词元，它都会留下键和值（KV 缓存）；下一个提示只要**开头**和上一个相同，就只需读新的部分。
我们来数一数，真正交给 llama.cpp 读的有多少词元：
"""

# %%
from labkit.evaluation.forward_passes import PassCounter

RULES = "Answer briefly. " * 10
counter = PassCounter(MODEL)


def read(system, question):
    answer = counter.answer(question, system)
    return answer.prompt, answer.read


print(read(RULES, "What is 12 + 34?"))

# %% [markdown] lang="en"
"""
All of it, the first time.
Next: the same rules and another question; then exactly the same once more.
"""

# %% [markdown] lang="zh"
"""
第一次，全部读了一遍。
接下来：规则不变，换个问题；然后把同样的提示再问一遍。
"""

# %%
ask("get-and-run.cache")

# %%
print(read(RULES, "What is 12 + 35?"))
print(read(RULES, "What is 12 + 35?"))

# %% [markdown] lang="en"
"""
Only the tokens from the first difference on; and of a prompt that is wholly known the last token alone, because its logits are needed.
So put what never changes (rules, tools, documents) **in front**, and what changes (the question, the date!) at the end.
API providers sell the same thing under the name of cached input.
"""

# %% [markdown] lang="zh"
"""
只读从第一处不同开始的部分；提示完全相同时，只读最后一个词元，因为要用它的 logits。
所以，不变的内容（规则、工具、资料）放**前面**，会变的（问题，还有日期！）
放最后。各家 API 里打折的“缓存输入”，卖的就是这个。
"""

# %% [markdown] lang="en"
"""
## Recap

- A Hub lists files with sizes and hashes. Licence, size and room are known before the first byte; of weights only safetensors and GGUF are fetched, and never code.
- 404, or 401 without a login: check the spelling first. Gated (401, 403): terms and a token. Cut off: try again, it goes on. A pointer: git-lfs.
- `HF_ENDPOINT` names a mirror, `modelscope:` chooses ModelScope, `#sha256=` checks a link.
- Transformers and llama.cpp give the same text; a wrong template ruins it in both.
- Temperature reshapes the distribution, top-p cuts its tail; a grammar guarantees the form and not the truth; bound its repetitions.
- The cache saves the common beginning: what never changes goes in front.
- What the pocket model answered here shows mechanisms, not how good Qwen is.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 模型站列出文件、大小和哈希。许可证、大小、空间，下载前就都知道；权重只拿 safetensors 和 GGUF，不碰代码。
- 404，或没登录时的 401：先查拼写；要授权的（401、403）：接受条款，再登录；中途断开就重试，会接着下；拿到指针就装 git-lfs。
- `HF_ENDPOINT` 指定镜像，`modelscope:` 选魔搭，`#sha256=` 核对链接。
- Transformers 和 llama.cpp 给出同样的文字；模板错了，两边都不行。
- 温度改变分布的形状，top-p 砍掉长尾；语法保证格式，不保证正确，重复次数要有上限。
- 提示缓存省下相同的开头：不变的放前面。
- 口袋模型在这里的回答只演示机制，不代表通义千问的水平。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** In the drill, how many bytes did the last request, that of the second `load`, bring?
Compute it from `weights.size`.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 在断线演习里，最后那个请求（第二次 `load` 发出的）带回了多少字节？
用 `weights.size` 来算。
"""

# %% exercise="rest"
rest = None
### BEGIN SOLUTION
rest = weights.size - 1_000_000
### END SOLUTION

# %% check="rest" points=1
from labkit import course

start = int(mirror.ranges(".safetensors")[-1].removeprefix("bytes=").removesuffix("-"))
course.check("get-and-run.rest", rest, weights.size - start)

# %% [markdown] lang="en"
"""
**2.** Write top-p yourself: which token ids are kept?
A token stays if what stands before it, in order of probability, makes up less than `top_p`.
Return a list of ids, the likeliest first.
The check compares with Transformers' own.
"""

# %% [markdown] lang="zh"
"""
**2.** 自己写一个 top-p：留下哪些词元？
按概率从大到小排，排在它前面的概率之和还不到 `top_p`，这个词元就留下。
返回词元编号的列表，最可能的在最前面。
检查时和 Transformers 的结果比。
"""


# %% exercise="top-p"
def nucleus(p, top_p):
    """Ids of the tokens that top-p keeps; p: probabilities, a tensor of one dimension."""
    ### BEGIN SOLUTION
    order = p.argsort(descending=True)
    before = p[order].cumsum(0) - p[order]
    return order[before < top_p].tolist()
    ### END SOLUTION


# %% check="top-p" points=2
def right(top_p):
    scores = TopPLogitsWarper(top_p)(None, logits[None])[0]
    return sorted(scores.isfinite().nonzero().flatten().tolist())


mine = [nucleus(p, top_p) for top_p in (0.5, 0.8, 0.95)]
answered = None if mine[0] is None else [sorted(ids) for ids in mine]
course.check("get-and-run.top-p", answered, [right(top_p) for top_p in (0.5, 0.8, 0.95)])

# %% [markdown] lang="en"
"""
**3.** Write a grammar for an amount of memory: a whole number from 1 to 999 without leading zeros, a blank, and `GB` or `GiB`; nothing else.
"""

# %% [markdown] lang="zh"
"""
**3.** 给内存大小写一个语法：1 到 999 的整数，不能有前导零，一个空格，然后是 `GB` 或 `GiB`，此外什么都不许有。
"""

# %% exercise="gbnf"
amount = None
### BEGIN SOLUTION
amount = 'root ::= [1-9] [0-9]{0,2} " " ("GB" | "GiB")'
### END SOLUTION

# %% check="gbnf" points=2
from labkit.conversation.grammars import allows

TEXTS = ("7 GB", "16 GiB", "999 GB", "0 GB", "08 GB", "1000 GB", "8GB", "8 MB", "8 GB ")
verdicts = amount and {text: allows(engines["llama.cpp"], amount, text) for text in TEXTS}
course.check("get-and-run.gbnf", verdicts, {text: n < 3 for n, text in enumerate(TEXTS)})

# %% [markdown] lang="en"
"""
**4.** The cache holds the tokens of the last prompt.
The next prompt has the same rules, but with the time of day in front of them.
How many of its tokens can be taken from the cache?
Compute it from the token ids of the two prompts, `last` and `next_one`.
The check counts how many were really read.
"""

# %% [markdown] lang="zh"
"""
**4.** 缓存里是上一个提示的词元。
下一个提示的规则相同，只是最前面加上了当前时间。
它有多少个词元可以直接用缓存？
用两个提示的词元编号 `last` 和 `next_one` 来算。
检查时会数实际读了多少。
"""


# %%
def prompt_ids(system, question):
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]


CLOCK = "It is 10:42. "
last = prompt_ids(RULES, "What is 12 + 35?")
next_one = prompt_ids(CLOCK + RULES, "What is 12 + 35?")
print(len(last), len(next_one))

# %% exercise="cached"
cached = None
### BEGIN SOLUTION
same = [a == b for a, b in zip(last, next_one, strict=False)]
cached = same.index(False)
### END SOLUTION

# %% check="cached" points=2
read(RULES, "What is 12 + 35?")
total, really_read = read(CLOCK + RULES, "What is 12 + 35?")
course.check("get-and-run.cached", cached, total - really_read)

# %% [markdown] lang="en"
"""
**5.** Without a check: which of your own prompts begin with something that changes?
Turn one of them around.
"""

# %% [markdown] lang="zh"
"""
**5.** 没有检查的一题：你自己的提示里，有哪些是以会变的内容开头的？
挑一个，把顺序倒过来。
"""

# %%
running.close()

# %% [markdown] lang="en"
"""
## On real models

Restart the kernel.
To fetch, `import labkit as lab` and give `plan_download` and `lab.load` the name `"Qwen/Qwen2.5-0.5B-Instruct"` (for `lab.load` also with `modelscope:` before it).
Then set `MODEL` to that name and run on from "Two engines, one model"; the drills, exercise 1 and `running.close()` need our mirror.
Or GGUF files made by others: `lab.load("Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M")`.
What is fetched once, in 16 bits and in Q4_K_M, and what it takes to run, by our estimate:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

重启内核。下载只需 `import labkit as lab`，再把 `"Qwen/Qwen2.5-0.5B-Instruct"` 交给 `plan_download` 和 `lab.load`（给 `lab.load` 时，前面可加 `modelscope:`）。
然后把 `MODEL` 设成这个名字，从“两个引擎，一个模型”往下运行；故障演习、练习 1 和 `running.close()` 离不开我们的镜像。
也可以直接用别人做好的 GGUF：`lab.load("Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M")`。
16 位和 Q4_K_M 各要下载多少（只下一次）、跑起来占多少内存，我们的估算是：
"""

# %%
from labkit.catalog import find
from labkit.core.units import show_bytes

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B"):
    small = lab.estimate(name, quant="Q4_K_M", context=4096)
    sizes = (2 * find(name).parameters, small.file_size, small.total)
    print(name, *map(show_bytes, sizes), find(name).huggingface)

# %% [markdown] lang="en"
"""
Lesson [[quantization-inside]] opens those four bits up; lesson [[deploy]] puts a model of your own where others can use it.
"""

# %% [markdown] lang="zh"
"""
第 [[quantization-inside]] 课把那 4 位拆开来看；第 [[deploy]] 课把你自己的模型放到别人用得上的地方。
"""
