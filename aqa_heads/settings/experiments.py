"""Table 1 of the paper, the baseline and its seven modifications, the references beside it, and the default
model, as data.

The rows are as the paper prints them. The code that made its numbers differs:

- Exp 7: its script had `use_attention=False`. It ran out of memory, so there is no number of it.
- Exp 1 and 3 were probably run with LSTM cells: the published commits of those days set `lstm`. That is not
  proven; if it is so, the number of Exp 1 is that of Exp 6's configuration, and two GRU cells with attention
  were never measured.
- Exp 2 and 3: on S3D a learned `Conv3d(1024, 8192, 1)` made 8192-d clip features. `--literal` trains it as a
  linear layer, which is the same function; otherwise the 1024-d feature itself is used. The functions that
  can be learned are the same, as nothing but linear layers follows; the numbers of parameters differ.
"""

from dataclasses import dataclass

from aqa_cache.extensions import Extensions
from aqa_cache.short_repr import short_repr

from ..errors import TrainingError

RNNS = ("gru", "lstm")
ATTENTIONS = ("none", "linear", "additive", "dot")
# (hidden, layers) by encoder, where it has them; Exp 7's own is 8192 wide. Where only the layers are said,
# the width follows from the data (`encoder_sizes.suited_width`).
ENCODER_SIZES = {
    "average": (None, None),
    "lstm": (1024, 2),
    "gru": (1024, 2),
    "attention": (256, 1),
    "transformer": (512, 2),
    "statistics": (None, None),
    "conv": (None, 3),
    "gdlt": (None, 2),
    "tpt": (None, 2),
}
ENCODERS = tuple(ENCODER_SIZES)
# With these a row of Table 1 is validated as it always was (`resolved.chooses_anew`).
TABLE_1_ENCODERS = ("average", "lstm", "gru", "attention", "transformer")
REGRESSION = "regression"
# The class of each score head, in networks/score_heads/NAME.py.
SCORE_HEADS = {
    REGRESSION: "RegressionHead",
    "distribution": "DistributionHead",
    "judges": "JudgesHead",
    "gaussian": "GaussianHead",
    "quantile": "QuantileHead",
    "core": "CoreHead",
    "likert": "LikertHead",
    "ordinal": "OrdinalHead",
}
# Those that read `Encoded.direct`, the linear path that starts as a ridge regression.
RIDGE_STARTED = (REGRESSION, "gaussian", "quantile", "ordinal")
# Options of score heads, and which have them.
SCORE_HEAD_OPTIONS = {
    "readout": ("distribution", "judges"),
    "panel_rule": ("judges",),
    "pair_by": ("core",),
}
READOUTS = ("expectation", "argmax")
PAIR_BY_NOTHING = "none"
# Functions of networks/rank_losses.py.
LOSSES = {"spearman": "soft_spearman", "hinge": "pairwise_hinge"}
TASKS = ("score", "classes", "caption")

KNOWN_ENCODERS = Extensions(
    "encoder",
    "aqa_heads.encoders",
    ENCODERS,
    "a class, or a function, that makes an encoder from the size of a clip feature",
    callable,
    error=TrainingError,
)
KNOWN_SCORE_HEADS = Extensions(
    "score head",
    "aqa_heads.score_heads",
    SCORE_HEADS,
    "a subclass of aqa_heads.ScoreHead",
    # Not by its base class, which only torch could make known.
    lambda value: isinstance(value, type) and all(hasattr(value, name) for name in ("needs", "fit_buffers")),
    error=TrainingError,
)
KNOWN_LOSSES = Extensions(
    "loss",
    "aqa_heads.losses",
    LOSSES,
    "a function of predicted and true scores",
    callable,
    error=TrainingError,
)


@dataclass(frozen=True)
class Experiment:
    """One row of Table 1, a reference, or the default model.

    Args:
        name: `baseline`, the number of the experiment, the reference's name, or `default`.
        backbone: the network whose features the row was run on, `c3d` or `s3d`; None: any.
        rnn: cell of the captioner, `gru` or `lstm`; None: there is no captioner.
        layers: stacked cells in each of the captioner's two RNNs.
        attention: what the captioner sees of a clip feature: itself (`none`), or one linear projection of it
            (`linear`), which is all that the paper's attention is.
        encoder: how clip features become one feature per sample: `average`, or the last output of an `lstm`.
        tasks: what the row can be trained for.
        closed_form: fitted at once, not trained in epochs.
        score_head: how its score is learned.
        fc6: width of the layer that score and classes share; None: the original's 4096.
        encoder_size: width and depth of its encoder, where it has some of its own.
        exact: it is refused on features of another network than `backbone`.
        standardise: whether features are standardised, unless asked otherwise.
    """

    name: str
    backbone: str | None
    rnn: str | None
    layers: int | None
    attention: str | None
    encoder: str
    tasks: tuple[str, ...] = TASKS
    closed_form: bool = False
    score_head: str = REGRESSION
    fc6: int | None = None
    encoder_size: tuple[int | None, int | None] | None = None
    exact: bool = False
    standardise: bool = True

    __repr__ = short_repr

    @property
    def folder(self) -> str:
        return f"exp{self.name}" if self.name.isdecimal() else self.name

    @property
    def title(self) -> str:
        return f"Exp {self.name}" if self.name.isdecimal() else _TITLES[self.name]


_TITLES = {
    "default": "Default model",
    "baseline": "Baseline",
    "ridge": "Ridge",
    "c3d-svr": "C3D-SVR",
    "c3d-lstm": "C3D-LSTM",
    "pose-dct-svr": "Pose+DCT+SVR",
    "pose-dct-svr-normalised": "Pose+DCT+SVR, normalised",
}

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

# A ridge regression, and what came before multitask learning: two systems of Parmar & Morris 2017,
# arXiv:1611.05125, and that of Pirsiavash, Vondrick & Torralba, ECCV 2014, on keypoints
# (`aqa_cache.keypoints`), as its authors had it and normalised.
REFERENCES: dict[str, Experiment] = {
    row.name: row
    for row in (
        Experiment("ridge", None, None, None, None, "average", ("score",), closed_form=True),
        Experiment("c3d-svr", "c3d", None, None, None, "average", ("score",), closed_form=True),
        Experiment("c3d-lstm", "c3d", None, None, None, "lstm", ("score",), encoder_size=(256, 1)),
        Experiment(
            *("pose-dct-svr", "pose-dct", None, None, None, "average", ("score",)),
            closed_form=True,
            exact=True,
            standardise=False,
        ),
        Experiment(
            *("pose-dct-svr-normalised", "pose-dct-torso", None, None, None, "average", ("score",)),
            closed_form=True,
            exact=True,
        ),
    )
}

# What trains where no row is asked for: own data on whatever features. No row of Table 1.
DEFAULT = Experiment("default", None, "gru", 2, "none", "statistics", fc6=512)

ROWS: dict[str, Experiment] = {**EXPERIMENTS, **REFERENCES, DEFAULT.name: DEFAULT}
