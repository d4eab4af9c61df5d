# %% [markdown] lang="en"
"""
# A class at a glance

For the teacher.
It reads the progress files your students hand in and shows three things: how far each of them is, which exercises most of them did not get right, and which predictions most of them misjudged.

A student makes such a file with `labkit progress export FILE.json --who NAME`.
It holds lesson, exercise, state, attempts and time; never an answer.
It can be edited, so it serves teaching, not marks: those come from nbgrader.
"""

# %% [markdown] lang="zh"
"""
# 全班一览

给老师用。它读取学生交上来的进度文件，告诉你三件事：每个人学到哪里，哪些练习没答对的人最多，哪些预测猜错的人最多。

学生用 `labkit progress export 文件.json --who 姓名` 生成这个文件。
里面只有课、练习、状态、尝试次数和时间，没有答案本身。
文件可以改动，所以只用来帮助教学，不能拿来打分；打分用 nbgrader。
"""

# %% [markdown] lang="en"
"""
## Your class

Put the folder with the files between the quotes.
Left empty, this page shows a **sample class: nobody in it exists, every answer is drawn at random**.
"""

# %% [markdown] lang="zh"
"""
## 你的班级

把存放文件的文件夹写在引号里。
留空时，本页显示的是**样例班级：学生都是虚构的，作答全是随机生成的**。
"""

# %%
from labkit.course.class_progress import read_class, write_sample_class

FOLDER = ""
room = read_class(FOLDER or write_sample_class("sample-class"))
room

# %% [markdown] lang="en"
"""
## Who is where

A row that ends early needs time: lessons not begun are empty.
A row with dark fields in the middle needs you.
"""

# %% [markdown] lang="zh"
"""
## 谁学到了哪里

还没开始的课留空。
一行很早就断了，说明这位同学需要时间；中间有深色格子，说明他需要你。
"""

# %%
room.plot()

# %% [markdown] lang="en"
"""
## What to go through again

The exercises that most students tried and have not got right.
A single student's trouble stands far down; ask that student.
"""

# %% [markdown] lang="zh"
"""
## 哪些要再讲一遍

做了但没答对的人最多的练习排在前面。
只难住一两个人的排在后面，单独问问他们就好。
"""

# %%
room.hardest(8)

# %% [markdown] lang="en"
"""
## What to talk about first

A prediction is made before the answer is known, so nobody fails one.
Where most misjudge, there is an idea of the world to be put right: ask for it in the room before you explain.
"""

# %% [markdown] lang="zh"
"""
## 先讨论什么

预测是在看到答案之前做的，猜错不算失败。
但凡大多数人都猜错的地方，背后往往有一个要纠正的想法：先让大家说说为什么这么猜，再讲解。
"""

# %%
room.misjudged(8)
