"""Grading a folder: a submission answers questions, it never judges.

What comes in: `tree` lists files, `reading` finds the cells, `which` the exercises, `names` and `whose` the student,
`beside` the helpers; `collect` is the door.

What happens: `wire` is what travels, `worker` runs one submission in its own process, `submission` asks it from
outside, `marks` grades.

What goes out: `gradebook` makes rows, `roster` knows the class, `sheet` and `tables` write tables, `pages` what teacher
and students read, `journal` keeps results, `shelf` the folder. `grading` is all in order, `report` what is said.
"""
