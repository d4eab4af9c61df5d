# %% [markdown] lang="en"
"""
# Choose a model: which one can I run, and which one should I?

**You will be able to** say for any computer which models run on it, how much memory each takes and about how fast it answers; check that figure with a pocket calculator; choose by need, by memory and by licence, and defend the choice.

**You will learn** where every byte goes, why "4 bits" is not 4 bits and "8 GB" is not 8 GB, what a long conversation costs, what decides a ranking, and what to do when nothing fits.

**You need** about 45 minutes, two CPU cores, 0.2 GiB of free memory.
Download: 0.
Nothing is loaded here: all models are real ones, and everything about them is arithmetic.
"""

# %% [markdown] lang="zh"
"""
# 选一个合适的模型：跑得动哪个，该用哪个

**学完你能**对任何一台电脑说出它跑得动哪些模型、各占多少内存、大约多快；用计算器核对这些数字；按用途、内存和许可证挑出一个，并讲得出理由。

**你会明白**每个字节用在了哪里，为什么“4 位”不是 4 位、“8 GB”也不是 8 GB，对话变长要付出什么代价，排名是怎么排出来的，以及都放不下时怎么办。

**需要准备**大约 45 分钟，两个 CPU 核心，0.2 GiB 空闲内存。
下载量：0。
这一课不加载任何模型：讨论的都是真实模型，用到的只有算术。
"""

# %% [markdown] lang="en"
"""
## One equation

> memory = weights + KV cache + runtime

The weights are the model.
The **KV cache** is its memory of the conversation so far.
The runtime is scratch space to compute in.
Here is the sum for one model; the next three sections work out each line by hand.
"""

# %% [markdown] lang="zh"
"""
## 一个等式

> 内存 = 权重 + KV 缓存 + 运行缓冲

权重就是模型本身；**KV 缓存**是它对这段对话的记忆；运行缓冲是计算时用的草稿纸。
先看一个模型的总账，后面三节再逐项手算。
"""

# %%
import labkit as lab
from labkit.core.units import show_bytes

MODEL, CONTEXT = "Qwen2.5-7B", 8192
e = lab.estimate(MODEL, quant="Q4_K_M", context=CONTEXT)
for part in ("weights", "kv_cache", "runtime", "total"):
    print(f"{part:10}{getattr(e, part):>15,}{show_bytes(getattr(e, part)):>12}")

# %% [markdown] lang="en"
"""
## Weights: parameters × bits ÷ 8

The number of parameters is exact and stands in the catalogue.
At 16, 8 and 4 bits each:
"""

# %% [markdown] lang="zh"
"""
## 权重：参数量 × 位数 ÷ 8

目录里的参数量是精确值。
每个参数用 16 位、8 位、4 位来存，分别是：
"""

# %%
from labkit.catalog import find

model = find(MODEL)
print(f"{model.parameters:,}")
for bits in (16, 8, 4):
    print(bits, show_bytes(model.parameters * bits // 8))

# %% [markdown] lang="en"
"""
`Q4_K_M` is what llama.cpp fetches when you name no type, and "Q4" means 4 bits.
Before you run on:
"""

# %% [markdown] lang="zh"
"""
不指定类型时，llama.cpp 下载的就是 `Q4_K_M`，“Q4”是 4 位的意思。
往下运行之前，先猜一猜：
"""

# %%
from labkit.widgets.prediction import ask

ask("choose-a-model.four-bits")

# %%
from labkit.core.units import bits_per_weight

print(f"{e.weights:,}", f"{bits_per_weight(e.weights, model.parameters):.2f}")

# %% [markdown] lang="en"
"""
Nearly five bits.
Two things add up to that.
First, weights are stored in **blocks**, and a block carries its own scales and minimums: weight = scale × number − minimum.
A super-block of `Q4_K` holds 256 weights, eight blocks of 32.
The 4-bit numbers take 128 bytes.
A scale and a minimum of 6 bits each for every block take 12 bytes.
Two more numbers in fp16, by which all scales and all minimums are multiplied, take 4 (llama.cpp, `ggml-common.h`):
"""

# %% [markdown] lang="zh"
"""
将近 5 位。
多出来的有两处。
第一，权重是按**块**存的，每块自带缩放系数和最小值：权重 = 缩放系数 × 整数 − 最小值。
`Q4_K` 的一个超级块装 256 个权重，分成八个 32 个一组的小块。
4 位的整数占 128 字节；每个小块一个缩放系数、一个最小值，各 6 位，共 12 字节；还有两个 fp16 的数，分别乘在所有缩放系数和所有最小值上，共 4 字节（llama.cpp 的 `ggml-common.h`）：
"""

# %%
from labkit.gguf.quant_types import BLOCKS

for kind in ("Q4_K", "Q6_K", "F32"):
    size, weights = BLOCKS[kind]
    print(f"{kind:4}  8 × {size:3} / {weights:3} = {8 * size / weights:.4g}")

# %% [markdown] lang="en"
"""
Second, the `M` of `Q4_K_M` stands for a **mixture**.
Some tensors suffer more from rounding, and get more bits: the output head, and in half of the layers the value and down projections.
Vectors stay in 32 bits.
All of the rule that this model needs (llama.cpp, `src/llama-quant.cpp`) fits into a cell:
"""

# %% [markdown] lang="zh"
"""
第二，`Q4_K_M` 里的 `M` 表示**混合**。
有些张量更怕舍入误差，就多给几位：输出层，以及半数层里的 value 投影和 down 投影。
向量保持 32 位。
这个模型用得到的规则（llama.cpp 的 `src/llama-quant.cpp`），一格代码就写得下：
"""

# %%
n = model.num_hidden_layers
finer = {i for i in range(n) if i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2}


def stored(name, layer):
    if "norm" in name or not name.endswith("weight"):
        return "F32"
    if name == "output.weight":
        return "Q6_K"
    return "Q6_K" if layer in finer and name.startswith(("attn_v.", "ffn_down.")) else "Q4_K"


sorted(finer)

# %% [markdown] lang="en"
"""
Now add up all tensors.
Their shapes follow from the model's `config.json`:
"""

# %% [markdown] lang="zh"
"""
再把所有张量加起来。
它们的形状都能从模型的 `config.json` 推出来：
"""

# %%
from collections import Counter

from labkit.architecture.layers import read_architecture
from labkit.architecture.tensors import list_tensors

counts = Counter()
for tensor in list_tensors(read_architecture(model.config)):
    for layer in tensor.layers or [None]:
        counts[stored(tensor.name, layer)] += tensor.size
counts

# %%
by_hand = 0
for kind, count in counts.items():
    size, weights = BLOCKS[kind]
    by_hand += count * size // weights
    print(f"{kind}: {count / model.parameters:6.2%} {show_bytes(count * size // weights):>9}")
print(f"{by_hand:,}", by_hand == e.weights)

# %% [markdown] lang="en"
"""
To the byte.
A file has a header too, mostly the vocabulary.
The one that *bartowski/Qwen2.5-7B-Instruct-GGUF* offers on Hugging Face has 4,683,074,240 bytes; how far is the estimate from it?
"""

# %% [markdown] lang="zh"
"""
一个字节都不差。
文件还有个头部，里面主要是词表。
Hugging Face 上 *bartowski/Qwen2.5-7B-Instruct-GGUF* 提供的这个文件是 4,683,074,240 字节，我们的估算差多少？
"""

# %%
published = 4_683_074_240
print(f"{e.file_size:,}  {e.file_size / published - 1:+.4%}  {e.validity}")

# %% [markdown] lang="en"
"""
### GB and GiB

A download page counts in GB, 10⁹ bytes; memory is made and counted in GiB, 2³⁰ bytes, even when the box says "GB".
The same file:
"""

# %% [markdown] lang="zh"
"""
### GB 与 GiB

下载页面用 GB，即 10⁹ 字节；内存和显存按 GiB，即 2³⁰ 字节制造和计数，哪怕包装盒上印的是“GB”。
同一个文件：
"""

# %%
print(f"{e.file_size / 10**9:.2f} GB = {e.file_size / 2**30:.2f} GiB")

# %% [markdown] lang="en"
"""
Seven per cent, in your favour this time.
Compare GiB with GiB and it cannot deceive you.
"""

# %% [markdown] lang="zh"
"""
差 7%，这次是你占便宜。
只要拿 GiB 跟 GiB 比，就不会上当。
"""

# %% [markdown] lang="en"
"""
### All parameters, or only the active ones?

In a mixture of experts a token passes through a few experts only.
Does that save memory?
"""

# %% [markdown] lang="zh"
"""
### 算全部参数，还是只算激活的？

混合专家模型里，每个词元只经过少数几个专家。
这样能省内存吗？
"""

# %%
ask("choose-a-model.experts")

# %%
for name in ("Mixtral-8x7B", "Llama-2-13B"):
    m, est = find(name), lab.estimate(name, quant="Q4_K_M", context=4096)
    print(f"{name:14}{m.parameters / 1e9:5.1f}B {show_bytes(est.weights):>9}", end="  ")
    print(f"{m.active_parameters / 1e9:5.1f}B {show_bytes(est.read_per_token):>9}")

# %% [markdown] lang="en"
"""
On the left what must lie in memory, on the right what one token reads.
**All** parameters decide whether a model fits; the **active** ones decide how fast it is.
"""

# %% [markdown] lang="zh"
"""
左边是必须放进内存的，右边是每个词元要读的。
放不放得下，看**全部**参数；跑得快不快，看**激活**参数。
"""

# %% [markdown] lang="en"
"""
## KV cache: what a conversation costs

For every token of the context each layer keeps a key and a value for each of its key-value heads:

> 2 × layers × key-value heads × head size × bytes a number × tokens
"""

# %% [markdown] lang="zh"
"""
## KV 缓存：对话越长，占得越多

上下文里的每个词元，在每一层都要为每个 KV 头留下一个键（K）和一个值（V）：

> 2 × 层数 × KV 头数 × 头的维度 × 每个数的字节数 × 词元数
"""

# %%
c = model.config
per_token = 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * c["head_dim"] * 2
print(f"{per_token:,} × {CONTEXT:,} = {show_bytes(per_token * CONTEXT)}")
print(per_token * CONTEXT == e.kv_cache)

# %% [markdown] lang="en"
"""
Read `head_dim`, do not derive it.
To divide the hidden size by the heads is tempting; it is right here and wrong there:
"""

# %% [markdown] lang="zh"
"""
`head_dim` 要从配置里读，不要自己除。
“隐藏维度 ÷ 头数”看着顺理成章，有的模型确实如此，有的却不是：
"""

# %%
for name in (MODEL, "Mistral-Nemo-12B"):
    c = find(name).config
    print(f"{name:18}{c['hidden_size'] // c['num_attention_heads']:5}{c['head_dim']:5}")

# %% [markdown] lang="en"
"""
### MHA, GQA, MLA

The number of key-value heads is where model families differ most.
For 4,096 tokens:
"""

# %% [markdown] lang="zh"
"""
### MHA、GQA、MLA

各家模型差别最大的地方，正是 KV 头数。
同样 4,096 个词元：
"""

# %%
for name in ("Llama-2-7B", "Llama-3-8B", MODEL, "DeepSeek-V2-Lite"):
    m, est = find(name), lab.estimate(name, context=4096)
    heads = f"{m.config['num_attention_heads']}/{m.num_key_value_heads}"
    print(f"{name:18}{heads:>7}{est.kv_cache // 4096:>9,} B{show_bytes(est.kv_cache):>11}")

# %% [markdown] lang="en"
"""
Llama 2 keeps all its 32 heads (**MHA**).
Llama 3 lets four query heads share one key-value head (**GQA**, Ainslie et al. 2023) and needs a quarter.
DeepSeek-V2 does not keep heads at all: **MLA** (DeepSeek-AI 2024) stores one short vector a token, from which keys and values of all heads are computed again.
By hand, with it and as if it kept all heads:
"""

# %% [markdown] lang="zh"
"""
Llama 2 的 32 个头全都要存（**MHA**）。
Llama 3 让四个查询头共用一个 KV 头（**GQA**，Ainslie 等，2023），只要四分之一。
DeepSeek-V2 干脆不存各个头的键和值：**MLA**（DeepSeek-AI，2024）每个词元只存一个短向量，用到时再由它算出所有头的键和值。
手算一下：用 MLA 是多少，假如把所有头都存下来又是多少：
"""

# %%
c = find("DeepSeek-V2-Lite").config
latent = c["kv_lora_rank"] + c["qk_rope_head_dim"]
key, value = c["qk_nope_head_dim"] + c["qk_rope_head_dim"], c["v_head_dim"]
for numbers in (latent, c["num_attention_heads"] * (key + value)):
    print(f"{2 * c['num_hidden_layers'] * numbers:>9,} B")

# %% [markdown] lang="en"
"""
Several users at once have a cache each, for the weights are shared and conversations are not:
"""

# %% [markdown] lang="zh"
"""
几个人同时用，权重可以共用，对话不能，所以缓存要一人一份：
"""

# %%
for users in (1, 8):
    print(users, show_bytes(lab.estimate(MODEL, context=CONTEXT, batch=users).kv_cache))

# %% [markdown] lang="en"
"""
## Runtime: scratch space

llama.cpp reads a prompt 512 tokens at a time and reserves one buffer for that, in 32-bit numbers.
With flash attention, on by default in this lesson, its largest part is the scores of every vocabulary entry for all 512 tokens, beside their hidden states; the figure stands in llama.cpp's log as *compute buffer size*.
(From about 70,000 tokens on, the mask over the context outgrows them.)
One row of scores for sampling comes on top:
"""

# %% [markdown] lang="zh"
"""
## 运行缓冲：草稿纸

llama.cpp 读提示词时一次算 512 个词元，为此预留一块 32 位数的缓冲。
开着 flash attention 时（本课默认开着），占得最多的是这 512 个词元在整张词表上的打分，再加上它们的隐藏状态；llama.cpp 的日志里写作 *compute buffer size*。
（上下文超过大约七万个词元后，注意力掩码会变成最大的一块。）
采样时还要一行打分：
"""

# %%
c = model.config
buffer = 4 * 512 * (c["vocab_size"] + c["hidden_size"])
sampling = 4 * c["vocab_size"]
print(show_bytes(buffer), buffer + sampling == e.runtime)

# %% [markdown] lang="en"
"""
That is the whole equation.
Here it is for every GGUF type of this model, with a slider for the context (a picture in the printed version).
Watch the red part grow.
"""

# %% [markdown] lang="zh"
"""
等式到这里就齐了。
下面把它用在这个模型的所有 GGUF 类型上，上下文可以用滑块调（静态页面上是一张图）。
注意看红色部分怎么变长。
"""

# %%
from dataclasses import replace

from labkit.picker.available_memory import type_memory as type_budget
from labkit.widgets.memory_explorer import show_memory_explorer

card = replace(type_budget(8, None), gpu="RTX 4060")
show_memory_explorer(MODEL, card)

# %% [markdown] lang="en"
"""
The same equation holds in Transformers, with other bits: `bf16` as published, `int8` and `nf4` of bitsandbytes, GPTQ.
"""

# %% [markdown] lang="zh"
"""
换成 Transformers，等式不变，只是位数不同：发布时的 `bf16`，bitsandbytes 的 `int8` 和 `nf4`，还有 GPTQ。
"""

# %%
for quant in ("bf16", "int8", "nf4", "gptq-4bit"):
    est = lab.estimate(MODEL, quant=quant, context=CONTEXT)
    bits = bits_per_weight(est.weights, model.parameters)
    print(f"{quant:10}{bits:6.2f}{show_bytes(est.total):>11}")

# %% [markdown] lang="en"
"""
Why more than `Q4_K_M`?
These formats leave the embedding table and the output head in 16 bits, and Transformers reads the whole prompt at once, which takes more scratch space.
"""

# %% [markdown] lang="zh"
"""
为什么都叫 4 位，却比 `Q4_K_M` 大？
因为这些格式把词嵌入表和输出层保留为 16 位；而且 Transformers 一次读完整段提示词，草稿纸用得更多。
"""

# %% [markdown] lang="en"
"""
## Your side of the equation: memory that is really free

`card` is our example, the same for every reader: a graphics card of "8 GB".
The driver, the desktop and the CUDA context take their share first.
How much we leave to them is a stated rule:
"""

# %% [markdown] lang="zh"
"""
## 等式的另一边：真正空闲的内存

`card` 是这一课固定的示例机器，每位读者都一样：一块“8 GB”显卡。
驱动、桌面和 CUDA 上下文要先占掉一些。
给它们留多少，是写明了的规则：
"""

# %%
from labkit.picker.needs import rules

kept, context = rules()["gpu_kept"], rules()["gpu_context"]
print(card)
print(f"8 × (1 - {kept}) - {context} = {8 * (1 - kept) - context:.2f}")

# %% [markdown] lang="en"
"""
Now "which model can I run?" has an answer in two lines.
Of the course's models, those that can read 8,192 tokens, and of these what fits on this card at `Q4_K_M`:
"""

# %% [markdown] lang="zh"
"""
现在，“我跑得动哪些模型”两行就能回答：先从课程里挑出能读 8,192 个词元的，再看用 `Q4_K_M` 时哪些能整个放进这块显卡：
"""

# %%
from labkit.catalog import models

reaching = [m.name for m in models() if m.course and m.context >= CONTEXT]
fitting = [m for m in reaching if lab.estimate(m, context=CONTEXT).total <= card.vram]
print(", ".join(fitting))

# %% [markdown] lang="en"
"""
Two that read 8,192 tokens are missing, though they are smaller than some of these.
Why?
"""

# %% [markdown] lang="zh"
"""
有两个也能读 8,192 个词元，比名单里的几个还小，却没进名单，为什么？
"""

# %%
for name in ("Llama-3-8B", "DeepSeek-Coder-6.7B", "Qwen1.5-7B"):
    m, est = find(name), lab.estimate(name, context=8192)
    print(f"{name:20}{show_bytes(est.weights):>9}{show_bytes(est.kv_cache):>9}", end="  ")
    print(f"{m.config['num_attention_heads']}/{m.num_key_value_heads}")

# %% [markdown] lang="en"
"""
Their caches: they keep all their heads.
And still many fit.
Fitting is a condition, not a choice.
"""

# %% [markdown] lang="zh"
"""
因为缓存：它们的头全都要存。
即便如此，放得下的还是不少。
放得下只是前提，还谈不上选。
"""

# %% [markdown] lang="en"
"""
### How fast?

For every new token all active weights are read once, and the cache.
So tokens per second are the memory's bandwidth divided by the bytes read. llama.cpp reaches a share of the peak; 45% to 85% on published `llama-bench` runs of dense models.
The low end counts a full context, the high end an empty one:
"""

# %% [markdown] lang="zh"
"""
### 有多快？

每生成一个词元，激活的权重要从头到尾读一遍，缓存也要读。
所以每秒词元数 = 内存带宽 ÷ 读取的字节数。
llama.cpp 达不到峰值：在公开的 `llama-bench` 稠密模型测试里，能用上 45% 到 85%。
下限按上下文已满来算，上限按上下文为空来算：
"""

# %%
from labkit.estimation.tokens_per_second import SHARE, find_bandwidth, token_speed

bandwidth, _ = find_bandwidth("RTX 4060")
low, high = SHARE[0] / (e.read_per_token + e.kv_cache), SHARE[1] / e.read_per_token
print(f"{low * bandwidth:.1f}–{high * bandwidth:.1f}", tuple(token_speed(e, "RTX 4060")))

# %% [markdown] lang="en"
"""
## The picker

The picker does nothing new.
It makes that sum for every model of the catalogue in every GGUF type, leaves out what does not fit, and puts the rest in order.
The order is a judgement, so you should see it: points, by need.
"""

# %% [markdown] lang="zh"
"""
## 选型器

选型器没有什么新花样：把上面这笔账对目录里每个模型、每种 GGUF 类型各算一遍，去掉放不下的，剩下的排个序。
排序是一种判断，所以应该摊开给你看。
各项得分，按用途列出：
"""

# %%
from labkit.picker.needs import weights

weights()

# %% [markdown] lang="en"
"""
You may disagree with any number here; it stands in a file, and the order follows it.
Take the second line: why does age weigh so much?
In the tables of the Qwen3 report, models of April 2025 reach what models of September 2024 needed 1.3 (MMLU) to 3.5 times (EvalPlus) the size for.
At ten points a doubling, that is 6 to 29 points a year; we count 12, and 18 where mathematics or code decides.

Three rules are not points: a model is left out where a newer one of its line is of about its size; nothing counts as a score that has no published source; and what lies more than 25 points below the first is counted, not shown.

For Chinese, all on the card, the first three:
"""

# %% [markdown] lang="zh"
"""
哪个数字你不同意都行：它们写在一个文件里，改了，顺序就跟着变。
就说第二行：凭什么早一年要扣这么多分？
Qwen3 技术报告的表格里，2024 年 9 月的模型要大到 1.3 倍（MMLU）至 3.5 倍（EvalPlus），成绩才赶得上 2025 年 4 月的模型。
按规模翻一番 10 分折算，相当于每年 6 到 29 分；我们取 12 分，看重数学或代码时取 18 分。

还有三条规则不计分：同系列里有了规模相当的新模型，旧的就不再列出；没有公开出处的成绩一律不算；比第一名低 25 分以上的只报个数，不再列出。

用途选中文，全部放进显卡，前三名是：
"""

# %%
picks = lab.pick("chinese", machine=card)
print(len(picks.options))
picks.table(3)

# %% [markdown] lang="en"
"""
Read the reasons of the first aloud.
Those *against* are as important: "no published score" means that its place rests on rules alone.
"""

# %% [markdown] lang="zh"
"""
把第一名的理由念一遍。
*不足*和理由一样重要：“没有公开评测分数”的意思是，它的名次完全是按规则排出来的。
"""

# %%
first, second = picks.options[:2]
print(first.model, first.quant)
print(*[f"+ {reason}" for reason in first.reasons_for], sep="\n")
print(*[f"- {reason}" for reason in first.reasons_against], sep="\n")

# %% [markdown] lang="en"
"""
And why is it before the second?
Its points, and theirs side by side:
"""

# %% [markdown] lang="zh"
"""
它凭什么排在第二名前面？
把两者的得分并排放在一起：
"""

# %%
from labkit.core.tables import Table
from labkit.picker.needs import criteria

lines = [
    (str(row.says), *(f"{o.points_by.get(key, 0):+.2f}" for o in (first, second)))
    for key, row in criteria().items()
    if key in first.points_by or key in second.points_by
]
Table(("", first.model, second.model), [*lines, ("=", f"{first.points}", f"{second.points}")])

# %% [markdown] lang="en"
"""
A place is not a verdict.
Where two models lie a few points apart, try both on twenty questions of your own (lesson [[adopt]] shows how to do that properly).
"""

# %% [markdown] lang="zh"
"""
名次不是定论。
两个模型只差几分时，拿二十道自己的题两边都试一试（怎样试才算数，第 [[adopt]] 课会讲）。
"""

# %% [markdown] lang="en"
"""
### By need

Let there also be 16 GB of RAM: layers that do not fit on the card may lie there (**offload**).
"""

# %% [markdown] lang="zh"
"""
### 按用途

假设还有 16 GB 内存：显卡放不下的层可以放到内存里（**offload**，卸载）。
"""

# %%
from labkit.picker.needs import list_needs

laptop = replace(type_budget(8, 16), gpu="RTX 4060", ram_type="DDR5-5600 dual channel")
print(laptop)


def best(need, machine, **wishes):
    o = lab.pick(need, machine=machine, **wishes).options[0]
    return str(list_needs()[need].name), o.model, o.quant, str(o.n_gpu_layers), o.speed


# %%
header = ("need", "model", "GGUF", "n_gpu_layers", "tokens/s")
Table(header, [best(need, laptop) for need in list_needs()])

# %%
Table(header, [best(need, card) for need in list_needs()])

# %% [markdown] lang="en"
"""
The upper table allows offload, the lower one does not.
RAM buys finer weights, or a larger model, as for code; where layers really lie there (compare `n_gpu_layers`), it costs speed, since RAM is read three times more slowly than this card's memory.
A mixture of experts (the `A3B` in its name: 3 billion active) suffers least: it reads little per token.
"""

# %% [markdown] lang="zh"
"""
上面一张表允许卸载，下面一张不允许。
有了内存，量化可以更细，模型也可以更大（比如写代码那一行）；真有层放到内存里时（对比 `n_gpu_layers`），就要拿速度来换，因为这种内存的带宽只有这块显卡的三分之一。
混合专家模型（名字里的 `A3B` 表示激活参数约 3B）吃亏最少：它每个词元读得少。
"""

# %%
for name in ("RTX 4060", "DDR5-5600 dual channel"):
    print(f"{name:24}{find_bandwidth(name)[0] / 1e9:6.0f} GB/s")

# %% [markdown] lang="en"
"""
### By context

A longer context takes memory from the weights: a coarser type, a smaller model, or one with a small cache.
(Some models reach their longest context only with **YaRN** switched on; the picker then says so and writes it into the command.)
"""

# %% [markdown] lang="zh"
"""
### 按上下文

上下文加长，就要从权重那里挤内存：换更粗的量化、更小的模型，或者缓存小的模型。
（有些模型要开启 **YaRN** 才能用到最长的上下文，遇到时选型器会说明，并写进命令里。）
"""

# %%
for context in (4096, 32768, 131072):
    o = lab.pick("chinese", machine=card, context=context).options[0]
    print(f"{context:>7,}  {o.model} {o.quant}: {show_bytes(o.weights)} + {show_bytes(o.kv_cache)}")

# %% [markdown] lang="en"
"""
### By licence

Open weights are not free of conditions.
The licences of the course's models, in our short words:
"""

# %% [markdown] lang="zh"
"""
### 按许可证

权重开放，不等于没有条件。
课程里的模型用的许可证，我们简要归纳如下：
"""

# %%
from labkit.catalog import not_legal_advice, terms

rows = dict.fromkeys(row for m in models() if m.course for row in terms(m))
lines = [(row.name, row.commercial, str(row.conditions), row.link) for row in rows]
Table(("license", "commercial", "conditions", "link"), lines, not_legal_advice())

# %% [markdown] lang="en"
"""
The trap: a licence belongs to a model, not to a family.
Qwen2.5, size by size:
"""

# %% [markdown] lang="zh"
"""
容易踩的坑：许可证跟着具体模型走，不跟着家族走。
Qwen2.5 各个尺寸：
"""

# %%
for m in models():
    if m.series == "qwen2.5":
        print(f"{m.name:14}{m.license:16}{terms(m)[0].commercial}")

# %% [markdown] lang="en"
"""
And a model made from another inherits: for WizardMath its own terms hold and those of its base.
`commercial=True` leaves out what forbids commercial use.
On a 4 GB card, among the course's own models (`course=True`), it takes away:
"""

# %% [markdown] lang="zh"
"""
由别的模型改出来的模型，还要继承：用 WizardMath，它自己的条款和基座的条款都要遵守。
`commercial=True` 会去掉禁止商用的。
在 4 GB 显卡上，从课程自己的模型里选（`course=True`），它去掉的是：
"""

# %%
print([row.name for row in terms(find("WizardMath-7B-V1.1"))])
every, allowed = (
    {o.model for o in lab.pick("math", vram=4, course=True, commercial=only).options}
    for only in (False, True)
)
sorted(every - allowed)

# %% [markdown] lang="en"
"""
"Conditions" still means: read them.
Above how many users, under which name, and what may be done with the outputs, differs from one to the next.
"""

# %% [markdown] lang="zh"
"""
标着 “conditions” 的，条款还得自己读：用户数超过多少要另行申请、产品要怎样署名、输出能不能拿去训练别的模型，各家都不一样。
"""

# %% [markdown] lang="en"
"""
### On your machine

Now yours, as free as it is at this moment.
Then move the sliders: what would another 8 GB buy?
"""

# %% [markdown] lang="zh"
"""
### 换成你的电脑

现在看你自己的电脑，按此刻的空闲内存来算。
然后拖动滑块：再加 8 GB，能换来什么？
"""

# %% varies="this machine's memory"
lab.pick("best").table(3)

# %%
from labkit.widgets.hardware_picker import show_hardware_picker

show_hardware_picker()

# %% [markdown] lang="en"
"""
## Rules of thumb, checked

You will hear: under 4 GB 1–3B; 8 GB 7B; 16 GB 13B; 24 GB 34B, and 70B only with offload or in 2 bits.
Beside them the arithmetic:
"""

# %% [markdown] lang="zh"
"""
## 经验法则，算一算

常听到的说法是：4 GB 以下跑 1–3B；8 GB 跑 7B；16 GB 跑 13B；24 GB 跑 34B，70B 只能卸载一部分，或者用 2 位量化。
旁边是算出来的结果：
"""

# %%
from labkit.picker.rules_of_thumb import compare_rules

compare_rules()

# %% [markdown] lang="en"
"""
They hold well, and err on the safe side: "not quite" means that something larger fits as well.
Models of today come in sizes between the steps, so look at their column before you settle for less.
What all such rules leave out is the context.
The 34B on its 24 GB card, as the conversation grows:
"""

# %% [markdown] lang="zh"
"""
这些说法大体成立，而且偏保守：“不完全”是指更大的也放得下。
如今的模型还有介于两档之间的尺寸，先看看那一列，别急着往小了选。
这类法则都没提的是上下文。
24 GB 显卡上的 34B，对话变长时：
"""

# %%
big = type_budget(24, None)
for context in (4096, 16384, 32768, 131072):
    total = lab.estimate("Yi-34B-200K", context=context).total
    print(f"{context:>8,}{show_bytes(total):>12}  {total <= big.vram}")

# %% [markdown] lang="en"
"""
And the 70B on that card, in both ways of the rule: in about two bits, or in four with layers in RAM.
Layers on the card, what stays in RAM, and the price of the type:
"""

# %% [markdown] lang="zh"
"""
同一块显卡上的 70B，按法则里的两种办法：用 2 位左右的量化，或者用 4 位、一部分层放内存。
依次是显卡上的层数、留在内存里的大小、这种量化的代价：
"""

# %%
from labkit.picker.needs import perplexity_rise

for quant in ("IQ2_S", "Q4_K_M"):
    est = lab.estimate("Llama-3.1-70B", quant=quant, context=4096, vram=big.vram)
    print(f"{quant:8}{est.n_gpu_layers:3}/{est.n_layers}{show_bytes(est.in_ram):>10}", end=" ")
    print(f"{perplexity_rise()[quant]:6.1f}%")

# %% [markdown] lang="en"
"""
The price is the rise of perplexity as measured on Llama 3 8B (llama.cpp, `tools/perplexity/README.md`).
How much is lost differs from model to model: at Q2_K it is 56% for this one and 11% for Llama 2 7B (same source).
So take it as a warning, not as a forecast; lesson [[quantization-lab]] measures such things itself.
"""

# %% [markdown] lang="zh"
"""
代价是指在 Llama 3 8B 上测得的困惑度上升幅度（llama.cpp 的 `tools/perplexity/README.md`）。
损失多少，各个模型相差很大：同样用 Q2_K，它上升 56%，Llama 2 7B 只上升 11%（出处同上）。
所以只能当作提醒，不能当作预测；第 [[quantization-lab]] 课会亲手测这些。
"""

# %% [markdown] lang="en"
"""
## When nothing fits

Then the picker says what is missing, and the nearest thing that would do:
"""

# %% [markdown] lang="zh"
"""
## 都放不下怎么办

这时选型器会说还差多少，以及最接近的可行办法：
"""

# %%
print(lab.pick("long-context", vram=2).nothing_fits)

# %% [markdown] lang="en"
"""
Here is each of those ways in numbers.
Wanted: Llama 3.1 8B with 32,768 tokens on our card.
As asked; then a shorter context, the cache in 8 bits, a coarser type, the smaller sibling:
"""

# %% [markdown] lang="zh"
"""
把这些办法逐个算一遍。
想要的是：在示例显卡上跑 Llama 3.1 8B，上下文 32,768。
先按原样；然后缩短上下文、缓存改用 8 位、换更粗的量化、换同系列里小一号的模型：
"""

# %%
asked = {"model": "Llama-3.1-8B", "quant": "Q4_K_M", "context": 32768}
shorter, cache8, coarser = {"context": 8192}, {"kv_type": "q8_0"}, {"quant": "IQ3_M"}
for change in ({}, shorter, cache8, coarser, {"model": "Llama-3.2-3B"}):
    est = lab.estimate(**asked | change)
    print(f"{est.total <= card.vram!s:6}{show_bytes(est.total):>9}  {change or asked}")

# %% [markdown] lang="en"
"""
A coarser type alone is not enough here: nearly half of the sum is cache, which it does not touch.
The fifth way is offload, and its price is time.
Layers on the card, bytes there and in RAM, tokens per second; in the last line, those of a card on which all of it would fit:
"""

# %% [markdown] lang="zh"
"""
只换更粗的量化还不够：这笔账里将近一半是缓存，量化权重动不了它。
第五个办法是卸载，代价是时间。
依次是显卡上的层数、显存和内存各占多少、每秒词元数；最后一行是假如显存够、全放得下时的速度：
"""

# %%
part = lab.estimate(**asked, vram=card.vram)
print(f"{part.n_gpu_layers}/{part.n_layers}", show_bytes(part.on_gpu), show_bytes(part.in_ram))
print(tuple(token_speed(part, laptop.gpu, laptop.ram_type)))
print(tuple(token_speed(lab.estimate(**asked), laptop.gpu)))

# %% [markdown] lang="en"
"""
For a mixture of experts there is a better way: leave the attention on the card and put only experts into RAM (llama.cpp's `--n-cpu-moe`).
The picker does not count on it, so such models may run faster than it says.
"""

# %% [markdown] lang="zh"
"""
混合专家模型有更好的办法：注意力留在显卡上，只把专家放到内存（llama.cpp 的 `--n-cpu-moe`）。
选型器没有算上这一招，所以这类模型实际可能比它说的快。
"""

# %% [markdown] lang="en"
"""
## And to train it?

Training is another sum.
Full fine-tuning in 16 bits keeps for every parameter the weight, its gradient and two moments of Adam, and a fifth such number for a moment in the optimizer's step: 2 bytes each.
**LoRA** trains a small adapter and only keeps the weights; **QLoRA** keeps those in 4 bits.
"""

# %% [markdown] lang="zh"
"""
## 那训练呢？

训练要另算一笔账。
16 位全量微调，每个参数要存权重、梯度、Adam 的两个动量，优化器更新的一瞬间还要再来一份，每份 2 字节。
**LoRA** 只训练一个小适配器，原来的权重存着不动；**QLoRA** 连原来的权重也压到 4 位。
"""

# %%
CARDS = (8, 12, 16, 24, 48, 80)
for method in ("full", "lora", "qlora"):
    train = lab.estimate(MODEL, train=method, batch=1, seq=2048)
    smallest = next(gb for gb in CARDS if type_budget(gb, None).vram >= train.total)
    print(f"{method:6}{show_bytes(train.total):>10}{smallest:>4} GB", end="  ")
    print(f"{train.total / model.parameters:5.1f} bytes/parameter")

# %% [markdown] lang="en"
"""
One sample of 2,048 tokens a step.
The last column is the measure to remember: what runs in 0.7 bytes a parameter takes ten to train in full.
Lessons [[lora]] and [[qlora]] do it.
"""

# %% [markdown] lang="zh"
"""
每步一个 2,048 词元的样本。
最后一列值得记住：运行时每个参数只要 0.7 字节左右的模型，全量训练要 10 字节。
第 [[lora]]、[[qlora]] 课会真的去做。
"""

# %%
print(f"{e.total / model.parameters:.2f}")

# %% [markdown] lang="en"
"""
## Recap

- Memory = weights + KV cache + runtime, each computed from `config.json`. Compare it with what is *free*, in GiB.
- Weights = parameters × bits ÷ 8, with the bits of the mixture (`Q4_K_M`: nearly 5), and with **all** parameters of a mixture of experts.
- The cache grows with every token; GQA and MLA shrink it.
- Speed is bandwidth divided by the bytes read for one token.
- A ranking is points that somebody chose. Read the reasons, the reasons against and the licence, then try two or three models on your own questions.
- Nothing fits? Shorter context, smaller cache, coarser type, smaller sibling, offload: each has its price.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 内存 = 权重 + KV 缓存 + 运行缓冲，每一项都能从 `config.json` 算出来。要跟*空闲*的内存比，单位用 GiB。
- 权重 = 参数量 × 位数 ÷ 8。位数要按混合后的算（`Q4_K_M` 将近 5 位），混合专家模型要按**全部**参数算。
- 缓存随每个词元增长；GQA 和 MLA 能让它变小。
- 速度 = 带宽 ÷ 每个词元读取的字节数。
- 排名是有人定的分数加出来的。理由、不足、许可证都读一读，再拿自己的题试两三个模型。
- 放不下？缩短上下文、压缩缓存、换更粗的量化、换小一号、卸载到内存：各有代价。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** How many bytes does the KV cache of Llama 3.1 70B take for 32,768 tokens in 16 bits?
Compute it from `config`; the check asks the estimate.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** Llama 3.1 70B，32,768 个词元，16 位，KV 缓存占多少字节？
请用 `config` 里的数算出来，检查时会和估算结果对照。
"""

# %%
config = find("Llama-3.1-70B").config
config

# %% exercise="kv-cache"
kv_cache = None
### BEGIN SOLUTION
heads = config["num_key_value_heads"] * config["head_dim"]
kv_cache = 2 * config["num_hidden_layers"] * heads * 2 * 32768
### END SOLUTION

# %% check="kv-cache" points=1
from labkit import course

course.check(
    "choose-a-model.kv-cache", kv_cache, lab.estimate("Llama-3.1-70B", context=32768).kv_cache
)

# %% [markdown] lang="en"
"""
**2.** What is the longest context that Qwen2.5-7B in `Q4_K_M` can have on our card?
`card.vram`, `e` and `per_token` are all you need.
An answer up to 1,000 tokens below the limit will do.
"""

# %% [markdown] lang="zh"
"""
**2.** 在示例显卡上，`Q4_K_M` 的 Qwen2.5-7B 最长能开多大的上下文？
用 `card.vram`、`e` 和 `per_token` 就够了。
不超过极限、相差不到 1,000 个词元就算对。
"""

# %% exercise="longest-context"
longest = None
### BEGIN SOLUTION
longest = (card.vram - e.weights - e.runtime) // per_token // 256 * 256
### END SOLUTION

# %% check="longest-context" points=1
from labkit.core.i18n import t


def judge(tokens):
    tokens = max(256, int(tokens) // 256 * 256)  # llama.cpp sets aside whole blocks of 256
    fits = [lab.estimate(MODEL, context=n).total <= card.vram for n in (tokens, tokens + 1000)]
    if not fits[0]:
        return t("That is too long: it does not fit.", "太长了，放不下。")
    return not fits[1] or t("A longer one would fit.", "还能更长。")


course.check("choose-a-model.longest-context", longest, judge)

# %% [markdown] lang="en"
"""
**3.** A company wants a model for Chinese in its product.
Its computers have cards of 6 GB and nothing else is to be counted on; it needs 16,384 tokens.
Call the picker so that every option it returns may be used, among the models of the course.
"""

# %% [markdown] lang="zh"
"""
**3.** 一家公司要在产品里用一个中文模型。
电脑上是 6 GB 显卡，别的内存指望不上；需要 16,384 个词元。
请调用选型器，从课程的模型里选，让返回的每个选项都真的能用。
"""

# %% exercise="company"
company = None
### BEGIN SOLUTION
company = lab.pick("chinese", vram=6, context=16384, commercial=True, course=True)
### END SOLUTION

# %% check="company" points=1
from labkit.picker.picks import Picks


def usable(picks):
    if not isinstance(picks, Picks) or picks.need != "chinese":
        return t("Ask lab.pick for Chinese.", "请用 lab.pick 选中文用途。")
    if picks.machine.total != type_budget(6, None).total:
        return t("The memory is not a 6 GB card alone.", "内存不是单独一块 6 GB 显卡。")
    if any(o.context != 16384 for o in picks.options):
        return t("The context is not 16,384.", "上下文不是 16,384。")
    named = [find(o.model) for o in picks.options]
    if not all(m.course for m in named):
        return t("Some models are not of the course.", "有些模型不在课程里。")
    barred = [m.name for m in named if any(row.commercial == "no" for row in terms(m))]
    return not barred or t(f"Not for a product: {barred}", f"不能用在产品里：{barred}")


course.check("choose-a-model.company", company, usable)

# %% [markdown] lang="en"
"""
**4.** Without a check: take the machine you would buy next and the need you have.
Which model would you choose, which would be your second, and which reason *against* it worries you most?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：想一台你下次打算买的机器，再想一个你真正的用途。
你会选哪个模型？
备选是哪个？
它的哪条*不足*最让你担心？
"""

# %% [markdown] lang="en"
"""
## On real models

All of this was about real models already; only the line `MODEL, CONTEXT = …` changes.
A model that is not in the catalogue needs nothing but its `config.json`: give `lab.estimate` the path.
Here is one that exists nowhere, Qwen2.5-7B with twice the layers:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

这一课讲的本来就是真实模型，只要改 `MODEL, CONTEXT = …` 那一行。
目录里没有的模型，有它的 `config.json` 就够了：把路径交给 `lab.estimate`。
下面这个模型哪里都没有，是层数翻倍的 Qwen2.5-7B：
"""

# %%
print(lab.estimate({**model.config, "num_hidden_layers": 56}, quant="Q4_K_M", context=8192))

# %% [markdown] lang="en"
"""
To run what you have picked, type the command of its option; what it downloads, once, and what it then takes in memory:
"""

# %% [markdown] lang="zh"
"""
要运行选中的模型，照它那一项里的命令输入即可。
下载多少（只下一次）、运行时占多少内存，也都写着：
"""

# %%
print(first.command)
print(show_bytes(first.download), show_bytes(first.total))

# %% [markdown] lang="en"
"""
The same in a terminal: `labkit pick --need chinese --vram 8`, `labkit estimate Qwen2.5-7B --context 8192`.
Lesson [[get-and-run]] gets a model and runs it.
"""

# %% [markdown] lang="zh"
"""
在终端里也一样：`labkit pick --need chinese --vram 8`，`labkit estimate Qwen2.5-7B --context 8192`。
第 [[get-and-run]] 课讲怎样把模型拿下来、跑起来。
"""
