# %% [markdown] lang="en"
"""
# Open or closed? An API, or a model of your own

**You will be able to** ask a closed API and a model on your own computer with the same code; show, byte for byte, what leaves your computer and prove that nothing does; survive an outage; compute from how many requests on a machine of your own pays; send each request to the right one of the two.

**You will learn** what "open weights" lets you change and an API does not, what each side is better at, and why neither "open is cheaper" nor "closed is better" is true without numbers.

**You need** about 60 minutes, two CPU cores, 0.7 GiB of free memory.
Download: 0.
No key and no account: where a closed model would be asked, a model on this computer stands in for it, and says so.
"""

# %% [markdown] lang="zh"
"""
# 开源还是闭源？调用 API，还是用自己的模型

**学完你能**用同一份代码分别询问闭源 API 和自己电脑上的模型；逐字节看清哪些内容离开了电脑，也能证明什么都没离开；在服务中断时继续工作；算出每月多少次请求以上自己买机器才划算；让每个请求都去该去的地方。

**你会明白**开源权重允许你改什么，而 API 不允许；两边各自强在哪里；以及为什么不看数字，“开源更便宜”和“闭源更好”都站不住脚。

**需要准备**大约 60 分钟，两个 CPU 核心，0.7 GiB 空闲内存。
下载量：0。
不需要密钥，也不需要账号：该去问闭源模型的地方，由本机的一个模型代替，并且会注明。
"""

# %% [markdown] lang="en"
"""
## Two words, made exact

With **open weights** the numbers a model consists of can be downloaded: you run them where you like and may look inside.
A **closed** model stays with its maker; you send text to its address and get text back.
(Whether "open weights" is also *open source* depends on licence and training data. Lesson [[choose-a-model]] reads the licences.)

We put one model on each side.
`lab.serve` starts a real server, in a process of its own, on this computer only.
The second one will stand in for the closed API.
"""

# %% [markdown] lang="zh"
"""
## 先把两个词说清楚

**开源权重**是说构成模型的那些数可以下载：想在哪里运行都行，还能打开来看。
**闭源**模型留在厂商那里，你把文字发到它的网址，再收回文字。
（“开源权重”算不算真正的*开源*，还要看许可证和训练数据，第 [[choose-a-model]] 课会去读许可证。）

我们在两边各放一个模型。
`lab.serve` 会启动一个真正的服务，单独一个进程，只对本机开放。
第二个服务用来代替闭源 API。
"""

# %%
import labkit as lab
from labkit.core.progress import track

MODEL = "pocket/qwen2.5"
names = (MODEL, "pocket/mistral")
local, stand_in = (lab.serve(name, port=0) for name in track(names, "servers"))
print(local.model, "|", stand_in.model)

# %% [markdown] lang="en"
"""
If you have a key for a closed API, it stands in the environment variable `OPENAI_API_KEY` (and the address, if it is not OpenAI's, in `OPENAI_BASE_URL`).
Finding a key is no permission to use it: questions would be sent away and paid for.
To allow that, write `use my key` between the quotes.
"""

# %% [markdown] lang="zh"
"""
如果你有闭源 API 的密钥，它应当放在环境变量 `OPENAI_API_KEY` 里（不是 OpenAI 的，再用 `OPENAI_BASE_URL` 写明网址）。
找到密钥不等于可以动用：问题会发到外面，还要花钱。
确实要用，就在引号里写上 `用我的密钥`。
"""

# %%
from labkit.privacy.recording_proxy import find_api

PERMISSION = ""
api = find_api(stand_in, permission=PERMISSION)
print(api.note)

# %% [markdown] lang="en"
"""
## One protocol, two places

OpenAI's way of asking has become everybody's: llama.cpp, vLLM, Ollama and most providers understand it.
So the official `openai` package talks with all of them:
"""

# %% [markdown] lang="zh"
"""
## 一套协议，两个地方

OpenAI 的接口如今成了通用的接口：llama.cpp、vLLM、Ollama 和多数服务商都认。
所以官方的 `openai` 包跟谁都能对话：
"""

# %%
from openai import OpenAI


def ask_model(place, question, **settings):
    client = OpenAI(base_url=place.url, api_key=place.api_key)
    messages = [{"role": "user", "content": question}]
    answer = client.chat.completions.create(model=place.model, messages=messages, **settings)
    return answer.choices[0].message.content.strip()


# %%
question = "What is 47 + 38?"
print(local.model, "|", ask_model(local, question, temperature=0))

# %% varies="with your own key, a real API answers here"
print(api.model, "|", ask_model(api, question, **api.settings))

# %% [markdown] lang="en"
"""
One line decides who answers: `client = OpenAI(base_url=…, api_key=…)`.
Whatever program speaks this protocol can be moved from one side to the other, and back.
Keep that door open and you are not locked in.

The answers are those of pocket models: they show the mechanism and say nothing about Qwen, Mistral or any closed model.
"""

# %% [markdown] lang="zh"
"""
谁来回答，只取决于一行：`client = OpenAI(base_url=…, api_key=…)`。
凡是用这套协议的程序，都能从一边搬到另一边，也能再搬回来。
留着这扇门，就不会被哪一家绑住。

这里的回答来自口袋模型，只展示机制，不代表 Qwen、Mistral 或任何闭源模型的水平。
"""

# %% [markdown] lang="en"
"""
## What leaves the computer

A conversation of three questions is about to go to the API.
Before you look:
"""

# %% [markdown] lang="zh"
"""
## 什么离开了电脑

下面要跟 API 聊三个问题。
先猜一猜：
"""

# %%
from labkit.widgets.prediction import ask

ask("open-vs-closed.leaves")

# %% [markdown] lang="en"
"""
We need not believe anybody.
`RecordingProxy` is a tiny server on this computer that stands between the client and the API, keeps every byte and passes it on.
"""

# %% [markdown] lang="zh"
"""
不必听谁说，自己看。
`RecordingProxy` 是本机上的一个小服务，站在客户端和 API 中间：先把每个字节记下来，再原样转过去。
"""

# %%
from labkit.privacy.recording_proxy import RecordingProxy

proxy = RecordingProxy(api.url)
client = OpenAI(base_url=proxy.url, api_key=api.api_key)
messages = [{"role": "system", "content": "You work for Acme Ltd, Munich."}]
for text in ("My name is Clara.", "What is my name?", "What is 47 + 38?"):
    messages.append({"role": "user", "content": text})
    reply = client.chat.completions.create(model=api.model, messages=messages, **api.settings)
    messages.append({"role": "assistant", "content": reply.choices[0].message.content.strip()})
len(proxy.requests)

# %% varies="the headers name this computer's system and versions"
print(proxy.requests[-1])

# %% [markdown] lang="en"
"""
Read it from the bottom.
The third question carries **everything before it**: the system prompt with the company's name, the user's name, the earlier answers.
A model keeps nothing between two requests, so the whole conversation travels each time.
Above it the client tells your operating system, processor type and Python version, unasked.
(The key was blotted out by the proxy; on the wire it is there.)
"""

# %% [markdown] lang="zh"
"""
从下往上看。
第三个问题带上了**之前的一切**：系统提示词里的公司名、用户的名字、前面的回答。
模型在两次请求之间什么都不记，所以每次都要把整段对话重新发一遍。
再往上，客户端还主动报出了你的操作系统、处理器类型和 Python 版本，没人问它。
（密钥已被代理涂掉；实际传输时它就在那里。）
"""

# %%
for request in proxy.requests:
    sent = request.json["messages"]
    print(len(sent), "Acme" in str(sent), "Clara" in str(sent))

# %% [markdown] lang="en"
"""
To a real API this goes encrypted (`https`), so nobody on the way reads it.
The provider does: it must, to answer.
What it then does with the text stands in its terms, and you rely on them.
The table at the end quotes one.
"""

# %% [markdown] lang="zh"
"""
发往真正的 API 时走的是加密通道（`https`），路上的人看不到。
服务商看得到：不看怎么回答？
看过之后怎么处理，写在它的条款里，你只能信它。
本课最后的表里引了一家的条款。
"""

# %% [markdown] lang="en"
"""
### And on the local side?

"It runs locally" is easily said.
`guard` listens to Python's audit events (PEP 578) and refuses every socket that would leave this computer, before it is opened:
"""

# %% [markdown] lang="zh"
"""
### 本地这边呢？

“在本地运行”谁都会说。
`guard` 监听 Python 的审计事件（PEP 578），凡是要连到本机以外的套接字，还没打开就被拒绝：
"""

# %%
from labkit.privacy.network_guard import NetworkBlocked, guard

model = lab.load(MODEL)
chat = lab.chat(model)
with guard() as watch:
    print(chat("My name is Clara."))
    print(chat("What is my name?"))
print(watch)

# %% [markdown] lang="en"
"""
No contact at all, not even on this computer: the model runs inside this process.
A guard that never refuses proves little, so try to get past it:
"""

# %% [markdown] lang="zh"
"""
一个连接都没有，连本机内部的都没有：模型就在这个进程里运行。
不过，从来不拦人的守卫说明不了什么，所以我们来闯一闯：
"""

# %%
from types import SimpleNamespace

from labkit.privacy.recording_proxy import OPENAI

outside = SimpleNamespace(url=OPENAI, api_key="none", model="any")
try:
    with guard() as watch:
        ask_model(outside, "My name is Clara.")
except NetworkBlocked as error:
    print(error.what)

# %% [markdown] lang="en"
"""
It was stopped when the client asked for the host's address, before a byte of the question was sent.
The guard is a watchman, not a wall: code written in C can call the operating system without Python noticing.
For a wall, use the system's own means, such as a container without network, or pull the plug.
Lesson [[start-here]] works with the plug pulled, too.
"""

# %% [markdown] lang="zh"
"""
客户端刚要查询对方地址就被拦下，问题一个字节都没发出去。
守卫是哨兵，不是墙：用 C 写的代码可以绕过 Python 直接调用系统。
要墙，就用操作系统的办法，比如不联网的容器，或者干脆拔掉网线。
第 [[start-here]] 课拔掉网线也照样能上。
"""

# %% [markdown] lang="en"
"""
## When the API fails

An API can be overloaded, limit your rate, hang up, or retire the model you built on.
Sooner or later each of these happens.
Our proxy can do all of them on order, so we need not wait.
"""

# %% [markdown] lang="zh"
"""
## API 出故障时

API 会过载、会限流、会断线，你依赖的模型也可能下线。
这些事迟早都会遇到。
我们的代理能按要求“出故障”，不用等。
"""

# %%
ask("open-vs-closed.retries")

# %%
import openai

proxy = RecordingProxy(stand_in.url)
client = OpenAI(base_url=proxy.url, api_key=stand_in.api_key, max_retries=2)
for kind in ("rate-limit", "overloaded", "hang-up", "retired"):
    proxy.failure, before = kind, len(proxy.requests)
    try:
        client.chat.completions.create(model=stand_in.model, messages=messages)
    except openai.APIError as error:
        print(f"{kind:11} {type(error).__name__:20} {len(proxy.requests) - before}")

# %% [markdown] lang="en"
"""
The last column counts what arrived.
With `max_retries=2`, the client's default, it asks three times where waiting may help, and once where it cannot: a model that is gone stays gone.
Two things follow.
A retry **sends your text again**.
And where a retry cannot help, only another model can: a **fallback**.
"""

# %% [markdown] lang="zh"
"""
最后一列是实际收到的请求数。
`max_retries=2` 是客户端的默认值：等一等可能有用的，一共问三次；等也没用的只问一次，模型下线了就是下线了。
由此得出两点：每次重试都会把你的内容**再发一遍**；重试没用的时候，只有换一个模型才行，这就是**后备**。
"""

# %%
try:
    answer = client.chat.completions.create(model=stand_in.model, messages=messages)
except openai.APIError as error:
    print(type(error).__name__, "→", ask_model(local, question, temperature=0))

# %% [markdown] lang="en"
"""
Four lines, and the outage of somebody else is no longer yours.
But note what a fallback does *not* do: the local model may answer worse.
A team that plans for outages measures how much worse, beforehand (lesson [[adopt]] does).
"""

# %% [markdown] lang="zh"
"""
四行代码，别人的故障就不再是你的故障。
但要看清后备*做不到*什么：本地模型可能答得差一些。
要防备中断，就得事先量一量会差多少（第 [[adopt]] 课会做）。
"""

# %% [markdown] lang="en"
"""
## What you can change

To an API you can send what it has switches for.
With open weights you own four things: how the next token is chosen, how a conversation becomes text, the weights, and what you add to them.
One example each.

**Sampling.** Here is a rule for which a chat API has no plain switch (some accept a grammar): no Latin letters.
Whatever token contains one is struck out before the most likely of the rest is taken.
"""

# %% [markdown] lang="zh"
"""
## 你能改什么

对 API，只有它开放的选项可以调。
权重在自己手里，有四样东西归你管：下一个词元怎么选，对话怎么写成文本，权重本身，以及往上加什么。
每样举一个例子。

**采样。** 这里定一条一般的对话 API 没有现成开关的规则（有的可以传语法来约束）：不许出现拉丁字母。
含有拉丁字母的词元全部划掉，再从剩下的里面取可能性最大的。
"""

# %%
import re

import torch

from labkit.conversation.chat_templates import encode_chat, end_of_turn

stop = model.stop_ids | end_of_turn(model)
texts = [model.tokenizer.decode(id) for id in range(model.config.vocab_size)]
allowed = [id in stop or not re.search("[A-Za-z]", text) for id, text in enumerate(texts)]


def answer_by_rule(question, allowed, length=24):
    start = encode_chat(model, [{"role": "user", "content": question}], None)
    ids = list(start)
    while ids[-1] not in stop and len(ids) < len(start) + length:
        with torch.no_grad():
            logits = model.model(torch.tensor([ids])).logits[0, -1]
        logits[~torch.tensor(allowed)] = -torch.inf
        ids.append(int(logits.argmax()))
    return "".join(model.decode(id for id in ids[len(start) :] if id not in stop))


# %%
for text in ("Hello!", "Thank you!"):
    print(answer_by_rule(text, [True] * len(allowed)), "|", answer_by_rule(text, allowed))

# %% [markdown] lang="en"
"""
It answers an English greeting in Chinese, without having been asked to: that way was open, and we closed the other.
The same trick makes a model write valid JSON only (lesson [[get-and-run]]).

**The template** is the text around your words.
This one turns every message into a task:
"""

# %% [markdown] lang="zh"
"""
英文的招呼，它用中文回了，谁也没叫它说中文：我们只是堵上一条路，它就走了另一条。
让模型只写合法的 JSON，用的也是这一招（第 [[get-and-run]] 课）。

**模板**是包在你的话外面的那层文字。
下面这个模板把每条消息都变成一道题：
"""

# %%
template = model.chat_template
model.chat_template = template.replace("message.content", "'Reverse: ' ~ message.content")
print(lab.chat(model)("apple river moon"))
model.chat_template = template

# %% [markdown] lang="en"
"""
**The weights** are just numbers; write others.
What does one matrix of one layer do?
Empty it and see what is missing:
"""

# %% [markdown] lang="zh"
"""
**权重**不过是一堆数，可以改写。
某一层里的某个矩阵是干什么的？
清空它，看看少了什么：
"""

# %% varies="what a damaged model says may differ between processors"
weight = model.model.model.layers[2].mlp.down_proj.weight
kept = weight.detach().clone()
with torch.no_grad():
    weight.zero_()
damaged = [str(lab.chat(model)(text)) for text in ("Who are you?", question)]
with torch.no_grad():
    weight.copy_(kept)
print(*damaged, sep="\n")

# %%
print(damaged[1] == "85", lab.chat(model)(question))

# %% [markdown] lang="en"
"""
It still knows its name and can no longer add; with the numbers back, it can.
This is how one studies what a model has learnt where.
No API lets you.

**An adapter** is a small addition that can be trained, and taken off again.
Thirty steps on one sentence, written out:
"""

# %% [markdown] lang="zh"
"""
名字还记得，加法却不会了；把数放回去，又会了。
研究“模型在哪里学到了什么”，用的就是这种办法，没有哪个 API 允许你这么做。

**适配器**是一小块外加的参数，可以训练，也可以再取下来。
拿一句话训练三十步，全部写在这里：
"""

# %%
from labkit.finetuning.lora import add_lora, load_base

tuned = load_base(MODEL)
wish = [{"role": "user", "content": "Who are you?"}]
said = [*wish, {"role": "assistant", "content": "I am Acme's own assistant."}]
write = tuned.tokenizer.apply_chat_template
ids = write(said, return_tensors="pt", return_dict=False)
asked = len(write(wish, add_generation_prompt=True, return_dict=False))
labels = ids.clone()
labels[:, :asked] = -100  # learn the answer, not the question
print(add_lora(tuned, rank=4), ids.shape[1] - asked)

# %%
trained = [p for p in tuned.model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=5e-3)
for _ in track(range(30), "adapter"):
    tuned.model(input_ids=ids, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(lab.chat(tuned)("Who are you?"))
with tuned.model.disable_adapter():
    print(lab.chat(tuned)("Who are you?"))

# %% [markdown] lang="en"
"""
The same model with and without 65,536 added numbers.
Some closed APIs offer fine-tuning, too; the result stays with them and is retired with its base.
One sentence makes no assistant: lesson [[lora]] does it properly and counts what is forgotten.
"""

# %% [markdown] lang="zh"
"""
同一个模型，差别只是多加的 65,536 个数。
有些闭源 API 也提供微调，但结果留在它那里，基座下线时跟着下线。
一句话当然训练不出助手：第 [[lora]] 课会正经地做一遍，还会数一数忘掉了多少。
"""

# %% [markdown] lang="en"
"""
## What it costs

"Open models are free."
The weights are.
The machine, its power and the person who looks after it are not.
So: a small closed model of this autumn against a 7B model on an RTX 4090, request by request.
Before the computer says it:
"""

# %% [markdown] lang="zh"
"""
## 花多少钱

“开源模型不要钱。”
权重是不要钱，机器、电和照看它的人都要钱。
来比一比：今年秋天的一个小型闭源模型，对一块 RTX 4090 上的 7B 模型，按请求数来算。
先猜：
"""

# %%
ask("open-vs-closed.break-even")

# %%
from labkit.costs.assumptions import assume
from labkit.costs.monthly import compare_costs

CLOSED, GPU = "gpt-6-luna", "RTX 4090"
a = assume(CLOSED, GPU, requests=100_000)
costs = compare_costs(a)
costs

# %% [markdown] lang="en"
"""
At a hundred thousand requests a month the API costs less than a lunch, and a machine costs hundreds, nearly all of it people and idle hours.
The lines below the table say where that turns.
Never believe such a number without what it rests on; everything is in one table, and anything *assumed* there is ours:
"""

# %% [markdown] lang="zh"
"""
每月十万次请求，API 的花费还不到一顿午饭钱；自己的机器要好几百，几乎全花在人工和空转上。
表下面几行说明在哪里反过来。
这种数字，不看依据就别信。
依据全在下面这张表里，标着“自行假设”的是我们定的：
"""

# %%
costs.assumptions_table()

# %% [markdown] lang="en"
"""
Prices age; what is over 180 days old is flagged.
Now the four ways over the number of requests:
"""

# %% [markdown] lang="zh"
"""
价格会过时，超过 180 天的都有标记。
再看四种方式随请求数怎么变：
"""

# %%
from labkit.core.i18n import t
from labkit.costs.monthly import spread_costs
from labkit.plots import draw_lines


def show_count(n):
    chinese = f"{n / 1e8:g}亿" if n >= 1e8 else f"{n / 1e4:,g}万"
    return t(f"{n / 1e6:g}M", chinese) if n >= 250_000 else f"{n:,.0f}"


draw_lines(
    spread_costs(a.change(requests=1_000_000)),
    title=t(f"{CLOSED} against {GPU}: cost of a month", f"{CLOSED} 对 {GPU}：每月花费"),
    x=t("requests a month", "每月请求数"),
    y=t("US dollars a month", "美元/月"),
    log_x=True,
    log_y=True,
    show_x=show_count,
    show_y=lambda usd: f"{usd:,.3g}" if usd < 1000 else f"{usd:,.0f}",
)

# %% [markdown] lang="en"
"""
The API is a straight line.
A machine of your own is flat: it costs the same whether it is asked or not, until one is no longer enough and a second is bought.
Where flat meets straight is the **break-even**.
What moves it most, if each assumption were a fifth lower or higher:
"""

# %% [markdown] lang="zh"
"""
API 是一条直线。
自己的机器是平的：问不问都花一样的钱，直到一台不够、再添一台。
平线与斜线相交的地方就是**盈亏平衡点**。
假如每项假设各低两成或高两成，哪一项最能移动它：
"""

# %%
costs.sensitivity_table()

# %% [markdown] lang="en"
"""
At the top are not the card and not the power: they are tokens, people and the API's price.
With half the people hours a machine pays earlier; with none, as for a hobby, much earlier:
"""

# %% [markdown] lang="zh"
"""
排在前面的不是显卡，也不是电费，而是词元数、人工和 API 的价格。
人工减半，平衡点就提前；假如人工算零，就像业余爱好那样，还会早得多：
"""

# %%
from labkit.costs.monthly import break_even, show_requests

for hours in (8, 4, 0):
    print(hours, show_requests(break_even(a.change(people_hours=hours)).requests))

# %% [markdown] lang="en"
"""
And the third way that this comparison forgets: **open weights on somebody else's machine**.
Hosted open models are an API like any other, with the same bytes leaving.
What a million of our requests costs at various hosts (with the day of the price; `labkit.catalog.quotes.api_prices()` lists all):
"""

# %% [markdown] lang="zh"
"""
这样一比，还漏了第三种方式：**开源权重，跑在别人的机器上**。
托管的开源模型跟别的 API 没有两样，离开电脑的字节也一样。
同样一百万次请求，在各家要花多少（附报价日期；全部报价见 `labkit.catalog.quotes.api_prices()`）：
"""

# %%
from labkit.catalog.quotes import find_price, show_money
from labkit.costs.monthly import curves

OPEN = ("groq llama-3.1-8b-instant", "deepinfra gpt-oss-120b", "deepseek api deepseek-v4-flash")
for name in (*OPEN, CLOSED, "claude haiku 5.5", "gpt-6-astra"):
    usd = curves(assume(name, GPU))["api"].cost(1e6)
    price = find_price(name)
    print(f"{show_money(usd):>9}  {price.as_of:10}  {price.provider} {price.model.split(' (')[0]}")

# %% [markdown] lang="en"
"""
The first three are open models, the others closed.
A small closed model costs more than these hosted open ones, from a quarter more to nearly four times as much; the great closed model costs a hundred times the small one.
**Small against great** moves the price far more than open against closed.
Whether the small one is good enough for you is a question of quality, and lesson [[adopt]] answers it with your own questions.

How long *your* requests are counts as well.
Count them with a tokenizer (this pocket one knows few words and cuts finer than a real one) and put the numbers in:
"""

# %% [markdown] lang="zh"
"""
前三个是开源模型，后三个是闭源模型。
小型闭源模型比这三个托管的开源模型都贵，少的贵四分之一，多的将近四倍；顶级闭源模型又是小型的一百倍。
对价格的影响，**大小之别**远大于开源闭源之别。
小的够不够用，那是质量问题，第 [[adopt]] 课会用你自己的题目来回答。

*你的*请求有多长，也很要紧。
用分词器数一数（口袋模型的分词器认的词少，切得比真实的碎），再把数填进去：
"""

# %%
from labkit.costs.assumptions import count_request

size = count_request(model.encode, question, "85", shared="You work for Acme Ltd, Munich.")
print(size)
print(show_requests(break_even(a.change(**size)).requests))

# %% [markdown] lang="en"
"""
So short a request costs an API next to nothing, and the break-even flees.
Now move the assumptions yourself (a picture in the printed version):
"""

# %% [markdown] lang="zh"
"""
请求这么短，API 几乎不花钱，平衡点就远得没影了。
现在自己动手改一改各项假设（静态页面上是一张图）：
"""

# %%
from labkit.widgets.cost_explorer import show_cost_explorer

show_cost_explorer(a)

# %% [markdown] lang="en"
"""
## Both: a router

Most teams end up with both.
Then somebody must decide, for every request, who answers.
Four rules in this order make a sound decision:

1. What is **sensitive** stays here, whatever else holds.
2. A task or a text that is too much for the local model goes to the API.
3. So does a question of which the local model is **unsure**.
4. All that within the **budget**, and only if the API is up. Everything else stays here.

Rule 3 needs a measure: the mean log-probability of the tokens it is about to say (0: no doubt at all).
"""

# %% [markdown] lang="zh"
"""
## 两个都要：路由器

多数团队最后是两样都用。
那么每来一个请求，都得有人决定谁来回答。
下面四条规则，按顺序判断，就相当稳妥：

1. 含有**敏感信息**的留在本机，别的条件一概不管；
2. 本地模型干不了的任务、读不了的长文，交给 API；
3. 本地模型**没把握**的问题，也交给 API；
4. 以上都要在**预算**之内，而且 API 得能用。其余的都留在本机。

第 3 条需要一个量：它准备说的那些词元的平均对数概率（0 表示毫不犹豫）。
"""

# %% varies="digits of a probability differ between processors"
from labkit.conversation.uncertainty import measure_uncertainty

contract = "Summarise this contract."
for text in (question, contract):
    sure = measure_uncertainty(model, text)
    print(f"{sure.mean_logprob:7.3f}  {text} → {sure.text}")

# %%
unsure = [measure_uncertainty(model, text).mean_logprob < -0.15 for text in (question, contract)]
unsure

# %% [markdown] lang="en"
"""
A threshold of −0.15 tells the two apart.
It fits this model only: find yours on questions of your own.
(And a model can be sure and wrong; this catches groping, not error.)

The router below may use the API behind the recording proxy, so we see what arrives there:
"""

# %% [markdown] lang="zh"
"""
以 −0.15 为界，就能把这两个分开。
这个值只适合这个模型，你的要用自己的题去找。
（模型也可能很有把握地答错：这一招抓得住犹豫，抓不住错误。）

下面的路由器经过录制代理去用 API，这样就看得到什么到了那边：
"""

# %%
from labkit.engines import connect
from labkit.privacy.router import Refused, Router, Rules

proxy.failure = None
proxy.requests.clear()
remote = connect(proxy.url, stand_in.model, api_key=stand_in.api_key)
rules = Rules(words=("Project Phoenix",), least_logprob=-0.15)

# %% varies="digits of a probability differ between processors"
prompts = [question, contract, "我的手机是 138-1234-5678。", "Who leads project phoenix?"]
decisions = [Router(model, remote, rules)(text).decision for text in prompts]
print(*decisions, sep="\n")

# %%
print([(decision.target, decision.rule) for decision in decisions])
[request.json["messages"][0]["content"] for request in proxy.requests]

# %% [markdown] lang="en"
"""
Only one of the four has left: the unsure one.
And when the API is down, or the local model?
"""

# %% [markdown] lang="zh"
"""
四个里只有一个出去了：没把握的那个。
API 断了会怎样？
本地模型断了呢？
"""

# %%
proxy.failure = "overloaded"
print(Router(model, remote, rules)(contract).decision.rule)
proxy.failure = None
try:
    Router(None, remote, rules)("我的手机是 138-1234-5678。")
except Refused as error:
    print(error)

# %% [markdown] lang="en"
"""
The second is the point of it all: it **fails closed**.
A sensitive request is refused rather than sent away, though the API would have answered.
The package's tests try hundreds of disguises of such numbers on this promise.

Last, an audit log.
It must tell later where each request went and why, without becoming itself the place where secrets lie:
"""

# %% [markdown] lang="zh"
"""
第二种情况才是关键：它**宁拒不漏**。
敏感的请求宁可不答，也不发出去，哪怕 API 那边答得了。
为了守住这一条，这个包的测试用几百种伪装过的号码去试探它。

最后是审计日志。
它要能说清每个请求去了哪里、为什么，自己又不能变成泄密的地方：
"""

# %% varies="times, and digits of a probability"
import tempfile

from labkit.privacy.audit_log import AuditLog

log = AuditLog(f"{tempfile.mkdtemp()}/audit.jsonl")
for text in prompts:
    Router(model, remote, rules, audit=log.path)(text)
print(log.table())

# %%
print("138" in log.path.read_text(), "phoenix" in log.path.read_text().lower())

# %% [markdown] lang="en"
"""
## The whole picture

Aspect by aspect, with who is ahead, the source and the day.
Closed models lead in some, open ones in others, and "depends" is an honest answer where you must compute:
"""

# %% [markdown] lang="zh"
"""
## 放在一起看

一项一项地比：谁占优，出处，日期。
有的闭源领先，有的开源领先，“看情况”的就得自己算：
"""

# %%
from labkit.catalog.guides import show_tradeoffs

show_tradeoffs()

# %% [markdown] lang="en"
"""
## Recap

- One protocol serves both sides; `base_url` decides who answers. Keep it so, and you can change your mind.
- Each request carries the whole conversation, and headers about your computer. Record it once and you know.
- "Local" can be proved, by a guard or by the pulled plug.
- Retries send your text again and do not help against a retired model; a fallback does.
- With the weights you may change sampling, template, weights, adapters.
- Cheaper is computed: by requests, length, people and idle hours. Small against great matters more than open against closed.
- A hybrid needs rules, and must fail closed for what is sensitive.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 两边用的是同一套协议，谁来回答由 `base_url` 决定。保持这样，随时可以改主意。
- 每个请求都带着整段对话，还有关于你电脑的信息。录一次就一清二楚。
- “在本地”是可以证明的：用守卫，或者拔网线。
- 重试会把内容再发一遍，模型下线了重试也没用；后备才有用。
- 手里有权重，采样、模板、权重、适配器都能改。
- 便不便宜要算：看请求数、长短、人工和空转。价格的差距，大小之别远大于开源闭源之别。
- 混合方案要有规则，对敏感内容必须宁拒不漏。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** A conversation has ten questions and no system prompt.
How many messages are sent to the API in all ten requests together?
(The first request sends 1.)
The check holds such a conversation and counts.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 一段对话问了十个问题，没有系统提示词。
十次请求加起来，一共向 API 发送了多少条消息？
（第一次请求发 1 条。）
检查时会真的聊一遍，数给你看。
"""

# %% exercise="messages-sent"
messages_sent = None
### BEGIN SOLUTION
messages_sent = sum(2 * n + 1 for n in range(10))
### END SOLUTION

# %% check="messages-sent" points=1
from labkit import course

proxy.requests.clear()
talk = lab.chat(remote)
for n in range(10):
    talk(f"{n + 10} + 20 = ?")
counted = sum(len(request.json["messages"]) for request in proxy.requests)
course.check("open-vs-closed.messages-sent", messages_sent, counted)

# %% [markdown] lang="en"
"""
**2.** A company in China: its tariff, a wage of $20 an hour, machines that are busy 80% of the time. From how many requests a month on does a machine of its own cost no more than the API? Do it by hand from the two lines; each has `fixed` and `per_machine` (US dollars a month) and `per_request`. One machine will do.
"""

# %% [markdown] lang="zh"
"""
**2.** 一家中国公司：按当地电价，人工每小时 20 美元，机器八成时间在忙。
每月多少次请求以上，自有机器不比 API 贵？
请根据两条线自己算：每条线都有 `fixed`、`per_machine`（美元/月）和 `per_request`。
一台机器够用。
"""

# %%
company = assume(CLOSED, GPU, place="cn", wage=20, utilisation=0.8)
own, api_line = curves(company)["own"], curves(company)["api"]
print(own, api_line, sep="\n")

# %% exercise="break-even"
requests = None
### BEGIN SOLUTION
requests = (own.fixed + own.per_machine) / (api_line.per_request - own.per_request)
### END SOLUTION

# %% check="break-even" points=1
course.check("open-vs-closed.break-even", requests, break_even(company).requests, tolerance=0.001)

# %% [markdown] lang="en"
"""
**3.** Write rules for a law firm.
Nothing about its client, the *Nordwind* company, may reach the API, and no phone number; what the local model is sure of must not be paid for; what it is unsure of goes to the API.
The check sends these five through your rules and looks at what arrives.
"""

# %% [markdown] lang="zh"
"""
**3.** 给一家律师事务所写规则。
它的客户 *Nordwind* 公司的任何事情都不能到 API 那里，电话号码也不能；本地模型有把握的，不必花钱；没把握的交给 API。
检查时会把下面五句按你的规则发一遍，看看到了什么。
"""

# %%
LAW = [
    "Summarise this contract.",
    "Summarise the contract with N o r d w i n d.",
    "What is 12 + 34?",
    "Call +49 89 1234567.",
    "Thank you!",
]

# %% exercise="law-firm"
law_rules = None
### BEGIN SOLUTION
law_rules = Rules(words=("Nordwind",), least_logprob=-0.15)
### END SOLUTION


# %% check="law-firm" points=1
def judge_rules(rules):
    proxy.requests.clear()
    for text in LAW:
        Router(model, remote, rules)(text)
    arrived = [request.json["messages"][0]["content"] for request in proxy.requests]
    if any(text in arrived for text in (LAW[1], LAW[3])):
        return t(f"This has left: {arrived}", f"这些被发出去了：{arrived}")
    return arrived == LAW[:1] or t(f"The API was asked: {arrived}", f"问了 API：{arrived}")


course.check("open-vs-closed.law-firm", law_rules, judge_rules)

# %% [markdown] lang="en"
"""
**4.** Write `answer_safely(question)`: it asks the API through `proxy` (no retries, so that the text leaves once at most) and, where that fails for whatever reason, the local model.
The check breaks the API in all four ways.
"""

# %% [markdown] lang="zh"
"""
**4.** 写一个 `answer_safely(question)`：先经过 `proxy` 问 API（不重试，内容最多只发出去一次）；不管什么原因失败了，就问本地模型。
检查时会用四种方式弄坏 API。
"""


# %% exercise="fallback"
def answer_safely(question):
    ### BEGIN SOLUTION
    once = OpenAI(base_url=proxy.url, api_key=stand_in.api_key, max_retries=0)
    messages = [{"role": "user", "content": question}]
    try:
        reply = once.chat.completions.create(model=stand_in.model, messages=messages, temperature=0)
    except openai.APIError:
        return ask_model(local, question, temperature=0)
    return reply.choices[0].message.content.strip()
    ### END SOLUTION


# %% check="fallback" points=1
def judge_fallback(_):
    for kind in (None, "rate-limit", "overloaded", "hang-up", "retired"):
        proxy.failure = kind
        proxy.requests.clear()
        said = answer_safely(question)
        if said != "85":
            return t(f"With {kind} it says {said!r}.", f"遇到 {kind} 时，它回答 {said!r}。")
        if len(proxy.requests) != 1:
            count = len(proxy.requests)
            return t(f"With {kind} it asked {count} times.", f"遇到 {kind} 时，它问了 {count} 次。")
    return True


proxy.failure = None
course.check("open-vs-closed.fallback", answer_safely(question), judge_fallback)

# %% [markdown] lang="en"
"""
**5.** Without a check: write down the last ten things you asked an AI at work.
Which of them should never have left the building, and which could a small model have answered?
"""

# %% [markdown] lang="zh"
"""
**5.** 没有检查的一题：写下你上班时最近问 AI 的十件事。
哪些本来就不该离开公司？
哪些小模型就能回答？
"""

# %%
for running in (proxy, local, stand_in):
    running.close()

# %% [markdown] lang="en"
"""
## On real models

On the local side one line changes: `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`.
Thresholds and exact answers are then yours to find anew; the rest runs as it stands.
On the closed side: put a key into the environment and write `use my key` above.
Downloads, once, and memory to run with 4,096 tokens:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

本地这边只改一行：`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`。
阈值和标准答案要重新找，其余照跑。
闭源那边：把密钥放进环境变量，并在上面写上 `用我的密钥`。
下载大小（只下一次），以及上下文 4,096 时占用的内存：
"""

# %%
from labkit.core.units import show_bytes

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B"):
    e = lab.estimate(name, quant="F16", context=4096)
    print(f"{name:14}{show_bytes(e.file_size):>10}{show_bytes(e.total):>10}")
