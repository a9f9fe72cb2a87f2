"""What it costs and what it gains that compute threads wait for each other without spinning, into RESULTS.md.

python benchmarks/bench_waiting.py
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch
from bench_train import write_features
from results import write_section

# As torch's own OpenMP (libgomp) waits: by default it spins for some milliseconds before it sleeps.
WAYS = {
    "spinning (torch's default)": {},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "GOMP_SPINCOUNT=3000": {"GOMP_SPINCOUNT": "3000"},
    "GOMP_SPINCOUNT=1000": {"GOMP_SPINCOUNT": "1000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
CLIPS, FRAMES, SIZE, DIVES, BATCH = 8, 16, 112, 16, 16
JOBS = {
    "extraction": f"S3D, {CLIPS} clips at {SIZE} px",
    "baseline": f"baseline, an epoch of one step of {BATCH} dives",
    "7": f"Exp 7, an epoch of one step of {BATCH} dives",
}
BUSY = 2


class Turns:
    """Between two jobs of a process: says on stdout how long the last took, and waits for a line on stdin."""

    def __init__(self, ahead: bool):
        self._out, sys.stdout = sys.stdout, sys.stderr
        self._began: float | None = None
        self._ahead = ahead

    def wait(self, seconds: float) -> None:
        """Ends the process where there are no more lines."""
        # The first time is for warming up.
        told = "ready" if self._began is None else [seconds, time.process_time() - self._began]
        if self._began is None and self._ahead:
            for thread in os.listdir("/proc/self/task"):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(1))
        print(json.dumps(told), file=self._out, flush=True)
        if not sys.stdin.readline():
            sys.exit()
        self._began = time.process_time()


def extract(turns: Turns) -> None:
    from aqa_cache.backbones.ready import ready_model
    from aqa_cache.backbones.registry import get_backbone
    from aqa_cache.clips.preprocess import MTL_AQA

    preprocessing = MTL_AQA.at_size(SIZE)
    backbone = get_backbone("s3d").build()
    model = ready_model(backbone, torch.device("cpu"), "fp32", preprocessing, CLIPS, FRAMES)
    clips = torch.randint(0, 256, (CLIPS, FRAMES, SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    while True:
        began = time.perf_counter()
        model.forward(clips)
        turns.wait(time.perf_counter() - began)


def train_epochs(name: str, features: Path, turns: Turns) -> None:
    from aqa_heads.settings.training import TrainingConfig
    from aqa_heads.training.run import train

    config = TrainingConfig(
        features,
        name,
        protocol="paper",
        epochs=10_000,
        batch_size=BATCH,
        meteor=False,
        out=features.parent / f"runs-{os.getpid()}",
        checkpoint_seconds=1e9,
    )
    train(config, on_epoch=lambda epoch: turns.wait(epoch.seconds))


class Worker:
    """A process that waits in one of the `WAYS` and does one job when it is told to."""

    def __init__(self, name: str, way: str, threads: int, features: Path, ahead: bool):
        known = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
        environment = {key: value for key, value in os.environ.items() if key not in known}
        environment |= {"OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1"} | WAYS[way]
        command = [sys.executable, __file__, "--work", name, "--features", str(features)]
        self._process = subprocess.Popen(
            command + ["--ahead"] * ahead,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == '"ready"\n'

    def once(self) -> tuple[float, float]:
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return tuple(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def busy_loops(count: int):
    """So many processes beside the measured one that do nothing but count."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def cpu_seconds() -> float:
    """Of all processes of this machine since it began, but for those that have nothing to do."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def measure(workers: dict[str, Worker], rounds: int) -> tuple[dict[str, list], float]:
    """Per way the seconds and CPU seconds of every round, in turn; and how many cores others kept busy."""
    measured = {way: [] for way in workers}
    began, all_before = time.perf_counter(), cpu_seconds()
    for number in range(rounds):
        for way in [*workers] if number % 2 == 0 else [*reversed(workers)]:
            measured[way].append(workers[way].once())
    seconds = time.perf_counter() - began
    ours = sum(cpu for each in measured.values() for _, cpu in each)
    return measured, (cpu_seconds() - all_before - ours) / seconds


def rows(name: str, busy: int, measured: dict[str, list], others: float) -> list[str]:
    """The lines of the table that one job gives with so many busy loops beside it."""
    by_way = {way: [[value[part] for value in values] for part in (0, 1)] for way, values in measured.items()}
    first = next(iter(by_way.values()))[0]
    return [
        # Round by round: what else the machine does then is nearly the same for all.
        f"| {JOBS[name]} | {busy or 'none'} | {way} | {min(seconds):.2f} | {statistics.median(seconds):.2f} |"
        f" {statistics.median(a / b for a, b in zip(seconds, first, strict=True)):.2f} |"
        f" {statistics.median(cpu):.2f} | {others:.1f} |"
        for way, (seconds, cpu) in by_way.items()
    ]


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Of every job and way, in turn.")
@click.option("--threads", default=2, show_default=True)
@click.option("--jobs", default=",".join(JOBS), show_default=True)
@click.option("--busy", default=f"0,{BUSY}", show_default=True, help="Busy loops beside it.")
@click.option("--ahead", is_flag=True, help="Before all other processes, which needs root: nearly quiet.")
@click.option("--work", hidden=True)
@click.option("--features", type=click.Path(path_type=Path), hidden=True)
@click.option("--dry", is_flag=True, help="Print the table and leave RESULTS.md as it is.")
def main(
    rounds: int,
    threads: int,
    jobs: str,
    busy: str,
    ahead: bool,
    work: str | None,
    features: Path | None,
    dry: bool,
) -> None:
    """Time extraction and training with threads that spin and that do not, alone and beside busy loops."""
    if work == "extraction":
        extract(Turns(ahead))
    elif work:
        train_epochs(work, features, Turns(ahead))
    if work:
        return
    torch.set_num_threads(threads)  # for the line on the machine
    head = [
        (
            f"One job of {threads} compute threads in each of {len(WAYS)} processes that differ only in how"
            f" its threads wait for each other, {rounds} rounds in turn, there and back, beside so many"
            " processes that only count. Ratio: median over the rounds of the seconds divided by those of the"
            " default in the same round. CPU seconds count what is spent spinning. Others: cores that all"
            " other processes of this machine, which is shared, kept busy meanwhile, the loops included"
            f"{'; the measured processes went before all others (SCHED_FIFO)' if ahead else ''}. A dive has 6"
            " clips of 8192 generated values; all tasks are trained."
        ),
        "",
        "| job | busy loops | waiting | s, least | s, median | ratio | CPU s, median | others, cores |",
        "|---|---|---|---|---|---|---|---|",
    ]
    command = f"python benchmarks/bench_waiting.py --rounds {rounds} --threads {threads} --busy {busy}"
    quiet = " --ahead" if ahead else ""
    title = f"Threads that wait without spinning{', nearly quiet' if ahead else ''}"
    done, lines = [], []
    with tempfile.TemporaryDirectory() as folder:
        features = write_features(Path(folder, "c3d.h5"), DIVES)
        for name in jobs.split(","):
            workers = {way: Worker(name, way, threads, features, ahead) for way in WAYS}
            try:
                for count in map(int, busy.split(",")):
                    with busy_loops(count):
                        lines += rows(name, count, *measure(workers, rounds))
                    click.echo("\n".join(lines[-len(WAYS) :]))
            finally:
                for worker in workers.values():
                    worker.close()
            done.append(name)
            if not dry:
                asked = f"{command} --jobs {','.join(done)}{quiet}"
                write_section("waiting ahead" if ahead else "waiting", title, asked, head + lines)


if __name__ == "__main__":
    main()
