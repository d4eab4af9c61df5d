# %% [markdown] lang="en"
"""
# Qwen: every size, Chinese, code, and tools

**You will be able to** choose among Qwen's sizes by what they need and what they score; let a model call a real function of yours, end to end; hold its calls to a schema so that they can always be parsed; and say what that does and does not guarantee.

**You will learn** what Qwen2.5 changes against Llama, how its tokenizer treats Chinese and numbers, how a tool call is nothing but text in an agreed form, and what a grammar does inside llama.cpp.

**You need** about 45 minutes, two CPU cores, 1 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# Qwen（通义千问）：尺寸齐全，中文、代码与工具调用

**学完你能**按需要的内存和得分，在 Qwen 的各个尺寸里挑一个；让模型真正调用你写的函数，从头到尾走通；把它的调用限制在规定的格式里，保证一定解析得出来；并说清这样做保证了什么、没保证什么。

**你会明白**Qwen2.5 和 Llama 有哪些不同，它的分词器怎样对待中文和数字，为什么说工具调用不过是一段约定好格式的文本，以及语法约束在 llama.cpp 里面做了什么。

**需要准备**大约 45 分钟，两个 CPU 核心，1 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## Seven sizes of one model

Qwen2.5 (September 2024) came in seven sizes, from a telephone to a server, of one architecture.
From the catalogue, with the memory that llama.cpp needs in `Q4_K_M` for 8,192 tokens:
"""

# %% [markdown] lang="zh"
"""
## 一个模型，七种尺寸

Qwen2.5（2024 年 9 月）有七种尺寸，架构相同，从手机到服务器都有合适的。
下表出自目录，内存是 llama.cpp 用 `Q4_K_M`、上下文 8,192 时的占用：
"""

# %%
import labkit as lab
from labkit.catalog import models, terms
from labkit.core.i18n import t
from labkit.core.tables import Table
from labkit.core.units import show_bytes

sizes = [m for m in models() if m.series == "qwen2.5"]
need = {m.name: lab.estimate(m.name, quant="Q4_K_M", context=8192).total for m in sizes}
may = {"yes": t("yes", "可以"), "conditions": t("conditions", "有条件"), "no": t("no", "不可以")}
rows = []
for m in sizes:
    heads = f"{m.config['num_attention_heads']}/{m.num_key_value_heads}"
    words = m.name, f"{m.parameters / 1e9:.2f}B", str(m.num_hidden_layers), heads
    allowed = may[terms(m)[0].commercial]
    rows.append((*words, f"{m.context:,}", show_bytes(need[m.name]), allowed))
header = t(
    "model parameters layers heads context memory commercial",
    "模型 参数量 层数 头数 上下文 内存 商用",
)
Table(header.split(), rows)

# %% [markdown] lang="en"
"""
Mind the last column: the 3B may not be used commercially, and the 72B has conditions; the others are Apache 2.0.
A licence belongs to a model, not to a family.
And what a size buys, by one measurement of its makers:
"""

# %% [markdown] lang="zh"
"""
注意最后一列：3B 不可商用，72B 附条件，其余是 Apache 2.0。
许可证跟着具体模型走，不跟着家族走。
再看尺寸换来了什么，按官方的同一次测量：
"""

# %%
lab.published_scores("qwen", ["MMLU", "GSM8K", "MATH", "EvalPlus"], variant="base")

# %%
from labkit.catalog import scores
from labkit.plots import draw_lines

report = next(s.source for s in scores() if s.model == "Qwen3-8B")
names = {m.name: m.parameters / 1e9 for m in models() if m.series in ("qwen2.5", "qwen3")}


def curve(series, benchmark):
    mine = [s for s in scores() if s.source == report and s.benchmark == benchmark]
    dense = {m.name for m in models() if m.series == series and not m.config.get("num_experts")}
    return sorted((names[s.model], s.score) for s in mine if s.model in dense)


draw_lines(
    {
        f"{name}, {test}": curve(name.lower(), test)
        for test in ("MMLU", "MATH")
        for name in ("Qwen2.5", "Qwen3")
    },
    title=t("Base models by size (Qwen3 report, 2025)", "基座模型的得分与尺寸（Qwen3 报告，2025）"),
    x=t("billion parameters", "参数量（十亿）"),
    y="%",
    log_x=True,
    show_x="{:.2g}".format,
)

# %% [markdown] lang="en"
"""
On the whole a doubling of the size buys less the larger the model already is.
And a generation later a model does on MATH what took about twice its size (4B beats 7B, 8B beats 14B); on MMLU, which asks for knowledge, the step is smaller.
That is what "small models grow strong" means.
So among those that fit, look at the *newest* before the largest.
"""

# %% [markdown] lang="zh"
"""
总的说来，模型越大，再翻一倍换来的分数越少。
而晚一代，数学题（MATH）上大约只要一半的尺寸就能做到（4B 超过 7B，8B 超过 14B）；考知识的 MMLU，进步要小一些。
所谓“小模型越来越强”，就是这个意思。
所以在放得下的里面，先看哪个*新*，再看哪个大。
"""

# %% [markdown] lang="en"
"""
## What it changes against Llama

Two things, both visible in the weights.
Our pocket model is of the real class, `Qwen2ForCausalLM`:
"""

# %% [markdown] lang="zh"
"""
## 和 Llama 有什么不同

两处，都能在权重里看到。
我们的口袋模型用的就是真实的类 `Qwen2ForCausalLM`：
"""

# %%
MODEL = "pocket/qwen2.5"
model = lab.load(MODEL)
llama = lab.load("pocket/llama3")
print(model.location.note)
for m in (llama, model):
    attention = m.model.model.layers[0].self_attn
    biased = [p for p in ("q", "k", "v", "o") if getattr(attention, f"{p}_proj").bias is not None]
    tied = m.model.lm_head.weight is m.model.model.embed_tokens.weight
    print(type(m.model).__name__, biased, tied)

# %% [markdown] lang="en"
"""
Queries, keys and values have a **bias**, and the small sizes use one table for input and output (**tied** embeddings: up to 3B).
The rest is Llama with other numbers.
That is why the same tools run both.
"""

# %% [markdown] lang="zh"
"""
查询、键、值带有**偏置**；小尺寸的输入和输出共用一张表（**共享词嵌入**，3B 及以下）。
其余就是换了些数的 Llama，所以同样的工具两个都能跑。
"""

# %%
print({m.name: m.config["tie_word_embeddings"] for m in sizes})

# %% [markdown] lang="en"
"""
## Chinese and numbers in tokens

Counted with the real tokenizers, 90 characters of Chinese text, punctuation included (the text and sources are in lesson [[family-album]]):
"""

# %% [markdown] lang="zh"
"""
## 中文和数字怎样切

用真实的分词器数过，同样 90 个中文字符，含标点（文本和出处见第 [[family-album]] 课）：
"""

# %%
from labkit.catalog.token_counts import sample_texts, token_counts

characters = len(sample_texts()["chinese"])
for row in token_counts():
    if row.name in ("Llama 2", "Llama 3", "Qwen2.5", "Qwen3.6"):
        print(f"{row.name:8}{row.vocab_size:9,}{row.chinese:5}{characters / row.chinese:6.2f}")

# %% [markdown] lang="en"
"""
The last column: characters in a token.
A cache and a speed counted in tokens are worth twice as much Chinese text with Qwen as with Llama 2.

Numbers show the other difference.
The rule that splits text *before* the vocabulary is asked is the families' own in our pocket tokenizers too:
"""

# %% [markdown] lang="zh"
"""
最后一列是每个词元装几个字。
同样的缓存、同样的词元速度，用 Qwen 能处理的中文是 Llama 2 的两倍。

数字显出另一个差别。
在查词表*之前*，文本先按一条规则切开；口袋分词器用的也是各家自己的规则：
"""

# %%
for m in (llama, model):
    rule = m.tokenizer.backend_tokenizer.pre_tokenizer
    print(m.name, [part for part, _ in rule.pre_tokenize_str("12345+678")])

# %% [markdown] lang="en"
"""
Llama 3 takes up to three digits at a time, from the left; Qwen takes them one by one.
Single digits make sums longer and more regular: a column is always a token.
"""

# %% [markdown] lang="zh"
"""
Llama 3 从左起最多三位一切，Qwen 一位一切。
一位一切，算式长一些，但更规整：每一位恰好是一个词元。
"""

# %% [markdown] lang="en"
"""
## Code

Does it compute, or does it only sound like Python?
There is a judge: Python itself.
Twenty expressions from the held-out part of our corpus, answered by the model and by the interpreter:
"""

# %% [markdown] lang="zh"
"""
## 代码

它是真会算，还是只是像那么回事？
有一位现成的裁判：Python 自己。
从语料里没训练过的那一部分取二十个表达式，模型答一遍，解释器也答一遍：
"""

# %%
from labkit.evaluation.scoring import answers
from labkit.pocket.corpus import held_out

code = held_out("python", 20)
print([item.messages[0]["content"] for item in code[:3]])

# %% varies="an answer on the edge may fall either way on another processor"
said = [words for words, _ in answers(model.model, model.tokenizer, code)]
real = [
    str(
        eval(item.key, {"__builtins__": {}}, {"len": len, "max": max, "min": min, "sorted": sorted})
    )
    for item in code
]
wrong = [(item.key, s, r) for item, s, r in zip(code, said, real, strict=True) if s != r]
print(len(code) - len(wrong), wrong)

# %%
print(0 < len(code) - len(wrong))

# %% [markdown] lang="en"
"""
The form is always right, the value not always: that much for pocket size.
The real one for code is **Qwen2.5-Coder**.
What is special about it?
"""

# %% [markdown] lang="zh"
"""
写得有模有样，得数未必对：口袋模型也就到这一步。
真正写代码的是 **Qwen2.5-Coder**。
它特别在哪里？
"""

# %%
from labkit.catalog import find

plain, coder = find("Qwen2.5-7B"), find("Qwen2.5-Coder-7B")
print(plain.parameters == coder.parameters)
print({k: (v, coder.config[k]) for k, v in plain.config.items() if v != coder.config[k]})

# %% [markdown] lang="en"
"""
Nothing in the architecture: every number is the same but for the context that its file declares.
It is Qwen2.5 trained further, on over 5.5 trillion tokens of mostly code, in six sizes; its 32B chat model scores 92.7 on HumanEval (both: Qwen2.5-Coder report, arXiv 2409.12186, November 2024).
One skill a chat model lacks: it fills in the middle, as an editor needs, by three special tokens (its README):
"""

# %% [markdown] lang="zh"
"""
架构上没有任何不同：除了文件里声明的上下文，每个数都一样。
它是 Qwen2.5 的继续训练：又学了超过 5.5 万亿词元，以代码为主，共六种尺寸；其中 32B 对话版的 HumanEval 得分是 92.7（均出自 Qwen2.5-Coder 技术报告，arXiv 2409.12186，2024 年 11 月）。
它还有一样对话模型没有的本事：补中间，正是编辑器需要的，靠三个专用词元实现（见它的 README）：
"""

# %%
before, after = "def area(r):\n    return ", "\n\nprint(area(2))"
print(f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>")

# %% [markdown] lang="en"
"""
## Tool calling, end to end

A model computes one token after the other; three-digit products are beyond a small one:
"""

# %% [markdown] lang="zh"
"""
## 工具调用，从头到尾

模型只会一个词元一个词元地算，三位数乘法对小模型来说太难：
"""

# %% varies="a wrong answer may be another wrong one elsewhere"
QUESTION = "What is 123 times 456?"
chat = lab.chat(model)
print(chat(QUESTION), 123 * 456)

# %% [markdown] lang="en"
"""
A program can multiply.
So let the model say *that* it wants to multiply *what*, in a form a program can read.
First the tool, a real one.
It never calls `eval`: what a model writes is input from a stranger.
"""

# %% [markdown] lang="zh"
"""
程序会乘。那就让模型说出它想*算什么*，用程序读得懂的格式说。
先写工具，真正能用的那种。
里面绝不用 `eval`：模型写出来的东西，要当作陌生人的输入来对待。
"""

# %%
import ast
import operator

ALLOWED = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def calculate(expression):
    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in ALLOWED:
            return ALLOWED[type(node.op)](value(node.left), value(node.right))
        raise ValueError("only + - * of whole numbers")

    return {"value": str(value(ast.parse(expression, mode="eval").body))}


calculate("2 + 3*4")

# %% [markdown] lang="en"
"""
Then its description: a JSON schema, as OpenAI, Transformers and llama.cpp all read it.
The pocket model has met three tools of this form:
"""

# %% [markdown] lang="zh"
"""
再写说明：一份 JSON schema，OpenAI、Transformers、llama.cpp 认的都是它。
口袋模型见过三个这样的工具：
"""

# %%
from labkit.pocket.corpus import TOOLS

print(list(TOOLS))
TOOLS["calculate"]["function"]

# %% [markdown] lang="en"
"""
How does the model get to know of it?
By the chat template, in the text:
"""

# %% [markdown] lang="zh"
"""
模型怎么知道有这个工具？
靠对话模板写进文本里：
"""

# %%
messages = [{"role": "user", "content": QUESTION}]
tools = [TOOLS["calculate"]]
prompt = model.tokenizer.apply_chat_template(
    messages, tools=tools, tokenize=False, add_generation_prompt=True
)
print(prompt)

# %%
chat = lab.chat(model, tools=tools)
reply = chat(QUESTION)
print(reply.text)

# %% [markdown] lang="en"
"""
No magic: the answer is text, between two marks it has learnt.
`labkit` has read it, but done nothing yet.
Now it is our turn: **validate** the arguments against the schema, **call**, give the **result back**, and let the model **answer**.
"""

# %% [markdown] lang="zh"
"""
没有魔法：回答就是一段文本，夹在两个学过的标记之间。
`labkit` 只是把它读了出来，什么也没执行。
下面轮到我们：按 schema **校验**参数，**调用**，把**结果送回去**，让模型**作答**。
"""

# %%
import jsonschema

(call,) = reply.tool_calls
jsonschema.validate(dict(call.arguments), TOOLS[call.name]["function"]["parameters"])
result = calculate(**call.arguments)
call, result

# %%
chat.add_tool_result(result)
print(chat())

# %%
for message in chat.history:
    print(message)

# %% [markdown] lang="en"
"""
One of these messages was written by a program.
The model multiplied nothing; it copied a number from the result.
An agent is this in a loop (lesson [[chatglm]]).

### Did it read the list of tools?

Before any figure, three trials: the tool under another name, a list without a fitting tool, and a greeting that needs none.
Left of the bar is what was offered and asked, right of it what was called:
"""

# %% [markdown] lang="zh"
"""
整段对话里，有一条是程序写的。
模型一次乘法也没做，只是从结果里抄了个数。
把这个过程放进循环，就是智能体（第 [[chatglm]] 课）。

### 工具清单，它读了吗？

先不报数字，试三次：工具换个名字；清单里没有合适的工具；打个招呼，用不着工具。
竖线左边是给了什么、问了什么，右边是它调用了什么：
"""

# %%
from copy import deepcopy

renamed, orders = deepcopy(TOOLS["calculate"]), deepcopy(TOOLS["get_weather"])
renamed["function"]["name"] = "multiply"
orders["function"] |= {"name": "list_orders", "description": "Orders from a city"}
trials = (
    ([renamed], QUESTION, ["multiply"]),
    ([orders], "How is the weather in Paris?", []),
    (list(TOOLS.values()), "Hello!", []),
)

# %% varies="what a model does with a list it has never met may differ between processors"
right = 0
for offered, question, wanted in trials:
    called = [
        c.name for c in lab.chat(model, tools=offered, max_new_tokens=60)(question).tool_calls
    ]
    print(*(tool["function"]["name"] for tool in offered), "·", question, "|", *called)
    right += called == wanted

# %%
print(right, "/", len(trials))

# %% [markdown] lang="en"
"""
Wrong three times: the old name, a tool that nobody offered, and a call where a greeting was due.
**This model does not read the list of tools.**
It learnt from conversations in which the right tool was always offered and a tool was always needed, so the question alone told it what to write.
What it can is less than tool calling: for a question of three known kinds it writes the call that belongs to it, in a form that a program reads.
That is enough to show the rest of this lesson, and not enough to judge tool calling by.
Give any real model these three trials before you trust it with tools.

How reliable is the lesser thing?
Fifty held-out conversations with the three tools of its corpus, the fitting one always among those offered, in the corpus's own wordings; only the combinations of numbers, cities, words and offers are new.
About half of them end in a call, half in the sentence after the result, and each must be right to the letter.
First all, then those that end in a call:
"""

# %% [markdown] lang="zh"
"""
三次全错：叫的是老名字；叫了没人给它的工具；该问好的时候去调用工具。
**这个模型没有读工具清单。**
它学的对话里，合适的工具总在清单上，也总要用工具，所以光看问题就知道该写什么。
它会的比“工具调用”少：碰上三类学过的问题，写出对应的调用，格式是程序读得懂的。
用来讲完这一课，够了；用来评价工具调用，不够。
换成真实模型，先拿这三道题试它，再放心把工具交给它。

那么它会的这点本事，可靠吗？
拿五十段没训练过的对话来数：用的是语料里的三个工具，合适的总在其中，问法也是语料里的，只有数字、城市、单词和清单的搭配是新的。
大约一半以调用结尾，一半以拿到结果之后的那句话结尾，都要一字不差。
先是全部，再是以调用结尾的：
"""

# %% varies="an answer on the edge may fall either way on another processor"
items = held_out("tools", 50)
pairs = list(answers(model.model, model.tokenizer, items))
calls = [a == b for item, (a, b) in zip(items, pairs, strict=True) if len(item.messages) == 2]
print(sum(a == b for a, b in pairs), "/", len(pairs), "·", sum(calls), "/", len(calls))

# %%
print(sum(a == b for a, b in pairs) >= 40)

# %% [markdown] lang="en"
"""
## Held to the schema

On questions of its corpus, sampled greedily, the form was right; warmer sampling breaks it even there.
Half a call, a name that does not exist, a missing bracket: a program that parses such answers crashes.
Here llama.cpp samples at a temperature of 2 on purpose, from the same model as GGUF:
"""

# %% [markdown] lang="zh"
"""
## 限制在 schema 之内

问的是语料里的题、用贪心解码，格式没出错；采样温度一高，连这也保不住。
调用只写了一半，名字根本不存在，括号少了一个：程序解析这样的回答就会崩溃。
这里故意用温度 2 采样，模型还是同一个，转成 GGUF 由 llama.cpp 来跑：
"""

# %%
from llama_cpp import Llama, LlamaGrammar

from labkit.gguf.files import gguf_for

path = gguf_for(model.location.path)
llm = Llama(str(path), n_ctx=512, n_threads=1, verbose=False)


def write_call(seed, grammar=None):
    out = llm.create_completion(
        prompt + "<tool_call>\n", max_tokens=80, temperature=2, top_k=0, top_p=1, min_p=0,
        seed=seed, grammar=grammar, stop=["\n</tool_call>"],
    )  # fmt: skip
    (choice,) = out["choices"]
    return choice["text"] if choice["finish_reason"] == "stop" else choice["text"] + "…"


# %% varies="sampled text differs between processors"
free = [write_call(seed) for seed in range(8)]
free[:3]

# %% [markdown] lang="en"
"""
A **grammar** says which texts are allowed. llama.cpp makes one of a JSON schema; at every step the tokens that would leave it get probability zero, before one is drawn.
What will that give at the same temperature?
"""

# %% [markdown] lang="zh"
"""
**语法**（grammar）规定哪些文本是允许的。
llama.cpp 能由 JSON schema 生成语法；每一步抽取之前，先把会越界的词元概率清零。
同样的温度，这样会得到什么？
"""

# %%
from labkit.widgets.prediction import ask

ask("qwen.grammar")

# %% varies="the converter may word its rules otherwise in another version"
import json

from llama_cpp.llama_grammar import json_schema_to_gbnf

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"const": "calculate"},
        "arguments": TOOLS["calculate"]["function"]["parameters"],
    },
    "required": ["name", "arguments"],
    "additionalProperties": False,
}
rules = json_schema_to_gbnf(json.dumps(SCHEMA))
print(rules)

# %% [markdown] lang="en"
"""
A grammar is a text one can read: `root` is a brace, then `name`, a comma, and so on; `name` allows one spelling only.
Read it closely: `char` forbids the quote and the backslash inside a string, but not a line break, which JSON forbids as well.
At temperature 2 that gap will be found.
We close it before we use it:
"""

# %% [markdown] lang="zh"
"""
语法是看得懂的文本：`root` 是一个花括号，接着 `name`、逗号，等等；`name` 只有一种写法。
仔细看会发现：`char` 禁止字符串里出现引号和反斜杠，却没有禁止换行，而 JSON 是不许的。
温度 2 的时候，这个漏洞迟早会被撞上。
用之前先补好：
"""

# %%
OPEN, CLOSED = r'[^"\\]', r'[^"\\\x00-\x1F]'


def to_grammar(schema):
    rules = json_schema_to_gbnf(json.dumps(schema)).replace(OPEN, CLOSED)
    return LlamaGrammar.from_string(rules, verbose=False)


grammar = to_grammar(SCHEMA)
print(CLOSED in rules.replace(OPEN, CLOSED))

# %% varies="sampled text differs between processors"
held = [write_call(seed, grammar) for seed in range(8)]
held[:3]


# %%
def is_valid(text):
    try:
        jsonschema.validate(json.loads(text), SCHEMA)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


finished = [text for text in held if not text.endswith("…")]
print(sum(map(is_valid, free)) < 8, all(map(is_valid, finished)))

# %% [markdown] lang="en"
"""
Every call that came to its end can be parsed and has the right form.
(One that runs into `max_tokens` is cut off in the middle, marked with … here: leave room.)
And is it *right*?
"""

# %% [markdown] lang="zh"
"""
凡是写完了的调用，都解析得出来，格式也对。
（撞上 `max_tokens` 的会拦腰截断，这里标了“…”；要留够余量。）
那么，内容*对*吗？
"""

# %% varies="sampled text differs between processors"
wanted = {"expression": "123*456"}
good = [text for text in held if is_valid(text)]
print(len(held), len(good), sum(json.loads(text)["arguments"] == wanted for text in good))

# %% [markdown] lang="en"
"""
A grammar holds the form, not the sense.
It protects the program that reads; it does not make the model wiser.
So: low temperature *and* a grammar *and* validation, and for whatever cannot be undone a human who says yes.

At temperature 0, with the grammar, the model's call goes through the whole chain:
"""

# %% [markdown] lang="zh"
"""
语法管格式，不管内容。
它保护的是读取回答的程序，不会让模型变聪明。
所以要三管齐下：低温、语法、校验；凡是做了就收不回来的事，还要有人点头。

温度设为 0，加上语法，让模型的调用走完整条链路：
"""

# %%
text = llm.create_completion(
    prompt + "<tool_call>\n", max_tokens=60, temperature=0, grammar=grammar, stop=["\n</tool_call>"]
)["choices"][0]["text"]
arguments = json.loads(text)["arguments"]
print(text, calculate(**arguments))

# %% [markdown] lang="en"
"""
## Strengths and limits

**Use it when** you want Chinese and English alike, a size for every machine, tool calling that engines read out of the box, and a licence without conditions: Apache 2.0 for most sizes.
**Look elsewhere** or look twice: the 3B and the 72B of this generation have other licences; the context of the small ones (up to 3B) is 32,768; the 131,072 of the larger ones are reached by stretching positions (YaRN), which has to be switched on.
Beside its contemporary Llama 3, mostly by the report of Qwen's own makers:
"""

# %% [markdown] lang="zh"
"""
## 长处与短处

**适合用它的时候**：中英文都要好；什么机器都要有合适的尺寸；工具调用要开箱即用；许可证最好不带条件，多数尺寸是 Apache 2.0。
**要多看一眼的**：这一代的 3B 和 72B 许可证不同；3B 及以下的上下文是 32,768；7B 及以上的 131,072 要靠拉伸位置编码（YaRN）才能达到，而且得自己打开。
和同期的 Llama 3 相比，数据大多出自 Qwen 自己的报告：
"""

# %%
lab.published_scores(
    ["Llama-3-8B", "gemma-3-4b", "Qwen2.5-7B", "Qwen3-8B"], ["MMLU", "GSM8K", "MATH"], "base"
)

# %% [markdown] lang="en"
"""
## What became of the family
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了
"""

# %%
lab.heirs("qwen")

# %% [markdown] lang="en"
"""
Three changes to see: most layers of Qwen3.5 attend **linearly**, so that their cache does not grow; the large ones became mixtures of experts; and all of today's models in the table are under Apache 2.0.
Take the heir of your size; keep Qwen2.5 where derived models or your own adapters build on it, as in lessons [[lora]] to [[deploy]].
And one change of use, not of form: models that “think” write a long text to themselves before they answer; that costs tokens (lesson [[deepseek]]).
"""

# %% [markdown] lang="zh"
"""
能看出三处变化：Qwen3.5 的大多数层改用**线性**注意力，缓存不再随长度增长；大尺寸改成了混合专家；表中如今的模型，许可证全是 Apache 2.0。
按你的尺寸换成接班人即可；如果衍生模型或你自己的适配器建立在 Qwen2.5 上（如第 [[lora]] 到 [[deploy]] 课），就继续用它。
另外，会“思考”的模型先写一大段给自己看的话再回答，这要花词元（第 [[deepseek]] 课）。
"""

# %% [markdown] lang="en"
"""
## Run the real one
"""

# %% [markdown] lang="zh"
"""
## 运行真正的 Qwen
"""

# %%
lines = lab.run_lines("Qwen2.5-7B", context=8192)
lines

# %% varies="this machine's memory"
lines.here()

# %% [markdown] lang="en"
"""
The loop is the same there: `llama-server --jinja` and Ollama read the calls and offer them through an OpenAI-style API; `response_format` with a JSON schema becomes a grammar inside.
"""

# %% [markdown] lang="zh"
"""
循环还是那个循环：`llama-server --jinja` 和 Ollama 会读出调用，通过 OpenAI 风格的 API 交给你；`response_format` 里给一份 JSON schema，内部就会变成语法。
"""

# %% [markdown] lang="en"
"""
## Recap

- One architecture in seven sizes: Llama with a bias for queries, keys and values. Each doubling buys less; a newer generation buys more.
- Its vocabulary holds twice as much Chinese a token as Llama 2's; digits stand singly.
- Coder is the same network, trained on.
- A tool call is text in an agreed form: describe, read, validate, call, give back, answer.
- Our pocket model knows three calls by heart and does not read the list of tools. Three trials show it; try them on every model.
- A grammar guarantees the form of what is written, and nothing about its sense.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 一种架构，七种尺寸：Llama 加上查询、键、值的偏置。尺寸每翻一倍换来的越来越少，换一代换来的更多。
- 每个词元能装的中文是 Llama 2 的两倍；数字一位一切。
- Coder 是同一个网络，接着训练的。
- 工具调用就是一段约定好格式的文本：说明、读出、校验、调用、送回、作答。
- 我们的口袋模型只是背熟了三种调用，并不读工具清单。试三次就看得出来，每个模型都该试。
- 语法保证写出来的格式，不保证内容。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Build the second of the three tools that this model was taught.
Write `translate(word)`, which looks the word up in `LEXICON` (English to Chinese) and returns `{"translation": …}`; for a word that is not there `{"translation": "?"}`.
The check lets the model call it.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 这个模型学过三个工具，来做第二个。
请写出 `translate(word)`：在 `LEXICON`（英文到中文）里查这个词，返回 `{"translation": …}`；查不到就返回 `{"translation": "?"}`。
检查时会让模型真的来调用它。
"""

# %%
from labkit.pocket.words import LEXICON

list(LEXICON.items())[:3]


# %% exercise="translate"
def translate(word):
    ### BEGIN SOLUTION
    return {"translation": LEXICON.get(word, "?")}
    ### END SOLUTION


# %% check="translate" points=1
from labkit import course


def used_by_the_model(result):
    if translate("no such word") != {"translation": "?"}:
        return t("A word that is not there must give '?'.", "查不到的词应返回 '?'。")
    talk = lab.chat(model, tools=[TOOLS["translate"]])
    (call,) = talk("Translate with the tool: water").tool_calls
    talk.add_tool_result(translate(**call.arguments))
    said = talk().text
    return LEXICON["water"] in said or t(f"The model answered: {said}", f"模型的回答是：{said}")


course.check("qwen.translate", translate("water"), used_by_the_model)

# %% [markdown] lang="en"
r"""
**2.** Tighten the grammar: a schema for the *arguments* of `calculate` that allows nothing but products of two whole numbers of one to three digits, such as `12*345`.
Use `"pattern"`; it must begin with `^` and end with `$`.
Write digits as `[0-9]`: llama.cpp's converter does not know `\d`.
The check samples at temperature 2.
"""

# %% [markdown] lang="zh"
r"""
**2.** 把语法收紧：给 `calculate` 的*参数*写一份 schema，只允许两个一到三位整数相乘，比如 `12*345`。
用 `"pattern"`，必须以 `^` 开头、以 `$` 结尾。
数字请写成 `[0-9]`：llama.cpp 的转换器不认识 `\d`。
检查时会用温度 2 采样。
"""

# %% exercise="product-only"
product_only = None
### BEGIN SOLUTION
product_only = {
    "type": "object",
    "properties": {"expression": {"type": "string", "pattern": "^[0-9]{1,3}\\*[0-9]{1,3}$"}},
    "required": ["expression"],
    "additionalProperties": False,
}
### END SOLUTION

# %% check="product-only" points=1
import re


def holds(schema):
    if r"\d" in str(schema):
        return t(r"write \d as [0-9] for llama.cpp", r"请把 \d 写成 [0-9]，llama.cpp 不认识它")
    for right, sample in ((True, "7*8"), (True, "123*456"), (False, "1+2"), (False, "1*2*3")):
        valid = jsonschema.Draft202012Validator(schema).is_valid({"expression": sample})
        if valid != right:
            return t(f"{sample}: allowed is {valid}.", f"{sample}：结果是 {valid}。")
    samples = [json.loads(write_call(seed, to_grammar(schema)))["expression"] for seed in range(3)]
    return all(re.fullmatch(r"\d{1,3}\*\d{1,3}", text) for text in samples) or str(samples)


course.check("qwen.product-only", product_only, holds)

# %% [markdown] lang="en"
"""
**3.** Without a check: a greeting was answered with a call.
What would you build around such a model, so that nothing happens that nobody asked for?
"""

# %% [markdown] lang="zh"
"""
**3.** 没有检查的一题：跟它打招呼，它却去调用工具。
这样的模型，你会在外面加一道什么防护，免得做了没人要它做的事？
"""

# %% [markdown] lang="en"
"""
## On real models

One line changes: `MODEL = "Qwen/Qwen2.5-1.5B-Instruct"`.
The tool loop runs as it stands, with tools of your own; numbers of the held-out questions are then of no use, since a real model answers in sentences.
What it downloads and needs in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改一行：`MODEL = "Qwen/Qwen2.5-1.5B-Instruct"`。
工具那一套照样能跑，也可以换成你自己的工具；那些保留题的得分就不能用了，因为真实模型用整句作答。
用 16 位，要下载和占用的是：
"""

# %%
e = lab.estimate("Qwen2.5-1.5B", engine="transformers", context=2048)
print(show_bytes(2 * find("Qwen2.5-1.5B").parameters), show_bytes(e.total))
