# %% [markdown] lang="en"
"""
# Mistral and Mixtral: a window that slides, and experts without a safety net

**You will be able to** draw the attention mask of a sliding window and find it again in a real model; say how far back a token can still be felt; measure what the window saves in the cache, and where it saves nothing; work out what a mixture of experts needs in memory and what it reads; read the licence of a model made from another.

**You will learn** why a fact can be lost although it stands in the text, why the same file answers differently in two programs, and what "derived" means.

**You need** about 50 minutes, two CPU cores, 0.6 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# Mistral 与 Mixtral：会滑动的窗口，没有兜底的专家

**学完你能**画出滑动窗口的注意力掩码，并在真的模型里把它找出来；说出一个词元最远能影响到哪里；量出窗口给缓存省了多少、在哪里一点没省；算出混合专家模型要放进内存多少、每次要读多少；读懂“由别的模型改出来的模型”的许可证。

**你会明白**为什么事实明明写在文中，模型却看不见；为什么同一个模型文件在两个程序里回答不一样；“衍生”到底是什么意思。

**需要准备**大约 50 分钟，两个 CPU 核心，0.6 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## The family

The models of the course.
The last column is the window that the configuration asks for.
"""

# %% [markdown] lang="zh"
"""
## 家族成员

课程用到的几位。
最后一列是配置里写的窗口大小。
"""

# %%
from labkit.catalog import models

for m in models():
    if m.family == "mistral" and m.course:
        window = m.config.get("sliding_window")
        print(f"{m.name:20}{m.release_date}{m.parameters / 1e9:6.1f}B  {window}")

# %% [markdown] lang="en"
"""
Mistral 7B (September 2023) took Llama's architecture, grouped-query attention as in Llama 2's largest, and one thing more: a **sliding window**.
Its next versions dropped the window again, and the makers of today's models have picked it up.
Either way one must know what it does.
"""

# %% [markdown] lang="zh"
"""
Mistral 7B（2023 年 9 月）用的是 Llama 的架构，加上 Llama 2 最大那款才有的分组查询注意力，再加一样新东西：**滑动窗口**。
它自己的后续版本又把窗口去掉了，如今别家的模型却重新用了起来。
不管怎样，都得知道它起什么作用。
"""

# %%
import labkit as lab

MODEL = "pocket/mistral"
model = lab.load(MODEL)
network = model.model
window = network.config.sliding_window
print(type(network).__name__, window)

# %% [markdown] lang="en"
"""
## The window in the mask

When a model reads, position *i* may look at position *j*.
Ordinarily at all that came before: *j* ≤ *i*.
With a window *w* only at the last *w*, itself among them:
"""

# %% [markdown] lang="zh"
"""
## 掩码里的窗口

模型阅读时，位置 *i* 可以看位置 *j*。
通常，前面的全都能看：*j* ≤ *i*。
窗口为 *w* 时，只能看最近的 *w* 个，包括自己：
"""

# %%
import torch

torch.set_grad_enabled(False)


def causal(length):
    i, j = torch.arange(length)[:, None], torch.arange(length)[None]
    return (j <= i) & (i - j < window)


print(causal(160).sum(1)[[0, 1, 2, 62, 63, 64, 159]].tolist())

# %% [markdown] lang="en"
"""
Now the model.
We let it read 160 tokens, drawn by lot since it makes no difference here, and ask for its **attention**: for every head and position, how the look is divided among all positions.
Where exactly zero stands, it may not look.
"""

# %% [markdown] lang="zh"
"""
再看模型。让它读 160 个词元（随机抽的，这里读什么都一样），并把**注意力**交出来：每个头、每个位置，目光是怎样分配给各个位置的。
恰好为零的地方，就是不许看的地方。
"""

# %%
ids = torch.randint(20, 1200, (1, 500), generator=torch.Generator().manual_seed(0))
network.set_attn_implementation("eager")
attention = network(ids[:, :160], output_attentions=True).attentions
network.set_attn_implementation("sdpa")
print(ids.shape[1], len(attention), tuple(attention[0].shape))

# %%
seen = (attention[0][0] != 0).any(0)
print(torch.equal(seen, causal(160)))

# %%
from labkit.core.i18n import t
from labkit.plots import draw_heatmap

draw_heatmap(
    seen.float().tolist(),
    range(160),
    range(160),
    title=t("What pocket/mistral may look at", "pocket/mistral 能看到哪里"),
    x=t("position looked at", "被看的位置"),
    y=t("position that looks", "在看的位置"),
    values_shown=False,
)

# %% [markdown] lang="en"
"""
Without a window the triangle would be filled to its left edge.
The band is 64 wide here, 4,096 in Mistral 7B.
"""

# %% [markdown] lang="zh"
"""
没有窗口的话，整个三角形会一直填到左边缘。
这里的带子宽 64，Mistral 7B 的宽 4,096。
"""

# %% [markdown] lang="en"
"""
## The window in the cache

What no one may look at any more need not be kept.
We read ever longer texts and measure the cache, beside a pocket model of the same shape without a window:
"""

# %% [markdown] lang="zh"
"""
## 缓存里的窗口

再也没人能看的，就不必留着。
读越来越长的文本，量一量缓存，再同一个形状相同、没有窗口的口袋模型比一比：
"""

# %%
other = lab.load("pocket/llama3").model


def cache_of(network, length):
    return network(ids[:, :length], use_cache=True).past_key_values


def size(cache):
    return sum(
        part.numel() * part.element_size()
        for layer in cache.layers
        for part in (layer.keys, layer.values)
    )


LENGTHS = (16, 32, 63, 64, 128, 256, 500)
sizes = {n: (size(cache_of(network, n)), size(cache_of(other, n))) for n in LENGTHS}
for n, pair in sizes.items():
    print(f"{n:4}{pair[0]:>12,}{pair[1]:>12,}")

# %%
layer = cache_of(network, 500).layers[0]
print(type(layer).__name__, tuple(layer.keys.shape), layer.get_seq_length())

# %% [markdown] lang="en"
"""
500 tokens read, 63 kept: the next token brings its own key and is the 64th.
The estimate knows that (in 16 bits; here they are 32):
"""

# %% [markdown] lang="zh"
"""
读了 500 个词元，只留 63 个：下一个词元自带一个键，正好凑成 64。
课程的估算也清楚这一点（估算按 16 位，这里是 32 位）：
"""

# %%
print(2 * lab.estimate(MODEL, quant="bf16", context=500).kv_cache == sizes[500][0])

# %%
from labkit.core.units import show_bytes
from labkit.plots import draw_lines

draw_lines(
    {
        t("with a window of 64", "窗口 64"): [(n, sizes[n][0] / 1024) for n in LENGTHS],
        t("without", "没有窗口"): [(n, sizes[n][1] / 1024) for n in LENGTHS],
    },
    title=t("Cache of two pocket models, measured", "两个口袋模型的缓存（实测）"),
    x=t("tokens read", "读过的词元"),
    y="KiB",
)

# %% [markdown] lang="en"
"""
For the real one with 32,768 tokens, in 16 bits, Transformers and llama.cpp:
"""

# %% [markdown] lang="zh"
"""
换成真实的 Mistral 7B，32,768 个词元，16 位，Transformers 与 llama.cpp 各是：
"""

# %%
for engine, quant in (("transformers", "bf16"), ("llama.cpp", "F16")):
    e = lab.estimate("Mistral-7B-v0.1", quant=quant, engine=engine, context=32768)
    print(f"{engine:14}{show_bytes(e.kv_cache)}")

# %% [markdown] lang="en"
"""
Eight times as much in llama.cpp?
We come to that.
"""

# %% [markdown] lang="zh"
"""
llama.cpp 里大了八倍？
马上就讲到。
"""

# %% [markdown] lang="en"
"""
## How far back can a token be felt?

The window is 64 and there are four layers.
A word near the beginning is changed.
How far on can the change still be felt, if at all?
Commit yourself first:
"""

# %% [markdown] lang="zh"
"""
## 一个词元的影响能传多远？

窗口是 64，一共四层。
把开头附近的一个词换掉，这个变化最远能影响到哪里？
先押一个答案：
"""

# %%
from labkit.widgets.prediction import ask

ask("mistral.reach")

# %% [markdown] lang="en"
"""
We do it: the same text twice, with another token at position 20.
After each layer, which positions differ?
"""

# %% [markdown] lang="zh"
"""
动手试：同一段文本读两遍，第二遍把位置 20 换成别的词元。
每过一层，看哪些位置的数变了：
"""

# %%
changed = ids.clone()
changed[0, 20] = (ids[0, 20] + 1) % network.config.vocab_size
states = [network(x, output_hidden_states=True).hidden_states for x in (ids, changed)]
touched = [(a != b).any(-1)[0].nonzero().flatten() for a, b in zip(*states, strict=True)]
print([int(places.min()) for places in touched])
print(all(int(places.max()) <= 20 + 63 * depth for depth, places in enumerate(touched)))

# %% varies="a change may be too small for a float to show"
print([int(places.max()) for places in touched])

# %% [markdown] lang="en"
"""
Each layer passes it on by up to 63 positions, like a bucket chain (near the end a change may be too faint for the last digit of a float).
After four layers it ends at 20 + 4 × 63 = 272 at the latest: behind that the output is the same **to the last bit**, whatever stood there.
The paper makes the same sum for 32 layers with 4,096 and calls it an attention span of about 131K tokens (Jiang et al. 2023, arXiv:2310.06825).
"""

# %% [markdown] lang="zh"
"""
每一层最多把它往后传 63 个位置，像排队传水桶（末端的变化可能太弱，浮点数的最后一位也显不出来）。
四层之后，最远到 20 + 4 × 63 = 272：再往后，不管那里原来写的是什么，输出**一个比特都不会变**。
论文对 32 层、窗口 4,096 做了同样的乘法，称之为约 131K 词元的注意力跨度（Jiang 等，2023，arXiv:2310.06825）。
"""

# %%
reach = network.config.num_hidden_layers * (window - 1)
same = (states[0][-1] == states[1][-1]).all(-1)[0]
print(bool(same[20 + reach + 1 :].all()), bool(same[20 + window : 20 + reach].all()))

# %% [markdown] lang="en"
"""
*Can* be felt is not *is found*.
In a bucket chain every layer must decide to pass on just this fact, among all others, before anybody has asked for it.
We hide a number behind more and more filler and ask:
"""

# %% [markdown] lang="zh"
"""
*能*影响到，不等于*找得到*。
接力传水桶时，每一层都得在没人提问之前，就从众多信息里决定要把这一条传下去。
把一个号码藏到越来越长的废话前面，再问它：
"""


# %%
import random

from labkit.engines import Sampling
from labkit.evaluation.needle_in_haystack import hide_needle

DISTANCES = (20, 100, 180, 340)


def found(model, distance, count=8):
    right = 0
    for n in range(count):
        ids, code = hide_needle(model, distance, random.Random(f"{distance} {n}"))
        said = model.generate(ids, Sampling(max_new_tokens=6))
        said = "".join(model.decode(id for id in said if id not in model.stop_ids))
        right += said.strip() == code
    return right


hits = {distance: found(model, distance) for distance in DISTANCES}

# %% varies="answers follow the weights"
hits

# %%
print("near:", hits[20] >= 6, " out of reach:", hits[340] <= 1)

# %% [markdown] lang="en"
"""
Inside the window it is found.
Out of reach the number is not there for the model, which answers all the same.
In between it depends on training; ours was short.
A limit of the window is not a limit of the *text you may send*: nothing warns you.
"""

# %% [markdown] lang="zh"
"""
在窗口里，找得到。
出了够得着的范围，这个号码对模型来说就不存在了，可它照样会给出一个回答。
介于两者之间的，要看训练；我们的训练很短。
要当心：超出窗口，并不会禁止你*把文本发过去*，也没有任何提示。
"""

# %% [markdown] lang="en"
"""
## The same file, another program

llama.cpp reads the window from the file, and for this architecture does not apply it.
Its cache keeps every token:
"""

# %% [markdown] lang="zh"
"""
## 同一个文件，换个程序

llama.cpp 会从文件里读到窗口大小，但对这个架构并不使用，缓存里每个词元都留着：
"""

# %%
import llama_cpp

cpp = lab.load(MODEL, "llama.cpp")
print({k: v for k, v in cpp.config.items() if "window" in k})
cpp.model.eval(ids[0, :300].tolist())
stored = llama_cpp.llama_state_seq_get_size(cpp.model._ctx.ctx, 0)
per_token = 2 * 4 * 2 * 64 * 2
print(stored // per_token, "tokens kept")

# %% [markdown] lang="en"
"""
(`per_token`: key and value, four layers, two heads of 64, 16 bits; 300 were read, the one too many is bookkeeping.)
So beyond the window it computes something else.
The scores of the next token in both programs, after 32 to 300 tokens; the largest difference:
"""

# %% [markdown] lang="zh"
"""
（`per_token`：键和值、四层、两个 64 维的头、16 位；读进去的是 300 个，多出的一个是记账用的字节。）
所以一出窗口，它算的就是另一回事了。
读 32 到 300 个词元之后，比较两个程序给下一个词元打的分，最大相差：
"""


# %%
def difference(length):
    cpp.model.reset()
    cpp.model.eval(ids[0, :length].tolist())
    theirs = torch.tensor(cpp.model._ctx.get_logits()[: network.config.vocab_size])
    return float((network(ids[:, :length]).logits[0, -1] - theirs).abs().max())


differences = {n: difference(n) for n in (32, 64, 128, 300)}
short, long = ([d for n, d in differences.items() if (n <= window) == s] for s in (True, False))
print("equal inside, not outside:", 5 * max(short) < min(long))

# %% varies="digits of scores"
for n, d in differences.items():
    print(f"{n:4}{d:9.4f}")

# %% [markdown] lang="en"
"""
Is the window really the reason?
We take it away in Transformers too:
"""

# %% [markdown] lang="zh"
"""
真是窗口的缘故吗？
在 Transformers 里也把它去掉：
"""

# %%
network.config.sliding_window = None
without = max(difference(n) for n in (64, 128, 300))
print("equal again:", 5 * without < min(long))

# %% [markdown] lang="en"
"""
And the needles, now that everything can be seen:
"""

# %% [markdown] lang="zh"
"""
这下全都看得见了，再找一次号码：
"""

# %% varies="answers follow the weights"
print({distance: found(model, distance) for distance in DISTANCES})
network.config.sliding_window = window

# %% [markdown] lang="en"
"""
The weights learnt with a window and are now used without one.
Just beyond it that may even help; far beyond it they meet distances they never saw.
Neither is the model that was published.
In practice: **Mistral-7B-v0.1 in llama.cpp, Ollama or LM Studio is right up to 4,096 tokens**; v0.2 and v0.3 have no window and no such trap.
"""

# %% [markdown] lang="zh"
"""
这些权重是带着窗口训练出来的，现在却不带窗口用。
刚过窗口一点，也许反而有帮助；再远，就碰上了从没见过的距离。
哪一种都不是当初发布的那个模型。
落到实处就是：**Mistral-7B-v0.1 在 llama.cpp、Ollama、LM Studio 里，4,096 个词元以内才算数**；v0.2 和 v0.3 没有窗口，也就没有这个坑。
"""

# %% [markdown] lang="en"
"""
### Windows today

The idea came back in a better form: half of the layers or more look through a window, the others look at everything.
The cache stays small and nothing is out of reach.
"""

# %% [markdown] lang="zh"
"""
### 如今的窗口

这个主意后来换了个更好的样子回来：一半或更多的层只看窗口，其余的层看全部。
缓存照样小，又没有够不着的地方。
"""

# %%
from labkit.architecture.layers import read_architecture
from labkit.catalog import find
from labkit.course.family_overview import describe_attention

for name in ("Mistral-7B-v0.1", "Mistral-7B-v0.3", "gemma-3-27b", "gpt-oss-20b"):
    print(f"{name:18}{describe_attention(read_architecture(find(name).config))}")

# %% [markdown] lang="en"
"""
## Mixtral: two of eight

Lesson [[deepseek]] opened a router with a shared expert beside it.
Mixtral (December 2023) has none: a token's feed-forward part is two of eight experts, and nothing else.
The pocket one has four.
"""

# %% [markdown] lang="zh"
"""
## Mixtral：八选二

第 [[deepseek]] 课拆开的路由器旁边还有共享专家。
Mixtral（2023 年 12 月）没有：每个词元的前馈部分就是八个专家里的两个，再没别的。
口袋版有四个专家。
"""

# %%
from labkit.evaluation.expert_routing import trace_experts

mixtral = lab.load("pocket/mixtral")
ids = mixtral.encode("What is 47 + 38? 47加38等于多少？")
routes = trace_experts(mixtral.model, ids)
layers, count = routes.logits.shape[0], routes.logits.shape[-1]
print(layers, count, tuple(routes.experts.shape))

# %% varies="weights of the router"
chosen = torch.full(routes.logits.shape, torch.nan).scatter(-1, routes.experts, routes.weights)
draw_heatmap(
    chosen.transpose(1, 2).flatten(0, 1).tolist(),
    [
        t("layer {} · {}", "第 {} 层 · {}").format(n // count, n % count)
        for n in range(layers * count)
    ],
    [mixtral.tokenizer.decode(id) for id in ids],
    title=t("Experts that fire, weights in % (pocket model)", "当选的专家与权重（%，口袋模型）"),
    show=lambda p: f"{100 * p:.0f}",
)

# %% [markdown] lang="en"
"""
One more difference: Mixtral divides the two weights by their sum, so that they add up to one.
DeepSeek-V2 lets them be.
The second exercise is about that.
"""

# %% [markdown] lang="zh"
"""
还有一处不同：Mixtral 把两个权重除以它们的和，加起来等于 1；DeepSeek-V2 则原样使用。
第二个练习就是这个。
"""

# %%
print(torch.allclose(routes.weights.sum(-1), torch.ones(layers, len(ids))))

# %% [markdown] lang="en"
"""
What do wrong experts cost where no shared one stands by?
The two *least* wanted in place of the two best, in both pocket mixtures; the loss on the right answers:
"""

# %% [markdown] lang="zh"
"""
没有共享专家兜底，选错专家要付多大代价？
把最好的两个换成*最不想要*的两个，两个口袋模型都试，看正确答案的损失：
"""

# %%
from labkit.evaluation.expert_routing import steered
from labkit.evaluation.scoring import answer_loss
from labkit.pocket.corpus import held_out

items = [item for skill in ("sums", "lexicon", "tools") for item in held_out(skill, 10)]


def right_and_wrong(model):
    def loss():
        return answer_loss(model.model, model.tokenizer, items)

    right = loss()
    with steered(model.model, lambda scores, w, e: (w, scores.topk(2, largest=False).indices)):
        return right, loss()


losses = {
    name: right_and_wrong(lab.load(name)) for name in ("pocket/mixtral", "pocket/deepseek-v2")
}
print("wrong experts hurt:", all(right < wrong for right, wrong in losses.values()))

# %% varies="digits of losses"
for name, (right, wrong) in losses.items():
    print(f"{name:20}{right:8.3f}{wrong:8.3f}")

# %% [markdown] lang="en"
"""
### In memory, and read

For every token the router chooses anew, so all eight must be at hand.
What a token *reads* is two of them and what all share.
In `Q4_K_M` with 4,096 tokens, beside dense models:
"""

# %% [markdown] lang="zh"
"""
### 要放的，和要读的

每来一个词元，路由器都重新选，所以八个专家都得在手边。
而一个词元要*读*的，只有其中两个和共用的部分。
`Q4_K_M`、4,096 个词元，同稠密模型对比：
"""

# %%
from labkit.estimation.tokens_per_second import token_speed

for name in ("Llama-2-13B", "Mixtral-8x7B", "Llama-2-70B"):
    e = lab.estimate(name, quant="Q4_K_M", context=4096)
    low, high = token_speed(e, None, "DDR5-5600 dual channel")
    print(f"{name:14}{show_bytes(e.weights):>10}{show_bytes(e.read_per_token):>10}{low:6}–{high}")

# %% [markdown] lang="en"
"""
First what lies in memory, then what one token reads, then tokens a second in ordinary RAM.
Mixtral is a 47B to store and nearly a 13B to run; published scores put it above Llama 2 70B (below).
And "8x7B"? Only the feed-forward part exists eight times:
"""

# %% [markdown] lang="zh"
"""
依次是占用的内存、每个词元要读的量、在普通内存里每秒的词元数。
Mixtral 存的时候是 47B，跑的时候接近 13B；公开成绩却超过了 Llama 2 70B（见下文）。
那“8x7B”呢？
只有前馈部分有八份：
"""

# %%
m = find("Mixtral-8x7B")
c = m.config
one_expert = 3 * c["hidden_size"] * c["intermediate_size"] * c["num_hidden_layers"]
shared = m.parameters - 8 * one_expert
for name, number in {"8 experts": 8 * one_expert, "shared": shared, "all": m.parameters}.items():
    print(f"{name:10}{number / 1e9:6.2f}B")

# %%
print(f"{shared + 2 * one_expert:,}", shared + 2 * one_expert == m.active_parameters)

# %% [markdown] lang="en"
"""
## Derived models

Because Mistral 7B was good, small and under Apache 2.0, hundreds of models were made *from* it.
**WizardMath-7B-V1.1** is one: Mistral's weights, trained further on mathematics.
Nothing in its architecture is new:
"""

# %% [markdown] lang="zh"
"""
## 衍生模型

Mistral 7B 又小又好，还用 Apache 2.0，于是从它*改*出来的模型数以百计。
**WizardMath-7B-V1.1** 就是一个：拿 Mistral 的权重继续在数学上训练。
架构上没有任何新东西：
"""

# %%
wizard = find("WizardMath-7B-V1.1")
print(wizard.base, wizard.parameters == find(wizard.base).parameters)
print({k: v for k, v in wizard.config.items() if find(wizard.base).config.get(k) != v})

# %%
lab.published_scores(["WizardMath-7B-V1.1", "Mistral-7B-v0.1"], ["GSM8K", "MATH"])

# %% [markdown] lang="en"
"""
Look at Mistral's own rows: 37.8 and 50.0 on GSM8K, the *same* weights.
The one source counts the first answer, the other takes a majority of eight.
A score without its protocol says little; of two sources it says nothing.

"Derived" covers many ways: trained further (as here), adapters, merged with another, quantized, pruned.
In all of them the weights come from someone else's, and so **two sets of terms hold**: those of the base model, and what the maker adds.
A maker can add conditions, but not take away the base's.
"""

# %% [markdown] lang="zh"
"""
看 Mistral 自己的两行：GSM8K 一个 37.8，一个 50.0，权重却*一模一样*。
一个出处只算第一次作答，另一个是答八次取多数。
成绩离开了评测方式说明不了什么；两个出处的成绩放在一起，更是什么也说明不了。

“衍生”有许多种：继续训练（就像这里）、加适配器、和别的模型合并、量化、剪枝。
不管哪一种，权重都来自别人，所以**两套条款同时有效**：基座的，加上改它的人另外提的。
后者可以添条件，却不能免掉基座的条件。
"""

# %%
from labkit.catalog import not_legal_advice, terms
from labkit.core.tables import Table

lines = [
    (m.name, m.base, row.name, row.commercial, str(row.conditions))
    for m in models()
    if m.base in ("Mistral-7B-v0.1", "Llama-3.1-8B", "Qwen2.5-14B")
    for row in terms(m)
]
Table(("model", "base", "license", "commercial", "conditions"), lines, not_legal_advice())

# %% [markdown] lang="en"
"""
Three typical cases.
On Apache's base WizardMath puts research terms of its own: the base would allow a product, the derived model does not (and its copies bear different tags, so its terms are unclear to boot).
On Llama's base the name must begin with "Llama", whatever the maker's licence says.
On Apache's base with MIT on top both are easily kept.
More of them, by field of work:
"""

# %% [markdown] lang="zh"
"""
三种典型情况。
WizardMath 在 Apache 的基座上加了自己的研究许可：基座允许做产品，衍生模型却不允许（而且各处副本标注不一，条款本身就不明）。
以 Llama 为基座的，不管改的人用什么许可证，名字都得以“Llama”开头。
Apache 基座上再加 MIT 的，两边都容易遵守。
各行业还有更多衍生模型：
"""

# %%
from labkit.catalog import derived_models

lines = [
    (d.name, d.base, d.field, d.license or d.commercial or "?", str(d.method))
    for d in derived_models()
]
Table(("model", "base", "field", "license", "method"), lines)

# %% [markdown] lang="en"
"""
A question mark means that we found no licence.
That is not a permission: what nobody has allowed is not allowed.
"""

# %% [markdown] lang="zh"
"""
问号表示我们没查到许可证。
没查到不等于许可：没人说可以，就是不可以。
"""

# %% [markdown] lang="en"
"""
## What became of the family

The window is gone; the new small ones are dense and read 262,144 tokens.
"""

# %% [markdown] lang="zh"
"""
## 后来怎样了

窗口没有了；新的小模型都是稠密的，能读 262,144 个词元。
"""

# %%
lab.heirs("mistral")

# %% [markdown] lang="en"
"""
## Strengths, limits, when to use it

**Strengths.** Much for its size; most of the line under Apache 2.0; good in European languages; small heirs with long contexts.
**Limits.** Little Chinese.
Version 0.1 has the trap of the window.
Some models of the line are under research terms: the licence goes with the model, not with the name.
Mixtral needs the memory of a 47B and is overtaken.

**Use it when** a product needs a small model with a plain licence and speaks European languages.
**Take another** for Chinese (lessons [[qwen]] and [[chatglm]]), and a newer mixture where there is much RAM and no strong GPU.
"""

# %% [markdown] lang="zh"
"""
## 长处、短处与用处

**长处**：同等大小里能力强；多数成员用 Apache 2.0；欧洲语言好；新的小模型上下文长。
**短处**：中文弱；0.1 版有窗口的坑；有几款是研究许可，许可证跟着具体模型走，不跟着名字走；Mixtral 要占 47B 的内存，如今已经被超过。

**适合**：产品里要一个小模型，许可证要干净，用的是欧洲语言。
**换别的**：中文任务（见第 [[qwen]]、[[chatglm]] 课）；内存大、显卡弱的电脑，用更新的混合专家模型。
"""

# %%
names = ["Mistral-7B-v0.1", "Mixtral-8x7B", "Llama-2-13B", "Llama-2-70B"]
lab.published_scores(names, ["HumanEval", "GSM8K", "MATH"], "base")

# %% [markdown] lang="en"
"""
## Run the real one
"""

# %% [markdown] lang="zh"
"""
## 运行真实模型
"""

# %%
lab.run_lines("Mistral-7B-v0.3", context=8192)

# %% varies="this machine's memory"
lab.run_lines("Mistral-7B-v0.3", context=8192).here()

# %%
lab.run_lines("Mixtral-8x7B")

# %% varies="this machine's memory"
lab.run_lines("Mixtral-8x7B").here()

# %% [markdown] lang="en"
"""
## Recap

- A sliding window lets each position see the last *w*; through the layers something can be felt up to layers × (*w* - 1) back, and not one token more.
- In Transformers the cache stops growing at the window. llama.cpp keeps everything for Mistral and computes something else beyond it.
- Mixtral takes two of eight experts and makes their weights add up to one. All of them lie in memory, two are read.
- A derived model obeys its own terms and those of its base. No licence found means no permission.
- Scores compare only within one protocol.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 滑动窗口让每个位置只看最近的 *w* 个；逐层接力，影响最远传到 层数 × (*w* - 1) 之外，多一个词元都不行。
- 在 Transformers 里，缓存到窗口大小就不再增长；llama.cpp 对 Mistral 全部保留，出了窗口算的就是另一回事。
- Mixtral 八个专家选两个，权重之和为 1。八个都要放进内存，每次只读两个。
- 衍生模型既要守自己的条款，也要守基座的条款。查不到许可证，就是没有许可。
- 成绩只有在同一种评测方式下才能比较。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Write the rule of a mask: may the position `query` look at the position `key`, with a window of `w`?
The check asks the function with which Transformers builds its masks, for all pairs up to 40.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 写出掩码的规则：窗口为 `w` 时，位置 `query` 能不能看位置 `key`？
检查时会拿 40 以内的所有组合，同 Transformers 用来生成掩码的函数对照。
"""


# %% exercise="mask"
def may_look(query, key, w):
    ### BEGIN SOLUTION
    return key <= query and query - key < w
    ### END SOLUTION


# %% check="mask" points=1
from transformers.masking_utils import sliding_window_causal_mask_function

from labkit import course

rule = sliding_window_causal_mask_function(7)
pairs = [(query, torch.tensor(key)) for query in range(40) for key in range(40)]
answers = [may_look(query, int(key), 7) for query, key in pairs]
course.check(
    "mistral.mask",
    None if None in answers else [bool(answer) for answer in answers],
    [bool(rule(0, 0, torch.tensor(query), key)) for query, key in pairs],
)

# %% [markdown] lang="en"
"""
**2.** Turn the router's `logits` (a row for each token) into Mixtral's weights: the `k` best probabilities of each row, best first, divided by their sum.
The check asks the router of pocket/mixtral.
"""

# %% [markdown] lang="zh"
"""
**2.** 把路由器的 `logits`（每行一个词元）变成 Mixtral 的权重：每行取概率最高的 `k` 个，从高到低，再除以它们的和。
检查时会问 pocket/mixtral 的路由器。
"""


# %% exercise="mixtral-weights"
def mixtral_weights(logits, k):
    ### BEGIN SOLUTION
    best = logits.softmax(-1).topk(k).values
    return best / best.sum(-1, keepdim=True)
    ### END SOLUTION


# %% check="mixtral-weights" points=1
answer = mixtral_weights(routes.logits[0], 2)
course.check(
    "mistral.mixtral-weights",
    answer,
    lambda weights: torch.allclose(weights, routes.weights[0], atol=1e-5),
)

# %% [markdown] lang="en"
"""
**3.** A company wants to build one of the course's Mistral models into a product, by its own terms and those of its base, without asking anybody.
Give the list of the names that are open to it.
"""

# %% [markdown] lang="zh"
"""
**3.** 一家公司想把课程里的某个 Mistral 家族模型做进产品，既要符合它自己的条款，也要符合基座的条款，还不想去找谁申请。
请给出可选的名单。
"""

# %% exercise="product"
product = None
### BEGIN SOLUTION
mine = [m for m in models() if m.family == "mistral" and m.course]
product = [m.name for m in mine if all(row.commercial == "yes" for row in terms(m))]
### END SOLUTION


# %% check="product" points=1
def judge(names):
    barred = [name for name in names if any(row.commercial != "yes" for row in terms(find(name)))]
    if barred:
        return t(f"Not open: {barred}", f"不能用：{barred}")
    strange = [n for n in names if find(n).family != "mistral" or not find(n).course]
    if strange:
        return t(
            f"Not of the course's Mistral models: {strange}",
            f"不是课程里的 Mistral 模型：{strange}",
        )
    rest = [m for m in models() if m.family == "mistral" and m.course and m.name not in names]
    missing = [m for m in rest if all(row.commercial == "yes" for row in terms(m))]
    return not missing or t(f"{len(missing)} more would do.", f"还有 {len(missing)} 个也可以。")


course.check("mistral.product", product, judge)

# %% [markdown] lang="en"
"""
**4.** Without a check: set `network.config.sliding_window` to 32, to 128 and to 256, and ask `found` again.
Which of the three changes most, and how far can you go from the 64 it was trained with?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：把 `network.config.sliding_window` 分别设成 32、128、256，再用 `found` 问一遍。
哪一个变化最大？
离训练时的 64 能走多远？
"""

# %% [markdown] lang="en"
"""
## On real models

One line: `MODEL = "mistralai/Mistral-7B-Instruct-v0.1"`, with lengths some 64 times those here, since its window is 4,096.
Download, and memory in 16 bits:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改一行：`MODEL = "mistralai/Mistral-7B-Instruct-v0.1"`；它的窗口是 4,096，文中的长度也要相应放大几十倍。
下载大小，以及 16 位时的内存：
"""

# %%
real = find("Mistral-7B-v0.1")
e = lab.estimate(real.name, quant="bf16", context=8192)
print(show_bytes(2 * real.parameters), show_bytes(e.total))
