# %% [markdown] lang="en"
"""
# ChatGLM: half-turned positions, two languages, and a model that uses tools

**You will be able to** name what sets ChatGLM apart inside and show each point in a model of its class; question a model both ways between English and Chinese and count; write an agent loop in a dozen lines, with the observation role; run the real ChatGLM3 today, although its own code no longer loads.

**You will learn** what positions are left out of, what the strange tokens at the start are, who does the work when a model "uses" a tool, and why a model can be lost through the code around it.

**You need** about 50 minutes, two CPU cores, 0.6 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# ChatGLM：只转一半的位置、两种语言、会用工具的模型

**学完你能**说出 ChatGLM 内部同别家不一样的地方，并在同类模型里逐条指给人看；用中英文互相提问并统计结果；用十来行代码写出一个智能体循环，用上 observation 角色；在它自带的代码已经加载不了的今天，把真正的 ChatGLM3 跑起来。

**你会明白**位置信息没有放进哪里，开头那几个奇怪的词元是什么，模型“使用”工具时到底是谁在干活，以及为什么一个模型会因为外围代码而用不成。

**需要准备**大约 50 分钟，两个 CPU 核心，0.6 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## The family

ChatGLM-6B of March 2023 was the first open model with which many people in China talked at home.
It comes from Tsinghua University and Zhipu AI (today Z.ai).
The course works with its third version and the one after that:
"""

# %% [markdown] lang="zh"
"""
## 家族成员

2023 年 3 月的 ChatGLM-6B，是国内许多人在自己电脑上聊过的第一个开源模型，出自清华大学和智谱 AI（国际品牌名 Z.ai）。
课程用的是第三代，以及它的下一代：
"""

# %%
from labkit.catalog import find, models

for m in models():
    if m.family == "glm" and m.course:
        print(f"{m.name:14}{m.release_date}{m.parameters / 1e9:6.1f}B{m.context:>8,}  {m.license}")

# %%
import labkit as lab

MODEL = "pocket/chatglm3"
model = lab.load(MODEL)
network = model.model
print(type(network).__name__, f"{network.num_parameters():,}")

# %% [markdown] lang="en"
"""
## Two groups of keys and values

The real ChatGLM3 has 32 query heads in a layer and only 2 key-value heads (its config says `multi_query_group_num`).
What one token leaves in the cache, in 16 bits, beside two models of its time:
"""

# %% [markdown] lang="zh"
"""
## 两组键和值

真实的 ChatGLM3 每层有 32 个查询头，却只有 2 个 KV 头（配置里叫 `multi_query_group_num`）。
每个词元在缓存里留下多少，16 位，同当时的两个模型比：
"""

# %%
for name in ("Llama-2-7B", "Mistral-7B-v0.1", "ChatGLM3-6B"):
    m, per_token = find(name), lab.estimate(name, context=4096).kv_cache // 4096
    print(f"{name:17}{m.config['num_attention_heads']}/{m.num_key_value_heads:<4}{per_token:>9,} B")

# %% [markdown] lang="en"
"""
An eighteenth of Llama 2's: sixteen times fewer heads, and 28 layers in place of 32.
Few went so far; the price is that all queries of a group must make do with the same keys.
In the pocket model, four query heads and two groups:
"""

# %% [markdown] lang="zh"
"""
只有 Llama 2 的十八分之一：头少到十六分之一，层数又是 28 而不是 32。
很少有人省到这个地步；代价是同一组的查询只能共用同一套键。
口袋模型里是四个查询头、两组：
"""

# %%
attention = network.model.layers[0].self_attn
for name, weight in attention.named_parameters():
    print(f"{name:15}{tuple(weight.shape)}")

# %% [markdown] lang="en"
"""
## A bias where others have none

Three of these vectors are a peculiarity: query, key and value get a **bias**, while all other layers have none.
Llama has no bias at all; Qwen2.5 has the same three (lesson [[qwen]]).
They are nearly free:
"""

# %% [markdown] lang="zh"
"""
## 别家没有的偏置

上面有三个向量是它的特色：查询、键、值都加了**偏置**，其余各处一概没有。
Llama 完全不用偏置；Qwen2.5 也在这三处加了（第 [[qwen]] 课）。
几乎不花钱：
"""

# %%
biases = [weight.numel() for name, weight in network.named_parameters() if name.endswith("bias")]
print(len(biases), sum(biases), f"{sum(biases) / network.num_parameters():.2%}")

# %% [markdown] lang="en"
"""
## Half of a head turns

Lesson [[yi]] explains rotary positions: numbers of a query or key are turned in pairs, by an angle that grows with the position.
GLM turns only **half** of them.
We take a query of ones and put it at sixteen positions:
"""

# %% [markdown] lang="zh"
"""
## 一个头只转一半

第 [[yi]] 课讲旋转位置：查询和键里的数两两配对，按位置转一个角度。
GLM 只转其中**一半**。
拿一个全是 1 的查询，放到十六个位置上：
"""

# %%
import torch
from transformers.models.glm.modeling_glm import apply_rotary_pos_emb

torch.set_grad_enabled(False)
ones = torch.ones(1, 1, 16, network.config.head_dim)
cos, sin = network.model.rotary_emb(ones, torch.arange(16)[None])
turned, _ = apply_rotary_pos_emb(ones, ones, cos, sin)
turned = turned[0, 0]
print(tuple(turned.shape), tuple(network.model.rotary_emb.inv_freq.shape))

# %%
from labkit.core.i18n import t
from labkit.plots import draw_heatmap

draw_heatmap(
    turned.tolist(),
    range(16),
    range(network.config.head_dim),
    title=t("A query of ones at sixteen positions", "全 1 的查询，放在十六个位置上"),
    x=t("number of the head", "头里的第几个数"),
    y=t("position", "位置"),
    values_shown=False,
)

# %%
still = (turned == turned[0]).all(0).nonzero().flatten()
print(len(still), int(still[0]))

# %% [markdown] lang="en"
"""
The second half stays as it is wherever the token stands.
So a score has two parts: one that knows the distance, and one that knows only the content.
Take a query and a key, and move them further and further apart: which part of their score changes?
"""

# %% [markdown] lang="zh"
"""
后一半无论在哪个位置都不变。
于是注意力的得分由两部分组成：一部分知道距离，一部分只看内容。
取一个查询、一个键，把距离越拉越大，看得分里哪一部分变：
"""


# %%
def score(distance):
    states = torch.randn(2, 1, 1, 1, 64, generator=torch.Generator().manual_seed(1))
    parts = []
    for state, position in zip(states, (distance, 0), strict=True):
        cos, sin = network.model.rotary_emb(state, torch.tensor([[position]]))
        parts.append(apply_rotary_pos_emb(state, state, cos, sin)[0].flatten())
    product = parts[0] * parts[1]
    return float(product[:32].sum()), float(product[32:].sum())


for distance in (0, 1, 10, 100):
    print(f"{distance:4}" + "".join(f"{part:8.2f}" for part in score(distance)))

# %% [markdown] lang="en"
"""
Why just a half?
The first GLM gave each token *two* positions, one in the text and one inside the blank that is being filled (Du et al. 2021, arXiv:2103.10360; the next section explains the blanks).
ChatGLM-6B turned one half of each head by the first and the other half by the second (its modeling code).
ChatGLM2 and 3 have only one position left, and one half stands still.
GLM-4.5 kept that, and it is not the only one that turns a part; the share that turns:
"""

# %% [markdown] lang="zh"
"""
为什么偏偏是一半？
最早的 GLM 给每个词元标*两个*位置：一个是在全文里的，一个是在所填的空里的（Du 等，2021，arXiv:2103.10360；填空的事下一节讲）。
ChatGLM-6B 的每个头，一半按第一个位置转，另一半按第二个转（见它的模型代码）。
到了 ChatGLM2、3，位置只剩一个，另一半就不转了。
GLM-4.5 沿用至今；只转一部分的，也不止这一家。
转的比例是：
"""

# %%
for name in ("ChatGLM3-6B", "GLM-4-9B-0414", "GLM-4.5-Air", "Phi-4-mini", "Qwen3.5-9B"):
    print(f"{name:15}", find(name).config.get("partial_rotary_factor", "half, in its own code"))

# %% [markdown] lang="en"
"""
## What stands at the beginning

Every conversation begins with two tokens that no one typed:
"""

# %% [markdown] lang="zh"
"""
## 开头是什么

每段对话的开头，都有两个谁也没有输入过的词元：
"""

# %%
from labkit.conversation.chat_templates import encode_chat

ids = encode_chat(model, [{"role": "user", "content": "水的英文是什么？"}], None)
print([model.tokenizer.decode(id) for id in ids])

# %% [markdown] lang="en"
"""
They are a trace of how GLM was taught.
It learnt by **filling blanks**: `[MASK]` stood for a short gap, `[gMASK]` for a long one at the end, and `<sop>` for "start of piece", where the missing text begins.
To chat is to fill the long gap at the end.
ChatGLM2 and 3 read strictly from left to right like all others, but the two tokens stayed, for the model has never seen a text without them.

Do they matter?
The share of right answers with and without, in the pocket model:
"""

# %% [markdown] lang="zh"
"""
这是 GLM 当年学习方式留下的痕迹。
它是靠**填空**学会语言的：`[MASK]` 代表一小段空白，`[gMASK]` 代表末尾的一长段空白，`<sop>` 是“片段开始”，从这里起写出缺的内容。
聊天，就是填末尾那段长空白。
到了 ChatGLM2、3，已经和别家一样严格从左往右读，但这两个词元留了下来，因为模型从没见过没有它们的文本。

它们重要吗？
看口袋模型有它们和没有它们时，各答对多少：
"""

# %%
from labkit.evaluation.scoring import answers
from labkit.pocket.corpus import held_out

items = [item for skill in ("sums", "lexicon", "reverse") for item in held_out(skill, 20)]


def right(template=None):
    tokenizer = model.tokenizer
    kept, tokenizer.chat_template = tokenizer.chat_template, template or tokenizer.chat_template
    pairs = list(answers(network, tokenizer, items))
    tokenizer.chat_template = kept
    return sum(said == wanted for said, wanted in pairs) / len(pairs)


whole = right()
without = right(model.tokenizer.chat_template.replace("[gMASK]<sop>", ""))
print("most are right with them:", whole > 0.7)

# %% varies="answers follow the weights"
print(f"{whole:.0%} {without:.0%}")

# %% [markdown] lang="en"
"""
If the two figures are close, our small model forgives the missing start.
Do not count on that in a large one: it is a text unlike all it was trained on, and what happens then is chance.
A program should take the template that came with the model.
"""

# %% [markdown] lang="zh"
"""
如果两个数差不多，说明这个小模型不介意缺了开头。
换成大模型可别指望：那等于给它一段和训练时全都不同的文本，结果如何全凭运气。
程序该做的，是老老实实用模型自带的模板。
"""

# %% [markdown] lang="en"
"""
## Both ways between two languages

ChatGLM was built for Chinese and English alike.
We ask both ways and count each for itself, with its interval: words by the language of the *answer* (from Chinese into English and back), facts by the language of the *question*.
"""

# %% [markdown] lang="zh"
"""
## 两种语言，两个方向

ChatGLM 从设计起就中英并重。
两个方向都考，分开统计，并给出置信区间：单词按*回答*的语言分（中译英、英译中），事实按*提问*的语言分。
"""

# %%
chat = lab.chat(model)
for question in ("What is water in Chinese?", "水的英文是什么？", "Who made ChatGLM3-6B?"):
    chat.reset()
    print(question, "→", chat(question))

# %%
from labkit.evaluation.scoring import score as rate


def by_language(skill, place, count=100):
    found = {}
    pairs = held_out(skill, count)
    for item, (said, wanted) in zip(pairs, answers(network, model.tokenizer, pairs), strict=True):
        language = "en" if item.messages[place]["content"].isascii() else "zh"
        found.setdefault(language, []).append(said == wanted)
    return {language: rate(sum(hits), len(hits)) for language, hits in sorted(found.items())}


results = {"lexicon": by_language("lexicon", -1), "facts": by_language("facts", 0)}
print("both languages:", all(r.share > 0.6 for row in results.values() for r in row.values()))

# %% varies="answers follow the weights"
for skill, row in results.items():
    for language, r in row.items():
        print(f"{skill:9}{language} {r.right:3}/{r.count:<3} {r.low:4.0%}–{r.high:.0%}")

# %% [markdown] lang="en"
"""
Read the intervals before you say that one language is weaker.
Where they overlap widely, a hundred questions are too few to tell.
"""

# %% [markdown] lang="zh"
"""
先看置信区间，再说哪种语言更弱。
两个区间大幅重叠，就说明一百道题还不足以分出高下。
"""

# %% [markdown] lang="en"
"""
## Roles

Besides `<|system|>`, `<|user|>` and `<|assistant|>` ChatGLM3 has a fourth role of its own, `<|observation|>`: what came back from the world.
A whole conversation with a tool, as the model reads it:
"""

# %% [markdown] lang="zh"
"""
## 角色

除了 `<|system|>`、`<|user|>`、`<|assistant|>`，ChatGLM3 还有第四个角色 `<|observation|>`（观察）：外面的世界返回了什么。
一段用了工具的完整对话，模型读到的是这样：
"""

# %%
from labkit.conversation.chat_templates import render
from labkit.pocket.corpus import TOOLS

call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
talk = [
    {"role": "user", "content": "How is the weather in Paris?"},
    {"role": "assistant", "content": "", "tool_calls": [call]},
    {"role": "tool", "content": '{"degrees": "21"}'},
    {"role": "assistant", "content": "It is 21 degrees in Paris."},
]
print(render(model.chat_template, talk, [TOOLS["get_weather"]], add_generation_prompt=False))

# %% [markdown] lang="en"
"""
OpenAI's word for the role is `tool`; the template writes it as this family was taught.
The call is the name on the assistant's line and the arguments as JSON below.
(JSON is GLM-4's way, as in our pocket model; ChatGLM3 itself wrote a line of Python, `tool_call(city='Paris')`.)
The answer ends where the next role begins, so `<|user|>` and `<|observation|>` are end tokens too.
"""

# %% [markdown] lang="zh"
"""
这个角色 OpenAI 叫 `tool`，模板会写成这一家学过的样子。
调用的写法是：assistant 那一行写工具名，下一行起用 JSON 写参数。
（用 JSON 是 GLM-4 的写法，口袋模型照它来；ChatGLM3 自己写的是一行 Python：`tool_call(city='Paris')`。）
下一个角色一出现，回答就结束，所以 `<|user|>` 和 `<|observation|>` 也是结束词元。
"""

# %%
sorted(model.tokenizer.decode(id) for id in model.stop_ids)

# %% [markdown] lang="en"
"""
## An agent

Without tools, a question beyond what its weights hold gets a number all the same:
"""

# %% [markdown] lang="zh"
"""
## 智能体

没有工具的时候，问题超出了权重里的本事，它照样报出一个数：
"""

# %% varies="answers follow the weights"
chat.reset()
print(chat("What is 312 times 456?"), "≠", 312 * 456)

# %%
from labkit.widgets.prediction import ask

ask("chatglm.who")

# %% [markdown] lang="en"
"""
Two tools. The calculator must never be Python's `eval`: a model writes the expression, and whoever can steer the model could then run anything.
We walk the parsed expression and allow four operations on numbers:
"""

# %% [markdown] lang="zh"
"""
准备两个工具。
计算器绝不能用 Python 的 `eval`：表达式是模型写的，谁能影响模型，谁就能借它执行任何代码。
这里先解析，再逐层检查，只放行数字的四则运算：
"""

# %%
import ast
import operator

ALLOWED = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def value(node):
    if isinstance(node, ast.BinOp) and type(node.op) in ALLOWED:
        return ALLOWED[type(node.op)](value(node.left), value(node.right))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    raise ValueError("only numbers and + - * /")


# %%
def calculate(expression):
    return {"value": str(value(ast.parse(expression, mode="eval").body))}


def get_weather(city):  # a real one would ask a service; the course stays offline
    return {"degrees": str(sum(map(ord, city)) % 40)}


TOOLBOX = {"calculate": calculate, "get_weather": get_weather}
print(calculate("312*456"), get_weather("Paris"), get_weather("巴黎"))

# %% [markdown] lang="en"
"""
And the agent, which is a loop: ask; while the model asks for a tool, run it and give the observation back; stop when it answers in words.
Errors go back as observations too, and the number of steps is bounded.
"""

# %% [markdown] lang="zh"
"""
智能体其实就是一个循环：提问；只要模型要求用工具，就执行，把观察结果交回去；等它用文字作答就停。
出错也作为观察结果交回去，步数还要有上限。
"""


# %%
def run(chat, question, steps=4):
    reply = chat(question)
    for _ in range(steps):
        if not reply.tool_calls:
            break
        for call in reply.tool_calls:
            try:
                result = TOOLBOX[call.name](**call.arguments)
            except (KeyError, TypeError, ValueError, SyntaxError, ZeroDivisionError) as error:
                result = {"error": repr(error)}
            chat.add_tool_result(result, call.name)
        reply = chat()
    return reply


# %% varies="answers follow the weights"
agent = lab.chat(model, tools=[TOOLS[name] for name in TOOLBOX])
for question in ("What is 312 times 456?", "巴黎的天气怎么样？"):
    agent.reset()
    print(question, "→", run(agent, question))

# %% varies="answers follow the weights"
for message in agent.history:
    calls = [call["function"] for call in message.get("tool_calls", ())]
    print(f"{message['role']:10}", calls or message["content"])

# %% [markdown] lang="en"
"""
The loop works. Does the model?
Before any figure, three trials: the calculator under another name, a list without a fitting tool, and a greeting that needs none.
Left of the bar is what was offered and asked, right of it what was called:
"""

# %% [markdown] lang="zh"
"""
循环没问题，模型呢？
先不报数字，试三次：计算器换个名字；清单里没有合适的工具；打个招呼，用不着工具。
竖线左边是给了什么、问了什么，右边是它调用了什么：
"""

# %%
from copy import deepcopy

renamed, orders = deepcopy(TOOLS["calculate"]), deepcopy(TOOLS["get_weather"])
renamed["function"]["name"] = "multiply"
orders["function"] |= {"name": "list_orders", "description": "Orders from a city"}
trials = (
    ([renamed], "What is 312 times 456?", ["multiply"]),
    ([orders], "How is the weather in Paris?", []),
    (list(TOOLS.values()), "Hello!", []),
)

# %% varies="what a model does with a list it has never met may differ between processors"
fitting = 0
for offered, question, wanted in trials:
    called = [
        c.name for c in lab.chat(model, tools=offered, max_new_tokens=60)(question).tool_calls
    ]
    print(*(tool["function"]["name"] for tool in offered), "·", question, "|", *called)
    fitting += called == wanted

# %%
print(fitting, "/", len(trials))

# %% [markdown] lang="en"
"""
Wrong three times, as in lesson [[qwen]]: **this model does not read the list of tools.**
In all it learnt from, the right tool was offered and a tool was needed, so it writes the call that belongs to the question, whatever is offered.
A real model must read the list; give it these trials first.

So the next figure is about a lesser thing: questions about weather and products in the wordings of its corpus, with both tools offered under the names it knows; only cities and numbers are combined anew.
Judged by the tool's own result: the right number must stand in the final answer.
"""

# %% [markdown] lang="zh"
"""
三次全错，和第 [[qwen]] 课一样：**这个模型没有读工具清单。**
它学的对话里，合适的工具总在清单上，也总要用工具，所以不管给它什么，它都写出那类问题对应的调用。
真实模型必须会读清单；先拿这三道题试它。

所以下面这个数，说的是少一点的本事：只问天气和乘法，问法是语料里的，两个工具都给，名字也是它熟悉的，只有城市和数字的搭配是新的。
用工具自己的结果来判：最后的回答里必须有正确的数。
"""

# %%
asked = [item.messages[0]["content"] for item in held_out("tools", 60) if len(item.messages) == 2]
asked = [q for q in asked if "ranslat" not in q and "翻译" not in q][:16]
done = 0
for question in asked:
    agent.reset()
    answer = str(run(agent, question))
    results = [m["content"] for m in agent.history if m["role"] == "tool"]
    done += bool(results) and results[-1].split('"')[3] in answer
print("most are carried through:", done >= 0.6 * len(asked))

# %% varies="answers follow the weights"
print(done, "/", len(asked))

# %% [markdown] lang="en"
"""
The number in the answer comes from the tool, digit for digit; what can fail here is the call or the copying.
Note what the loop does **not** do: ask a person before something is sent, bought or deleted.
Lesson [[adopt]] returns to that; lesson [[qwen]] forces a call into its schema with a grammar.
"""

# %% [markdown] lang="zh"
"""
回答里的数来自工具，一位不差；在这里会出错的是调用和抄写。
也要看到这个循环**没有**做什么：要发送、购买、删除之前，它不会先问人。
第 [[adopt]] 课会再谈；第 [[qwen]] 课用语法约束，保证调用符合格式。
"""

# %% [markdown] lang="en"
"""
## Running the real ChatGLM3 today

Its weights are on the Hub, and cannot be loaded.
ChatGLM3 came with Python code of its own, written for the Transformers of 2023; that code breaks in today's version, and Transformers has never had a class for it.
Here is the attempt, with nothing but its configuration:
"""

# %% [markdown] lang="zh"
"""
## 今天怎样运行真正的 ChatGLM3

权重还在 Hub 上，却加载不了。
ChatGLM3 自带一份 Python 代码，是照着 2023 年的 Transformers 写的，放到今天的版本里就出错；而 Transformers 自己从来没有收录过它的类。
只拿它的配置来试一次：
"""

# %%
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

for model_type in ("chatglm", "glm", "glm4", "glm4_moe"):
    print(f"{model_type:10}{model_type in CONFIG_MAPPING}")

# %%
try:
    CONFIG_MAPPING[find("ChatGLM3-6B").config["model_type"]]
except KeyError as error:
    print("not known to Transformers:", error)

# %% [markdown] lang="en"
"""
(Do not bring the old code back with `trust_remote_code=True`: it runs whatever the repository contains.)
The way that works is **GGUF**. llama.cpp knows the architecture by itself, so nobody's Python is needed to run it:
"""

# %% [markdown] lang="zh"
"""
（不要为了它打开 `trust_remote_code=True`：那等于执行仓库里的任何代码。）
走得通的路是 **GGUF**。
llama.cpp 自己认得这个架构，运行时不需要谁的 Python 代码：
"""

# %%
import gguf

print([name for name in gguf.MODEL_ARCH_NAMES.values() if "glm" in name])
cpp = lab.load(MODEL, "llama.cpp")
print(cpp.config["general.architecture"], cpp.config["chatglm.attention.head_count_kv"])

# %% varies="two programs may differ in a last digit"
both = [lab.chat(each) for each in (model, cpp)]
for question in ("What is water in Chinese?", "水的英文是什么？"):
    for each in both:
        each.reset()
    print(*(each(question) for each in both))

# %% [markdown] lang="en"
"""
Our pocket model travels under the very architecture of the real ChatGLM3, `chatglm`.
For the real one, the lines; making the file needs llama.cpp's converter, which runs the model's own tokenizer code, so do that once, in a container:
"""

# %% [markdown] lang="zh"
"""
口袋模型转成 GGUF 之后，用的正是真实 ChatGLM3 的架构名 `chatglm`。
真实模型的命令如下。
制作这个文件要用 llama.cpp 的转换脚本，它会执行模型自带的分词器代码，所以请在容器里做，做一次就够：
"""

# %%
lab.run_lines("ChatGLM3-6B")

# %% varies="this machine's memory"
lab.run_lines("ChatGLM3-6B").here()

# %% [markdown] lang="en"
"""
Its heirs have no such trouble.
GLM-4 is a class of Transformers (`glm`; our pocket model is one), and GLM-4-0414 too (`glm4`):
"""

# %% [markdown] lang="zh"
"""
后继者没有这个麻烦。
GLM-4 在 Transformers 里有自己的类（`glm`，口袋模型用的就是它），GLM-4-0414 也有（`glm4`）：
"""

# %%
lab.run_lines("GLM-4-9B-0414")

# %% varies="this machine's memory"
lab.run_lines("GLM-4-9B-0414").here()

# %% [markdown] lang="en"
"""
Prefer models that Transformers and llama.cpp run *by themselves*.
A model that needs its maker's script lives as long as someone keeps the script alive.
"""

# %% [markdown] lang="zh"
"""
选型时，优先选 Transformers 和 llama.cpp *自己就能跑*的。
要靠作者脚本才能跑的模型，脚本没人维护了，模型也就用不成了。
"""

# %% [markdown] lang="en"
"""
## What became of the family
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了
"""

# %%
lab.heirs("glm")

# %% [markdown] lang="en"
"""
The licence is part of the story: ChatGLM3 asks for a registration before commercial use, today's GLM is under MIT.
The large ones are mixtures of experts (lesson [[deepseek]]) with hundreds of billions of parameters.
"""

# %% [markdown] lang="zh"
"""
许可证也是故事的一部分：ChatGLM3 商用前要登记，如今的 GLM 用的是 MIT。
大的几款都是混合专家模型（第 [[deepseek]] 课），参数有几千亿。
"""

# %% [markdown] lang="en"
"""
## Strengths, limits, when to use it

**Strengths.** Chinese; a very small cache; roles for tools from early on; heirs that are strong at code and agents.
**Limits.** ChatGLM3 itself: old code, 8,192 tokens, a licence that asks for registration, overtaken in every score.
Small new models are rare in the family.

**Use it when** an existing system runs on ChatGLM3 (as GGUF), or for Chinese and agents with a machine for GLM-4.7-Flash and larger.
**Take another** for a small model today (lesson [[qwen]]).
"""

# %% [markdown] lang="zh"
"""
## 长处、短处与用处

**长处**：中文；缓存极小；很早就有了工具角色；后继者写代码、做智能体很强。
**短处**：ChatGLM3 本身代码老、上下文只有 8,192、商用要登记，各项成绩都已被超过；这一家少有新的小模型。

**适合**：已有系统跑在 ChatGLM3 上（用 GGUF）；或者有一台跑得动 GLM-4.7-Flash 及更大型号的机器，要做中文和智能体。
**换别的**：今天要一个小模型（见第 [[qwen]] 课）。
"""

# %%
lab.published_scores(
    ["ChatGLM3-6B", "GLM-4-9B", "Llama-3-8B"], ["MMLU", "C-Eval", "GSM8K", "MATH", "HumanEval"]
)

# %% [markdown] lang="en"
"""
Compare rows with the same number only.
Where the table gives ChatGLM3 more than once, look at the protocols: who measured, with how many examples, in what form.
"""

# %% [markdown] lang="zh"
"""
只比较编号相同的行。
表里 ChatGLM3 出现了不止一次，看看评测方式：谁测的，给几个示例，用什么题型。
"""

# %% [markdown] lang="en"
"""
## Recap

- Two key-value groups for 32 heads, a bias on query, key and value, positions in half of each head, `[gMASK]<sop>` in front: that is GLM inside.
- A model's roles are special tokens; take its own template.
- The model asks for a tool, your program runs it, the result comes back as an observation. An agent is that in a loop, with a limit.
- Our pocket model does not read which tools it is offered. Whether a model does, three trials show.
- Never `eval` what a model writes.
- ChatGLM3 runs today as GGUF; its heirs run everywhere.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 32 个头只有两组键值、查询键值都带偏置、每个头只有一半带位置、开头是 `[gMASK]<sop>`：这就是 GLM 的内部。
- 模型的角色就是特殊词元；要用它自带的模板。
- 模型提出要用工具，执行的是你的程序，结果以观察的身份回来。把这件事放进有上限的循环，就是智能体。
- 我们的口袋模型并不读给了它哪些工具。一个模型读不读，试三次就知道。
- 模型写的东西，永远不要 `eval`。
- ChatGLM3 如今用 GGUF 跑；它的后继者在哪里都能跑。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** How many bytes does one token of ChatGLM3 leave in the cache, in 16 bits?
Mind the names in its configuration.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** ChatGLM3 的一个词元在缓存里留下多少字节？
按 16 位算。
注意它配置里的名字。
"""

# %%
config = find("ChatGLM3-6B").config
config

# %% exercise="two-groups"
per_token = None
### BEGIN SOLUTION
per_token = 2 * config["num_layers"] * config["multi_query_group_num"] * config["kv_channels"] * 2
### END SOLUTION

# %% check="two-groups" points=1
from labkit import course

real = lab.estimate("ChatGLM3-6B", context=4096).kv_cache // 4096
course.check("chatglm.two-groups", per_token, real)

# %% [markdown] lang="en"
"""
**2.** Turn half a head yourself.
`x` holds the numbers of one head; the first half is turned in neighbouring pairs (0 and 1, 2 and 3, …), pair *i* by the angle `position * base ** (-2 * i / (d / 2))`, where *d* is the number of numbers.
The second half stays.
The check compares with Transformers.
"""

# %% [markdown] lang="zh"
"""
**2.** 亲手转半个头。
`x` 是一个头里的数；前一半按相邻两两配对（0 和 1，2 和 3，……），第 *i* 对转过的角度是 `position * base ** (-2 * i / (d / 2))`，*d* 是数的个数；后一半不动。
检查时同 Transformers 对照。
"""


# %% exercise="half-turn"
def turn_half(x, position, base=10000.0):
    ### BEGIN SOLUTION
    half = len(x) // 2
    angles = position * base ** (-2 * torch.arange(half // 2) / half)
    first, second = x[:half:2], x[1:half:2]
    pairs = (
        first * angles.cos() - second * angles.sin(),
        first * angles.sin() + second * angles.cos(),
    )
    return torch.cat([torch.stack(pairs, dim=-1).flatten(), x[half:]])
    ### END SOLUTION


# %% check="half-turn" points=2
x = torch.randn(64, generator=torch.Generator().manual_seed(2))
cos, sin = network.model.rotary_emb(x, torch.tensor([[17]]))
expected = apply_rotary_pos_emb(x[None, None, None], x[None, None, None], cos, sin)[0].flatten()
course.check(
    "chatglm.half-turn",
    turn_half(x, 17, network.config.rope_parameters["rope_theta"]),
    lambda mine: torch.allclose(mine, expected, atol=1e-4),
)

# %% [markdown] lang="en"
"""
**3.** Give the agent a third tool: `translate(word)` returns `{"translation": …}`, both ways between English and Chinese.
`LEXICON` maps English words to Chinese ones.
An unknown word raises a `ValueError`.
The check calls your function, and then lets the agent use it.
"""

# %% [markdown] lang="zh"
"""
**3.** 给智能体加第三个工具：`translate(word)` 返回 `{"translation": …}`，中英互译。
`LEXICON` 是英文到中文的词典；查不到的词抛出 `ValueError`。
检查时先直接调用你的函数，再让智能体去用它。
"""

# %% exercise="third-tool"
from labkit.pocket.words import LEXICON


def translate(word):
    ### BEGIN SOLUTION
    known = LEXICON | {chinese: english for english, chinese in LEXICON.items()}
    if word not in known:
        raise ValueError(f"no translation of {word!r}")
    return {"translation": known[word]}
    ### END SOLUTION


# %% check="third-tool" points=2
def judge(tool):
    if tool("water") != {"translation": "水"} or tool("水") != {"translation": "water"}:
        return t("It does not translate both ways.", "还不能双向翻译。")
    try:
        tool("xyzzy")
        return t("An unknown word must raise a ValueError.", "查不到的词要抛出 ValueError。")
    except ValueError:
        pass
    TOOLBOX["translate"] = tool
    helper = lab.chat(model, tools=[TOOLS["translate"], TOOLS["calculate"]])
    for word in ("water", "river", "moon", "apple"):
        helper.reset()
        if tool(word)["translation"] in str(run(helper, f"Translate with the tool: {word}")):
            return True
    return t("The agent cannot use it.", "智能体用不了它。")


course.check("chatglm.third-tool", translate if translate("water") else None, judge)

# %% [markdown] lang="en"
"""
## On real models

One line: `MODEL = "zai-org/glm-4-9b-chat-hf"`, the same class at full size.
Its tools are described in its own template.
Download, and memory in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改一行：`MODEL = "zai-org/glm-4-9b-chat-hf"`，同一个类，真实大小；工具按它自带的模板来写。
下载大小，以及 16 位时的内存：
"""

# %%
from labkit.core.units import show_bytes

real = find("GLM-4-9B-chat-hf")
e = lab.estimate(real.name, quant="bf16", context=4096)
print(show_bytes(2 * real.parameters), show_bytes(e.total))
