from dataclasses import replace

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_cache import small_models

from aqa_cache.annotations import Sample, write_annotations
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.errors import AqaError
from aqa_cache.exchange.importing import import_features
from aqa_cli.data import data

DIM = 17
SAMPLES = [
    Sample("sub/01.a", "v.mp4", 100, 260, "train", "g", final_score=50.5, classes={"position": "pike"}),
    Sample("é", "v.mp4", None, None, "train", "h", final_score=61.0),
    Sample("c", "w.mp4", 40, 120, "test", "g", final_score=70.0, judges=(8.0, 7.5)),
]
COUNTS = {"sub/01.a": 5, "é": 300, "c": 1}


def features_of(sample_id, dtype=np.float32):
    generator = np.random.default_rng(sum(sample_id.encode()))
    return generator.normal(size=(COUNTS[sample_id], DIM)).astype(dtype)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "features"
    for sample_id in COUNTS:
        path = folder / f"{sample_id}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, features_of(sample_id)[0] if sample_id == "c" else features_of(sample_id))
    write_annotations(tmp_path / "annotations.csv", SAMPLES)
    return folder


@pytest.fixture
def run(source, tmp_path):
    """The import of `source`, with other arguments than the defaults."""

    def run(source=source, **options):
        options = {"backbone": "i3d", **options}
        return import_features(source, tmp_path / "feats.h5", tmp_path / "annotations.csv", **options)

    return run


def test_what_is_imported_is_in_the_cache(run, tmp_path):
    done = run()
    assert (done.samples, done.clips, done.missing, done.surplus, done.rounded) == (3, 306, [], [], False)
    with FeatureCache(done.path) as cache:
        assert cache.samples == SAMPLES and cache.dim == DIM and cache.dtype == np.float32
        for index, sample in enumerate(SAMPLES):
            clips = cache.clips(index)
            np.testing.assert_array_equal(clips.features, features_of(sample.sample_id))
            assert (clips.first_frame == -1).all() and np.isnan(clips.pts_seconds).all()
        assert cache.spec.backbone == "i3d" and cache.spec.weights_sha256 == ""
        assert cache.spec.clip_rule == cache.spec.preprocessing == {}


def test_an_hdf5_file_gives_the_same_cache_as_a_folder(run, tmp_path):
    run()
    expected = (tmp_path / "feats.h5").read_bytes()
    with h5py.File(tmp_path / "source.h5", "w") as file:
        for sample_id in COUNTS:
            file[sample_id] = features_of(sample_id)
    run(tmp_path / "source.h5", force=True)
    with h5py.File(tmp_path / "feats.h5") as file:
        assert file["features"].shape == (306, DIM)
    assert (tmp_path / "feats.h5").read_bytes() == expected


def test_a_stride_says_where_clips_begin(run):
    with FeatureCache(run(clip_len=16, clip_stride=32).path) as cache:
        assert cache.clips(0).first_frame.tolist() == [100, 132, 164, 196, 228]
        assert cache.clips(1).first_frame[:3].tolist() == [0, 32, 64]
        assert cache.clips(2).first_frame.tolist() == [40]
        assert cache.spec.clip_rule == {"clip_len": 16, "clip_stride": 32}


def test_a_stride_that_leaves_the_sample_is_refused(run):
    # Clip 4 of stride 40 begins at frame 260, where the sample ends; with 39 at 256.
    run(clip_stride=39)
    with pytest.raises(
        AqaError, match=r"sub/01.a.npy: 5 clips of stride 40 .* as late as frame 260.*before frame 260"
    ):
        run(clip_stride=40, force=True)


def test_whatever_is_known_to_differ_has_another_fingerprint(run, source):
    prints = [
        run(force=True, **options).spec.fingerprint
        for options in (
            {},
            {"backbone": "slowfast"},
            {"clip_len": 16},
            {"clip_stride": 16},
            {"clip_len": 32, "clip_stride": 16},
        )
    ]
    for sample_id in COUNTS:
        np.save(source / f"{sample_id}.npy", features_of(sample_id)[:, :5])
    prints.append(run(force=True).spec.fingerprint)
    assert len(set(prints)) == 6


@pytest.mark.parametrize(
    ("dtype", "asked", "stored", "exact"),
    [
        (np.float16, "auto", "float16", True),
        (np.float32, "auto", "float32", True),
        (np.float64, "auto", "float32", False),
        (np.float32, "float16", "float16", False),
        (np.float16, "float32", "float32", True),
        (">f4", "auto", "float32", True),
    ],
)
def test_no_value_changes_unless_it_must(run, source, dtype, asked, stored, exact):
    given = {sample_id: features_of(sample_id, np.float64).astype(dtype) for sample_id in COUNTS}
    for sample_id, features in given.items():
        np.save(source / f"{sample_id}.npy", features)
    done = run(dtype=asked)
    assert done.dtype == stored and done.rounded == (dtype == np.float64)
    with FeatureCache(done.path) as cache:
        same = [
            np.array_equal(cache.features(i), given[sample.sample_id])
            for i, sample in enumerate(cache.samples)
        ]
        assert all(same) if exact else not any(same)


def test_views(run, source):
    np.save(source / "c@flip.npy", features_of("c") + 1)
    with pytest.raises(AqaError, match=r"c@flip.npy \(if flip are views of samples, name them with --view\)"):
        run()
    done = run(views=["flip"], clip_stride=16)
    with FeatureCache(done.path) as cache:
        assert cache.views == ["plain", "flip"] and cache.lengths.tolist() == [[5, -1], [300, -1], [1, 1]]
        np.testing.assert_array_equal(cache.features(2, 1), features_of("c") + 1)
        assert cache.clips(2, 1).first_frame.tolist() == [-1]


def test_missing_samples(run, source):
    (source / "é.npy").unlink()
    with pytest.raises(AqaError, match=r"1 of 3 samples have no features: é; add .*--allow-missing"):
        run()
    done = run(allow_missing=True)
    with FeatureCache(done.path) as cache:
        assert done.missing == ["é"] and cache.reasons == [
            "",
            "é: features had no features of it to import",
            "",
        ]


def test_surplus(run, source):
    np.save(source / "old.npy", np.zeros((2, 5), np.float32))
    with pytest.raises(AqaError, match=r"1 array.s. belong to no sample of annotations.csv.*: old.npy;"):
        run()
    done = run(ignore_surplus=True)
    assert done.surplus == ["old.npy"] and done.samples == 3


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, DIM), np.int64), r"1 array\(s\) are not floating-point numbers.*\n +é.npy: int64"),
        (np.zeros((3, DIM), complex), "é.npy: complex128"),
        (np.zeros((3, DIM), bool), "é.npy: bool"),
        (np.float32(1), r"have the wrong shape, expected \(clips, dim\).*\n +é.npy: \(\)"),
        (np.zeros((3, 2, DIM), np.float32), r"é.npy: \(3, 2, 17\)"),
        (np.zeros((0, DIM), np.float32), r"have no clips or no values.*\n +é.npy: \(0, 17\)"),
        (np.zeros((3, 0), np.float32), r"have no clips or no values.*\n +é.npy: \(3, 0\)"),
        (np.zeros((3, 18), np.float32), "another size than most.*\n +é.npy: 18, where 2 have 17"),
        (
            np.array([[1.0] * DIM, [np.nan] * DIM]),
            "NaN or infinite.*\n +é.npy: 1 of 2 clips, the first is clip 1",
        ),
        (np.full((1, DIM), -np.inf, np.float16), "é.npy: 1 of 1 clips, the first is clip 0"),
        (np.full((1, DIM), -1e39), "values that float32 cannot.*\n +é.npy: up to 1e\\+39"),
    ],
)
def test_an_array_that_is_no_features_is_named(run, source, array, message, tmp_path):
    np.save(source / "é.npy", array)
    with pytest.raises(AqaError, match=message):
        run()
    assert not (tmp_path / "feats.h5").exists()


def test_every_kind_of_mistake_is_told_at_once(run, source):
    np.save(source / "é.npy", np.zeros((3, DIM), int))
    np.save(source / "c.npy", np.zeros((3, 3, 3)))
    with pytest.raises(
        AqaError, match="2 kinds of mistakes:\n.*floating-point.*\n.*é.npy: int64\n.*shape.*\n.*c.npy"
    ):
        run()
    (source / "c.npy").rename(source / "d.npy")
    np.savez(source / "é.npz", np.zeros((3, DIM)))
    with pytest.raises(AqaError) as caught:
        run()
    assert [line.split()[0] for line in str(caught.value).splitlines()[1:]] == ["1", "1", "1"]
    for text in (
        "1 sample(s) have more than one array: é (é.npy, é.npz); keep one",
        "1 of 3 samples have no features: c;",
        "1 array(s) belong to no sample of annotations.csv that is imported: d.npy;",
    ):
        assert text in str(caught.value)


def test_many_samples_are_counted_and_a_few_named(run, source, tmp_path):
    write_annotations(tmp_path / "annotations.csv", [*SAMPLES, *(Sample(f"m{i}", "v") for i in range(9))])
    with pytest.raises(AqaError, match="9 of 12 samples have no features: m0, m1, m2, m3, m4 and 4 more;"):
        run()


def test_nothing_that_fits(run, source, tmp_path):
    write_annotations(
        tmp_path / "annotations.csv",
        [replace(sample, sample_id=f"x{sample.sample_id}") for sample in SAMPLES],
    )
    with pytest.raises(
        AqaError, match=r"none of its 3 arrays is named after a sample \(arrays: c.npy, .*samples of .*: x"
    ):
        run(allow_missing=True, ignore_surplus=True)
    for path in source.rglob("*.npy"):
        path.rename(path.with_suffix(".mat"))
    with pytest.raises(
        AqaError, match="holds no features; its files end in .mat; expected SAMPLE_ID.npy, SAMPLE_ID.npz or"
    ):
        run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "a/b"}, "backbone is 'a/b', expected a short name"),
        ({"backbone": ""}, "backbone is ''"),
        ({"clip_len": 0}, "clip_len is 0"),
        ({"clip_stride": -1}, "clip_stride is -1"),
        ({"views": ["plain"]}, "expected different names"),
        ({"views": ["flip", "flip"]}, "expected different names"),
    ],
)
def test_requests_that_make_no_sense(run, options, message):
    with pytest.raises(AqaError, match=message):
        run(**options)


def test_output_that_must_not_be_written(source, tmp_path):
    table, output = tmp_path / "annotations.csv", tmp_path / "feats.h5"
    output.write_text("precious")
    for message, target in (
        ("exists already", output),
        ("is a folder", tmp_path),
        ("does not exist", tmp_path / "no/f.h5"),
    ):
        with pytest.raises(AqaError, match=message):
            import_features(source, target, table, backbone="i3d")
    with pytest.raises(AqaError, match="is the source itself"):
        import_features(output, output, table, backbone="i3d", force=True)
    assert output.read_text() == "precious"


def test_command(source, tmp_path):
    def command(*more):
        words = [
            source,
            tmp_path / "f.h5",
            "--annotations",
            tmp_path / "annotations.csv",
            "--backbone",
            "i3d",
            *more,
        ]
        return CliRunner().invoke(data, ["import-features", *map(str, words)])

    done = command()
    assert (
        done.exit_code == 0
        and "3 of 3 samples with features, 306 clips of 17 values (i3d, float32)" in done.stdout
    )
    again = command()
    assert again.exit_code == 2 and "exists already" in again.stderr and "Traceback" not in again.output
    (source / "c.npy").unlink()
    some = command("--force", "--allow-missing", "--view", "flip")
    assert some.exit_code == 1 and "1 sample(s) have no features: c" in some.stderr


def test_heads_train_on_imported_features_of_any_size(tmp_path):
    """1 to 300 clips per sample, 17 values per clip, no captions: through training to the report."""
    from aqa_cli.report import main as report
    from aqa_cli.train import main as train

    generator = np.random.default_rng(0)
    samples, counts = [], [1, 300, 2, 7, 1, 30, 3, 300]
    (tmp_path / "features").mkdir()
    for number, count in enumerate(counts):
        np.save(
            tmp_path / "features" / f"s{number}.npy", generator.normal(size=(count, DIM)).astype(np.float32)
        )
        split = "train" if number < 5 else "test"
        samples.append(
            Sample(f"s{number}", "v.mp4", split=split, group=f"g{number % 3}", final_score=50.0 + number)
        )
    write_annotations(tmp_path / "a.csv", samples)
    import_features(tmp_path / "features", tmp_path / "f.h5", tmp_path / "a.csv", backbone="my-net")
    with small_models():
        for exp in ("1", "7"):
            options = [
                "--features",
                tmp_path / "f.h5",
                "--epochs",
                1,
                "--device",
                "cpu",
                "--encoder-hidden",
                8,
            ]
            # too few to hold out any; all are parts of one video
            options += ["--protocol", "paper", "--allow-leak"]
            words = [*options, "--exp", exp, "--out", tmp_path / "runs"]
            result = CliRunner().invoke(train, [str(word) for word in words])
            assert result.exit_code == 0, result.output
    result = CliRunner().invoke(report, [str(tmp_path / "runs"), "-o", str(tmp_path / "r.html")])
    assert result.exit_code == 0, result.output
    assert "MY-NET" in (tmp_path / "r.html").read_text()


def test_without_a_column_video_each_sample_is_a_video_of_its_own(run, tmp_path, said):
    table = tmp_path / "annotations.csv"
    table.write_text("sample_id;score\nsub/01.a;7,5\né;6\nc;5\n", "utf-8")
    with FeatureCache(run().path) as cache:
        assert [sample.video for sample in cache.samples] == list(COUNTS)
        assert [sample.final_score for sample in cache.samples] == [7.5, 6.0, 5.0]
    assert "each sample as a video of its own, since there is no column video" in said[0]
    table.write_text("score\n1\n")
    with pytest.raises(AqaError, match="has no column 'sample_id'"):
        run(force=True)
