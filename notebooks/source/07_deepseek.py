# %% [markdown] lang="en"
"""
# DeepSeek: many experts, a short memory, and models that think first

**You will be able to** watch a router hand tokens to experts and replay its decision by hand; count which parameters a token really uses; show what latent attention keeps in the cache, and that nothing is lost by it; tell DeepSeek-R1 from the small models that carry its name.

**You will learn** why a model of 236 billion parameters can be cheap to run, why experts must be kept busy evenly, what a reasoning model does differently, and what distillation is.

**You need** about 60 minutes, two CPU cores, 0.6 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# DeepSeek：众多专家、精简的缓存，还有先想后答的模型

**学完你能**看着路由器把词元分给专家，并亲手重算它的决定；数出一个词元真正用到多少参数；看清潜在注意力在缓存里存了什么，并证明这样存没有丢掉任何东西；分清 DeepSeek-R1 和那些挂着它名字的小模型。

**你会明白**2360 亿参数的模型为什么跑起来反而便宜，为什么要让每个专家都有活干，推理模型有什么不同，蒸馏又是怎么回事。

**需要准备**大约 60 分钟，两个 CPU 核心，0.6 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## The family

What the course works with, as the catalogue has it.
Parameters in billions: all of them, and those one token passes through.
"""

# %% [markdown] lang="zh"
"""
## 家族成员

课程用到的几位，信息来自模型目录。
参数量以十亿计：前一列是总数，后一列是一个词元实际经过的。
"""

# %%
from labkit.catalog import models

for m in models():
    if m.family == "deepseek" and m.course:
        size = f"{m.parameters / 1e9:6.1f}{m.active_parameters / 1e9:6.1f}"
        print(f"{m.name:20}{m.release_date}{size}{m.context:>8,}  {m.specialty}")

# %% [markdown] lang="en"
"""
Two of them are ordinary.
Coder and Math are dense models of Llama's architecture; their strength came from what they read.
DeepSeek-V2 is where the family began to build differently, and two of its ideas have spread beyond it: **fine-grained experts**, which most large open models now have, and **latent attention**, which Kimi K2 and GLM-5 use too.
We open both in a pocket model of the same class.
"""

# %% [markdown] lang="zh"
"""
其中两位并不特别：Coder 和 Math 都是 Llama 架构的稠密模型，强在读过的东西。
从 DeepSeek-V2 起，这一家才走出自己的路。
它有两个主意传到了别家：一个是**细粒度专家**，如今的大型开源模型大多在用；一个是**潜在注意力**，Kimi K2 和 GLM-5 也用上了。
下面在同一个类的口袋模型里把两样都拆开看。
"""

# %%
import labkit as lab

MODEL = "pocket/deepseek-v2"
model = lab.load(MODEL)
network = model.model
print([type(layer.mlp).__name__ for layer in network.model.layers])

# %% [markdown] lang="en"
"""
The first layer has one ordinary feed-forward part, the others have a **mixture of experts** (Moe).
Inside of one:
"""

# %% [markdown] lang="zh"
"""
第一层的前馈部分是普通的，其余各层换成了**混合专家**（Moe）。
打开其中一个：
"""

# %%
moe = network.model.layers[1].mlp
print("shared ", [tuple(w.shape) for w in moe.shared_experts.parameters()])
print("router ", [tuple(w.shape) for w in moe.gate.parameters()])
print("experts", [tuple(w.shape) for w in moe.experts.parameters()])
count, top = moe.gate.num_experts, moe.gate.top_k
print(count, top)

# %% [markdown] lang="en"
"""
Four small feed-forward networks in one tensor (the first 4), a router that has one row for each of them and takes two for each token, and a **shared expert** that works on every token.
DeepSeek-V2 has 160 routed experts in a layer, takes 6 for each token, and has two shared ones.
"""

# %% [markdown] lang="zh"
"""
四个小前馈网络叠在一个张量里（形状里的第一个 4），路由器给每个专家配了一行权重，每个词元挑两个，另外还有一个**共享专家**，每个词元都归它管。
DeepSeek-V2 每层有 160 个路由专家，每个词元挑 6 个，共享专家有两个。
"""

# %%
from labkit.catalog import find

config = find("DeepSeek-V2").config
{k: v for k, v in config.items() if "expert" in k or k == "moe_intermediate_size"}

# %% [markdown] lang="en"
"""
## The router, by hand

We stop the computation at the door of that layer and keep what goes in and what comes out.
"""

# %% [markdown] lang="zh"
"""
## 手算一次路由

在这一层的门口把计算截住，记下进去的是什么、出来的是什么。
"""

# %%
import torch

torch.set_grad_enabled(False)
kept = {}
hook = moe.register_forward_hook(lambda _, given, out: kept.update(given=given[0], out=out))
ids = model.encode("What is 47 + 38?")
network(torch.tensor([ids]))
hook.remove()
x, out = kept["given"][0], kept["out"][0]
print([model.tokenizer.decode(id) for id in ids], tuple(x.shape))

# %% [markdown] lang="en"
"""
For each token the router multiplies its 256 numbers with each of its four rows, turns the four scores into probabilities, and the two highest win:
"""

# %% [markdown] lang="zh"
"""
对每个词元，路由器拿它的 256 个数分别同四行权重相乘，得到四个分数，化成概率，最高的两个胜出：
"""

# %%
scores = (x @ moe.gate.weight.T).softmax(-1)
weights, experts = scores.topk(top)
_, real_weights, real_experts = moe.gate(x)
print(torch.equal(experts.sort(-1).values, real_experts.sort(-1).values))

# %% varies="digits of probabilities"
for id, row, chosen in zip(ids, scores.tolist(), experts.tolist(), strict=True):
    print(f"{model.tokenizer.decode(id)!r:10}", *(f"{p:6.1%}" for p in row), " →", chosen)

# %% [markdown] lang="en"
"""
The layer's output is the shared expert's answer plus the answers of the two, each times its probability.
Nothing else:
"""

# %% [markdown] lang="zh"
"""
这一层的输出，就是共享专家的结果，加上两位当选专家的结果乘以各自的概率。
没有别的了：
"""


# %%
def run_expert(number, x):
    gate, up = (x @ moe.experts.gate_up_proj[number].T).chunk(2, dim=-1)
    return (torch.nn.functional.silu(gate) * up) @ moe.experts.down_proj[number].T


by_hand = moe.shared_experts(x)
for n in range(count):
    weight = (weights * (experts == n)).sum(-1, keepdim=True)
    by_hand = by_hand + weight * run_expert(n, x)
print(torch.allclose(by_hand, out, atol=1e-4))

# %% [markdown] lang="en"
"""
Here we let every expert compute and multiplied most of it by zero.
The real code computes only the chosen ones.
That is the whole saving.
(The full-size V2 adds two details, both in its `config.json`: a token may choose from three of eight groups of experts only, so that it has to visit few GPUs, and what the chosen ones answer is multiplied by 16, `routed_scaling_factor`.)
"""

# %% [markdown] lang="zh"
"""
这里为了好懂，我们让每个专家都算了一遍，再把大部分乘以零。
真正的实现只算当选的那几个，省下的就是这一块。
（完整大小的 V2 还有两处细节，都写在它的 `config.json` 里：专家分成八组，每个词元只能在其中三组里挑，免得跑遍所有 GPU；当选专家的结果还要乘以 16，即 `routed_scaling_factor`。）
"""

# %% [markdown] lang="en"
"""
## Which experts fire for which tokens

The same for all layers at once.
`trace_experts` puts such a hook on every router.
"""

# %% [markdown] lang="zh"
"""
## 哪些词元找哪些专家

一次看遍所有层。
`trace_experts` 在每个路由器上都挂了同样的钩子。
"""

# %%
from labkit.evaluation.expert_routing import trace_experts

text = "What is 47 + 38? 47加38等于多少？"
ids = model.encode(text)
routes = trace_experts(network, ids)
print("layers, tokens, chosen:", tuple(routes.experts.shape))

# %% varies="probabilities of the router"
from labkit.core.i18n import t
from labkit.plots import draw_heatmap

chosen = torch.full(routes.logits.shape, torch.nan).scatter(-1, routes.experts, routes.weights)
draw_heatmap(
    chosen.transpose(1, 2).flatten(0, 1).tolist(),
    [
        t("layer {} · {}", "第 {} 层 · {}").format(n // count + 1, n % count)
        for n in range(len(chosen) * count)
    ],
    [model.tokenizer.decode(id) for id in ids],
    title=t(
        "Experts that fire, and their weights in % (pocket model)",
        "当选的专家与权重（%，口袋模型）",
    ),
    show=lambda p: f"{100 * p:.0f}",
)

# %% [markdown] lang="en"
"""
Is there an expert for English, one for Chinese, one for arithmetic?
That is how the name sounds.
We count over texts of several skills: the share of each expert in the first mixture layer, per kind of token.
"""

# %% [markdown] lang="zh"
"""
有没有专管英文、专管中文、专管算术的专家？
“专家”这个名字听上去像是有。
拿几类题目来数一数：在第一个混合专家层里，每一类词元各有多少份额分给每个专家。
"""

# %%
from collections import defaultdict

from labkit.conversation.chat_templates import encode_chat
from labkit.pocket.corpus import held_out

SKILLS = ("sums", "facts", "reverse", "lexicon", "tools")
texts = []
for skill in SKILLS:
    for item in held_out(skill, 20):
        texts.append(encode_chat(model, list(item.messages[:-1]), list(item.tools) or None))
traces = [trace_experts(network, ids) for ids in texts]
print(len(texts), len(traces))


# %%
def kind(word):
    word = word.strip()
    if any("一" <= letter <= "鿿" for letter in word):
        return "Chinese"
    return "digits" if word.isdigit() else "English" if word.isalpha() else "signs"


by_kind, by_token = (defaultdict(lambda: torch.zeros(count)) for _ in range(2))
for ids, trace in zip(texts, traces, strict=True):
    for id, chosen in zip(ids, trace.experts[0], strict=True):
        by_kind[kind(model.tokenizer.decode(id))][chosen] += 1
        by_token[id][chosen] += 1

# %% varies="shares follow the weights"
for name, counts in by_kind.items():
    print(f"{name:8}", *(f"{share:5.0%}" for share in counts / counts.sum()))

# %% [markdown] lang="en"
"""
All experts serve all kinds.
There is a leaning, not a profession.
But look at single tokens: the share of choices that fall on the two experts this very token takes most often, against the two that are most popular over all.
"""

# %% [markdown] lang="zh"
"""
每一类词元都用到了所有专家：有偏好，谈不上分行业。
可是逐个词元看就不一样了：先看落在“这个词元自己最常找的两位专家”上的份额，再同“总体最热门的两位”比一比。
"""

# %%
frequent = [counts for counts in by_token.values() if counts.sum() >= 10]
own = sum(counts.topk(top).values.sum() for counts in frequent) / sum(c.sum() for c in frequent)
total = sum(frequent)
common = total.topk(top).values.sum() / total.sum()
print("a token keeps to its own two:", bool(own > common))

# %% varies="shares follow the weights"
print(f"{own:.0%} {common:.0%}")

# %% [markdown] lang="en"
"""
So it is mostly *which token* it is that decides, and little what the text is about.
The makers of Mixtral found the same in a real model: no clear pattern by topic, but a leaning by syntax (Jiang et al. 2024, arXiv:2401.04088, section 5).
"Experts" are not specialists for fields; they are drawers into which a training without a plan has sorted its work.
"""

# %% [markdown] lang="zh"
"""
所以起决定作用的，主要是*哪个词元*，而不是文章讲什么。
Mixtral 的作者在真实模型上也看到了同样的现象：按主题看不出明显规律，按句法却有偏好（Jiang 等，2024，arXiv:2401.04088，第 5 节）。
所谓“专家”并不是各行各业的专家，更像一排抽屉：没人规定过怎么放，训练自己把活儿分了类。
"""

# %% [markdown] lang="en"
"""
### Does the choice matter?

We let it choose, then take its two *least* wanted experts, then none, then leave out the shared expert.
The measure is the loss on the right answers: how unexpected they are to the model, 0 at best.
"""

# %% [markdown] lang="zh"
"""
### 选谁真的重要吗？

先让它自己选；再换成它*最不想要*的两个；再一个都不用；最后拿掉共享专家。
衡量标准是正确答案的损失，也就是这些答案在模型看来有多意外，最好是 0。
"""

# %%
from labkit.evaluation.expert_routing import steered
from labkit.evaluation.scoring import answer_loss

items = [item for skill in ("sums", "lexicon", "tools") for item in held_out(skill, 15)]


def loss():
    return answer_loss(network, model.tokenizer, items)


losses = {"router": loss()}
with steered(network, lambda scores, w, e: (w, scores.topk(top, largest=False).indices)):
    losses["least wanted"] = loss()
with steered(network, lambda scores, w, e: (0 * w, e)):
    losses["no routed expert"] = loss()

# %%
shared = [layer.mlp.shared_experts for layer in network.model.layers[1:]]
hooks = [part.register_forward_hook(lambda _, given, out: 0 * out) for part in shared]
losses["no shared expert"] = loss()
for hook in hooks:
    hook.remove()
print("all worse than the router:", min(losses, key=losses.get) == "router")

# %% varies="digits of a loss"
for name, value in losses.items():
    print(f"{name:18}{value:7.4f}")

# %% [markdown] lang="en"
"""
In this pocket model the wrong experts cost little, no routed expert at all costs far more: so the four can largely stand in for each other, but the shared expert alone is not enough.
Without it the loss rises as well.
By design it takes what all tokens need, so that the others can differ (DeepSeekMoE, Dai et al. 2024, arXiv:2401.06066).
Lesson [[mistral]] repeats this with a mixture that has no shared expert.
"""

# %% [markdown] lang="zh"
"""
在这个口袋模型里，选错专家的代价不大，一个路由专家都不用，代价就大得多：可见四个专家大体能互相顶替，光靠共享专家却不够。
拿掉共享专家，损失同样上升。
按设计，它负责所有词元都要的那部分，好让其余专家各有分工（DeepSeekMoE，Dai 等，2024，arXiv:2401.06066）。
第 [[mistral]] 课会拿一个没有共享专家的模型再做一遍。
"""

# %% [markdown] lang="en"
r"""
### Keeping all of them busy

An expert that is chosen early learns more and is chosen more often: left alone, a few take all.
So training adds a small **balance loss**.
With $f_i$ the share of tokens that choose expert $i$, $P_i$ its mean probability and $N$ experts, it is $N \sum_i f_i P_i$ (Fedus et al. 2021, arXiv:2101.03961).
It is least when all are equal.
How even did it come out?
Share of the choices, layer by layer; even would be 25%:
"""

# %% [markdown] lang="zh"
r"""
### 让每个专家都有活干

早先被选中的专家学得多，学得多就更常被选中：放任不管，最后几个专家就把活全包了。
所以训练时要加一项小小的**均衡损失**：设 $f_i$ 是选了专家 $i$ 的词元所占的比例，$P_i$ 是它的平均概率，共 $N$ 个专家，损失就是 $N \sum_i f_i P_i$（Fedus 等，2021，arXiv:2101.03961），各专家完全均等时最小。
训练下来有多均匀？
逐层看每个专家的份额，完全均匀应是 25%：
"""

# %%
every = torch.cat([trace.experts for trace in traces], dim=1)
shares = torch.stack([layer.flatten().bincount(minlength=count) / layer.numel() for layer in every])
print("none idle, none alone:", bool(shares.min() > 0.05 and shares.max() < 0.6))

# %% varies="shares follow the weights"
from labkit.plots import draw_bars

names = [f"{t('expert', '专家')} {n}" for n in range(count)]
draw_bars(
    {
        t("layer {}", "第 {} 层").format(n + 1): dict(zip(names, row, strict=True))
        for n, row in enumerate(shares.tolist())
    },
    title=t("Share of all choices (pocket model)", "被选中的份额（口袋模型）"),
    show="{:.0%}".format,
)

# %% [markdown] lang="en"
"""
Where experts lie on different GPUs, balance is money: the step takes as long as the busiest one.
DeepSeek-V2 therefore balanced experts, devices and traffic between them with three such losses; V3 kept only a trace of such a loss and relies on a bias that is nudged while training runs, since the loss also pulls on quality (DeepSeek-V3 report 2024, arXiv:2412.19437).
"""

# %% [markdown] lang="zh"
"""
专家分放在不同的 GPU 上时，均衡就是钱：每一步要等最忙的那块卡。
DeepSeek-V2 为此用了三项均衡损失，分别管专家、设备和设备间的通信；到了 V3，均衡损失只留下极小的一项，主要靠一个边训练边微调的偏置，因为均衡损失多少会拖累质量（DeepSeek-V3 技术报告，2024，arXiv:2412.19437）。
"""

# %% [markdown] lang="en"
"""
## Active and total parameters

What a token does not pass through is easily counted: of four routed experts two stay idle, in three layers.
"""

# %% [markdown] lang="zh"
"""
## 激活参数与总参数

一个词元没有经过的部分很好数：四个路由专家里有两个闲着，共三层。
"""

# %%
total = network.num_parameters()
one_expert = sum(w[0].numel() for w in moe.experts.parameters())
layers, idle = len(every), count - top
active = total - layers * idle * one_expert
print(f"{total:,} - {layers} × {idle} × {one_expert:,} = {active:,} ({active / total:.0%})")

# %% [markdown] lang="en"
"""
A small gain here, where experts are few.
It grows with their number, because a layer can have ever more of them while a token still takes the same few:
"""

# %% [markdown] lang="zh"
"""
这里专家少，省得不多。
专家越多省得越多：一层里的专家可以一直往上加，每个词元用到的还是那几个：
"""

# %%
for name in ("Mixtral-8x7B", "DeepSeek-V2-Lite", "DeepSeek-V2", "DeepSeek-V3"):
    m = find(name)
    experts = m.config.get("n_routed_experts") or m.config["num_local_experts"]
    chosen = m.config["num_experts_per_tok"]
    print(f"{name:18}{chosen:2} of {experts:3}{m.active_parameters / m.parameters:7.1%}")

# %% [markdown] lang="en"
"""
One multiplication and one addition for every active weight: about 2 × active operations a token.
And one reading of every active weight.
What must lie in memory is still all of them (lesson [[choose-a-model]]).
"""

# %% [markdown] lang="zh"
"""
每个激活的权重做一次乘法、一次加法，所以每个词元的运算量约为 2 × 激活参数；读取量也是把激活的权重读一遍。
不过，放进内存的还得是全部参数（见第 [[choose-a-model]] 课）。
"""

# %%
for name in ("Llama-3-70B", "Qwen2.5-72B", "DeepSeek-V2"):
    m = find(name)
    print(f"{name:14}{m.parameters / 1e9:7.1f}B{2 * m.active_parameters / 1e9:8.0f} GFLOP")

# %% [markdown] lang="en"
"""
Three times the parameters of the others, a third of their work.
"""

# %% [markdown] lang="zh"
"""
参数是另外两个的三倍，运算量只有它们的三分之一。
"""

# %% [markdown] lang="en"
"""
## MLA: what the cache keeps

Experts save work, not cache: attention is shared by all tokens.
DeepSeek-V2 has 128 heads in 60 layers.
Before you run on:
"""

# %% [markdown] lang="zh"
"""
## MLA：缓存里存的是什么

专家省的是计算，省不了缓存：注意力部分每个词元都要走。
DeepSeek-V2 有 60 层，每层 128 个头。
先猜一猜：
"""

# %%
from labkit.widgets.prediction import ask

ask("deepseek.cache")

# %% [markdown] lang="en"
"""
First the pocket model.
We let it read a text and look into the cache that Transformers has filled:
"""

# %% [markdown] lang="zh"
"""
先看口袋模型。
让它读一段文字，再打开 Transformers 填好的缓存看看：
"""

# %%
ids = model.encode(text)
cache = network(torch.tensor([ids]), use_cache=True).past_key_values
for layer in cache.layers:
    print(tuple(layer.keys.shape), tuple(layer.values.shape))

# %% [markdown] lang="en"
"""
Sequence, heads, tokens, numbers.
There are four heads, but the cache has **one**, and what Transformers files under "keys" and "values" is neither.
"Keys" holds a **latent** vector of 128 numbers a token (`kv_lora_rank`), "values" a **rotary key** of 32 (`qk_rope_head_dim`), shared by all heads.
Keys and values proper are computed from them when they are needed:
"""

# %% [markdown] lang="zh"
"""
四个维度依次是：序列、头、词元、数。
模型有四个头，缓存里却只有**一个**；Transformers 放在“keys”和“values”名下的，其实既不是键也不是值。
“keys”里是每个词元一个 128 维的**潜向量**（`kv_lora_rank`），“values”里是一个 32 维的**旋转键**（`qk_rope_head_dim`），所有头共用。
真正的键和值，用到时才由它们算出来：
"""

# %%
attention = network.model.layers[1].self_attn
latents, rotary = cache.layers[1].keys, cache.layers[1].values
keys, values = attention.expand_kv(latents, rotary)
print(tuple(keys.shape), tuple(values.shape))


# %%
def size(*tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


stored = sum(size(layer.keys, layer.values) for layer in cache.layers)
expanded = len(cache.layers) * size(keys, values)
print(f"{stored:,} {expanded:,} {expanded / stored}")

# %% [markdown] lang="en"
"""
Measured in bytes: 160 numbers a token and layer in place of 512.
The estimate of the course counts the same (in 16 bits; here they are 32):
"""

# %% [markdown] lang="zh"
"""
按字节量出来：每个词元每层存 160 个数，而不是 512 个。
课程的估算也是这么数的（估算按 16 位，这里是 32 位）：
"""

# %%
print(2 * lab.estimate(MODEL, quant="bf16", context=len(ids)).kv_cache == stored)

# %% [markdown] lang="en"
r"""
### Nothing is expanded in the end

One could fear that the saved memory is paid with work: expanding all keys for every new token.
Transformers does that.
But it can be avoided.
The score of a query $q$ with a key $k = W c$, made from the latent $c$, is

$$q \cdot (W c) = (W^\top q) \cdot c$$

So instead of every key, only the *query* is carried over, once, and meets the latents directly.
For a query of all four heads:
"""

# %% [markdown] lang="zh"
r"""
### 其实用不着展开

你也许担心：省了内存，就得多花计算，每来一个新词元都要把所有的键展开一遍。
Transformers 确实是这样做的，但本可不必。
潜向量 $c$ 展开成键 $k = W c$，它与查询 $q$ 的得分是

$$q \cdot (W c) = (W^\top q) \cdot c$$

也就是说，不用展开每一个键，只要把*查询*变换一次，就可以直接同潜向量相乘。
拿四个头各一个查询来试：
"""

# %%
heads, nope = attention.num_heads, attention.qk_nope_head_dim
W = attention.kv_b_proj.weight.view(heads, -1, attention.kv_lora_rank)[:, :nope]
query = torch.randn(heads, nope, generator=torch.Generator().manual_seed(0))
long_way = torch.einsum("hd,htd->ht", query, keys[0, :, :, :nope])
short_way = torch.einsum("hd,hdc,tc->ht", query, W, latents[0, 0])
print(torch.allclose(long_way, short_way, atol=1e-3), tuple(short_way.shape))

# %% [markdown] lang="en"
"""
This is called **absorption**; llama.cpp and the large servers compute that way, and the same works for the values.
It also explains the odd second part.
A rotary position turns each key by an angle of its own, and that turn would stand between $W$ and $c$: absorption would break.
So position is kept out of the latent and carried by a few numbers beside it, once for all heads.
"""

# %% [markdown] lang="zh"
"""
这叫**吸收**（absorption），llama.cpp 和各家服务端都是这样算的，值的那一半同理。
这也解释了缓存里为什么会有那奇怪的第二部分：旋转位置编码要把每个键转一个各自的角度，这一转正好夹在 $W$ 和 $c$ 中间，吸收就做不成了。
所以位置信息不进潜向量，而是另外用少量几个数带着，所有头共用一份。
"""

# %% [markdown] lang="en"
"""
### The real one

The same count for DeepSeek-V2, in 16 bits: as it is, and as if it kept keys and values of its heads.
"""

# %% [markdown] lang="zh"
"""
### 真实模型

对 DeepSeek-V2 照样数一遍，16 位：实际的，以及假如把各个头的键和值都存下来。
"""

# %%
latent = config["kv_lora_rank"] + config["qk_rope_head_dim"]
per_head = config["qk_nope_head_dim"] + config["qk_rope_head_dim"] + config["v_head_dim"]
mla = 2 * config["num_hidden_layers"] * latent
mha = 2 * config["num_hidden_layers"] * config["num_attention_heads"] * per_head
print(f"{mla:,} {mha:,} {mha / mla:.0f}")

# %%
from labkit.core.units import show_bytes


def cache_per_token(name):
    return lab.estimate(name, context=4096).kv_cache // 4096


print(cache_per_token("DeepSeek-V2") == mla)
names = ("Llama-2-7B", "Yi-34B", "Llama-3-70B", "Qwen2.5-72B", "DeepSeek-V2-Lite", "DeepSeek-V2")
draw_bars(
    {t("V2 if it kept its heads", "V2（若存下全部头）"): mha}
    | {n: cache_per_token(n) for n in names},
    title=t("KV cache of one token, 16 bits, log scale", "每个词元的 KV 缓存，16 位，对数刻度"),
    show=show_bytes,
    log=True,
)

# %% [markdown] lang="en"
"""
Less than a seventh of Llama 2 **7B**.
The paper claims a cache smaller by 93.3% than that of its own predecessor, DeepSeek 67B (DeepSeek-AI 2024, arXiv:2405.04434).
That model had 95 layers and 8 key-value heads of 128 (arXiv:2401.02954); does the claim follow?
"""

# %% [markdown] lang="zh"
"""
连 Llama 2 **7B** 的七分之一都不到。
论文说，缓存比自家前代 DeepSeek 67B 小了 93.3%（DeepSeek-AI，2024，arXiv:2405.04434）。
那个模型有 95 层、8 个 128 维的 KV 头（arXiv:2401.02954）。
这个数推得出来吗？
"""

# %%
before = 2 * 95 * 8 * 128 * 2
print(f"{1 - mla / before:.1%} {1 - mla * 6 / 16 / before:.1%}")

# %% [markdown] lang="en"
"""
By the architecture alone 82%.
The rest comes from storing the latents in 6 bits instead of 16, as the paper says of its service.
Whenever you meet such a percentage: *against what, and with what else changed?*
"""

# %% [markdown] lang="zh"
"""
光靠架构是 82%。
剩下的，来自线上服务把潜向量从 16 位压到了 6 位，论文里也写明了。
以后碰到这类百分比，先问一句：*同什么比？还同时变了别的没有？*
"""

# %% [markdown] lang="en"
"""
## Why its answers are cheap

One server, eight cards of 80 GB, weights in 8 bits.
What the weights leave free holds conversations of 8,192 tokens.
How many at once?

It depends on how the cache is laid over the cards.
In plain **tensor parallelism** each card computes a share of the heads.
Eight key-value heads go to eight cards, one each, and every card keeps only its own.
A latent belongs to all heads, so every card must keep the whole of it: eight copies.
To keep it once, servers give each conversation to one card (data-parallel attention, SGLang's `--enable-dp-attention`) or cut it along its tokens (decode context parallelism, vLLM's `--decode-context-parallel-size`).
The last two columns: conversations in plain tensor parallelism, and with each cache kept once.
"""

# %% [markdown] lang="zh"
"""
## 它的回答为什么便宜

一台服务器，八块 80 GB 的卡，权重用 8 位。
放完权重，剩下的显存用来装 8,192 个词元的对话。
同时装得下多少段？

这要看缓存怎么分到八块卡上。
普通的**张量并行**，每块卡算一部分头。
八个 KV 头分给八块卡，一块一个，各存各的。
潜向量却是所有头共用的，每块卡都得存一整份：一共八份。
想只存一份，服务端有两种办法：一段对话只归一块卡（数据并行注意力，SGLang 的 `--enable-dp-attention`），或者沿词元方向切开（解码上下文并行，vLLM 的 `--decode-context-parallel-size`）。
最后两列：普通张量并行能装几段，缓存只存一份能装几段。
"""

# %%
CARDS = 8
memory = CARDS * 80 * 2**30
for name in ("Llama-3-70B", "Qwen2.5-72B", "DeepSeek-V2"):
    e, m = lab.estimate(name, quant="Q8_0", context=8192), find(name)
    heads = 1 if "kv_lora_rank" in m.config else m.num_key_value_heads
    copies, room = CARDS // min(CARDS, heads), memory - e.weights
    users = room // (copies * e.kv_cache), room // e.kv_cache
    sizes = f"{show_bytes(e.weights):>10}{show_bytes(e.kv_cache):>10}"
    print(f"{name:14}{sizes}{copies:3} ×{users[0]:>6}{users[1]:>6}")

# %% [markdown] lang="en"
"""
Laid out plainly, the small cache is lost again: eight copies of it, and fewer conversations than the dense models have.
Kept once, it holds three times as many as they do, and each token takes a third of their work.
(Data-parallel attention also copies the weights of attention to every card, which this count leaves out.)
The paper gives 5.76 times the peak throughput of DeepSeek 67B.
And for one person at home?
All weights must fit, then it is fast.
A small sibling beside a dense model of its size, in ordinary RAM, tokens a second:
"""

# %% [markdown] lang="zh"
"""
按普通办法分，小缓存的好处就丢了：存了八份，装下的对话比那两个稠密模型还少。
只存一份，就能装下它们的三倍，每个词元的运算量又只有它们的三分之一。
（数据并行注意力还要给每块卡复制一份注意力的权重，这里没有算进去。）
论文给出的峰值吞吐是 DeepSeek 67B 的 5.76 倍。
那么一个人在家用呢？
前提是权重全放得下，放得下就快。
拿小兄弟同差不多大的稠密模型比，都放在普通内存里，每秒词元数：
"""

# %%
from labkit.estimation.tokens_per_second import token_speed

for name in ("Qwen2.5-14B", "DeepSeek-V2-Lite"):
    e = lab.estimate(name, quant="Q4_K_M", context=4096)
    low, high = token_speed(e, None, "DDR5-5600 dual channel")
    print(f"{name:18}{show_bytes(e.weights):>9}{show_bytes(e.read_per_token):>9}{low:6}–{high}")

# %% [markdown] lang="en"
"""
The same memory, several times the speed.
So a mixture with few active parameters is the natural model for a computer that has RAM but no strong GPU.
"""

# %% [markdown] lang="zh"
"""
占的内存差不多，速度快好几倍。
所以，内存够大、没有好显卡的电脑，最适合跑激活参数少的混合专家模型。
"""

# %% [markdown] lang="en"
"""
## Coder and Math

Both are plain architectures with special reading.
DeepSeek-Coder read 87% code (its README); DeepSeek-Math went on from Coder with mathematical pages and is where **GRPO** was introduced, the reinforcement learning that later made R1 (arXiv:2402.03300).
Published scores; rows with the same number in brackets may be compared:
"""

# %% [markdown] lang="zh"
"""
## Coder 与 Math

两个都是普通架构，特别的是读物。
DeepSeek-Coder 的训练语料 87% 是代码（见其 README）；DeepSeek-Math 在 Coder 的基础上继续读数学网页，**GRPO** 这种强化学习方法就是在它身上提出的，后来 R1 靠的也是它（arXiv:2402.03300）。
下面是公开成绩，方括号里编号相同的行才能互相比较：
"""

# %%
from labkit.course.family_overview import published_scores

published_scores(["DeepSeek-Coder-6.7B", "DeepSeek-Math-7B"])

# %% [markdown] lang="en"
"""
First what cannot be relied on: the rows whose note says *unverified* have no source; we wrote them down from memory, and nothing here is built on them.

See what specialisation buys at 7B: the general V2-Lite of three months later, twice the size, stays below Math in mathematics (17.1 and 27.9 on MATH, base and chat; V2's README).
It is paid elsewhere: Math knows only its field and reads 4,096 tokens.
"""

# %% [markdown] lang="zh"
"""
先说靠不住的：注明“未核实”的那几行没有出处，是凭记忆写下的，下面的话都不以它们为据。

7B 的模型专攻一门能换来什么，一看便知：三个月后的通用模型 V2-Lite 大了一倍，数学却不如它（MATH 上基座 17.1、对话 27.9，见 V2 的 README）。
代价在别处：Math 只懂本行，上下文只有 4,096。
"""

# %% [markdown] lang="en"
"""
## R1: think first, then answer

A model does the same amount of work for every token, be the question easy or hard.
A **reasoning model** buys more work by writing more: first its thoughts, between `<think>` and `</think>`, then the answer.
DeepSeek showed first that this can grow by itself: **R1-Zero** is the base of V3 after nothing but reinforcement learning with a simple reward, is the final answer right, and is the form kept (arXiv:2501.12948)?
No one showed it how to think; long thoughts, checking and turning back came because they were rewarded.
But they were hard to read and mixed languages.
**DeepSeek-R1** (January 2025) therefore began with some thousands of readable examples; then came reinforcement learning, fine-tuning on a large set of its own best answers, and reinforcement learning once more.

The price is tokens.
R1's makers let it write up to 32,768 of them a question.
What that means for a 7B on an RTX 4060, in seconds and in cache:
"""

# %% [markdown] lang="zh"
"""
## R1：先想，再答

不管问题难易，模型每吐一个词元做的计算都一样多。
**推理模型**想多算一些，办法就是多写：先把思考过程写在 `<think>` 与 `</think>` 之间，再给出答案。
DeepSeek 先证明了这种本事可以自己长出来：**R1-Zero** 是在 V3 的基座上只做强化学习得来的，奖励很简单，最后答案对不对，格式守没守（arXiv:2501.12948）。
没有人教它怎么想；长长的思考、验算、推倒重来，都是奖励引出来的。
可是写得难读，还混着几种语言。
所以 **DeepSeek-R1**（2025 年 1 月）先学了几千条写得清楚的例子，再做强化学习，再用从自己的好答案里筛出的大批数据微调，最后又做了一次强化学习。

代价是词元。
作者评测时允许 R1 每题最多写 32,768 个。
对 RTX 4060 上的一个 7B 来说，这意味着多少秒、多少缓存：
"""

# %%
for tokens in (300, 4096, 32768):
    e = lab.estimate("DeepSeek-R1-Distill-Qwen-7B", context=tokens)
    low, high = token_speed(e, "RTX 4060")
    print(f"{tokens:>6,}{tokens / high:>6.0f}–{tokens / low:.0f} s{show_bytes(e.kv_cache):>12}")

# %% [markdown] lang="en"
"""
### Distillation

Then there are models such as `DeepSeek-R1-Distill-Qwen-7B`; Ollama even calls one `deepseek-r1:7b`.
What are they?
"""

# %% [markdown] lang="zh"
"""
### 蒸馏

还有一些模型叫 `DeepSeek-R1-Distill-Qwen-7B` 之类，Ollama 干脆把其中一个叫作 `deepseek-r1:7b`。
它们到底是什么？
"""

# %%
ask("deepseek.distill")

# %%
for m in models():
    if m.series == "deepseek-r1-distill" and m.base:
        print(f"{m.name:32}{m.config['model_type']:8}{m.base}")

# %% [markdown] lang="en"
"""
Distilled means here: about 800,000 samples were collected, three quarters of them R1's answers with their thoughts, the rest ordinary tasks such as writing and translation; and a small dense model of another family was fine-tuned on them, like on any other text.
No experts, no latent attention, none of R1's weights.
We do the first half in small.
A pocket teacher answers held-out sums; what is wrong is thrown away, as DeepSeek did where answers could be checked.
What is left is a training set.
"""

# %% [markdown] lang="zh"
"""
这里的“蒸馏”是指：收集约 80 万条样本，其中四分之三是 R1 带思考过程的回答，其余是写作、翻译之类的普通任务，再拿它们去微调别家的稠密小模型，做法和用任何文本微调一样。
没有专家，没有潜在注意力，R1 的权重一个也没有。
我们把前半程按小比例做一遍：让一个口袋模型当老师，回答没见过的加法题；答错的扔掉（凡是能验对错的题，DeepSeek 也是这么筛的），剩下的就是训练集。
"""

# %%
teacher = lab.chat("pocket/qwen2.5", "transformers", temperature=0.7, seed=1)
lessons = []
for item in held_out("sums", 24):
    question, right = (message["content"] for message in item.messages)
    teacher.reset()
    answer = str(teacher(question))
    if answer == right:
        lessons.append({"messages": teacher.history})
print("a third or more can be used:", len(lessons) >= 8)

# %% varies="sampled answers"
print(len(lessons), "of 24")
lessons[0]

# %% [markdown] lang="en"
"""
Lesson [[lora]] trains on such sets.
Does it work for reasoning?
Published (R1's README and the catalogue):
"""

# %% [markdown] lang="zh"
"""
用这样的数据集训练，是第 [[lora]] 课的内容。
这样能学会推理吗？
公开成绩（出自 R1 的 README，见目录）：
"""

# %%
published_scores(
    [m.name for m in models() if m.series == "deepseek-r1-distill"]
    + ["DeepSeek-R1", "GPT-4o-0513"],
    ["MATH-500", "AIME2024"],
)

# %% [markdown] lang="en"
"""
A 7B that thinks passes GPT-4o of May 2024 in competition mathematics, and by the same README in competition code (LiveCodeBench 37.6 against 32.9); not in general knowledge (GPQA Diamond 49.1 against 49.9), and with many more tokens.
The paper's second finding: the same reinforcement learning done *directly* on Qwen2.5-32B reached 47.0 on AIME 2024; distilled from R1 it reaches 72.6.
For a small model a good teacher beats own discovery.

Mind the licence: the distilled weights are under MIT, but made from Qwen or Llama, so the terms of the base remain:
"""

# %% [markdown] lang="zh"
"""
会思考的 7B，在竞赛数学上超过了 2024 年 5 月的 GPT-4o；据同一份 README，编程竞赛题也超过了（LiveCodeBench 37.6 对 32.9）；知识面没有超过（GPQA Diamond 49.1 对 49.9），而且词元花得多得多。
论文还有第二个发现：同样的强化学习*直接*用在 Qwen2.5-32B 上，AIME 2024 只有 47.0，而从 R1 蒸馏出来的有 72.6。
对小模型来说，名师指点胜过自己摸索。

许可证也要留意：蒸馏出来的权重用 MIT，可它们是拿 Qwen 或 Llama 改的，基座的条款仍然有效：
"""

# %%
from labkit.catalog import terms

for name in ("DeepSeek-R1-Distill-Qwen-14B", "DeepSeek-R1-Distill-Llama-8B"):
    print(name, [row.name for row in terms(find(name))])

# %% [markdown] lang="en"
"""
## What became of the family

V2's architecture became V3 (December 2024), then V3.1 and V3.2, all too large for a desk.
V4 (2026) left it: its attention compresses the context in another way, which our memory arithmetic does not cover, so it is not in the table.
Small chat models of its own DeepSeek has not made since.
What takes their place on your own computer are the distilled ones, and models of other makers.
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了

V2 的架构发展成 V3（2024 年 12 月），再到 V3.1、V3.2，个个大得桌面放不下。
V4（2026 年）换了路子：它的注意力用另一种办法压缩上下文，我们的内存估算还管不到，所以不在下表里。
此后 DeepSeek 没有再出自研的小型对话模型；在自己电脑上接班的，是那些蒸馏模型，还有别家的模型。
"""

# %%
from labkit.course.family_overview import successors as heirs

heirs("deepseek")

# %% [markdown] lang="en"
"""
## Strengths, limits, when to use it

**Strengths.** Quality for the money in large; code, mathematics and Chinese; open reports that say how it was done.
**Limits.** The large ones need a server.
R1 thinks long even about easy questions, and its paper names function calling and dialogues of many turns as weaker than V3's.
The older licence lists forbidden uses.

**Use it when** a task is checkable and hard (mathematics, code, logic) and seconds do not matter: a distilled model.
**When you serve many users** and own the machines: the large mixtures.
**Take another** for quick chat, tools or extraction on a laptop (lesson [[choose-a-model]] picks).
"""

# %% [markdown] lang="zh"
"""
## 长处、短处与用处

**长处**：大模型里性价比高；代码、数学、中文都强；技术报告公开，怎么做的写得清楚。
**短处**：大的要上服务器；R1 连简单问题也要想半天，论文自己也承认，函数调用和多轮对话不如 V3；早期许可证列有禁止用途。

**适合**：题目难、答案能验证（数学、代码、逻辑），又不赶时间，用蒸馏模型；**要服务很多人**，机器又是自己的，用大的混合专家模型。
**换别的**：在笔记本上快问快答、调用工具、抽取信息（第 [[choose-a-model]] 课来选）。
"""

# %%
published_scores(
    ["DeepSeek-V2", "DeepSeek-V2-Lite", "Llama-3-70B", "Mixtral-8x22B"],
    ["C-Eval", "CMMLU", "HumanEval", "GSM8K", "MATH"],
    "base",
)

# %% [markdown] lang="en"
"""
## Run the real one

The heir that most computers can take.
`here()` compares with the memory that is free on yours at this moment.
"""

# %% [markdown] lang="zh"
"""
## 运行真实模型

多数电脑跑得动的接班者。
`here()` 会同你电脑此刻的空闲内存作比较。
"""

# %%
from labkit.course.family_overview import run_lines

run_lines("DeepSeek-R1-Distill-Qwen-7B", context=8192)

# %% varies="this machine's memory"
run_lines("DeepSeek-R1-Distill-Qwen-7B", context=8192).here()

# %% [markdown] lang="en"
"""
With R1 models: temperature 0.6, no system prompt, and leave room for the thoughts (README, section "Usage Recommendations").
DeepSeek-V2-Lite itself:
"""

# %% [markdown] lang="zh"
"""
用 R1 系列时：温度设 0.6，不写系统提示词，给思考留足上下文（README 的“Usage Recommendations”一节）。
DeepSeek-V2-Lite 本尊：
"""

# %%
run_lines("DeepSeek-V2-Lite")

# %% [markdown] lang="en"
"""
## Recap

- A router scores all experts and sends a token to the best few; a shared expert sees every token. The output is their weighted sum.
- Which token it is decides more than what the text is about; training keeps the experts evenly busy.
- Memory follows the total parameters, speed and work the active ones.
- MLA caches one short latent and one rotary key a token; by absorption nothing needs to be expanded.
- R1 thinks in tokens. A distilled model is a dense model of another family, trained on R1's texts.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 路由器给所有专家打分，把词元交给最好的几个；共享专家则每个词元都管。输出是它们的加权和。
- 分给谁，主要看是哪个词元，而不是文章讲什么；训练会让各专家忙闲均匀。
- 内存看总参数，速度和计算量看激活参数。
- MLA 每个词元只存一个短短的潜向量和一个旋转键；靠吸收，用不着展开。
- R1 的思考是用词元写出来的。蒸馏模型是别家的稠密模型，用 R1 写的文本训练而成。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** How many parameters of DeepSeek-V2 does a token pass through?
Compute it from `config` and the total.
An expert is three matrices of `hidden_size` × `moe_intermediate_size`; the first `first_k_dense_replace` layers have none.
The catalogue judges.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 一个词元经过 DeepSeek-V2 的多少个参数？
请用 `config` 和总参数量算出来。
一个专家是三个 `hidden_size` × `moe_intermediate_size` 的矩阵；最前面 `first_k_dense_replace` 层没有专家。
检查时同目录对照。
"""

# %%
total = find("DeepSeek-V2").parameters
config

# %% exercise="active-parameters"
active = None
### BEGIN SOLUTION
idle = config["n_routed_experts"] - config["num_experts_per_tok"]
layers = config["num_hidden_layers"] - config["first_k_dense_replace"]
active = total - layers * idle * 3 * config["hidden_size"] * config["moe_intermediate_size"]
### END SOLUTION

# %% check="active-parameters" points=1
from labkit import course

course.check("deepseek.active-parameters", active, find("DeepSeek-V2").active_parameters)

# %% [markdown] lang="en"
r"""
**2.** Write the balance loss $N \sum_i f_i P_i$ for one layer.
`logits` has a row for each token and a column for each expert; each token chooses the `k` best.
The check compares with the function in Transformers that real mixtures are trained with.
"""

# %% [markdown] lang="zh"
r"""
**2.** 写出一层的均衡损失 $N \sum_i f_i P_i$。
`logits` 每行一个词元、每列一个专家，每个词元选最高的 `k` 个。
检查时会同 Transformers 里训练真实混合专家模型所用的函数对照。
"""


# %% exercise="balance-loss"
def balance_loss(logits, k):
    ### BEGIN SOLUTION
    probabilities = logits.softmax(-1)
    count = logits.shape[-1]
    chosen = probabilities.topk(k).indices.flatten().bincount(minlength=count)
    return count * float((chosen / len(logits) * probabilities.mean(0)).sum())
    ### END SOLUTION


# %% check="balance-loss" points=2
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

logits = torch.cat([trace.logits[0] for trace in traces])
course.check(
    "deepseek.balance-loss",
    balance_loss(logits, top),
    float(load_balancing_loss_func((logits,), count, top)),
    tolerance=1e-4,
)

# %% [markdown] lang="en"
"""
**3.** The cache of DeepSeek-V3 for 131,072 tokens, in bytes and 16 bits?
Its `config` is all you need.
"""

# %% [markdown] lang="zh"
"""
**3.** DeepSeek-V3 在 131,072 个词元时，16 位的缓存占多少字节？
用它的 `config` 就够了。
"""

# %% exercise="latent-cache"
config = find("DeepSeek-V3").config
latent_cache = None
### BEGIN SOLUTION
latent = config["kv_lora_rank"] + config["qk_rope_head_dim"]
latent_cache = 131072 * config["num_hidden_layers"] * latent * 2
### END SOLUTION

# %% check="latent-cache" points=1
course.check(
    "deepseek.latent-cache", latent_cache, lab.estimate("DeepSeek-V3", context=131072).kv_cache
)

# %% [markdown] lang="en"
"""
## On real models

One line: `MODEL = "deepseek-ai/DeepSeek-V2-Lite-Chat"`.
Download, and memory in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改一行：`MODEL = "deepseek-ai/DeepSeek-V2-Lite-Chat"`。
下载大小，以及 16 位时的内存：
"""

# %%
lite = find("DeepSeek-V2-Lite")
e = lab.estimate(lite.name, quant="bf16", context=4096)
print(show_bytes(2 * lite.parameters), show_bytes(e.total))
