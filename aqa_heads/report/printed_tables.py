"""Tables for papers and for notes: LaTeX and Markdown."""

import re
from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "–": "--",
    "’": "'",
    "\N{NO-BREAK SPACE}": "~",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")


def latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> str:
    """A `tabular` with the rules of the package booktabs; `note` is a comment above it.

    >>> print(latex_table(["Run", "ρ"], [["50 %", "−0.5"]], "Made up."))
    % Made up.
    % \\usepackage{booktabs}
    \\begin{tabular}{lr}
    \\toprule
    Run & $\\rho$ \\\\
    \\midrule
    50 \\% & $-$0.5 \\\\
    \\bottomrule
    \\end{tabular}
    <BLANKLINE>
    """
    lines = [" & ".join(map(_latex, cells)) + r" \\" for cells in (header, *rows)]
    columns = "l" + "r" * (len(header) - 1)
    said = " ".join(note.split())
    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
    ]
    return "\n".join([f"% {said}", r"% \usepackage{booktabs}", *body, r"\end{tabular}", ""])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    >>> print(markdown_table(["Run", "ρ"], [["a|b", "0.5"]]))
    | Run | ρ |
    |---|---:|
    | a\\|b | 0.5 |
    <BLANKLINE>
    """
    lines = ["| " + " | ".join(map(_markdown, cells)) + " |" for cells in (header, *rows)]
    rule = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join([lines[0], rule, *lines[1:], ""])


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in _one_line(text))


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", _one_line(text))


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\r", " ")
