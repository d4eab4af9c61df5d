# %% [markdown] lang="en"
"""
# Many users, many machines

**You will be able to** measure how a server answers when many ask at once; say how much of a GPU's speed a single user leaves unused; lose a server in the middle of the work without losing a request; plan replicas, GPUs and money for a number of users, and name what the plan assumes.

**You will learn** why the average hides what users complain about, why batching is nearly free, what a second replica brings and what it does not, and what Ray, vLLM and Modal each take over.

**You need** about 60 minutes, two CPU cores, 1.7 GiB of free memory.
Download: 0.
"""

# %% [markdown] lang="zh"
"""
# 更多用户，更多机器

**学完你能**测出一个服务在许多人同时提问时表现如何；说清一个用户独占 GPU 时浪费了多少算力；在运行途中失去一个服务而不丢请求；按用户数规划副本、GPU 和费用，并说出规划依据的假设。

**你会明白**为什么平均值掩盖了用户抱怨的东西，为什么批处理几乎是白送的，多一个副本能带来什么、不能带来什么，以及 Ray、vLLM、Modal 各管哪一段。

**需要准备**大约 60 分钟，两个 CPU 核心，1.7 GiB 空闲内存。
下载量：0。
"""

# %% [markdown] lang="en"
"""
## One server, more and more clients

A server with one thread, and a question with a known answer.
Each client asks, reads the answer as it streams in, and asks again at once.
"""

# %% [markdown] lang="zh"
"""
## 一个服务，越来越多的客户端

先启动一个单线程的服务，准备一个答案已知的问题。
每个客户端提问，一边接收一边读完回答，马上再问。
"""

# %%
import labkit as lab

MODEL = "pocket/qwen2.5"
QUESTION = "Which sizes does Qwen2.5 come in?"
server = lab.serve(MODEL, port=0, n_threads=1, context=512)
print(server.model, lab.chat(server.url, api_key=server.api_key)(QUESTION), sep=": ")

# %% [markdown] lang="en"
"""
This server answers one request after another.
Instead of one client, eight will ask at once:
"""

# %% [markdown] lang="zh"
"""
这个服务一次只回答一个请求。
如果不是一个客户端，而是八个同时问：
"""

# %%
from labkit.widgets.prediction import ask

ask("scale-out.queue")

# %%
from labkit.serving.load_test import measure_load

CLIENTS = (1, 3, 8)
test = measure_load(
    server.url,
    api_key=server.api_key,
    clients=CLIENTS,
    requests=24,
    prompts=[QUESTION],
    max_new_tokens=64,
)
[(row.clients, row.answered, len(row.errors)) for row in test.rows]

# %% varies="times depend on the computer"
test

# %% varies="times depend on the computer"
from labkit.plots.load import draw_waits

draw_waits(test)

# %%
alone, crowd = test.rows[0], test.rows[-1]
print(crowd.first_token.p50 > 2 * alone.first_token.p50)
print(crowd.requests_per_second < 3 * alone.requests_per_second)

# %% [markdown] lang="en"
"""
Eight clients do not get eight times as much.
They get about what one got, and stand in a queue for it.
The wait for the first token grows with the number of clients; the time between tokens far less, for whoever is being answered has the server to himself.
(Pocket model: the shape of the curve carries over, the milliseconds do not.)

The same from a terminal, against any server that speaks this protocol: `labkit bench-serve URL --clients 1 --clients 8 --plot waits.png`.
"""

# %% [markdown] lang="zh"
"""
八个客户端并没有得到八倍的产出，总共还是和一个客户端时差不多，只是大家排起了队。
客户端越多，等第一个词元的时间越长；词元之间的间隔却变化不大，因为轮到谁，服务就归谁独占。
（这是口袋模型：曲线的形状有参考价值，毫秒数没有。）

在终端里也能测，对象可以是任何支持这套协议的服务：`labkit bench-serve URL --clients 1 --clients 8 --plot waits.png`。
"""

# %% [markdown] lang="en"
"""
### Little's law

In any queue that neither grows nor empties: **under way = arrivals a second × seconds each stays**.
With a fixed number of clients we know the left side, so the law checks our measurement:
"""

# %% [markdown] lang="zh"
"""
### 利特尔法则

只要队伍不再变长也不变短，就有：**在途数 = 每秒到达数 × 每个停留的秒数**。
客户端数是固定的，等号左边已知，正好用来检验测量：
"""

# %%
from statistics import mean

for row, answers in zip(test.rows, test.answers, strict=True):
    stay = mean(answer.ended - answer.sent for answer in answers)
    print(row.clients, 0.6 < row.requests_per_second * stay / row.clients < 1.1)

# %% [markdown] lang="en"
"""
It may come out a little low: near the end, clients that are done send nothing more, so fewer requests are under way.
The planner below uses the law the other way round: from users to requests under way.
"""

# %% [markdown] lang="zh"
"""
算出来可能略低一点：测试快结束时，做完的客户端不再发请求，在途的就少了。
后面的规划会反过来用这条法则：由用户数算出同时在途的请求数。
"""

# %% [markdown] lang="en"
"""
## The tail

Of a hundred waits, p50 is the one in the middle and p95 the one that five exceed.
Suppose a service answers 95 of 100 requests in 0.2 s and the rest in 4 s.
"""

# %% [markdown] lang="zh"
"""
## 尾部

一百次等待里，p50 是排在中间的那一次，p95 是只有五次比它更久的那一次。
假设有个服务，100 个请求里 95 个 0.2 秒就有回答，其余的要 4 秒。
"""

# %%
ask("scale-out.tail")

# %%
from labkit.serving.load_test import percentile

waits = [0.2] * 95 + [4.0] * 5
print(round(mean(waits), 2), [percentile(waits, p) for p in (50, 95, 99)])
print(round(1 - 0.95**10, 2))

# %% [markdown] lang="en"
"""
The mean, 0.39 s, is a wait nobody had. p95 says all is well, p99 does not.
And a person sends more than one request: of ten, at least one is slow for 40 % of the people.
Agree on a p99, not on an average.
"""

# %% [markdown] lang="zh"
"""
平均 0.39 秒，可是谁也没等过 0.39 秒。
看 p95 一切正常，看 p99 就不是了。
而且一个人不会只发一个请求：发十个，就有 40% 的人至少碰上一次慢的。
所以约定指标时要定 p99，不要定平均值。
"""

# %% [markdown] lang="en"
"""
## Batching

To write one token, a model reads all its weights once.
To write one token for each of sixteen people, it can still read them once.
(In so small a model it is mostly the fixed cost of a call that is shared.)
One step of the pocket model by Transformers, for one sequence and for more:
"""

# %% [markdown] lang="zh"
"""
## 批处理

写一个词元，模型要把全部权重读一遍。
给十六个人各写一个词元，权重同样读一遍就够了。
（模型这么小，分摊掉的主要是每次调用的固定开销。）
用 Transformers 让口袋模型走一步，先是一条序列，再逐渐加多：
"""

# %%
from time import perf_counter

import torch

torch.set_num_threads(1)  # as the server has
model = lab.load(MODEL, "transformers").model
token = torch.tensor([[5]])


@torch.inference_mode()
def step_seconds(batch, repeats=20):
    taken = []
    for _ in range(repeats):
        start = perf_counter()
        model(token.expand(batch, 1))
        taken.append(perf_counter() - start)
    return min(taken)


steps = {batch: step_seconds(batch) for batch in (1, 4, 16)}

# %% varies="times depend on the computer"
{batch: f"{1000 * seconds:.2f} ms" for batch, seconds in steps.items()}

# %%
print(steps[16] < 8 * steps[1])

# %% [markdown] lang="en"
"""
Sixteen tokens for far less than the price of sixteen.
On a GPU and a real model it can be worked out: a step takes the time to read the weights, once, and the cache of every answer.
That estimate for Qwen2.5-7B in bf16 on an RTX 4090, at 60 % of its memory bandwidth and 1,300 tokens an answer:
"""

# %% [markdown] lang="zh"
"""
十六个词元的代价，远不到一个的十六倍。
真实模型在 GPU 上可以直接算：一步的时间，就是把权重读一遍，再把每个回答的缓存读一遍。
下面是 Qwen2.5-7B（bf16）在 RTX 4090 上的估算，按显存带宽的 60% 计，每个回答 1,300 个词元：
"""

# %%
from labkit.core.i18n import t
from labkit.costs.capacity import step_speed
from labkit.estimation.tokens_per_second import find_bandwidth
from labkit.plots import draw_lines

GPU = "RTX 4090"
one = lab.estimate("Qwen2.5-7B", quant="bf16", context=1300, engine="transformers")
peak = find_bandwidth(GPU)[0]
speeds = {n: step_speed(one, peak, n, share=0.6) for n in (1, 2, 4, 8, 16, 32, 64)}
draw_lines(
    {
        t("all together", "合计"): list(speeds.items()),
        t("each one", "每个回答"): [(n, speed / n) for n, speed in speeds.items()],
    },
    title=t("Qwen2.5-7B on an RTX 4090, estimate", "Qwen2.5-7B 在 RTX 4090 上（估算）"),
    x=t("answers at once (log scale)", "同时进行的回答（对数刻度）"),
    y=t("tokens/s (log scale)", "词元/秒（对数刻度）"),
    log_x=True,
    log_y=True,
)

# %% [markdown] lang="en"
"""
From 1 to 64 answers the total grows some 48-fold, and each one loses about a quarter of its speed.
That is what vLLM lives on: it puts a new request into the running batch at the next token (*continuous batching*) and keeps the caches in pages, so that no memory lies idle between them. llama.cpp's own `llama-server` batches like this, too; the Python server of this course does not, it queues.
Is the estimate any good?
A published run beside it:
"""

# %% [markdown] lang="zh"
"""
从 1 个回答到 64 个，合计速度涨到约 48 倍，而单个回答只慢了约四分之一。
vLLM 靠的就是这个：新请求在下一个词元就并入正在跑的批次（*连续批处理*），缓存按页管理，中间不留空闲显存。
llama.cpp 自带的 `llama-server` 也会这样批处理；本课程用的 Python 服务不会，只排队。
这个估算靠得住吗？
旁边放一个公开的实测：
"""

# %%
from labkit.catalog.quotes import throughputs

for run in throughputs():
    context = run.input_tokens + run.output_tokens
    same = lab.estimate(run.model, quant="bf16", context=context, engine="transformers")
    guesses = [step_speed(same, peak, run.concurrency, share) for share in (0.45, 0.85)]
    print(run.model, run.engine, run.concurrency, run.tokens_per_second, run.as_of, run.source)
    print([round(guess) for guess in guesses])

# %% [markdown] lang="en"
"""
It lies at the lower end of the range: that run also had to read the prompts, which the estimate leaves out.
So the range says what to expect when all goes well; only a load test says what you get.
"""

# %% [markdown] lang="zh"
"""
实测落在区间的下端：它还得读提示，估算里没有算这一段。
所以，这个区间说的是顺利时大概有多少；真正能有多少，只有压力测试知道。
"""

# %% [markdown] lang="en"
"""
## A second replica, and one that dies

More than one machine can give needs a second copy, a **replica**.
A second server of one thread, beside the first:
"""

# %% [markdown] lang="zh"
"""
## 第二个副本，以及一个倒下的副本

一台机器不够，就再放一份模型，叫作**副本**。
在第一个旁边再启动一个单线程的服务：
"""

# %%
second = lab.serve(MODEL, port=0, n_threads=1, context=512)
print(second.model, second.url != server.url)

# %% [markdown] lang="en"
"""
Who shares requests out is a *load balancer*; ours takes only a few lines.
It takes the replicas in turn, and where one does not answer, the next:
"""

# %% [markdown] lang="zh"
"""
把请求分给各个副本的叫*负载均衡器*，我们的只有几行：轮流用各个副本，哪个不应答，就换下一个：
"""

# %%
from openai import APIConnectionError, OpenAI

replicas = [
    OpenAI(base_url=place.url, api_key=place.api_key, max_retries=0) for place in (server, second)
]
failed = []


def answer(number):
    messages = [{"role": "user", "content": QUESTION}]
    for attempt in range(4):
        client = replicas[(number + attempt) % len(replicas)]
        try:
            reply = client.chat.completions.create(model=MODEL, messages=messages, temperature=0)
            return reply.choices[0].message.content
        except APIConnectionError as error:
            failed.append(type(error).__name__)


# %% [markdown] lang="en"
"""
Four clients send 24 requests.
After the sixth answer one of the two servers is killed, as by a power cut:
"""

# %% [markdown] lang="zh"
"""
四个客户端发 24 个请求。
收到第六个回答之后，把其中一个服务强行杀掉，就像突然断电：
"""

# %%
ask("scale-out.kill")

# %%
from concurrent.futures import ThreadPoolExecutor

import psutil

answers = []
with ThreadPoolExecutor(4) as crew:
    for text in crew.map(answer, range(24)):
        answers.append(text)
        if len(answers) == 6:
            psutil.Process(second.pid).kill()
print(len(answers), set(answers))
print(second.is_running, len(failed) > 0)

# %% [markdown] lang="en"
"""
Twenty-four questions, as many whole answers, one server dead.
What made it work: the request **can be asked again**, since it changes nothing, and **somebody asks again**.
A server cannot do that for you once the first words are out: half an answer has been shown already.
And an action ("book the flight") must not be repeated blindly; give it a number by which the receiver knows it again.
"""

# %% [markdown] lang="zh"
"""
二十四个问题，二十四个完整的回答，一个服务已经没了。
靠的是两点：请求**可以重发**，因为它不改变任何东西；而且**有人去重发**。
回答一旦吐出开头几个字，服务端就帮不了你了，半截回答已经显示出去。
另外，有后果的操作（“订机票”）不能盲目重发，要给它一个编号，让接收方认得出是同一个。
"""

# %% [markdown] lang="en"
"""
### Is two twice as fast?

Start the second again and measure with four clients: one replica, then both at once, each with its own two.
"""

# %% [markdown] lang="zh"
"""
### 两个就快一倍吗？

把第二个重新启动，用四个客户端测一测：先只用一个副本，再两个一起，各带两个客户端。
"""

# %%
second = lab.serve(MODEL, port=0, n_threads=1, context=512)


def rate(place, clients, requests):
    settings = {"requests": requests, "prompts": [QUESTION], "max_new_tokens": 64}
    return measure_load(place.url, api_key=place.api_key, clients=[clients], **settings).rows[0]


single = rate(server, 4, 16)
with ThreadPoolExecutor(2) as crew:
    both = list(crew.map(lambda place: rate(place, 2, 8), (server, second)))
print(single.answered, [row.answered for row in both])

# %% varies="depends on the cores that are free"
together = sum(row.requests_per_second for row in both)
print(
    f"{single.requests_per_second:.1f} → {together:.1f}, × {together / single.requests_per_second:.2f}"
)

# %% [markdown] lang="en"
"""
How near the factor comes to two depends on the cores that are free: two servers, the client that reads their streams and this notebook share them, and on two cores there is none left over.
A replica helps where it brings **its own** memory bandwidth: another GPU, another machine.
Two on the same GPU compete for the same memory, and one with a larger batch would have done better.
"""

# %% [markdown] lang="zh"
"""
这个倍数离二有多近，要看有几个核心空着：两个服务、读取数据流的客户端和这个笔记本要分着用，只有两个核心时，一个多余的都没有。
副本只有带来**自己的**显存带宽才有用：另一张 GPU，另一台机器。
两个副本挤在同一张 GPU 上，抢的是同一份带宽，还不如一个副本、批次大一点。
"""

# %%
for place in (server, second):
    place.close()

# %% [markdown] lang="en"
"""
### Who does this for real

A few lines are enough to see the principle.
In service, other things are needed: replicas that are started again, nodes that come and go, health checks.
Established tools, none of which we rewrite:

- **vLLM** (or SGLang) on each GPU: continuous batching. A model too large for one GPU is split: `--tensor-parallel-size` within a machine, `--pipeline-parallel-size` across machines.
- **Ray** joins machines to a cluster; vLLM uses it for a model over several machines, Ray Serve for replicas.
- **Modal** and its like: a rented GPU by the second, started by the first request and stopped after the last.

Ray runs here, too.
Two replicas on Ray Serve, behind one address; starting it takes about half a minute and 1.2 GiB, for it is made for more than a laptop:
"""

# %% [markdown] lang="zh"
"""
### 真正上线时用什么

几行代码足以看懂原理。
真要上线，还得有人重启倒下的副本、应付节点的来去、做健康检查。
这些都有成熟的工具，用不着自己写：

- 每张 GPU 上跑 **vLLM**（或 SGLang）：连续批处理。一张 GPU 放不下的模型要拆开：机器内部用 `--tensor-parallel-size`，跨机器用 `--pipeline-parallel-size`。
- **Ray** 把多台机器连成集群：vLLM 用它把一个模型放到几台机器上，Ray Serve 用它管理副本。
- **Modal** 一类的服务：按秒租 GPU，第一个请求来了才启动，最后一个走了就停。

Ray 在这里也能跑。
用 Ray Serve 启动两个副本，对外只有一个地址。
启动要半分钟左右，占 1.2 GiB 内存，毕竟它不是为一台笔记本设计的：
"""

# %%
from labkit.serving.ray_cluster import replica_processes, serve_replicas

service = serve_replicas(MODEL, replicas=2, port=0, context=512)
print(service.model, lab.chat(service.url, api_key=service.api_key)(QUESTION), sep=": ")

# %% [markdown] lang="en"
"""
Again four clients, and a second after they begin one of the two replicas is killed.
(Not on Windows, where Ray's processes cannot be told apart.)
"""

# %% [markdown] lang="zh"
"""
还是四个客户端，开始一秒之后杀掉其中一个副本。
（Windows 上分辨不出 Ray 的进程，这一步做不了。）
"""

# %%
from threading import Timer

Timer(1, replica_processes(service)[0].kill).start()
settings = {"clients": [4], "requests": 48, "prompts": [QUESTION], "max_new_tokens": 64}
killed = measure_load(service.url, api_key=service.api_key, retries=6, **settings)
print(killed.rows[0].answered, killed.rows[0].errors)
print({given.text for given in killed.answers[0]} == set(answers))

# %% varies="how many were under way there, and how Ray answered them, is chance"
killed.rows[0].retried

# %% [markdown] lang="en"
"""
Nobody lost an answer, and no balancer of ours was at work.
What had been under way on the dead replica, Ray Serve gave to the other one or answered with an error, and then the client asked again (`retries`).
Meanwhile Ray starts a replica in its place:
"""

# %% [markdown] lang="zh"
"""
没有丢掉一个回答，而且没有用到我们自己的均衡器。
倒下的副本手里的请求，Ray Serve 要么转给另一个，要么回一个错误，再由客户端重发（`retries`）。
与此同时，Ray 会补上一个新副本：
"""

# %%
from time import sleep

for _ in range(60):
    if len(replica_processes(service)) == 2:
        break
    sleep(1)
print(len(replica_processes(service)))
service.close()

# %% [markdown] lang="en"
"""
In a terminal: `labkit serve pocket/qwen2.5 --replicas 2`.
Where the variable `RAY_ADDRESS` names a cluster of several machines, the replicas are spread over it.
The same cluster can work through a table: `labkit.serving.ray_cluster.sweep` runs a function for each of many values, a format or a rank of LoRA, here in turn, on a cluster at the same time:
"""

# %% [markdown] lang="zh"
"""
在终端里：`labkit serve pocket/qwen2.5 --replicas 2`。
如果环境变量 `RAY_ADDRESS` 指向一个多机集群，副本就会分散到各台机器上。
同一个集群还可以用来跑表格：`labkit.serving.ray_cluster.sweep` 对许多取值（量化格式、LoRA 的秩）各运行一次同一个函数，在本机上依次运行，在集群上同时运行：
"""

# %%
from labkit.serving.ray_cluster import sweep

sweep(lambda form: lab.quantize(MODEL, form).rows[0].file_size, ["Q4_0", "Q5_0", "Q8_0"])

# %% [markdown] lang="en"
r"""
vLLM over two machines with eight GPUs each.
*Not run here: no GPU. Check it against the version you install.*

```sh
ray start --head --port=6379                       # first machine
ray start --address=FIRST_MACHINE:6379             # second machine
vllm serve Qwen/Qwen2.5-72B-Instruct --distributed-executor-backend ray \
    --tensor-parallel-size 8 --pipeline-parallel-size 2 --host 127.0.0.1
```

By default Ray's ports have no password (`RAY_AUTH_MODE=token` turns one on): keep the cluster in a network of its own.
For one machine, labkit writes the script, checked against the memory estimate; it has not been run by us either:
"""

# %% [markdown] lang="zh"
r"""
用两台各有八张 GPU 的机器跑 vLLM。
*这里没有 GPU，没有运行过，请对照你安装的版本核实。*

```sh
ray start --head --port=6379                       # 第一台
ray start --address=FIRST_MACHINE:6379             # 第二台
vllm serve Qwen/Qwen2.5-72B-Instruct --distributed-executor-backend ray \
    --tensor-parallel-size 8 --pipeline-parallel-size 2 --host 127.0.0.1
```

Ray 的端口默认没有密码（`RAY_AUTH_MODE=token` 可以开启）：集群要放在单独的网络里。
只用一台机器时，labkit 可以直接写出脚本，并对照显存估算检查过；这个脚本我们同样没有运行过：
"""

# %%
import tempfile
from pathlib import Path

from labkit.exports.vllm import write_vllm

with tempfile.TemporaryDirectory() as folder:
    write_vllm("Qwen2.5-7B", folder, vram="24GiB", context=8192)
    print(Path(folder, "serve.sh").read_text(encoding="utf-8"))

# %% [markdown] lang="en"
"""
`labkit export Qwen2.5-7B --to modal -o DIR` writes the same for Modal (lesson [[deploy]]).
"""

# %% [markdown] lang="zh"
"""
`labkit export Qwen2.5-7B --to modal -o DIR` 会为 Modal 写出同样的东西（见第 [[deploy]] 课）。
"""

# %% [markdown] lang="en"
"""
## A plan on paper

500 people use an assistant at the busiest time of the day.
What does that take?
"""

# %% [markdown] lang="zh"
"""
## 纸上的规划

一天里最忙的时候有 500 人在用助手。
需要多少机器？
"""

# %%
from labkit.costs.capacity import plan_capacity

plan_capacity("Qwen2.5-7B", GPU, users=500)

# %% [markdown] lang="en"
"""
Every line can be followed by hand.
500 people × 6 requests an hour × 3 at the worst moment are 2.5 requests a second; × 300 tokens, 750 tokens a second.
By Little's law, 2.5 a second × 30 s (300 tokens at 10 a second) are 75 under way.
A card does 975 (published), and we plan with 70 % of it, for at full load queues grow without end.
So two cards, and a third that may fail.
Change an assumption, and see whether the answer moves:
"""

# %% [markdown] lang="zh"
"""
每一行都能手算。
500 人 × 每小时 6 次 × 最忙一刻的 3 倍，就是每秒 2.5 个请求；再乘 300 个词元，每秒 750 个词元。
按利特尔法则，每秒 2.5 个 × 30 秒（300 个词元，每秒 10 个）= 75 个在途。
一张卡每秒 975 个（公开数据），只按 70% 规划，因为跑满时队伍会越排越长。
所以要两张，再加一张备用。
改一个假设，看看结果动不动：
"""

# %%
from labkit.core.tables import Table
from labkit.costs.capacity import Demand

cases = {
    t("as above", "同上"): Demand(500),
    t("answers twice as long", "回答长一倍"): Demand(500, output_tokens=600),
    t("half the peak", "峰值减半"): Demand(500, peak=1.5),
    t("documents of 20,000 tokens", "文档 20,000 词元"): Demand(500, input_tokens=20_000),
}
plans = {name: plan_capacity("Qwen2.5-7B", GPU, demand=demand) for name, demand in cases.items()}
limit = {"throughput": t("speed", "速度"), "cache": t("memory", "显存")}
header = t("case, replicas, slots, limited by", "情形, 副本, 每副本容量, 受限于")
Table(
    header.split(", "),
    [(name, str(p.replicas), str(p.slots), limit[p.limited_by]) for name, p in plans.items()],
)

# %% [markdown] lang="en"
"""
Long documents change the kind of limit: it is no longer speed but memory, since only a few of such caches fit beside the weights.
(The plan does not count reading the prompts, here 50,000 tokens a second: measure that as well.)
A model with a smaller cache per token (lessons [[family-album]] and [[deepseek]]) then saves more money than a faster card.

From one machine to the internet, two models:
"""

# %% [markdown] lang="zh"
"""
文档一长，瓶颈就换了：不再是速度，而是显存，权重旁边放不下几个这么大的缓存。
（规划没有算读提示，这里每秒要读 50,000 个词元，也得实测。）
这时候换一个每词元缓存更小的模型（第 [[family-album]]、[[deepseek]] 课），比换更快的卡更省钱。

从一台机器到整个互联网，看两个模型：
"""

# %%
USERS = (100, 1_000, 10_000, 100_000)
choices = {"Qwen2.5-7B": GPU, "Qwen2.5-72B": "H100 SXM"}
fleet = {name: [plan_capacity(name, gpu, users=n) for n in USERS] for name, gpu in choices.items()}
draw_lines(
    {
        f"{name}, {choices[name]}": [(p.demand.users, p.gpus) for p in plans]
        for name, plans in fleet.items()
    },
    title=t("GPUs for so many users at the busiest time", "最忙时的用户数与所需 GPU"),
    x=t("users (log scale)", "用户数（对数刻度）"),
    y=t("GPUs (log scale)", "GPU 数（对数刻度）"),
    log_x=True,
    log_y=True,
    limits={t("one machine", "一台机器"): 8, t("one rack", "一个机架"): 32},
)

# %%
from labkit.catalog.quotes import show_money
from labkit.costs.capacity import places

rows = [
    (name, f"{p.demand.users:,}", str(p.gpus), places()[p.place], show_money(p.rent))
    for name, plans in fleet.items()
    for p in plans
]
header = t("model; users; GPUs; where; rent a month", "模型; 用户; GPU; 规模; 每月租金")
Table(header.split("; "), rows)

# %% [markdown] lang="en"
"""
The 7B rows rest on a published throughput, of another 7B model and with shorter prompts; the 72B ones on an estimate that leaves the prompts out.
Both are likely too low.
And rent is not all: people, power and the API as the rival are in lesson [[open-vs-closed]].

## What to buy

Prices of the catalogue, with their day where the source gives one.
What a card costs matters less than what it **holds** and how fast it **reads**: dollars for an hour, by the gigabyte and by the terabyte a second.
"""

# %% [markdown] lang="zh"
"""
7B 那几行依据公开的吞吐量，但那是另一个 7B 模型，提示也更短；72B 用的是估算，没算读提示的时间。
两者恐怕都偏低。
租金也不是全部：人力、电费，以及作为对手的 API，第 [[open-vs-closed]] 课都算过。

## 买什么

价格取自课程目录，来源注明日期的都标了出来。
一张卡卖多少钱，不如它**装得下**多少、**读得**多快要紧：下面按每 GB 显存、每 TB/s 带宽折算每小时的租金。
"""

# %%
from labkit.catalog import devices
from labkit.catalog.quotes import rentals, show_age

rows = []
for device in devices():
    offer = next((row for row in rentals(device) if not row.unverified), None)
    if offer and device.memory_gb and device.bandwidth_gbps:
        rate_gb = offer.usd_per_hour / device.memory_gb
        rate_tb = 1000 * offer.usd_per_hour / device.bandwidth_gbps
        shown = f"{offer.usd_per_hour:.2f}", f"{rate_gb:.4f}", f"{rate_tb:.2f}"
        rows.append((device.name, f"{device.memory_gb:g}", *shown, show_age(offer.as_of)))
header = t("GPU; GB; $/h; $/h a GB; $/h a TB/s; as of", "GPU; GB; 美元/时; 每 GB; 每 TB/s; 日期")
Table(header.split("; "), sorted(rows, key=lambda row: float(row[4])))

# %% [markdown] lang="en"
"""
The cheapest offer of each; what it includes differs.
Consumer cards read a terabyte most cheaply.
They lose where a model does not fit on one: splitting every layer needs a fast link between cards.
A100, H100, H200 and B200 can have one (NVLink); L4, L40S and RTX 4090 cannot.
So: rent first, load-test **your** prompts, then buy for the base load and rent for the peaks.
"""

# %% [markdown] lang="zh"
"""
每种卡取最便宜的一家，各家包含的内容不同。
按带宽算，消费级显卡最便宜。
但模型一张卡放不下时它就吃亏了：逐层拆开来跑要卡间高速互联：A100、H100、H200、B200 可以有（NVLink），L4、L40S、RTX 4090 没有。
所以：先租，用**自己的**提示做压力测试，再按日常负载买，高峰靠租。
"""

# %% [markdown] lang="en"
"""
## Recap

- Throughput has a ceiling; beyond it more clients only wait longer. Agree on p99, and mind Little's law.
- A step reads the weights once for all answers: batching is nearly free until the caches fill the memory.
- A replica needs its own bandwidth. Requests survive a dead node if somebody asks again.
- A plan is as good as its throughput: measure it, leave headroom, keep one spare.
"""

# %% [markdown] lang="zh"
"""
## 小结

- 吞吐有上限，过了它，客户端再多也只是多等。约定指标用 p99，别忘了利特尔法则。
- 一步读一遍权重，供所有回答使用：缓存填满显存之前，批处理几乎白送。
- 副本要有自己的带宽。节点倒下，只要有人重发，请求就不会丢。
- 规划准不准，全看吞吐量：自己测，留余量，备一份。
"""

# %% [markdown] lang="en"
"""
## Exercises

**1.** From `test.answers[-1]` (eight clients), work out p95 of the wait for the first token, in seconds, without `percentile`: the smallest of the 24 waits that at least 95 % do not exceed (no interpolation).
Of an answer, `sent` is when it was asked, and `pieces` are the times at which its pieces arrived.
"""

# %% [markdown] lang="zh"
"""
## 练习

**1.** 根据 `test.answers[-1]`（八个客户端），不用 `percentile`，自己算出首词元等待时间的 p95（秒）：24 次等待中，至少 95% 不超过它的最小的那一个（不插值）。
`sent` 是发出的时刻，`pieces` 是各段到达的时刻。
"""

# %% exercise="tail-by-hand"
tail_by_hand = None
### BEGIN SOLUTION
first_waits = sorted(a.pieces[0] - a.sent for a in test.answers[-1])
tail_by_hand = first_waits[-(-len(first_waits) * 95 // 100) - 1]
### END SOLUTION

# %% check="tail-by-hand" points=1
from labkit import course as lessons

lessons.check("scale-out.tail-by-hand", tail_by_hand, test.rows[-1].first_token.p95)

# %% [markdown] lang="en"
"""
**2.** From how many answers at once does reading the caches take as long as reading the weights that a step reads (`one.read_per_token`), for `one` (Qwen2.5-7B, 1,300 tokens)?
Beyond it batching pays less and less.
A whole number, rounded up.
"""

# %% [markdown] lang="zh"
"""
**2.** 对 `one`（Qwen2.5-7B，1,300 个词元）来说，同时有多少个回答时，读缓存的时间就赶上了读权重（一步要读的是 `one.read_per_token`）的时间？
超过这个数，批处理的好处就越来越小。
取整数，向上取整。
"""

# %% exercise="crossover"
crossover = None
### BEGIN SOLUTION
crossover = -(-one.read_per_token // one.kv_cache)
### END SOLUTION


# %% check="crossover" points=1
def half_of_best(n):
    most = step_speed(one, peak, 10**9, share=0.6)
    return step_speed(one, peak, n, share=0.6) >= most / 2 > step_speed(one, peak, n - 1, share=0.6)


lessons.check("scale-out.crossover", crossover, half_of_best)

# %% [markdown] lang="en"
"""
**3.** How many users can one machine of eight RTX 4090 take with Qwen2.5-7B, all else as in `Demand`, the spare included?
Give the largest number that still plans eight GPUs.
"""

# %% [markdown] lang="zh"
"""
**3.** 一台装了八张 RTX 4090 的机器，用 Qwen2.5-7B，其余照 `Demand` 的默认值，备用也算在内，最多能服务多少用户？
请给出规划结果仍为八张 GPU 的最大人数。
"""

# %% exercise="most-users"
most_users = None
### BEGIN SOLUTION
most_users = 900
while plan_capacity("Qwen2.5-7B", GPU, users=most_users + 1).gpus <= 8:
    most_users += 1
### END SOLUTION


# %% check="most-users" points=1
def fills_the_machine(n):
    gpus = [plan_capacity("Qwen2.5-7B", GPU, users=users).gpus for users in (n, n + 1)]
    return gpus == [8, 9] or t(
        f"GPUs for n and n + 1: {gpus}.", f"n 与 n + 1 对应的 GPU 数：{gpus}。"
    )


lessons.check("scale-out.most-users", most_users, fills_the_machine)

# %% [markdown] lang="en"
"""
## On real models

The load test takes any address: start `vllm serve` or `llama-server` on a machine with a GPU and give its URL to `measure_load`, with prompts and answers as long as yours.
`Qwen/Qwen2.5-7B-Instruct` is a download of about 15 GB and needs a card of 24 GB in bf16.
What you measure goes into the plan:
"""

# %% [markdown] lang="zh"
"""
## 换成真实模型

压力测试可以对准任何地址：在有 GPU 的机器上启动 `vllm serve` 或 `llama-server`，把网址交给 `measure_load`，提示和回答的长度照你的来。
`Qwen/Qwen2.5-7B-Instruct` 下载约 15 GB，bf16 需要 24 GB 的显卡。
测出的数再填进规划：
"""

# %%
plan_capacity("Qwen2.5-7B", GPU, users=500, tokens_per_second=600).replicas
