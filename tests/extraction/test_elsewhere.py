"""Features of a model of another library: extracted, continued, made again where a person says so."""

import numpy as np
import pytest
from model_folders import saved_by_transformers
from numbered_video import write_numbered_video

from aqa_cache.annotations import Sample
from aqa_cache.backbones.names import KNOWN_BACKBONES
from aqa_cache.backbones.registry import BACKBONES
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.clips.rule import ClipRule
from aqa_cache.errors import AqaError
from aqa_cache.extraction.again import model_again, records_again
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.run import extract
from aqa_cache.weights.starting import starting_weights

pytestmark = pytest.mark.extra
pytest.importorskip("transformers")


@pytest.fixture
def folder(tmp_path):
    saved_by_transformers(tmp_path / "models" / "tiny", "vjepa2", licence="cc-by-nc-4.0")
    yield tmp_path / "models" / "tiny"
    forget()


def forget():
    """As a new process is."""
    KNOWN_BACKBONES.registered.pop("hf:tiny", None)
    BACKBONES.pop("hf:tiny", None)


def config(folder, **options):
    rule = ClipRule(clip_len=8, clip_stride=8)
    return ExtractionConfig(
        f"hf:{folder}", clip_rule=rule, device="cpu", engine="torch", batch_size=2, **options
    )


def test_features_are_made_again_where_a_person_names_the_model_again(folder, tmp_path, said):
    (tmp_path / "videos").mkdir()
    write_numbered_video(tmp_path / "videos" / "a.mp4", 24)
    output = tmp_path / "feats.h5"
    extract(tmp_path / "videos", output, config(folder))
    assert "hf:tiny: licence cc-by-nc-4.0: not for commercial use." in said
    assert extract(tmp_path / "videos", output, config(folder)).reused == 1
    with FeatureCache(output) as cache:
        spec, numerics, features = cache.spec, cache.numerics, cache.features(0)
        assert (spec.backbone, spec.dim, features.shape) == ("hf:tiny", 32, (3, 32))
        assert spec.weights == "hf:tiny (licence cc-by-nc-4.0: not for commercial use)"
        assert spec.clip_rule["clip_len"] == 8 and spec.preprocessing["resize"] == 36
    forget()
    for again in (
        lambda: model_again(spec, numerics, near=[output]),
        lambda: starting_weights(spec, output, None),
    ):
        with pytest.raises(AqaError, match="nothing is fetched or read because a file names it"):
            again()
    KNOWN_BACKBONES.give(f"hf:{folder}")
    model = model_again(spec, numerics, near=[output])
    sample = Sample("a", "a.mp4")
    (record,) = records_again(model, spec, tmp_path / "videos", [sample])
    np.testing.assert_array_equal(record.views[0].features.astype(np.float16), features)
    assert starting_weights(spec, output, None).sha256 == spec.weights_sha256


def test_random_weights_need_no_file_and_other_weights_are_other_features(folder, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 8)
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    done = extract(tmp_path / "a.mp4", tmp_path / "r.h5", config(folder, weights="random"))
    assert done.spec.random and (tmp_path / "r.random-hf:tiny.safetensors").exists()
    other = str(tmp_path / "other.safetensors")
    with pytest.raises(AqaError, match="weights_sha256"):
        extract(tmp_path / "a.mp4", tmp_path / "r.h5", config(folder, weights=other))
    assert extract(tmp_path / "a.mp4", tmp_path / "o.h5", config(folder, weights=other)).clips == 1


def test_a_row_a_tube_has_the_mean_that_the_clip_has(folder, tmp_path):
    write_numbered_video(tmp_path / "a.mp4", 16)
    for tokens in ("clip", "time"):
        options = {"dtype": "float32", "tokens": tokens}
        extract(tmp_path / "a.mp4", tmp_path / f"{tokens}.h5", config(folder, **options))
    with FeatureCache(tmp_path / "clip.h5") as clips, FeatureCache(tmp_path / "time.h5") as steps:
        assert clips.features(0).shape == (2, 32) and steps.features(0).shape == (8, 32)
        means = steps.features(0).reshape(2, 4, 32).mean(1)
        np.testing.assert_allclose(means, clips.features(0), rtol=1e-4, atol=1e-5)
        assert clips.spec.fingerprint != steps.spec.fingerprint
