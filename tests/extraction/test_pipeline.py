import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hanging_video import hanging
from numbered_video import write_numbered_video

from aqa_cache.annotations import Sample
from aqa_cache.backbones.inference import Model
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import parse_views
from aqa_cache.extraction import sample_buffer
from aqa_cache.extraction.pipeline import Pipeline
from aqa_cache.video import reader as video_reader

WHOLE = Preprocessing(resize=(64, 64), crop=64, mean=(0, 0, 0), std=(1, 1, 1))


class Means(torch.nn.Module):
    """A backbone of three features: the mean of each frame third of a clip; not finite where `bad` is
    shown.
    """

    def __init__(self, bad: float | None = None):
        super().__init__()
        self.bad = bad

    def forward(self, clips):
        features = torch.stack(
            [third.mean(dim=(1, 2, 3, 4)) for third in clips.tensor_split(3, dim=2)], dim=1
        )
        return features if self.bad is None else torch.where(features > self.bad, torch.nan, features)


def model(batch_size=4, **options):
    return Model(Means(**options), torch.device("cpu"), "fp32", WHOLE, batch_size)


def run(folder, samples, *, batch_size=4, bad=None, **options):
    line = Pipeline(model(batch_size, bad=bad), ClipRule(), folder, samples, **options)
    return {record.sample.sample_id: record for record in line.records()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(5):
        write_numbered_video(folder / f"{number}.mp4", 60 + 40 * number)
    return folder


SAMPLES = [Sample(f"{number}", f"{number}.mp4") for number in range(5)]


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 1},
        {"workers": 3},
        {"workers": 8},
        {"batch_size": 1},
        {"batch_size": 64},
        {"workers": 2, "batch_size": 3},
    ],
)
def test_features_depend_on_neither_threads_nor_batches(folder, options):
    plain, other = run(folder, SAMPLES), run(folder, SAMPLES, **options)
    assert other.keys() == plain.keys()
    for key in plain:
        np.testing.assert_allclose(other[key].views[0].features, plain[key].views[0].features, rtol=1e-6)
        np.testing.assert_array_equal(other[key].views[0].first_frame, plain[key].views[0].first_frame)


def test_features_too_long_for_memory_are_the_same_from_a_file(folder, tmp_path, monkeypatch):
    plain = run(folder, SAMPLES, views=parse_views("jitter=1"))
    monkeypatch.setattr(sample_buffer, "SPILL_BYTES", 25)
    spilled = run(folder, SAMPLES, views=parse_views("jitter=1"), scratch=tmp_path)
    for key, record in plain.items():
        for view, other in zip(record.views, spilled[key].views, strict=True):
            assert (view is None) == (other is None)
            if view is not None:
                assert isinstance(view.features, np.ndarray) and not isinstance(other.features, np.ndarray)
                assert view.features.shape == other.features.shape
                np.testing.assert_array_equal(view.features, other.features[:])
                np.testing.assert_array_equal(view.features[2:3], other.features[2:3])
    assert not list(tmp_path.iterdir())  # the files have no names


def test_features_that_are_not_finite_fail_their_sample_alone(folder):
    samples = [Sample("dark", "0.mp4", 0, 16), Sample("bright", "4.mp4", 96, 128)]
    dark, bright = (run(folder, samples)[name].views[0].features.max() for name in ("dark", "bright"))
    assert dark < bright
    records = run(folder, samples, bad=float(dark + bright) / 2)
    assert records["dark"].ok
    assert "features are not finite in fp32; try --precision fp32" in records["bright"].reason


def test_a_decoder_that_hangs_fails_its_samples_and_no_others(folder, monkeypatch):
    samples = [*SAMPLES, Sample("before", "2.mp4", 0, 32)]
    with hanging(monkeypatch, "2.mp4", 40):
        records = run(folder, samples, workers=1, decode_timeout=0.5)
    assert {key for key, record in records.items() if not record.ok} == {"2"}
    assert "2 (2.mp4): decoding has not moved for 0.5 seconds" in records["2"].reason
    assert "--decode-timeout" in records["2"].reason


def test_decoders_stand_still_while_the_backbone_runs_on_a_cpu(folder, monkeypatch):
    import time

    decoded, meanwhile, really = [], [], video_reader.decode

    def decode(*arguments, **options):
        for frame in really(*arguments, **options):
            decoded.append(frame.index)
            yield frame

    class Slow(Means):
        def forward(self, clips):
            before = len(decoded)
            time.sleep(0.1)
            meanwhile.append(len(decoded) - before)
            return super().forward(clips)

    monkeypatch.setattr(video_reader, "decode", decode)
    line = Pipeline(
        Model(Slow(), torch.device("cpu"), "fp32", WHOLE, 2), ClipRule(), folder, SAMPLES, workers=2
    )
    assert all(record.ok for record in line.records())
    assert len(decoded) > 500
    assert max(meanwhile) <= 2, "each of the two ends the frame that it is at"


def test_a_source_that_disappears_while_running_fails_alone(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "in")
    line = Pipeline(model(2), ClipRule(), tmp_path / "in", SAMPLES, workers=1)
    records = {}
    for record in line.records():
        (tmp_path / "in" / "0.mp4").unlink(missing_ok=True)  # the smallest, so the last to be opened
        records[record.sample.sample_id] = record
    assert {key for key, record in records.items() if not record.ok} == {"0"}
    assert "no such video" in records["0"].reason


def test_nothing_goes_on_after_the_caller_has_gone(folder):
    line = Pipeline(model(1), ClipRule(), folder, SAMPLES, workers=2)
    next(iter(line.records()))
    assert [thread for thread in threading.enumerate() if thread.name == "decode"] == []


def test_records_know_the_file_they_came_from(folder):
    stat = (folder / "1.mp4").stat()
    record = run(folder, SAMPLES[1:2], hashes={"1.mp4": "abc"})["1"]
    assert (record.video_size, record.video_mtime_ns, record.video_sha256) == (
        stat.st_size,
        stat.st_mtime_ns,
        "abc",
    )
    assert replace(record, views=[]) == replace(run(folder, SAMPLES[1:2])["1"], views=[], video_sha256="abc")
