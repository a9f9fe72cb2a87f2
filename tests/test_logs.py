"""What is said reaches whoever calls from Python, and the terminal of whoever runs a command."""

import logging
import subprocess
import sys

import click
from click.testing import CliRunner
from numbered_video import write_numbered_video
from synthetic_cache import write_synthetic_cache
from tiny_backbone import register_tiny

from aqa_cache import ExtractionConfig, Sample, extract, write_annotations
from aqa_cache.logs import Warned, log_line, say_failures
from aqa_cli.command import command
from aqa_heads import TrainingConfig, train


def test_a_script_that_has_set_up_nothing_sees_warnings_and_no_more():
    code = "from aqa_cache.logs import Warned, log_line; log_line(Warned('seen')); log_line('not seen')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "seen\n")


def test_extracting_from_python_warns_of_random_weights_and_failed_samples(tmp_path, caplog, monkeypatch):
    register_tiny(monkeypatch)
    (tmp_path / "videos").mkdir()
    write_numbered_video(tmp_path / "videos" / "a.mp4", 32)
    samples = [Sample("good", "a.mp4", 0, 32, "train"), Sample("bad", "a.mp4", 900, 932, "train")]
    write_annotations(tmp_path / "videos" / "annotations.csv", samples)
    with caplog.at_level(logging.INFO, "aqa_cache"):
        config = ExtractionConfig(backbone="tiny", weights="random", device="cpu")
        extract(tmp_path / "videos", tmp_path / "f.h5", config)
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert any("random weights" in line for line in warned)
    (failed,) = [line for line in warned if line.startswith("1 sample(s) failed:")]
    assert "bad (a.mp4)" in failed
    assert any("2 sample(s) of 1 video(s)" in each.getMessage() for each in caplog.records)


def test_training_from_python_warns_of_what_its_record_notes(tmp_path, caplog):
    cache = write_synthetic_cache(tmp_path / "feats.h5", weights="random (seed 0)")
    run = train(
        TrainingConfig(cache, experiment="ridge", tasks=("score",), out=tmp_path / "runs", device="cpu")
    )
    warned = {each.getMessage() for each in caplog.records if each.name == "aqa_heads"}
    assert any("random weights" in note for note in warned)
    assert {note for note in run.config["notes"] if "random weights" in note} <= warned


def test_a_command_prints_what_is_logged_as_its_terminal_bears_it():
    @command("one")
    def one():
        """Say two lines."""
        log_line("first")
        log_line(Warned("second \x1b[2J"))

    result = CliRunner().invoke(one, [])
    assert isinstance(one, click.Command) and result.stdout == ""
    assert result.stderr == "first\nsecond \\x1b[2J\n"
    log = logging.getLogger("aqa_cache")
    assert not log.handlers and log.level == logging.NOTSET


def test_failures_are_listed_up_to_twenty():
    lines = []
    say_failures([(str(number), f"reason {number}") for number in range(23)], lines.append)
    (text,) = lines
    assert text.count("reason") == 20 + 1 and text.endswith("… and 3 more; every reason is in the file")
    say_failures([], lines.append)
    assert len(lines) == 1
