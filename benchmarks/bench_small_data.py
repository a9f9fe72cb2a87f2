"""Whether the defaults lose to a ridge regression where data are few: 200 to 300 samples of 2,048-d clip features.

    python benchmarks/bench_small_data.py --seeds 5

Made-up regression problems in the likeness of cached features: a score that depends on a few factors; clip features that hold
these factors as a small part of their variance, beside what a sample's clips share, what is each clip's own, and white noise.
The shared and the own part have a spectrum that falls with a power of the direction's number, and the factors' directions
overlap with its strongest ones.

Three things are trained on each: ridge on the 80 % of the training samples that the network takes its steps on, ridge on all
of them, and the network (average of the clips, fc6, score head) by the protocol `honest`: the epoch with the best Spearman on
the 20 % held out. All are tested on 400 further samples.
"""

import argparse
import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from results import write_section
from scipy.stats import t

from aqa_heads.configuration import DEFAULTS, TrainingConfig
from aqa_heads.losses import score_loss
from aqa_heads.metrics import spearman
from aqa_heads.model import AqaModel
from aqa_heads.references import LinearReference, fit_reference

MEAN, SPREAD = 60, 15  # points
RANK = 400
TEST_SAMPLES = 400
SHARED, OWN, WHITE = 0.5, 0.4, 0.1  # of the variance that is not signal


@dataclass(frozen=True)
class Problem:
    """What a made-up data set is like.

    Args:
        train: samples, validation included.
        decay: variance of the nuisance's direction k is proportional to k ** -decay.
        signal: share of the factors in a clip feature's variance.
        noise: share of the scores' variance that no feature knows.
        curved: share of the remaining variance of the scores that is not linear in the factors.
        clips: fewest and most clips of a sample.
        positive: features are rectified, as a network's mostly are.
        factors: numbers that the score depends on.
        dim: size of one clip feature.
    """

    name: str
    train: int = 250
    decay: float = 1.0
    signal: float = 0.2
    noise: float = 0.3
    curved: float = 0.0
    clips: tuple[int, int] = (1, 12)
    positive: bool = False
    factors: int = 12
    dim: int = 2048


PROBLEMS = (
    Problem("middling"),
    Problem("flat spectrum", decay=0.4),
    Problem("strong signal", signal=0.5, noise=0.1),
    Problem("weak signal", signal=0.05, noise=0.5),
    Problem("rectified features", positive=True, decay=0.7),
    Problem("one clip, 200 samples", train=200, clips=(1, 1), decay=0.7),
    Problem("steep spectrum, 300 samples", train=300, decay=1.5, signal=0.1),
    Problem("curved truth", curved=0.15, signal=0.4, noise=0.1),
)


def draw(problem: Problem, seed: int) -> tuple[list[torch.Tensor], np.ndarray]:
    """Clip features `(clips, dim)` and scores in points, first the training samples, then the test samples."""
    rng = np.random.default_rng([seed, *map(ord, problem.name)])
    samples, dim, factors = problem.train + TEST_SAMPLES, problem.dim, problem.factors
    directions = np.linalg.qr(rng.standard_normal((dim, RANK + factors)))[0].T * np.sqrt(dim)
    deviation = np.arange(1, RANK + 1.0) ** (-problem.decay / 2)
    nuisance = directions[:RANK] * (deviation / np.linalg.norm(deviation))[:, None]
    strength = np.linspace(1, 0.3, factors)
    signal = (directions[:factors] + directions[RANK:]) * np.sqrt(0.5)
    signal *= (strength / np.linalg.norm(strength))[:, None]

    values = rng.standard_normal((samples, factors))
    weights = rng.standard_normal(factors)
    linear = values @ weights / np.linalg.norm(weights)
    bent = values[:, 0] * values[:, 1] + np.abs(values[:, 2])
    truth = np.sqrt(1 - problem.curved) * linear + np.sqrt(problem.curved) * (bent - bent.mean()) / bent.std()
    scores = np.sqrt(1 - problem.noise) * truth + np.sqrt(problem.noise) * rng.standard_normal(samples)

    rest = 1 - problem.signal
    shared = values @ signal * np.sqrt(problem.signal)
    shared += rng.standard_normal((samples, RANK)) @ nuisance * np.sqrt(SHARED * rest)
    clips = []
    for sample, count in zip(shared, rng.integers(problem.clips[0], problem.clips[1] + 1, samples), strict=True):
        own = rng.standard_normal((count, RANK)) @ nuisance * np.sqrt(OWN * rest)
        white = rng.standard_normal((count, dim)) * np.sqrt(WHITE * rest)
        features = sample + own + white
        clips.append(torch.from_numpy((np.maximum(features + 0.3, 0) if problem.positive else features).astype("f4")))
    return clips, MEAN + SPREAD * scores


@dataclass(frozen=True)
class Training:
    """How the network is trained; what is not given is the default of `aqa-train`.

    Args:
        averaging: decay of the moving average of the weights, per step; 0: none.
        zero_head: the score head starts at 0.
        direct: beside fc6 a linear path from the encoder's output to the score, which starts as ridge of the samples
            that are trained on; then the state before the first step can be chosen too, as epoch 0.
        refit: train again on all training samples for as many epochs as were best on the held-out ones.
    """

    lr: float = DEFAULTS["lr"]
    weight_decay: float = DEFAULTS["weight_decay"]
    batch_size: int = DEFAULTS["batch_size"]
    dropout: float = DEFAULTS["dropout"]
    epochs: int = TrainingConfig.epochs
    patience: int = TrainingConfig.patience
    averaging: float = 0.0
    zero_head: bool = False
    direct: bool = False
    refit: bool = False


class Data:
    """One problem with one seed: the mean of each sample's clips, scores, and who is who."""

    def __init__(self, problem: Problem, seed: int):
        self.problem, self.seed = problem, seed
        self.clips, self.scores = draw(problem, seed)
        # Standardising is linear, so the mean clip stands for all of them.
        self.pooled = torch.stack([sample.mean(0) for sample in self.clips])
        self.all, self.test = np.split(np.arange(len(self.scores)), [problem.train])
        order = np.random.default_rng(seed).permutation(problem.train)
        self.held_out, self.steps = np.split(order, [round(TrainingConfig.validation * problem.train)])


class Network(torch.nn.Module):
    """The assessment part of `AqaModel`, for features of one clip; the direct path of `Training` beside it."""

    def __init__(self, data: Data, samples: np.ndarray, training: Training):
        super().__init__()
        scores = data.scores[samples]
        self.model = AqaModel(
            data.problem.dim, tasks=("score",), classes={}, words=0, score_scale=float(scores.std()),
            score_centre=float(scores.mean()), dropout=training.dropout,
        )  # fmt: skip
        self.model.standardiser.fit([data.clips[index] for index in samples])
        if training.zero_head:
            torch.nn.init.zeros_(self.model.heads.score.weight)
            torch.nn.init.zeros_(self.model.heads.score.bias)
        self.direct = None
        if training.direct:
            reference = _fit_ridge(data, self.seen(data.pooled), samples)
            self.direct = torch.nn.Linear(data.problem.dim, 1)
            with torch.no_grad():
                self.direct.weight.copy_(torch.from_numpy(reference.weights)[None] / self.model.score_scale)
                self.direct.bias.fill_((reference.bias - self.model.score_centre) / self.model.score_scale)

    def seen(self, pooled: torch.Tensor) -> torch.Tensor:
        return self.model.seen(pooled[:, None], torch.ones(len(pooled), dtype=torch.int64))[:, 0]

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        score = self.model(pooled[:, None], torch.ones(len(pooled), dtype=torch.int64)).score
        return score if self.direct is None else score + self.direct(self.seen(pooled)).squeeze(1)


def _fit_ridge(data: Data, features: torch.Tensor, samples: np.ndarray) -> LinearReference:
    return fit_reference("ridge", features.numpy()[samples], data.scores[samples], [None] * len(samples), data.seed)


def ridge(data: Data, samples: np.ndarray) -> float:
    """Test Spearman of ridge on features standardised as the network's."""
    features = Network(data, samples, Training()).seen(data.pooled)
    reference = _fit_ridge(data, features, samples)
    return spearman(reference.predict(features.numpy()[data.test]), data.scores[data.test])


def network(data: Data, training: Training) -> tuple[float, int]:
    """Test Spearman of the network, and the epoch that was chosen."""
    best_value, best_epoch, best = -np.inf, 0, None
    for epoch, predicted in _epochs(data, data.steps, training):
        value = spearman(predicted[data.held_out], data.scores[data.held_out])
        if value > best_value:
            best_value, best_epoch, best = value, epoch, predicted
        if epoch == training.epochs or epoch - best_epoch >= training.patience:
            break
    if training.refit:
        best = next(predicted for epoch, predicted in _epochs(data, data.all, training) if epoch == best_epoch)
    return spearman(best[data.test], data.scores[data.test]), best_epoch


def _epochs(data: Data, samples: np.ndarray, training: Training):
    """Epoch and predictions for all samples, in training on `samples`, without end."""
    torch.manual_seed(data.seed)
    model = averaged = Network(data, samples, training)
    if training.averaging:
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(training.averaging)
        averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average)
    optimiser = torch.optim.AdamW(model.parameters(), training.lr, weight_decay=training.weight_decay, fused=True)
    true = (torch.from_numpy(data.scores).float() - model.model.score_centre) / model.model.score_scale

    @torch.no_grad()
    def predict() -> np.ndarray:
        return averaged.eval()(data.pooled).numpy()

    if training.direct:
        yield 0, predict()
    for epoch in itertools.count(1):
        model.train()
        for chosen in torch.from_numpy(samples)[torch.randperm(len(samples))].split(training.batch_size):
            loss = score_loss(model(data.pooled[chosen]), true[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if training.averaging:
                averaged.update_parameters(model)
        yield epoch, predict()


def interval(differences: np.ndarray) -> str:
    """Mean and 95 % interval, Student's t."""
    half = t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.3f} ({differences.mean() - half:+.3f} to {differences.mean() + half:+.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0, 1, … up to this many")
    parser.add_argument("--problems", type=int, nargs="+", help="only these, by number from 0; writes nothing")
    parser.add_argument(
        "--dim", type=int, default=Problem.dim, help="size of a feature; other than the default writes nothing"
    )
    for name, kind in (("lr", float), ("weight-decay", float), ("batch-size", int), ("dropout", float), ("epochs", int),
                       ("patience", int), ("averaging", float), ("zero-head", int), ("direct", int), ("refit", int)):  # fmt: skip
        default = getattr(Training, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=default, help="%(default)s by default")
    args = parser.parse_args()
    training = Training(**{name: getattr(args, name) for name in Training.__dataclass_fields__})
    problems = PROBLEMS if args.problems is None else [PROBLEMS[number] for number in args.problems]

    lines = [
        "| problem | ridge, the network's samples | ridge, all samples | network | chosen epoch | network − ridge, same samples "
        "| network − ridge, all |",
        "|---|---|---|---|---|---|---|",
    ]
    everything = []
    for problem in problems:
        rows = []
        for seed in range(args.seeds):
            data = Data(replace(problem, dim=args.dim), seed)
            rows.append([ridge(data, data.steps), ridge(data, data.all), *network(data, training)])
        same, more, found, epoch = np.array(rows).T
        everything.append(np.stack([found - same, found - more]))
        shown = " | ".join(f"{column.mean():.3f}" for column in (same, more, found))
        lines.append(
            f"| {problem.name} | {shown} | {epoch.mean():.0f} | {(found - same).mean():+.3f} | {(found - more).mean():+.3f} |"
        )
        print(lines[-1], flush=True)
    same, more = np.concatenate(everything, axis=1)
    lines += [
        "",
        f"Mean difference of test Spearman, network − ridge, and its 95 % interval over {len(problems)} problems x {args.seeds} "
        f"seeds: to ridge on the same samples {interval(same)}, to ridge on all training samples {interval(more)}.",
    ]
    print(lines[-1])
    if args.problems is None and args.dim == Problem.dim:
        command = f"python benchmarks/bench_small_data.py --seeds {args.seeds}"
        write_section(
            "small data", "Small data", command, [f"{training}. Spearman on {TEST_SAMPLES} test samples.", "", *lines]
        )


if __name__ == "__main__":
    main()
