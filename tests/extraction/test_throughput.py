import json
import math
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.measuring import rates, throughput
from aqa_cache.extraction.measuring.rates import bound, extraction_rate, gemm_rate
from aqa_cache.extraction.measuring.throughput import cudnn_warning
from aqa_cache.extraction.measuring.video import write_video
from aqa_cli.bench import main


@pytest.mark.slow
def test_every_row_is_measured_and_written(tmp_path):
    options = [
        "--size",
        "32",
        "--batch-size",
        "5",
        "--workers",
        "2",
        "--seconds",
        "0.05",
        "--device",
        "cpu",
        "--json",
        str(tmp_path / "b.json"),
    ]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "b.json").read_text())
    for name in (
        "gemm_gflops",
        "eager_clips",
        "compute_clips",
        "decode_frames",
        "end_to_end_clips",
        "bound_clips",
        "peak_memory",
    ):
        assert figures[name] > 0
    assert figures["compute_of_gemm"] == pytest.approx(
        figures["compute_clips"] * figures["clip_gflop"] / figures["gemm_gflops"]
    )
    assert figures["decode_clips"] == pytest.approx(figures["decode_frames"] / 16)
    before, after = figures["compute_clips_before"], figures["compute_clips_after"]
    assert min(before, after) <= figures["compute_clips"] <= max(before, after)
    assert figures["drift"] == pytest.approx(after / before - 1)
    assert figures["bound_clips"] == pytest.approx(
        bound(figures["compute_clips"], figures["decode_clips"], figures["decode_core_seconds"], on_gpu=False)
    )
    assert figures["end_to_end_count"] % 5 == 0 and figures["end_to_end_count"] % (2 * 6) == 0
    assert (figures["precision"], figures["batch_size"], figures["workers"], figures["size"]) == (
        "fp32",
        5,
        2,
        32,
    )
    assert figures["peak_gpu_memory"] is None and figures["warnings"] == []
    for row in (
        "decode only, 2 threads",
        "compute, eager reference",
        "compute, ours",
        "end to end",
        "GEMM ceiling",
        "limiting",
        "peak memory",
    ):
        assert row in result.stdout
    assert "random" not in figures["device"]
    assert "measuring: end to end" in result.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--size", "7"), "at least 32"),
        (("--precision", "tf32", "--device", "cpu"), "tf32"),
        (("--json", "nowhere/b.json"), "the folder nowhere does not exist"),
        (("--seconds", "0"), "0.0 is not in the range"),
    ],
)
def test_mistakes(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "threads, cores, decode_clips, expected",
    [
        (2, 2, 100.0, 1 / (0.1 + 0.05 / 2)),  # arithmetic on every core: both in turn
        (1, 4, 100.0, 10.0),  # three cores left for decoding: only the arithmetic counts
        (1, 1, 20.0, 1 / (0.1 + 0.05)),
        (8, 2, 100.0, 1 / (0.1 + 0.05 / 2)),  # more threads than cores are no more cores
        (2, 2, 3.0, 3.0),  # too few decoding threads
    ],
)
def test_on_a_cpu_a_clip_takes_the_core_seconds_of_both(threads, cores, decode_clips, expected):
    got = bound(10.0, decode_clips, 0.05, on_gpu=False, threads=threads, cores=cores)
    assert got == pytest.approx(expected)


def test_on_a_gpu_the_slower_of_both_is_the_bound():
    assert bound(10.0, 100.0, 0.5, on_gpu=True) == 10.0 and bound(100.0, 10.0, 0.5, on_gpu=True) == 10.0


@pytest.mark.parametrize("clips, batch_size, workers", [(0, 8, 1), (100, 8, 3), (1000, 7, 16), (50, 64, 2)])
def test_end_to_end_takes_whole_batches_and_as_many_videos_of_every_thread(clips, batch_size, workers):
    videos = throughput._videos_needed(clips, 24, batch_size, workers)
    assert videos * 24 % batch_size == 0 and videos % workers == 0
    assert videos * 24 >= max(clips, 4 * batch_size)
    step = math.lcm(workers, batch_size // math.gcd(batch_size, 24))
    assert (videos - step) * 24 < max(clips, 4 * batch_size)


@pytest.mark.parametrize(
    "version, warned", [(None, False), (90701, False), (90800, True), (91499, True), (91500, False)]
)
def test_cudnn_versions_with_slow_convolutions_are_warned_of(version, warned):
    assert bool(cudnn_warning(version)) == warned
    assert not warned or str(version) in cudnn_warning(version)


def test_large_products_are_left_out_where_there_is_no_time(monkeypatch):
    monkeypatch.setattr(rates, "_GEMM_SIZES", (32, 64, 10**6))
    rate, size = gemm_rate(torch.device("cpu"), torch.float32, 0.02)
    assert rate > 0 and size in (32, 64)


def test_the_rate_of_an_extraction_is_of_all_its_clips(tmp_path):
    write_video(tmp_path / "videos.mp4", 48, (64, 64))
    config = ExtractionConfig(weights="random", size=32, batch_size=2, device="cpu")
    rate, extraction = extraction_rate(tmp_path / "videos.mp4", tmp_path / "feats.h5", config)
    assert extraction.clips == 3 and 3 / rate < extraction.seconds
    again, extraction = extraction_rate(
        tmp_path / "videos.mp4", tmp_path / "feats.h5", replace(config, workers=1)
    )
    assert again == extraction.clips == 0 and extraction.reused == 1


def test_slow_repetitions_are_not_repeated():
    now, calls = iter(range(0, 1000, 10)), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates.time, "perf_counter", lambda: next(now))
        assert rates.seconds_each(lambda: calls.append(1), 5) == [10]
        assert len(calls) == 1
        assert rates.seconds_each(lambda: calls.append(1), 20) == [10, 10, 10]
