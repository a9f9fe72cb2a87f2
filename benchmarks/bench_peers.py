"""Extraction as peers write it, against `extract`, on the same videos, weights and clips in one run, into
RESULTS.md.

    python benchmarks/bench_peers.py --backbone c3d --videos 6

The peers' way is common to the published extractors that were read (v-iashin/video_features, mmaction2's clip
extraction in long-video mode): one video at a time, decoded as a whole into memory,
`frame.to_ndarray(format="rgb24")` for every frame, which sets up a new conversion each time, Pillow's resize,
one clip a batch, the network as published (contiguous, batch norm not folded), and nothing side by side. Its
features must be ours, or the comparison stops.

--deterministic: ours once more with deterministic kernels, twice, whose features must be the same bits.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from results import write_section

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.extraction.loading import load_backbone
from aqa_cache.extraction.measuring.rates import extraction_rate
from aqa_cache.extraction.measuring.video import write_video
from aqa_cache.extraction.run import ExtractionConfig
from aqa_cache.machine.devices import pick_device
from aqa_cache.weights.random_weights import random_weights_path

# Sums in another order, in float32; other work would differ far more.
MAX_RELATIVE_DIFFERENCE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="s3d")
    parser.add_argument("--videos", type=int, default=6, help="of 640x360, all the same")
    parser.add_argument("--frames", type=int, default=384, help="of each video")
    parser.add_argument("--rounds", type=int, default=3, help="both ways are timed in turn; medians count")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--precision", default="fp32", help="of extract, several separated by commas; peers use fp32"
    )
    parser.add_argument("--deterministic", action="store_true")
    options = parser.parse_args()
    # mtl-aqa: resized by Pillow, so that both ways see the same pixels.
    configs = {
        precision: ExtractionConfig(
            options.backbone,
            "random",
            "mtl-aqa",
            device=options.device,
            precision=precision,
            dtype="float32",
        )
        for precision in options.precision.split(",")
    }
    price = []
    rates: dict[str, list[float]] = {name: [] for name in ("peers", *configs)}
    differences: dict[str, float] = {}
    used: dict[str, str] = {}  # fp32 where the precision asked for did not pass its check
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as temporary:
        folder = Path(temporary)
        videos = folder / "videos"
        videos.mkdir()
        write_video(videos / "000.mp4", options.frames)
        for number in range(1, options.videos):
            (videos / f"{number:03d}.mp4").hardlink_to(videos / "000.mp4")
        for _ in range(options.rounds):
            for precision, config in configs.items():
                output = folder / f"feats-{precision}.h5"
                output.unlink(missing_ok=True)
                rates[precision].append(extraction_rate(videos, output, config)[0])
            weights = random_weights_path(output, options.backbone)
            made = folder / "peers"
            made.mkdir(exist_ok=True)
            rates["peers"].append(peers_rate(videos, made, config, weights))
            print(", ".join(f"{name} {each[-1]:.2f} clips/s" for name, each in rates.items()), flush=True)
        for precision, config in configs.items() if options.deterministic else ():
            price.append(price_of_determinism(folder, config, statistics.median(rates[precision])))
        for precision in configs:
            differences[precision], clips, used[precision] = compare(folder / f"feats-{precision}.h5", made)
    if differences.get("fp32", 0.0) > MAX_RELATIVE_DIFFERENCE:
        raise SystemExit(
            f"features differ by {differences['fp32']:.2g} (relative, largest clip), so the two ways do not"
            " do the same work"
        )
    medians = {name: statistics.median(each) for name, each in rates.items()}
    lines = [
        (
            f"{options.videos} videos of {options.frames} frames, 640x360 H.264, {clips} clips of 16 frames"
            " at 112 px, random weights; both from the loaded model to the written features, medians of"
            f" {options.rounds} rounds in turn."
        ),
        "",
        (
            "| backbone | peers' way, fp32, clips/s | ours, clips/s | ratio | largest relative difference of"
            " a clip's feature |"
        ),
        "|---|---|---|---|---|",
        *(
            f"| {options.backbone} {used[precision]} | {medians['peers']:.2f} | {medians[precision]:.2f} |"
            f" {medians[precision] / medians['peers']:.2f} | {difference:.1e} |"
            for precision, difference in differences.items()
        ),
        *price,
    ]
    command = (
        f"python benchmarks/bench_peers.py --backbone {options.backbone} --videos {options.videos} --frames"
        f" {options.frames} --rounds {options.rounds} --device {options.device} --precision"
        f" {options.precision}{' --deterministic' * options.deterministic}"
    )
    name = f"peers {options.backbone} {options.device} {options.precision}"
    write_section(name, f"Beside the peers' way, {options.backbone}", command, lines)


def price_of_determinism(folder: Path, config: ExtractionConfig, usual: float) -> str:
    """A line: whether two runs gave the same bits, and their clips a second beside the `usual` ones."""
    config = dataclasses.replace(config, deterministic=True)
    rates, features = [], []
    for number in range(2):
        output = folder / f"feats-deterministic-{config.precision}-{number}.h5"
        rates.append(extraction_rate(folder / "videos", output, config)[0])
        with FeatureCache(output) as cache:
            features.append(np.concatenate([cache.features(index) for index in range(len(cache))]))
    same = "the same bits twice" if np.array_equal(*features) else "TWO RUNS DIFFER"
    return (
        f"\n`--deterministic`, {config.precision}: {same}; {max(rates):.2f} clips/s,"
        f" {max(rates) / usual:.2f} of the usual."
    )


def peers_rate(videos: Path, made: Path, config: ExtractionConfig, weights: Path) -> float:
    """Clips per second of the peers' way, from the loaded model to one .npy file per video."""
    device = pick_device(config.device)
    module, _, preprocessing = load_backbone(config, weights)
    module.eval().to(device)
    mean, std = (
        torch.tensor(values, device=device)[:, None, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    started, clips = time.perf_counter(), 0
    for video in sorted(videos.iterdir()):
        frames = decode_whole(video)
        pixels = torch.from_numpy(np.stack([resize_and_crop(frame, preprocessing) for frame in frames]))
        pixels = pixels.permute(3, 0, 1, 2)
        features = []
        with torch.no_grad():
            for first in range(0, len(frames) - config.clip_rule.clip_len + 1, config.clip_rule.clip_stride):
                clip = pixels[:, first : first + config.clip_rule.clip_len].to(device).float() / 255
                batch = ((clip - mean) / std)[None].contiguous()
                features.append(module(batch)[0].cpu().numpy())
        np.save(made / f"{video.stem}.npy", np.stack(features))
        clips += len(features)
    return clips / (time.perf_counter() - started)


def decode_whole(video: Path) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def resize_and_crop(frame: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    (height, width), crop = preprocessing.resize, preprocessing.crop
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def compare(output: Path, made: Path) -> tuple[float, int, str]:
    """The largest relative difference of a clip's feature between both ways, the number of clips, and the
    precision that ours was made in.
    """
    differences = []
    with FeatureCache(output) as cache:
        precision = cache.numerics["precision"]
        for index, sample in enumerate(cache.samples):
            ours, theirs = cache.features(index), np.load(made / f"{sample.sample_id}.npy")
            if ours.shape != theirs.shape:
                raise SystemExit(f"{sample.sample_id}: {len(ours)} clips, and {len(theirs)} the peers' way")
            differences += list(np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1))
    return float(max(differences)), len(differences), precision


if __name__ == "__main__":
    main()
