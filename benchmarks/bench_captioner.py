"""A captioner's training step against the original's loop over words and against the machine's matrix
products, into RESULTS.md.

python benchmarks/bench_captioner.py
"""

import argparse
import os
import time
from dataclasses import dataclass
from statistics import NormalDist

import torch
from results import write_section
from torch.nn import functional as F

from aqa_heads.captions.captioner import Captioner
from aqa_heads.captions.vocabulary import CAPTION_SLOTS, SOS

CLIPS, LAYERS, LOOP_BATCH, LARGE_BATCH = 6, 2, 3, 16
STEPS = CAPTION_SLOTS - 1


@dataclass(frozen=True)
class Sizes:
    dim: int = 8192
    hidden: int = 512
    words: int = 5781  # MTL-AQA's published vocabulary


@dataclass(frozen=True)
class Captions:
    """Clips and captions of a batch, padded to the 99 words that the original always runs."""

    features: torch.Tensor
    inputs: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, batch: int, sizes: Sizes) -> "Captions":
        # MTL-AQA's: mean 77, 95 % below 120, 250 of 1,412 longer than the 100 slots. Quantiles, so that a
        # batch of 3 is typical.
        lengths = [NormalDist(77, 26).inv_cdf((number + 0.5) / batch) for number in range(batch)]
        lengths = torch.tensor(lengths).round().clamp(4, STEPS).long()
        real = torch.arange(STEPS) < lengths.unsqueeze(1)
        generator = torch.Generator().manual_seed(0)
        # As often as words of a language are, by their rank.
        frequency = 1 / torch.arange(1.0, sizes.words - 2)
        targets = 3 + torch.multinomial(frequency, batch * STEPS, True, generator=generator).view(
            batch, STEPS
        )
        targets = targets * real * (torch.arange(STEPS) < lengths.unsqueeze(1) - 1)
        inputs = torch.cat([torch.full((batch, 1), SOS), targets[:, :-1]], 1)
        return cls(torch.randn(batch, CLIPS, sizes.dim, generator=generator), inputs, targets, lengths)

    @property
    def real(self) -> torch.Tensor:
        return torch.arange(STEPS) < self.lengths.unsqueeze(1)


def ours(captioner: Captioner, captions: Captions) -> torch.Tensor:
    longest = int(captions.lengths.max())
    inputs, real = captions.inputs[:, :longest], captions.real[:, :longest]
    lengths = torch.full((len(inputs),), CLIPS)
    positions = real.flatten().nonzero().squeeze(1)
    return captioner.loss(captions.features, lengths, inputs, captions.targets[:, :longest][real], positions)


def word_loop(captioner: Captioner, captions: Captions) -> torch.Tensor:
    """The original's way with the same modules: PyTorch's own RNNs, a word at a time, and the probabilities
    of all words.
    """
    rnn1, rnn2 = captioner.rnn1.rnns[0], captioner.rnn2.rnns[0]
    batch = len(captions.features)
    seen, state1 = rnn1(captions.features.transpose(0, 1))
    no_word = seen.new_zeros(CLIPS, batch, captioner.embedding.embedding_dim)
    _, state2 = rnn2(torch.cat([seen, no_word], 2))
    frame, said = captions.features.new_zeros(1, batch, rnn1.input_size), []
    for time_ in range(STEPS):
        seen, state1 = rnn1(frame, state1)
        word = captioner.embedding(captions.inputs[:, time_]).unsqueeze(0)
        spoken, state2 = rnn2(torch.cat([seen, word], 2), state2)
        said.append(F.log_softmax(captioner.output(spoken[0]), 1))
    log_probability = torch.stack(said, 1).gather(2, captions.targets.unsqueeze(2)).squeeze(2)
    return -(log_probability * captions.real).sum()


def flops(captioner: Captioner, captions: Captions) -> int:
    """Of the matrix products that a step cannot do without: forward, and twice that backward, but no gradient
    of features.
    """
    rows, words = int(captions.lengths.sum()) + CLIPS * len(captions.lengths), int(captions.lengths.sum())
    # Product by product: rows, inputs, outputs, how often (forward, for the weight, for the input).
    products = []
    for stack, seen in ((captioner.rnn1, CLIPS * len(captions.lengths)), (captioner.rnn2, rows)):
        for layer, (weight_ih, weight_hh, *_) in enumerate(stack.rnns[0].all_weights):
            of_features = stack is captioner.rnn1 and layer == 0
            products.append((seen if layer == 0 else rows, *weight_ih.shape, 2 if of_features else 3))
            products.append((rows, *weight_hh.shape, 3))
    products.append((words, *captioner.output.weight.shape, 3))
    return sum(2 * lengths * rows * inputs * outputs for rows, inputs, outputs, lengths in products)


def seconds(captioner: Captioner, step, captions: Captions) -> float:
    captioner.zero_grad(set_to_none=True)
    start = time.perf_counter()
    step(captioner, captions).backward()
    return time.perf_counter() - start


def gemm_gflops(size: int = 2048) -> float:
    one, other = torch.randn(size, size), torch.randn(size, size)
    result = one @ other
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(one, other, out=result)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


@torch.no_grad()
def check(captioner: Captioner, captions: Captions) -> None:
    captioner.eval()
    mine, theirs = float(ours(captioner, captions)), float(word_loop(captioner, captions))
    assert abs(mine - theirs) < 1e-4 * theirs, f"the losses differ: {mine} and {theirs}"
    captioner.train()


def measure(rnn: str, sizes: Sizes, rounds: int) -> list[dict]:
    """One row per way and batch: the least seconds of all rounds, which were taken in turn."""
    torch.manual_seed(0)
    captioner = Captioner(
        sizes.dim, sizes.words, rnn, LAYERS, "none", hidden=sizes.hidden, word_dim=sizes.hidden
    )
    small, large = Captions.of(LOOP_BATCH, sizes), Captions.of(LARGE_BATCH, sizes)
    check(captioner, small)
    ways = [("word loop", word_loop, small, 1), ("ours", ours, small, 5), ("ours", ours, large, 3)]
    rows = [
        {
            "rnn": rnn,
            "way": way,
            "captions": captions,
            "flops": flops(captioner, captions),
            "seconds": [],
            "gemm": 0.0,
        }
        for way, _, captions, _ in ways
    ]
    for number in range(rounds):
        gemm = gemm_gflops()
        for row, (_, step, captions, repeats) in zip(rows, ways, strict=True):
            row["seconds"] += [seconds(captioner, step, captions) for _ in range(repeats)]
            row["gemm"] = max(row["gemm"], gemm)
        print(
            f"{rnn}, round {number + 1} of {rounds}: "
            + ", ".join(f"{min(row['seconds']):.2f} s" for row in rows)
        )
    return rows


def table(rows: list[dict]) -> list[str]:
    gemm = max(row["gemm"] for row in rows)
    lines = [
        (
            "| RNN | step | batch | seconds a step | seconds a sample | speed, of the loop's | GFLOP a step |"
            " of the matrix-product bound |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    loop = {}
    for row in rows:
        batch, took = len(row["captions"].lengths), min(row["seconds"])
        loop.setdefault(row["rnn"], took / batch)
        bound = row["flops"] / gemm / 1e9
        lines.append(
            f"| {row['rnn'].upper()} | {row['way']} | {batch} | {took:.3f} | {took / batch:.4f} "
            f"| {loop[row['rnn']] / (took / batch):.1f} | {row['flops'] / 1e9:.1f} | {bound / took:.3f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rnns", default="gru,lstm")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, taken in turn")
    parser.add_argument(
        "--quick", action="store_true", help="a small captioner, once; prints, and writes nothing"
    )
    options = parser.parse_args()
    sizes = Sizes(256, 32, 300) if options.quick else Sizes()
    rows = [
        row
        for rnn in options.rnns.split(",")
        for row in measure(rnn, sizes, 1 if options.quick else options.rounds)
    ]
    lines = table(rows)
    if options.quick:
        print("\n".join(lines))
        return
    huge = os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"
    means = ", ".join(
        f"{row['captions'].lengths.float().mean():.1f} at batch {len(row['captions'].lengths)}"
        for row in rows[1:3]
    )
    memory = (
        "huge pages, as the commands ask for"
        if huge
        else "pages as torch has them by default; the commands ask for huge ones, which also speeds up the"
        " loop (`THP_MEM_ALLOC_ENABLE=1`)"
    )
    text = [
        (
            "One training step of the captioner of the baseline: forward, loss and backward, not the"
            f" optimiser. {sizes.dim} features, {CLIPS} clips, hidden {sizes.hidden}, {sizes.words} words,"
            f" {LAYERS} layers, captions of {means} words with the `<eos>`. The word loop is the original's:"
            f" {STEPS} calls of PyTorch's own RNNs for every batch, on zero frames, with the probabilities of"
            " all words kept; same modules, threads and process, and the same loss, which is asserted."
            " Bound: the matrix products that a step needs, counted, at the rate of a square product of 2048"
            f" in the same run ({max(row['gemm'] for row in rows):.0f} GFLOP/s). The least time of"
            f" {options.rounds} rounds in turn, since this machine is shared. Memory in"
            f" {memory}."
            " PyTorch's LSTM lays its weights out anew at every call, which is most of what that loop costs."
        ),
        "",
        *lines,
    ]
    threads = torch.get_num_threads()
    environment = "THP_MEM_ALLOC_ENABLE=1 " if huge else ""
    command = (
        f"{environment}OMP_NUM_THREADS={threads} python benchmarks/bench_captioner.py --rnns {options.rnns}"
        f" --rounds {options.rounds}"
    )
    name = f"captioner {threads} threads" + (" huge pages" if huge else "")
    write_section(name, "A captioner's training step" + (", huge pages" if huge else ""), command, text)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
