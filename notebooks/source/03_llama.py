# %% [markdown] lang="en"
"""
# Llama: the architecture all others vary

**You will be able to** say what changed from Llama 2 to Llama 3 and what each change buys; turn a base model's continuation into an answer, and see what the chat template has to do with it; run the real Llama by three tools and tell beforehand whether it fits.

**You will learn** how GQA shares key-value heads without changing the arithmetic, why the vocabulary grew fourfold, what the base of the rotary positions does, and how much a wrong template costs, counted.

**You need** about 45 minutes, two CPU cores, 1 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# Llama：各家都从它变化而来

**学完你能**说清从 Llama 2 到 Llama 3 改了什么、每处改动换来了什么；看懂基座模型的续写怎样变成回答，对话模板在其中起什么作用；用三种工具运行真正的 Llama，并提前判断放不放得下。

**你会明白**GQA 怎样让几个头共用键和值而算法不变，词表为什么扩大到四倍，旋转位置编码的底数有什么用，以及模板用错要付出多大代价：这些都是数出来的。

**需要准备**大约 45 分钟，两个 CPU 核心，1 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## From Llama 2 to Llama 3

In July 2023 Meta published Llama 2, with weights and the right to use them in products; most open models since are built in its image.
Nine months later came Llama 3.
Side by side, from the catalogue:
"""

# %% [markdown] lang="zh"
"""
## 从 Llama 2 到 Llama 3

2023 年 7 月，Meta 发布 Llama 2，公开权重，也允许用在产品里；此后的开放模型大多照着它的样子搭。
九个月后，Llama 3 来了。
照目录并排看：
"""

# %%
from labkit.catalog import find

NAMES = ("Llama-2-7B", "Llama-2-70B", "Llama-3-8B", "Llama-3-70B", "Llama-3.1-8B")
FIELDS = ("num_attention_heads", "num_key_value_heads", "vocab_size", "intermediate_size")
FIELDS += ("max_position_embeddings", "rope_theta")
print(f"{'':24}", *(f"{name:>13}" for name in NAMES))
for field in FIELDS:
    print(f"{field:24}", *(f"{find(name).config[field]:13,.0f}" for name in NAMES))

# %% [markdown] lang="en"
"""
All of them are of one class, `LlamaForCausalLM`: not a line of code differs, only these numbers.
Four things moved: the key-value heads (for the small model; the 70B had only 8 already in Llama 2), the vocabulary, the rotary base with the context, and the width of the feed-forward part (`intermediate_size`, again only in the small model).
The width comes up where we count parameters; the other three have a section each, on pocket models of the same class:
"""

# %% [markdown] lang="zh"
"""
它们都是同一个类 `LlamaForCausalLM`：代码一行不差，变的只有这些数。
动了的有四处：KV 头数（小模型才变，70B 从 Llama 2 起就是 8 个）、词表、旋转底数和上下文，还有前馈部分的宽度（`intermediate_size`，也只有小模型变了）。
宽度到数参数时再说，另外三处各有一节，用的是同一个类的口袋模型：
"""

# %%
import labkit as lab

MODEL, OLDER, BASE = "pocket/llama3", "pocket/llama2", "pocket/llama3-base"
model, older = lab.load(MODEL), lab.load(OLDER)
for m in (older, model):
    c = m.config
    print(f"{m.name:14} {type(m.model).__name__} {c.num_attention_heads}/{c.num_key_value_heads}")
print(model.location.note)

# %% [markdown] lang="en"
"""
## MHA → GQA: sharing keys and values

Attention asks with **queries** and looks up **keys** and **values**.
In Llama 2 7B each of 32 query heads has a key-value head of its own (**MHA**, multi-head attention); in Llama 3 8B four query heads share one (**GQA**, grouped-query attention, Ainslie et al. 2023).
Our pocket siblings have 4 query heads, and 4 or 2 key-value heads.
One layer of each:
"""

# %% [markdown] lang="zh"
"""
## MHA → GQA：共用键和值

注意力用**查询**（query）去找**键**（key），取回**值**（value）。
Llama 2 7B 有 32 个查询头，每个都配一个自己的 KV 头（**MHA**，多头注意力）；Llama 3 8B 里四个查询头共用一个（**GQA**，分组查询注意力，Ainslie 等，2023）。
我们的两个口袋模型都是 4 个查询头，KV 头分别是 4 个和 2 个。
各看一层：
"""

# %%
for m in (older, model):
    attention = m.model.model.layers[0].self_attn
    shapes = [tuple(getattr(attention, f"{p}_proj").weight.shape) for p in "qkv"]
    print(m.name, *shapes)

# %% [markdown] lang="en"
"""
Is GQA another computation, or the same with less to store?
We can find out: give each query head of `pocket/llama3` a copy of the key-value head it shares, and we have an MHA model.
Will its answers differ?
"""

# %% [markdown] lang="zh"
"""
GQA 是另一种算法，还是同样的算法、只是少存一些？
试一下就知道：给 `pocket/llama3` 的每个查询头都复制一份它共用的 KV 头，就得到一个 MHA 模型。
它的输出会变吗？
"""

# %%
from labkit.widgets.prediction import ask

ask("llama.copied-heads")

# %%
from transformers import LlamaConfig, LlamaForCausalLM


def rebuild(source, weights, **changes):
    config = LlamaConfig(**source.config.to_dict() | changes)
    copy = LlamaForCausalLM(config).eval()
    copy.load_state_dict(weights)
    return copy


weights = dict(model.model.state_dict())
for name, w in weights.items():
    if "k_proj" in name or "v_proj" in name:
        heads = w.view(2, 64, -1)
        weights[name] = heads.repeat_interleave(2, dim=0).reshape(4 * 64, -1)
mha = rebuild(model.model, weights, num_key_value_heads=4)

# %%
import torch

question = [{"role": "user", "content": "47 + 38 = ?"}]
prompt = model.tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_tensors="pt"
)
with torch.no_grad():
    shared, copied = model.model(**prompt), mha(**prompt)
print(prompt.input_ids.shape[1], (shared.logits - copied.logits).abs().max().item() < 1e-4)

# %% [markdown] lang="en"
"""
The same outputs.
GQA is MHA whose heads hold copies, and copies need not be stored.
What was saved stands in the cache; measured, and by the formula:
"""

# %% [markdown] lang="zh"
"""
输出完全一样。
可见 GQA 就是若干个头内容相同的 MHA，而相同的内容不必存几份。
省下来的就在缓存里，量一下，再用公式算一下：
"""

# %%
tokens = prompt.input_ids.shape[1]
for kv_heads, output in ((2, shared), (4, copied)):
    size = sum(layer.keys.nbytes + layer.values.nbytes for layer in output.past_key_values.layers)
    print(size, size == 2 * 4 * kv_heads * 64 * 4 * tokens)

# %% [markdown] lang="en"
"""
(2 for keys and values × 4 layers × heads × 64 numbers × 4 bytes × tokens.)
On the real ones, for a full context of 8,192 tokens in 16 bits, as they are and as if every head kept its own:
"""

# %% [markdown] lang="zh"
"""
（键和值共 2 × 4 层 × 头数 × 每头 64 个数 × 4 字节 × 词元数。）
换成真实模型，8,192 个词元，16 位：实际的，以及假如每个头都存自己的：
"""

# %%
from labkit.core.units import show_bytes

for name in ("Llama-3-8B", "Llama-3-70B"):
    c = find(name).config
    full = dict(c) | {"num_key_value_heads": c["num_attention_heads"]}
    real, mha_size = (lab.estimate(x, context=8192).kv_cache for x in (name, full))
    print(f"{name:12}{show_bytes(real):>10}{show_bytes(mha_size):>10}")

# %% [markdown] lang="en"
"""
What does GQA cost, then?
Freedom: heads that share cannot look for different things.
Meta reports the choice as a gain in inference speed; that it costs little quality was measured by Ainslie et al. on T5.
Nothing here measures it: our pocket models are too small for that.
"""

# %% [markdown] lang="zh"
"""
那 GQA 的代价是什么？
是自由度：共用的头没法各找各的东西。
按 Meta 的说法，这样选是为了推理更快；质量损失很小，是 Ainslie 等人在 T5 上测出来的。
我们这里没有测这一点，口袋模型太小，测不出来。
"""

# %% [markdown] lang="en"
"""
## A vocabulary four times as large

From 32,000 to 128,256 entries.
What it costs is easy to compute, the table and the head it needs:
"""

# %% [markdown] lang="zh"
"""
## 词表扩大到四倍

从 32,000 项到 128,256 项。
代价好算，就是词嵌入表和输出层：
"""

# %%
for name in ("Llama-2-7B", "Llama-3-8B"):
    m = find(name)
    tables = 2 * m.config["vocab_size"] * m.config["hidden_size"]
    print(f"{name}: {tables / 1e6:6,.0f} M {tables / m.parameters:6.1%}")

# %% [markdown] lang="en"
"""
789 million parameters more.
Is that the step from 7B to 8B?
Not by itself: fewer key-value heads gave parameters back, and a wider feed-forward part took more than that.
To the last parameter:
"""

# %% [markdown] lang="zh"
"""
多出 7.89 亿参数。
从 7B 到 8B，差的就是这些吗？
没那么简单：KV 头少了，省回一些参数；前馈部分加宽，又用掉更多。
一个参数都不差地算一遍：
"""

# %%
a, b = find("Llama-2-7B"), find("Llama-3-8B")
layers, width = a.config["num_hidden_layers"], a.config["hidden_size"]
more = {field: b.config[field] - a.config[field] for field in FIELDS}
step = {
    "vocab_size": 2 * width * more["vocab_size"],
    "num_key_value_heads": 2 * layers * width * a.config["head_dim"] * more["num_key_value_heads"],
    "intermediate_size": 3 * layers * width * more["intermediate_size"],
}
for field, change in step.items():
    print(f"{field:20}{change / 1e6:+8,.0f} M")
print(sum(step.values()) == b.parameters - a.parameters)

# %% [markdown] lang="en"
"""
What the vocabulary buys is shorter texts, counted with the real tokenizers (sources in lesson [[family-album]]):
"""

# %% [markdown] lang="zh"
"""
词表换来的是文本变短，用真实的分词器数过（出处见第 [[family-album]] 课）：
"""

# %%
from labkit.catalog.token_counts import sample_texts, token_counts
from labkit.core.i18n import t

print(t("characters", "字符"), {name: len(text) for name, text in sample_texts().items()})
for row in token_counts():
    if row.name.startswith("Llama"):
        print(row.name, {name: getattr(row, name) for name in sample_texts()})

# %% [markdown] lang="en"
"""
Little for English, a fifth for code, nearly half for Chinese.
Shorter means cheaper: each token saved is a step of computing and its share of cache saved.
But a vocabulary is not yet a skill.
Which languages the makers themselves name:
"""

# %% [markdown] lang="zh"
"""
英文省得不多，代码省五分之一，中文省了将近一半。
短了就便宜：每少一个词元，就少算一步，少占一份缓存。
不过词表里有，不等于会说。
看看官方自己声明支持哪些语言：
"""

# %%
for name in ("Llama-2-7B", "Llama-3-8B", "Llama-3.1-8B", "Qwen2.5-7B"):
    print(f"{name:13}", *find(name).languages)

# %% [markdown] lang="en"
"""
No Chinese among Llama's: the vocabulary can write it, the maker does not promise it.
For Chinese take a family that does (lesson [[qwen]]).
"""

# %% [markdown] lang="zh"
"""
Llama 里没有中文：词表写得出，官方却没有承诺。
要用中文，就选官方声明支持的家族（第 [[qwen]] 课）。
"""

# %% [markdown] lang="en"
r"""
## The rotary base

A transformer by itself does not know the order of tokens.
Llama turns each pair of numbers in queries and keys by an angle proportional to the position (**RoPE**, Su et al. 2021): the first pair quickly, the last slowly.
Pair $i$ of $d/2$ comes round once every $2\pi \cdot \mathrm{base}^{2i/d}$ tokens:
"""

# %% [markdown] lang="zh"
r"""
## 旋转底数

Transformer 本身不知道词元的先后。
Llama 的办法是把查询和键里的数两两一组，按位置转一个角度（**RoPE**，苏剑林等，2021）：第一组转得快，最后一组转得慢。
$d/2$ 组中的第 $i$ 组，每 $2\pi \cdot \mathrm{base}^{2i/d}$ 个词元转满一圈：
"""

# %%
import math

from labkit.plots import draw_lines

PAIRS = range(0, 64, 7)


def turn(base, i, head_dim=128):
    return 2 * math.pi * base ** (2 * i / head_dim)


draw_lines(
    {name: [(i, turn(find(name).config["rope_theta"], i)) for i in PAIRS] for name in NAMES[:3:2]},
    title=t("Tokens until a pair has turned once", "每一组转满一圈要多少词元"),
    x=t("pair", "第几组"),
    y=t("tokens", "词元"),
    log_y=True,
    limits={t("4,096 tokens", "4,096 词元"): 4096, t("131,072 tokens", "131,072 词元"): 131072},
)

# %% [markdown] lang="en"
"""
A pair that has not turned round within the context gives every position an angle of its own; one that has turned often tells near neighbours apart.
With base 10,000 the slowest pairs come round after some 54,000 tokens; with 500,000 after two and a half million, and more pairs are slow.
That leaves room to train on longer texts.
(Llama 3.1 reached 131,072 by stretching the slow pairs further, `rope_scaling`, and training on.)
"""

# %% [markdown] lang="zh"
"""
在整个上下文里都没转满一圈的组，每个位置的角度都不同，能分清远近；转了很多圈的组，用来分清紧挨着的位置。
底数是 10,000 时，最慢的组约 54,000 个词元转一圈；换成 500,000，要两百五十万个词元，转得慢的组也更多。
这就为训练更长的文本留出了余地。
（Llama 3.1 用 `rope_scaling` 把慢的组再拉长，并继续训练，做到了 131,072。）
"""

# %%
print(find("Llama-3.1-8B").config["rope_scaling"])
for base in (10_000, 500_000):
    print(f"{base:>8,}", f"{turn(base, 63):>10,.0f}", sum(turn(base, i) > 4096 for i in range(64)))

# %% [markdown] lang="en"
"""
The base is one number in `config.json`, and a weight of nothing: changing it loads without complaint.
But the model has learnt with it.
Twenty sums and twenty words, answered by `pocket/llama3` with its own base and with others:
"""

# %% [markdown] lang="zh"
"""
底数只是 `config.json` 里的一个数，不对应任何权重，改了照样加载，不报错。
可是模型是按它学的。
拿二十道加法、二十个单词考 `pocket/llama3`，先用它自己的底数，再换别的：
"""

# %%
from labkit.core.progress import track
from labkit.evaluation.scoring import answers
from labkit.pocket.corpus import held_out

items = [item for skill in ("sums", "lexicon") for item in held_out(skill, 20)]


def count_right(network):
    return sum(said == right for said, right in answers(network, model.tokenizer, items))


# %% varies="a question on the edge may fall either way on another processor"
right = {}
for base in track((500_000, 50_000, 10_000, 1_000), "bases"):
    rope = {"rope_type": "default", "rope_theta": float(base)}
    right[base] = count_right(rebuild(model.model, model.model.state_dict(), rope_parameters=rope))
    print(f"{base:>8,}: {right[base]} of {len(items)}")

# %%
print(right[500_000] >= 34, right[500_000] > right[10_000] > right[1_000])

# %% [markdown] lang="en"
"""
A pocket result, and a general rule: a converter that loses or rounds this number damages a model silently.
If a model you converted talks nonsense, look here first.
Lesson [[yi]] changes the base on purpose, to reach farther.
"""

# %% [markdown] lang="zh"
"""
这是口袋模型的结果，道理却是通用的：格式转换时丢了或改了这个数，模型就悄悄坏掉了。
自己转换的模型要是胡言乱语，先查这里。
第 [[yi]] 课会有意去改底数，让它看得更远。
"""

# %% [markdown] lang="en"
"""
## Base and chat

Llama is published twice: as a **base** model, trained to continue texts, and as a **chat** model (`-chat`, `-Instruct`), trained on from there with conversations.
We have both: `pocket/llama3-base` is `pocket/llama3` before it learnt to chat.
The same question, as plain text:
"""

# %% [markdown] lang="zh"
"""
## 基座与对话

Llama 每次都发布两个版本：**基座**模型，学的是续写文本；**对话**模型（名字带 `-chat` 或 `-Instruct`），在基座上用对话继续训练。
两个我们都有：`pocket/llama3-base` 就是 `pocket/llama3` 学会对话之前的样子。
同一个问题，按普通文本给它们：
"""

# %%
from labkit.conversation.chat_templates import render

base = lab.load(BASE)


def complete(m, prompts, limit=12):
    batch = m.tokenizer(
        prompts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt"
    )
    out = m.model.generate(**batch, max_new_tokens=limit, do_sample=False)
    return out[:, batch.input_ids.shape[1] :].tolist()


# %% varies="what a base model rambles on with is a matter of last digits"
plain = f"{model.tokenizer.bos_token}47 + 38 = ?\n"
for m in (base, model):
    print(m.name, repr(m.tokenizer.decode(complete(m, [plain], 24)[0])))

# %% [markdown] lang="en"
"""
The base model knows the answer, and does not know that it should stop: to it a text goes on.
Now count, for both models and for both ways of asking, how often the first line is right (first number) and how often the model ends by itself within twelve tokens (second):
"""

# %% [markdown] lang="zh"
"""
基座模型知道答案，却不知道该停：在它看来，文本总要往下写。
现在来数：两个模型、两种问法，第一行答对多少次（前一个数），十二个词元之内自己停下来多少次（后一个数）：
"""

# %%
STOPS = model.stop_ids
ASKED = [item.messages for item in items]


def score(m, write):
    right = stopped = 0
    replies = complete(m, [write(question) for question, _ in ASKED])
    for ids, (_, expected) in zip(replies, ASKED, strict=True):
        said = m.tokenizer.decode(ids, skip_special_tokens=True).strip()
        right += said.partition("\n")[0] == expected["content"]
        stopped += any(id in STOPS for id in ids)
    return right, stopped


def as_text(question):
    return f"{model.tokenizer.bos_token}{question['content']}\n"


def as_chat(question, template=model.chat_template, ready=True):
    return render(template, [question], None, model.special_tokens, add_generation_prompt=ready)


# %% varies="a question on the edge may fall either way on another processor"
table = {}
for m in track((base, model), "base and chat"):
    for write in (as_text, as_chat):
        table[m.name, write.__name__] = score(m, write)
        print(f"{m.name:19}{write.__name__:8}", *table[m.name, write.__name__])

# %%
print(table[BASE, "as_text"][0] >= 34, table[BASE, "as_text"][1] == 0)
print(min(table[MODEL, "as_chat"]) >= 34, table[BASE, "as_chat"][0] <= 10)

# %% [markdown] lang="en"
"""
Four times true: as text the base model is right, and never stops; the chat model is right and stops; the base model in a chat template is lost.
What chat training taught here is not knowledge.
It is form: who speaks when, and when to stop.
The base model is not a worse model but an unfinished one: take it to train on (lessons [[lora]] and [[qlora]]), take the chat model to talk to.
And a base model that is sent a chat template sees marks it has never met.
"""

# %% [markdown] lang="zh"
"""
四个都成立：按普通文本问，基座答得对，但从不停下；对话模型又对又停；基座套上对话模板就不知所措。
可见在这里，对话训练教的不是知识，是形式：轮到谁说话，什么时候停。
基座模型不是差，只是没完工：要继续训练，用基座（第 [[lora]]、[[qlora]] 课）；要拿来对话，用对话版。
至于给基座套上对话模板，那些标记它根本没见过。
"""

# %% [markdown] lang="en"
"""
## Templates, right and wrong

Llama 2 and Llama 3 write the same conversation so:
"""

# %% [markdown] lang="zh"
"""
## 模板：用对与用错

同一段对话，Llama 2 和 Llama 3 的写法是：
"""

# %%
talk = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "47 + 38 = ?"},
    {"role": "assistant", "content": "85"},
    {"role": "user", "content": "And + 1?"},
]
for m in (older, model):
    print(render(m.chat_template, talk, None, m.special_tokens), end="\n\n")

# %% [markdown] lang="en"
"""
`[INST]` in Llama 2 is plain text, three tokens of it in the real tokenizer; `<|start_header_id|>` in Llama 3 is one token that no user can type by accident.
Such marks are learnt, not understood.
What will happen to `pocket/llama3` if it is given another family's template, and how would you notice?
"""

# %% [markdown] lang="zh"
"""
Llama 2 的 `[INST]` 是普通文字，真实的分词器把它切成三个词元；Llama 3 的 `<|start_header_id|>` 是一个专用词元，用户不会无意中打出来。
这些标记是学会的，不是理解的。
给 `pocket/llama3` 套上别家的模板会怎样？
你又怎么发现得了？
"""

# %%
ask("llama.wrong-template")

# %% varies="a question on the edge may fall either way on another processor"
from functools import partial

OTHERS = ("llama2", "qwen2.5", "chatglm3", "deepseek-v2", "mistral")
templates = {name: lab.load(f"pocket/{name}").chat_template for name in OTHERS}
counts = {"llama3": table[MODEL, "as_chat"], "(text)": table[MODEL, "as_text"]}
for name in track(OTHERS, "templates"):
    counts[name] = score(model, partial(as_chat, template=templates[name]))
counts["not ready"] = score(model, partial(as_chat, ready=False))
for name, (right, stopped) in counts.items():
    print(f"{name:12}{right:3}{stopped:4} / {len(ASKED)}")

# %%
wrong = [counts[name][0] for name in OTHERS]
print(counts["llama3"][0] >= 34, max(wrong) <= 10, counts["not ready"][0] < counts["llama3"][0])

# %% [markdown] lang="en"
"""
The same weights, the same questions; right answers on the left, answers that stopped on the right.
With its own template nearly all is right; with another's next to nothing; without any it does better than with a wrong one; and with its own, but without the opening of the answer (`add_generation_prompt`), many are lost.
No error appears anywhere.
A large model is more robust, it has seen much: there a wrong template shows as answers that are a little worse, do not stop, or speak for the user.
So:

- Take the template that comes with the model (`tokenizer.apply_chat_template`, or what is stored in the GGUF), never one typed by hand.
- Judge a model only after looking at the text it really gets.
"""

# %% [markdown] lang="zh"
"""
权重没变，题目没变；左边是答对的次数，右边是停下来的次数。
用自己的模板，几乎全对；套别家的，几乎全错；什么都不套，反倒比套错强；模板对了、但漏掉回答的开头（`add_generation_prompt`），也要错掉许多。
从头到尾没有一处报错。
大模型见得多，没这么脆弱：模板用错，只是回答差一点、停不下来，或者替用户说起话来。
所以：

- 模板就用模型自带的（`tokenizer.apply_chat_template`，或 GGUF 里存的那份），不要手写；
- 评价一个模型之前，先看看它实际收到的文本。
"""

# %% [markdown] lang="en"
"""
## Strengths and limits

Published scores of the chat models, measured by Meta the same way where the number in brackets is the same:
"""

# %% [markdown] lang="zh"
"""
## 长处与短处

对话版已发表的得分。
方括号里编号相同的，是 Meta 用同一种办法测的：
"""

# %%
lab.published_scores("llama", ["MMLU", "GSM8K", "HumanEval", "MATH"], variant="chat")

# %% [markdown] lang="en"
"""
In nine months an 8B model passed the 70B of the generation before in every column.
Beside Qwen2.5, its contemporary, the base models, mostly by measurements of Qwen's makers, in two tables of one report, [1] and [3] (mind whose they are):
"""

# %% [markdown] lang="zh"
"""
九个月里，8B 就在每一列都超过了上一代的 70B。
再和同时期的 Qwen2.5 比基座模型，数据大多出自 Qwen 团队同一份报告里的两张表，即 [1] 和 [3]（注意是谁测的）：
"""

# %%
lab.published_scores(
    ["Llama-3-8B", "Qwen2.5-7B", "Llama-4-Scout", "Qwen2.5-72B"], ["GSM8K", "MATH"], "base"
)

# %% [markdown] lang="en"
"""
**Use it when** you want a model that nearly every tool supports and for which many derived models exist; when you work in English or another language its card names; when its licence suits you.
**Look elsewhere** for Chinese, for mathematics and code at the same size, and when a licence without conditions matters: all Llama licences have some, and none is an open-source licence:
"""

# %% [markdown] lang="zh"
"""
**适合用它的时候**：想要一个几乎所有工具都支持、现成的衍生模型也多的；用英语或模型卡列出的其他语言；许可证合你的意。
**不如换别家**：用中文；同样大小、更看重数学和代码；在意许可证不带条件。
Llama 的许可证都带条件，没有一个算得上开源许可证：
"""

# %%
from labkit.catalog import licenses

for key in ("llama2", "llama3", "llama3.1"):
    print(f"{licenses()[key].name}: {licenses()[key].conditions}\n")

# %% [markdown] lang="en"
"""
## What became of the family

For each model of the course the one to take today:
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了

课程里的每个模型，如今该换成哪个：
"""

# %%
lab.heirs("llama")

# %% [markdown] lang="en"
"""
For one computer the line has stood still since the end of 2024: Llama 3.1 8B and the small 3.2 models have no heir in the catalogue.
Llama 4 went on as a mixture of experts that needs more than 60 GiB.
So Llama 3.1 8B is today what it is: well supported, well known, no longer the strongest of its size.
What is newer stands in lesson [[qwen]], and in the picker of lesson [[choose-a-model]].
"""

# %% [markdown] lang="zh"
"""
就单台电脑能跑的来说，这条线从 2024 年底起就停住了：Llama 3.1 8B 和小号的 3.2，目录里都没有接班人。
Llama 4 改走混合专家路线，内存要 60 GiB 以上。
所以 Llama 3.1 8B 如今的位置是：支持最全，资料最多，但同尺寸里已不是最强。
更新的选择见第 [[qwen]] 课，或者用第 [[choose-a-model]] 课的选型器。
"""

# %% [markdown] lang="en"
"""
## Run the real one

The exact lines, what they download, once, and what they then need:
"""

# %% [markdown] lang="zh"
"""
## 运行真正的 Llama

该输入什么、下载多少（只下一次）、运行时要多少内存，都在这里：
"""

# %%
lines = lab.run_lines("Llama-3.1-8B")
lines

# %% varies="this machine's memory"
lines.here()

# %% [markdown] lang="en"
"""
`pipeline` is imported by `from transformers import pipeline`; it takes a list of messages and applies the template itself. llama.cpp and Ollama take the template from the GGUF.
"""

# %% [markdown] lang="zh"
"""
`pipeline` 用 `from transformers import pipeline` 引入，传给它消息列表，模板会自动套好。
llama.cpp 和 Ollama 用的是 GGUF 里自带的模板。
"""

# %% [markdown] lang="en"
"""
## Recap

- Llama 2 and 3 are one class with other numbers in `config.json`.
- GQA is MHA with copied heads, and copies need no memory: a quarter of the cache for the 8B.
- A larger vocabulary costs parameters and makes texts shorter, Chinese most of all.
- The rotary base belongs to the weights although it is none: change it and the model breaks, without an error.
- Chat training teaches form. The template is part of the model; a wrong one costs more than none.
"""

# %% [markdown] lang="zh"
"""
## 小结

- Llama 2 和 3 是同一个类，只是 `config.json` 里的数不同。
- GQA 就是头内容相同的 MHA，相同的不必重复存：8B 的缓存只要四分之一。
- 词表变大，参数多一些，文本短一些，中文受益最多。
- 旋转底数不是权重，却和权重绑在一起：改了它，模型就坏了，而且不报错。
- 对话训练教的是形式。模板是模型的一部分，套错比不套还糟。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Write by hand, as one string, what Llama 3 must be sent for a single user message `2 + 2 = ?`, ready for the answer: from `<|begin_of_text|>` on.
The check asks the template.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 用户只发一条消息 `2 + 2 = ?`。
请手写出送给 Llama 3 的完整文本，写成一个字符串：从 `<|begin_of_text|>` 开始，到可以作答为止。
检查时会和模板对照。
"""

# %% exercise="by-hand"
prompt_by_hand = None
### BEGIN SOLUTION
prompt_by_hand = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n2 + 2 = ?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
### END SOLUTION

# %% check="by-hand" points=1
from labkit import course


def same(text):
    wanted = as_chat({"role": "user", "content": "2 + 2 = ?"})
    if text == wanted:
        return True
    at = next((n for n, (a, b) in enumerate(zip(text, wanted, strict=False)) if a != b), len(text))
    return t(f"It differs from character {at + 1} on.", f"从第 {at + 1} 个字符起不一样。")


course.check("llama.by-hand", prompt_by_hand, same)

# %% [markdown] lang="en"
"""
**2.** Suppose Llama 3 70B had been built with MHA.
How many bytes more would the cache take for one conversation of 8,192 tokens in 16 bits?
Compute it from `config`; the check asks the estimate.
"""

# %% [markdown] lang="zh"
"""
**2.** 假如 Llama 3 70B 用的是 MHA。
一段 8,192 个词元的对话，16 位，缓存要多占多少字节？
请用 `config` 里的数算，检查时会和估算结果对照。
"""

# %%
config = find("Llama-3-70B").config
config

# %% exercise="mha-70b"
bytes_more = None
### BEGIN SOLUTION
more_heads = config["num_attention_heads"] - config["num_key_value_heads"]
bytes_more = 2 * config["num_hidden_layers"] * more_heads * config["head_dim"] * 2 * 8192
### END SOLUTION

# %% check="mha-70b" points=1
with_mha = dict(config) | {"num_key_value_heads": config["num_attention_heads"]}
sizes = [lab.estimate(c, context=8192).kv_cache for c in (with_mha, config)]
course.check("llama.mha-70b", bytes_more, sizes[0] - sizes[1])

# %% [markdown] lang="en"
"""
**3.** Without a check: `as_chat` with a template of your own.
Take Llama 3's and leave out or change one mark, the line breaks for example, and count with `score`.
Which parts does the model lean on most?
"""

# %% [markdown] lang="zh"
"""
**3.** 没有检查的一题：给 `as_chat` 换上你自己的模板。
在 Llama 3 的模板里去掉或改动一个标记，比如换行，再用 `score` 数一数。
模型最依赖的是哪些部分？
"""

# %% [markdown] lang="en"
"""
## On real models

One line changes: `MODEL, OLDER, BASE = "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-2-7b-chat-hf", "meta-llama/Llama-3.2-1B"`; in the copying cell 2, 4 and 64 become its 8, 32 and 64, and the 2 in `repeat_interleave` becomes 32/8 = 4; answers come in sentences, so count what contains the answer.
`OLDER` alone downloads 12.6 GiB and needs as much memory.
What the small one downloads and needs in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改一行：`MODEL, OLDER, BASE = "meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-2-7b-chat-hf", "meta-llama/Llama-3.2-1B"`；复制头的那一格里，2、4、64 换成 8、32、64，`repeat_interleave` 里的 2 换成 32/8 = 4；真实模型用整句作答，所以要数“包含答案”的次数。
光是 `OLDER` 就要下载 12.6 GiB，内存也要这么多。
小的那个用 16 位，要下载和占用的是：
"""

# %%
e = lab.estimate("Llama-3.2-1B", engine="transformers", context=1024)
print(show_bytes(2 * find("Llama-3.2-1B").parameters), show_bytes(e.total))
