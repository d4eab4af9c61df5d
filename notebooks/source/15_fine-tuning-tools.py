# %% [markdown] lang="en"
"""
# Fine-tuning tools: whether to tune, what with, and for how long

**You will be able to** climb the ladder prompt → examples → search → LoRA and stop at the right rung, with a figure for each; hand one tuning over to Axolotl or LLaMA-Factory and read every line of their files; write the loss of DPO yourself; predict memory and hours on a real GPU before you rent one.

**You will learn** why facts belong into a search and skills into weights, what happens on the day a fact changes, from what DoctorGLM, Meditron, Lawyer LLaMA and FinGPT were made and under which licence, and why preferences come after plain fine-tuning, and a wide margin proves nothing.

**You need** about 70 minutes, two CPU cores, 1 GiB of free memory.
Download: 0.
Lesson [[lora]] comes before.
"""

# %% [markdown] lang="zh"
"""
# 微调工具箱：该不该微调，用什么微调，要多久

**学完你能**沿着“提示 → 示例 → 检索 → LoRA”一级一级往上走，在该停的地方停下，每一级都拿得出数字；把同一次微调交给 Axolotl 或 LLaMA-Factory，读得懂它们配置里的每一行；亲手写出 DPO 的损失；租显卡之前，先把显存和时间算出来。

**你会明白**为什么知识该交给检索、本事才该练进权重，知识变了的那一天会怎样，DoctorGLM、Meditron、Lawyer LLaMA、FinGPT 是拿什么改出来的、用的什么许可证，以及偏好微调为什么要放在普通微调之后，margin 拉得再开为什么也说明不了什么。

**需要准备**大约 70 分钟，两个 CPU 核心，1 GiB 空闲内存。
下载量：0。
请先学第 [[lora]] 课。
"""

# %% [markdown] lang="en"
"""
## What the staff ask

Lake Tea is a small firm that does not exist.
Its handbook has twenty entries, and people ask for them in many ways, in two languages.
Sixteen wordings an entry; a part of them is kept for the test.
"""

# %% [markdown] lang="zh"
"""
## 员工会问什么

湖茶公司是我们虚构的一家小公司。
员工手册一共二十条，大家问起来五花八门，中英文都有：英文、中文各八种问法，其中一部分留作考题。
"""

# %%
import labkit as lab
from labkit.finetuning.tasks import load_task

MODEL = "pocket/qwen2.5"
task = load_task("handbook")
task

# %% [markdown] lang="en"
"""
Five ways to answer them come now, the cheapest first.
Before you look, commit yourself:
"""

# %% [markdown] lang="zh"
"""
下面有五种办法，从最便宜的开始。
看结果之前，先押一个：
"""

# %%
from labkit.widgets.prediction import ask

ask("fine-tuning-tools.ladder")

# %% [markdown] lang="en"
"""
### Rung 1: just ask
"""

# %% [markdown] lang="zh"
"""
### 第一级：直接问
"""

# %%
from labkit.finetuning.experiment import exact_match
from labkit.finetuning.lora import load_base

model = load_base(MODEL, dtype="float32")
print(model.note)
ladder = {"plain": exact_match(model, task.test)}
print(f"{ladder['plain']:.0%}")

# %% [markdown] lang="en"
"""
Nothing, of course: the handbook was in no training.
No wording of the prompt changes that, for what was never read cannot be recalled.
A large model would fail here too, and sound better doing it.
"""

# %% [markdown] lang="zh"
"""
一题都不会，这很正常：手册从没进过训练语料。
提示词写得再好也没用，没读过的东西想不起来。
大模型到了这里一样答不对，只是错得更像那么回事。
"""

# %% [markdown] lang="en"
"""
### Rung 2: show examples

**Few-shot**: a few solved questions stand before the real one.
Eight at random:
"""

# %% [markdown] lang="zh"
"""
### 第二级：给几个示例

**少样本提示**：在真正的问题前面，先摆几道做好的题。
随机取八道：
"""

# %%
import random
from dataclasses import replace

rng = random.Random(0)


def with_examples(item, count=8):
    shown = [message for shot in rng.sample(task.train, count) for message in shot.messages]
    return replace(item, messages=(*shown, *item.messages))


few_shot = [with_examples(item) for item in task.test]
ladder["examples"] = exact_match(model, few_shot)
print(f"{ladder['examples']:.0%}")

# %% [markdown] lang="en"
"""
Two things come together.
Examples show a *form*; a fact they hold only by luck, here in eight of 222.
And pocket models have never learnt to learn from a prompt; large ones do (Brown et al. 2020, arXiv:2005.14165).
So on a real model this rung helps with tone, format and labels, and still not with facts.
"""

# %% [markdown] lang="zh"
"""
这里有两个原因。
示例教的是*形式*，碰巧带上要问的那条知识才算走运：222 道里只摆了八道。
再者，口袋模型从没学过“看着提示现学”，大模型会（Brown 等，2020，arXiv:2005.14165）。
所以换成真实模型，这一级对语气、格式、分类标签有用，对知识仍然没用。
"""

# %% [markdown] lang="en"
"""
### Rung 3: look it up

The handbook is twenty sentences in each language.
Searching needs no model.
**BM25**, the workhorse of search engines (Robertson and Zaragoza 2009), scores a text by the words it shares with the question; rare words count more, and long texts are held back.
We use the library `bm25s`.

English is cut into words.
Chinese has no spaces: overlapping pairs of characters do well, and need no dictionary.
"""

# %% [markdown] lang="zh"
"""
### 第三级：查一查

手册一共二十句，中英文各一份。
查找根本用不着模型。
**BM25** 是搜索引擎用了几十年的看家算法（Robertson 与 Zaragoza，2009）：一段文字与问题共有的词越多，得分越高；越少见的词分量越重，太长的文字要打折扣。
我们用 `bm25s` 这个库。

英文按单词切。
中文没有空格，就切成首尾相叠的两字组，效果不错，还不用词典。
"""

# %%
import re

from labkit.pocket.tasks import handbook

sentences = [text for entry in handbook() for text in (entry.en, entry.zh)]


def cut(text):
    words = re.findall(r"[a-z0-9]+", text.lower())
    runs = re.findall(r"[\u4e00-\u9fff]+", text)
    return words + [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]


print(cut("Handbook: payday?"), cut("我们的手册，发薪日？"))

# %%
import bm25s


def search(sentences, questions):
    index = bm25s.BM25()
    index.index([cut(sentence) for sentence in sentences], show_progress=False)
    found = index.retrieve([cut(q) for q in questions], k=1, show_progress=False).documents
    return [sentences[number] for number in found[:, 0]]


questions = [item.messages[0]["content"] for item in task.test]
found = search(sentences, questions)
list(zip(questions, found, strict=True))[:3]

# %% [markdown] lang="en"
"""
How often is it the right sentence, that is, the one that ends with the right answer?
"""

# %% [markdown] lang="zh"
"""
找到的那一句，多少次是对的？
以正确答案结尾，就算对。
"""

# %%
wanted = [item.messages[-1]["content"] for item in task.test]
hits = [s.rstrip(".。").endswith(w) for s, w in zip(found, wanted, strict=True)]
print(f"{sum(hits)} of {len(hits)}")

# %% [markdown] lang="en"
"""
All of them, at once, and nothing was trained.
If your users can live with "here is the passage", stop here.
It never invents anything.

This handbook is an easy one: a question names its topic in the handbook's words.
Ask "how many days off do I get?" and BM25 is lost.
Then people search by the meaning of sentences (embeddings), or by both.

### Rung 4: look it up, then read

Now the sentence goes before the question, and the model shall answer from it.
That is **retrieval-augmented generation**, RAG.
"""

# %% [markdown] lang="zh"
"""
全对，一眨眼的事，什么也没训练。
要是用户能接受“原文在这里，请看”，到这一级就可以收工了。
它从不编造。

这本手册算是好查的：问题里用的就是手册里的词。
要是有人问“我能休几天假？”
，BM25 就没辙了。
这时人们按句子的意思来查（向量检索），或者两种一起用。

### 第四级：先查，再读

把查到的句子放在问题前面，让模型照着它回答。
这就是**检索增强生成**，简称 RAG。
"""

# %%
from labkit.finetuning.reading import add_passage

with_passage = [add_passage(item, s) for item, s in zip(task.test, found, strict=True)]
print(with_passage[0].messages[0]["content"])
ladder["search"] = exact_match(model, with_passage)
print(f"{ladder['search']:.0%}")

# %% [markdown] lang="en"
"""
The answer stands right above the question, and the model does not take it.
Honestly so: a pocket model has learnt to find *codes of words* in a text (lesson [[yi]]), and no other kind of reading.
Large chat models bring this skill along; that it can be missing is what one sees only in a small one.

A missing *skill* is what fine-tuning is for.
So let us teach it to read: 2,000 questions, each with a sentence from a made-up handbook.
Firm and topics are the same, numbers and names are others.
**Not one true entry of Lake Tea's handbook is among them.**
"""

# %% [markdown] lang="zh"
"""
答案就写在问题上面那一行，模型却不去拿。
这是实情：口袋模型只学过在文中找*词的号码*（第 [[yi]] 课），没学过别的读法。
大的对话模型天生带着这份本事；正因为小，我们才看得到它也可能没有。

缺*本事*，才是微调该上场的时候。
那就教它阅读：两千道题，每题配一句编出来的手册。
公司名和条目不变，数字和人名全换掉。
**湖茶公司手册里真正的条目，一条也不在里面。**
"""

# %%
from labkit.finetuning.reading import reading_task

reading = reading_task()
print(any(sentence in item.messages[0]["content"] for item in reading.train for sentence in found))
reading

# %%
fast = {"old_skills": (), "measure_memory": False, "reuse": True}
reader = lab.finetune(MODEL, reading, "lora", **fast)

# %% [markdown] lang="en"
"""
And the handbook, which it has never seen, with the sentences that were found:
"""

# %% [markdown] lang="zh"
"""
再来考手册，它从没见过，只给它查到的句子：
"""

# %% varies="an accuracy after training differs between processors"
from labkit.finetuning.lora import load_adapter, switch_adapters

load_adapter(model, reader.folder, "reading")
ladder["search + reading"] = exact_match(model, with_passage)
print(f"{ladder['search + reading']:.0%}")

# %%
print("most of it:", ladder["search + reading"] > 0.7)

# %% [markdown] lang="en"
"""
### Rung 5: put the facts into the weights

The other use of LoRA: train on 222 questions with their answers until they sit, as in lesson [[lora]].
"""

# %% [markdown] lang="zh"
"""
### 第五级：把知识练进权重

LoRA 的另一种用法，第 [[lora]] 课做过：拿 222 道带答案的题反复练，直到记牢。
"""

# %%
facts = lab.finetune(MODEL, task, "lora", **fast)

# %% varies="an accuracy after training differs between processors"
load_adapter(model, facts.folder, "facts")
ladder["facts in weights"] = exact_match(model, task.test)
print(f"{ladder['facts in weights']:.0%}")

# %%
print("nearly all:", ladder["facts in weights"] > 0.85)

# %% [markdown] lang="en"
"""
### The ladder, with its prices

What a rung costs comes in three currencies: once, before the first answer; with every question, as tokens to be read; and on disk.
"""

# %% [markdown] lang="zh"
"""
### 整架梯子，连同价钱

每一级的代价分三种：上线前一次性花的；每问一次都要花的，也就是多读的词元；还有占的硬盘。
"""

# %%
from statistics import mean

from labkit.finetuning.dataset import IGNORED, encode_sample


def prompt_tokens(items):
    return mean(encode_sample(model, item).labels.count(IGNORED) for item in items)


read = {
    "plain": prompt_tokens(task.test),
    "examples": prompt_tokens(few_shot),
    "search + reading": prompt_tokens(with_passage),
}
{rung: f"{tokens:.0f}" for rung, tokens in read.items()}

# %% varies="accuracies and times of this machine"
from labkit.core.i18n import t
from labkit.core.tables import Table
from labkit.core.units import show_bytes

book = sum(len(sentence.encode()) for sentence in sentences)
kept = {"search": book, "search + reading": book + reader.adapter_size}
kept["facts in weights"] = facts.adapter_size
seconds = {"search + reading": reader.seconds, "facts in weights": facts.seconds}
names = {
    "plain": t("just ask", "直接问"),
    "examples": t("8 examples", "8 个示例"),
    "search": t("search, no reading skill", "检索，不会读"),
    "search + reading": t("search + LoRA for reading", "检索 + 练过阅读的 LoRA"),
    "facts in weights": t("LoRA for the facts", "把知识练进 LoRA"),
}
lines = [
    (names[rung], f"{share:.0%}", f"{seconds.get(rung, 0):.0f} s", show_bytes(kept.get(rung, 0)))
    for rung, share in ladder.items()
]
header = (t("Rung", "办法"), t("Right", "答对"), t("Training", "训练"), t("To keep", "需保存"))
Table(header, lines, model.note)

# %% varies="an accuracy after training differs between processors"
from labkit.plots import draw_bars

draw_bars(
    {names[rung]: share for rung, share in ladder.items()},
    title=t("Handbook questions answered word for word", "手册问题，一字不差答对的比例"),
    show="{:.0%}".format,
)

# %% [markdown] lang="en"
"""
The two upper rungs end close together; facts in the weights even read fewer tokens a question.
So why does nearly every firm put its knowledge into a search?
"""

# %% [markdown] lang="zh"
"""
上面两级的成绩差不多，把知识练进权重，每次提问还少读些词元。
那为什么几乎所有公司都把知识放在检索里？
"""

# %% [markdown] lang="en"
"""
## A fact changes

From Monday on people may work at home on three days a week, not two.
"""

# %% [markdown] lang="zh"
"""
## 有一条改了

从下周一起，每周可以远程办公三天，不再是两天。
"""

# %%
ask("fine-tuning-tools.change")

# %%
old = {"remote days a week: 2 days": "remote days a week: 3 days", "天数：2天": "天数：3天"}


def change(text):
    for before, after in old.items():
        text = text.replace(before, after)
    return text


changed = [change(sentence) for sentence in sentences]
[new for new, sentence in zip(changed, sentences, strict=True) if new != sentence]

# %% [markdown] lang="en"
"""
That was the whole update of the search.
All questions about it, from training and test, to both models:
"""

# %% [markdown] lang="zh"
"""
检索这边的更新，到这里就全部做完了。
把训练集和考题里问到它的问题，都拿来问两个模型：
"""

# %%
from labkit.evaluation.scoring import answers

about = [i for i in (*task.train, *task.test) if i.messages[-1]["content"] in ("2 days", "2天")]
passages = search(changed, [item.messages[0]["content"] for item in about])
asked = {
    "reading": [add_passage(item, s) for item, s in zip(about, passages, strict=True)],
    "facts": about,
}
says = {}
for adapter, items in asked.items():
    switch_adapters(model, adapter)
    said = [text for text, _ in answers(model.model, model.tokenizer, items)]
    says[adapter] = mean(text in ("3 days", "3天") for text in said)

# %% varies="an accuracy after training differs between processors"
print({adapter: f"{share:.0%}" for adapter, share in says.items()})

# %%
print("search + reading follows:", says["reading"] > 0.6)
print("the weights still say two days:", says["facts"] == 0)

# %% [markdown] lang="en"
"""
The facts model would have to be trained again, tested again and shipped again, for one number; and until then it is wrong in a firm voice.
Nor can it say *where* it has its answer from, keep the salaries from the trainee, or forget a customer who asks to be forgotten.
A search can: a sentence has an address, can be locked, and can be deleted.
"""

# %% [markdown] lang="zh"
"""
练进权重的那个，为了一个数字就得重练、重考、重新上线；在那之前，它会用笃定的口气说错话。
它也说不出答案的*出处*，没法对实习生藏起工资表，客户要求删除个人信息时也删不掉。
检索都做得到：一句话有出处，可以上锁，可以删除。
"""

# %% [markdown] lang="en"
"""
## When to tune at all

Start at the top; go down only when measured figures are not enough.

| it lacks | first try | then | why |
|---|---|---|---|
| a clear task | a better prompt | | a minute; nothing to maintain |
| the form: tone, format, labels | examples in the prompt | LoRA on a few hundred | examples are paid with every question, LoRA once |
| facts, above all changing ones | search | search + LoRA for reading | update, source and rights by sentence |
| a skill: a notation, a dialect, tool calls of your own | a larger or newer model | LoRA; full tuning when that falls short and data are plenty | weights hold skills well |
| a whole field and its language | a model for that field | continued pretraining, then tuning | millions of texts; a project of months |
| speed or price at a fixed task | a smaller model | LoRA on the answers of a large one | lesson [[deepseek]], distillation |

Two more questions settle most cases.
*Do you have a test set?* Without one you cannot tell whether tuning helped.
*Who tunes again when the base model is replaced?* Adapters do not move to another base.
"""

# %% [markdown] lang="zh"
"""
## 到底该不该微调

从上往下试，测出来的数字不够用，才走下一步。

| 缺什么 | 先试 | 再试 | 理由 |
|---|---|---|---|
| 任务没说清 | 把提示词写好 | | 一分钟的事，没有后续负担 |
| 形式：语气、格式、标签 | 提示里给示例 | 几百条数据做 LoRA | 示例每问一次都要付钱，LoRA 只付一次 |
| 知识，尤其是会变的 | 检索 | 检索 + 练阅读的 LoRA | 改动、出处、权限，都能管到每一句 |
| 本事：一种记法、一种方言、自家的工具调用 | 换更大或更新的模型 | LoRA；还不够、数据又多，再做全量微调 | 权重最擅长存的就是本事 |
| 整个行业的知识与行话 | 现成的行业模型 | 继续预训练，再微调 | 要上百万篇文本，按月计的工程 |
| 任务固定，要更快更省 | 换小模型 | 用大模型的答案做 LoRA | 即第 [[deepseek]] 课的蒸馏 |

再问两句，多半就有结论了。
*有没有测试集？*没有，就说不清微调到底有没有用。
*基座换代时谁来重新微调？*适配器是搬不到另一个基座上去的。
"""

# %% [markdown] lang="en"
"""
## One tuning, three tools

What `lab.finetune` did is not ours alone.
The adapter it wrote is PEFT's own file:
"""

# %% [markdown] lang="zh"
"""
## 一次微调，三种工具

`lab.finetune` 做的事并不是独门手艺。
它写出的适配器，就是 PEFT 的标准文件：
"""

# %%
import json

written = json.loads((facts.folder / "adapter_config.json").read_text(encoding="utf-8"))
for name in ("peft_type", "base_model_name_or_path", "r", "lora_alpha", "lora_dropout"):
    print(f"{name:24}{written[name]}")
print(*sorted(written["target_modules"]))

# %% [markdown] lang="en"
"""
**TRL** is the library most others build on: `SFTTrainer` takes PEFT's `LoraConfig` and an `SFTConfig`, which is Transformers' `TrainingArguments` with a few fields more.
Our settings under their names, and the proof that Transformers knows these:
"""

# %% [markdown] lang="zh"
"""
多数工具的底层是 **TRL**：它的 `SFTTrainer` 接受 PEFT 的 `LoraConfig`，再加一个 `SFTConfig`，也就是在 Transformers 的 `TrainingArguments` 上多几个字段。
把我们的设置换成它们的叫法，再验证一下 Transformers 确实认得：
"""

# %%
from dataclasses import fields

from transformers import TrainingArguments

from labkit.finetuning.experiment import read_settings

theirs = {
    "steps": "max_steps",
    "batch": "per_device_train_batch_size",
    "accumulate": "gradient_accumulation_steps",
    "learning_rate": "learning_rate",
    "warmup": "warmup_steps",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "checkpointing": "gradient_checkpointing",
    "evaluate_every": "eval_steps",
    "checkpoint_every": "save_steps",
    "seed": "seed",
}
settings = read_settings(model.location, "lora", {})
print(set(theirs.values()) <= {field.name for field in fields(TrainingArguments)})
Table(
    ("labkit", "TrainingArguments", ""),
    [(a, b, str(getattr(settings, a))) for a, b in theirs.items()],
)

# %% [markdown] lang="en"
"""
And the label mask of lesson [[qlora]]?
TRL learns the answer alone if a sample comes as `prompt` and `completion`; a sample as `messages` is learnt whole, questions included, unless `assistant_only_loss=True` (TRL 1.16, `SFTConfig`).
Check it before you train, in any tool.

Many people write no Python at all: they fill in a file and start a program.
**Axolotl** and **LLaMA-Factory** are the two that most guides use.
Our task, written for both:
"""

# %% [markdown] lang="zh"
"""
第 [[qlora]] 课讲的标签掩码呢？
样本写成 `prompt` 加 `completion`，TRL 就只学回答；写成 `messages`，默认连问题也一起学，除非设 `assistant_only_loss=True`（TRL 1.16 的 `SFTConfig`）。
不管用哪个工具，开训前都要查这一条。

很多人一行 Python 也不写：填好一个配置文件，启动一个程序就行。
教程里最常见的两个是 **Axolotl** 和 **LLaMA-Factory**。
把我们的任务分别写给它们：
"""

# %% varies="the path of the model stands in a file, which is as long as that is"
from pathlib import Path
from tempfile import mkdtemp

from labkit.exports import writers as exports

here = Path(mkdtemp())
axolotl = exports.write_axolotl("handbook", MODEL, here / "axolotl", "lora")
axolotl

# %%
print(*axolotl.files)


# %%
def show(file):
    print(file.read_text(encoding="utf-8").replace(str(model.location.path.resolve()), MODEL))


show(here / "axolotl" / "axolotl.yaml")

# %% [markdown] lang="en"
"""
| lines | say |
|---|---|
| `base_model` | what is tuned: a Hub id, or here a folder |
| `adapter` … `lora_target_linear` | LoRA of rank 16, scale 32 / 16, on all linear layers |
| `datasets`, `test_datasets` | a file each, one JSON conversation a line; the test half stays with us |
| `type: chat_template`, `tokenizer_default` | render with the template in the model's own tokenizer: the wrong one costs most of the quality and reports no error |
| `roles_to_train`, `train_on_eos`, `train_on_inputs` | the label mask: answers and the token that ends them |
| `dataset_prepared_path` | where the tokens are kept; delete it when you change the data |
| `sequence_len` | cut after so many tokens; ours is the longest sample |
| `sample_packing` | several samples in one row: faster, but then steps mean something else |
| `micro_batch_size`, `gradient_accumulation_steps`, `max_steps` | 8 samples a step, 450 steps |
| `learning_rate` … `warmup_steps` | ours is high, for a model of millions; for billions 2e-4 is usual |
| `optimizer`, `weight_decay`, `max_grad_norm` | AdamW, and gradients cut to length 1 |
| `bf16: auto` | bf16 where the GPU has it |
| `gradient_checkpointing` | compute again instead of keep: a third more time for far less memory |
| `eval_steps`, `save_steps`, `seed`, `output_dir` | look, save, the same again, and where to |
"""

# %% [markdown] lang="zh"
"""
| 行 | 意思 |
|---|---|
| `base_model` | 微调谁：Hub 上的名字，这里是一个文件夹 |
| `adapter` 到 `lora_target_linear` | 秩 16 的 LoRA，缩放 32 / 16，加在所有线性层上 |
| `datasets`、`test_datasets` | 各一个文件，每行一段 JSON 对话；考题留在我们手里 |
| `type: chat_template`、`tokenizer_default` | 用模型分词器自带的对话模板来展开：模板错了，质量大半就没了，还不报错 |
| `roles_to_train`、`train_on_eos`、`train_on_inputs` | 标签掩码：只学回答，连同结束它的那个词元 |
| `dataset_prepared_path` | 切好的词元存在哪里；改了数据要把它删掉 |
| `sequence_len` | 超过这么多词元就截断；我们取最长的样本 |
| `sample_packing` | 几条样本拼成一行：更快，但“一步”的含义就变了 |
| `micro_batch_size`、`gradient_accumulation_steps`、`max_steps` | 每步 8 条样本，共 450 步 |
| `learning_rate` 到 `warmup_steps` | 我们的偏高，因为模型只有几百万参数；几十亿的模型常用 2e-4 |
| `optimizer`、`weight_decay`、`max_grad_norm` | AdamW，梯度长度裁到 1 |
| `bf16: auto` | 显卡支持 bf16 就用 |
| `gradient_checkpointing` | 不存、现算：多花三分之一时间，省下大量显存 |
| `eval_steps`、`save_steps`、`seed`、`output_dir` | 隔多久看一次、存一次，随机种子，存到哪里 |
"""

# %% varies="the path of the model stands in a file, which is as long as that is"
factory = exports.write_llamafactory("handbook", MODEL, here / "llamafactory", "lora")
factory

# %%
print(*factory.files)
show(here / "llamafactory" / "llamafactory.yaml")

# %% [markdown] lang="en"
"""
The same tuning in other words.
Three lines deserve a second look:

- `template: empty`. LLaMA-Factory does not run a model's own template; it has its own under names such as `qwen`, and guesses one if you give none. So the samples go over rendered, and nothing is added.
- `dataset: handbook_train` is a name, looked up in `dataset_info.json` beside it.
- `stage: sft` would be `dpo` for what comes in two sections.

From a terminal it is one line: `labkit export pocket/qwen2.5 --to axolotl --task handbook -o for-axolotl`; then, where the tool is installed, `axolotl train axolotl.yaml` or `llamafactory-cli train llamafactory.yaml`.
"""

# %% [markdown] lang="zh"
"""
同一次微调，换了一套说法。
有三行值得再看一眼：

- `template: empty`。LLaMA-Factory 不用模型自带的模板，它有自己的一套，名字像 `qwen` 之类；你不写，它就猜一个。所以我们把样本展开好再交过去，什么也不用它加。
- `dataset: handbook_train` 是个名字，到旁边的 `dataset_info.json` 里去查。
- `stage: sft` 换成 `dpo`，就是下下节要讲的偏好微调。

在终端里只要一行：`labkit export pocket/qwen2.5 --to axolotl --task handbook -o for-axolotl`；在装了工具的机器上，再运行 `axolotl train axolotl.yaml` 或 `llamafactory-cli train llamafactory.yaml`。
"""

# %%
from labkit.exports import axolotl, llamafactory

print("Axolotl", axolotl.CHECKED_WITH, "· LLaMA-Factory", llamafactory.CHECKED_WITH)

# %% [markdown] lang="en"
"""
**What was checked.** `tests/test_exports.py` installs these two releases in environments of their own.
Axolotl's schema accepts the file, and its data code makes the same tokens and labels as ours, sample by sample, for every pocket chat model.
LLaMA-Factory's parser and data code do too (all but Yi, whose tokenizer puts a space before each piece; the export says so), and it really trains 20 steps on the CPU: the adapter loads here and halves the loss.
**What was not:** Axolotl's training itself, which wants a GPU, and QLoRA and several GPUs in either.
Both tools change quickly; with another release, run the first ten steps and look.
"""

# %% [markdown] lang="zh"
"""
**验证过的**：`tests/test_exports.py` 把这两个版本各装进一个独立环境。
Axolotl 的配置校验接受这份文件，它的数据代码逐条样本切出的词元和标签与我们的完全一致，所有口袋对话模型都试过。
LLaMA-Factory 的解析和数据代码也一致（Yi 除外：它的分词器会在每一段前加空格，导出时已注明），而且真的在 CPU 上训练了 20 步，练出的适配器拿到这里能加载，损失降了一半以上。
**没有验证的**：Axolotl 的训练本身（它要 GPU），以及两者的 QLoRA 和多卡。
这两个工具更新很快；换了版本，先跑十步看看再说。
"""

# %% [markdown] lang="en"
"""
## Models for a profession

The names that every overview of medicine, law and finance lists.
What are they made of?
"""

# %% [markdown] lang="zh"
"""
## 行业模型

讲到医疗、法律、金融，总会提到下面这几个名字。
它们是拿什么做的？
"""

# %%
from labkit.catalog import derived_models, licenses, not_legal_advice


def license_of(row):
    unsure = t(" (unverified)", "（未核实）") if "license" in row.unverified else ""
    if row.license:
        return licenses()[row.license].name + unsure
    if row.commercial == "no":
        return t("none named; no commercial use", "未具名；禁止商用") + unsure
    return t("none found", "没查到") + unsure


rows = [row for row in derived_models() if row.field != "math"]
Table(
    (
        t("model", "模型"),
        t("base", "基座"),
        t("made by", "做法"),
        t("licence", "许可证"),
        t("date", "日期"),
    ),
    [(r.name, r.base, str(r.method), license_of(r), r.release_date) for r in rows],
    not_legal_advice(),
)

# %%
for row in rows:
    print(f"{row.name}: {row.source} ({row.as_of})")

# %% [markdown] lang="en"
"""
Three lessons stand in this table.

**Two ways of making.** Meditron and Lawyer LLaMA *read on*: continued pretraining on a field's texts, costly, and it brings knowledge.
DoctorGLM and FinGPT are LoRA on dialogues or labels, cheap, and they bring form: the tone of a doctor, the word "positive".
By the table above: facts or skill?

**Licences.** For DoctorGLM we found none, and what FinGPT's adapters are under we could not verify (its code is under MIT, which does not speak for weights).
Nobody's permission is not permission.
Lawyer LLaMA says academic use only, and its base, the first LLaMA, was given to researchers only (Touvron et al. 2023, arXiv:2302.13971).
Meditron bears Llama 2's terms.
An adapter obeys its own terms *and* those of its base.

**Age.** All are of 2023, made on bases that have long had heirs.
Their recipes and data are worth more today than their weights: take a current base and the field's open data, and measure both on *your* test.
"""

# %% [markdown] lang="zh"
"""
这张表里有三条教训。

**两种做法。** Meditron、Lawyer LLaMA 是*接着读*：拿行业文本继续预训练，花费大，带来的是知识。
DoctorGLM、FinGPT 是在对话或标签上做 LoRA，便宜，带来的是形式：医生的口吻，或者“positive”（利好）这个标签。
对照上面那张表：这算知识，还是本事？

**许可证。** DoctorGLM 我们没查到许可证；FinGPT 的适配器用什么许可，我们没能核实（它的代码是 MIT，管不到权重）。
没人说可以，就是不可以。
Lawyer LLaMA 写明仅限学术，它的基座、第一代 LLaMA 也只提供给研究者（Touvron 等，2023，arXiv:2302.13971）。
Meditron 沿用 Llama 2 的条款。
适配器既要守自己的条款，*也要*守基座的。

**年纪。** 都是 2023 年的，基座早有后继。
今天更值钱的是它们的方法和数据，不是权重：拿一个现在的基座，配上这个行业的公开数据，在*你自己的*考题上两边都测一测。
"""

# %%
from labkit.catalog import find
from labkit.catalog import successor as heir

for base in ("Llama-2-7B", "Llama-2-70B"):
    print(base, "→", heir(find(base)).name)

# %% [markdown] lang="en"
"""
## Two answers, one better

Until now every sample had *the* right answer.
Often nobody can write that down, but anyone can say which of two is better.
That is **preference tuning**.

Our case: lesson [[start-here]] asked for a model that does not exist, and the pocket model invented an answer.
It shall say that it does not know; and go on answering about models that do exist.
"""

# %% [markdown] lang="zh"
"""
## 两个回答，哪个好

到现在为止，每条样本都有一个*标准*答案。
可很多时候谁也写不出标准答案，却人人说得出两个里哪个好。
**偏好微调**就是为此而设。

我们的例子：第 [[start-here]] 课问过一个不存在的模型，口袋模型张口就编。
现在要它承认不知道；而对真实存在的模型，照样回答。
"""

# %%
from labkit.finetuning.preferences import answer_with, invented, refusal
from labkit.pocket.corpus import draw, held_out

model.close()
base = load_base(MODEL, dtype="float32")
strange = invented("train", 120)
own = [said for said, _ in answers(base.model, base.tokenizer, strange)]

# %% varies="outside its corpus two answers can be almost equally likely"
[(item.messages[0]["content"], said) for item, said in zip(strange, own, strict=True)][:4]

# %% [markdown] lang="en"
"""
A **pair** is one question with two answers: *chosen* and *rejected*.
What it invented is rejected.
With these pairs alone it would learn to refuse everything, so as many go the other way: about real models the fact is chosen and the refusal rejected.
"""

# %% [markdown] lang="zh"
"""
一个**偏好对**就是一个问题配两个回答：*选中的*和*落选的*。
它编的落选。
只有这一种，它会学成什么都说不知道；所以再配上同样多反过来的：问真实模型时，事实选中，“不知道”落选。
"""

# %%
rng = random.Random(0)
known = [draw(rng, "facts", "train") for _ in strange]
pairs = [(item, answer_with(item, said)) for item, said in zip(strange, own, strict=True)]
pairs += [(item, refusal(item)) for item in known]
unseen = invented("test", 60)
print(len(pairs), len(unseen))


# %% [markdown] lang="en"
"""
The test has pairs, too: invented models and wordings that no pair for training holds.
"""

# %% [markdown] lang="zh"
"""
考题也要成对：虚构的型号、真实事实的问法，训练用的偏好对里都没有。
"""

# %%
facts_asked = held_out("facts", 60)
there = [said for said, _ in answers(base.model, base.tokenizer, unseen)]
test_pairs = [(item, answer_with(item, said)) for item, said in zip(unseen, there, strict=True)]
test_pairs += [(item, refusal(item)) for item in facts_asked]
before = exact_match(base, unseen), exact_match(base, facts_asked)
print(len(test_pairs), "· before: {:.0%} honest, {:.0%} of the facts".format(*before))

# %% [markdown] lang="en"
r"""
### The loss

Rafailov et al. 2023 (arXiv:2305.18290, equation 7) need neither a reward model nor reinforcement learning.
Let $\pi$ be the model in training and $\pi_0$ the same before.
For each answer ask how much likelier it has become; the chosen one should have gained more than the rejected:

$$\text{margin} = \log\frac{\pi(\text{chosen})}{\pi_0(\text{chosen})} - \log\frac{\pi(\text{rejected})}{\pi_0(\text{rejected})} \qquad \text{loss} = -\log\sigma(\beta\cdot\text{margin})$$
"""

# %% [markdown] lang="zh"
r"""
### 损失函数

Rafailov 等人（2023，arXiv:2305.18290，式 7）既不要奖励模型，也不要强化学习。
设 $\pi$ 是训练中的模型，$\pi_0$ 是训练前的它。
对每个回答，看它的可能性涨了多少；选中的应该比落选的涨得多：

$$\text{margin} = \log\frac{\pi(\text{选中})}{\pi_0(\text{选中})} - \log\frac{\pi(\text{落选})}{\pi_0(\text{落选})} \qquad \text{loss} = -\log\sigma(\beta\cdot\text{margin})$$
"""

# %%
import torch
from torch.nn.functional import logsigmoid


def dpo_loss(chosen, rejected, chosen_before, rejected_before, beta=0.1):
    margin = (chosen - chosen_before) - (rejected - rejected_before)
    return -logsigmoid(beta * margin).mean()


# %% [markdown] lang="en"
"""
Check it by hand.
Chosen went from -4 to -3, rejected from -1 to -2: the margin is 1 + 1 = 2.
With β = 0.5 the loss is -log σ(1) = log(1 + e⁻¹) = 0.3133.
And its slope: -β σ(-1) = -0.5 × 0.2689 = -0.1345 for the chosen, the same with plus for the rejected.
So going downhill lifts the one and lowers the other.
"""

# %% [markdown] lang="zh"
"""
用手算验一遍。
选中的从 -4 升到 -3，落选的从 -1 降到 -2，margin 是 1 + 1 = 2。
β = 0.5 时，损失是 -log σ(1) = log(1 + e⁻¹) = 0.3133。
再看斜率：对选中的是 -β σ(-1) = -0.5 × 0.2689 = -0.1345，对落选的大小相同、符号为正。
所以沿着下坡走，一个抬高，一个压低。
"""

# %%
chosen, rejected = torch.tensor([-3.0, -2.0], requires_grad=True).unbind()
loss = dpo_loss(chosen, rejected, -4.0, -1.0, beta=0.5)
slopes = torch.autograd.grad(loss, (chosen, rejected))
print(f"{loss.item():.4f}", [f"{slope.item():+.4f}" for slope in slopes])
print(f"{dpo_loss(torch.tensor(-4.0), torch.tensor(-1.0), -4.0, -1.0).item():.4f}")

# %% [markdown] lang="en"
r"""
The last number is where every DPO begins: nothing has moved, the margin is 0, the loss log 2.
If your tool's first line says something else, its $\pi_0$ is not the model you train.
TRL's `DPOTrainer` computes the same two lines (release 1.16, loss type `sigmoid`).

Now the log-probability of an answer: the sum over its tokens, with the labels of lesson [[qlora]].
"""

# %% [markdown] lang="zh"
r"""
最后那个数，是所有 DPO 的起点：什么都没动，margin 为 0，损失为 log 2。
要是工具打印的第一行不是它，说明它的 $\pi_0$ 不是你正在训练的那个模型。
TRL 的 `DPOTrainer` 算的也是这两行（1.16 版，损失类型 `sigmoid`）。

再看一个回答的对数概率：把它各个词元的加起来，标签就是第 [[qlora]] 课那种。
"""

# %%
from labkit.finetuning.dataset import collate


def log_probabilities(model, samples):
    batch = collate(samples, model.tokenizer.pad_token_id, model.model.device)
    labels = batch.pop("labels")[:, 1:]
    logs = model.model(**batch).logits[:, :-1].float().log_softmax(-1)
    picked = logs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return (picked * (labels != IGNORED)).sum(-1)


@torch.no_grad()
def judge(model, samples):
    flat = [sample for pair in samples for sample in pair]
    parts = [log_probabilities(model, flat[n : n + 16]) for n in range(0, len(flat), 16)]
    return torch.cat(parts).view(-1, 2)


samples, tests = (
    [[encode_sample(base, item) for item in pair] for pair in some] for some in (pairs, test_pairs)
)
reference, tests_before = judge(base, samples), judge(base, tests)
reference.shape

# %% varies="the last digits of a probability"
print("chosen {:.1f}, rejected {:.1f}".format(*reference[: len(strange)].mean(0)))

# %% [markdown] lang="en"
"""
For invented models the refusal is next to impossible, and the invention takes most of the probability.
DPO is not the tool to begin with here.
It compares two answers that the model might give; an answer that it never gives must first be learnt.
So the order is **SFT, then DPO**: plain fine-tuning on the chosen answers (lessons [[lora]] and [[qlora]]), then preferences, gently.
One loop does both; `before` are the log-probabilities of the model from which DPO starts.
"""

# %% [markdown] lang="zh"
"""
问到虚构的模型时，“不知道”几乎不可能出现，胡编的那句却占了大半的概率。
这时还轮不到 DPO。
它比较的是模型可能说出的两个回答；从来不会说的那个，得先学会。
所以顺序是**先 SFT，再 DPO**：先在选中的回答上做普通微调（第 [[lora]]、[[qlora]] 课），再轻轻地做偏好微调。
一个循环两件事都能做；`before` 是 DPO 出发时那个模型的对数概率。
"""

# %%
from labkit.core.progress import track
from labkit.finetuning.lora import add_lora


def tune(model, steps, rate, before=None):
    rng, margins = random.Random(1), []
    trained = [p for p in model.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0)
    for _ in track(range(steps), "SFT" if before is None else "DPO"):
        numbers = rng.sample(range(len(pairs)), 8)
        if before is None:
            chosen = [samples[n][0] for n in numbers]
            learnt = sum(label != IGNORED for sample in chosen for label in sample.labels)
            loss = -log_probabilities(model, chosen).sum() / learnt
        else:
            now = log_probabilities(model, [s for n in numbers for s in samples[n]]).view(-1, 2)
            then = before[numbers]
            loss = dpo_loss(now[:, 0], now[:, 1], then[:, 0], then[:, 1])
            margins.append(((now - then) @ torch.tensor([1.0, -1.0])).mean().item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
    model.model.eval()
    return margins


# %%
tuned = load_base(MODEL, dtype="float32")
torch.manual_seed(0)
add_lora(tuned)
tune(tuned, steps=100, rate=1e-3)
after_sft, tests_after_sft = judge(tuned, samples), judge(tuned, tests)


def measure(model, then):
    now = judge(model, tests)
    margin = (now - then) @ torch.tensor([1.0, -1.0])
    ordered = (now[:, 0] > now[:, 1]).float().mean().item()
    honest, known = exact_match(model, unseen), exact_match(model, facts_asked)
    return honest, known, ordered, margin.mean().item(), (margin > 0).float().mean().item()


results = {"SFT": measure(tuned, tests_before)}

# %% [markdown] lang="en"
"""
Now DPO, from there.
β is 0.1, and the learning rate a fiftieth of that of the SFT: DPO is to shift a balance, not to learn anew.
(The paper took 1e-6 for full tuning of models of billions, its appendix B; adapters, and a model of a few millions, take more.)
"""

# %% [markdown] lang="zh"
"""
从这里出发做 DPO。
β 取 0.1，学习率只有 SFT 的五十分之一：DPO 只是调一调天平，不是重新学。
（论文给几十亿参数的模型做全量微调，用的是 1e-6，见其附录 B；用适配器、模型又只有几百万参数，可以高一些。）
"""

# %%
gentle = tune(tuned, steps=60, rate=2e-5, before=after_sft)
results["SFT → DPO"] = measure(tuned, tests_after_sft)

# %% [markdown] lang="en"
"""
And the mistake that many first attempts make: no SFT, and the learning rate that was right for SFT.
"""

# %% [markdown] lang="zh"
"""
再来看许多人头一回都会犯的错：不做 SFT，学习率还照搬 SFT 的。
"""

# %%
ask("fine-tuning-tools.margin")

# %%
rough = load_base(MODEL, dtype="float32")
torch.manual_seed(0)
add_lora(rough)
hasty = tune(rough, steps=60, rate=1e-3, before=reference)
results[t("DPO alone, 1e-3", "只做 DPO，1e-3")] = measure(rough, tests_before)

# %% varies="what training made differs between processors"
from labkit.plots import draw_lines

curves = {t("after SFT, 2e-5", "SFT 之后，2e-5"): gentle, t("alone, 1e-3", "单做，1e-3"): hasty}
draw_lines(
    {
        name: [(n + 10, mean(margins[n : n + 10])) for n in range(0, 60, 10)]
        for name, margins in curves.items()
    },
    title=t("How far chosen and rejected drew apart", "选中与落选拉开了多远"),
    x=t("step", "步"),
    y=t("margin (nats, mean of 10 steps)", "margin（奈特，每 10 步平均）"),
)

# %% [markdown] lang="en"
"""
On the test, in this order: honest about inventions; facts answered; pairs in which the chosen answer is the likelier one; the margin against the model that the row started from; pairs whose margin is above zero.
(SFT and the hasty run started from the pocket model, the gentle one from the SFT.)
"""

# %% [markdown] lang="zh"
"""
在考题上，依次是：问虚构的，承认不知道；问真实的，答对；选中的回答更可能出现的对子占多少；相对本行出发点的 margin；margin 大于零的对子占多少。
（SFT 和莽撞的那次从口袋模型出发，稳妥的那次从 SFT 之后出发。）
"""

# %% varies="what training made differs between processors"
lines = [(t("before", "微调前"), *(f"{share:.0%}" for share in before), "", "", "")]
lines += [
    (name, f"{h:.0%}", f"{k:.0%}", f"{o:.0%}", f"{m:.1f}", f"{p:.0%}")
    for name, (h, k, o, m, p) in results.items()
]
header = t("run,honest,facts,likelier,margin,margin > 0", "做法,承认,事实,更可能,margin,margin > 0")
Table(header.split(","), lines, base.note)

# %%
sft, done_right, wrong = results.values()
print("SFT alone teaches the refusal:", sft[0] > 0.8 and before[0] < 0.1)
print("DPO after it draws held-out pairs apart:", done_right[4] > 0.8)
print(
    "and keeps what was there:",
    all(b > a - 0.05 for a, b in zip(sft[:2], done_right[:2], strict=True)),
)
print("alone and hasty, the widest margin:", wrong[3] > done_right[3])
print("and the worse answers:", wrong[0] + wrong[1] < done_right[0] + done_right[1])

# %% [markdown] lang="en"
"""
Done in this order DPO is quiet.
SFT taught the refusal, at the price of some facts; DPO drew nearly all held-out pairs a little further apart and hardly changed an answer.
(SFT alone makes the refusal likelier everywhere, also where a fact is due. So its margin is above zero in only half of the pairs, and yet the chosen answer is ahead in nearly all.)
There was little left to gain, and no accident: we *could* write down the right answer, and then plain fine-tuning is nearly all one needs.

The hasty run has the widest margin by far, orders the pairs as well as any, its loss is nearly nothing, and it answers worse.
The loss knows only the *difference*: it pushes the inventions down and down, and does not ask whether the refusal becomes likely or some third, unheard answer.
That is well known (Pal et al. 2024, arXiv:2402.13228).
It is a mistake of ours and not of DPO: the rate was fifty times that of the row above, and the chosen answer had never been learnt.
An anchor helps as well, the plain loss beside DPO's (Pang et al. 2024, arXiv:2404.19733): in TRL `loss_type=["sigmoid", "sft"]`, in LLaMA-Factory `pref_ftx`.

Keep preferences for what has no single right answer, such as tone, length, helpfulness; begin from a model that has been fine-tuned already; take pairs of its own answers; and watch a test of what you want, never the margin alone.
"""

# %% [markdown] lang="zh"
"""
按这个顺序来，DPO 波澜不惊。
“不知道”是 SFT 教会的，代价是忘了几条事实；DPO 把没见过的对子几乎都再拉开了一点，回答几乎没变。
（只做 SFT，“不知道”在哪儿都变得更可能，该答事实的地方也一样；所以 margin 大于零的只有一半，可选中的回答几乎处处领先。）
能再涨的本来就不多，这不奇怪：正确的回答我们*写得出来*，普通微调差不多就够了。

莽撞的那次，margin 拉得最开，对子的先后也排得不比谁差，损失几乎到零，回答却更差。
因为这个损失只认*差距*：它一个劲儿把胡编的压下去，至于抬起来的是“不知道”，还是第三种谁也没听过的说法，它不问。
这是早有记载的毛病（Pal 等，2024，arXiv:2402.13228）。
错在我们，不在 DPO：学习率是上一行的五十倍，选中的回答又从来没学过。
还可以拴一根绳子，在 DPO 旁边再加上普通的损失（Pang 等，2024，arXiv:2404.19733）：TRL 里写 `loss_type=["sigmoid", "sft"]`，LLaMA-Factory 里是 `pref_ftx`。

偏好微调留给没有唯一答案的事，比如语气、长短、是否周到；从已经微调过的模型开始；用它自己生成的回答来配对；盯住你真正要的那份考题，别只盯 margin。
"""

# %% [markdown] lang="en"
"""
## On a real GPU: how much, how long

### Memory

`lab.estimate(…, train=…)` knows the formulas of lessons [[lora]] and [[qlora]].
One sample of 1,024 tokens at a time, checkpointing on, and two cards from the catalogue:
"""

# %% [markdown] lang="zh"
"""
## 真实显卡：要多少显存，要多久

### 显存

第 [[lora]]、[[qlora]] 课的公式都在 `lab.estimate(…, train=…)` 里。
每次一条 1,024 个词元的样本，开梯度检查点，再从目录里取两块显卡：
"""

# %%
ask("fine-tuning-tools.memory")

# %%
from labkit.catalog.quotes import find_device

SIZES = ("Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B")
FULL = t("full", "全量")
WAYS = {f"{FULL}, mixed": ("full", "mixed"), f"{FULL}, bf16": ("full", "bf16")}
WAYS |= {"LoRA": ("lora", "bf16"), "QLoRA": ("qlora", "bf16")}
cards = {name: find_device(name).memory_gb * 10**9 for name in ("T4", "L4")}


def memory(name, way):
    method, precision = WAYS[way]
    return lab.estimate(name, train=method, precision=precision, batch=1, seq=1024).total


need = {way: {name: memory(name, way) for name in SIZES} for way in WAYS}
lines = [(name, *(show_bytes(need[way][name]) for way in WAYS)) for name in SIZES]
Table(("", *WAYS), lines, ", ".join(f"{name}: {show_bytes(size)}" for name, size in cards.items()))

# %%
draw_lines(
    {way: [(find(name).parameters / 1e9, need[way][name]) for name in SIZES] for way in WAYS},
    title=t("Memory to tune Qwen2.5 (1 × 1,024 tokens)", "微调 Qwen2.5 要的显存（1 × 1,024 词元）"),
    x=t("billion parameters", "参数量（十亿）"),
    y=t("peak memory, log scale", "显存峰值，对数刻度"),
    log_y=True,
    show_y=lambda size: f"{size / 2**30:.0f} GiB",
    limits=cards,
)

# %% [markdown] lang="en"
"""
A T4 has no bf16: there LoRA and QLoRA compute in fp16, at the same size, and full tuning needs `mixed`, whose weights stay in fp32.
And a card never gives all: CUDA itself takes some hundred MiB, so leave a tenth free.

### Time

Count the work.
Each weight of a matrix costs a token one multiplication and one addition on the way forward.
On the way back as much again for the gradients of what came in, and once more for the weights' own, *if they are trained*.
So 6 operations a weight for full tuning, 4 for LoRA.
PyTorch can count what our pocket model really does:
"""

# %% [markdown] lang="zh"
"""
T4 没有 bf16：在它上面 LoRA 和 QLoRA 用 fp16 计算，大小一样；全量微调只能用 `mixed`，权重留在 fp32。
另外，显存从来不会全归你用：CUDA 自己要占几百 MiB，留出一成才稳妥。

### 时间

先数活儿。前向时，矩阵里每个权重对每个词元要做一次乘、一次加。
反向时，求输入的梯度要做同样多；求权重自己的梯度再来一遍，*前提是它要训练*。
所以全量微调每个权重 6 次运算，LoRA 4 次。
口袋模型实际做了多少，PyTorch 数得出来：
"""

# %%
from torch.utils.flop_counter import FlopCounterMode


def operations(model, tokens=64):
    ids = torch.arange(tokens)[None]
    with FlopCounterMode(display=False) as counter:
        model.model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return counter.get_total_flops() / tokens / base.model.num_parameters()


base.model.requires_grad_(True)
print(f"full {operations(base):.1f}")
add_lora(base, rank=1)
print(f"LoRA {operations(base):.1f}")

# %% [markdown] lang="en"
"""
6 and 4, near enough: attention's own products come on top, and under LoRA nobody asks for the gradient of the first layer's input.
Checkpointing runs the forward pass once more, which makes 8 and 6.

Divided by the card's peak that would be the time, if the peak were reached.
It is not. From the one published series of measurements that we trust (LoRA and QLoRA of Qwen 1.8B to 14B on an A100, in Qwen's README), this share of the peak follows, and our tests recompute it.
For full tuning, which that series does not cover, we take LoRA's:
"""

# %% [markdown] lang="zh"
"""
大致就是 6 和 4：多一点的是注意力自己的乘法，少一点的是 LoRA 下第一层的输入用不着求梯度。
开了梯度检查点，前向要再跑一遍，于是变成 8 和 6。

拿它除以显卡的峰值算力，就是时间，假如真能跑满峰值。
实际跑不满。
有一组公开的实测我们信得过（Qwen 的 README：在 A100 上对 1.8B 到 14B 做 LoRA 和 QLoRA），由它推出能达到峰值的这么多，我们的测试里重算过；全量微调不在这组实测里，借用 LoRA 的数：
"""

# %%
from labkit.estimation.training_time import SHARE, count_operations, predict_time

for method, (least, best) in SHARE.items():
    print(f"{method:6}{least:.0%}–{best:.0%}")
for name in cards:
    card = find_device(name)
    print(name, card.bf16_tflops or card.fp16_tflops, "TFLOPS ·", card.source)

# %% [markdown] lang="en"
"""
By hand for one case: 2,000 samples of 512 tokens, three times over, QLoRA of the 7B on a T4.
"""

# %% [markdown] lang="zh"
"""
先手算一个：2,000 条、每条 512 个词元的样本，学三遍，在 T4 上对 7B 做 QLoRA。
"""

# %%
tokens = 3 * 2000 * 512
weights = find("Qwen2.5-7B").parameters - 152064 * 3584
peak = find_device("T4").fp16_tflops * 1e12
hours = [6 * weights * tokens / (share * peak) / 3600 for share in reversed(SHARE["qlora"])]
print(f"{tokens:,} tokens: {hours[0]:.1f}–{hours[1]:.1f} h")
print(f"{6 * weights * tokens / count_operations('Qwen2.5-7B', 'qlora', tokens):.4f}")

# %% [markdown] lang="en"
"""
(A lookup in the embedding is no arithmetic, so that table of 152,064 × 3,584 is left out.)
The same for all that fits with a tenth to spare:
"""

# %% [markdown] lang="zh"
"""
（查词嵌入表不算运算，所以减掉 152,064 × 3,584 那张表。）
凡是装得下、还留出一成的，都算一遍：
"""


# %%
def time_on(card, name, way):
    if need[way][name] > 0.9 * cards[card] or (card, *WAYS[way]) == ("T4", "full", "bf16"):
        return "–"
    low, high = predict_time(name, WAYS[way][0], tokens, card)
    return f"{low / 60:.0f}–{high / 60:.0f} min"


lines = [
    (card, name, *(time_on(card, name, way) for way in WAYS)) for card in cards for name in SIZES
]
Table(("", "", *WAYS), lines)

# %% [markdown] lang="en"
"""
A range, not a promise.
No measurement on a T4 or an L4 went into it: small cards run hot and slow down, and models below 1B keep any GPU waiting, so expect the upper end or more.
The reading at the end: **by QLoRA a 7B is tuned in an afternoon on one of the oldest and cheapest cards there are to rent, and a 0.5B in a coffee break.**
What takes weeks is the data and the test.
"""

# %% [markdown] lang="zh"
"""
这是一个范围，不是承诺。
里面没有一个数是在 T4 或 L4 上实测的：小卡容易发热降速，1B 以下的模型喂不饱任何 GPU，所以要往上限甚至更久去想。
最后的结论：**用 QLoRA，在租得到的显卡里最老最便宜的那一档上，微调一个 7B 只要一个下午，微调一个 0.5B 只要喝杯咖啡的工夫。**
真正要花几个星期的，是数据和考题。
"""

# %% [markdown] lang="en"
"""
## Recap

- Prompt, examples, search, LoRA: go up only as far as the figures force you.
- Facts go into a search, where one sentence changes one answer; skills and forms go into weights. Reading itself is a skill.
- Axolotl and LLaMA-Factory say in YAML what `lab.finetune` does; template and label mask are where they go wrong.
- A derived model obeys its own licence and its base's. No licence found is no permission.
- DPO widens a difference. SFT first, then DPO at a low rate, and judge it by a test, not by the margin.
- Operations: 6 a weight and token for full, 4 for LoRA, and 2 more with checkpointing.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 提示、示例、检索、LoRA：数字逼你上一级，才上一级。
- 知识放检索，改一句话就改一个答案；本事和形式放权重。阅读本身也是一种本事。
- Axolotl 和 LLaMA-Factory 用 YAML 说的，就是 `lab.finetune` 做的；最容易出错的是对话模板和标签掩码。
- 衍生模型既守自己的许可证，也守基座的。没查到许可证，就是不许可。
- DPO 拉大的是差距：先 SFT，再用低学习率做 DPO，用考题来评判，别看 margin。
- 运算量：每个权重、每个词元，全量 6 次，LoRA 4 次，开检查点再加 2 次。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** The notice period becomes eight weeks (8周 in Chinese).
Make `updated`, the list of sentences with which the search answers so in both languages.
The check searches in it.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 离职通知期改成 8周（英文 8 weeks）。
请写出 `updated`，让检索用中英文都能这样回答。
检查时会真的去查。
"""

# %% exercise="update"
updated = None
### BEGIN SOLUTION
updated = [s.replace("6 weeks", "8 weeks").replace("6周", "8周") for s in sentences]
### END SOLUTION


# %% check="update" points=1
from labkit import course


def answers_eight(updated):
    about = [
        i.messages[0]["content"]
        for i in task.train
        if i.messages[1]["content"] in ("6 weeks", "6周")
    ]
    found = search(updated, about)
    right = all(s.rstrip(".。").endswith(("8 weeks", "8周")) for s in found)
    return right and len(updated) == len(sentences)


course.check("fine-tuning-tools.update", updated, answers_eight)

# %% [markdown] lang="en"
"""
**2.** How strongly does DPO pull at a pair?
Write `pull(margin, beta)`: the slope of the loss with respect to the chosen answer's log-probability, as a number below zero.
Then look: which pairs are pulled hardest, those already won or those still lost?
The check compares with autograd.
"""

# %% [markdown] lang="zh"
"""
**2.** DPO 对一个偏好对拉得有多用力？
写出 `pull(margin, beta)`：损失对选中回答的对数概率的斜率，是个负数。
写完想一想：拉得最用力的，是已经赢了的，还是还输着的？
检查时同自动求导对照。
"""


# %% exercise="pull"
def pull(margin, beta):
    ### BEGIN SOLUTION
    import math

    return -beta / (1 + math.exp(beta * margin))
    ### END SOLUTION


# %% check="pull" points=2
def slope(margin, beta):
    chosen = torch.tensor(float(margin), requires_grad=True)
    dpo_loss(chosen, torch.tensor(0.0), 0.0, 0.0, beta).backward()
    return float(chosen.grad)


cases = [(-20, 0.1), (0, 0.1), (0, 0.5), (7, 0.3)]
mine = None if pull(0, 0.1) is None else [round(pull(*case), 5) for case in cases]
course.check("fine-tuning-tools.pull", mine, [round(slope(*case), 5) for case in cases])

# %% [markdown] lang="en"
"""
**3.** Which is the largest of `SIZES` that LoRA (bf16, the `need` above) tunes on the 24 GB card with a tenth of it left free, if a sample has 4,096 tokens instead of 1,024?
Give the name.
It can be found by `lab.estimate`.
"""

# %% [markdown] lang="zh"
"""
**3.** 样本从 1,024 个词元加长到 4,096 个，用 LoRA（bf16），在 24 GB 的卡上留出一成，`SIZES` 里最大能微调哪一个？
写出名字。用 `lab.estimate` 可以找到。
"""

# %% exercise="largest"
largest = None
### BEGIN SOLUTION
for name in SIZES:
    e = lab.estimate(name, train="lora", precision="bf16", batch=1, seq=4096)
    if e.total <= 0.9 * cards["L4"]:
        largest = name
### END SOLUTION

# %% check="largest" points=1
free = int(0.9 * cards["L4"])
fitting = [n for n in SIZES if lab.estimate(n, train="lora", seq=4096, vram=free).fits]
course.check("fine-tuning-tools.largest", largest, fitting[-1])

# %% [markdown] lang="en"
"""
**4.** How many hours does QLoRA of Qwen2.5-14B take on an L4 at best, for one million tokens with checkpointing?
The embedding table has 152,064 × 5,120 numbers.
"""

# %% [markdown] lang="zh"
"""
**4.** 在 L4 上对 Qwen2.5-14B 做 QLoRA，一百万个词元，开检查点，最快要几个小时？
词嵌入表有 152,064 × 5,120 个数。
"""

# %% exercise="hours"
best_hours = None
### BEGIN SOLUTION
weights = find("Qwen2.5-14B").parameters - 152064 * 5120
speed = SHARE["qlora"][1] * find_device("L4").bf16_tflops * 1e12
best_hours = 6 * weights * 1e6 / speed / 3600
### END SOLUTION

# %% check="hours" points=1
expected = predict_time("Qwen2.5-14B", "qlora", 10**6, "L4").low / 3600
course.check("fine-tuning-tools.hours", best_hours, expected, tolerance=0.02)

# %% [markdown] lang="en"
"""
## On real models

One line: `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"` (on a GPU, add the `device` of the weights where a cell makes tensors of its own).
It will read a passage without being taught, so compare rungs 3 and 4 anew, and judge by whether the answer *contains* the right words, for it speaks in sentences.
Download, and memory to tune it by LoRA:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改一行：`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`（在 GPU 上，自己造张量的那几格要补上和权重一致的 `device`）。
它不用教就会照着原文答，所以第三、四级要重新比；它说的是整句话，评判时看回答里*有没有*正确的词。
下载大小，以及用 LoRA 微调它要的显存：
"""

# %%
half = find("Qwen2.5-0.5B")
print(show_bytes(2 * half.parameters), show_bytes(need["LoRA"][half.name]))
