"""How long an epoch of every encoder takes on cached features, beside its matrix products alone, into
RESULTS.md.

    python benchmarks/bench_encoders.py
    python benchmarks/bench_encoders.py --quick

The products are those of one epoch's steps, each timed by itself at the size it has there: of every linear
layer the output, the gradient of the weights and, unless it is the first, that of the input; of an RNN the
input's in one product over all clips and the states' clip by clip, as a state needs the one before.
Beside them what AdamW needs for the weights, which no product bounds. With one thread all times are the
processor's, which other programs do not count in; with more they are the clock's.
"""

import math
import shlex
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from results import write_section
from torch import nn

import aqa_cli  # noqa: F401  # huge pages, as the commands have them
from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_heads.networks.encoders.recurrent import GruEncoder, LstmEncoder, RecurrentEncoder
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.encoder_sizes import suited_width
from aqa_heads.settings.experiments import ENCODER_SIZES, ENCODERS
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.run import train

# Samples, clips, values of a clip.
SHAPES = ((100, 200, 152), (1059, 10, 1024), (250, 70, 1024), (143, 6, 8192))
QUICK = ((16, 6, 512), (16, 40, 64))
BATCH_SIZE, TESTED = 16, 2
CLASSES = {"position": 3, "armstand": 2}
# Rows, size of the input, size of the output of a product.
Product = tuple[int, int, int]


def write_features(path: Path, samples: int, clips: int, dim: int) -> Path:
    """A cache of generated features; there is nothing to learn."""
    generator = np.random.default_rng(0)
    records = []
    for index in range(samples + TESTED):
        sample = Sample(
            f"s{index:04d}",
            "video.mp4",
            1000 * index,
            1000 * index + 999,
            "train" if index < samples else "test",
            final_score=float(generator.normal(67, 17)),
            classes={name: str(index % number) for name, number in CLASSES.items()},
        )
        features = generator.normal(size=(clips, dim)).astype(np.float32)
        times = np.arange(clips) * 4.0
        records.append(Record(sample, [ClipFeatures(features, times, times / 25)]))
    spec = FeatureSpec("c3d", "pool5", dim, "generated", "", {}, {})
    write_cache(path, records, spec, views=["plain"], dtype="float32")
    return path


def products_of(model: AqaModel, features: torch.Tensor, lengths: torch.Tensor) -> Counter[Product]:
    """The matrix products of a training step on a batch, forward and backward, by their sizes."""
    found: Counter[Product] = Counter()

    def add(rows: int, inputs: int, outputs: int, first: bool, times: int = 1) -> None:
        found[rows, inputs, outputs] += times
        found[outputs, rows, inputs] += times  # the weights' gradient
        if not first:
            found[rows, outputs, inputs] += times

    def linear(module: nn.Linear, inputs: tuple[torch.Tensor, ...]) -> None:
        rows = inputs[0].numel() // module.in_features
        # Nothing is before the encoder's first layer, and before the heads where nothing there is trained.
        first = inputs[0].grad_fn is None
        add(rows, module.in_features, module.out_features, first)

    def attention(module: nn.MultiheadAttention, inputs: tuple[torch.Tensor, ...]) -> None:
        query, key = inputs[0], inputs[1] if len(inputs) > 1 else inputs[0]
        width, heads = module.embed_dim, module.num_heads
        for tensor, times in ((query, 2), (key, 2)):  # query and output, key and value
            add(tensor.numel() // width, width, width, False, times)
        # Likeness and mean, of each sample and head.
        each = (query.shape[1], width // heads, key.shape[1])
        add(*each, False, 2 * heads * len(query))

    def recurrent(module: RecurrentEncoder, inputs: tuple[torch.Tensor, ...]) -> None:
        batch, clips, dim = inputs[0].shape
        gates, hidden = module.rnn.weight_hh_l0.shape
        for layer in range(module.rnn.num_layers):
            add(batch * clips, hidden if layer else dim, gates, not layer)
            found[batch, hidden, gates] += clips
            found[batch, gates, hidden] += clips
            found[gates, batch * clips, hidden] += 1

    kinds: dict[type, Callable] = {nn.Linear: linear, nn.MultiheadAttention: attention}
    kinds |= {LstmEncoder: recurrent, GruEncoder: recurrent}
    hooks = [
        module.register_forward_pre_hook(kinds[type(module)])
        for module in model.modules()
        if type(module) in kinds
    ]
    model.train()
    encoded = model.encode(features, lengths)
    model.heads.classify(encoded)
    for hook in hooks:
        hook.remove()
    return found


def best_of(act: Callable[[], object], seconds: float = 0.1, least: int = 2) -> float:
    """The shortest time of `act`, in seconds, tried for so long."""
    act()
    times, until = [], now() + seconds
    while len(times) < least or now() < until:
        began = now()
        act()
        times.append(now() - began)
    return min(times)


def now() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds_of_product(product: Product) -> float:
    rows, inputs, outputs = product
    left, right = torch.randn(rows, inputs), torch.randn(inputs, outputs)
    into = torch.empty(rows, outputs)
    return best_of(lambda: torch.mm(left, right, out=into), 0.02)


def seconds_of_adamw(model: AqaModel) -> float:
    parameters = [nn.Parameter(torch.zeros_like(each)) for each in model.parameters()]
    for each in parameters:
        each.grad = torch.zeros_like(each)
    optimiser = torch.optim.AdamW(parameters, fused=True)
    return best_of(optimiser.step)


def measured(path: Path, encoder: str, hidden: int | None, epochs: int, out: Path) -> dict[str, float]:
    """Milliseconds of an epoch, of its products, of AdamW in it."""
    config = TrainingConfig(
        path,
        encoder=encoder,
        encoder_hidden=hidden,
        tasks=("score", "classes"),
        protocol="paper",
        batch_size=BATCH_SIZE,
        epochs=epochs,
        out=out,
        overwrite=True,
        device="cpu",
        checkpoint_seconds=1e6,
    )
    stamps: list[float] = []
    run = train(config, on_epoch=lambda _: stamps.append(now()))
    model = run.load_model()
    with FeatureCache(path) as cache:
        batch = torch.stack([torch.from_numpy(cache.features(index)) for index in range(BATCH_SIZE)])
        steps = (len(cache) - TESTED) / BATCH_SIZE
    products = products_of(model, batch, torch.full((BATCH_SIZE,), batch.shape[1]))
    in_step = sum(number * seconds_of_product(product) for product, number in products.items())
    epoch = statistics.median(np.diff(stamps))
    adamw = math.ceil(steps) * seconds_of_adamw(model)
    return {"epoch": 1e3 * epoch, "products": 1e3 * steps * in_step, "adamw": 1e3 * adamw}


def widths_of(encoder: str, samples: int, dim: int, rows: bool) -> list[int | None]:
    """What follows from the data, and if `rows` are asked for, what rows of Table 1 have."""
    usual, layers = ENCODER_SIZES[encoder]
    suited = suited_width(encoder, samples, dim) if usual or layers else None
    return list(dict.fromkeys((suited, usual))) if rows and usual else [suited]


def chosen_shapes(shapes: str | None, quick: bool) -> tuple[tuple[int, ...], ...]:
    if shapes is None:
        return QUICK if quick else SHAPES
    return tuple(tuple(map(int, shape.split("x"))) for shape in shapes.split(","))


@click.command()
@click.option("--encoders", default=",".join(ENCODERS), show_default=True)
@click.option("--shapes", help="Samples x clips x values, as 100x200x152,250x70x1024.  [default: four]")
@click.option("--epochs", default=4, show_default=True, help="Of each run; the first is not counted.")
@click.option("--threads", default=1, show_default=True)
@click.option("--rows", is_flag=True, help="Also with the widths of rows of Table 1, up to 1,024.")
@click.option("--quick", is_flag=True, help="Small sizes, two epochs, nothing written.")
def main(encoders: str, shapes: str | None, epochs: int, threads: int, rows: bool, quick: bool) -> None:
    """Time an epoch of every encoder and its matrix products."""
    torch.set_num_threads(threads)
    command = f"python benchmarks/bench_encoders.py {shlex.join(sys.argv[1:])}".strip()
    names = encoders.split(",")
    if unknown := set(names) - set(ENCODERS):
        raise click.UsageError(f"--encoders: unknown {', '.join(sorted(unknown))}; expected {ENCODERS}")
    lines = [
        "An epoch of scores and classes, batch 16, of generated features, clips not padded; the median of"
        f" {epochs - 1} epochs after the first. Products: those of its steps alone, timed each by itself. The"
        " second ratio is to products and AdamW's steps together, as updating wide layers (fc6 is 4,096 wide)"
        " takes longer than their products.",
        "",
        "| samples x clips x values | encoder | width | epoch, ms | products | ratio | AdamW | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def write(unfinished: bool) -> None:
        if not quick:
            write_section("encoders cpu", "Encoders on a CPU", command, lines, unfinished=unfinished)

    with tempfile.TemporaryDirectory() as folder:
        for shape in chosen_shapes(shapes, quick):
            path = write_features(Path(folder, "feats.h5"), *shape)
            for encoder in names:
                for hidden in widths_of(encoder, shape[0], shape[2], rows):
                    found = measured(path, encoder, hidden, 2 if quick else epochs, Path(folder, "runs"))
                    bound, with_adamw = found["products"], found["products"] + found["adamw"]
                    sizes = " x ".join(f"{number:,}" for number in shape)
                    lines.append(
                        f"| {sizes} | {encoder} | {hidden or '–'} | {found['epoch']:,.0f} | {bound:,.0f} |"
                        f" {found['epoch'] / bound:.1f} | {found['adamw']:,.0f} |"
                        f" {found['epoch'] / with_adamw:.1f} |"
                    )
                    click.echo(lines[-1])
                    write(unfinished=True)
            path.unlink()
    write(unfinished=False)


if __name__ == "__main__":
    main()
