"""The 8192 wide LSTM encoder of Exp 7: peak memory and time of real steps, and its deviation from plain Adam,
into RESULTS.md.

    python benchmarks/bench_encoder_memory.py
    python benchmarks/bench_encoder_memory.py --only deviation --deviation-steps 300

- memory: construction, initialisation, training steps and evaluation, each size in a process of its own,
  together with what trains beside it: fc6, the heads, and the captioner of 17 M parameters with plain Adam.
  Peak: of the whole process on the CPU, of the allocated tensors on a GPU. Beside it the default size with
  plain Adam.
- orthogonal: time and memory of the orthogonal initialisation, here and in torch.
- deviation: the same training with `torch.nn.LSTM` and `torch.optim.Adam`, and with the frugal encoder and
  optimiser.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from results import write_section

DIM, CLIPS, DIVES, WORDS, VOCABULARY = 8192, 6, 143, 100, 5781
NARROWER = 8  # times, the default encoder than the literal one
CLASSES = {"position": 3, "armstand": 2, "rotation": 4, "somersaults": 10, "twists": 8}
LIMIT = 11 * 2**30
KEPT, TAIL = 50, 50


def main() -> None:
    sections = {
        "memory": ("Exp 7's encoder in memory", "--batches {batches} --steps {steps}", bench_memory),
        "orthogonal": ("Orthogonal initialisation", "--rows {rows}", bench_orthogonal),
        "deviation": (
            "Exp 7's optimiser beside plain Adam",
            "--deviation-steps {deviation_steps}",
            bench_deviation,
        ),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(sections), help="any of them, separated by commas")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", default="3,16", help="batch sizes")
    parser.add_argument("--dim", type=int, default=DIM, help="of the features, of the memory")
    parser.add_argument("--steps", type=int, default=3, help="training steps of the memory")
    parser.add_argument("--deviation-steps", type=int, default=300, help="training steps of the deviation")
    parser.add_argument(
        "--rows", type=int, default=8192, help="of the orthogonal matrix, four times as many as columns"
    )
    parser.add_argument("--scratch", help="folder for a file of 8 GiB; by default the system's")
    parser.add_argument("--process", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        arguments = json.loads(options.process)
        return print(json.dumps((initialise if "way" in arguments else measure)(**arguments)))
    asked = options.only.split(",")
    if unknown := set(asked) - sections.keys():
        raise SystemExit(
            f"--only: unknown {', '.join(sorted(unknown))}; expected any of {', '.join(sections)}"
        )
    for name in asked:
        title, arguments, bench = sections[name]
        command = (
            f"python benchmarks/bench_encoder_memory.py --only {name} --device {options.device}"
            f" {arguments.format(**vars(options))}"
        )
        if name == "memory" and options.dim != DIM:
            command += f" --dim {options.dim}"
        write = partial(
            write_section, f"encoder {name} {options.device}", f"{title}, {options.device}", command
        )
        write(bench(options, partial(write, unfinished=True)))


def bench_memory(options: argparse.Namespace, keep: Callable[[list[str]], None]) -> list[str]:
    """The section's lines; `keep` is given them after every row."""
    lines = [
        (
            f"{CLIPS} clips of {options.dim} values, beside it fc6, heads and the captioner of Exp 7;"
            f" {options.steps} training steps each, in a process of its own. Limit: {gib(LIMIT)}. The file"
            " holds weights and optimiser state."
        ),
        "",
        (
            "| encoder | parameters | batch | peak | peak until the first step | after saving and loading |"
            " initialisation | a step | evaluating 16 samples | saving | loading |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for hidden in (options.dim, options.dim // NARROWER):
        for batch in map(int, options.batches.split(",")):
            row = in_process(
                dim=options.dim,
                hidden=hidden,
                batch=batch,
                steps=options.steps,
                device=options.device,
                scratch=options.scratch,
            )
            name = f"{hidden} wide, " + ("frugal" if hidden == options.dim else "plain Adam (default)")
            file = [f"{row[key]:.1f} s" if key in row else "–" for key in ("saving", "loading")]
            lines.append(
                f"| {name} | {row['parameters']:,} | {batch} | {gib(row['peak'])} | {gib(row['built_peak'])}"
                f" | {gib(row['file_peak']) if 'file_peak' in row else '–'} | {row['init']:.1f} s |"
                f" {row['step']:.2f} s | {row['evaluating']:.2f} s | {' | '.join(file)} |"
            )
            print(lines[-1], flush=True)
            keep(lines)
    return lines


def in_process(**arguments) -> dict:
    """What `measure`, or `initialise`, returns in a fresh process."""
    command = [sys.executable, __file__, "--process", json.dumps(arguments)]
    return json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    )


def measure(dim: int, hidden: int, batch: int, steps: int, device: str, scratch: str | None) -> dict:
    """Real steps of Exp 7 in this process; the encoder as wide as the features is the frugal one.

    Returns:
        seconds of `init` (construction and initialisation of the encoder), of a `step` (median), of
        `evaluating` 16 samples, of `saving` and `loading` the encoder with its state; bytes of `built_peak`,
        before the first step, `peak`, after evaluation, and `file_peak`, after loading.
    """
    import torch

    from aqa_heads.captions.captioner import Captioner
    from aqa_heads.networks.encoders.recurrent import LstmEncoder
    from aqa_heads.networks.frugal_lstm import FrugalLstmEncoder, ordinary_parameters
    from aqa_heads.networks.heads import Heads
    from aqa_heads.networks.score_heads.regression import RegressionHead
    from aqa_heads.networks.score_heads.seam import Encoded, Sizes

    torch.manual_seed(0)
    device = torch.device(device)
    features = torch.rand(DIVES, CLIPS, dim, device=device)
    started = time.perf_counter()
    with device:
        encoder = FrugalLstmEncoder(dim, hidden) if hidden == dim else LstmEncoder(dim, hidden)
    finish(device)
    row = {"init": time.perf_counter() - started}
    with device:
        heads = Heads(Sizes(hidden, dim), RegressionHead, CLASSES)
        captioner = Captioner(dim, VOCABULARY, "gru", 2, "linear")
    model = torch.nn.ModuleDict({"encoder": encoder, "heads": heads, "captioner": captioner})
    optimisers = [torch.optim.Adam(ordinary_parameters(model), 1e-4, fused=True)]
    if hidden == dim:
        optimisers.append(encoder.set_optimiser(1e-4))
    row["built_peak"] = peak_memory(device)
    seconds = []
    for number in range(steps):
        started = time.perf_counter()
        chosen = (torch.arange(batch, device=device) + number * batch) % DIVES
        for optimiser in optimisers[:1]:
            optimiser.zero_grad()
        loss_of(model, features[chosen]).backward()
        for optimiser in optimisers:
            optimiser.step()
        finish(device)
        seconds.append(time.perf_counter() - started)
        print(
            f"{hidden} wide, batch {batch}: step {number + 1} took {seconds[-1]:.2f} s",
            file=sys.stderr,
            flush=True,
        )
    row["step"] = statistics.median(seconds[1:] or seconds)
    model.eval()
    started = time.perf_counter()
    with torch.no_grad():
        encoded = Encoded(encoder(features[:16], torch.full((16,), CLIPS, device=device)))
        heads(heads.share(encoded))
    finish(device)
    row["evaluating"] = time.perf_counter() - started
    row["peak"] = peak_memory(device)
    row["parameters"] = sum(parameter.numel() for parameter in encoder.parameters())
    if hidden == dim:
        with tempfile.TemporaryDirectory(prefix="bench-encoder-", dir=scratch) as folder:
            for key, act in (("saving", encoder.save), ("loading", encoder.load)):
                started = time.perf_counter()
                act(Path(folder) / "encoder.safetensors")
                row[key] = time.perf_counter() - started
        row["file_peak"] = peak_memory(device)
    return row


def loss_of(model, features):
    """Score, classes and caption of random labels, weighted as in the original."""
    import torch
    from torch.nn import functional as F

    from aqa_heads.networks.score_heads.seam import Encoded

    batch, device = len(features), features.device
    lengths = torch.full((batch,), CLIPS, device=device)
    heads = model["heads"]
    said, classes = heads(heads.share(Encoded(model["encoder"](features, lengths))))
    score = said.points.float()
    loss = F.mse_loss(score, torch.rand_like(score)) + F.l1_loss(score, torch.rand_like(score))
    for logits in classes.values():
        loss = loss + F.cross_entropy(logits, torch.randint(logits.shape[1], (batch,), device=device))
    inputs = torch.randint(VOCABULARY, (batch, WORDS), device=device)
    logits = model["captioner"].output(model["captioner"].states(features, lengths, inputs))
    return loss + 0.01 * F.cross_entropy(logits.flatten(0, 1), inputs.flatten(), reduction="sum") / batch


def bench_orthogonal(options: argparse.Namespace, keep: Callable[[list[str]], None]) -> list[str]:
    shape = [options.rows, options.rows // 4]
    lines = [
        (
            f"A matrix of {shape[0]} x {shape[1]} ({gib(4 * shape[0] * shape[1])}), from the same random"
            " numbers; both give the same matrix. Memory: the process's peak above what it held with the"
            " empty matrix filled."
        ),
        "",
        "| | seconds | memory beside the matrix | max. of WᵀW - 1 |",
        "|---|---|---|---|",
    ]
    for way in ("aqa_heads.networks.orthogonal", "torch.nn.init"):
        row = in_process(way=way, shape=shape, device=options.device)
        lines.append(f"| `{way}` | {row['seconds']:.1f} | {gib(row['memory'])} | {row['error']:.1e} |")
        print(lines[-1], flush=True)
        keep(lines)
    return lines


def initialise(way: str, shape: list[int], device: str) -> dict:
    """Seconds, bytes of memory beside the matrix, and largest error of one initialisation in this process."""
    import torch

    from aqa_heads.networks.orthogonal import orthogonal_

    torch.manual_seed(0)
    device = torch.device(device)
    weight = torch.zeros(shape, device=device).fill_(1.0)
    before, started = peak_memory(device), time.perf_counter()
    (orthogonal_ if way == "aqa_heads.networks.orthogonal" else torch.nn.init.orthogonal_)(weight)
    finish(device)
    row = {"seconds": time.perf_counter() - started, "memory": peak_memory(device) - before}
    return row | {"error": float((weight.T @ weight - torch.eye(shape[1], device=device)).abs().max())}


def bench_deviation(options: argparse.Namespace, keep: Callable[[list[str]], None]) -> list[str]:
    import torch

    torch.set_num_threads(1)
    steps = options.deviation_steps
    ways = {
        "plain: torch's LSTM and Adam": None,
        "frugal, exact moments (another order of the sums)": True,
        "frugal, as it trains Exp 7": False,
    }
    runs = {name: train(exact, steps, options.device) for name, exact in ways.items()}
    lines = [
        (
            f"Hidden size 512, two layers, {DIM}-d features of {DIVES} generated dives of {CLIPS} clips, a"
            f" linear score head with the original's loss; learning rate 1e-4, batch 3, {steps} steps,"
            " dropout 0.2, the same weights, batches and dropout at the start. Deviation of the encoder's"
            f" weights: ‖w - w_plain‖ / ‖w_plain - w_start‖. Loss: mean of the last {TAIL} steps. Spearman on"
            f" {KEPT} other dives."
        ),
        "",
        (
            "| | weights after 10 steps | after 100 | at the end | mean difference of a step's loss, relative"
            " | loss | Spearman |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    plain = runs[next(iter(ways))]
    for name, run in runs.items():
        differences = [abs(a - b) for a, b in zip(run["losses"], plain["losses"], strict=True)]
        relative = statistics.mean(differences) / statistics.mean(plain["losses"])
        deviations = [
            deviation(run["weights"][at], plain["weights"][at], plain["weights"][0])
            for at in (10, 100, steps)
        ]
        lines.append(
            f"| {name} | {' | '.join(f'{value:.2%}' for value in deviations)} | {relative:.2%} "
            f"| {statistics.mean(run['losses'][-TAIL:]):.4f} | {run['spearman']:.3f} |"
        )
        print(lines[-1], flush=True)
    return lines


def train(exact: bool | None, steps: int, device: str) -> dict:
    """One training.

    Args:
        exact: moments of the frugal optimiser; None: torch's LSTM and Adam.

    Returns:
        losses of all steps, `spearman` on dives that were not trained on, and `weights` of the encoder after
        0, 10, 100 and all steps.
    """
    import torch
    from scipy.stats import spearmanr

    from aqa_heads.networks.encoders.recurrent import LstmEncoder
    from aqa_heads.networks.frugal_lstm import FrugalLstmEncoder

    features, scores = (values.to(device) for values in generated_dives())
    torch.manual_seed(1)
    encoder = FrugalLstmEncoder(DIM, 512)
    head = torch.nn.Linear(512, 1).to(device)
    parameters = list(head.parameters())
    if exact is None:
        weights, encoder = encoder.state_dict(), LstmEncoder(DIM, 512)
        encoder.load_state_dict(weights)
        parameters += encoder.parameters()
    encoder.to(device)
    optimisers = [torch.optim.Adam(parameters, 1e-4)]
    if exact is not None:
        optimisers.append(encoder.set_optimiser(1e-4, exact=exact))
    lengths = torch.full((3,), CLIPS, device=device)
    losses, kept = [], {0: copy_of(encoder)}
    for step in range(1, steps + 1):
        torch.manual_seed(step)
        chosen = torch.randint(DIVES, (3,)).to(device)
        difference = head(encoder(features[chosen], lengths)).squeeze(1) - scores[chosen]
        loss = difference.square().mean() + difference.abs().mean()
        optimisers[0].zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        losses.append(loss.item())
        if step in (10, 100, steps):
            kept[step] = copy_of(encoder)
    encoder.eval()
    with torch.no_grad():
        others = features[DIVES:]
        predicted = head(encoder(others, torch.full((KEPT,), CLIPS, device=device))).squeeze(1)
    return {
        "losses": losses,
        "weights": kept,
        "spearman": spearmanr(predicted.cpu(), scores[DIVES:].cpu()).statistic,
    }


def generated_dives():
    """Features that are mostly zero and never negative, as after a ReLU, and scores / 17 that depend on eight
    directions in them.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(DIVES + KEPT, 8, generator=generator)
    mixing = torch.randn(8, DIM, generator=generator)
    noise = torch.randn(DIVES + KEPT, CLIPS, DIM, generator=generator)
    features = (hidden.unsqueeze(1) @ mixing / 8**0.5 + noise - 0.5).relu()
    return features, 4 + hidden[:, 0] + 0.3 * hidden[:, 1]


def copy_of(encoder) -> dict:
    return {name: weight.detach().cpu().clone() for name, weight in encoder.lstm.state_dict().items()}


def deviation(weights: dict, plain: dict, start: dict) -> float:
    """‖w - w_plain‖ / ‖w_plain - w_start‖ over all weights."""
    apart = sum(float((weights[name] - plain[name]).double().square().sum()) for name in plain)
    moved = sum(float((plain[name] - start[name]).double().square().sum()) for name in plain)
    return (apart / moved) ** 0.5


def peak_memory(device) -> int:
    import torch

    from aqa_cache.machine.devices import process_peak_memory

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else process_peak_memory()


def finish(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


if __name__ == "__main__":
    main()
