# %% [markdown] lang="en"
"""
# Yi and long contexts: positions that turn, and what remembering costs

**You will be able to** compute the rotary positions of a model from two numbers; say what the cache of a long text takes and what makes it smaller; map where in a text a model finds a fact, and where it no longer does; stretch a trained model's reach without training, and see the limits of that.

**You will learn** why "200K context" is a claim to be tested, what the rope base does, and why a context that fits on paper may not fit in memory.

**You need** about 50 minutes, two CPU cores, 0.6 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# Yi 与长上下文：会转的位置，和记性的代价

**学完你能**用两个数算出一个模型的旋转位置；算出长文本的缓存要多大，怎样才能变小；画一张图，看模型在文中哪些地方找得到事实、哪些地方找不到；不训练就把一个模型的可用长度拉长，并看到这样做的极限。

**你会明白**为什么“200K 上下文”是一句需要检验的话，rope 的底数起什么作用，为什么纸面上支持的长度，内存里不一定放得下。

**需要准备**大约 50 分钟，两个 CPU 核心，0.6 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## The family

Yi is Llama's architecture, trained by 01.AI on English and Chinese.
What made it known in November 2023 was one model more: the same weights, trained on to 200,000 tokens.
"""

# %% [markdown] lang="zh"
"""
## 家族成员

Yi 用的是 Llama 的架构，由零一万物用中英文语料训练。
2023 年 11 月让它出名的，是另外多出的一款：在原来的权重上继续训练，上下文长到 200,000。
"""

# %%
from labkit.catalog import models

for m in models():
    if m.family == "yi" and m.course:
        base, heads = m.config["rope_theta"], m.config["num_key_value_heads"]
        print(
            f"{m.name:12}{m.release_date}{m.parameters / 1e9:6.1f}B{m.context:>9,}  {base:,.0f}  {heads}"
        )

# %% [markdown] lang="en"
"""
The last two columns are this lesson: the **rope base**, and the **key-value heads**.
One decides how far positions reach, the other what a position costs.

One of the numbers is in doubt, and it is the one that matters most here: the base of the 200K.
Our catalogue has it unverified, and the repository's own discussion says that it changed:
"""

# %% [markdown] lang="zh"
"""
最后两列就是这一课的主角：**rope 的底数**和 **KV 头数**。
一个决定位置能排多远，一个决定每个位置要花多少。

其中有一个数拿不准，偏偏是这一课最要紧的那个：200K 那款的底数。
课程目录里它未经核实，而仓库自己的讨论里说它改过：
"""

# %%
from labkit.catalog import find

doubted = find("Yi-34B-200K")
print("config" in doubted.unverified, doubted.sources["rope_theta"], sep="\n")

# %% [markdown] lang="en"
"""
A published configuration is a file, and files are replaced: here with new weights, trained further for long texts, and another base to go with them.
Whoever kept the old file beside the new weights had a model whose hands turned at the wrong speed, and nothing reported it.
So take weights and configuration from one commit, and where this lesson shows a figure for the 200K, read it as one for the base in our catalogue.
"""

# %% [markdown] lang="zh"
"""
公开的配置就是一个文件，文件会换：这次是换了接着用长文本训练过的新权重，底数也跟着换了。
谁要是新权重配着旧配置用，指针转的速度就不对，而且什么也不会报错。
所以权重和配置要取自同一次提交；这一课里凡是 200K 的数字，都是按目录里的底数算的。
"""

# %% [markdown] lang="en"
r"""
## Positions that turn

Attention by itself does not know what stands where.
**Rotary position embedding** (RoPE, Su et al. 2021, arXiv:2104.09864) takes the numbers of a query or key in pairs and turns each pair like the hand of a clock, by an angle proportional to its position.
Pair $i$ of a head with $d$ numbers turns at the speed

$$\theta_i = \text{base}^{-2i/d}$$

The first hand is fast, the last very slow.
The model's own, and by hand:
"""

# %% [markdown] lang="zh"
r"""
## 会转的位置

注意力本身不知道谁在哪里。
**旋转位置编码**（RoPE，Su 等，2021，arXiv:2104.09864）把查询或键里的数两两配对，每一对当作一根钟表指针，按所在位置转过一个角度。
一个头有 $d$ 个数，第 $i$ 对的转速是

$$\theta_i = \text{base}^{-2i/d}$$

第一根针转得快，最后一根极慢。
模型里存的，和我们手算的：
"""

# %%
import torch

import labkit as lab

torch.set_grad_enabled(False)
MODEL = "pocket/yi"
model = lab.load(MODEL)
rotary = model.model.model.rotary_emb
d, base = model.config.head_dim, model.config.rope_parameters["rope_theta"]
print(d, f"{base:,.0f}", tuple(rotary.inv_freq.shape))

# %%
speeds = base ** (-2 * torch.arange(d // 2) / d)
print(torch.allclose(speeds, rotary.inv_freq))

# %% [markdown] lang="en"
"""
Why turn? A score between query and key then depends only on the *difference* of their angles, so on their distance, wherever they stand:
"""

# %% [markdown] lang="zh"
"""
为什么要转？
这样一来，查询和键的得分只取决于两个角度之*差*，也就是两者的距离，同它们各自站在哪里无关：
"""


# %%
def turn(pair, position, speed):
    angle = torch.tensor(position * speed)
    x, y = pair
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()])


query, key = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
for start in (0, 10, 500):
    print(f"{float(turn(query, start + 7, 0.3) @ turn(key, start, 0.3)):.3f}")

# %% [markdown] lang="en"
"""
### The base

How long is a full turn of the slowest hand?
For a head of 128 numbers, as in all the models below:
"""

# %% [markdown] lang="zh"
"""
### 底数

最慢的那根针转一整圈要多少个词元？
下面这些模型的头都是 128 维：
"""

# %%
from math import pi

from labkit.catalog import find

for name in ("Llama-2-7B", "Llama-3-8B", "Yi-34B-200K"):
    b = find(name).config["rope_theta"]
    print(f"{name:14}{b:>12,.0f}{2 * pi * b ** (126 / 128):>14,.0f}")

# %% [markdown] lang="en"
"""
One could think 54,000 is plenty for a model with 4,096 tokens.
But a hand says little while it has hardly moved, and a fast one has been round many times.
What counts is all of them together.
Take a key and a query that are equal: how much do they still match, on average over all hands, when they lie *n* tokens apart?
"""

# %% [markdown] lang="zh"
"""
你也许觉得，上下文才 4,096，一圈 54,000 绰绰有余。
可是一根针几乎没动时说明不了什么，转得快的针又已经绕了许多圈，要看的是所有针合在一起。
拿一对完全相同的查询和键，相隔 *n* 个词元，所有指针平均下来，它们还吻合多少？
"""

# %%
from labkit.core.i18n import t
from labkit.plots import draw_lines


def match(base, distance, d=128):
    speeds = base ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
    return float((distance * speeds).cos().mean())


distances = [4**n for n in range(10)]
draw_lines(
    {f"{b:,}": [(n, match(b, n)) for n in distances] for b in (10_000, 500_000, 5_000_000)},
    title=t("How well equal vectors match, by rope base", "相同向量的吻合程度，按 rope 底数"),
    x=t("tokens apart", "相隔的词元数"),
    y=t("mean cosine", "余弦平均值"),
    log_x=True,
    show_x="{:,.0f}".format,
)

# %% [markdown] lang="en"
"""
A small base uses up its angles early; beyond that, an equal key is no better than any other.
The distance at which the match first falls to zero:
"""

# %% [markdown] lang="zh"
"""
底数小，角度很快就用完了；再远，一模一样的键也不比别的键更像。
吻合程度第一次降到零时的距离：
"""

# %%
for b in (10_000, 500_000, 5_000_000):
    speeds = b ** (-2 * torch.arange(64, dtype=torch.float64) / 128)
    matches = (torch.arange(100_000)[:, None] * speeds).cos().mean(1)
    print(f"{b:>10,}{int((matches <= 0).nonzero()[0]):>10,}")

# %% [markdown] lang="en"
"""
Men et al. 2024 (arXiv:2405.14591) make a rule of this: a context of a given length needs a base of at least a certain size.
(By it, 10,000 was small even for Llama 2's 4,096.)
And a large base is not enough: that the angles could tell positions apart does not mean the model has *learnt* to use them.
For that we must look.
"""

# %% [markdown] lang="zh"
"""
Men 等人（2024，arXiv:2405.14591）把它总结成一条规律：上下文要多长，底数至少要多大。
（照此说，Llama 2 上下文 4,096，10,000 的底数已经偏小。）
但光有大底数还不够：角度分得清位置，不等于模型*学会*了用它。
学没学会，得测。
"""

# %% [markdown] lang="en"
"""
## A needle in a haystack

We hide facts in filler, at five depths from beginning to end, and ask for each of them.
`make_haystack` writes the text; the model answers with a number of three digits, so that guessing a number does not help (naming one of the five at random would be right one time in five).
"""

# %% [markdown] lang="zh"
"""
## 大海捞针

把几条事实藏进一堆废话，从头到尾分五个深度，再逐条提问。
文本由 `make_haystack` 来写；答案是三位数，凭空猜不中（从文中五个号码里随便挑一个，也只有五分之一的机会）。
"""

# %%
import random

from labkit.evaluation.needle_in_haystack import find_needles, make_haystack

DEPTHS = (0, 0.25, 0.5, 0.75, 1)
haystack = make_haystack(model, 128, DEPTHS, random.Random(0))
print("".join(model.decode(haystack.prompts[0])))
print(haystack.length, haystack.codes)

# %% varies="a hard needle may fall either way"
find_needles(model, haystack)

# %% [markdown] lang="en"
"""
The pocket model was trained up to 1,024 tokens.
We go four times as far.
Depth down, length across, how many of three needles are found:
"""

# %% [markdown] lang="zh"
"""
这个口袋模型训练时最长 1,024 个词元，我们一直测到它的四倍。
纵向是深度，横向是长度，每格三根针找到几根：
"""

# %%
from labkit.core.progress import track

LENGTHS = (128, 512, 1024, 2048, 4096)


def search(lengths, count=3):
    found = {}
    for length in track(lengths, "needles"):
        texts = [make_haystack(model, length, DEPTHS, random.Random(n)) for n in range(count)]
        answers = [find_needles(model, text) for text in texts]
        found[length] = [sum(column) / count for column in zip(*answers, strict=True)]
    return found


found = search(LENGTHS)
inside = sum(map(sum, (found[n] for n in (128, 512, 1024)))) / 15
beyond = sum(found[4096]) / 5
print("inside, most are found:", inside > 0.8, " far beyond, fewer:", beyond < inside)

# %% varies="found needles follow the weights"
from labkit.plots import draw_heatmap


def show_found(found, title):
    rows = [[found[n][r] for n in found] for r in range(len(DEPTHS))]
    return draw_heatmap(
        rows,
        [f"{depth:.0%}" for depth in DEPTHS],
        [f"{n:,}" for n in found],
        title=title,
        x=t("tokens", "词元"),
        y=t("depth", "深度"),
        show="{:.0%}".format,
        low=0,
        high=1,
    )


show_found(found, t("Needles found by pocket/yi", "pocket/yi 找到的针"))

# %% [markdown] lang="en"
"""
Inside the trained length the map is nearly all light.
A little beyond it goes on, further out it goes dark, though no error was raised and every question got an answer.
This picture is the test to ask for when somebody sells you a long context.
"""

# %% [markdown] lang="zh"
"""
在训练过的长度以内，图上几乎全亮。
刚超出一点还行，再远就暗下去了；可是既没有报错，每个问题也都得到了回答。
以后有人向你推销长上下文，就请他拿这张图来。
"""

# %% [markdown] lang="en"
"""
## Changing the base

The same weights, no training.
What would you change, to make it find more at 4,096?
"""

# %% [markdown] lang="zh"
"""
## 改动底数

权重不动，也不训练。
要让它在 4,096 处多找到一些，你会改什么？
"""

# %%
from labkit.widgets.prediction import ask

ask("yi.base")


# %%
def set_base(base):
    rotary.inv_freq = base ** (-2 * torch.arange(d // 2) / d)


trained, tried = base, {}
for b in (10_000, 1_000_000, trained, 20_000_000, 100_000_000):
    set_base(b)
    tried[b] = {n: sum(row) / 5 for n, row in search((256, 1024, 4096), 2).items()}
set_base(trained)

# %% varies="found needles follow the weights"
draw_heatmap(
    [list(row.values()) for row in tried.values()],
    [f"{b:,.0f}" for b in tried],
    ["256", "1,024", "4,096"],
    title=t("Needles found with another base, no training", "换底数、不训练，找到的针"),
    x=t("tokens", "词元"),
    y=t("rope base", "rope 底数"),
    show="{:.0%}".format,
    low=0,
    high=1,
)

# %%
far, near = ({b: row[n] for b, row in tried.items()} for n in (4096, 256))
print("a larger base reaches further:", max(far[2e7], far[1e8]) > far[trained])
print("a far smaller one breaks it:", near[10_000] < 0.3 < near[trained])

# %% [markdown] lang="en"
"""
A larger base turns every hand more slowly.
At 4,096 tokens the slow ones then stand at angles that they already had at 1,024, in training: the model meets nothing new.
The fast ones, which tell neighbours apart, hardly change.
A smaller base does the opposite: a little smaller costs little inside the trained length; far smaller (10,000), and even near tokens stand at wrong angles.
The larger one is what was found in June 2023 as "NTK-aware scaling", and Code Llama, Llama 3 and Yi then trained with.

Is it free? Needles are one skill, and a small model's; that short texts do not suffer *here* does not mean that nothing does.
A real extension trains on.
01.AI's own figures: Yi-34B-200K found 89.3% of its needles at first, and 99.8% after 5 billion more tokens of long texts (README, 2024-03-07); Yi-9B-200K 87.1, 97.5 and 99.0% after 6, 12 and 17 billion (its CHANGELOG, March 2024).
"""

# %% [markdown] lang="zh"
"""
底数变大，所有的针都转得慢了。
读到 4,096 时，慢针所在的角度，在训练时的 1,024 以内就见过：没有遇到新东西。
快针管的是区分近邻，几乎不受影响。
底数变小则正相反：小一些，训练长度以内损失不大；小得太多（10,000），连近处的角度都不对了。
加大底数这一招，2023 年 6 月被人发现，叫“NTK-aware”缩放；后来 Code Llama、Llama 3、Yi 训练时就直接用了大底数。

它真的没有代价吗？
找针只是一种本事，测的又是一个小模型；*这里*看不出短文本受损，不等于别处也没有。
真要延长，还是得接着训练。
零一万物自己公布的数字：Yi-34B-200K 起初找到 89.3% 的针，用 50 亿词元的长文本再训练之后是 99.8%（README，2024-03-07）；Yi-9B-200K 训练到 60 亿、120 亿、170 亿词元时，分别是 87.1%、97.5%、99.0%（其 CHANGELOG，2024 年 3 月）。
"""

# %% [markdown] lang="en"
"""
### Other ways to stretch

Configurations name their way under `rope_scaling`: `linear` divides all angles by a factor, `yarn` treats fast and slow hands differently, `llama3` likewise by Meta's own formula.
"""

# %% [markdown] lang="zh"
"""
### 其他拉长的办法

用了哪种办法，配置里的 `rope_scaling` 会写明：`linear` 把所有角度除以一个倍数；`yarn` 对快针慢针区别对待；`llama3` 类似，公式是 Meta 自己的。
"""

# %%
for name in ("DeepSeek-Coder-6.7B", "DeepSeek-V2", "Llama-3.1-8B", "Yi-34B-200K"):
    m = find(name)
    scaling = m.config.get("rope_scaling") or {}
    print(f"{name:20}{m.context:>8,}  {m.config['rope_theta']:>12,.0f}  {dict(scaling) or '-'}")

# %% [markdown] lang="en"
"""
## What a long context costs

Every token leaves a key and a value in every layer.
At pocket size, measured:
"""

# %% [markdown] lang="zh"
"""
## 长上下文的代价

每个词元在每一层都要留下一个键和一个值。
先在口袋模型上量：
"""

# %%
ids = torch.tensor([make_haystack(model, 1024, DEPTHS, random.Random(0)).prompts[0]])
measured = {}
for n in (128, 256, 512, 1000):
    cache = model.model(ids[:, :n], use_cache=True, logits_to_keep=1).past_key_values
    measured[n] = sum(2 * layer.keys.numel() * layer.keys.element_size() for layer in cache.layers)
c = model.config
per_token = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * 4
print(measured, all(size == n * per_token for n, size in measured.items()))

# %% [markdown] lang="en"
"""
A straight line, `per_token` bytes for each (4 bytes a number here).
The same formula for Yi-34B-200K with 2 bytes a number, from 4K to 200K, beside its weights in `Q4_K_M`:
"""

# %% [markdown] lang="zh"
"""
一条直线，每个词元 `per_token` 字节（这里每个数 4 字节）。
同样的公式用到 Yi-34B-200K 上，每个数 2 字节，从 4K 到 200K，旁边是 `Q4_K_M` 的权重：
"""

# %%
from labkit.core.units import show_bytes

REAL, CONTEXTS = "Yi-34B-200K", (4096, 8192, 16384, 32768, 65536, 131072, 200000)
c = find(REAL).config
per_token = 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * c["head_dim"] * 2
for n in CONTEXTS:
    print(f"{n:>8,}{show_bytes(n * per_token):>12}")
weights = lab.estimate(REAL, quant="Q4_K_M").weights
print("weights ", show_bytes(weights))

# %%
draw_lines(
    {
        name: [(n, lab.estimate(name, context=n).kv_cache) for n in CONTEXTS]
        for name in (REAL, "Yi-6B", "DeepSeek-V2")
    },
    title=t("KV cache in 16 bits", "KV 缓存，16 位"),
    x=t("tokens", "词元"),
    y=t("memory, log scale", "内存，对数刻度"),
    log_x=True,
    log_y=True,
    show_x=lambda n: f"{n // (1000 if n % 1024 else 1024)}K",
    show_y=show_bytes,
    limits={t("weights of Yi-34B, Q4_K_M", "Yi-34B 的权重，Q4_K_M"): weights},
)

# %% [markdown] lang="en"
"""
With the full 200,000 tokens the memory of the text outweighs the model.
(DeepSeek-V2, seven times as large, needs hardly more than Yi-6B: lesson [[deepseek]] tells why.)
That is with 8 key-value heads for 56 query heads; and there is the quantized cache (`-ctk q8_0 -ctv q8_0` in llama.cpp).
All ways side by side:
"""

# %% [markdown] lang="zh"
"""
读满 200,000 个词元时，记住文本要的内存比模型本身还多。
（DeepSeek-V2 有它七倍大，缓存却和 Yi-6B 差不多：第 [[deepseek]] 课讲原因。）
这已经是 56 个查询头共用 8 个 KV 头的结果；还可以把缓存也量化（llama.cpp 的 `-ctk q8_0 -ctv q8_0`）。
几种情形放在一起看：
"""

# %%
every_head = {**c, "num_key_value_heads": c["num_attention_heads"]}
ways = {
    "56 heads, f16": lab.estimate(every_head, context=200000),
    "8 heads, f16": lab.estimate(REAL, context=200000),
    "8 heads, q8_0": lab.estimate(REAL, context=200000, kv_type="q8_0"),
    "8 heads, q4_0": lab.estimate(REAL, context=200000, kv_type="q4_0"),
}
for name, e in ways.items():
    print(f"{name:15}{show_bytes(e.kv_cache):>12}{show_bytes(e.total):>12}")

# %% [markdown] lang="en"
"""
And time: while reading, each token looks at all before it, so the work of attention grows with the square of the length, and memory in proportion to it.
Seconds to read the pocket model's text, and for one token:
"""

# %% [markdown] lang="zh"
"""
再看时间：阅读时，每个词元都要回头看前面所有的词元，所以注意力的运算量随长度的平方增长，而内存只是成正比。
读完一段文本所需的秒数，以及平均到每个词元：
"""

# %% varies="times of this machine"
from time import perf_counter

long = torch.tensor([make_haystack(model, 4096, DEPTHS, random.Random(0)).prompts[0]])
for n in (512, 1024, 2048, 4000):
    start = perf_counter()
    model.model(long[:, :n], logits_to_keep=1)
    seconds = perf_counter() - start
    print(f"{n:5}{seconds:8.2f} s{1e6 * seconds / n:8.0f} µs")

# %% [markdown] lang="en"
"""
Where the last column rises, attention has begun to show; where it falls, other costs were larger, for a short text uses a processor badly.
One run of one small model proves no law.
The square is in the arithmetic.
For one token of the text, in millions of operations: what the weights take, always the same, and what attention takes, a product with each key before it and one with each value.
"""

# %% [markdown] lang="zh"
"""
最后一列往上走，是注意力的开销开始显出来；往下走，说明别的开销更大：文本短的时候，处理器吃不饱。
一个小模型跑一次，证明不了规律。
平方关系在运算量里。
平均到一个词元，以百万次计：权重要做的，始终不变；注意力要做的，是同前面每个键、每个值各乘一遍。
"""

# %%
c = model.model.config
network = model.model.model.layers
weights = 2 * sum(p.numel() for p in network.parameters())
for n in (512, 1024, 2048, 4000):
    products = 4 * c.num_hidden_layers * c.num_attention_heads * c.head_dim * n / 2
    print(f"{n:5}{weights / 1e6:7.1f}{products / 1e6:7.1f}")

# %% [markdown] lang="en"
"""
## What became of the family

Yi-1.5 (May 2024) is the last general model of the open line; Yi-Coder followed, for code, with 128K tokens.
Yi-1.5's first versions read 4,096 tokens again.
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了

Yi-1.5（2024 年 5 月）是开源这条线上最后的通用模型，之后只出过写代码的 Yi-Coder，上下文 128K。
Yi-1.5 最初几版的上下文又回到了 4,096。
"""

# %%
lab.heirs("yi")

# %% [markdown] lang="en"
"""
So who needs a long context today takes another family.
Those of today's models that read at least 200,000 tokens, by what 32,768 of them cost:
"""

# %% [markdown] lang="zh"
"""
所以今天需要长上下文，就得换别家。
当今能读 200,000 词元以上的模型，按 32,768 个词元的缓存从小到大排：
"""

# %%
from labkit.picker.picks import todays_models

able = [m for m in todays_models() if m.context >= 200_000 and m.parameters < 40e9]
costs = {m.name: lab.estimate(m.name, context=32768).kv_cache for m in able}
for name in sorted(costs, key=costs.get)[:8]:
    print(f"{name:26}{find(name).context:>11,}{show_bytes(costs[name]):>12}")

# %% [markdown] lang="en"
"""
## Strengths, limits, when to use it

**Strengths.** Good Chinese and English for its time; Apache 2.0 today (at first a licence of its own); 200K tokens when most had 4K to 32K.
**Limits.** The line has ended; mathematics and code are weak beside what came after; the ordinary models read 4,096 tokens only; at 34B a long text needs more memory than the model.

**Use it when** something built on it is to be kept running, or to learn from it, as here.
**Take another** for anything new.
And before any long context: would retrieval do, sending ten passages instead of the whole book (lesson [[fine-tuning-tools]])?
"""

# %% [markdown] lang="zh"
"""
## 长处、短处与用处

**长处**：在当时中英文都好；如今全系列 Apache 2.0（最初用自家的许可证）；别家多在 4K 到 32K 的时候，它已经有 200K。
**短处**：这条线已经结束；数学和代码比不上后来者；普通版上下文只有 4,096；34B 读长文时，文本占的内存比模型还多。

**适合**：已有系统建在它上面，要继续维护；或者像这里一样，拿它来学习。
**换别的**：一切新项目。
凡要用长上下文，先想一想：检索出十段送进去，是不是就够了，何必送整本书（第 [[fine-tuning-tools]] 课）？
"""

# %%
lab.published_scores(["Yi-6B", "Yi-34B", "Llama-2-70B"], variant="base")

# %% [markdown] lang="en"
"""
## Run the real one
"""

# %% [markdown] lang="zh"
"""
## 运行真实模型
"""

# %%
lab.run_lines("Yi-1.5-9B")

# %% varies="this machine's memory"
lab.run_lines("Yi-1.5-9B").here()

# %%
lab.run_lines(REAL, context=32768)

# %% varies="this machine's memory"
lab.run_lines(REAL, context=32768).here()

# %% [markdown] lang="en"
"""
## Recap

- RoPE turns pairs of numbers; a score depends on distance only. The base sets how slowly the slowest pair turns.
- A model uses the distances it has practised. Beyond them it fails without a word; a needle map shows where.
- A larger base stretches the reach without training, a far smaller one breaks the model; training on long texts makes it good.
- The cache grows by the same number of bytes with every token. At 200K it outweighs a 34B in 4 bits.
- Context on the label, context that works, context that fits: three different numbers.
"""

# %% [markdown] lang="zh"
"""
## 小结

- RoPE 把数两两配对来转，得分只同距离有关；底数决定最慢的那一对转得有多慢。
- 模型只会用练过的距离，超出之后一声不响地失灵；用大海捞针图能看出失灵在哪里。
- 不训练也行：底数加大能看得更远，小得太多模型就坏；要真正好用，还得拿长文本训练。
- 每多一个词元，缓存就多出固定的字节数；到 200K，比 4 位的 34B 还重。
- 标称的长度、管用的长度、放得下的长度，是三个不同的数。
"""

# %% [markdown] lang="en"
r"""
## Exercises

**1.** Write the speeds $\theta_i$ for a head of `d` numbers and a base.
The check builds the rotary embedding of Transformers for another model and compares.
"""

# %% [markdown] lang="zh"
r"""
## 练习

**1.** 写出 `d` 维的头在给定底数下的全部转速 $\theta_i$。
检查时会用 Transformers 为另一个模型建好旋转编码来对照。
"""


# %% exercise="speeds"
def rope_speeds(d, base):
    ### BEGIN SOLUTION
    return base ** (-2 * torch.arange(d // 2) / d)
    ### END SOLUTION


# %% check="speeds" points=1
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from labkit import course

llama = LlamaConfig(head_dim=128, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
real = LlamaRotaryEmbedding(llama).inv_freq
course.check("yi.speeds", rope_speeds(128, 500000.0), lambda speeds: torch.allclose(speeds, real))

# %% [markdown] lang="en"
"""
**2.** How many tokens can Yi-34B-200K in `Q4_K_M` read on two cards of 24 GB, with 2 × 22 = 44 GiB of free memory, and its cache in 16 bits?
An answer up to 4,000 tokens below the limit will do.
"""

# %% [markdown] lang="zh"
"""
**2.** 两块 24 GB 的卡合起来，算 2 × 22 = 44 GiB 空闲显存。
`Q4_K_M` 的 Yi-34B-200K，缓存用 16 位，最多能读多少个词元？
不超过极限、相差不到 4,000 就算对。
"""

# %% exercise="longest"
free, e = 44 * 2**30, lab.estimate(REAL, quant="Q4_K_M", context=131072)
longest = None
### BEGIN SOLUTION
longest = (free - e.weights - e.runtime) // (e.kv_cache // 131072) // 256 * 256
### END SOLUTION


# %% check="longest" points=1
def judge(tokens):
    fits = [
        lab.estimate(REAL, context=max(1, int(n))).total <= free for n in (tokens, tokens + 4000)
    ]
    if not fits[0]:
        return t("That is too long: it does not fit.", "太长了，放不下。")
    return not fits[1] or t("A longer one would fit.", "还能更长。")


course.check("yi.longest", longest, judge)

# %% [markdown] lang="en"
"""
**3.** Find a base larger than its own with which pocket/yi finds at least as many needles at 2,560 tokens as before, and at 256 still 8 of 10 or more.
The check sets your base and searches.
"""

# %% [markdown] lang="zh"
"""
**3.** 找一个比原来大的底数，让 pocket/yi 在 2,560 个词元处找到的针不比原来的底数少，在 256 处仍能找到十分之八以上。
检查时会设上你的底数实地去找。
"""

# %% exercise="my-base"
my_base = None
### BEGIN SOLUTION
my_base = 20_000_000
### END SOLUTION


# %% check="my-base" points=2
def search_with(new_base):
    if not new_base > trained:
        return t("That is no larger base.", "底数没有变大。")
    set_base(trained)
    before = sum(search((2560,), 2)[2560])
    set_base(float(new_base))
    now = search((256, 2560), 2)
    set_base(trained)
    if sum(now[256]) < 4:
        return t("Short texts suffer too much.", "短文本损失太大。")
    return sum(now[2560]) >= before or t("It finds fewer far away.", "远处找到的反而少了。")


course.check("yi.my-base", my_base, search_with)

# %% [markdown] lang="en"
"""
## On real models

One line: `MODEL = "01-ai/Yi-1.5-6B-Chat"`, trained to 4,096 tokens, with lengths to match.
Its answers are sentences, so look for the code *in* them.
Download, and memory in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改一行：`MODEL = "01-ai/Yi-1.5-6B-Chat"`，它训练到 4,096 个词元，测试长度要相应放大。
它用整句话回答，所以要看号码在不在回答*里面*。
下载大小，以及 16 位时的内存：
"""

# %%
real = find("Yi-1.5-6B")
e = lab.estimate(real.name, quant="bf16", context=4096)
print(show_bytes(2 * real.parameters), show_bytes(e.total))
