# %% [markdown] lang="en"
"""
# Inside quantization: how a weight fits into four bits

**You will be able to** build Q4_0, Q5_0, NF4, int8 and GPTQ yourself, in a few lines each, and prove against llama.cpp and bitsandbytes that not one bit differs; count the bits of any format; measure what it loses.

**You will learn** what a scale, an offset and a block are, why "4 bits" are 4.5, what one bit more buys, why a format made for the bell curve can lose to plain even steps, what an outlier does, and how GPTQ halves the damage without training anything.

**You need** about 60 minutes, two CPU cores, 0.6 GiB of free memory.
Download: 0.
You should be at ease with numpy.
"""

# %% [markdown] lang="zh"
"""
# 拆开量化看一看：一个权重怎样装进四位

**学完你能**各用几行代码亲手写出 Q4_0、Q5_0、NF4、int8 和 GPTQ，并拿 llama.cpp 和 bitsandbytes 来对，证明一位都不差；算清任何一种格式每个权重占几位；量出它损失了多少。

**你会明白**什么是缩放系数、偏移和块，“4 位”为什么其实是 4.5 位，多一位能换来什么，专为钟形分布设计的格式为什么反而会输给均匀的格子，离群值会惹什么祸，GPTQ 又怎么能不经训练就把损失减半。

**需要准备**大约 60 分钟，两个 CPU 核心，0.6 GiB 空闲内存。
下载量：0。
最好熟悉 numpy。
"""

# %% [markdown] lang="en"
"""
## Thirty-two weights

One layer of a model goes with us through the whole lesson: a matrix of the feed-forward block.
Its inputs come in as columns, its outputs leave as rows.
"""

# %% [markdown] lang="zh"
"""
## 三十二个权重

整节课都用同一个层：前馈网络里的一个矩阵。
一列对应一个输入，一行对应一个输出。
"""

# %%
import labkit as lab

MODEL = "pocket/llama3"
LAYER = "model.layers.1.mlp.gate_proj"
model = lab.load(MODEL)
print(model.location.note)

# %%
import numpy as np

weights = model.model.get_submodule(LAYER).weight.detach().float().cpu().numpy()
weights.shape

# %% [markdown] lang="en"
"""
And from its first row the first 32 weights: a **block**.
In 16 bits each they take 64 bytes.
We want to get by with 18.
"""

# %% [markdown] lang="zh"
"""
再取第一行的前 32 个权重，这就是一个**块**。
每个 16 位，一共 64 字节；我们要把它压到 18 字节。
"""

# %% varies="the weights of another training differ"
np.set_printoptions(precision=3, suppress=True, linewidth=96)
block = weights[0, :32]
block

# %% [markdown] lang="en"
"""
### Scale

Choose a step d and write down for each weight only *how many steps* it is.
With 4 bits there are 16 different counts, say -8 to 7.
So that every weight is within reach, the one that is largest in size, m, becomes exactly -8 steps: d = m / -8.
This d is the block's **scale**.
"""

# %% [markdown] lang="zh"
"""
### 缩放系数

选定一个步长 d，每个权重只记它是*几步*。
4 位能区分 16 个数，就用 -8 到 7。
为了让每个权重都够得着，绝对值最大的那个权重 m 正好定为 -8 步：d = m / -8。
这个 d 就是这一块的**缩放系数**。
"""

# %% varies="the weights of another training differ"
m = block[np.abs(block).argmax()]
d = m / -8
block / d

# %% [markdown] lang="en"
"""
The sign of m is kept, and d may be negative.
For 16 is an even number: one side of zero gets eight steps, the other seven, and the side of the largest weight deserves the eighth.

### Offset

Bits count from 0 to 15, not from -8 to 7.
So 8 is added: the **offset**.
Rounding is adding a half and dropping the fraction, and what would be 16 is cut to 15.
"""

# %% [markdown] lang="zh"
"""
m 的正负号保留，所以 d 可以是负的。
因为 16 是偶数：零的一边有八步，另一边只有七步，最大的权重在哪一边，第八步就该给哪一边。

### 偏移

4 位数只能从 0 数到 15，没有 -8 到 7。
于是统一加 8，这就是**偏移**。
四舍五入等于加 0.5 再去掉小数；凑成 16 的，压到 15。
"""

# %% varies="the weights of another training differ"
codes = np.minimum(np.floor(block / d + 8.5), 15).astype(np.uint8)
codes

# %% [markdown] lang="en"
"""
To read them, go the same way back: subtract the offset, multiply by the scale.
What comes back differs by at most half a step.
Only a weight near -m, where the eighth step is missing, can be off by a whole one.
"""

# %% [markdown] lang="zh"
"""
读的时候原路返回：减去偏移，乘以缩放系数。
还原的值最多差半步；只有接近 -m 的权重，因为那边缺了第八步，最多会差一整步。
"""

# %% varies="the weights of another training differ"
back = d * (codes - 8.0)
print(back)

# %%
print("at most one step:", np.abs(back - block).max() <= 1.001 * abs(d))

# %% [markdown] lang="en"
"""
### Two to a byte

A code of 4 bits is a **nibble**, half a byte. llama.cpp puts weight i into the low half of byte i and weight 16 + i into its high half: so one mask and one shift of a whole register unpack 32 weights in their right order.
In front stands the scale in 16 bits.
"""

# %% [markdown] lang="zh"
"""
### 两个挤一个字节

4 位的码是半个字节，英文叫 **nibble**。
llama.cpp 把第 i 个权重放在第 i 个字节的低半边，第 16 + i 个放在高半边：这样对整个寄存器做一次掩码、一次移位，就能按原来的顺序解出 32 个权重。
最前面是 16 位的缩放系数。
"""

# %%
packed = np.float16(d).tobytes() + (codes[:16] | codes[16:] << 4).tobytes()
print(len(packed), "bytes,", 8 * len(packed) / 32, "bits")

# %% [markdown] lang="en"
"""
There is the half bit: the scale, shared by 32 weights.
Every "4-bit" format carries something of the kind.
"""

# %% [markdown] lang="zh"
"""
多出来的半位就是它：32 个权重合用一个缩放系数。
所谓“4 位”的格式，都要带上点这样的东西。
"""

# %% [markdown] lang="en"
"""
## Bit for bit

Now for all blocks at once.
`half` is 8 here and 16 for the next format.
We multiply by 1 / d because llama.cpp does: dividing would differ in the last bit now and then.
"""

# %% [markdown] lang="zh"
"""
## 一位不差

现在所有的块一起算。
`half` 在这里是 8，下一种格式是 16。
之所以乘以 1 / d，是因为 llama.cpp 这样做：直接除，偶尔会差最后一位。
"""


# %%
def encode(weights, half):
    blocks = weights.reshape(-1, 32)
    m = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    d = m / np.float32(-half)
    codes = np.floor(blocks * (1 / d) + np.float32(half + 0.5))
    return d.astype(np.float16), np.minimum(codes, 2 * half - 1).astype(np.uint8)


def pack(codes):
    return codes[:, :16] | codes[:, 16:] << 4


# %%
d, codes = encode(weights, 8)
ours = np.hstack([d.view(np.uint8), pack(codes)])
ours.shape

# %% [markdown] lang="en"
"""
And this is llama.cpp's own quantizer.
It wrote a file; in the file the matrix is called `blk.1.ffn_gate.weight`.
"""

# %% [markdown] lang="zh"
"""
下面是 llama.cpp 自己的量化器。
它写出一个文件，这个矩阵在文件里叫 `blk.1.ffn_gate.weight`。
"""

# %%
from gguf import GGUFReader


def read_tensor(format, name="blk.1.ffn_gate.weight"):
    file = lab.quantize(MODEL, format).rows[0].path
    return next(tensor for tensor in GGUFReader(file).tensors if tensor.name == name)


theirs = read_tensor("Q4_0")
print(theirs.tensor_type.name, f"{theirs.n_bytes:,} bytes")

# %%
print("bit for bit:", ours.tobytes() == theirs.data.tobytes())

# %% [markdown] lang="en"
"""
That was not an imitation of Q4_0.
It is Q4_0.

### The fifth bit

Q5_0 has 32 codes, so a step is half as long.
Five bits do not divide a byte; so the lower four are packed as before, and the 32 fifth bits of a block make four bytes of their own.
"""

# %% [markdown] lang="zh"
"""
这不是仿制的 Q4_0，这就是 Q4_0。

### 第五位

Q5_0 有 32 个码，步长短了一半。
五位凑不齐字节，所以低四位照旧打包，一块里的 32 个第五位另外凑成四个字节。
"""

# %%
d, codes = encode(weights, 16)
fifth = np.packbits(codes > 15, axis=1, bitorder="little")
ours = np.hstack([d.view(np.uint8), fifth, pack(codes & 15)])
print("bit for bit:", ours.tobytes() == read_tensor("Q5_0").data.tobytes())
print(8 * ours.shape[1] / 32, "bits")

# %% [markdown] lang="en"
"""
Q8_0 is the simplest of the three: no offset, for a signed byte holds -127 to 127.
It is your second exercise.
"""

# %% [markdown] lang="zh"
"""
Q8_0 是三种里最简单的：有符号的字节本来就能装 -127 到 127，用不着偏移。
它是你的第二个练习。
"""

# %% [markdown] lang="en"
"""
## What it costs

The measure: the root mean square of what was lost, as a share of the weights' own.
From here on we use labkit's versions; they do what you have just written, for large arrays.
"""

# %% [markdown] lang="zh"
"""
## 代价有多大

用什么量？损失的均方根，除以权重自己的均方根。
从这里起改用 labkit 里的版本，做的就是你刚写的这些事，只是能处理很大的数组。
"""

# %%
from labkit.quantization import gguf_blocks as blocks


def error(made, weights=weights):
    return float(np.sqrt(np.mean((made - weights) ** 2) / np.mean(weights**2)))


lost = {
    "Q8_0": error(blocks.dequantize_q8_0(blocks.quantize_q8_0(weights))),
    "Q5_0": error(blocks.dequantize_q5_0(blocks.quantize_q5_0(weights))),
    "Q4_0": error(blocks.dequantize_q4_0(blocks.quantize_q4_0(weights))),
}

# %% varies="digits differ with the weights"
for name, share in lost.items():
    print(f"{name} {share:7.2%} {'█' * round(400 * share)}")

# %%
print("one bit less, twice the error:", 1.8 < lost["Q4_0"] / lost["Q5_0"] < 2.2)
print("three bits less, eight times:", 7 < lost["Q5_0"] / lost["Q8_0"] < 9)

# %% [markdown] lang="en"
"""
Not by chance.
A weight falls anywhere between two steps, so the error is spread evenly over -d/2 … d/2, and the root mean square of such an error is d / √12.
The scales alone foretell it:
"""

# %% [markdown] lang="zh"
"""
这不是巧合。
权重落在两步之间的哪里都有可能，误差就均匀分布在 -d/2 到 d/2 之间，它的均方根是 d / √12。
所以光看缩放系数，就能预先算出误差：
"""

# %%
d, _ = encode(weights, 8)
foretold = np.sqrt(np.mean(d.astype(np.float64) ** 2) / 12 / np.mean(weights**2))
print("foretold within 3%:", abs(foretold / lost["Q4_0"] - 1) < 0.03)

# %% [markdown] lang="en"
"""
### Look at a row

Grey: the weights as they were.
Blue: where each one went.
Below, what was lost, at one scale for all formats.
Change the format and the row.
"""

# %% [markdown] lang="zh"
"""
### 看一行

灰色是原来的权重，蓝色是它被挪到的位置；下面是损失的分布，各种格式用同一把尺子。
换换格式，换换行。
"""

# %% varies="digits differ with the weights"
from labkit.widgets.quantization_explorer import show_quantization_explorer

show_quantization_explorer(weights)

# %% [markdown] lang="en"
"""
## NF4: steps where the weights are

Even steps serve small and large weights alike.
But trained weights are not spread evenly; most are near zero, in a bell curve.
QLoRA's **NF4** therefore puts its 16 levels where the weights are: at the quantiles of a normal distribution, eight above zero, seven below, and zero itself.
"""

# %% [markdown] lang="zh"
"""
## NF4：权重多的地方，格子就密

均匀的格子对大小权重一视同仁。
可训练好的权重并不均匀，大多挤在零附近，呈钟形分布。
所以 QLoRA 的 **NF4** 把 16 个档位放在权重密集的地方：取正态分布的分位数，零以上八个，零以下七个，再加上零本身。
"""

# %%
from statistics import NormalDist

outermost = (31 / 32 + 29 / 30) / 2
quantile = NormalDist().inv_cdf
above = [quantile(p) for p in np.linspace(outermost, 0.5, 9)[:-1]]
below = [-quantile(p) for p in np.linspace(outermost, 0.5, 8)[:-1]]
levels = np.sort([*below, 0, *above]).astype(np.float32) / np.float32(max(above))
levels

# %% [markdown] lang="en"
"""
The last digits of bitsandbytes' table were once computed elsewhere; ours agree with it to a millionth:
"""

# %% [markdown] lang="zh"
"""
bitsandbytes 的那张表当年是在别处算的，末位略有出入。
我们的和它相差不到百万分之一：
"""

# %%
from labkit.quantization.nf4_int8 import NF4_LEVELS

print(np.abs(levels - NF4_LEVELS).max() < 1e-6)

# %% [markdown] lang="en"
"""
A block has 64 weights here, and its largest size, **absmax**, is the scale.
"""

# %% [markdown] lang="zh"
"""
NF4 的一块有 64 个权重，绝对值的最大值（**absmax**）就是缩放系数。
"""

# %%
groups = weights.reshape(-1, 64)
absmax = np.abs(groups).max(1, keepdims=True)
absmax.shape

# %%
from labkit.core.i18n import t
from labkit.plots import draw_lines


def density(size):
    groups = weights.reshape(-1, size)
    scaled = groups / np.abs(groups).max(1, keepdims=True)
    heights, edges = np.histogram(scaled, 25, (-1, 1), density=True)
    return list(zip((edges[:-1] + edges[1:]) / 2, heights, strict=True))


# %% varies="a figure of weights"
lines = {
    t("weights, blocks of 64", "权重，64 个一块"): density(64),
    "NF4": [(level, -0.1) for level in NF4_LEVELS],
    "Q4_0": [(level, -0.2) for level in np.arange(-8, 8) / 8],
}
draw_lines(
    lines,
    title=t("Where the weights are, and where the levels", "权重在哪里，档位在哪里"),
    x=t("weight ÷ absmax of its block", "权重 ÷ 所在块的 absmax"),
    y=t("density", "密度"),
)

# %% [markdown] lang="en"
"""
The levels of NF4 follow the bell, those of Q4_0 stand at even distances.
(The ends rise because in every block one weight *is* the absmax.)
Which level is nearest?
The middles between neighbours decide:
"""

# %% [markdown] lang="zh"
"""
NF4 的档位跟着钟形走，Q4_0 的一律等距。
（两端翘起来，是因为每一块里总有一个权重*就是* absmax。）
离哪一档最近？
看落在相邻两档中点的哪一边：
"""

# %%
middles = (NF4_LEVELS[:-1] + NF4_LEVELS[1:]) / 2
codes = np.searchsorted(middles, groups * (1 / absmax)).astype(np.uint8)
print(codes.min(), codes.max())

# %% [markdown] lang="en"
"""
Again the real one beside it. bitsandbytes puts two *neighbours* into a byte, the earlier one in the high half.
"""

# %% [markdown] lang="zh"
"""
照样拿真家伙来对。
bitsandbytes 把*相邻*两个放进一个字节，前一个在高半边。
"""

# %%
import logging

import torch

logging.getLogger("bitsandbytes").setLevel("ERROR")
from bitsandbytes import functional as bnb

packed, state = bnb.quantize_4bit(torch.from_numpy(weights), blocksize=64, quant_type="nf4")
ours = codes[:, 0::2] << 4 | codes[:, 1::2]
print("codes:", (ours.ravel() == packed.numpy().ravel()).all())
print("absmax:", (absmax.ravel() == state.absmax.numpy()).all())

# %% [markdown] lang="en"
"""
An absmax is kept in 32 bits.
Shared by 64 weights:
"""

# %% [markdown] lang="zh"
"""
absmax 用 32 位存，64 个权重分摊：
"""

# %%
4 + 32 / 64

# %% [markdown] lang="en"
"""
### Quantize the scales as well

Half a bit a weight only for scales, and these are numbers much like each other.
**Double quantization** treats them like weights: take off their mean, 256 of them share one scale, each becomes a code of 8 bits.
"""

# %% [markdown] lang="zh"
"""
### 连缩放系数也量化

光缩放系数就占了每个权重半位，而这些数彼此差不多大。
**双重量化**把它们也当权重来压：减去平均值，256 个合用一个缩放系数，每个变成 8 位的码。
"""

# %%
from labkit.quantization.nf4_int8 import dynamic_levels

offset = absmax.mean(dtype=np.float64).astype(np.float32)
rest = (absmax - offset).reshape(-1, 256)
scale = np.abs(rest).max(1, keepdims=True)
fine = dynamic_levels()
codes8 = np.searchsorted((fine[:-1] + fine[1:]) / 2, rest * (1 / scale)).astype(np.uint8)
absmax8 = fine[codes8] * scale + offset
len(fine), codes8.shape

# %% [markdown] lang="en"
"""
The 256 levels `fine` lie close near zero and wide apart at the ends (*dynamic* 8-bit, arXiv 1511.04561).
How far the scales have moved, and bitsandbytes beside it.
On a CPU it looks levels up in a table of 65,536 places, so that now and then it takes a neighbour:
"""

# %% [markdown] lang="zh"
"""
这 256 档 `fine` 在零附近很密，两头很疏（*动态* 8 位，arXiv 1511.04561）。
看看缩放系数被挪动了多少，再和 bitsandbytes 对照。
它在 CPU 上查一张 65,536 格的表，所以偶尔会取到旁边一档：
"""

# %%
packed2, state2 = bnb.quantize_4bit(
    torch.from_numpy(weights), blocksize=64, quant_type="nf4", compress_statistics=True
)
apart = np.abs(codes8.ravel().astype(int) - state2.absmax.numpy())
print("scales moved by less than 3%:", np.abs(absmax8.ravel() / absmax.ravel() - 1).max() < 0.03)
print("same scales:", (scale.ravel() == state2.state2.absmax.numpy()).all())
print("same codes, or neighbours:", np.mean(apart == 0) > 0.99, apart.max() <= 1)

# %% [markdown] lang="en"
"""
How many bits a weight takes now, you will count in the third exercise.

### Even steps against the bell

Q4_0 and NF4 take the same 4.5 bits.
Before you run on:
"""

# %% [markdown] lang="zh"
"""
这样一来每个权重占几位，留给第三个练习。

### 均匀的格子对钟形的格子

Q4_0 和 NF4 都是 4.5 位。
往下运行之前：
"""

# %%
from labkit.widgets.prediction import ask

ask("quantization-inside.nf4")

# %%
from labkit.quantization.nf4_int8 import dequantize_nf4, quantize_nf4

lost["NF4"] = error(dequantize_nf4(quantize_nf4(weights)))
lost["NF4 double"] = error(dequantize_nf4(quantize_nf4(weights, double=True)))

# %% varies="digits differ with the weights"
for name in ("Q4_0", "NF4", "NF4 double"):
    print(f"{name:11}{lost[name]:7.2%} {'█' * round(400 * lost[name])}")

# %%
print("Q4_0 < NF4:", lost["Q4_0"] < lost["NF4"])

# %% [markdown] lang="en"
"""
Plain even steps win.
Is it our weights?
Take a million numbers that are *exactly* normal, and vary the two things in which the formats differ: the levels, and the size of a block.
"""

# %% [markdown] lang="zh"
"""
均匀的格子赢了。
是我们的权重特殊吗？
取一百万个*严格*正态的随机数，把两种格式的两处差别分开试：档位，块的大小。
"""

# %%
EVEN = np.arange(-8, 8, dtype=np.float32) / 8
normal = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)


def round_to(levels, size):
    groups = normal.reshape(-1, size)
    m = np.take_along_axis(groups, np.abs(groups).argmax(1)[:, None], 1)
    m = -m if levels is EVEN else np.abs(m)
    near = np.searchsorted((levels[:-1] + levels[1:]) / 2, groups / m)
    return (levels[near] * m).reshape(normal.shape)


# %%
for size in (32, 64, 128):
    even, bell = (error(round_to(levels, size), normal) for levels in (EVEN, NF4_LEVELS))
    print(f"{size:4}  even {even:6.1%}  NF4 {bell:6.1%}")

# %% [markdown] lang="en"
"""
Read it by lines.
In blocks of 64 and more NF4's levels are the better ones, as promised.
In blocks of 32 they are not: dividing by the largest of *few* numbers leaves no long tails, and what remains is spread rather evenly.
And read it by columns: smaller blocks are better for both.

Both formats spend half a bit a weight on scales.
Q4_0 buys blocks of 32 with 16-bit scales; NF4 buys blocks of 64 with 32-bit ones.
The first is the better bargain.
What Q4_0 cannot do is double quantization: NF4 goes down to about 4.13 bits at the same error.

This is about rounding weights.
What it does to answers is another question; lesson [[quantization-lab]] asks it.
"""

# %% [markdown] lang="zh"
"""
先横着看。块大到 64 以上，NF4 的档位确实更好，名不虚传；块小到 32 就不是了：除以*少数几个*数里的最大值，尾巴就没了，剩下的分布相当均匀。
再竖着看：无论哪种档位，块越小越好。

两种格式都为缩放系数花了每个权重半位。
Q4_0 用它换来 32 个一块、16 位的缩放系数；NF4 换来 64 个一块、32 位的缩放系数。
前一笔买卖更划算。
Q4_0 做不到的是双重量化：NF4 能以几乎同样的误差降到 4.13 位左右。

这里说的只是权重的舍入误差。
它对回答有多大影响，是另一个问题，留给第 [[quantization-lab]] 课。
"""

# %% [markdown] lang="en"
"""
## int8: when the inputs have outliers

So far the weights became small, and to compute, they were made large again. bitsandbytes' **int8** also *multiplies* in 8 bits; so the inputs must be put into 8 bits too.
For that we need inputs: we let the model read texts, and note what comes to our layer.
"""

# %% [markdown] lang="zh"
"""
## int8：输入里有离群值怎么办

到目前为止，只是存的时候把权重变小，计算时还要还原。
bitsandbytes 的 **int8** 连*乘法*都用 8 位做，所以输入也得变成 8 位。
这就需要真实的输入：让模型读一些文本，记下送进这一层的东西。
"""

# %%
from itertools import islice
from random import Random

from labkit.pocket.corpus import held_out, training_items

items = (item for item in training_items(Random(0)) if not item.tools)
calibration = list(islice(items, 100))
SKILLS = ("facts", "lexicon", "sums", "copy", "reverse", "needles")
unseen = [item for skill in SKILLS for item in held_out(skill, 16)]
unseen[0].messages


# %%
def feed(items, name=LAYER):
    seen = []
    layer = model.model.get_submodule(name)
    hook = layer.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0][0].float().cpu())
    )
    with torch.inference_mode():
        for item in items:
            ids = model.tokenizer.apply_chat_template(list(item.messages), return_tensors="pt")
            model.model(**ids.to(model.model.device))
    hook.remove()
    return torch.cat(seen).numpy()


# %% varies="what the corpus trains most may change"
inputs, fresh = feed(calibration), feed(unseen)
inputs.shape, fresh.shape

# %% [markdown] lang="en"
"""
In int8 one scale serves a whole row: of the weights an output, of the inputs a token.
The codes of the weights, beside bitsandbytes':
"""

# %% [markdown] lang="zh"
"""
int8 是一整行合用一个缩放系数：权重的一行是一个输出，输入的一行是一个词元。
先拿权重的码和 bitsandbytes 对一对：
"""


# %%
def int8(rows):
    absmax = np.abs(rows).max(1, keepdims=True)
    return np.rint(rows * (np.float32(127) * (1 / absmax))), absmax / 127


theirs8, *_ = bnb.int8_vectorwise_quant(torch.from_numpy(weights))
print("bit for bit:", (int8(weights)[0] == theirs8.numpy()).all())

# %% [markdown] lang="en"
"""
The product: whole numbers are multiplied and summed exactly; the two scales come in at the end.
"""

# %% [markdown] lang="zh"
"""
乘法：整数相乘、求和，没有任何误差；两个缩放系数最后才乘上去。
"""


# %%
def multiply(inputs, weights):
    (a, a_scale), (w, w_scale) = int8(inputs), int8(weights)
    return a @ w.T * (a_scale * w_scale.T)


exact = fresh @ weights.T
plain = error(multiply(fresh, weights), exact)
print("under 2% lost:", plain < 0.02)

# %% [markdown] lang="en"
"""
Splendid, with a pocket model.
In large ones something grows that ours is too small for: a few input features with values up to 20 times larger than all others, in every layer from about 6.7 billion parameters on (LLM.int8(), arXiv 2208.07339, 2022).
So we plant one: feature 7 becomes 20 times larger, its column of weights 20 times smaller.
What the layer computes stays the same:
"""

# %% [markdown] lang="zh"
"""
口袋模型上效果很好。
但大模型里会长出一种东西，我们的模型太小，还长不出来：少数几个输入特征，数值比其他的大到 20 倍，参数量到 67 亿左右时，每一层都有（LLM.int8()，arXiv 2208.07339，2022 年）。
那我们就种一个：把第 7 个特征放大 20 倍，对应的那列权重缩小到 1/20。
这一层算出来的结果不变：
"""

# %%
PLANTED = 7
loud, quiet = fresh.copy(), weights.copy()
loud[:, PLANTED] *= 20
quiet[:, PLANTED] /= 20
print("same outputs:", np.allclose(loud @ quiet.T, exact, atol=1e-3))

# %%
ask("quantization-inside.outlier")

# %% varies="digits differ with the weights"
spoilt = error(multiply(loud, quiet), exact)
print(f"{plain:.2%} → {spoilt:.2%}")

# %%
print("several times worse:", spoilt > 3 * plain)

# %% [markdown] lang="en"
"""
LLM.int8()'s answer: columns in which some input reaches 6 are taken out and multiplied in 16 bits, all others in 8.
"""

# %% [markdown] lang="zh"
"""
LLM.int8() 的办法：哪一列里有输入的绝对值达到 6，就把那一列单独拿出来用 16 位算，其余的照旧用 8 位。
"""

# %%
outliers = np.flatnonzero((np.abs(loud) >= 6).any(0))
regular = np.setdiff1d(np.arange(loud.shape[1]), outliers)
mixed = multiply(loud[:, regular], quiet[:, regular])
mixed += loud[:, outliers] @ quiet[:, outliers].T
print("found:", PLANTED in outliers, " repaired:", error(mixed, exact) < 1.2 * plain)

# %% [markdown] lang="en"
"""
One column in 16 bits costs next to nothing.
Our trick with the 20 is worth remembering, too: *moving* size from inputs to weights changes nothing in the result and much in the error.
SmoothQuant (arXiv 2211.10438) uses it the other way round, to get rid of outliers.
"""

# %% [markdown] lang="zh"
"""
只有一列用 16 位，几乎没有代价。
刚才乘 20、除 20 的那一手也值得记住：把大小在输入和权重之间*挪来挪去*，结果不变，误差却大不一样。
SmoothQuant（arXiv 2211.10438）就是反过来用这一手消掉离群值的。
"""

# %% [markdown] lang="en"
"""
## GPTQ: let the others make up for it

Rounding to nearest is best for each weight alone.
But no one asks for single weights; what counts is the layer's output, and there errors can cancel.
Two weights of 0.4, whose inputs are always equal, to be rounded to whole numbers:
"""

# %% [markdown] lang="zh"
"""
## GPTQ：让别的权重来补救

单看每个权重，舍入到最近的值当然最好。
可谁也不单用一个权重，要紧的是这一层的输出，而输出里的误差可以互相抵消。
比如两个权重都是 0.4，它们的输入总是相等，现在要取整：
"""

# %%
first, second = 0.4, 0.4
print("exact  ", first + second)
print("nearest", round(first) + round(second))
print("GPTQ   ", round(first) + round(second + (first - round(first))))

# %% [markdown] lang="en"
"""
The second weight took over what the first one had lost, and went to 1, which is *not* its nearest.
That is the whole idea.

In a real layer inputs are not equal, only more or less alike.
How alike, and so how much each weight can take over from another, stands in one matrix: the **Hessian** H = XᵀX of the inputs X. No labels, no gradients, no training.
(The paper has a factor 2; it drops out.)
"""

# %% [markdown] lang="zh"
"""
第一个权重亏掉的，第二个接了过来，于是取 1，而 1 *不是*离它最近的整数。
全部思想就在这里。

真实的层里，输入不会完全相等，只是或多或少有些像。
像到什么程度、一个权重能替另一个补多少，全写在一个矩阵里：输入 X 的 **Hessian 矩阵** H = XᵀX。
不要标注，不要梯度，也不用训练。
（论文里多一个系数 2，后面会约掉。）
"""

# %%
hessian = inputs.T.astype(np.float64) @ inputs
hessian.shape

# %% [markdown] lang="en"
"""
From its inverse comes a triangle U. Row i of U says: when column i has been rounded, move the columns *after* it by so much; those before are fixed already.
A little is added to the diagonal, so that inputs which hardly ever occur do no harm.
"""

# %% [markdown] lang="zh"
"""
由它的逆矩阵得到一个上三角矩阵 U。
U 的第 i 行说的是：第 i 列舍入之后，*后面*各列该挪多少；前面的已经定了，不再动。
对角线上要加一点点，免得几乎从不出现的输入捣乱。
"""

# %%
damping = 0.01 * np.diag(hessian).mean() * np.eye(len(hessian))
upper = np.linalg.cholesky(np.linalg.inv(hessian + damping)).T.astype(np.float32)
print("a triangle:", not np.tril(upper, -1).any())


# %% [markdown] lang="en"
"""
And now column by column, all rows at once: scale (new for every 64 columns), round, and hand the error on.
Eight lines.
"""

# %% [markdown] lang="zh"
"""
然后一列一列地做，所有行同时进行：定缩放系数（每 64 列换一次），舍入，把误差传下去。
一共八行。
"""


# %%
def gptq(weights, upper, bits=4, group=64):
    left, made, top = weights.copy(), np.empty_like(weights), 2 ** (bits - 1)
    for i in range(left.shape[1]):
        if i % group == 0:
            step = (np.abs(left[:, i : i + group]).max(1) / (top - 0.5)).astype(np.float16)
        made[:, i] = step * np.clip(np.rint(left[:, i] / step), -top, top - 1)
        lost = (left[:, i] - made[:, i]) / upper[i, i]
        left[:, i + 1 :] -= np.outer(lost, upper[i, i + 1 :])
    return made


# %% [markdown] lang="en"
"""
With a U of nothing but ones on the diagonal no error is handed on: the same eight lines then round to nearest.
That is our fair rival, with the same codes and the same kind of scales.

Before you look:
"""

# %% [markdown] lang="zh"
"""
如果 U 只有对角线上的 1，误差就不往下传，同样这八行就成了普通的四舍五入。
拿它当对手很公平：码一样多，缩放系数也是同一种。

看结果之前：
"""

# %%
ask("quantization-inside.gptq")

# %%
nearest = gptq(weights, np.eye(len(upper), dtype=np.float32))
ours = gptq(weights, upper)

# %% varies="digits differ with the weights"
print("            weights  outputs")
for name, made in (("nearest", nearest), ("GPTQ", ours)):
    print(f"{name:10}{error(made):9.2%}{error(fresh @ made.T, exact):9.2%}")

# %%
print("weights further away:", error(ours) > error(nearest))
outputs = {
    name: error(fresh @ made.T, exact) for name, made in (("nearest", nearest), ("GPTQ", ours))
}
print("outputs much closer:", outputs["GPTQ"] < 0.75 * outputs["nearest"])

# %% [markdown] lang="en"
"""
The outputs are on texts that GPTQ has **not** seen: `fresh` is from the held-out half of the corpus.
Measured on the calibration texts it would look better still, and prove less.

The version in labkit hands errors on in groups, which is much faster on large layers.
It comes to the same codes, but for a rounding on the edge now and then:
"""

# %% [markdown] lang="zh"
"""
这里的输出误差是在 GPTQ **没见过**的文本上量的：`fresh` 来自语料里留出的那一半。
在校准文本上量，会更好看，却更没有说服力。

labkit 里的版本按组传递误差，层很大的时候快得多。
得到的码是一样的，除了偶尔有几个正好卡在边上：
"""

# %%
from labkit.quantization.gptq import dequantize_gptq, measure_hessian, quantize_gptq

theirs = dequantize_gptq(quantize_gptq(weights, measure_hessian(inputs), bits=4, group_size=64))
print("same:", np.isclose(theirs, ours).mean() > 0.99)

# %% [markdown] lang="en"
"""
In 8 bits it works just as well, on errors that are seventeen times smaller to begin with:
"""

# %% [markdown] lang="zh"
"""
8 位时同样管用，只不过误差本来就小到十七分之一：
"""

# %% varies="digits differ with the weights"
for name, u in (("nearest", np.eye(len(upper), dtype=np.float32)), ("GPTQ", upper)):
    print(f"{name:10}{error(fresh @ gptq(weights, u, bits=8).T, exact):9.3%}")

# %%
print("smaller:", error(fresh @ gptq(weights, upper, bits=8).T, exact) < outputs["GPTQ"] / 10)

# %% [markdown] lang="en"
"""
## Recap

- Quantizing is: a block of weights, a scale, whole numbers. Reading is: subtract the offset, multiply by the scale.
- Bits per weight = bits of a code + bits of the scales ÷ weights that share them. Q4_0 4.5, Q5_0 5.5, Q8_0 8.5, NF4 4.5.
- A bit less doubles the error; a smaller block lowers it, and costs scales.
- NF4's levels fit the bell curve; Q4_0's smaller blocks fit the weights still better at the same 4.5 bits. Double quantization takes NF4 to 4.13.
- One large number spoils the scale for all that share it. Hence blocks; hence outlier columns kept in 16 bits.
- GPTQ moves weights *away* from their old values so that the outputs stay close. It needs sample texts, and is as good as they are like yours.
- K-quants (`Q4_K_M`) are the first idea once more: scales and minimums of 6 bits, a scale for each of the two kinds, and more bits where it hurts (lesson [[choose-a-model]]).
"""

# %% [markdown] lang="zh"
"""
## 小结

- 量化就是：一块权重，一个缩放系数，一串整数。读回来就是：减去偏移，乘以缩放系数。
- 每个权重的位数 = 码的位数 + 缩放系数的位数 ÷ 合用它的权重个数。Q4_0 是 4.5，Q5_0 是 5.5，Q8_0 是 8.5，NF4 是 4.5。
- 少一位，误差翻一倍；块小一些，误差也小一些，但缩放系数要多占地方。
- NF4 的档位贴合钟形分布；可同样是 4.5 位，Q4_0 靠更小的块，贴得更近。双重量化能让 NF4 降到 4.13 位。
- 一个特别大的数，会连累所有跟它合用缩放系数的数。所以要分块，所以离群的列要留在 16 位。
- GPTQ 让权重*远离*原来的值，好让输出贴近原来的输出。它要用样本文本，样本越像你的真实用途，效果越好。
- K 量化（`Q4_K_M`）还是第一个思路，再进一步：缩放系数和最小值都用 6 位存，各自再配一个缩放系数，最经不起误差的地方多给几位（第 [[choose-a-model]] 课）。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** Read llama.cpp's bytes back.
`blocks4` has one block a row: 18 bytes.
Give the weights, float32, 32 a row.
The check asks the `gguf` package.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 把 llama.cpp 的字节读回来。
`blocks4` 一行是一块，18 字节。
请还原成 float32 的权重，一行 32 个。
检查时会和 `gguf` 包的结果对照。
"""

# %%
blocks4 = read_tensor("Q4_0").data.reshape(-1, 18)
blocks4.shape


# %% exercise="read-q4-0"
def read_q4_0(blocks4):
    ### BEGIN SOLUTION
    d = np.ascontiguousarray(blocks4[:, :2]).view(np.float16).astype(np.float32)
    codes = np.hstack([blocks4[:, 2:] & 15, blocks4[:, 2:] >> 4])
    return d * (codes.astype(np.float32) - 8)
    ### END SOLUTION


# %% check="read-q4-0" points=1
from gguf import GGMLQuantizationType, dequantize

from labkit import course


def judge_read(made):
    right = dequantize(blocks4, GGMLQuantizationType.Q4_0)
    if made.shape != right.shape:
        return t(f"The shape is {made.shape}.", f"形状成了 {made.shape}。")
    wrong = int((made != right).any(0).sum())
    return not wrong or t(f"{wrong} of 32 places differ.", f"32 个位置里有 {wrong} 个不对。")


course.check("quantization-inside.read-q4-0", read_q4_0(blocks4), judge_read)

# %% [markdown] lang="en"
"""
**2.** Write Q8_0: for each block of 32 weights d = largest size / 127; the codes are weight × (1 / d), rounded (halves away from zero), with d still in float32.
Stored are d as float16, then the 32 codes as signed bytes: 34 bytes (uint8) a row.
The check compares with llama.cpp's file.
"""

# %% [markdown] lang="zh"
"""
**2.** 写出 Q8_0：每块 32 个权重，d = 最大绝对值 / 127；码是 weight × (1 / d) 四舍五入（正好一半时，往远离零的方向进），这时 d 还是 float32。
存的时候，先是 float16 的 d，再是 32 个有符号字节，一行一共 34 字节（uint8）。
检查时会和 llama.cpp 的文件对照。
"""


# %% exercise="q8-0"
def q8_0(weights):
    ### BEGIN SOLUTION
    rows = weights.reshape(-1, 32)
    d = np.abs(rows).max(1, keepdims=True) / np.float32(127)
    steps = rows * (1 / d)
    codes = np.trunc(steps + np.copysign(np.float32(0.5), steps)).astype(np.int8)
    return np.hstack([d.astype(np.float16).view(np.uint8), codes.view(np.uint8)])
    ### END SOLUTION


# %% check="q8-0" points=2
def judge_q8_0(made):
    right = read_tensor("Q8_0").data.reshape(-1, 34)
    if made.shape != right.shape or made.dtype != np.uint8:
        return t(
            f"{made.dtype} of shape {made.shape}.", f"现在是 {made.dtype}，形状 {made.shape}。"
        )
    wrong = made != right
    if wrong[:, :2].any():
        return t("The scales differ.", "缩放系数不对。")
    share = f"{wrong.mean():.3%}"
    return not wrong.any() or t(f"{share} of the bytes differ.", f"有 {share} 的字节不一样。")


course.check("quantization-inside.q8-0", q8_0(weights), judge_q8_0)

# %% [markdown] lang="en"
"""
**3.** How many bits a weight does NF4 with double quantization take?
Codes of 4 bits; for each 64 weights a code of 8 bits; for each 256 of these a scale of 32.
The check adds up the bytes of what bitsandbytes has made.
"""

# %% [markdown] lang="zh"
"""
**3.** NF4 加双重量化，每个权重占几位？
码 4 位；每 64 个权重有一个 8 位的码；每 256 个这样的码再有一个 32 位的缩放系数。
检查时会把 bitsandbytes 实际生成的字节加起来对照。
"""

# %% exercise="double-bits"
double_bits = None
### BEGIN SOLUTION
double_bits = 4 + 8 / 64 + 32 / (64 * 256)
### END SOLUTION

# %% check="double-bits" points=1
parts = (packed2, state2.absmax, state2.state2.absmax)
measured = 8 * sum(part.nbytes for part in parts) / weights.size
course.check("quantization-inside.double-bits", double_bits, measured, tolerance=1e-4)

# %% [markdown] lang="en"
"""
**4.** Without a check: calibrate GPTQ on one skill only, say `held_out("sums", 60, seed=1)`, and measure on another.
How much of the gain is left?
That is what happens when you fetch a GPTQ model calibrated on English web pages and talk Chinese with it.
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：只用一种技能来校准 GPTQ，比如 `held_out("sums", 60, seed=1)`，再到另一种技能上去量。
好处还剩多少？
下载一个用英文网页校准的 GPTQ 模型，拿来说中文，遇到的就是这种事。
"""

# %% [markdown] lang="en"
"""
## On real models

Change the line `MODEL = …`.
The layer has the same name in Llama, Qwen2, Mistral and Yi.
What it downloads once, and what it takes here in float32:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

改 `MODEL = …` 那一行。
Llama、Qwen2、Mistral、Yi 里，这一层都叫同一个名字。
下载多少（只下一次）、在这里以 float32 加载要多少内存：
"""

# %%
from labkit.catalog import find
from labkit.core.units import show_bytes

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B"):
    real = find(name)
    print(real.huggingface, show_bytes(2 * real.parameters), show_bytes(4 * real.parameters))

# %% [markdown] lang="en"
"""
For a 7B cut the matrix right after the int8 part, `weights = weights[:256]` and `exact = exact[:, :256]`, and write `error(made, weights)`: rows do not know of each other, and the loop takes a minute instead of an hour.
What real models lose as a whole, with published figures, is lesson [[quantization-lab]].
"""

# %% [markdown] lang="zh"
"""
7B 的话，int8 那一节之后就把矩阵截短：`weights = weights[:256]`、`exact = exact[:, :256]`，并改用 `error(made, weights)`：行与行互不相干，循环从一小时缩短到一分钟。
真实模型整体损失多少、公开发表的数字是多少，见第 [[quantization-lab]] 课。
"""
