# %% [markdown] lang="en"
"""
# QLoRA: train on a base model of four bits, and carry the result elsewhere

**You will be able to** count what NF4 and double quantization save, to the byte; see which tokens a training learns from; recognise four common mistakes by what they do; switch adapters on, off and on top of each other; merge them the right way and run the result in llama.cpp.

**You will learn** how one can train through weights of 4 bits although they never change, why a model must learn to stop, and why a merged QLoRA adapter is not quite what was trained.

**You need** about 60 minutes, two CPU cores, 1.5 GiB of free memory.
Download: 0.
Do lesson [[lora]] first; lesson [[quantization-inside]] explains NF4.
"""

# %% [markdown] lang="zh"
"""
# QLoRA：在四位的基座上训练，再把成果带到别处

**学完你能**把 NF4 和双重量化省下的空间算到一个字节不差；看清训练到底在学哪些词元；凭症状认出四种常见错误；把适配器打开、关上、叠起来；用对的方式合并，再拿到 llama.cpp 里运行。

**你会明白**4 位的权重明明不动，为什么还能隔着它训练；为什么模型必须学会停下来；为什么 QLoRA 适配器合并之后，和训练时的模型不完全一样。

**需要准备**大约 60 分钟，两个 CPU 核心，1.5 GiB 空闲内存。
下载量：0。
请先学第 [[lora]] 课；NF4 的原理在第 [[quantization-inside]] 课。
"""

# %% [markdown] lang="en"
"""
## What four bits save

LoRA trains little, but the frozen base model still lies in memory with 16 bits a weight.
**QLoRA** (Dettmers et al., May 2023, arXiv 2305.14314) keeps it with 4.
We load the same base model twice, with and without double quantization:
"""

# %% [markdown] lang="zh"
"""
## 四位省下多少

LoRA 训练的东西很少，可冻结的基座还在内存里，每个权重 16 位。
**QLoRA**（Dettmers 等，2023 年 5 月，arXiv 2305.14314）只给它 4 位。
同一个基座加载两次，一次不用双重量化，一次用：
"""

# %%
import labkit as lab
from labkit.finetuning.lora import load_base

MODEL = "pocket/qwen2.5"
bases = {quant: load_base(MODEL, quant=quant) for quant in ("nf4", "nf4-double")}
print(bases["nf4"].note)

# %% [markdown] lang="en"
"""
What belongs to a matrix of 4 bits: the codes, two to a byte; the scales, one for 64 weights; with double quantization the scales in 8 bits and *their* scales.
"""

# %% [markdown] lang="zh"
"""
一个 4 位矩阵由这些组成：码，两个一字节；缩放系数，每 64 个权重一个；用了双重量化，缩放系数变成 8 位，另加*它们的*缩放系数。
"""

# %%
LAYER = "model.layers.1.mlp.gate_proj"


def parts(linear):
    state = linear.weight.quant_state
    more = state.state2.absmax.nbytes if state.nested else 0
    return linear.weight.nbytes, state.absmax.nbytes, more


for quant, base in bases.items():
    print(f"{quant:11}", parts(base.model.get_submodule(LAYER)))

# %% [markdown] lang="en"
"""
And for all matrices of the model:
"""

# %% [markdown] lang="zh"
"""
整个模型的矩阵加起来：
"""

# %%
for quant, base in bases.items():
    linears = [m for m in base.model.modules() if hasattr(m, "quant_state")]
    weights = sum(m.in_features * m.out_features for m in linears)
    size = sum(sum(parts(m)) for m in linears)
    print(f"{quant:11}{weights:>10,}{size:>10,} B {8 * size / weights:.3f} bits")

# %% [markdown] lang="en"
"""
4.5 bits, and 4.127 with double quantization: what lesson [[quantization-inside]] counted by hand.
Embedding, norms and biases stay as they are.
For real models:
"""

# %% [markdown] lang="zh"
"""
4.5 位，加上双重量化是 4.127 位，和第 [[quantization-inside]] 课手算的一样。
嵌入、归一化和偏置保持原样。
放到真实模型上：
"""

# %%
from labkit.core.tables import Table
from labkit.core.units import show_bytes

FORMATS = ("bf16", "nf4", "nf4-double")
rows = []
for name in ("Qwen2.5-0.5B", "Qwen2.5-7B", "Qwen2.5-72B"):
    sizes = [lab.estimate(name, quant=quant, context=1024).weights for quant in FORMATS]
    rows.append((name, *map(show_bytes, sizes)))
Table(("", *FORMATS), rows)

# %% [markdown] lang="en"
"""
The small model gains less: much of it is the embedding, which stays in 16 bits.

## How one trains through it

For each use the 4 bits are turned back into a matrix, and thrown away after.
Around it runs the side road of lesson [[lora]]:
"""

# %% [markdown] lang="zh"
"""
小模型省得少一些：它有很大一部分是嵌入，而嵌入仍是 16 位。

## 隔着四位怎么训练

每次要用，就把 4 位还原成矩阵，用完就扔。
旁边走的还是第 [[lora]] 课的那条辅路：
"""

# %%
import torch
from bitsandbytes.functional import dequantize_4bit

from labkit.finetuning.lora import add_lora

base = bases["nf4-double"]
add_lora(base, rank=16, alpha=32)
layer = base.model.get_submodule(f"base_model.model.{LAYER}")
frozen = layer.base_layer.weight
W = dequantize_4bit(frozen.data, frozen.quant_state)
A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
torch.manual_seed(0)
_ = torch.nn.init.normal_(B, std=0.02)

# %%
x = torch.randn(4, layer.in_features, requires_grad=True)
by_hand = x @ W.T + 32 / 16 * (x @ A.T) @ B.T
print("the same:", bool((layer(x) - by_hand).abs().max() < 1e-5))

# %%
layer(x).sum().backward()
for name, p in [("x", x), *layer.named_parameters()]:
    print(f"{name:25}{str(p.dtype)[6:]:9} {'–' if p.grad is None else tuple(p.grad.shape)}")

# %% [markdown] lang="en"
"""
The gradient passes *through* the frozen matrix, to x and so to the layers before; the matrix itself gets none.
A and B are in 32 bits, so that small steps are not lost.
That is all of QLoRA; what it costs is turning the matrices back, again and again.
"""

# %% [markdown] lang="zh"
"""
梯度*穿过*冻结的矩阵传给 x，再传到前面的层；矩阵自己没有梯度。
A 和 B 用 32 位，小小的步子才不会丢。
QLoRA 就是这么回事；代价是矩阵要一遍又一遍地还原。
"""

# %% [markdown] lang="en"
"""
## What is learnt: the label mask

A conversation becomes one row of tokens.
The model shall learn the answer, not the question.
So every token gets a **label**: itself where it is to be learnt, -100 where not; the loss passes over -100.
How much is learnt?
"""

# %% [markdown] lang="zh"
"""
## 学的是什么：标签掩码

一段对话变成一行词元。
要学的是回答，不是问题。
所以每个词元都有一个**标签**：要学的，标签就是它自己；不学的，标签是 -100，算损失时跳过。
要学的占多少？
"""

# %%
from labkit.widgets.prediction import ask

ask("qlora.mask")

# %%
from labkit.finetuning.dataset import encode_samples, label_table
from labkit.finetuning.tasks import load_task

task = load_task("clinic")
plain = load_base(MODEL)
right = encode_samples(plain, task.train, "train")
label_table(plain, right[1])

# %%
read = sum(len(sample.ids) for sample in right)
learnt = sum(label != -100 for sample in right for label in sample.labels)
print(f"{learnt / read:.0%}")

# %% [markdown] lang="en"
"""
Look at the end: `<|im_end|>` is learnt, too.
It is a token like any other, and a model that was never shown it does not know when to stop.

### The first and the last token

Every family marks beginning and end in its own way; both must be there exactly once.
That is quickly checked, and worth checking before every training:
"""

# %% [markdown] lang="zh"
"""
看末尾：`<|im_end|>` 也要学。
它和别的词元没有两样，没见过它的模型就不知道什么时候该停。

### 第一个和最后一个词元

每个家族标记开头和结尾的方式不同，但都必须有，而且只能有一次。
检查起来很快，每次训练前都值得做：
"""

# %%
from labkit.finetuning.dataset import encode_sample

for name in ("qwen2.5", "llama3", "mistral", "deepseek-v2"):
    m = lab.load(f"pocket/{name}")
    sample = encode_sample(m, task.train[1])
    ends = [id for id, label in zip(sample.ids, sample.labels, strict=True) if label in m.stop_ids]
    bos = m.tokenizer.bos_token_id
    begins = "–" if bos is None else sample.ids.count(bos)
    print(f"{name:12}{m.tokenizer.decode(sample.ids[:1]):22} {begins}  "
          f"{m.tokenizer.decode(ends):24} {len(ends)}")  # fmt: skip

# %% [markdown] lang="en"
"""
Qwen has no token for the beginning of a text, hence "–".
The usual slip with the others: the template writes the first token, and the tokenizer, as Llama's does by default, puts another before it.
Text from a template is tokenized with `add_special_tokens=False`.
"""

# %% [markdown] lang="zh"
"""
Qwen 没有表示文本开头的词元，所以是“–”。
别的家族常见的疏忽是：模板已经写了开头词元，分词器又自动加一个，Llama 的分词器默认就会这样。
模板生成的文本，分词时要写 `add_special_tokens=False`。
"""

# %% [markdown] lang="en"
"""
## The training

The same data, seed and 450 steps as in lesson [[lora]], and its two results beside it.
If you have run that lesson, they are found again and not repeated.
"""

# %% [markdown] lang="zh"
"""
## 训练

数据、种子和 450 步都同第 [[lora]] 课一样，再把那一课的两个结果放在旁边。
那一课跑过的话，会直接找到，不再重做。
"""

# %% varies="times and memory of this machine, a result on the edge"
clinic = lab.finetune(MODEL, task, "qlora", reuse=True)
clinic

# %% varies="times and memory of this machine, a result on the edge"
from labkit.finetuning.report import MethodComparison as Comparison

full, lora = (lab.finetune(MODEL, task, method, reuse=True) for method in ("full", "lora"))
compared = Comparison((full, lora, clinic))
compared

# %%
print("learnt:", clinic.exact_match_after > 0.7)
print("as many numbers trained:", clinic.trainable_parameters == lora.trainable_parameters)
print("less memory foreseen:", clinic.predicted_memory < lora.predicted_memory)

# %% varies="a result on the edge"
from labkit.plots.methods import draw_methods

draw_methods(compared)

# %% [markdown] lang="en"
"""
## Three mistakes

labkit guards you against them.
So here is a training without guards: 100 steps of plain LoRA on samples as you give them.
First as it should be:
"""

# %% [markdown] lang="zh"
"""
## 三个错误

labkit 会替你防着它们。
所以这里换一个不设防的训练：给什么样本就学什么，普通 LoRA 走 100 步。
先看正确的：
"""

# %%
from labkit.finetuning.experiment import exact_match, train_on

watched = encode_samples(plain, task.validation, "validation")
SHORT = {"steps": 100, "evaluate_every": 100, "reuse": True}


# %%
from labkit.conversation.chat_templates import encode_chat
from labkit.engines import Sampling


def show_answers(model, count=4):
    for item in task.test[:count]:
        question, answer = item.messages
        ids = model.generate(encode_chat(model, [question], None), Sampling(max_new_tokens=16))
        said = "".join(model.decode(ids, special=True))
        print(f"{answer['content']:8}{said!r}")


# %% varies="answers after a short training"
scores = {}
model = train_on(MODEL, right, watched, **SHORT)
scores["right"] = exact_match(model, task.test)
show_answers(model)
scores["right"]

# %% [markdown] lang="en"
"""
### The end is never learnt

Batches are padded, and padding must not be learnt.
Many recipes set `pad = eos` and then mask every pad token.
Look at the `<|im_end|>` tokens of one sample, as Transformers' own collator labels them then:
"""

# %% [markdown] lang="zh"
"""
### 结尾从没学过

一批样本要补齐到一样长，补上去的不能学。
很多教程写 `pad = eos`，再把所有 pad 词元盖掉。
看看这时 Transformers 自带的 collator 给一条样本里的 `<|im_end|>` 打了什么标签：
"""

# %%
from copy import copy

from transformers import DataCollatorForLanguageModeling

tokenizer = copy(plain.tokenizer)
tokenizer.pad_token = tokenizer.eos_token
collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
batch = collator([{"input_ids": list(sample.ids)} for sample in right[:2]])
for id, label in zip(batch["input_ids"][1].tolist(), batch["labels"][1].tolist(), strict=True):
    if id == tokenizer.eos_token_id:
        print(tokenizer.decode([id]), label)

# %% [markdown] lang="en"
"""
Not only the padding: every real end, too.
What will a model do that is trained so?
"""

# %% [markdown] lang="zh"
"""
盖掉的不只是补齐的部分，真正的结尾也全盖掉了。
这样训练出来的模型会怎样？
"""

# %%
ask("qlora.end")

# %%
from dataclasses import replace


def without_end(sample):
    labels = [-100 if label == tokenizer.eos_token_id else label for label in sample.labels]
    return replace(sample, labels=tuple(labels))


# %% varies="answers after a short training"
model = train_on(MODEL, [without_end(sample) for sample in right], watched, **SHORT)
scores["no end"] = exact_match(model, task.test)
show_answers(model)
scores["no end"]

# %% [markdown] lang="en"
"""
It gives the right word and runs on.
The base could stop; 100 steps in which stopping never counted were enough to lose it.
The cure: a pad token of its own, or padding told by its place in the batch, as labkit does.

### Loss on the prompt

Without a mask the question is learnt as well:
"""

# %% [markdown] lang="zh"
"""
词说对了，却停不下来。
基座本来是会停的；100 步里“停”从没算过分，就丢了。
办法：用单独的 pad 词元，或者像 labkit 这样，按位置而不是按词元来认补齐的部分。

### 连问题也学

不加掩码，问题也会被当成要学的内容：
"""

# %% varies="answers after a short training"
model = train_on(MODEL, [replace(sample, labels=sample.ids) for sample in right], watched, **SHORT)
scores["prompt"] = exact_match(model, task.test)
show_answers(model)
scores["prompt"]

# %% [markdown] lang="en"
"""
Most of the gradient now goes into guessing patients, which nobody can guess.
With short answers, as here, that is ruinous; where answers are much longer than questions it matters little.

### The wrong template

A favourite of older recipes is a format of one's own instead of the model's template.
Trained with this, asked with its own:
"""

# %% [markdown] lang="zh"
"""
大部分梯度都花在猜病人上了，而这是没法猜的。
像这里，回答很短，后果就很严重；回答比问题长得多时，影响不大。

### 模板不对

老教程常自己定一种格式，不用模型自己的模板。
用这种格式训练，再用模型自己的模板来问：
"""

# %%
OTHER = (
    "{% for m in messages %}### {{ m.role }}:\n{{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant:\n{% endif %}"
)
other = copy(plain)
other.chat_template = OTHER
wrong = encode_samples(other, task.train, "train")
print(plain.tokenizer.decode(wrong[1].ids))

# %% varies="answers after a short training"
model = train_on(MODEL, wrong, watched, **SHORT)
scores["template"] = exact_match(model, task.test)
show_answers(model)
scores["template"]

# %% [markdown] lang="en"
"""
Was nothing learnt?
Ask it in the format of its training:
"""

# %% [markdown] lang="zh"
"""
难道什么也没学到？
换成训练时的格式再问：
"""

# %% varies="answers after a short training"
from labkit.evaluation.scoring import answers

said = list(answers(model.model, model.tokenizer, task.test, chat_template=OTHER))
scores["template, asked alike"] = sum(a == b for a, b in said) / len(said)
scores["template, asked alike"]

# %% [markdown] lang="en"
"""
It was learnt, under another address.
In practice the asking side is a server that uses the template in the model's folder; so train with that one.
"""

# %% [markdown] lang="zh"
"""
学是学到了，只是“地址”不对。
实际使用时，提问的是服务程序，它用的是模型文件夹里的模板，所以训练也得用那一个。
"""

# %% varies="answers after a short training"
from labkit.core.i18n import t
from labkit.plots import draw_bars

NAMES = {
    "right": t("as it should be", "正确的做法"),
    "no end": t("end not learnt", "结尾没学"),
    "prompt": t("loss on the prompt", "连问题也学"),
    "template": t("wrong template", "模板不对"),
    "template, asked alike": t("the same, asked alike", "同上，用训练时的格式问"),
}
draw_bars(
    {NAMES[name]: share for name, share in scores.items()},
    title=t("Right answers after 100 steps", "100 步之后答对的比例"),
    show="{:.0%}".format,
)

# %%
worse = {name: scores[name] < scores["right"] - 0.15 for name in ("no end", "prompt", "template")}
print(worse)
print("asked alike is better:", scores["template, asked alike"] > scores["template"])

# %% [markdown] lang="en"
"""
## On, off, and stacked

An adapter is a small file beside the base.
One base can carry several: here the clinic, and a ship's captain, whose form of speech is a task of its own.
"""

# %% [markdown] lang="zh"
"""
## 打开、关上、叠起来

适配器只是基座旁边的一个小文件，一个基座可以挂好几个。
这里挂两个：诊所，还有一位船长，他说话的腔调是另一个任务。
"""

# %% varies="times of this machine, a result on the edge"
options = {"steps": 150, "evaluate_every": 75, "measure_memory": False}
captain = lab.finetune(MODEL, "captain", "qlora", reuse=True, **options)
captain

# %%
from labkit.finetuning.lora import adapter_names, load_adapter, switch_adapters

model = load_base(MODEL, quant="nf4-double")
load_adapter(model, clinic.folder, "clinic")
load_adapter(model, captain.folder, "captain")
adapter_names(model)

# %% varies="answers of a tuned model"
asked = {"clinic": task.test[:40], "captain": load_task("captain").test[:40]}
scores = {}
for names in ((), ("clinic",), ("captain",), ("clinic", "captain")):
    switch_adapters(model, *names)
    scores[names] = [exact_match(model, items) for items in asked.values()]
    print(f"{' + '.join(names) or '–':18}", *(f"{share:6.0%}" for share in scores[names]))

# %%
alone = scores[("clinic",)][0], scores[("captain",)][1]
print("each alone:", min(alone) >= 0.9)
print("off, neither:", max(scores[()]) < 0.1)
both = scores[("clinic", "captain")]
print("stacked, worse than each alone:", both[0] < alone[0], both[1] < alone[1])

# %% [markdown] lang="en"
"""
Alone, each does its work, and with both off the old model is there.
Stacked, their changes add up in the same matrices, and neither had known the other: the captain's form falls apart, and the triage suffers.
Adapters are for switching.
If one model shall do both, train one adapter on both tasks.
"""

# %% [markdown] lang="zh"
"""
单独用，各司其职；全关掉，就是原来的模型。
叠在一起，两边的改动加在同样的矩阵上，而训练时谁也没见过谁：船长的腔调散了架，分诊也受了连累。
适配器是用来切换的。
想让一个模型两样都会，就用两个任务的样本训练一个适配器。
"""

# %% [markdown] lang="en"
"""
## Merging, and the fourth mistake

To hand the model on as one piece, B·A is added into the weights.
But into which?
The adapter was trained on top of the 4 bits.
Three ways: into the **original** 16-bit base; into the **dequantized** one, which is what the 4 bits stand for; into the **4 bits** themselves.
Which comes nearest to what was trained?
"""

# %% [markdown] lang="zh"
"""
## 合并，以及第四个错误

要把模型作为一个整体交出去，就得把 B·A 加进权重里。
加进哪一份？
适配器是在 4 位权重上训练的。
有三种做法：加进**原来的** 16 位基座；加进**反量化**的基座，也就是那 4 位所代表的值；直接加进 **4 位**本身。
哪一种最接近训练时的模型？
"""

# %%
ask("qlora.merge")

# %% varies="losses of a training"
from labkit.finetuning.merging import compare_merges

merges = compare_merges(clinic.folder, MODEL, task)
merges

# %%
loss = {row.into: row.loss for row in merges.rows}
print("dequantized is what was trained:", abs(loss["dequantized"] / loss[None] - 1) < 1e-3)
print("4 bits have the highest loss:", loss["quantized"] == max(loss.values()))

# %% [markdown] lang="en"
"""
The dequantized base gives what was trained.
The original one differs a little, in either direction: it is the better base, but not the one the adapter knew.
The 4 bits have the highest loss, for the sum was rounded once more.
That they are all so close here has a reason: our high learning rate made a large change, and half a step of 4 bits is small beside it.
The smaller the change, the more of it is lost in the rounding.
So merge into 16 bits, and measure what came out.
"""

# %% [markdown] lang="zh"
"""
合进反量化的基座，得到的就是训练时的模型。
原来的基座略有出入，可能好一点，也可能差一点：它是更好的基座，却不是适配器见过的那一个。
4 位的损失最高，因为加完又舍入了一次。
这里几种都很接近，是有原因的：学习率高，改动就大，和它相比，4 位的半步不算什么。
改动越小，舍入时丢掉的比例就越大。
所以要合进 16 位，合完量一量。
"""

# %% [markdown] lang="en"
"""
## Into llama.cpp

Merged, it is an ordinary model, and goes the way of every model: folder, GGUF, llama.cpp.
Do both engines give the same answers?
"""

# %% [markdown] lang="zh"
"""
## 带到 llama.cpp

合并之后就是一个普通的模型，走普通模型的路：文件夹、GGUF、llama.cpp。
两个引擎给出的回答一样吗？
"""

# %%
from labkit.conversation.session import Chat
from labkit.core.cache import cache_folder
from labkit.finetuning.merging import merge

folder = merge(clinic.folder, MODEL, cache_folder() / "finetune" / "clinic-merged")
for file in sorted(folder.iterdir()):
    print(f"{file.stat().st_size:>12,}  {file.name}")


# %%
def answer_all(model, count=24):
    said = []
    for item in task.test[:count]:
        said.append(str(Chat(model)(item.messages[0]["content"])))
    return said


in_python = answer_all(lab.load(folder))
in_llama = answer_all(lab.load(folder, "llama.cpp"))
print("the same:", sum(a == b for a, b in zip(in_python, in_llama, strict=True)) >= 23)

# %% [markdown] lang="en"
"""
Or not merged at all: llama.cpp puts a LoRA on a base by itself.
The adapter becomes a GGUF file of its own, and the base stays one file for all of them.
"""

# %% [markdown] lang="zh"
"""
也可以不合并：llama.cpp 自己就能把 LoRA 挂到基座上。
适配器单独做成一个 GGUF 文件，基座还是那一个，谁都能用。
"""

# %%
from labkit.exports.lora_gguf import write_lora_gguf
from labkit.gguf.files import gguf_for

file = write_lora_gguf(clinic.folder, MODEL, cache_folder() / "finetune" / "clinic-lora.gguf")
gguf = gguf_for(plain.location.path, "F16")
print(f"{gguf.stat().st_size:,}  {file.stat().st_size:,}")

# %%
from llama_cpp import Llama

llama = Llama(str(gguf), lora_path=str(file), n_ctx=256, verbose=False)
put_on = []
for item in task.test[:24]:
    reply = llama.create_chat_completion([item.messages[0]], temperature=0, max_tokens=16)
    put_on.append(reply["choices"][0]["message"]["content"].strip())
print("the same:", sum(a == b for a, b in zip(in_llama, put_on, strict=True)) >= 23)

# %% [markdown] lang="en"
"""
## Recap

- QLoRA is LoRA over a base of 4 bits: 4.127 bits a weight with double quantization. The matrices are turned back for each use; gradients pass through them, and they never change.
- Only labels are learnt. Look at them once, token by token, before every training: the answer and its end, nothing else.
- The end must be learnt, the question need not, and the template must be the one that will be used.
- An adapter can be switched off without a trace. Two at once get in each other's way: switch, or train one on both tasks.
- Merge into 16 bits, never into 4, and measure what came out. llama.cpp takes both, merged models and adapters.
"""

# %% [markdown] lang="zh"
"""
## 小结

- QLoRA 就是基座只占 4 位的 LoRA：用双重量化，每个权重 4.127 位。矩阵每次用时还原；梯度穿过它，它自己从不改变。
- 模型只学标签。每次训练前都逐个词元看一眼：回答和它的结尾，别的都不要。
- 结尾一定要学，问题不必学，模板必须是将来要用的那一个。
- 适配器一关，不留痕迹。两个同时打开会互相干扰：要么切换，要么用两个任务训练一个。
- 合并要合进 16 位，别合进 4 位，合完要量一量。合并好的模型和单独的适配器，llama.cpp 都能用。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** How many bytes do the weights of Qwen2.5-7B take under QLoRA?
`linear` of them are quantized (NF4, double), `rest` stay in 16 bits.
The check asks `lab.estimate`, which counts tensor by tensor.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 用 QLoRA 时，Qwen2.5-7B 的权重占多少字节？
其中 `linear` 个量化（NF4，双重量化），`rest` 个仍是 16 位。
检查时会去问 `lab.estimate`，它是逐个张量算的。
"""

# %%
from math import prod

from labkit.architecture.tensors import list_tensors
from labkit.estimation.transformers_weights import is_linear
from labkit.hub.resolver import resolve as find_source

tensors = [x for x in list_tensors(find_source("Qwen2.5-7B").architecture) if not x.buffer]
linear = sum(prod(x.shape) * x.copies for x in tensors if is_linear(x))
rest = sum(prod(x.shape) * x.copies for x in tensors if not is_linear(x))
print(f"{linear:,}  {rest:,}")

# %% exercise="base-bytes"
base_bytes = None
### BEGIN SOLUTION
base_bytes = linear * (4 + 8 / 64 + 32 / (64 * 256)) / 8 + rest * 2
### END SOLUTION

# %% check="base-bytes" points=1
from labkit import course

counted = lab.estimate("Qwen2.5-7B", train="qlora").weights
course.check("qlora.base-bytes", base_bytes, counted, tolerance=0.005)

# %% [markdown] lang="en"
"""
**2.** Write the mask: from the ids of a conversation with one question, make the labels.
In Qwen's format the answer begins behind the **second** `<|im_start|>`, after two more tokens that spell `assistant`, and a line break. -100 up to there, the ids from there on.
The check compares with 100 samples of labkit.
"""

# %% [markdown] lang="zh"
"""
**2.** 写出掩码：由一问一答的词元编号得到标签。
在 Qwen 的格式里，回答从**第二个** `<|im_start|>` 之后开始，中间还隔着拼成 `assistant` 的两个词元和一个换行。
这之前都是 -100，从这里起是编号本身。
检查时会和 labkit 的 100 个样本对照。
"""

# %%
START = plain.tokenizer.convert_tokens_to_ids("<|im_start|>")
print(START, [plain.tokenizer.decode(id) for id in right[1].ids if id][-8:])


# %% exercise="mask"
def mask(ids):
    ### BEGIN SOLUTION
    second = ids.index(START, ids.index(START) + 1)
    begin = second + 4
    return [-100] * begin + list(ids[begin:])
    ### END SOLUTION


# %% check="mask" points=2
def judge_mask(made):
    for number, (labels, sample) in enumerate(zip(made, right[:100], strict=True)):
        if len(labels) != len(sample.labels):
            lengths = f"{len(labels)}, {len(sample.labels)}"
            return t(f"Sample {number}: lengths {lengths}.", f"样本 {number}：长度 {lengths}。")
        if list(labels) != list(sample.labels):
            pairs = zip(labels, sample.labels, strict=True)
            place = next(n for n, (a, b) in enumerate(pairs) if a != b)
            return t(f"Sample {number} differs at token {place}.", f"样本 {number} 从词元 {place} 起不对。")  # fmt: skip
    return True


made = [mask(list(sample.ids)) for sample in right[:100]]
course.check("qlora.mask", None if None in made or ... in made else made, judge_mask)

# %% [markdown] lang="en"
"""
**3.** Be the doctor.
Three trainings went wrong or right, and all you have is one sample of each.
Look at the labels with `label_table(plain, suspects[0])` and answer with three of the words "right", "end", "prompt": what is wrong, in order.
The check looks at the samples themselves.
"""

# %% [markdown] lang="zh"
"""
**3.** 当一回医生。
三次训练有对有错，手里只有每次的一个样本。
用 `label_table(plain, suspects[0])` 看标签，按顺序写出三个词，从 "right"（没错）、"end"（结尾没学）、"prompt"（学了问题）里选。
检查时会直接看样本。
"""

# %%
import random

suspects = [without_end(right[3]), right[4], replace(right[5], labels=right[5].ids)]
random.Random(14).shuffle(suspects)

# %% exercise="diagnosis"
diagnosis = None
### BEGIN SOLUTION
diagnosis = [
    "prompt" if s.labels[0] != -100 else "right" if s.labels[-2] in plain.stop_ids else "end"
    for s in suspects
]
### END SOLUTION


# %% check="diagnosis" points=1
def judge_diagnosis(words):
    for number, (word, sample) in enumerate(zip(words, suspects, strict=True)):
        learnt = {label for label in sample.labels if label != -100}
        found = "end" if not learnt & plain.stop_ids else "right"
        found = "prompt" if START in learnt else found
        if word != found:
            return t(f"Look at suspects[{number}] again.", f"再看看 suspects[{number}]。")
    return True


course.check("qlora.diagnosis", diagnosis, judge_diagnosis)

# %% [markdown] lang="en"
"""
**4.** Without a check: train the clinic by QLoRA with `quant="int8"`, then merge both ways.
Does the original base still differ from what was trained?
"""

# %% [markdown] lang="zh"
"""
**4.** 没有检查的一题：用 `quant="int8"` 做一次诊所的 QLoRA，再用两种办法合并。
这时原来的基座和训练时的模型还有差别吗？
"""

# %% [markdown] lang="en"
"""
## On real models

`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"` at the top.
Some cells are about our pocket families or compare with exact words; for those a real model needs `load_task` with samples of yours.
Where a cell makes tensors of its own, a GPU needs the `device` and `dtype` of the weights added; the rest runs as it stands.
QLoRA on one text of 1,024 tokens at a time takes, by prediction:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

把开头改成 `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`。
有几格专门讲口袋家族，或者逐字对答案，真实模型请换成你自己的样本（`load_task`）；自己造张量的那几格，在 GPU 上要补上和权重一致的 `device` 与 `dtype`；其余照跑。
QLoRA 每次一条 1,024 个词元的文本，预计占用：
"""

# %%
rows = []
for size in ("0.5B", "7B", "14B", "32B", "72B"):
    e = lab.estimate(f"Qwen2.5-{size}", train="qlora", batch=1, seq=1024)
    rows.append((f"Qwen2.5-{size}", show_bytes(e.weights), show_bytes(e.total)))
Table(("", t("weights", "权重"), t("total", "总计")), rows)

# %% [markdown] lang="en"
"""
QLoRA's authors tuned a 65B model on one GPU of 48 GB (May 2023, arXiv 2305.14314).
The time: 4 bits save memory, not time; expect it to be slower than LoRA with 16 bits, if that fits.
"""

# %% [markdown] lang="zh"
"""
QLoRA 的作者在一张 48 GB 的显卡上微调了 65B 的模型（2023 年 5 月，arXiv 2305.14314）。
至于时间：4 位省的是内存，不是时间；如果 16 位的 LoRA 装得下，它通常更快。
"""
