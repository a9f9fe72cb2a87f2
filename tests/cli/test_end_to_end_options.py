import re

import click
import pytest
from click.testing import CliRunner

from aqa_cli.end_to_end_options import fine_tuning_of
from aqa_cli.train import main
from aqa_heads import FineTuning

NAMES = (
    "end_to_end videos backbone weights warm_start backbone_lr freeze_until augment batch_norm clip_chunk"
    " precision frames workers decode_timeout"
).split()


def given(**values):
    return dict.fromkeys(NAMES) | {"end_to_end": False, "epochs": 3} | values


def test_help_has_the_options_of_end_to_end_training_under_a_heading_of_their_own():
    text = CliRunner().invoke(main, ["--help"]).output
    ordinary, end_to_end = re.split("^End to end:$", text.partition("\nOptions:\n")[2], flags=re.M)
    options = [
        set(re.findall(r"^  (?:-h, |--[a-z-]+ / )?--([a-z-]+)", group, re.M))
        for group in (ordinary, end_to_end)
    ]
    assert options[1] == {name.replace("_", "-") for name in NAMES}
    assert {"features", "exp", "resume", "help"} < options[0] and not options[0] & options[1]
    assert len(options[0] | options[1]) == len(main.params) + 1
    assert end_to_end.index("--decode-timeout") < end_to_end.index("Example:")


def test_what_is_given_is_taken_out_of_the_options():
    options = given(end_to_end=True, videos="videos", augment="none", clip_chunk=4)
    assert fine_tuning_of(options) == FineTuning("videos", augment="none", clip_chunk=4)
    assert options == {"epochs": 3}
    options = given()
    assert fine_tuning_of(options) is None and options == {"epochs": 3}


@pytest.mark.parametrize(
    "options, said",
    [
        ({"backbone_lr": 1e-4}, "--backbone-lr is only for --end-to-end; add that, or leave it out"),
        (
            {"videos": "v", "augment": "none"},
            "--videos, --augment are only for --end-to-end; add that, or leave them out",
        ),
        ({"end_to_end": True}, "--end-to-end trains on the videos; give --videos"),
    ],
)
def test_options_that_lack_others_are_one_message(options, said):
    with pytest.raises(click.UsageError, match=said):
        fine_tuning_of(given(**options))
