"""How long `aqa-data merge PLACE feats.h5` takes from a local S3, and what memory, into RESULTS.md.

python benchmarks/bench_merge.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import s3fs
from local_s3 import KEYS, serving
from results import write_section

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.clips.rule import ClipRule
from aqa_cache.fleet.part_place import PartPlace, Wanted
from aqa_cache.fleet.parts import PartName, key_of_record, numerics_digest, samples_digest, settings_digest
from aqa_cache.fleet.units import make_units
from aqa_cache.video.mended import DECODING

CLIPS, DIM, FRAMES = 6, 1024, 96
NUMERICS = {"device": "made", "torch": "1", "decoding": DECODING}
STAMP = (1_000_000, 10**18)


def samples_of(count: int) -> list[Sample]:
    """Dives of as many broadcasts as there are hundreds."""
    return [
        Sample(
            f"{n // 100:05d}_{n % 100:02d}",
            f"{n // 100:05d}.mp4",
            150 * (n % 100),
            150 * (n % 100) + FRAMES,
            split="train" if n % 5 else "test",
            group=f"{n // 100:05d}",
            final_score=float(n % 100),
            difficulty=3.0,
            caption="a dive with a caption of some words",
        )
        for n in range(count)
    ]


def fill(url: str, count: int) -> tuple[int, int]:
    """Put the parts of an extraction; gives how many, and their bytes."""
    spec = FeatureSpec("s3d", "made", DIM, "random (made)", "", {}, ClipRule().record())
    place, samples = PartPlace(url), samples_of(count)
    place.note(Wanted(samples, [STAMP] * count, spec, ["plain"]))
    units = make_units(samples, ClipRule(), 4 * DIM, lambda video: STAMP[0])
    starts = np.arange(CLIPS) * 16
    for number, unit in enumerate(units):
        rng = np.random.default_rng(number)
        records = []
        for sample in unit.samples:
            features = rng.random((CLIPS, DIM), np.float32)
            firsts = (starts + sample.start_frame).astype(np.int64)
            records.append(Record(sample, [ClipFeatures(features, firsts, firsts / 25)], "", *STAMP))
        digest = samples_digest(map(key_of_record, records), ["plain"])
        name = PartName(settings_digest(spec), numerics_digest(NUMERICS), digest)
        place.put(name, records, spec, NUMERICS, ["plain"])
    items = place.parts()
    return len(items), sum(item.size for item in items.values())


def merged(url: str, output: Path) -> tuple[float, float, float]:
    """Seconds, seconds of CPU and peak bytes of the command; the server is another process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "from aqa_cli.data import data; data()", "merge", url, str(output)], check=True
    )
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, after.ru_maxrss * 1024


@click.command()
@click.option("--note", default="", help="A sentence on what else the machine did.")
@click.option("--samples", default="10000,100000", help="How many samples, each of 6 clips of 1,024 values.")
def main(samples: str, note: str) -> None:
    os.environ.update(KEYS)
    rows = [
        "| samples | parts | in them | seconds | of CPU | peak memory | samples a second | requests |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for count in map(int, samples.split(",")):
        with serving() as address, tempfile.TemporaryDirectory(prefix="aqa-merge-") as folder:
            os.environ |= {"AWS_ENDPOINT_URL": address, "AQA_CACHE": str(Path(folder) / "cache")}
            s3fs.S3FileSystem.clear_instance_cache()  # those know the server before
            parts, size = fill("s3://aqa/parts", count)
            print(f"{count:,} samples in {parts:,} parts, {size / 1e9:.2f} GB", flush=True)
            seconds, cpu, peak = merged("s3://aqa/parts", Path(folder) / "feats.h5")
            with FeatureCache(Path(folder) / "feats.h5") as cache:
                assert len(cache) == count and all(cache.has_features(index) for index in range(count))
            rows.append(
                f"| {count:,} | {parts:,} | {size / 1e9:.2f} GB | {seconds:.0f} | {cpu:.0f} |"
                f" {peak / 1e6:,.0f} MB | {count / seconds:,.0f} | {parts + 4:,} |"
            )
            print(rows[-1], flush=True)
    lines = [
        f"Samples of {CLIPS} x {DIM:,} values (float32 in the parts, float16 in the file), in parts of up"
        " to 4 MB, from moto's server on the same two cores. Requests are those of the merge: a GET for each"
        " part and for wanted.h5, and listings of up to 1,000 names." + (f" {note}" if note else ""),
        "",
        *rows,
    ]
    write_section("merge", "Merging a place", f"python benchmarks/bench_merge.py --samples {samples}", lines)


if __name__ == "__main__":
    main()
