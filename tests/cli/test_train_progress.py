"""What the progress of a run looks like, in a terminal and elsewhere."""

import contextlib
import io
import re
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from aqa_cli import train_progress
from aqa_cli.train_progress import Bar, Lines, showing
from aqa_heads import FineTuning, TrainingConfig

LABEL = "[3/8] Exp 7 (end to end, warm start, trained from features.9 on, encoder 1024 wide, on S3D features)"
END_TO_END = TrainingConfig("feats.h5", experiment="baseline", epochs=20, fine_tuning=FineTuning("videos"))


@pytest.fixture
def clock(monkeypatch):
    """Stands still until it is set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(train_progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def step(epoch, clips, total, loss=12.44):
    return SimpleNamespace(
        epoch=epoch, clips=clips, clips_total=total, made=(epoch - 1) * total + clips, loss=loss
    )


def epoch(number, **values):
    nothing = dict.fromkeys(("train_loss", "test_spearman", "val_spearman", "val_caption_loss_per_token"))
    return SimpleNamespace(epoch=number, seconds=10.0, **nothing | values)


def written(happens, config=END_TO_END, columns=80, interrupted=True):
    """What a terminal is sent until `happens(bar)` is over."""
    terminal = io.StringIO()
    console = Console(
        file=terminal, force_terminal=True, width=columns, color_system=None, _environ={"TERM": "xterm"}
    )
    with contextlib.suppress(KeyboardInterrupt), Bar(config, LABEL, console) as bar:
        happens(bar)
        if interrupted:
            raise KeyboardInterrupt
    return terminal.getvalue()


def lines_of(text):
    return [
        line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)) if line.strip()
    ]


@pytest.mark.parametrize("columns", [80, 130])
def test_a_long_label_and_many_clips_leave_room_for_all_that_is_known(clock, columns):
    def happens(bar):
        bar.step(step(9, 4, 6354))
        bar.epoch(epoch(9, train_loss=12.4, val_spearman=-0.4025))
        clock.seconds = 30.0
        bar.step(step(10, 3254, 6354))

    first, *_, last = lines_of(written(happens, columns=columns))
    assert first == LABEL and LABEL[:20] not in last and len(last) <= columns
    for fact in ("epoch 10/20 ", "━━", " 3,254/6,354 clips  320/s  loss 12.4  val -.403  0:03:28 left"):
        assert fact in last


def test_what_is_not_known_yet_is_no_number(clock):
    last = lines_of(written(lambda bar: bar.step(step(1, 6, 24, loss=None))))[-1]
    assert last.startswith("epoch 1/20 ") and last.endswith("6/24 clips  –/s  loss –  val –  – left")


def decoding(bar):
    bar.stage("decoding frames")
    bar.frames(3, 16)


def evaluating(bar):
    bar.step(step(1, 24, 24))
    bar.stage("evaluating")


@pytest.mark.parametrize(
    "happens, said, facts",
    [
        (decoding, "decoding frames …", "3/16 samples"),
        (evaluating, "evaluating …", "24/24 clips  –/s  loss 12.4  val –"),
    ],
)
def test_a_stage_stands_where_no_step_is_under_way(clock, happens, said, facts):
    last = lines_of(written(happens))[-1]
    assert last.startswith(said) and last.rstrip().endswith(facts)


def test_the_next_stage_has_nothing_of_the_last(clock):
    def happens(bar):
        bar.stage("decoding frames")
        bar.frames(3, 16)
        bar.stage("computing features")

    # Without colours, a full bar is one that does not know how far it is.
    assert lines_of(written(happens))[-1].rstrip() == "computing features … " + 20 * "━"


def test_what_remains_is_how_far_it_came_and_how_long_it_took(clock):
    def happens(bar):
        clock.seconds = 3725.0
        bar.epoch(epoch(12, train_loss=0.5, val_caption_loss_per_token=10.05))

    text = written(happens, TrainingConfig("feats.h5", experiment="baseline"), interrupted=False)
    last = lines_of(text)[-1]
    assert last.startswith("epoch 12/100") and last.endswith("loss 0.500  val loss 10.050  took 1:02:05")
    assert "\x1b[2K" not in text.rpartition("took")[2]


def test_no_bar_remains_of_a_run_that_had_nothing_to_train(clock):
    assert "\x1b[2K" in written(lambda bar: None, interrupted=False).rpartition("preparing")[2]


@pytest.fixture
def lines(clock):
    console = Console(file=io.StringIO(), width=160)
    lines = Lines(END_TO_END, "Exp 7", console)

    def after_a_minute():
        before = len(console.file.getvalue())
        clock.seconds += 60
        lines.say_what_is_done()
        return console.file.getvalue()[before:]

    return lines, after_a_minute


def test_a_line_a_minute_says_what_is_under_way(lines):
    lines, after_a_minute = lines
    assert after_a_minute() == ""
    lines.stage("decoding frames")
    assert after_a_minute() == "Exp 7: decoding frames, for 60 s now\n"
    lines.frames(3, 16)
    assert after_a_minute() == "Exp 7: decoding frames, 3 of 16 samples are done, for 2 min now\n"
    lines.stage("training")
    lines.step(step(1, 6, 24))
    assert after_a_minute() == "Exp 7: epoch 1/20, 6 of 24 clips, loss 12.440\n"
    assert after_a_minute() == ""  # no step has ended since
    lines.step(step(1, 18, 24))
    assert (
        after_a_minute()
        == "Exp 7: epoch 1/20, 18 of 24 clips, 0.1 clips/s, loss 12.440, 60 s to the end of the epoch, at"
        " most 77 min to go\n"
    )
    lines.step(step(1, 24, 24))
    lines.stage("evaluating")
    assert after_a_minute() == "Exp 7: epoch 1/20, evaluating, for 60 s now\n"


def test_a_thread_counts_the_minutes_end_to_end(monkeypatch):
    told = threading.Event()
    console = SimpleNamespace(print=lambda line, **style: told.set(), is_terminal=False)

    monkeypatch.setattr(train_progress, "LINE_SECONDS", 0.001)
    planned = SimpleNamespace(plan=SimpleNamespace(config=END_TO_END), title="Exp 7")
    with showing(console)(planned) as listener:
        listener.on_stage("evaluating")
        assert told.wait(300)
    assert not [thread for thread in threading.enumerate() if thread.name == "minutes"]


def test_a_download_of_weights_is_shown_before_the_run_begins(clock):
    def happens(bar):
        with bar.download("s3d-kinetics400") as tell:
            clock.seconds += 4
            tell(16_000_000, 32_000_000)
            if interrupted:
                raise KeyboardInterrupt

    interrupted = True
    last = lines_of(written(happens, columns=110))[-1]
    assert last.startswith("downloading s3d-kinetics400 …") and "16.0 of 32.0 MB  4.0 MB/s" in last
    interrupted = False
    assert lines_of(written(happens, columns=110))[-1].startswith("preparing …")
    console = Console(file=io.StringIO())
    lines = Lines(END_TO_END, "one", console)
    with lines.download("s3d-kinetics400") as tell:
        tell(16_000_000, None)
        clock.seconds += 60
        lines.say_what_is_done()
    lines.say_what_is_done()
    assert console.file.getvalue() == "one: downloading s3d-kinetics400, 16.0 MB, for 60 s now\n"
