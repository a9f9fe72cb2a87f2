"""What follows from the data, and that rows of Table 1 keep what they have."""

import pytest

from aqa_heads.errors import TrainingError
from aqa_heads.settings.encoder_sizes import fitted_to_data, suited_width, usual_max_clips
from aqa_heads.settings.experiments import ENCODER_SIZES, EXPERIMENTS
from aqa_heads.settings.fine_tuning import FineTuning
from aqa_heads.settings.naming import run_name
from aqa_heads.settings.training import TrainingConfig


def fitted(encoder, experiment="baseline", samples=143, dim=1024, lengths=(10, 400), **options):
    config = TrainingConfig("", experiment, encoder=encoder, **options).resolve()
    return fitted_to_data(config, samples, dim, lengths)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("encoder", ["average", "lstm", "gru", "attention", "transformer"])
def test_rows_of_table_1_keep_their_sizes(experiment, encoder):
    config = fitted(encoder, experiment)
    assert (config.encoder_hidden, config.encoder_layers) == ENCODER_SIZES[encoder]
    assert config.max_clips is None


@pytest.mark.parametrize("encoder", ["conv", "gdlt", "tpt"])
def test_younger_encoders_are_as_wide_as_the_data_allow(encoder):
    config = fitted(encoder)
    assert config.encoder_hidden == 128 and config.max_clips == 400
    assert fitted(encoder, encoder_hidden=40, max_clips=7).encoder_hidden == 40
    assert fitted(encoder, encoder_hidden=40, max_clips=7).max_clips == 7
    assert fitted(encoder, fine_tuning=FineTuning("videos")).max_clips is None
    assert fitted(encoder, literal=True).encoder_hidden == 128


def test_without_a_row_all_follow_the_data():
    for encoder in ("lstm", "gru", "attention", "transformer"):
        config = fitted(encoder, "default", lengths=(300,))
        assert config.encoder_hidden == 128
        assert config.max_clips == (None if encoder == "attention" else 300)
    assert fitted("average", "default").max_clips is None
    assert run_name(fitted("lstm", "default"), "c3d") == "default-encoder-lstm"
    assert run_name(fitted("lstm", "default", encoder_hidden=8), "c3d").endswith("-encoder-hidden-8")


def test_widths_grow_with_samples_up_to_the_usual_one_and_to_the_width_of_a_clip():
    for encoder, (usual, _) in ENCODER_SIZES.items():
        if usual:
            widths = [suited_width(encoder, samples, 4096) for samples in (1, 10, 100, 10**4, 10**6)]
            assert widths == sorted(widths) and widths[0] == 16 and widths[-1] == usual
    assert suited_width("tpt", 10**6, 100) == 128 and suited_width("tpt", 10**6, 3) == 16


def test_few_long_samples_do_not_set_the_window():
    assert usual_max_clips([100] * 95 + [1000] * 5) == 100
    assert usual_max_clips([3]) == 64


def test_only_what_was_asked_for_is_in_the_name():
    assert run_name(fitted("conv"), "c3d") == "baseline-encoder-conv"
    asked = fitted("conv", encoder_hidden=40, max_clips=7)
    assert run_name(asked, "c3d") == "baseline-encoder-conv-encoder-hidden-40-max-clips-7"
    assert run_name(fitted("lstm", max_clips=7), "c3d") == "baseline-encoder-lstm-max-clips-7"


def test_windows_where_there_can_be_none_are_one_message():
    with pytest.raises(TrainingError, match="max_clips is given, but the encoder is statistics"):
        fitted("statistics", max_clips=9)
    with pytest.raises(TrainingError, match="max_clips is 9, .* end to end, all clips .* Leave it out"):
        fitted("conv", max_clips=9, fine_tuning=FineTuning("videos"))
    with pytest.raises(TrainingError, match="closed form|linear function"):
        TrainingConfig("", "ridge", max_clips=9)
