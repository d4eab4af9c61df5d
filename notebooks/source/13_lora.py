# %% [markdown] lang="en"
"""
# LoRA: teach a model something new with a fraction of its weights

**You will be able to** write a LoRA layer in twenty lines and prove that PEFT computes the same, gradients included; count what an adapter costs; tune a model fully and by LoRA on the same data; measure what it learnt and what it forgot; choose rank, target modules and learning rate by experiment; say beforehand which model fits which card.

**You will learn** why two thin matrices are enough, why one of them starts at zero, where the memory of a training really goes, and why "LoRA forgets nothing" is only half true.

**You need** about 75 minutes, two CPU cores, 1.5 GiB of free memory.
Download: 0.
Lesson [[start-here]] is enough to begin.
"""

# %% [markdown] lang="zh"
"""
# LoRA：只动一小部分权重，教会模型新东西

**学完你能**用二十行代码写出一个 LoRA 层，并证明 PEFT 算出来的和它一样，连梯度都一样；算清一个适配器的成本；用同样的数据分别做全量微调和 LoRA；量出模型学到了什么、忘掉了什么；用实验来选秩、目标模块和学习率；事先就能说出哪张显卡能调多大的模型。

**你会明白**为什么两个瘦长的矩阵就够了，为什么其中一个要从零开始，训练的内存究竟花在哪里，以及“LoRA 不会遗忘”为什么只说对了一半。

**需要准备**大约 75 分钟，两个 CPU 核心，1.5 GiB 空闲内存。
下载量：0。
学过第 [[start-here]] 课就能开始。
"""

# %% [markdown] lang="en"
"""
## The task

A small clinic sorts its patients by rules of its own.
No model can know them, so this is a fair case for tuning.
(The rules are made up, and no medical advice.)
"""

# %% [markdown] lang="zh"
"""
## 任务

一家小诊所按自己的规则给病人分诊。
这套规则哪个模型都不可能知道，正是需要微调的场合。
（规则是编的，不是医疗建议。）
"""

# %%
import labkit as lab
from labkit.finetuning.tasks import load_task

MODEL = "pocket/qwen2.5"
task = load_task("clinic")
task

# %% [markdown] lang="en"
"""
The patients of the test half are in no other split.
What does the model say before it has learnt anything?
"""

# %% [markdown] lang="zh"
"""
测试部分的病人，在训练部分里都没出现过。
还没学之前，模型会怎么回答？
"""

# %% varies="outside its corpus two answers can be almost equally likely"
chat = lab.chat(MODEL, temperature=0)
for item in task.test[:3]:
    chat.reset()
    print(item.messages[0]["content"], "→", chat(item.messages[0]["content"]))

# %% [markdown] lang="en"
r"""
## The equation

A linear layer multiplies its input with a matrix W. **Full fine-tuning** changes every number of W. **LoRA** (Hu et al., 2021, arXiv 2106.09685) leaves W alone and adds a second way round it, through a bottleneck:

$$y = W x + \frac{\alpha}{r}\, B\,(A\,x)$$

A has r rows, B has r columns; r is the **rank**, often 8 or 16.
α only scales.
Here is one layer of our model:
"""

# %% [markdown] lang="zh"
r"""
## 公式

线性层就是用矩阵 W 去乘输入。
**全量微调**要改 W 里的每一个数。
**LoRA**（Hu 等，2021，arXiv 2106.09685）不碰 W，而是在旁边修一条窄窄的辅路：

$$y = W x + \frac{\alpha}{r}\, B\,(A\,x)$$

A 有 r 行，B 有 r 列；r 叫作**秩**，常取 8 或 16。
α 只管缩放。
先取模型里的一层来看：
"""

# %%
from labkit.finetuning.lora import load_base

LAYER = "model.layers.1.mlp.gate_proj"
model = load_base(MODEL)
layer = model.model.get_submodule(LAYER)
layer

# %%
rank, alpha = 8, 16
full_numbers = layer.out_features * layer.in_features
lora_numbers = rank * (layer.in_features + layer.out_features)
print(f"{full_numbers:,}  {lora_numbers:,}")

# %% [markdown] lang="en"
"""
A W of 4096 × 4096 has 16.8 million numbers; A and B of rank 8 have 65,536, a 256th.
The larger the layer, the larger the saving: one grows with the product of its sides, the other with their sum.

### Twenty lines
"""

# %% [markdown] lang="zh"
"""
4096 × 4096 的 W 有 1680 万个数；秩为 8 的 A 和 B 合起来只有 65,536 个，是它的 1/256。
层越大越省：一个随两边之积增长，一个随两边之和增长。

### 二十行代码
"""

# %%
import torch


class LoRA(torch.nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = torch.nn.Parameter(torch.empty(rank, base.in_features))
        self.B = torch.nn.Parameter(torch.zeros(base.out_features, rank))
        torch.nn.init.kaiming_uniform_(self.A, a=5**0.5)
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A.T) @ self.B.T

    def merged(self):
        return self.base.weight + self.scale * self.B @ self.A


# %% [markdown] lang="en"
"""
A begins random, B as zeros.
So at the start the whole side road gives nothing, and the model is still exactly the old one:
"""

# %% [markdown] lang="zh"
"""
A 随机初始化，B 全是零。
所以刚装上时，辅路的输出是零，模型和原来一模一样：
"""

# %%
torch.manual_seed(0)
ours = LoRA(layer, rank, alpha)
x = torch.randn(6, layer.in_features)
print(torch.equal(ours(x), layer(x)))

# %% [markdown] lang="en"
"""
Now the first step of a training.
Before you look:
"""

# %% [markdown] lang="zh"
"""
接着走训练的第一步。
看结果之前：
"""

# %%
from labkit.widgets.prediction import ask

ask("lora.first-step")

# %%
ours(x).square().mean().backward()
for name, p in ours.named_parameters():
    moved = "–" if p.grad is None else bool(p.grad.abs().max() > 0)
    print(f"{name:12} {tuple(p.shape)!s:11} {moved}")

# %% [markdown] lang="en"
"""
Only B hears anything: A's gradient passes through B, which is zero.
After one step B is no longer zero, and A learns too.
Were both zero, neither would ever move.

### The same as PEFT

`add_lora` puts adapters on every linear layer, by Hugging Face's PEFT.
We take over its A, give both the same B, and compare.
"""

# %% [markdown] lang="zh"
"""
只有 B 收到了梯度：A 的梯度要经过 B，而 B 是零。
走完一步，B 不再是零，A 才跟着学起来。
要是两个都从零开始，谁也动不了。

### 和 PEFT 一样吗

`add_lora` 用 Hugging Face 的 PEFT 给每个线性层装上适配器。
让两边的 A、B 都取同样的值，再来比。
"""

# %%
from labkit.finetuning.lora import add_lora

added = add_lora(model, rank=rank, alpha=alpha)
theirs = model.model.get_submodule(f"base_model.model.{LAYER}")
theirs

# %%
A, B = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
with torch.no_grad():
    B.normal_(0, 0.02)
    ours.A.copy_(A)
    ours.B.copy_(B)
print("output:", bool((ours(x) - theirs(x)).abs().max() < 1e-6))

# %%
ours.zero_grad()
ours(x).square().mean().backward()
theirs(x).square().mean().backward()
for name, mine, other in (("A", ours.A, A), ("B", ours.B, B)):
    print(name, bool((mine.grad - other.grad).abs().max() < 1e-6))

# %% [markdown] lang="en"
"""
That is LoRA; PEFT adds names, saving and loading, and switches.

And since B·A has the shape of W, it can be added into W when all is learnt.
The **merged** layer computes the same, in the time of the old one:
"""

# %% [markdown] lang="zh"
"""
这就是 LoRA 的全部；PEFT 另外提供的是命名、存取和开关。

B·A 和 W 形状相同，所以学完之后可以直接加进 W 里。
**合并**之后的层结果一样，速度和原来的层也一样：
"""

# %%
with torch.no_grad():
    print(torch.allclose(x @ ours.merged().T, ours(x), atol=1e-5))
    print(int(torch.linalg.matrix_rank(ours.merged() - layer.weight)), min(layer.weight.shape))

# %% [markdown] lang="en"
"""
The change has rank 8, and a change of W could have 256.
That is the price: LoRA can only make changes that fit through the bottleneck.
For most tasks they do.

## What an adapter costs

Every linear layer of the model, with A and B of rank 8:
"""

# %% [markdown] lang="zh"
"""
改动的秩是 8，而 W 本来可以有秩为 256 的改动。
这就是代价：LoRA 只能做出穿得过这条窄路的改动。
对大多数任务来说，够了。

## 一个适配器要花多少

模型里每个线性层都装上秩为 8 的 A 和 B：
"""

# %%
from labkit.finetuning.lora import linear_modules

plain = load_base(MODEL).model
names = linear_modules(plain)
linear = [m for n, m in plain.named_modules() if n.rpartition(".")[2] in names]
by_formula = sum(rank * (m.in_features + m.out_features) for m in linear)
print(names)
print(f"{by_formula:,} = {added:,} of {plain.num_parameters():,}")

# %% [markdown] lang="en"
"""
Our model is tiny, so the share is large.
For real ones, at rank 16 on all linear layers:
"""

# %% [markdown] lang="zh"
"""
我们的模型太小，所以占比显得大。
真实模型在所有线性层上取秩 16：
"""

# %%
from labkit.catalog import find

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B", "Qwen2.5-72B"):
    trained = lab.estimate(name, train="lora", rank=16).trainable_parameters
    print(f"{name:13}{trained:>12,}{trained / find(name).parameters:8.2%}")

# %% [markdown] lang="en"
"""
## Full tuning and LoRA, one cell each

The same 450 steps of 8 samples, in the same order, with the same seed:

- **full**: every weight is trained;
- **lora**: rank 16 on all linear layers, the rest frozen.

`finetune` asks the test before and after, and 96 questions on what the model could do before.
On CPUs a fresh process measures the peak of memory.
`reuse=True` gives a finished training again instead of repeating it.
"""

# %% [markdown] lang="zh"
"""
## 全量微调和 LoRA，一格一种

同样的 450 步，每步 8 个样本，顺序相同，种子相同：

- **full**（全量微调）：每个权重都训练；
- **lora**：所有线性层加秩 16 的适配器，其余冻结。

`finetune` 在训练前后各考一遍测试题，再考 96 道模型原来就会的题。
在 CPU 上，内存峰值由一个全新的进程来量。
`reuse=True` 的意思是：同样的训练已经做完过，就直接拿来用，不再重做。
"""

# %% varies="times and memory of this machine, a result on the edge"
full = lab.finetune(MODEL, task, "full", reuse=True)
full

# %% varies="times and memory of this machine, a result on the edge"
lora = lab.finetune(MODEL, task, "lora", reuse=True)
lora

# %%
from labkit.finetuning.report import MethodComparison as Comparison

print("nothing known before:", lora.exact_match_before < 0.1)
print("both learnt most of it:", min(full.exact_match_after, lora.exact_match_after) > 0.7)
print("weights trained, full : LoRA =", full.trainable_parameters // lora.trainable_parameters)

# %% varies="a result on the edge"
from labkit.plots.methods import draw_methods

draw_methods(Comparison((full, lora)))

# %% [markdown] lang="en"
"""
Full tuning moves ten times as many numbers.
In answers LoRA is about level with it; the loss below shows the distance.
And what LoRA leaves is a file of one megabyte.
One patient of the test more or less is two per cent here, and on another computer, where sums are rounded otherwise, the figures shift by a few: do not read more into them.

How the loss on samples that are not trained on came down:
"""

# %% [markdown] lang="zh"
"""
全量微调动的数有十倍之多。
按答对的题数，LoRA 和它差不多；差距要看下面的损失。
而 LoRA 留下的只是一个一兆字节的文件。
这里测试题每错一道就是两个百分点；换一台电脑，舍入不同，结果也会差上几个点，别过度解读。

不参与训练的那些样本（验证集），损失是这样降下来的：
"""

# %% varies="losses of a training"
from labkit.core.i18n import t
from labkit.plots import draw_lines

draw_lines(
    {r.method: [(p.step, p.validation_loss) for p in r.history] for r in (full, lora)},
    title=t("Loss of an answer's token", "回答部分每个词元的损失"),
    x=t("step", "步"),
    y=t("validation loss (nats)", "验证损失（nat）"),
    log_y=True,
)

# %% [markdown] lang="en"
"""
## What it forgot

The column "Old skills" of the tables has fallen a lot.
Ask the tuned model something it knew:
"""

# %% [markdown] lang="zh"
"""
## 忘掉了什么

上面表里“原有能力”一列掉了很多。
拿它原来会的问题问一问：
"""

# %% varies="answers of a tuned model"
from labkit.conversation.session import Chat
from labkit.finetuning.lora import load_adapter, switch_adapters

tuned = load_base(MODEL)
load_adapter(tuned, lora.folder, "clinic")
chat = Chat(tuned)
for question in ("47 + 38 = ?", "What is water in Chinese?", "倒序：苹果 河 月亮"):
    chat.reset()
    print(question, "→", chat(question))

# %% [markdown] lang="en"
"""
Skill by skill, six held-out questions each:
"""

# %% [markdown] lang="zh"
"""
逐项来看，每项六道没见过的题：
"""

# %%
from labkit.core.progress import track
from labkit.finetuning.experiment import OLD_SKILLS, exact_match
from labkit.pocket.corpus import held_out


def ask_skills(model):
    return [exact_match(model, held_out(skill, 6)) for skill in track(OLD_SKILLS, "skills")]


# %% varies="answers of a tuned model"
from labkit.plots import draw_heatmap

asked = {"base": load_base(MODEL), "full": lab.load(full.folder), "lora": tuned}
kept = {name: ask_skills(each) for name, each in asked.items()}
draw_heatmap(
    list(kept.values()),
    list(kept),
    OLD_SKILLS,
    title=t("Old skills: right answers", "原有能力：答对的比例"),
    show="{:.0%}".format,
    low=0,
    high=1,
)

# %% [markdown] lang="en"
"""
An adapter can be switched off.
Is the old model then back?
"""

# %% [markdown] lang="zh"
"""
适配器可以关掉。
关掉之后，原来的模型回来了吗？
"""


# %%
def read(model):
    with torch.no_grad():
        return model.model(torch.tensor([model.encode("47 + 38 = ?")])).logits


switch_adapters(tuned)
print("off, the old model to the last bit:", torch.equal(read(tuned), read(asked["base"])))
switch_adapters(tuned, "clinic")
print("on, much is gone:", sum(kept["lora"]) < 0.7 * sum(kept["base"]))

# %% [markdown] lang="en"
"""
Both halves of the truth.
**Off**, nothing is lost: W was never touched.
**On**, the model has forgotten most of it, here even more than full tuning has.
Why so much?
A network of a few million weights has no room to spare; the learning rate is four times that of full tuning; and for 450 steps it saw nothing but triage: whatever was asked, "red" paid off.
No part of the loss spoke for the old skills.

Large models suffer less, but they do.
On Llama-2-7B, tuned for code and mathematics, LoRA learnt less than full tuning and forgot less (Biderman et al., May 2024, arXiv 2405.09673).
"""

# %% [markdown] lang="zh"
"""
两半真相都在这里。
**关掉**适配器，什么也没丢：W 根本没动过。
**打开**，大半都忘了，在这里甚至比全量微调忘得还多。
为什么这么厉害？
几百万个权重的网络没有富余的地方；学习率是全量微调的四倍；而且这 450 步里它眼里只有分诊：不管问什么，答“红色”就有奖。
损失里没有哪一项替原有能力说话。

大模型忘得轻一些，但也会忘。
在 Llama-2-7B 上用代码和数学数据微调，LoRA 比全量微调学得少，忘得也少（Biderman 等，2024 年 5 月，arXiv 2405.09673）。
"""

# %% [markdown] lang="en"
"""
## Which rank, which layers, which learning rate?

Short runs decide little; but they cost little, and 100 steps show a trend.
`try_out` runs one and gives the lowest validation loss, which is finer than counting 48 answers.
"""

# %% [markdown] lang="zh"
"""
## 秩取多少？装在哪些层？学习率多大？

短训练定不了大事，好在便宜，100 步足够看出趋势。
`try_out` 跑一次，返回最低的验证损失：它比数 48 道题的对错灵敏得多。
"""

# %%
SHORT = {"steps": 100, "evaluate_every": 25, "old_skills": (), "measure_memory": False}


def try_out(**options):
    report = lab.finetune(MODEL, task, "lora", reuse=True, **SHORT, **options)
    return report.trainable_parameters, min(p.validation_loss for p in report.history)


# %% [markdown] lang="en"
"""
First the rank, at the same learning rate:
"""

# %% [markdown] lang="zh"
"""
先看秩，学习率不变：
"""

# %% varies="losses of a training"
ranks = {rank: try_out(rank=rank) for rank in (1, 4, 16)}
for tried, (parameters, loss) in ranks.items():
    print(f"{tried:3}{parameters:10,}{loss:8.3f} {'█' * round(40 * loss)}")

# %% [markdown] lang="en"
"""
Then the layers, at rank 16: only query and value, as the first paper did; all of attention; the feed-forward part; everything.
"""

# %% [markdown] lang="zh"
"""
再看装在哪里，秩都是 16：只装 q 和 v，最早那篇论文就是这样；整个注意力；前馈部分；全部。
"""

# %%
PLACES = {
    "q v": ("q_proj", "v_proj"),
    "q k v o": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "gate up down": ("gate_proj", "up_proj", "down_proj"),
    "all-linear": "all-linear",
}
ask("lora.places")

# %% varies="losses of a training"
places = {name: try_out(targets=targets) for name, targets in PLACES.items()}
for name, (parameters, loss) in places.items():
    print(f"{name:13}{parameters:10,}{loss:8.3f} {'█' * round(40 * loss)}")

# %%
print("more rank helps:", ranks[1][1] > ranks[4][1])
print("more places help:", places["q v"][1] > places["all-linear"][1])
print("rank 4 everywhere beats rank 16 on q and v:", ranks[4][1] < places["q v"][1])

# %% [markdown] lang="en"
"""
More rank and more places both bring the loss down faster.
Now compare lines of about equal size: rank 4 everywhere does better than rank 16 on q and v alone.
Little in every layer beats much in a few.

On large models Schulman and others found the same: LoRA belongs on all layers, on the feed-forward ones above all.
They also found the best learning rate to be about ten times that of full tuning (*LoRA Without Regret*, Thinking Machines, September 2025).
Let us look for ours:
"""

# %% [markdown] lang="zh"
"""
秩大一些，装的地方多一些，损失都降得更快。
再比一比大小相近的两行：处处装秩 4，胜过只在 q 和 v 上装秩 16。
与其少数几层给很多，不如每层都给一点。

Schulman 等人在大模型上也得到同样的结论：LoRA 应该装在所有层上，前馈部分尤其要装。
他们还发现，LoRA 的最佳学习率大约是全量微调的十倍（*LoRA Without Regret*，Thinking Machines，2025 年 9 月）。
来找找我们自己的：
"""

# %% varies="losses of a training"
rates = {rate: try_out(learning_rate=rate)[1] for rate in (2e-4, 5e-4, 2e-3, 1e-2)}
draw_lines(
    {"lora": list(rates.items())},
    title=t("Learning rate and loss after 100 steps", "学习率与 100 步后的损失"),
    x=t("learning rate", "学习率"),
    y=t("validation loss (nats)", "验证损失（nat）"),
    log_x=True,
    show_x="{:g}".format,
)

# %%
print("too low:", rates[2e-4] > rates[2e-3], " too high:", rates[1e-2] > rates[2e-3])

# %% [markdown] lang="en"
"""
A valley with two walls: on the left nothing has been learnt yet, on the right each step overshoots.
This is the one setting that always deserves a search.
Our valley lies at 0.002 because the model is tiny; for models of billions one begins at about 0.0002, and that is labkit's default there.
"""

# %% [markdown] lang="zh"
"""
中间低、两头高：左边是还没学会，右边是每一步都走过了头。
所有设置里，这一个永远值得试几次。
我们的谷底在 0.002 附近，是因为模型小；几十亿参数的模型一般从 0.0002 左右试起，labkit 对它们的默认值也是这个。
"""

# %% [markdown] lang="en"
"""
## Where the memory goes

What `lab.estimate` predicts, beside what the fresh process grew by:
"""

# %% [markdown] lang="zh"
"""
## 内存花在哪里

左边是 `lab.estimate` 的预测，右边是那个全新进程实际涨了多少：
"""

# %% varies="memory of this machine"
from labkit.core.units import show_bytes

for r in (full, lora):
    sizes = show_bytes(r.predicted_memory), show_bytes(r.peak_memory)
    print(f"{r.method:6}{sizes[0]:>12}{sizes[1]:>12}")

# %%
ratios = [r.peak_memory / r.predicted_memory for r in (full, lora)]
print("within a factor of three:", all(1 / 3 < ratio < 3 for ratio in ratios))
print("full needs most:", full.peak_memory > lora.peak_memory)

# %% [markdown] lang="en"
"""
With a few megabytes, fixed costs of the libraries weigh as much as the model, so a pocket model does not show the saving well.
With billions the parts grow apart.
Qwen2.5-7B, one text of 1,024 tokens, in bf16 with checkpointing:
"""

# %% [markdown] lang="zh"
"""
模型只有几兆时，库的固定开销和模型差不多大，所以口袋模型看不太出省了多少。
到了几十亿参数，差别就拉开了。
Qwen2.5-7B，一条 1,024 个词元的文本，bf16，开重算：
"""

# %%
from labkit.core.tables import Table

PARTS = ("weights", "adapter", "gradients", "optimizer", "activations", "total")
SIZE = {"batch": 1, "seq": 1024}
rows = []
for method in ("full", "lora", "qlora"):
    e = lab.estimate("Qwen2.5-7B", train=method, **SIZE)
    rows.append((method, *(show_bytes(getattr(e, part)) for part in PARTS)))
Table(("", *PARTS), rows)

# %% [markdown] lang="en"
"""
Full: besides 2 bytes for each weight, 2 for its gradient, 4 for the two moments of AdamW, and 2 more for a moment in its step (they stand under activations, which are smaller and long gone by then).
LoRA saves gradient and moments, for nearly nothing is trained; the frozen weights remain.
QLoRA shrinks these too.
What no method saves are the **activations**: they grow with the length of the texts and the size of the batch.
"""

# %% [markdown] lang="zh"
"""
全量微调：每个权重除了自身的 2 字节，还要 2 字节梯度、4 字节 AdamW 的两个动量，更新的那一刻再临时占 2 字节（表里记在激活值一栏；真正的激活值比它小，那时早已释放）。
LoRA 几乎什么都不训练，梯度和动量就省掉了，剩下冻结的权重。
QLoRA 把这一块也压小。
哪种方法都省不掉的是**激活值**：文本越长、批量越大，它越大。
"""

# %% [markdown] lang="en"
"""
## Recap

- LoRA: y = Wx + α/r · B·A·x. W is frozen, A random, B zero at the start. An adapter costs r × (in + out) numbers a layer.
- It is a different way of training, not a different model: merged, it is an ordinary matrix again.
- Rather a small rank on all linear layers than a large one on a few. Search for the learning rate first; LoRA wants a higher one than full tuning.
- Switched off, an adapter forgets nothing. Switched on, it may forget a lot: measure old skills before and after.
- LoRA saves gradients and optimizer states; QLoRA saves weights, too; nobody saves activations.
"""

# %% [markdown] lang="zh"
"""
## 小结

- LoRA：y = Wx + α/r · B·A·x。W 冻结，A 随机，B 从零开始。一层的适配器有 r ×（输入 + 输出）个数。
- 它是另一种训练方法，不是另一种模型：合并之后又是一个普通矩阵。
- 宁可所有线性层都装小秩，不要只在几层装大秩。最先该试的是学习率；LoRA 的学习率要比全量微调高。
- 适配器关掉，什么都没忘；打开，可能忘掉很多。训练前后都要量一量原有能力。
- LoRA 省的是梯度和优化器状态，QLoRA 连权重也省，激活值谁都省不了。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** How many numbers does an adapter of rank 4 on `q_proj` and `v_proj` of all four layers have?
The hidden size is 256; there are four query heads and two key-value heads of 64.
The check puts one on.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 四层的 `q_proj` 和 `v_proj` 都装上秩为 4 的适配器，一共多少个数？
隐藏维度是 256；查询头四个，键值头两个，每个头 64 维。
检查时会真的装一个来数。
"""

# %% exercise="adapter-size"
adapter_size = None
### BEGIN SOLUTION
adapter_size = 4 * 4 * ((256 + 4 * 64) + (256 + 2 * 64))
### END SOLUTION

# %% check="adapter-size" points=1
from labkit import course

counted = add_lora(load_base(MODEL), rank=4, targets=("q_proj", "v_proj"))
course.check("lora.adapter-size", adapter_size, counted)

# %% [markdown] lang="en"
"""
**2.** Write the merge: from W, A, B, α and r the one matrix that does the work of all.
The check compares with PEFT's `merge_and_unload`.
"""

# %% [markdown] lang="zh"
"""
**2.** 写出合并：由 W、A、B、α 和 r 得到一个矩阵，它一个顶全部。
检查时会和 PEFT 的 `merge_and_unload` 对照。
"""


# %% exercise="merge"
def merge(W, A, B, alpha, r):
    ### BEGIN SOLUTION
    return W + alpha / r * B @ A
    ### END SOLUTION


# %% check="merge" points=1
from copy import deepcopy

with torch.no_grad():
    answer = merge(layer.weight, A, B, alpha, rank)
    copied = deepcopy(model.model)  # PEFT merges in place
    merged = copied.merge_and_unload().get_submodule(LAYER).weight


def judge_merge(made):
    if made.shape != merged.shape:
        return t(f"The shape is {tuple(made.shape)}.", f"形状成了 {tuple(made.shape)}。")
    apart = float((made - merged).abs().max())
    return apart < 1e-6 or t(f"Up to {apart:.2g} apart.", f"最多差 {apart:.2g}。")


course.check("lora.merge", answer, judge_merge)

# %% [markdown] lang="en"
"""
**3.** A card of 24 GB, one text of 1,024 tokens at a time: which is the largest dense Qwen2.5 that LoRA (not QLoRA) can tune, and which does full tuning reach?
Answer with a pair of names, `("Qwen2.5-…", "Qwen2.5-…")`.
The check asks `lab.estimate`.
"""

# %% [markdown] lang="zh"
"""
**3.** 一张 24 GB 的显卡，每次一条 1,024 个词元的文本：LoRA（不是 QLoRA）最大能调哪个 Qwen2.5？
全量微调呢？
用一对名字作答：`("Qwen2.5-…", "Qwen2.5-…")`。
检查时会去问 `lab.estimate`。
"""

# %% exercise="largest"
largest = None
### BEGIN SOLUTION
sizes = ("0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B")
fits = {
    method: [
        f"Qwen2.5-{size}"
        for size in sizes
        if lab.estimate(f"Qwen2.5-{size}", train=method, vram="24GB", **SIZE).fits
    ]
    for method in ("lora", "full")
}
largest = fits["lora"][-1], fits["full"][-1]
### END SOLUTION


# %% check="largest" points=1
def judge_largest(pair):
    order = [f"Qwen2.5-{size}" for size in ("0.5B", "1.5B", "3B", "7B", "14B", "32B", "72B")]
    for name, method in zip(pair, ("lora", "full"), strict=True):
        if name not in order[:-1]:
            return t(f"{name} is not in the row.", f"没有 {name} 这一档。")
        here, above = (
            lab.estimate(n, train=method, vram="24GB", **SIZE).fits
            for n in (name, order[order.index(name) + 1])
        )
        if not here or above:
            way = t("too large", "太大了") if not here else t("not the largest", "还可以更大")
            return f"{method}, {name}: {way}"
    return True


course.check("lora.largest", largest, judge_largest)

# %% [markdown] lang="en"
"""
**4.** Without a check: tune another task, `load_task("rotate")` or a JSONL file of your own.
Does it forget the same skills?
Then try **replay**: mix questions of the old skills into the samples, `old = islice(training_items(random.Random(0)), 320)` from `labkit.pocket.corpus`, and `replace(task, train=task.train + tuple(old))`, with `steps=450`.
How much of the old skills stays, and at what price?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：换一个任务来调，`load_task("rotate")` 或你自己的 JSONL 文件。
忘掉的还是那几项吗？
再试试**复习**：把旧题掺进样本里，用 `labkit.pocket.corpus` 的 `old = islice(training_items(random.Random(0)), 320)` 和 `replace(task, train=task.train + tuple(old))`，设 `steps=450`。
原有能力能保住多少？
代价是什么？
"""

# %% [markdown] lang="en"
"""
## On real models

One line changes, `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`, and for a task of your own `load_task("my.jsonl")`.
The task here will do too, for no model knows our clinic.
On a GPU `lab.finetune` and all measurements run as they stand.
Where a cell makes tensors of its own, add the `device` and `dtype` of the weights, and load the base with `dtype="float32"` there: agreement to 1e-6 is no matter of bf16.
On a laptop's CPU expect hours rather than minutes.

Which card for which size?
One text of 1,024 tokens at a time, checkpointing on.
The T4 knows no bf16: adapters are trained there on an fp16 base, full tuning in fp32.
"–": does not fit.
The predictions are computed, not measured on these cards.
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改一行，`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`；要用自己的任务，就写 `load_task("my.jsonl")`。
这里的任务也能用，反正哪个模型都不认识我们这家诊所。
有 GPU 的话，`lab.finetune` 和各项测量原样就能跑；自己造张量的那几格，要补上和权重一致的 `device` 与 `dtype`，基座用 `dtype="float32"` 加载（误差小于 1e-6 这种对照，bf16 做不到）。
在笔记本的 CPU 上，就要按小时而不是按分钟来等了。

哪张卡能调多大的模型？
每次一条 1,024 个词元的文本，开重算。
T4 不支持 bf16：在它上面，适配器训练在 fp16 的基座上，全量微调用 fp32。
“–”表示装不下。
这些是算出来的预测，没有在这些卡上实测。
"""

# %%
from labkit.catalog import devices

CARDS = {d.name: d.memory_gb for d in devices() if d.name in ("T4", "L4")}
HALF = {"T4": {"full": "fp32", "lora": "fp16", "qlora": "fp16"}}
rows = []
for size in ("0.5B", "1.5B", "3B", "7B"):
    for method in ("full", "lora", "qlora"):
        row = [f"Qwen2.5-{size}", method]
        for card, memory in CARDS.items():
            precision = HALF.get(card, {}).get(method, "bf16")
            options = SIZE | {"precision": precision, "vram": f"{memory}GB"}
            e = lab.estimate(row[0], train=method, **options)
            row.append(show_bytes(e.total) if e.fits else "–")
        rows.append(row)
Table(("", "", *(f"{name} {memory} GB" for name, memory in CARDS.items())), rows)

# %% [markdown] lang="en"
"""
How to make the weights themselves smaller is lesson [[qlora]]; the tools that others use for all this, lesson [[fine-tuning-tools]].
"""

# %% [markdown] lang="zh"
"""
怎样把权重本身也压小，见第 [[qlora]] 课；别人做这些事用什么工具，见第 [[fine-tuning-tools]] 课。
"""
