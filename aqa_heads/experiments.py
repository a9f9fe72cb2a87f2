"""Table 1 of the paper: the baseline and its seven modifications, as data.

The rows are as the paper prints them. The code that made its numbers differs:

- Exp 7: its script had `use_attention=False`. It ran out of memory, so there is no number of it.
- Exp 1 and 3 were probably run with LSTM cells: the published commits of those days set `lstm`. That is not proven; if
  it is so, the number of Exp 1 is that of Exp 6's configuration, and two GRU cells with attention were never measured.
- Exp 2 and 3: on S3D a learned `Conv3d(1024, 8192, 1)` made 8192-d clip features. Here the 1024-d feature itself is
  used, so the numbers of parameters differ.
"""

from dataclasses import dataclass

RNNS = ("gru", "lstm")
ATTENTIONS = ("none", "linear")
ENCODERS = ("average", "lstm")
TASKS = ("score", "classes", "caption")


@dataclass(frozen=True)
class Experiment:
    """One row of Table 1.

    Args:
        name: `baseline`, or the number of the experiment.
        backbone: the network whose features the row was run on, `c3d` or `s3d`.
        rnn: cell of the captioner, `gru` or `lstm`.
        layers: stacked cells in each of the captioner's two RNNs.
        attention: what the captioner sees of a clip feature: itself (`none`), or one linear projection of it
            (`linear`), which is all that the paper's attention is.
        encoder: how clip features become one feature per sample: `average`, or the last output of an `lstm`.
    """

    name: str
    backbone: str
    rnn: str
    layers: int
    attention: str
    encoder: str

    @property
    def folder(self) -> str:
        return self.name if self.name == "baseline" else f"exp{self.name}"

    @property
    def title(self) -> str:
        return "Baseline" if self.name == "baseline" else f"Exp {self.name}"


EXPERIMENTS: dict[str, Experiment] = {
    row.name: row
    for row in (
        Experiment("baseline", "c3d", "gru", 2, "none", "average"),
        Experiment("1", "c3d", "gru", 2, "linear", "average"),
        Experiment("2", "s3d", "gru", 2, "none", "average"),
        Experiment("3", "s3d", "gru", 2, "linear", "average"),
        Experiment("4", "c3d", "gru", 8, "linear", "average"),
        Experiment("5", "c3d", "lstm", 8, "linear", "average"),
        Experiment("6", "c3d", "lstm", 2, "linear", "average"),
        Experiment("7", "c3d", "gru", 2, "linear", "lstm"),
    )
}
