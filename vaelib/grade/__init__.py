"""Grading a folder of notebooks: a submission answers questions, it never judges.

`wire` is what travels, `worker` runs one submission in a process of its own, `submission` asks it from outside, `marks`
grades a folder, `pages` writes what teacher and students read.
"""
