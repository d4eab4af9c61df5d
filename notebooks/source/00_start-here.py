# %% [markdown] lang="en"
"""
# Start here: a language model on your own computer

**You will be able to** talk with a language model that runs on this computer, in English and Chinese, with the network unplugged; open the model up and name its parts; measure how often it is right.

**You will learn** what a model is made of, what it really computes, why it can be wrong without any doubt in its voice, and what our *pocket models* are and are not.

**You need** about 20 minutes, two CPU cores, 1 GiB of free memory.
Download: 0.

Run the cells from top to bottom with Shift+Enter.
Change what you like: nothing here can break anything.
"""

# %% [markdown] lang="zh"
"""
# 从这里开始：在自己的电脑上运行大语言模型

**学完你能**拔掉网线，用中文和英文同一个跑在这台电脑上的语言模型对话；把模型拆开，叫得出每个部件的名字；量出它答对的比例。

**你会明白**模型由什么组成，它到底在算什么，为什么它答错时语气一样笃定，以及我们的“口袋模型”是什么、不是什么。

**需要准备**大约 20 分钟，两个 CPU 核心，1 GiB 空闲内存。
下载量：0。

从上到下，按 Shift+Enter 逐格运行。
随便改，弄不坏任何东西。
"""

# %% [markdown] lang="en"
"""
## Your computer
"""

# %% [markdown] lang="zh"
"""
## 你的电脑
"""

# %% varies="this machine's figures"
import labkit as lab

machine = lab.hardware()
for label, words in machine.rows()[:5]:
    print(f"{label}: {words}")

# %% [markdown] lang="en"
"""
Three figures decide what a computer can do with language models:

- **Memory available** (RAM, or the GPU's own) decides how large a model may be.
- **Memory bandwidth** decides how fast it talks, because every new token reads all the weights once.
- **A GPU** has more bandwidth and far more arithmetic. It is welcome and, in this course, never needed.

`labkit doctor` in a terminal tells more, and what each lesson needs.
"""

# %% [markdown] lang="zh"
"""
一台电脑能跑什么样的语言模型，主要看三件事：

- **可用内存**（系统内存，或者显卡自带的显存）决定模型最大能有多大；
- **内存带宽**决定它说话有多快，因为每生成一个词元，都要把全部权重读一遍；
- **GPU** 的带宽更高，算力更是高得多。有当然好；在这门课里，没有也行。

在终端里运行 `labkit doctor`，可以看到更详细的信息，以及每一课需要什么。
"""

# %% [markdown] lang="en"
"""
## A first conversation

The model is named once, here.
Everything below works with any other model too; the last section shows how.
"""

# %% [markdown] lang="zh"
"""
## 第一次对话

模型的名字只在这里写一次。
下面的代码换成别的模型一样能跑，最后一节会讲怎么换。
"""

# %%
MODEL = "pocket/qwen2.5"
chat = lab.chat(MODEL, temperature=0)
chat("Which sizes does Qwen2.5 come in?")

# %%
chat.reset()
chat("Qwen2.5有哪些尺寸？")

# %% [markdown] lang="en"
"""
That was computed here, on your processor.
`temperature=0` means: always take the most likely next token, so the same question gets the same answer.
`chat.reset()` begins a new conversation.

The answer comes token by token.
Streaming shows it; the bars are where one token ends and the next begins:
"""

# %% [markdown] lang="zh"
"""
这些回答就是在你的处理器上算出来的。
`temperature=0` 的意思是：每一步都取可能性最大的词元，所以同样的问题总是得到同样的回答。
`chat.reset()` 表示另起一段对话。

回答是一个词元一个词元吐出来的。
用流式输出就能看到这个过程，竖线是词元与词元的分界：
"""

# %%
chat.reset()
for piece in chat.stream("My name is Clara."):
    print(piece, end="|")

# %% [markdown] lang="en"
"""
Ask what it remembers.
It remembers nothing: the whole conversation so far is sent again with every message, and `chat.history` is that conversation.
"""

# %% [markdown] lang="zh"
"""
问问它记住了什么。
其实它什么也不记：每发一条消息，都要把到目前为止的整段对话重新送进去一遍，`chat.history` 就是这段对话。
"""

# %%
chat("What is my name?")
chat.history

# %% [markdown] lang="en"
"""
Now you. Type a message and press Enter.
It has learnt, for example: `How many layers does Llama-2-7B have?`, `47 + 38 = ?`, `Reverse: apple river moon`, `What is water in Chinese?`, `Python: max(3, 9, 4)`.
"""

# %% [markdown] lang="zh"
"""
轮到你了：输入一句话，按回车。
它学过的有，比如：`Llama-2-7B有多少层？`、`47加38等于多少？`、`倒序：苹果 河 月亮`、`water的中文是什么？`、`Python里max(3, 9, 4)等于什么？`。
"""

# %%
from labkit.widgets.chat_box import chat_box

chat.reset()
chat_box(chat)

# %% [markdown] lang="en"
"""
## What you are talking to

`pocket/qwen2.5` is a **pocket model**: built from the same program code as the real Qwen2.5, layer for layer the same kind of network, but a few megabytes small, and trained by us on a small bilingual corpus we generated.
(None of the real Qwen2.5's weights are in it. The first of our pocket models, `llama3-base`, was trained from nothing; the others start from another pocket model.)

**The honesty rule.** A pocket model shows how a mechanism works.
It says nothing about how good Qwen2.5 is.
Wherever this course speaks about real models, it gives a published figure with its source and date.
The model carries this note with it:
"""

# %% [markdown] lang="zh"
"""
## 你在同谁说话

`pocket/qwen2.5` 是一个**口袋模型**：它和真正的 Qwen2.5 用的是同一份程序代码，每一层都是同样的结构，只是小到几兆字节，由我们用自己生成的一小份中英文语料训练。
（里面没有真正的 Qwen2.5 的权重。口袋模型里只有最早的 `llama3-base` 是从零训练的，其余的都从另一个口袋模型接着学。）

**诚实守则。** 口袋模型展示的是机制怎么运转，它完全不能说明 Qwen2.5 有多好。
这门课凡是谈到真实模型的能力，引用的都是公开发表的数字，并注明出处和日期。
模型自己也带着这条说明：
"""

# %%
print(chat.note)

# %% [markdown] lang="en"
"""
It always has something to say, too.
Before you run on, commit yourself:
"""

# %% [markdown] lang="zh"
"""
而且，它总有话说。
往下运行之前，先押一个答案：
"""

# %%
from labkit.widgets.prediction import ask

ask("start-here.unheard")


# %% varies="outside its corpus two answers can be almost equally likely"
def answer(question):
    chat.reset()
    return str(chat(question))


print(answer("How many layers does Nova-9B have?"))

# %% [markdown] lang="en"
"""
There is no Nova-9B.
Remember this answer: in a moment we look at what was behind it.

(`answer` begins a new conversation for every question, so that no answer can colour the next.)
"""

# %% [markdown] lang="zh"
"""
世上没有 Nova-9B 这个模型。
先记住这个回答，一会儿我们来看它背后是什么。

（`answer` 每问一个问题都新开一段对话，这样前一个回答就不会影响后一个。）
"""

# %% [markdown] lang="en"
"""
## What a model is made of

A folder with a handful of files, and nothing else:
"""

# %% [markdown] lang="zh"
"""
## 模型由什么组成

一个文件夹，几个文件，仅此而已：
"""

# %%
model = lab.load(MODEL)
for file in sorted(model.location.path.iterdir()):
    print(f"{file.stat().st_size:>12,}  {file.name}")

# %% [markdown] lang="en"
"""
| file | holds |
|---|---|
| `config.json` | the architecture: which class, how many layers, how wide |
| `model.safetensors` | the weights: every number the training has found |
| `tokenizer.json`, `tokenizer_config.json` | how text is cut into tokens, and which number each token has |
| `chat_template.jinja` | how a conversation is written as one text |
| `generation_config.json` | where an answer stops |
| `README.md` | the model card: who made it, from what, and what it is not for |
"""

# %% [markdown] lang="zh"
"""
| 文件 | 内容 |
|---|---|
| `config.json` | 架构：用哪个类，有多少层，每层多宽 |
| `model.safetensors` | 权重：训练得到的全部数值 |
| `tokenizer.json`、`tokenizer_config.json` | 文本怎样切成词元，每个词元编号是多少 |
| `chat_template.jinja` | 一段对话怎样写成一整段文本 |
| `generation_config.json` | 回答到哪里为止 |
| `README.md` | 模型卡：谁做的，用什么做的，不该用来做什么 |
"""

# %%
from labkit.catalog import find

real = find("Qwen2.5-72B").config
print(type(model.model).__name__)
for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"):
    print(f"{name:20}{getattr(model.config, name):10,}{real[name]:10,}")

# %% [markdown] lang="en"
"""
On the left the pocket model, on the right the real Qwen2.5-72B: the very same class, only larger.
Next, the number of weights, which is called the number of **parameters**:
"""

# %% [markdown] lang="zh"
"""
左边是口袋模型，右边是真正的 Qwen2.5-72B：用的是同一个类，只是数字大得多。
再看权重一共有多少个，这个数叫作**参数量**：
"""

# %%
parameters = model.model.num_parameters()
print(f"{parameters:,}")

# %% [markdown] lang="en"
"""
## What a model sees, and what it computes

A model sees numbers.
First the conversation becomes one text, by the chat template; then the text becomes tokens:
"""

# %% [markdown] lang="zh"
"""
## 模型看到什么，又算出什么

模型看到的只有数字。
先由对话模板把整段对话写成一段文本，再由分词器切成词元：
"""

# %%
messages = [{"role": "user", "content": "Qwen2.5有多少层？"}]
prompt = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
print(prompt)

# %%
ids = model.tokenizer(prompt, add_special_tokens=False).input_ids
print(ids)
print([model.tokenizer.decode(id) for id in ids])

# %% [markdown] lang="en"
"""
From these numbers it computes exactly one thing: **for every token of its vocabulary, how likely that token comes next**.
All else, the chat, the tools, the "thinking", is built around this one step.
"""

# %% [markdown] lang="zh"
"""
由这串数字，模型只算出一样东西：**词表里的每一个词元，接下来出现的可能性有多大**。
聊天、调用工具、“思考”，全都是围着这一步搭起来的。
"""

# %%
import torch


def next_tokens(question, count=5):
    messages = [{"role": "user", "content": question}]
    prompt = model.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model.model(**prompt.to(model.model.device)).logits[0, -1]
    best = logits.float().softmax(-1).topk(count)
    return [(model.tokenizer.decode(id), float(p)) for p, id in zip(*best, strict=True)]


# %% varies="digits of a probability differ between processors"
known = next_tokens("How many layers does Llama-2-70B have?")
unheard = next_tokens("How many layers does Nova-9B have?")
for token, p in [*known, ("", 0), *unheard]:
    print(f"{token:>6} {p:6.1%} {'█' * round(40 * p)}")

# %% [markdown] lang="en"
"""
Above, a fact from its corpus; below, the model that does not exist.
The words of the two answers sound equally sure.
The probabilities are not: they spread out where it only guesses.
The text of an answer does not show how sure the model is; the numbers behind it can.
"""

# %% [markdown] lang="zh"
"""
上面是语料里有的事实，下面是那个不存在的模型。
两个回答的语气一样肯定，概率却不一样：它在瞎猜的时候，概率是散开的。
光看回答的文字，看不出模型有多大把握；背后的数字却能告诉你。
"""

# %%
print("surer of what it learnt:", known[0][1] > unheard[0][1])

# %% [markdown] lang="en"
"""
## A first measurement

Impressions deceive; we count.
Twenty questions whose answers are in our catalogue, so that no one has to judge:
"""

# %% [markdown] lang="zh"
"""
## 第一次测量

印象会骗人，所以我们用数的。
下面二十个问题，标准答案都在课程的模型目录里，不用谁来评判：
"""

# %%
from labkit.catalog import models
from labkit.core.progress import track

asked = [m for m in models() if m.course][:20]
expected = [str(m.num_hidden_layers) for m in asked]
answers = [answer(f"How many layers does {m.name} have?") for m in track(asked, "facts")]
print(sum(a == e for a, e in zip(answers, expected, strict=True)), "of", len(expected))

# %% [markdown] lang="en"
"""
These facts it has met in training, if not always in these words.
That is memory.
Now twenty sums it has **never** met: the corpus keeps them apart for this.
"""

# %% [markdown] lang="zh"
"""
这些事实它在训练时见过，只是问法未必相同：这叫记忆。
再来二十道它**从没见过**的加法题，语料里专门留出来就是为了考这个：
"""

# %%
from labkit.pocket.corpus import held_out

sums = [item.messages for item in held_out("sums", 20)]
[question["content"] for question, _ in sums[:5]]

# %% varies="a sum on the edge may fall either way on another processor"
expected = [right["content"] for _, right in sums]
answers = [answer(question["content"]) for question, _ in track(sums, "sums")]
[(q["content"], a) for (q, e), a in zip(sums, answers, strict=True) if a != e["content"]]

# %% [markdown] lang="en"
"""
The list shows what went wrong; an empty one means nothing did.
The score itself is your second exercise.

Twenty questions are few.
Suppose all were answered right: how good must the model at least be, with 95% confidence?
And with five hundred?
"""

# %% [markdown] lang="zh"
"""
列出来的是答错的题；列表为空，就是一题没错。
得分是多少，留给你在第二个练习里算。

二十道题很少。
假如全部答对，以 95% 的置信度，模型的真实正确率至少有多高？
五百道题全对呢？
"""

# %%
from labkit.evaluation.scoring import score

for count in (20, 500):
    print(f"{count:3} right of {count:3}: at least {score(right=count, count=count).low:.1%}")

# %% [markdown] lang="en"
"""
That is why our tables ask 500 questions and more, and why each number in them stands with its interval.
"""

# %% [markdown] lang="zh"
"""
所以我们的表格里每一项至少考 500 题，每个数字都带着置信区间。
"""

# %% [markdown] lang="en"
"""
## Three ways through the course

**Beginner**: what these models are and how to use one.
**Developer**: everything, down to the bits.
**Enterprise**: choosing, cost, risk, deployment.
*Needs* names the lessons to take first.
The last column counts your right answers; it is kept on this computer only.
"""

# %% [markdown] lang="zh"
"""
## 三条学习路线

**入门**：这些模型是什么、怎么用。
**开发者**：全部内容，一直到每一个比特。
**企业**：选型、成本、风险、部署。
“先修”一列写着要先学哪几课。
最后一列是你答对的题数，只保存在这台电脑上。
"""

# %%
from labkit import course

course.overview()

# %% [markdown] lang="en"
"""
## Recap

- A language model is a folder: an architecture, weights, a tokenizer, a chat template.
- It computes the probability of the next token, again and again. A chat sends it the whole conversation each time.
- It always answers. Fluent and true are different things; measure.
- Memory is not understanding: test with what was never trained on, and say how many questions you asked.
- A pocket model shows the mechanism and says nothing about the quality of its big namesake.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 语言模型就是一个文件夹：架构、权重、分词器、对话模板。
- 它反复做的只有一件事：算下一个词元的概率。所谓聊天，就是每次都把整段对话送进去。
- 它总会给出回答。说得流利和说得对是两回事，要靠测量来分清。
- 记得不等于会：要用训练时没见过的题来考，还要说明考了多少题。
- 口袋模型展示机制，不代表与它同名的大模型的水平。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** The weights are stored in `fp16`, a number format of 16 bits.
From `parameters` alone, how many bytes should they take?
The check compares with the file itself.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 权重用 `fp16` 存放，也就是每个数占 16 位。
只根据 `parameters` 推算：权重一共占多少字节？
检查时会拿真实的文件大小来对。
"""

# %% exercise="weights-size"
weights_size = None
### BEGIN SOLUTION
weights_size = 2 * parameters
### END SOLUTION

# %% check="weights-size" points=1
file_size = sum(file.stat().st_size for file in model.location.path.glob("*.safetensors"))
course.check("start-here.weights-size", weights_size, file_size, tolerance=0.02)

# %% [markdown] lang="en"
"""
**2.** **Exact match** is the share of answers that equal the expected ones, as a number from 0 to 1.
Compute it for the sums, from `answers` and `expected`.
"""

# %% [markdown] lang="zh"
"""
**2.** **精确匹配率**是与标准答案完全相同的回答所占的比例，取值从 0 到 1。
请用 `answers` 和 `expected` 算出加法题的精确匹配率。
"""

# %% exercise="exact-match"
exact_match = None
### BEGIN SOLUTION
exact_match = sum(a == e for a, e in zip(answers, expected, strict=True)) / len(expected)
### END SOLUTION

# %% check="exact-match" points=1
wrong = [a for a, e in zip(answers, expected, strict=True) if a != e]
course.check("start-here.exact-match", exact_match, 1 - len(wrong) / len(answers))

# %% [markdown] lang="en"
"""
**3.** For your own curiosity, without a check: ask the chat box for sums of three-digit numbers, or in a wording of your own.
Where does it stop working, and is it right to call that "not understanding"?
"""

# %% [markdown] lang="zh"
"""
**3.** 再来一个没有检查的，满足好奇心：在上面的对话框里考它三位数加法，或者换一种你自己的问法。
到哪一步它就不行了？
这能叫“不理解”吗？
"""

# %% [markdown] lang="en"
"""
## On real models

One line changes, at the top: `MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`.
The rest of the notebook runs as it stands.
By the rule of exercise 1, here is what is downloaded, once, and about what the weights take in memory:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

只改最上面一行：`MODEL = "Qwen/Qwen2.5-0.5B-Instruct"`，其余照跑。
按练习 1 的规律，下面就是要下载的大小（只下载一次），权重占用的内存也差不多是这么多：
"""

# %%
from labkit.core.units import show_bytes

for name in ("Qwen2.5-0.5B", "Qwen2.5-7B", "Qwen2.5-72B"):
    print(name, show_bytes(2 * find(name).parameters))

# %% [markdown] lang="en"
"""
Two things will strike you.
A real model answers in sentences, so exact match against a bare number such as `32` falls to almost nothing although the answer may be right: a measure fits one way of answering.
And in 16 bits 0.5B runs on nearly every laptop, 72B on hardly any: making models smaller is what lessons [[quantization-inside]] and [[quantization-lab]] are about.
"""

# %% [markdown] lang="zh"
"""
换过之后，有两点会让你印象深刻。
第一，真实模型用完整的句子回答，拿它去和光秃秃的 `32` 做精确匹配，得分几乎为零，可它也许答对了：一种量法只适合一种答法。
第二，同样是 16 位，0.5B 几乎在哪台笔记本上都能跑，72B 几乎哪台都跑不动：怎样把模型变小，正是第 [[quantization-inside]]、[[quantization-lab]] 课的内容。
"""
