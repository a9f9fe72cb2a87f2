"""What is logged reaches whoever calls from Python, and the terminal of whoever runs a command."""

import ast
import inspect
import logging
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video
from synthetic_cache import write_synthetic_cache
from tiny_backbone import register_tiny

import aqa_cache
import aqa_heads
from aqa_cache import ExtractionConfig, Sample, extract, write_annotations
from aqa_cache.logs import LOGGERS, handled, log_failures, silence
from aqa_cli.command import command
from aqa_heads import TrainingConfig, train

SCRIPT = """
import logging
{set_up}
log = logging.getLogger("aqa_heads.training.run")
log.warning("a warning")
log.info("100 %")
"""


@pytest.mark.parametrize(
    ("set_up", "seen"),
    [("", "a warning\n"), ("logging.basicConfig(level='INFO', format='%(message)s')", "a warning\n100 %\n")],
)
def test_a_script_sees_warnings_and_the_rest_where_it_asks(set_up, seen):
    code = "import aqa_cache, aqa_heads" + SCRIPT.format(set_up=set_up)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", seen)


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
    warned = {each.getMessage() for each in caplog.records if each.levelno == logging.WARNING}
    assert any("random weights" in note for note in warned)
    assert {note for note in run.config["notes"] if "random weights" in note} <= warned


def test_two_trainings_at_once_keep_their_notes_apart(tmp_path):
    """What is logged is of both; what a run's files say is its own."""
    caches = [write_synthetic_cache(tmp_path / f"{name}.h5", weights="random") for name in ("one", "two")]
    made = {}

    def work(cache):
        asked = TrainingConfig(cache, "ridge", tasks=("score",), out=tmp_path / cache.stem, device="cpu")
        made[cache.stem] = train(asked)

    threads = [threading.Thread(target=work, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, other in (("one", "two"), ("two", "one")):
        notes = made[name].config["notes"]
        assert any(f"{name}.h5" in note for note in notes)
        assert not any(f"{other}.h5" in note for note in notes)


def test_a_command_prints_what_is_logged_once_and_as_its_terminal_bears_it(caplog):
    @command("one")
    def one():
        """Log two lines."""
        logging.getLogger("aqa_cache.one").info("first")
        logging.getLogger("aqa_heads").warning("second \x1b[2J")
        logging.getLogger("aqa_heads").debug("third")

    for _ in range(2):
        result = CliRunner().invoke(one, [])
        assert isinstance(one, click.Command) and result.stdout == ""
        assert result.stderr == "first\nsecond \\x1b[2J\n"
        assert_as_before()
    assert not caplog.records  # nor does a handler of the root logger print it


def test_a_command_that_fails_leaves_no_handler_behind():
    @command("two")
    def two():
        """Fail."""
        raise RuntimeError

    assert CliRunner().invoke(two, []).exit_code == 1
    assert_as_before()


def assert_as_before():
    for name in LOGGERS:
        log = logging.getLogger(name)
        assert not log.handlers and log.level == logging.NOTSET and log.propagate


def test_the_innermost_hears_alone_and_a_handler_of_a_persons_own_always(caplog):
    inner, outer, own = [], [], []
    log, handler = logging.getLogger("aqa_cache.some"), logging.Handler()
    handler.emit = own.append
    logging.getLogger("aqa_cache").addHandler(handler)
    try:
        with handled(outer.append):
            log.info("a")
            with handled(inner.append):
                log.info("b")
            with silence():
                log.error("c")
            log.info("d")
        log.info("e")
    finally:
        logging.getLogger("aqa_cache").removeHandler(handler)
    heard = [[record.getMessage() for record in records] for records in (inner, outer, own)]
    assert heard == [["b"], ["a", "d"], ["a", "b", "d"]]
    assert_as_before()


def test_failures_are_listed_up_to_twenty(said):
    log_failures([(str(number), f"reason {number}") for number in range(23)])
    (text,) = said
    assert text.count("reason") == 20 + 1 and text.endswith("… and 3 more; every reason is in the file")
    log_failures([])
    assert len(said) == 1


def test_no_function_takes_who_is_to_be_told():
    """What a person should know is logged, and not handed on as a parameter."""
    for package in (aqa_cache, aqa_heads):
        public = [getattr(package, name) for name in package.__all__]
        signatures = [inspect.signature(each) for each in public if inspect.isroutine(each)]
        assert len(signatures) > 3 and not any("say" in each.parameters for each in signatures)
        for path in Path(package.__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                assert not (isinstance(node, ast.arg) and node.arg == "say"), f"{path}:{node.lineno}"
