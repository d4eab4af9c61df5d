# %% [markdown] lang="en"
"""
# The quantization lab: one model, twelve ways to store it

**You will be able to** make GGUF, GPTQ and bitsandbytes versions of one model, measure them side by side in one honest table, draw the frontier of size against loss, and choose a version with a reason you can defend.

**You will learn** what perplexity, KL divergence, top-1 agreement and exact match each see and do not see, why perplexity alone cannot rank versions, and which findings on a pocket model carry over to a real 8B and which do not.

**You need** about 45 minutes, two CPU cores, 1.5 GiB of free memory.
Download: 0.
The first run makes and measures all versions (a few minutes); after that they are in the cache.
"""

# %% [markdown] lang="zh"
"""
# 量化实验室：一个模型，十二种存法

**学完你能**为同一个模型做出 GGUF、GPTQ、bitsandbytes 各个版本，放进一张公平的表里比较，画出大小与损失的前沿，挑出一个版本，并讲得出理由。

**你会明白**困惑度、KL 散度、首选一致率、精确匹配各自看得见什么、看不见什么，为什么单凭困惑度排不出名次，以及口袋模型上的哪些结论放到真实的 8B 模型上依然成立，哪些不成立。

**需要准备**大约 45 分钟，两个 CPU 核心，1.5 GiB 空闲内存。
下载量：0。
第一次运行要制作并测量所有版本（几分钟），之后都在缓存里。
"""

# %% [markdown] lang="en"
"""
## The candidates

| formats | made by | runs in | needs |
|---|---|---|---|
| `Q8_0` … `Q2_K` (GGUF) | llama.cpp | llama.cpp, Ollama, LM Studio, on CPU and GPU | nothing |
| `gptq-8bit`, `gptq-4bit` | the algorithm of lesson [[quantization-inside]] | Transformers, vLLM, mostly on GPU | sample texts |
| `autoround-4bit` | auto-round: rounding that is *learnt*, stored in the same format | as GPTQ | sample texts, more time |
| `int8`, `nf4` | bitsandbytes | Transformers, PEFT (QLoRA) | nothing; made while loading |

`F16` is the model as it was, and what all others are compared with.
Where the package `gptqmodel` is installed, there are also `gptqmodel-8bit` and `gptqmodel-4bit`: the same algorithm and file format, by the library that took AutoGPTQ's place.
It asks for another PyTorch than the course's, and nothing here needs it.
"""

# %% [markdown] lang="zh"
"""
## 候选版本

| 格式 | 谁做的 | 在哪里运行 | 需要什么 |
|---|---|---|---|
| `Q8_0` … `Q2_K`（GGUF） | llama.cpp | llama.cpp、Ollama、LM Studio，CPU 和 GPU 都行 | 什么都不用 |
| `gptq-8bit`、`gptq-4bit` | 第 [[quantization-inside]] 课的算法 | Transformers、vLLM，多在 GPU 上 | 样本文本 |
| `autoround-4bit` | auto-round：怎么舍入是*学*出来的，存成同一种格式 | 同 GPTQ | 样本文本，时间更长 |
| `int8`、`nf4` | bitsandbytes | Transformers、PEFT（QLoRA） | 什么都不用，加载时现做 |

`F16` 是原来的模型，其他版本都和它比。
如果装了 `gptqmodel` 这个包，还可以选 `gptqmodel-8bit` 和 `gptqmodel-4bit`：算法和文件格式相同，由接替 AutoGPTQ 的那个库来做。
它要求的 PyTorch 和课程用的不是一个版本，这一课也用不着它。
"""

# %%
import labkit as lab

MODEL = "pocket/llama3"
GGUF = ["F16", "Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q2_K"]
versions = lab.quantize(MODEL, GGUF)

# %% varies="file names follow the weights"
versions

# %% [markdown] lang="en"
"""
llama.cpp takes a moment.
GPTQ reads sample texts first, auto-round learns its rounding; they take up to a minute each, the first time:
"""

# %% [markdown] lang="zh"
"""
llama.cpp 一眨眼就做好了。
GPTQ 要先读样本文本，auto-round 要学怎么舍入，第一次各要花上一分钟左右：
"""

# %%
GPTQ = ["gptq-8bit", "gptq-4bit"]
lab.quantize(MODEL, GPTQ).rows[0].format

# %%
lab.quantize(MODEL, "autoround-4bit").rows[0].format

# %%
versions = lab.quantize(MODEL, [*GGUF, *GPTQ, "autoround-4bit", "int8", "nf4"])

# %% varies="file names follow the weights"
versions

# %% [markdown] lang="en"
"""
Two columns deserve a second look.
Why does a "4-bit" GPTQ file take so much more than Q4_0?
Because GPTQ and bitsandbytes quantize only the linear layers; the embedding and the output head stay in 16 bits.
In a small model with a large vocabulary that is a lot.
Their share, here and in real models:
"""

# %% [markdown] lang="zh"
"""
有两列值得再看一眼。
同样是“4 位”，GPTQ 的文件为什么比 Q4_0 大这么多？
因为 GPTQ 和 bitsandbytes 只量化线性层，词嵌入和输出层仍是 16 位。
模型小、词表大的时候，这部分很可观。
看看它们占多少，这里和真实模型：
"""

# %%
from labkit.catalog import find

original = lab.load(MODEL)


def outer_share(config, parameters):
    tables = 1 if config["tie_word_embeddings"] else 2
    return tables * config["vocab_size"] * config["hidden_size"] / parameters


print(f"{MODEL:16}{outer_share(original.config.to_dict(), original.model.num_parameters()):6.1%}")
for name in ("Qwen2.5-0.5B", "Llama-3-8B", "Qwen2.5-72B"):
    print(f"{name:16}{outer_share(find(name).config, find(name).parameters):6.1%}")

# %% [markdown] lang="en"
"""
So this finding does **not** carry over to a 72B, and it does to a 0.5B.
Keep a list of such things; at the end we go through it.
"""

# %% [markdown] lang="zh"
"""
所以这一条放到 72B 上就**不成立**了，放到 0.5B 上倒是成立。
这样的发现记在心里，最后一起清点。
"""

# %% [markdown] lang="en"
"""
## Four ways to look at one token

Before the big table, one sentence and two versions by hand.
A model gives a probability to every token of its vocabulary, at every place.
Here are those of `F16` and of `Q2_K`, the coarsest:
"""

# %% [markdown] lang="zh"
"""
## 看一个词元的四种方法

先不急着看大表，拿一句话、两个版本动手算一遍。
模型在每个位置上给词表里的每个词元一个概率。
下面是 `F16` 和最粗的 `Q2_K` 给出的：
"""

# %%
import numpy as np

from labkit.evaluation.metrics import log_softmax, measure_logits
from labkit.pocket.corpus import held_out

paths = {row.format: row.path for row in versions.rows}
item = held_out("reverse", 1)[0]
text = original.tokenizer.apply_chat_template(list(item.messages), tokenize=False)
print([message["content"] for message in item.messages])


# %%
asked = original.tokenizer.apply_chat_template(
    list(item.messages[:1]), tokenize=False, add_generation_prompt=True
)


def read(format):
    model = lab.load(paths[format], "llama.cpp")
    ids = model.encode(text, special=True)
    start = len(model.encode(asked, special=True))
    logs = log_softmax(measure_logits(model, ids))
    model.close()
    return ids[start:], logs[start - 1 : -1]


ids, full = read("F16")
_, coarse = read("Q2_K")
print(full.shape)

# %% [markdown] lang="en"
"""
One row for each token of the answer, one column for each token of the vocabulary.
The question does not count: what someone will ask is anyone's guess.
Where the answer begins, the likeliest tokens:
"""

# %% [markdown] lang="zh"
"""
回答里每个词元一行，词表里每个词元一列。
问题部分不算，别人会问什么谁也猜不准。
回答开头的那个位置，最可能的几个词元：
"""

# %% varies="digits differ with the weights"
for id in full[0].argsort()[::-1][:4]:
    word = original.tokenizer.decode(int(id))
    print(f"{word!r:12}{np.exp(full[0, id]):9.3%}{np.exp(coarse[0, id]):9.3%}")

# %% [markdown] lang="en"
"""
**1. Perplexity** looks only at the token that really came: how likely did the model hold it?
The mean of -log p over all places, and exp of that: as if it had had to choose among so many equally likely tokens.
"""

# %% [markdown] lang="zh"
"""
**1. 困惑度**只看真正出现的那个词元：模型认为它有多大可能？
对所有位置的 -log p 取平均，再取指数，意思是：好像每一步都要在这么多个同样可能的词元里猜一个。
"""

# %% varies="digits differ with the weights"
came = np.arange(len(ids)), np.array(ids)
for name, logs in (("F16", full), ("Q2_K", coarse)):
    print(f"{name:5}{np.exp(-logs[came].mean()):8.3f}")

# %% [markdown] lang="en"
"""
**2. KL divergence** looks at *all* tokens of the vocabulary: Σ p · log(p / q), where p is F16's probability and q the version's.
It is 0 where nothing has changed and positive otherwise.
"""

# %% [markdown] lang="zh"
"""
**2. KL 散度**看词表里的*所有*词元：Σ p · log(p / q)，p 是 F16 的概率，q 是量化版的。
毫无变化时是 0，否则总是正的。
"""

# %% varies="digits differ with the weights"
kl = (np.exp(full) * (full - coarse)).sum(1)
print(f"mean {kl.mean():.3f}, largest {kl.max():.3f}")

# %%
print("never negative:", kl.min() > -1e-4)

# %% [markdown] lang="en"
"""
**3. Top-1 agreement**: at how many places is the likeliest token the same?
It decides what greedy decoding writes.
**4. Exact match**: of many questions, how many are answered right to the letter?
It alone knows what is *right*; the other two only know what is *different*.
"""

# %% [markdown] lang="zh"
"""
**3. 首选一致率**：有多少位置上，最可能的词元是同一个？
贪心解码会写出什么，就看它。
**4. 精确匹配**：很多问题里，一字不差答对的有多少？
只有它知道什么是*对*的，KL 和一致率只知道有没有*变*。
"""

# %% varies="digits differ with the weights"
print(f"{np.mean(full.argmax(1) == coarse.argmax(1)):.1%}")

# %% [markdown] lang="en"
"""
## The table

All versions on the same held-out text, each in a process of its own so that its memory is nobody else's.
Speeds are medians.
Before you look:
"""

# %% [markdown] lang="zh"
"""
## 总表

所有版本用同一段留出的文本来测，每个版本单独开一个进程，内存互不相混；速度取中位数。
看之前：
"""

# %%
from labkit.widgets.prediction import ask

ask("quantization-lab.lower")

# %%
len(lab.compare(MODEL, GGUF).rows)

# %%
table = lab.compare(versions)

# %% varies="times and digits differ between machines"
table

# %% [markdown] lang="en"
"""
First the order you expect: fewer bits, more divergence, wherever the *kind* is the same.
"""

# %% [markdown] lang="zh"
"""
先看意料之中的次序：*同一类*格式，位数越少，散度越大。
"""

# %%
by = {row.format: row for row in table.rows}
kls = [by[name].kl_mean for name in ("F16", "Q8_0", "Q6_K", "Q5_0", "Q4_0", "Q2_K")]
print("F16 < Q8_0 < Q6_K < Q5_0 < Q4_0 < Q2_K:", kls == sorted(kls))

# %% [markdown] lang="en"
"""
### Why perplexity alone cannot rank

The same versions ordered by perplexity; behind it, how far each is from F16, measured in F16's own standard error:
"""

# %% [markdown] lang="zh"
"""
### 为什么单凭困惑度排不出名次

同样这些版本，按困惑度排；后面是它和 F16 差多少，以 F16 自己的标准误为单位：
"""

# %% varies="digits differ with the weights"
base = by["F16"]
for row in sorted(table.rows, key=lambda row: row.perplexity):
    away = (row.perplexity - base.perplexity) / base.perplexity_stderr
    print(f"{row.format:15}{row.perplexity:8.4f}{away:+7.2f}{row.kl_mean:10.5f}")

# %% varies="which ones is chance"
[row.format for row in table.rows if row.perplexity < base.perplexity]

# %%
close = [r for r in table.rows if abs(r.perplexity - base.perplexity) < base.perplexity_stderr]
print("within one standard error of F16:", len(close) >= 6)
print(
    "but their KL differs more than tenfold:",
    max(r.kl_mean for r in close) > 10 * by["Q8_0"].kl_mean,
)

# %% [markdown] lang="en"
"""
Two reasons.
Perplexity sees one token of the vocabulary, and a change there may as well be for the better: gains and losses cancel in the mean, whereas in KL nothing cancels.
And most of its uncertainty is the text: some tokens are hard, for every version alike.
(That part drops out of the *difference* of two versions on the same text. llama.cpp therefore publishes ΔPPL with an error of its own, many times smaller.)

The 99th percentile of KL shows what the mean hides: the few places where a version goes astray.
The right answer there may be a number.
"""

# %% [markdown] lang="zh"
"""
原因有两个。
困惑度只看词表里的一个词元，它的变化也可能是往好里变：有得有失，平均时互相抵消；KL 里什么也抵消不了。
另外，它的不确定性大半来自文本：有些词元本来就难，对哪个版本都难。
（同一段文本上两个版本相*减*，这部分就消掉了。所以 llama.cpp 另外公布 ΔPPL 和它自己的误差，小了许多倍。）

KL 的第 99 百分位能看出平均值掩盖的东西：少数几处走样的地方。
而那里的正确答案，可能正好是一个数字。
"""

# %% varies="digits differ with the weights"
for name in ("Q8_0", "Q5_0", "Q4_0", "Q2_K"):
    row = by[name]
    print(
        f"{name:5}mean {row.kl_mean:.5f}   p99 {row.kl_p99:.4f}   {row.kl_p99 / row.kl_mean:4.0f} times"
    )

# %%
print(
    "p99 at least 5 times the mean:",
    all(by[n].kl_p99 > 5 * by[n].kl_mean for n in ("Q8_0", "Q5_0", "Q4_0")),
)

# %% [markdown] lang="en"
"""
And what is right?
In exact match one question more or less is no difference; the interval of 120 questions is still wide (lesson [[start-here]]).
What holds:
"""

# %% [markdown] lang="zh"
"""
那么答对了多少呢？
精确匹配上差一两道题不算差别：120 道题的置信区间仍然很宽（第 [[start-here]] 课）。
站得住的是：
"""

# %% varies="digits differ with the weights"
{row.format: row.exact_match and round(row.exact_match, 3) for row in table.rows}

# %%
right = by["Q8_0"].exact_match, base.exact_match
print("8 bits answer as well as 16:", None in right or abs(right[0] - right[1]) < 0.05)

# %% [markdown] lang="en"
"""
## Same bits, other maker

Around four bits stand five rivals.
The linear layers of all have between 4 and 5 bits; what differs is how the rounding was chosen.
"""

# %% [markdown] lang="zh"
"""
## 位数一样，做法不同

四位上下有五个对手。
线性层都在 4 到 5 位之间，不同的是怎么舍入。
"""

# %% varies="digits differ with the weights"
four = ["Q4_0", "Q4_K_M", "nf4", "gptq-4bit", "autoround-4bit"]
for name in sorted(four, key=lambda name: by[name].kl_mean):
    print(f"{name:15}{by[name].bits_per_weight:6.2f} bits {by[name].kl_mean:9.5f}")

# %%
print("GPTQ below NF4:", by["gptq-4bit"].kl_mean < by["nf4"].kl_mean)

# %% [markdown] lang="en"
"""
GPTQ and NF4 quantize the same layers; what calibration is worth stands between them.
(It was calibrated on the training half of the very corpus we measure on. That is fair here and lucky in life.)

The GGUF formats are another matter: GPTQ, auto-round and NF4 keep embedding and head in 16 bits, which costs them bits here and spares them loss.
So the fair question is not "which at 4 bits?" but "which on the frontier?".
"""

# %% [markdown] lang="zh"
"""
GPTQ 和 NF4 量化的是同样的层，两者之差就是校准的价值。
（校准用的是训练那一半语料，和测试同出一源：这里算公平，现实中算走运。）

跟 GGUF 比就要当心了：GPTQ、auto-round、NF4 的词嵌入和输出层保持 16 位，在这里多占了位数，也少了损失。
所以公平的问题不是“4 位里哪个好”，而是“前沿上有谁”。
"""

# %% [markdown] lang="en"
"""
## The frontier

A version is on the **frontier** when none is both smaller and closer to F16.
Everything else can be forgotten.
In the figure it is hollow.
"""

# %% [markdown] lang="zh"
"""
## 前沿

如果没有哪个版本既比它小、又比它更接近 F16，它就在**前沿**上。
不在前沿上的，都不必考虑，图里画成空心。
"""

# %% varies="a figure of measurements"
from labkit.plots.frontier import draw_frontier

draw_frontier(table)

# %% [markdown] lang="en"
"""
Choose a format: the same plot beside a row of weights, before and after.
"""

# %% [markdown] lang="zh"
"""
选一个格式：同一张图，旁边是一行权重的前后对比。
"""

# %% varies="digits differ with the weights"
from labkit.core.i18n import t
from labkit.widgets.quantization_explorer import Place, show_quantization_explorer

weights = original.model.get_parameter("model.layers.1.mlp.gate_proj.weight")
places = [Place(row.format, row.bits_per_weight, row.kl_mean) for row in table.rows]
show_quantization_explorer(
    weights.detach().float().cpu().numpy(),
    places,
    t(f"{MODEL}, measured here", f"{MODEL}，本机实测"),
)

# %% [markdown] lang="en"
"""
## Which to choose

Rules that are usually right: memory is tight, take four bits (Q4_K_M or Q4_0; 4-bit GPTQ on a GPU); quality first, Q8_0 or 8 bits; otherwise the knee of the frontier.
`recommend` applies them to *your* table and says why:
"""

# %% [markdown] lang="zh"
"""
## 选哪个

通常管用的经验：内存紧，选 4 位（Q4_K_M 或 Q4_0，GPU 上用 4 位 GPTQ）；质量优先，选 Q8_0 或 8 位；其余情况，选前沿的拐点。
`recommend` 把它们用在*你的*表上，并说明理由：
"""

# %% varies="it follows the measurements"
print(lab.recommend(table))
room = max(by["Q4_0"].file_size, by["Q4_0"].peak_memory or 0)
print(lab.recommend(table, memory=room))
print(lab.recommend(table, at_most_kl=2 * by["Q8_0"].kl_mean))

# %% [markdown] lang="en"
"""
## What carries over to a real 8B

llama.cpp's developers have published such tables for Llama 3 8B and Llama 2 7B.
Beside ours:
"""

# %% [markdown] lang="zh"
"""
## 哪些结论放到真实的 8B 上还成立

llama.cpp 的开发者公布过 Llama 3 8B 和 Llama 2 7B 的这种表。
和我们的放在一起：
"""

# %%
from labkit.catalog.scoreboard import read_scoreboard

llama3, llama2 = read_scoreboard("Llama-3-8B"), read_scoreboard("Llama-2-7B")
print(llama3.source)

# %% varies="the first column is measured here"
for row in llama3.rows:
    other = llama2.find(row.format)
    if row.format in by and row.format != "F16":
        ours = f"{by[row.format].kl_mean:10.5f}{row.kl_mean:10.5f}"
        print(f"{row.format:8}{ours}{other.kl_mean if other else float('nan'):10.5f}")

# %% [markdown] lang="en"
"""
**The order carries over.** And so does the price of a bit: one bit less doubles the error of a weight (lesson [[quantization-inside]]), KL grows with the *square* of small errors, so about fourfold.
It is not exact: the output head is in Q6_K both times, which lowers it, and a KL as small as ours is a rough measurement.
"""

# %% [markdown] lang="zh"
"""
**次序成立。**一位的价钱也成立：少一位，权重误差翻倍（第 [[quantization-inside]] 课）；误差小的时候，KL 按误差的*平方*增长，所以大约变成四倍。
这不是准数：两种格式的输出层都是 Q6_K，会压低一些；而我们这里的 KL 太小，测得也粗。
"""

# %%
order = [row.format for row in llama3.rows if row.format in by and row.format != "F16"]
print("same order:", order == sorted(order, key=lambda name: by[name].kl_mean))
order

# %% varies="the first is measured here"
price = by["Q4_0"].kl_mean / by["Q5_0"].kl_mean
published = llama3.find("Q4_0").kl_mean / llama3.find("Q5_0").kl_mean
print(f"Q5_0 to Q4_0: times {price:.1f} here, {published:.1f} there")

# %%
print("a few times:", 1.2 < price < 8, 1.2 < published < 8)

# %% [markdown] lang="en"
"""
**The size of the loss does not.** At the same `Q4_K_M` Llama 3 8B loses more than twice what Llama 2 7B loses, at `Q2_K` four times: the usual explanation is that a model trained longer has less room to spare in its weights.
And on our text, answers that have one right wording, KL is smaller altogether than on free prose.
No table of another model tells you what *yours* loses.
"""

# %% [markdown] lang="zh"
"""
**损失的大小不成立。**同样是 `Q4_K_M`，Llama 3 8B 的损失是 Llama 2 7B 的两倍多；到 `Q2_K` 是四倍：一般的解释是，训练得越久，权重里的余量越少。
另外，我们测的是只有一种正确说法的回答，KL 总体上比测随意的文章要小。
别的模型的表，说不出*你的*模型会损失多少。
"""

# %%
for name in ("Q8_0", "Q4_K_M", "Q2_K"):
    times = llama3.find(name).kl_mean / llama2.find(name).kl_mean
    print(
        f"{name:8}{times:4.1f} times   same top token {llama3.find(name).top1_agreement:.1%} {llama2.find(name).top1_agreement:.1%}"
    )

# %% [markdown] lang="en"
"""
**Perplexity's blindness is smaller there.** With the whole test set of wikitext-2 and paired differences even the 0.0027 between F16 and Q8_0 is resolved.
With as little text as ours, or as in a quick test of your own, trust KL.

**Speed does not carry over at all.** A pocket model lies in the processor's cache, where its bytes cost next to nothing; its speeds tell more about the engines than about the formats.
A real one is read from memory for every token, so fewer bits are faster, nearly in proportion.
For Llama 3.1 8B on an RTX 4060 Ti with 16 GB, from its bandwidth (lesson [[choose-a-model]]):
"""

# %% [markdown] lang="zh"
"""
**困惑度在那里没有这么迟钝。**用 wikitext-2 的整个测试集，再加上成对相减，连 F16 和 Q8_0 之间 0.0027 的差别也分得出来。
像我们这样文本少，或者你自己快速测一下，就该信 KL。

**速度完全不成立。**口袋模型整个躺在处理器的缓存里，读它几乎不花时间，测出的速度说的是引擎，而不是格式。
真实模型每个词元都要从内存读一遍，位数越少越快，差不多成正比。
以 16 GB 的 RTX 4060 Ti 上的 Llama 3.1 8B 为例，按带宽估算（第 [[choose-a-model]] 课）：
"""

# %%
from labkit.estimation.tokens_per_second import token_speed

for quant in ("Q8_0", "Q6_K", "Q5_0", "Q4_0"):
    need = lab.estimate("Llama-3.1-8B", quant=quant, context=4096)
    low, high, *_ = token_speed(need, "RTX 4060 Ti 16GB")
    print(f"{quant:6}{low:6.0f} to {high:.0f} tokens/s")

# %% [markdown] lang="en"
"""
And from before: the 16-bit embedding and head weigh much in small models and little in large ones.
"""

# %% [markdown] lang="zh"
"""
还有前面那一条：16 位的词嵌入和输出层，在小模型里很重，在大模型里很轻。
"""

# %% [markdown] lang="en"
"""
## Recap

- Compare versions of *one* model on *one* text, each against F16. Perplexities of different tokenizers are not comparable, and `lab.compare` refuses.
- KL sees every change and cannot be flattered by luck; perplexity needs much text; top-1 tells about greedy answers; only exact match knows what is right.
- Fewer bits, more loss; about fourfold for a bit. How much in all differs from model to model: measure yours.
- Choose from the frontier, by the memory you have or the loss you can bear. Then ask your own questions (lesson [[adopt]]).
- GGUF for llama.cpp and CPUs, GPTQ and auto-round for GPU servers, bitsandbytes to train on top of (lesson [[qlora]]).
"""

# %% [markdown] lang="zh"
"""
## 小结

- 比较的是*同一个*模型的各个版本，用*同一段*文本，都和 F16 比。分词器不同，困惑度就不能比，`lab.compare` 会拒绝。
- KL 什么变化都看得见，也不会靠运气变好看；困惑度要很多文本才分得清；首选一致率说的是贪心回答；只有精确匹配知道对错。
- 位数越少，损失越大；少一位大约四倍。总共损失多少，各个模型不同：自己的模型自己测。
- 从前沿上选，看你有多少内存，或者受得了多少损失。然后拿自己的问题去试（第 [[adopt]] 课）。
- llama.cpp 和 CPU 用 GGUF，GPU 服务器用 GPTQ 或 auto-round，要在上面接着训练用 bitsandbytes（第 [[qlora]] 课）。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Write `kl_divergence(p, q)` for probabilities, rows over the vocabulary: one number a row.
Mind that p may be 0 (then the term is 0).
The check has labkit measure the same.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 写出 `kl_divergence(p, q)`：参数是概率，每行是整个词表，每行得一个数。
注意 p 可能是 0（那一项就是 0）。
检查时会和 labkit 测的对照。
"""


# %% exercise="kl"
def kl_divergence(p, q):
    ### BEGIN SOLUTION
    safe = np.where(p > 0, p, 1)
    return (p * np.log(safe / q)).sum(axis=-1)
    ### END SOLUTION


# %% check="kl" points=1
from labkit import course
from labkit.evaluation import metrics as measurement


def judge_kl(made):
    right = measurement.kl_divergence(full, coarse)
    if np.shape(made) != right.shape:
        return t(f"The shape is {np.shape(made)}.", f"形状成了 {np.shape(made)}。")
    if not np.allclose(made, right, atol=1e-4):
        return False
    zero = kl_divergence(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    return bool(np.allclose(zero, np.log(2))) or t("p = 0 goes wrong.", "p = 0 时不对。")


course.check(
    "quantization-lab.kl",
    kl_divergence(np.exp(full.astype(float)), np.exp(coarse.astype(float))),
    judge_kl,
)

# %% [markdown] lang="en"
"""
**2.** Write `frontier(rows)`: the formats of those rows that no other row beats in both `file_size` and `kl_mean`, the smallest first.
"""

# %% [markdown] lang="zh"
"""
**2.** 写出 `frontier(rows)`：返回前沿上的格式名，也就是没有别的行在 `file_size` 和 `kl_mean` 两项上都更小，从小到大排列。
"""


# %% exercise="frontier"
def frontier(rows):
    ### BEGIN SOLUTION
    best, found = float("inf"), []
    for row in sorted(rows, key=lambda row: (row.file_size, row.kl_mean)):
        if row.kl_mean < best:
            best = row.kl_mean
            found.append(row.format)
    return found
    ### END SOLUTION


# %% check="frontier" points=1
def judge_frontier(found):
    rows = {row.format: row for row in table.rows}
    beaten = {
        one.format
        for one in table.rows
        for other in table.rows
        if other.file_size < one.file_size and other.kl_mean < one.kl_mean
    }
    if missing := [name for name in rows if name not in beaten and name not in found]:
        return t(f"Missing: {missing[0]}.", f"漏了 {missing[0]}。")
    if wrong := [name for name in found if name in beaten]:
        return t(f"{wrong[0]} is beaten.", f"{wrong[0]} 有更好的。")
    sizes = [rows[name].file_size for name in found]
    return sizes == sorted(sizes) or t("The order is wrong.", "次序不对。")


course.check("quantization-lab.frontier", frontier(table.rows), judge_frontier)

# %% [markdown] lang="en"
"""
**3.** A phone has room for a file of at most 60% of `Q8_0`'s.
Which format of our table do you take, if KL decides?
Find it with a line of code.
"""

# %% [markdown] lang="zh"
"""
**3.** 手机上只放得下 `Q8_0` 文件 60% 大小的文件。
以 KL 为准，选表里的哪个格式？
用一行代码找出来。
"""

# %% exercise="phone"
phone = None
### BEGIN SOLUTION
small = [row for row in table.rows if row.file_size <= 0.6 * by["Q8_0"].file_size]
phone = min(small, key=lambda row: row.kl_mean).format
### END SOLUTION


# %% check="phone" points=1
def judge_phone(name):
    if by[name].file_size > 0.6 * by["Q8_0"].file_size:
        return t("It does not fit.", "放不下。")
    better = [
        r
        for r in table.rows
        if r.file_size <= 0.6 * by["Q8_0"].file_size and r.kl_mean < by[name].kl_mean
    ]
    return not better or t(
        "Another one that fits is closer to F16.", "放得下的里面，还有更接近 F16 的。"
    )


course.check("quantization-lab.phone", phone, judge_phone)

# %% [markdown] lang="en"
"""
**4.** Without a check: measure on a text of your own, `lab.compare(versions, text=…)`: a thousand characters of the kind you work with.
Does the order change?
Does the knee?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：用你自己的文本来测，`lab.compare(versions, text=…)`，一千字左右，就用你平时打交道的那种。
次序变了吗？
拐点变了吗？
"""

# %% [markdown] lang="en"
"""
## On real models

Change `MODEL = …`.
Every cell works; making and measuring takes minutes to hours, and the result is kept.
What a model downloads once, and what it takes in float32 while it is calibrated on a CPU:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改 `MODEL = …`，每一格都能跑；制作和测量要几分钟到几小时，结果会留着。
下载多少（只下一次）、在 CPU 上以 float32 校准要多少内存：
"""

# %%
from labkit.core.units import show_bytes

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B"):
    real = find(name)
    print(real.huggingface, show_bytes(2 * real.parameters), show_bytes(4 * real.parameters))

# %% [markdown] lang="en"
"""
The same in a terminal: `labkit quantize Qwen/Qwen2.5-0.5B-Instruct --to Q4_K_M --to gptq-4bit`.
"""

# %% [markdown] lang="zh"
"""
在终端里也一样：`labkit quantize Qwen/Qwen2.5-0.5B-Instruct --to Q4_K_M --to gptq-4bit`。
"""
