"""Whether speed falls off a cliff: threads, batches and a busy neighbour, of a backbone and of a training
step of every encoder, into RESULTS.md. For another version of torch, run it again where that is installed.

    python benchmarks/bench_threads.py
    python benchmarks/bench_threads.py --quick

Each kind of work is a process of its own that changes its number of threads; in every round all settings take
turns. Only one of them computes at a time.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from results import write_section

import aqa_cli  # noqa: F401  # huge pages and how threads wait, as the commands have them
from aqa_cache.backbones.openvino_engine import openvino_version
from aqa_cache.extraction.measuring.peers import versions
from aqa_cache.machine.cores import available_cores
from aqa_cache.machine.heap import keep_freed_memory
from aqa_heads.settings.experiments import ENCODER_SIZES, ENCODERS

THREADS, BATCHES, LOOPS = (1, 2, 4), (1, 2, 4, 8, 16, 32), 2
FRAMES, SIZE = 16, 112
SAMPLES, CLIPS, DIM = 16, 10, 1024
# It ends with the process that began it, however that ends.
BUSY_LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
# What no setting may fall below: of one thread times the cores it can use; batch 1 of batch 8; four threads
# of two on two cores; beside two busy loops of the machine without.
SCALES, SMALL, OVERSUBSCRIBED, BUSY = 0.8, 0.6, 0.8, 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="s3d")
    parser.add_argument("--engines", default="torch,openvino")
    parser.add_argument("--encoders", default=",".join(ENCODERS), help="training steps; empty: none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn, at least one batch")
    parser.add_argument("--quick", action="store_true", help="batches of 1 and 8, two rounds, short turns")
    parser.add_argument("--beside", default="", help="what else the machine does, for the record")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    if options.quick:
        options.batches, options.rounds, options.seconds = "1,8", 2, 0.2
    engines = [
        name for name in options.engines.split(",") if name and (name == "torch" or openvino_version())
    ]
    kinds = [f"{options.backbone} by {engine}" for engine in engines]
    kinds += [f"step of {encoder}" for encoder in options.encoders.split(",") if encoder]
    lines = [_head(options)]
    command = (
        f"python benchmarks/bench_threads.py --backbone {options.backbone} --engines {','.join(engines)}"
        f" --rounds {options.rounds} --seconds {options.seconds:g} --batches {options.batches}"
    )
    name, title = (
        f"threads {torch.__version__}",
        f"Threads, batches, a busy neighbour: torch {torch.__version__}",
    )
    for kind in kinds:
        lines += ["", *table(kind, measured(kind, options))]
        write_section(name, title, command, lines, unfinished=kind != kinds[-1])


def measured(kind: str, options: argparse.Namespace) -> dict[tuple[int, int, int], float]:
    """Median rates by (busy loops, threads, batch), from a process of its own."""
    words = [f"--{name}={getattr(options, name)}" for name in ("rounds", "seconds", "batches")]
    command = [sys.executable, __file__, f"--work={kind}", *words]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {tuple(key): rate for key, rate in json.loads(result.stdout.splitlines()[-1])}


def work(options: argparse.Namespace) -> None:
    batches = [int(batch) for batch in options.batches.split(",")]
    make = step if options.work.startswith("step of ") else backbone
    if make is backbone:
        keep_freed_memory()  # as aqa-extract
    subject = options.work.removeprefix("step of ")
    runs: dict[tuple[int, int], Callable[[], object]] = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        for batch in batches if make is backbone else [SAMPLES]:
            runs[threads, batch] = make(subject, batch)
    rates: dict[tuple[int, int, int], list[float]] = {}
    for _ in range(options.rounds):
        for loops in (0, LOOPS):
            neighbours = [subprocess.Popen([sys.executable, "-c", BUSY_LOOP]) for _ in range(loops)]
            try:
                for (threads, batch), run in runs.items():
                    torch.set_num_threads(threads)
                    rate = _rate(run, batch, options.seconds)
                    rates.setdefault((loops, threads, batch), []).append(rate)
            finally:
                for neighbour in neighbours:
                    neighbour.kill()
                    neighbour.wait()
    print(json.dumps([(key, median(each)) for key, each in rates.items()]))


def backbone(subject: str, batch: int) -> Callable[[], object]:
    """One batch of a backbone by an engine, from decoded frames, with as many threads as are set now."""
    from aqa_cache.backbones.inference import Model
    from aqa_cache.backbones.openvino_engine import Converted
    from aqa_cache.backbones.registry import for_inference, get_backbone
    from aqa_cache.clips.preprocess import MTL_AQA

    device, (name, engine) = torch.device("cpu"), subject.split(" by ")
    if subject not in _made:
        torch.manual_seed(0)
        module = get_backbone(name).build().eval()
        if engine == "openvino":
            _made[subject] = Converted(module, (1, 3, FRAMES, SIZE, SIZE))
        else:
            _made[subject] = for_inference(module, device, torch.float32)
    network = _made[subject]
    if engine == "openvino":
        network = network.network(batch, "fp32", torch.get_num_threads())
    model = Model(network, device, "fp32", MTL_AQA.at_size(SIZE), batch)
    clips = torch.randint(0, 256, (batch, FRAMES, SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    return lambda: model.forward(clips)


_made: dict = {}


def step(encoder: str, batch: int) -> Callable[[], object]:
    """One training step of an encoder at its default sizes, with a score on top, by as many threads as
    `aqa-train` gives it of those that are set now.
    """
    from aqa_heads.networks.encoders.by_name import make_encoder
    from aqa_heads.training.computing import threads_of_update, threads_worth
    from aqa_heads.training.part import Part

    torch.manual_seed(0)
    module = make_encoder(encoder, DIM, *ENCODER_SIZES[encoder])
    head = torch.nn.Linear(module.out_dim, 1)
    features, lengths = torch.randn(batch, CLIPS, DIM), torch.full((batch,), CLIPS)
    modules = torch.nn.ModuleDict({"encoder": module, "heads": head})
    weights = sum(weight.numel() for weight in modules.parameters())
    part = Part(
        "assessment",
        modules,
        [torch.optim.AdamW(modules.parameters(), fused=True)],
        None,
        update_threads=threads_of_update(weights),
    )
    threads = threads_worth(weights * (batch * CLIPS + 1))

    def run() -> None:
        torch.set_num_threads(threads)
        encoded = module(features, lengths)
        part.step(head(getattr(encoded, "pooled", encoded)).square().mean())

    return run


def table(kind: str, rates: dict[tuple[int, int, int], float]) -> list[str]:
    """Rows of a table, each with the ratios that must hold, and what does not hold."""
    lines = [
        f"| {kind}: threads | batch | a second | beside {LOOPS} busy loops | of one thread, times cores"
        f" (>= {SCALES}) | of batch 8 (>= {SMALL}) | of two threads (>= {OVERSUBSCRIBED}) | busy of quiet"
        f" (>= {BUSY}) |",
        "|" + "---|" * 8,
    ]
    for (loops, threads, batch), rate in rates.items():
        if loops:
            continue
        lone, eight, two = rates[0, 1, batch], rates.get((0, threads, 8)), rates[0, 2, batch]
        busy = rates[LOOPS, threads, batch]
        ratios = [
            _held(rate / lone / min(threads, available_cores()), SCALES),
            _held(rate / eight, SMALL) if batch == 1 and eight else "–",
            _held(rate / two, OVERSUBSCRIBED) if threads > available_cores() else "–",
            _held(busy / rate, BUSY),
        ]
        lines.append(f"| {threads} | {batch} | {rate:.2f} | {busy:.2f} | {' | '.join(ratios)} |")
    return lines


def _held(ratio: float, least: float) -> str:
    return f"{ratio:.2f}" if ratio >= least else f"**{ratio:.2f}**"


def _head(options: argparse.Namespace) -> str:
    beside = f" Taken beside {options.beside}." if options.beside else ""
    return (
        f"Clips of {FRAMES} frames at {SIZE} px a second, fp32, random weights; steps of {SAMPLES} samples of"
        f" {CLIPS} clips of {DIM} values, in samples a second, by as many of the threads as aqa-train gives"
        f" them. {available_cores()} cores, medians of {options.rounds} rounds in which all settings take"
        " turns; what falls below its bound is bold."
        f" {', '.join(f'{k} {v}' for k, v in versions().items())}.{beside}"
    )


def _rate(run: Callable[[], object], count: int, seconds: float) -> float:
    run()
    done, started = 0, time.perf_counter()
    while not done or time.perf_counter() - started < seconds:
        run()
        done += count
    return done / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
