"""Grading what was handed in: a submission answers questions, it never judges, and it does not have the answers.

What comes in: `tree` lists files, `reading` finds the cells, `which` the exercises, `names` and `whose` the student,
`beside` the helpers; `collect` is the door.

What happens: the grader starts judges (`pool`), each a process that may be ended; a judge (`bench`) asks one submission
at a time (`submission`), which runs in a separate process, kept apart (`isolation`) and within its limits (`limits`),
on a copy of the package without answers and without what its exercise forbids (`box`). Between two processes travel
messages of numbers and words (`wire`), with a deadline (`channel`). In the process of the submission, `worker` answers,
`cells` runs the notebook as Jupyter does, `removal` takes away what other libraries have of what is forbidden, `audit`
notes what looks odd, and `stand_in` takes the place of `vaelib.exercise`. `marks` are what comes of it.

What goes out: `gradebook` makes rows, `roster` knows the class, `sheet` and `tables` write tables, `pages` what teacher
and students read, `journal` keeps results, `shelf` the folder. `grading` is all in order, `report` what is said.
"""
