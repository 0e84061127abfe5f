"""Grading a folder of notebooks: a submission answers questions, it never judges, and it does not have the answers.

The grader starts judges (`pool`), each a process that may be ended; a judge (`bench`) asks one submission at a time
(`submission`), which runs in a process of its own, kept apart (`isolation`) and within its limits (`limits`), on a copy
of the package without answers and without what its exercise forbids (`box`). Between two processes travel messages of
numbers and words (`wire`), with a deadline (`channel`). In the process of the submission, `worker` answers, `cells`
runs the notebook as Jupyter does, `removal` takes away what other libraries have of what is forbidden, `audit` notes
what looks odd, and `stand_in` takes the place of `vaelib.exercise`.

`collect` is what was handed in, `marks` the marks, `pages` what teacher and students read.
"""
