"""Extraction by actors of Ray into a local S3 under faults, as fleet_faults.py. Into RESULTS.md.

python benchmarks/ray_faults.py
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from fleet_faults import CONFIG, Bench, run

from aqa_cache.fleet.driver import PlaceExtraction, extract_to_place
from aqa_cache.fleet.ray_crew import RayActors
from aqa_cache.logs import handled
from aqa_cache.machine.ray_cluster import import_ray

Disturb = Callable[[Any], None]


def undisturbed(bench: Bench) -> str:
    with two_nodes() as cluster:
        _, (done,) = work(bench, cluster)
    return f"{done.parts} parts of two actors on two nodes"


def actor_killed(bench: Bench) -> str:
    with two_nodes() as cluster:
        said, _ = work(bench, cluster, lambda _: os.kill(an_actor(), signal.SIGKILL))
    return next(line for line in said if "died" in line)


def node_removed(bench: Bench) -> str:
    def remove(cluster: Any) -> None:
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    with two_nodes() as cluster:
        said, _ = work(bench, cluster, remove)
    return next((line for line in said if "lost" in line or "died" in line), "its actor had nothing then")


def two_drivers(bench: Bench) -> str:
    with two_nodes() as cluster:
        _, results = work(bench, cluster, drivers=2)
    return f"they put {sum(one.parts for one in results)} times, {len(bench.parts())} parts are there"


def work(
    bench: Bench, cluster: Any, disturb: Disturb | None = None, drivers: int = 1
) -> tuple[list[str], list[PlaceExtraction]]:
    """Extractions by actors; `disturb` is called when two parts are there. What was said, and done."""
    said: list[str] = []
    done: list[PlaceExtraction] = []
    actors = RayActors(most=2 // drivers)

    def drive() -> None:
        done.append(extract_to_place(bench.videos, bench.url, CONFIG, ray=actors))

    threads = [threading.Thread(target=drive) for _ in range(drivers)]
    with handled(lambda record: said.append(record.getMessage())):
        for thread in threads:
            thread.start()
        while disturb and threads[0].is_alive() and len(bench.parts()) < 2:
            time.sleep(0.1)
        if disturb:
            disturb(cluster)
        for thread in threads:
            thread.join()
    if len(done) != drivers:
        raise SystemExit(f"a driver failed: {said}")
    return said, done


@contextlib.contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of one CPU on each node."""
    ray = import_ray()
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def an_actor() -> int:
    """The process number of one actor of ours that runs."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::Extractor") and is_ours(int(folder.name)):
                return int(folder.name)
    raise SystemExit("no actor runs")


def is_ours(number: int) -> bool:
    """Whether a process descends from this one."""
    while number > 1:
        if number == os.getpid():
            return True
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
    return False


SCENARIOS: dict[str, Callable[[Bench], str]] = {
    "none": undisturbed,
    "an actor killed by its own number in mid-video": actor_killed,
    "a node removed": node_removed,
    "two drivers at once": two_drivers,
}


@click.command()
@click.option("--only", help="Scenarios whose name holds this text; nothing is written then.")
def main(only: str | None) -> None:
    # A node of a few minutes' life on a machine that others use: its memory is not for Ray to watch.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    run(SCENARIOS, only, "ray-faults", "Faults with Ray", "python benchmarks/ray_faults.py")


if __name__ == "__main__":
    main()
