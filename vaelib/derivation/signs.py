"""How each relation between two lines is written, in plain text and in LaTeX."""

SIGNS = {
    "=": ("= ", "= "),
    ">": ("> ", "> "),
    "<": ("< ", r"\lt "),
    "≈": ("≈ ", r"\approx "),
    ">=": ("≥ ", r"\ge "),
    "<=": ("≤ ", r"\le "),
    "!=": ("≠ ", r"\ne "),
    "proportional": ("∝ ", r"\propto "),
    "up_to_constant": ("= const + ", r"= \text{const} + "),
    "same_argmin": ("same argmin: ", r"\text{same argmin: } "),
    "same_argmax": ("same argmax: ", r"\text{same argmax: } "),
}
