"""A distribution of the mark of every judge: MUSDL."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from aqa_cache.annotations import Sample

from ...errors import TrainingError
from ...settings.experiments import READOUTS
from ...settings.panel_rule import COUNTED_MARKS, MEAN, PanelRule
from .bins import BINS, bins_over, divergence, empty_bins, label_log_probabilities, moments, most_likely
from .seam import Encoded, Known, ScoreHead, ScorePrediction, Sizes
from .stack import stack

# The median difference of points from what the rule makes of the marks, from which on that is said.
_TOLERANCE = 0.05


class JudgesHead(ScoreHead):
    """Probabilities of the marks for each judge column; points are the panel's rule, applied to the expected
    marks, times the difficulty where the training scores are.

    loss = sum over a sample's marks of KL(label || said), see `bins`. A mark that is not there is in no loss.

    Args:
        columns: the numbers of the judge columns that training samples have marks in.
        panel_rule: see `PanelRule`.
        readout: the `expectation` of each mark, or the most likely one (`argmax`).

    The spread is that of the marks that count, as if judges erred independently.

    Source: Tang et al. 2020, arXiv:2006.07665, MUSDL. Differs: as `DistributionHead` from USDL. There one
    standard deviation in bins serves scores and marks, which for marks is a quarter of their range; here it
    is 5 % of either. Seven judges are asked for there; here as many as there are columns.

    Raises:
        TrainingError: no rule is known for so many judges.
    """

    needs, reads = frozenset({"marks"}), frozenset({"difficulty"})
    fallback = "have no difficulty, which their score is multiplied by: the mean of training takes its place"

    def __init__(
        self,
        sizes: Sizes,
        *,
        columns: Sequence[int],
        panel_rule: str | None = None,
        readout: str = READOUTS[0],
        **common: float,
    ):
        super().__init__(sizes, **common)
        self.columns, self.rule, self.readout = list(columns), PanelRule(panel_rule), readout
        counted = self.rule.counted(len(self.columns))
        if counted is None:
            raise TrainingError(
                f"the score head judges: training samples have marks in {len(self.columns)} judge columns, of"
                f" which {self._known_rule()} makes no score; give another --panel-rule, {MEAN} or middle-N"
            )
        self.counted = counted
        self.layers = nn.ModuleList(stack(sizes.pooled, BINS, self.dropout) for _ in self.columns)
        self.register_buffer("bins", empty_bins())
        self.register_buffer("times_difficulty", torch.zeros((), dtype=torch.bool))
        self.register_buffer("usual_difficulty", torch.ones(()))

    @classmethod
    def sized_by(cls, samples: Sequence[Sample], **asked: str) -> dict[str, object]:
        marked = {
            number for sample in samples for number, mark in enumerate(sample.judges) if math.isfinite(mark)
        }
        if not marked:
            raise TrainingError(
                "the score head judges needs judges' marks, which no training sample has; fill in the columns"
                " judge_1, …, or take another --score-head"
            )
        return {"columns": sorted(marked)}

    def prepare(self, encoded: Encoded, known: Known, points: torch.Tensor) -> list[str]:
        marks, notes = self._marks(known), []
        given = marks.isfinite()
        self.bins.copy_(bins_over(marks[given], self.scale))
        none, some = int((~given.any(1)).sum()), int((given.any(1) & ~given.all(1)).sum())
        if none:
            notes.append(
                f"{none} of {len(marks)} training samples with a score have no judges' marks: the score head"
                " learns nothing of them"
            )
        if some:
            notes.append(
                f"{some} of {len(marks)} training samples have not all {len(self.columns)} judges' marks: the"
                f" score head learns of those they have, and predicts all {len(self.columns)}"
            )
        return [*notes, *self._compare(marks, known, points)]

    def _compare(self, marks: torch.Tensor, known: Known, points: torch.Tensor) -> list[str]:
        """See whether the scores are those of the panels, or these times the difficulty."""
        panels = [self.rule.score([m for m in row if math.isfinite(m)]) for row in marks.double().tolist()]
        of_panel = torch.tensor(
            [math.nan if panel is None else panel for panel in panels], dtype=torch.float64
        )
        difficulty = torch.full_like(of_panel, math.nan)
        if known.difficulty is not None:
            difficulty = known.difficulty.double().cpu()
        plain, times = (
            float((points.double().cpu() - panel).abs().nanmedian())
            for panel in (of_panel, of_panel * difficulty)
        )
        notes = []
        if times < plain or math.isnan(plain):
            self.times_difficulty.fill_(not math.isnan(times))
        if self.times_difficulty:
            self.usual_difficulty.fill_(difficulty.nanmean())
            notes.append(
                "scores are the judges' times the known difficulty: compare only with runs that know it too"
            )
        if (apart := times if self.times_difficulty else plain) > _TOLERANCE or math.isnan(apart):
            said = (
                "with no training sample's marks can it be tried"
                if math.isnan(apart)
                else (f"half of the training scores are {apart:.2g} points or more from it")
            )
            notes.append(
                f"the scores may follow another rule than {self._known_rule()} ({said}); --panel-rule gives"
                " another one"
            )
        return notes

    def _known_rule(self) -> str:
        if self.rule.asked is None:
            sizes = [str(size) for size in COUNTED_MARKS]
            return f"the sum of the middle three of {', '.join(sizes[:-1])} or {sizes[-1]} marks"
        return f"the panel rule {self.rule.asked}"

    def _marks(self, known: Known) -> torch.Tensor:
        """Those of the samples that have a score, `(labelled, judges)`."""
        marks = known.marks[known.labelled]
        lacking = max(self.columns[-1] + 1 - marks.shape[1], 0)
        return F.pad(marks, (0, lacking), value=math.nan)[:, self.columns]

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Log-probabilities, `(batch, judges, BINS)`."""
        return torch.stack([layers(encoded.pooled) for layers in self.layers], 1).log_softmax(2)

    def loss(self, encoded: Encoded, known: Known, points: torch.Tensor) -> torch.Tensor:
        marks, said = self._marks(known), self(encoded)[known.labelled]
        label = label_log_probabilities(self.bins, marks.nan_to_num(float(self.bins[0]))).to(said.dtype)
        return (divergence(label, said) * marks.isfinite()).sum(1)

    def predict(self, encoded: Encoded, known: Known) -> ScorePrediction:
        probabilities = self(encoded).double().softmax(2)
        marks, variances = moments(self.bins, probabilities)
        if self.readout != READOUTS[0]:
            marks = most_likely(self.bins, probabilities)
        order = marks.argsort(dim=1, stable=True)
        dropped = (len(self.columns) - self.counted) // 2
        counting = order[:, dropped : len(self.columns) - dropped]
        divisor = len(self.columns) if self.rule.asked == MEAN else 1
        points = marks.gather(1, counting).sum(1) / divisor
        spread = variances.gather(1, counting).sum(1).sqrt() / divisor
        if not self.times_difficulty:
            return ScorePrediction(points, spread)
        unknown = torch.full_like(points, math.nan)
        difficulty = unknown if known.difficulty is None else known.difficulty.double()
        lacking = difficulty.isnan()
        difficulty = torch.where(lacking, self.usual_difficulty.double(), difficulty)
        return ScorePrediction(points * difficulty, spread * difficulty, fallen_back=lacking)
