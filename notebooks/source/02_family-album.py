# %% [markdown] lang="en"
"""
# The family album: all open families side by side

**You will be able to** place any open model in its family; read from its `config.json` how many parameters it has and what a conversation costs in memory; see in what the families really differ, and in what only by name.

**You will learn** how to build a model of 236 billion parameters on a laptop without its weights, why a 13B model can need a larger cache than a 236B one, what a tokenizer does to Chinese, and why every family wants its conversations written differently.

**You need** about 40 minutes, two CPU cores, 1 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# 家族相册：把开放模型的各个家族摆在一起看

**学完你能**说出一个开放模型属于哪个家族；从它的 `config.json` 读出参数量，算出一段对话占多少内存；看清各家真正的差别在哪里，哪些只是名字不同。

**你会明白**怎样在笔记本电脑上不用权重就搭出一个 2360 亿参数的模型，为什么 13B 模型的缓存会比 236B 的还大，分词器会把中文怎么样，以及为什么每个家族的对话写法都不一样。

**需要准备**大约 40 分钟，两个 CPU 核心，1 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## Who is who

A **family** is a line of models by one maker.
Everything we know about them stands in the course's catalogue, each fact with its source and the day it was read:
"""

# %% [markdown] lang="zh"
"""
## 谁是谁

一个**家族**，就是一家机构发布的一系列模型。
我们知道的都记在课程的模型目录里，每一条都注明出处和查阅日期：
"""

# %%
from labkit.catalog import families, find, models, terms
from labkit.catalog.lessons import number_of
from labkit.core.i18n import t
from labkit.core.tables import Table


def row(family):
    mine = [m for m in models() if m.family == family.key]
    sizes = [m.parameters / 1e9 for m in mine]
    newest = max(mine, key=lambda m: m.release_date)
    span = f"{max(sizes):.0f}B"
    if min(sizes) < 0.95 * max(sizes):
        span = f"{min(sizes):.1f}B – {span}"
    words = str(family.name), str(family.maker), family.country, str(len(mine)), span
    return *words, f"{newest.name} ({newest.release_date[:7]})", number_of(family.lesson)


header = t(
    "family maker country models parameters newest lesson", "家族 机构 国家 模型数 参数量 最新 课"
)
Table(header.split(), [row(family) for family in families()])

# %% [markdown] lang="en"
"""
Six of these families have a lesson of their own; from their models one can learn all the rest.
Here are the models these lessons work with.
A star marks what we know from memory only and could not verify; all else has a source:
"""

# %% [markdown] lang="zh"
"""
其中六个家族有专门的一课；弄懂它们，其余的也就看得懂了。
下面是这些课用到的模型。
带星号的只凭记忆、没能核实，其余都有出处：
"""

# %%
course = [m for m in models() if m.course]


def mark(m, field):
    return "*" if field in m.unverified else ""


rows = [
    (
        m.name,
        m.release_date + mark(m, "release_date"),
        f"{m.parameters / 1e9:.1f}B",
        f"{m.context:,}" + mark(m, "context"),
        terms(m)[0].name + mark(m, "license"),
    )
    for m in course
]
header = t("model released parameters context licence", "模型 发布 参数量 上下文 许可证")
Table(header.split(), rows)

# %%
find("Qwen2.5-7B").sources

# %% [markdown] lang="en"
"""
## Three years at a glance

Each dot is a model, each line a family.
A name stands where a generation begins:
"""

# %% [markdown] lang="zh"
"""
## 三年一览

每个点是一个模型，每条线是一个家族，每一代的名字写在它开始的地方：
"""

# %%
from labkit.plots import draw_timeline

names = {family.key: str(family.name) for family in families()}
seen = set()
events = []
for m in models():
    events.append((m.release_date, names[m.family], "" if m.series in seen else m.series))
    seen.add(m.series)
draw_timeline(events, title=t("Open models by family", "各家族的开放模型"))

# %% [markdown] lang="en"
"""
Two things to see.
Generations follow each other within months: what you choose today will have an heir before your project is finished.
And lines end: no new Yi since May 2024 stands in the catalogue.
Each lesson on a family says what became of it.
"""

# %% [markdown] lang="zh"
"""
能看出两件事。
第一，换代只隔几个月：今天选的模型，项目还没做完就会有接班人。
第二，有的线会断：2024 年 5 月之后，目录里就没有新的 Yi 了。
每一课讲一个家族时，都会交代它后来怎样了。
"""

# %% [markdown] lang="en"
"""
## Parameters, counted

"7B" on a label is a name.
The exact number follows from `config.json`, and the surest way to get it is to build the model and count.
But DeepSeek-V2 has 236 billion parameters, 472 GB in 16 bits.
What happens if we build it here?
"""

# %% [markdown] lang="zh"
"""
## 参数量，数一数

标签上的“7B”只是个名字。
准确的数可以从 `config.json` 推出来，最保险的办法是把模型搭出来数。
可是 DeepSeek-V2 有 2360 亿参数，16 位要 472 GB。
在这台电脑上搭它，会怎么样？
"""

# %%
from labkit.widgets.prediction import ask

ask("family-album.meta")

# %% [markdown] lang="en"
"""
PyTorch has a device named `meta`: a tensor there has a shape and a type, and no content.
On it Transformers builds the real class from the real configuration:
"""

# %% [markdown] lang="zh"
"""
PyTorch 有一个叫 `meta` 的设备：放在上面的张量有形状、有类型，就是没有内容。
在它上面，Transformers 用真实的配置搭出真实的模型类：
"""

# %%
import torch
from transformers import AutoConfig, AutoModelForCausalLM


def build(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


giant = build(find("DeepSeek-V2").config)
print(type(giant).__name__, f"{giant.num_parameters():,}")

# %%
weight = giant.model.layers[1].mlp.experts.gate_up_proj
print(tuple(weight.shape), weight.device, f"{weight.nbytes:,}")

# %% [markdown] lang="en"
"""
The shape of all experts of one layer is there; the bytes it speaks of are not.
Now every model of the course, at full size, against the catalogue:
"""

# %% [markdown] lang="zh"
"""
一层里所有专家的形状都在，它报的那些字节却一个也没有占。
下面把课程里的模型全部按原尺寸搭一遍，和目录核对：
"""

# %%
from labkit.core.progress import track

counted, classes = {}, {}
for m in track(course, "building"):
    if m.config["model_type"] != "chatglm":
        model = build(m.config)
        counted[m.name], classes[m.name] = model.num_parameters(), type(model).__name__
print(len(counted), all(find(name).parameters == n for name, n in counted.items()))
print(f"{sum(counted.values()):,}")

# %% [markdown] lang="en"
"""
All agree to the last parameter.
Two are missing: the older ChatGLM has no class in Transformers 5, and its configuration uses words of its own.
Transformers' class for its successors, `Glm`, is the same architecture.
Translated word by word:
"""

# %% [markdown] lang="zh"
"""
一个参数都不差。
还缺两个：早期的 ChatGLM 在 Transformers 5 里没有对应的类，配置里的字段也是自己的一套叫法。
Transformers 给它的后继者准备的 `Glm` 类，架构是一样的。
逐个字段翻译过来：
"""

# %%
WORDS = {
    "num_hidden_layers": "num_layers",
    "num_key_value_heads": "multi_query_group_num",
    "head_dim": "kv_channels",
    "intermediate_size": "ffn_hidden_size",
    "vocab_size": "padded_vocab_size",
    "attention_bias": "add_qkv_bias",
    "num_attention_heads": "num_attention_heads",
    "hidden_size": "hidden_size",
}

for name in ("ChatGLM3-6B", "GLM-4-9B"):
    own = find(name).config
    same = {ours: own[theirs] for ours, theirs in WORDS.items()}
    model = build({"model_type": "glm", "pad_token_id": None} | same)
    counted[name], classes[name] = model.num_parameters(), type(model).__name__
    print(f"{counted[name]:,}", counted[name] == find(name).parameters)

# %% [markdown] lang="en"
"""
### Same class, other name

Sorted by class, the album looks different:
"""

# %% [markdown] lang="zh"
"""
### 同一个类，不同的名字

按模型类来分，相册又是另一番样子：
"""

# %%
for kind in dict.fromkeys(classes.values()):
    print(f"{kind}: {', '.join(name for name, k in classes.items() if k == kind)}")

# %% [markdown] lang="en"
"""
Yi and the early DeepSeek are Llama in architecture, down to the class.
What makes them differ is data, tokenizer and training.
That is why a program that runs Llama runs them too.
"""

# %% [markdown] lang="zh"
"""
Yi 和早期的 DeepSeek 在架构上就是 Llama，连类都是同一个。
它们的不同在于数据、分词器和训练方法。
所以能跑 Llama 的程序，也能跑它们。
"""

# %% [markdown] lang="en"
"""
### Where the parameters sit

Embedding table and output head, attention, feed-forward part (experts included), in per cent:
"""

# %% [markdown] lang="zh"
"""
### 参数都在哪里

词嵌入和输出层、注意力、前馈部分（含专家），各占百分之几：
"""


# %%
def shares(model):
    parts = dict.fromkeys(("embed", "attn", "mlp"), 0)
    for name, weight in model.named_parameters():
        part = next((p for p in ("attn", "mlp") if p in name), "embed")
        parts[part] += weight.numel()
    return {part: n / model.num_parameters() for part, n in parts.items()}


for name in ("Qwen2.5-0.5B", "Llama-2-7B", "Llama-3-8B", "Qwen2.5-72B", "DeepSeek-V2"):
    print(
        f"{name:14}", " ".join(f"{p} {s:5.1%}" for p, s in shares(build(find(name).config)).items())
    )

# %% [markdown] lang="en"
"""
(The norms are counted with the embeddings: less than a thousandth.)
A small model spends a quarter on its vocabulary, a large one next to nothing.
And a mixture of experts is nearly all feed-forward, of which a token uses only a part:
"""

# %% [markdown] lang="zh"
"""
（归一化层算在词嵌入一栏里，不到千分之一。）
小模型要拿四分之一的参数去装词表，大模型里这部分几乎可以忽略。
混合专家模型则几乎全是前馈部分，而每个词元只用到其中一小部分：
"""

# %%
for name in ("DeepSeek-V2-Lite", "Mixtral-8x7B", "DeepSeek-V2"):
    m = find(name)
    print(f"{name:17}{m.parameters / 1e9:6.1f}B {m.active_parameters / m.parameters:6.1%}")

# %% [markdown] lang="en"
"""
## What a conversation costs

For every token of a conversation each layer keeps keys and values: the **KV cache**.
Which of these needs most memory for one token?
"""

# %% [markdown] lang="zh"
"""
## 一段对话要占多少

对话里的每个词元，每一层都要留下键和值，这就是 **KV 缓存**。
下面几个模型，哪个每个词元占得最多？
"""

# %%
ask("family-album.cache")

# %%
import labkit as lab
from labkit.core.units import show_bytes
from labkit.plots import draw_bars

CONTEXT = 4096
per_token = {m.name: lab.estimate(m.name, context=CONTEXT).kv_cache // CONTEXT for m in course}
order = sorted(per_token, key=per_token.get, reverse=True)
draw_bars(
    {name: per_token[name] for name in order},
    title=t("KV cache of one token, 16 bits", "每个词元的 KV 缓存（16 位）"),
    groups={m.name: names[m.family] for m in course},
    show=lambda size: show_bytes(int(size)),
)

# %% [markdown] lang="en"
"""
The size of a model says little about it.
Three inventions do.
By hand, for one model of each kind:

- **MHA**, every query head has its own key and value: 2 × layers × heads × head size × 2 bytes.
- **GQA**, several query heads share one: the same with `num_key_value_heads`, 8 or 4 or 2 instead of 32.
- **MLA**, one short vector for all heads, from which keys and values are computed again: `kv_lora_rank` + `qk_rope_head_dim`.
"""

# %% [markdown] lang="zh"
"""
模型大小几乎说明不了什么，起作用的是三种做法。
每种挑一个模型手算：

- **MHA**：每个查询头都有自己的键和值：2 × 层数 × 头数 × 头的维度 × 2 字节；
- **GQA**：几个查询头共用一组：公式相同，头数换成 `num_key_value_heads`，不是 32，而是 8、4 或 2；
- **MLA**：所有头共用一个很短的向量，用时再还原出键和值：长度是 `kv_lora_rank` + `qk_rope_head_dim`。
"""


# %%
def by_hand(c):
    if "kv_lora_rank" in c:
        numbers = c["kv_lora_rank"] + c["qk_rope_head_dim"]
    else:
        numbers = 2 * c["num_key_value_heads"] * c["head_dim"]
    return c["num_hidden_layers"] * numbers * 2


for name in ("Llama-2-13B", "Llama-3-70B", "Qwen2.5-7B", "DeepSeek-V2"):
    print(
        f"{name:13}{by_hand(find(name).config):>9,}", by_hand(find(name).config) == per_token[name]
    )

# %% [markdown] lang="en"
"""
Times the context, and a long conversation outgrows the weights.
All of the context each model allows:
"""

# %% [markdown] lang="zh"
"""
再乘上上下文长度，长对话的缓存会比权重还大。
把每个模型允许的上下文全部用满：
"""

# %%
rows = []
for name in ("Llama-2-7B", "Llama-3.1-8B", "Qwen2.5-7B", "Yi-34B-200K", "DeepSeek-V2-Lite"):
    e = lab.estimate(name, quant="Q4_K_M", context=find(name).context)
    rows.append((name, f"{e.context:,}", show_bytes(e.weights), show_bytes(e.kv_cache)))
header = t("model, context, weights in Q4_K_M, KV cache", "模型, 上下文, Q4_K_M 权重, KV 缓存")
Table(header.split(", "), rows)

# %% [markdown] lang="en"
"""
## How they cut text

A context of 4,096 is counted in **tokens**, and every tokenizer cuts differently.
We took the tokenizers of seven real models and counted one short text, in English, the same in Chinese, and a bit of code.
First the texts, each with its characters and bytes:
"""

# %% [markdown] lang="zh"
"""
## 文本怎样被切开

上下文 4,096，数的是**词元**，而每家的分词器切法都不同。
我们拿七个真实模型的分词器，数了同一小段话的英文版、中文版和一小段代码。
先看文本，以及各有多少字符、多少字节：
"""

# %%
from labkit.catalog.token_counts import sample_texts, token_counts

for name, text in sample_texts().items():
    print(f"{name}: {len(text)} / {len(text.encode())} B\n{text}\n")

# %%
languages = {
    "english": t("English", "英文"),
    "chinese": t("Chinese", "中文"),
    "code": t("code", "代码"),
}
draw_bars(
    {
        words: {f"{r.name} ({r.vocab_size:,})": getattr(r, key) for r in token_counts()}
        for key, words in languages.items()
    },
    title=t(
        "Tokens for the same text (entries of the vocabulary)",
        "同样的文本切成多少词元（括号里是词表大小）",
    ),
)

# %%
Table(
    t("tokenizer source", "分词器 来源").split(),
    [(r.name, f"{r.source}, {r.as_of}") for r in token_counts()],
)

# %% [markdown] lang="en"
"""
On English they are nearly equal.
On Chinese the oldest needs more than twice as many as the newest: 127 against 56, for 90 characters.
The same text then takes twice the cache, twice the time, and half of it fits.
Llama 2's vocabulary has few Chinese characters; the others fall apart into bytes, three tokens each.
We can see such a thing happen.
Our pocket tokenizers are of the families' own kinds, with tiny vocabularies learnt from our corpus:
"""

# %% [markdown] lang="zh"
"""
切英文，大家差不多；切中文，最老的要比最新的多出一倍还不止：90 个字，一个切成 127 个词元，一个只要 56 个。
同样一段话，缓存就要多占一倍，时间多花一倍，上下文里只装得下一半。
Llama 2 的词表里汉字很少，其余的字只能拆成字节，一个字三个词元。
这一幕可以亲眼看看。
我们的口袋分词器和各家族是同一种类，只是词表很小，是从我们自己的语料学来的：
"""

# %%
from transformers import AutoTokenizer

from labkit import pocket
from labkit.catalog.token_counts import show_tokens

TOKENIZERS = ["pocket/llama2", "pocket/qwen2.5"]


def tokenizer_of(name):
    return AutoTokenizer.from_pretrained(pocket.folder(name) if "pocket/" in name else name)


for name in TOKENIZERS:
    for text in ("你好，苹果", "你好，柠檬"):
        print(name, show_tokens(tokenizer_of(name), text))

# %% [markdown] lang="en"
"""
苹果 (apple) is in the corpus and is one token; 柠檬 (lemon) is not and falls into bytes, `<E6>` and so on.
Nothing is lost, only the sequence grows.
How many tokens the pocket ones need says nothing about the real ones.
To see those, add for example `"Qwen/Qwen2.5-7B-Instruct"` to `TOKENIZERS`: a tokenizer is about 10 MB, and no weights are fetched.
"""

# %% [markdown] lang="zh"
"""
“苹果”语料里有，是一个词元；“柠檬”没有，只好拆成字节，写作 `<E6>` 之类。
信息没有丢，只是序列变长了。
口袋分词器切出多少个，不能说明真实的那些。
想看真实的，把 `"Qwen/Qwen2.5-7B-Instruct"` 之类加进 `TOKENIZERS` 即可：一个分词器大约 10 MB，不会下载权重。
"""

# %% [markdown] lang="en"
"""
## How they write a conversation

A model reads one text.
How a conversation becomes that text is the **chat template**, and each family has learnt another one.
The same four messages by all of them (⏎ is a line break):
"""

# %% [markdown] lang="zh"
"""
## 对话怎样写成文本

模型读的是一整段文本。
一段对话怎样写成这段文本，由**对话模板**规定，每个家族学的都不一样。
同样四条消息，各家的写法如下（⏎ 表示换行）：
"""

# %%
messages = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "你好！"},
    {"role": "user", "content": "1 + 1 = ?"},
]


def render(name):
    text = tokenizer_of(name).apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    return text.replace("\n", "⏎")


CHATS = [f"pocket/{name}" for name in pocket.NAMES if name != "llama3-base"]
Table(t("model prompt", "模型 提示词").split(), [(name, render(name)) for name in CHATS])

# %% [markdown] lang="en"
"""
These are the marks the real families use.
The differences: whether the system prompt has a place of its own (Llama 2 and Mixtral put it into the first question; so does our pocket Mistral, while the real Mistral 7B v0.3 puts it into the last one), what ends a turn, and where the answer begins.
Yi uses Qwen's marks, ChatML.
Lesson [[llama]] measures what happens to a model that gets another family's template.
"""

# %% [markdown] lang="zh"
"""
这些标记就是各家族真正用的。
差别在于：系统提示词有没有单独的位置（Llama 2 和 Mixtral 把它塞进第一个问题，我们的口袋 Mistral 也是；真实的 Mistral 7B v0.3 则放进最后一个问题），一轮用什么结束，回答从哪里开始。
Yi 用的就是 Qwen 那套 ChatML 标记。
给模型套上别家的模板会怎样，第 [[llama]] 课会实测。
"""

# %% [markdown] lang="en"
"""
## What you may do with them

"Open" means that the weights can be had.
What may be done with them is in the licence, and it differs from model to model.
Of the models in the catalogue, by family:
"""

# %% [markdown] lang="zh"
"""
## 允许你拿来做什么

“开放”是说权重拿得到；能拿来做什么，要看许可证，而且同一家族的模型也各不相同。
目录里的模型，按家族统计：
"""

# %%
from labkit.catalog import not_legal_advice

ANSWERS = ("yes", "conditions", "no")
rows = []
for family in families():
    allowed = [terms(m)[0].commercial for m in models() if m.family == family.key]
    rows.append((str(family.name), *(str(allowed.count(answer)) for answer in ANSWERS)))
answers = t("yes conditions no", "可以 有条件 不可以").split()
Table((t("commercial use", "商用"), *answers), rows, not_legal_advice())

# %% [markdown] lang="en"
"""
Over time the licences have become freer.
Of the catalogue's models, the share that may be used commercially without further conditions, by the year of their release:
"""

# %% [markdown] lang="zh"
"""
许可证一年比一年宽松。
目录里的模型，按发布年份统计，可商用且不附加条件的占多少：
"""

# %%
for year in ("2023", "2024", "2025", "2026"):
    free = [terms(m)[0].commercial == "yes" for m in models() if m.release_date.startswith(year)]
    print(year, f"{sum(free):3} of {len(free):3}  {sum(free) / len(free):.0%}")

# %% [markdown] lang="en"
"""
## Which family for what

Where each lesson goes on, and what only this family shows so well:

| lesson | family | look at it for |
|---|---|---|
| [[llama]] | Llama | the architecture that all others vary; base and chat models; templates |
| [[qwen]] | Qwen | many sizes, Chinese, code, tool calling |
| [[chatglm]] | ChatGLM | an architecture of its own, roles for tools and agents |
| [[yi]] | Yi | long contexts and what they cost |
| [[deepseek]] | DeepSeek | experts, the compressed cache, reasoning and distillation |
| [[mistral]] | Mistral | the sliding window, Mixtral's experts, derived models |

Which one to *take* depends on your machine and need; lesson [[choose-a-model]] computes that.
"""

# %% [markdown] lang="zh"
"""
## 哪个家族看什么

后面每一课讲什么，以及哪一点在这个家族身上看得最清楚：

| 课 | 家族 | 看点 |
|---|---|---|
| [[llama]] | Llama | 其他各家都由它变化而来；基座与对话模型；模板 |
| [[qwen]] | Qwen | 尺寸齐全，中文，代码，工具调用 |
| [[chatglm]] | ChatGLM | 自成一格的架构，为工具和智能体准备的角色 |
| [[yi]] | Yi | 长上下文，以及它的代价 |
| [[deepseek]] | DeepSeek | 专家、压缩的缓存、推理与蒸馏 |
| [[mistral]] | Mistral | 滑动窗口，Mixtral 的专家，衍生模型 |

到底该*用*哪个，取决于你的机器和用途，第 [[choose-a-model]] 课会算给你看。
"""

# %% [markdown] lang="en"
"""
## Recap

- Parameters follow exactly from `config.json`; on the `meta` device the real model can be built and counted in a moment.
- Many families share one architecture: Llama's. They differ in data, tokenizer, template and licence.
- The KV cache of a token depends on layers and key-value heads, not on the size on the label. GQA and MLA make it small.
- A vocabulary with few Chinese characters makes Chinese twice as long.
- Each family reads its own chat template; each *model* has its own licence.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 参数量由 `config.json` 完全确定；在 `meta` 设备上，一眨眼就能搭出真实的模型来数。
- 许多家族共用一种架构，就是 Llama 的架构；差别在数据、分词器、模板和许可证。
- 每个词元的 KV 缓存取决于层数和 KV 头数，跟标签上的大小关系不大；GQA 和 MLA 让它变小。
- 词表里汉字少，同样的中文就会长出一倍。
- 模板跟着家族走；许可证跟着*具体模型*走。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Llama-3.2-1B is named "1B".
What share of its parameters is the embedding table, as a number from 0 to 1?
Use the configuration; mind that the output head uses the same table (`tie_word_embeddings`).
The check counts in the built model.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** Llama-3.2-1B 号称“1B”。
词嵌入表占它全部参数的多大比例？
请给出 0 到 1 之间的数。
用配置来算，并注意输出层用的是同一张表（`tie_word_embeddings`）。
检查时会在搭出来的模型里数。
"""

# %%
small = find("Llama-3.2-1B")
print(f"{small.parameters:,}", {k: small.config[k] for k in ("vocab_size", "hidden_size")})

# %% exercise="embedding-share"
embedding_share = None
### BEGIN SOLUTION
embedding_share = small.config["vocab_size"] * small.config["hidden_size"] / small.parameters
### END SOLUTION

# %% check="embedding-share" points=1
from labkit import course as lessons

built = build(small.config)
table = built.get_input_embeddings().weight.numel()
lessons.check(
    "family-album.embedding-share", embedding_share, table / built.num_parameters(), tolerance=1e-3
)

# %% [markdown] lang="en"
"""
**2.** You have 2 GiB left for the cache.
How many tokens of Yi-6B fit into it, and how many of Llama-2-7B?
(Memory only: leave the models' own limits of context aside.)
Give a dictionary from name to tokens; `per_token` helps.
"""

# %% [markdown] lang="zh"
"""
**2.** 留给缓存的内存还有 2 GiB。
Yi-6B 的缓存放得下多少个词元？
Llama-2-7B 呢？
（只看内存，不管模型自身的上下文上限。）
请给出一个从名字到词元数的字典，`per_token` 用得上。
"""

# %% exercise="tokens-left"
tokens_left = None
### BEGIN SOLUTION
tokens_left = {name: 2 * 2**30 // per_token[name] for name in ("Yi-6B", "Llama-2-7B")}
### END SOLUTION


# %% check="tokens-left" points=1
def judge(answer):
    for name in ("Yi-6B", "Llama-2-7B"):
        filled = lab.estimate(name, context=int(answer[name])).kv_cache
        if abs(filled - 2 * 2**30) > per_token[name]:
            says = show_bytes(filled)
            return t(f"{name}: so many take {says}.", f"{name}：这么多词元要占 {says}。")
    return True


lessons.check("family-album.tokens-left", tokens_left, judge)

# %% [markdown] lang="en"
"""
**3.** Measure your own language: write a text of about a hundred characters in the language you work in and cut it with a real tokenizer of your choice, as above.
How many characters does a token hold?
No check; keep the number, it turns a context into pages.
"""

# %% [markdown] lang="zh"
"""
**3.** 量一量你自己的文字：用你工作中的语言写一百来字，照上面的办法用一个真实的分词器切一切。
平均一个词元装几个字？
这题没有检查；把这个数记下来，以后就能把上下文长度换算成页数。
"""

# %% [markdown] lang="en"
"""
## On real models

All but the tokenizers was about real models already.
For those add `"Qwen/Qwen2.5-7B-Instruct"` or `"01-ai/Yi-6B-Chat"` to `TOKENIZERS` and `CHATS`: about 10 MB each, no weights.
Any other configuration can be built and counted as well, for example Qwen2.5-7B with twice the layers:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

除了分词器，这一课讲的本来就是真实模型。
要看真实的分词器和模板，把 `"Qwen/Qwen2.5-7B-Instruct"` 或 `"01-ai/Yi-6B-Chat"` 加进 `TOKENIZERS` 和 `CHATS`：每个大约 10 MB，不含权重。
别的配置也可以照样搭出来数，比如层数翻倍的 Qwen2.5-7B：
"""

# %%
double = dict(find("Qwen2.5-7B").config) | {"num_hidden_layers": 56}
print(f"{build(double).num_parameters():,}")
