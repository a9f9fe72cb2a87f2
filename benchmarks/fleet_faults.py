"""Extraction into a local S3 under faults: is the merged file one machine's, bit for bit? Into RESULTS.md.

python benchmarks/fleet_faults.py
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import h5py
import numpy as np
from local_s3 import KEYS, Faults, faulty, serving
from results import write_section

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.errors import AqaError, CacheError
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.run import extract
from aqa_cache.extraction.shards import Shard
from aqa_cache.fleet import units
from aqa_cache.fleet.driver import PlaceExtraction, extract_to_place
from aqa_cache.fleet.merging import merge_place
from aqa_cache.fleet.parts import PartName
from aqa_cache.remote.place import Place
from aqa_cache.remote.trouble import StoreError

CONFIG = ExtractionConfig(weights="random", size=32, batch_size=4, workers=2, threads=1)
VIDEOS, FRAMES, EACH, GAP = 4, 120, 20, 30
SMALL_UNITS = (30, 30)  # a part for each sample or two, so that there is much to be lost
ALL = Shard()
COMMAND = f"""
from aqa_cache.fleet import units
units.UNIT_FRAMES = {SMALL_UNITS}
from aqa_cli.extract import main
main()
"""


def write_videos(folder: Path) -> int:
    """Noise, and a table of it; gives how many samples."""
    import av

    samples = []
    for number in range(VIDEOS):
        rng = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mp4"), "w") as output:
            stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width = stream.height = 64
            for _ in range(FRAMES):
                picture = np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode(None))
        samples += [
            Sample(f"{number}-{first:03d}", f"{number}.mp4", first, first + EACH)
            for first in range(0, FRAMES - EACH + 1, GAP)
        ]
    write_annotations(folder / "annotations.csv", samples)
    return len(samples)


def everything(path: Path, but: str = "") -> dict:
    """Every attribute and dataset of a cache."""
    with h5py.File(path) as file:
        found: dict = {f"/{name}": file.attrs[name] for name in file.attrs}

        def take(name: str, item: h5py.Dataset | h5py.Group) -> None:
            found.update({f"{name}:{key}": item.attrs[key] for key in item.attrs})
            if isinstance(item, h5py.Dataset) and name != but:
                found[name] = (item.shape, str(item.dtype), item[()].tobytes())

        file.visititems(take)
        return found


@dataclass
class Bench:
    """What all scenarios have.

    Args:
        videos: the folder; alone: what one machine makes of it; faults: of the store's proxy.
    """

    videos: Path
    alone: dict
    faults: Faults
    folder: Path
    number: int = 0

    @property
    def url(self) -> str:
        return f"s3://aqa/parts{self.number}"

    def work(self, shard: Shard = ALL, videos: str | Path | None = None, **options) -> PlaceExtraction:
        config = replace(CONFIG, shard=shard, **options)
        return extract_to_place(self.videos if videos is None else videos, self.url, config)

    def parts(self) -> list[str]:
        return [item.name for item in Place(self.url).items() if PartName.parse(item.name)]

    def merged(self, but: str = "") -> bool:
        """Whether the place gives what one machine gives."""
        output = self.folder / f"merged{self.number}.h5"
        merge_place(self.url, output)
        return everything(output, but) == {name: v for name, v in self.alone.items() if name != but}

    @contextlib.contextmanager
    def command(self, *arguments: str) -> Iterator[subprocess.Popen]:
        settings = [
            "--weights",
            "random",
            "--size",
            "32",
            "--batch-size",
            "4",
            "--workers",
            "2",
            "--threads",
            "1",
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *settings, *arguments, str(self.videos), self.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def until_parts(self, count: int, process: subprocess.Popen) -> None:
        while process.poll() is None and len(self.parts()) < count:
            time.sleep(0.1)


def plain(bench: Bench) -> str:
    done = [bench.work(Shard(number, 3)) for number in (2, 3, 1)]
    return f"{sum(one.parts for one in done)} parts of three shards"


def killed(bench: Bench) -> str:
    with bench.command() as process:
        bench.until_parts(2, process)
        process.kill()  # this process alone, by its own number
        process.wait()
    there, rest = len(bench.parts()), bench.work()
    return f"{there} parts were put; {rest.done - rest.reused} samples were made by another process"


def terminated(bench: Bench) -> str:
    with bench.command() as process:
        bench.until_parts(1, process)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
        seconds = time.monotonic() - began
    assert process.returncode == 143, process.returncode
    rest = bench.work()
    return f"exit 143 after {seconds:.1f} s, {rest.reused} samples were put; the rest by another process"


def failing(kinds: tuple[str, ...], share: float, **options) -> Callable[[Bench], str]:
    def scenario(bench: Bench) -> str:
        bench.faults.kinds, bench.faults.share = kinds, share
        for name, value in options.items():
            setattr(bench.faults, name, value)
        bench.work()
        return ", ".join(f"{count} x {kind}" for kind, count in bench.faults.injected.items())

    return scenario


def videos_too(bench: Bench) -> str:
    place = Place("s3://aqa/videos")
    for path in sorted(bench.videos.iterdir()):
        place.put(path, path.name)
    bench.faults.kinds, bench.faults.share = ("500", "slow", "503", "drop", "cut"), 0.2
    bench.faults.seconds = 1.0
    largest = max(path.stat().st_size for path in bench.videos.iterdir())
    bench.work(videos="s3://aqa/videos", cache_bytes=largest)
    return f"{sum(bench.faults.injected.values())} of {bench.faults.requests} requests failed"


def two_drivers(bench: Bench) -> str:
    results: list[PlaceExtraction] = []
    drivers = [threading.Thread(target=lambda: results.append(bench.work())) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    return f"they put {sum(one.parts for one in results)} times, {len(bench.parts())} parts are there"


def lagging(bench: Bench) -> str:
    bench.faults.lag = 60.0
    first, second = bench.work(Shard(1, 2)), bench.work()
    bench.faults.lag = 0.0
    return (
        f"{first.samples + second.samples - second.reused} samples were made, of them {first.samples} twice"
    )


def while_writing(bench: Bench) -> str:
    bench.work(Shard(1, 2))
    worker = threading.Thread(target=lambda: bench.work(Shard(2, 2)))
    worker.start()
    merges = 0
    while worker.is_alive():
        merge_place(bench.url, bench.folder / "meanwhile.h5")
        merges += 1
    worker.join()
    return f"{merges} merges meanwhile, each a whole file"


def refused(kind: str) -> Callable[[Bench], str]:
    def scenario(bench: Bench) -> str:
        bench.work(Shard(1, 2))
        bench.faults.kinds, bench.faults.share, bench.faults.only = (kind,), 1.0, ("PUT",)
        # The note of what is wanted is there already, so the first PUT is a part.
        try:
            bench.work()
            raise SystemExit(f"{kind}: nothing was refused")
        except StoreError as error:
            said = str(error)
        bench.faults.kinds = ()
        assert "\n" not in said
        bench.work()
        return f"one message: “…{said[said.index('cannot') :].split(';')[0]}; …”"

    return scenario


def damaged(bench: Bench) -> str:
    bench.work()
    place, name = Place(bench.url), bench.parts()[0]
    path = bench.folder / "cut"
    place.get(place.item(name), path)
    path.write_bytes(path.read_bytes()[:-1])
    place.put(path, name)
    published = merge_place(bench.url, bench.folder / "meanwhile.h5")
    again = bench.work()
    return f"{len(published.missing)} samples were said to be missing, {again.parts} part made anew"


def other_numerics(bench: Bench) -> str:
    bench.work(Shard(1, 2))
    try:
        bench.work(batch_size=3)
        raise SystemExit("other numerics: not refused")
    except CacheError as error:
        said = str(error)
    bench.work()
    return "refused with the host and what differs: " + "batch_size" * ("batch_size: 3, 4" in said)


SCENARIOS: dict[str, Callable[[Bench], str]] = {
    "none: three shards in any order": plain,
    "killed (SIGKILL) in the middle": killed,
    "SIGTERM, as on a spot machine": terminated,
    "every 3rd request answers 500 or 503": failing(("500", "503"), 1 / 3),
    "every 4th request takes 3 s": failing(("slow",), 1 / 4, seconds=3.0),
    "every 2nd upload: connection dropped": failing(("drop",), 1 / 2, only=("PUT",)),
    "every 2nd upload ends before its last byte": failing(("cut",), 1 / 2, only=("PUT",)),
    "all of these, videos at a URL too, one in the cache": videos_too,
    "two drivers at once": two_drivers,
    "a listing that lags by a minute": lagging,
    "merged while workers write": while_writing,
    "credentials expire in the middle": refused("expired"),
    "the store says that the clock is wrong": refused("skewed"),
    "a part is damaged in the store": damaged,
    "a worker with other numerics": other_numerics,
}


@click.command()
@click.option("--only", help="Scenarios whose name holds this text; nothing is written then.")
def main(only: str | None) -> None:
    run(SCENARIOS, only, "fleet-faults", "Faults beyond one machine", "python benchmarks/fleet_faults.py")


def run(
    scenarios: dict[str, Callable[[Bench], str]], only: str | None, section: str, title: str, command: str
) -> None:
    """Go through scenarios, and write what came of them as a section of RESULTS.md."""
    units.UNIT_FRAMES = SMALL_UNITS
    rows = ["| fault | what happened | lost | one machine's file | seconds |", "|---|---|--:|---|--:|"]
    wrong = []
    with tempfile.TemporaryDirectory(prefix="aqa-faults-") as folder, serving() as address:
        place, videos, faults = Path(folder), Path(folder) / "videos", Faults()
        videos.mkdir()
        os.environ.update({**KEYS, "AQA_CACHE": str(place / "cache"), "AQA_WEIGHTS": str(place / "weights")})
        count = write_videos(videos)
        (place / "weights").mkdir()
        with faulty(address, faults) as proxy:
            os.environ["AWS_ENDPOINT_URL"] = proxy
            extract(videos, place / "alone.h5", CONFIG)
            bench = Bench(videos, everything(place / "alone.h5"), faults, place)
            for name, scenario in scenarios.items():
                if only and only not in name:
                    continue
                bench.number += 1
                bench.faults.__dict__.update(Faults().__dict__)
                began = time.monotonic()
                try:
                    what = scenario(bench)
                    bench.faults.__dict__.update(Faults().__dict__)
                    same = bench.merged("samples/video_mtime_ns" if scenario is videos_too else "")
                except AqaError as error:
                    what, same = f"{type(error).__name__}: {error}"[:300], False
                if not same:
                    wrong.append(name)
                rows.append(
                    f"| {name} | {what} | {0 if same else '?'} | {'yes' if same else 'NO'} |"
                    f" {time.monotonic() - began:.0f} |"
                )
                print(rows[-1], flush=True)
    if not only:
        lines = [
            f"{count} samples of {VIDEOS} videos, S3D at 32 pixels, a part for one or two samples, into"
            " moto's server through a proxy that lets requests fail. The merged file is held against the one"
            " that one process writes: every dataset and attribute, but for the videos' times where they are"
            " at a URL.",
            "",
            *rows,
        ]
        write_section(section, title, command, lines)
    if wrong:
        sys.exit(f"Not one machine's file: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
