"""Laws of the figures: names stay apart, colours are the page's, and everything is said in words too."""

import io
import re

import numpy as np
from PIL import Image

from aqa_heads.report.attachments import Attachments
from aqa_heads.report.figures import (
    LOSS_LABEL,
    SMALL,
    TEST_LABEL,
    WORD_LOSS_LABEL,
    Curve,
    Dot,
    Dots,
    Interval,
    draw_curves,
    draw_dots,
    draw_intervals,
    draw_matrix,
    draw_scatter,
    scatter_frame,
)
from aqa_heads.report.figures.curves import _value_range
from aqa_heads.report.figures.line_names import _apart
from aqa_heads.report.html import SERIES
from aqa_heads.report.html.drawing import new_axes, render


def test_names_beside_lines_never_overlap_and_keep_their_order():
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = sorted(rng.uniform(0, 100, rng.integers(1, 11)))
        placed = _apart(wanted, 10, 0, 100)
        assert len(placed) == len(wanted)
        assert placed[0] >= -1e-9 and placed[-1] <= 100 + 1e-9
        assert all(after - before >= 10 - 1e-9 for before, after in zip(placed, placed[1:], strict=False))
    assert _apart([10, 50, 90], 10, 0, 100) == [10, 50, 90]


def test_members_and_the_chosen_epoch_are_drawn():
    epochs = np.arange(1.0, 5.0)
    plain = draw_curves([Curve("a", 1, epochs, epochs)], LOSS_LABEL, SMALL, "title", "said")
    members = tuple((epochs, epochs + shift) for shift in (-0.5, 0.5))
    full = draw_curves(
        [Curve("a", 1, epochs, epochs, members, ((2.0, 2.0),))], LOSS_LABEL, SMALL, "title", "said"
    )
    assert full.svg.count("<path") > plain.svg.count("<path") and 'aria-label="said"' in full.svg


def test_a_spread_is_drawn_no_further_than_values_can_be():
    def drawn(value, spread):
        row = Interval("a", 1, value, None, None, spread, limit=1.0)
        return row, draw_intervals([row], [], TEST_LABEL, "title", "said").svg

    cut, figure = drawn(-0.4, 0.8)
    assert cut.thin == (-1.0, 0.4) and cut.cut
    # From the same figure whose line ends there by itself it differs in the stroke at the end alone.
    whole, other = drawn(-0.3, 0.7 - 1e-9)
    assert not whole.cut and other.count("<path") + other.count("<use") > figure.count(
        "<path"
    ) + figure.count("<use")
    assert drawn(0.5, 0.2)[0].thin == (0.3, 0.7)


def test_rows_of_one_colour_are_told_apart_by_line_and_marker():
    epochs = np.arange(1.0, 4.0)
    drawn = draw_curves([Curve("a", n, epochs, epochs + n) for n in (0, SERIES)], TEST_LABEL, SMALL, "t", "d")
    assert "stroke-dasharray" in drawn.svg
    drawn = [[Dots("g", ((0.5, n),))] for n in (0, SERIES)]
    one, other = (draw_dots(rows, [("a", 0)], "x", "t", "d", 400).svg for rows in drawn)
    assert one != other


def test_a_loss_axis_begins_at_zero_and_that_of_words_near_the_lowest():
    values = [np.array([3.0, 2.5])]
    assert _value_range(values, [], LOSS_LABEL)[0] == 0
    assert 2 < _value_range(values, [3.2], WORD_LOSS_LABEL)[0] < 2.5
    low, high, logarithmic = _value_range([np.array([100.0, 1.0])], [], LOSS_LABEL)
    assert logarithmic and 0 < low < 1 and high > 100


def test_a_matrix_has_its_numbers_as_text_and_its_shades_as_colours_of_the_page():
    shares = np.array([[1.0, 0.0], [0.25, np.nan]])
    drawn = draw_matrix(
        shares, ["pike & <b>", "tuck"], ["p", "t"], ("true", "predicted"), "t", "d", [["17", ""], ["3", "9"]]
    )
    assert {"17", "3", "9", "pike &amp; &lt;b&gt;"} <= set(re.findall(r">([^<>\n]+)</text>", drawn.svg))
    assert drawn.svg.count("fill: var(--series-1)") == 2  # none where the share is 0 or unknown
    assert max(float(opacity) for opacity in re.findall(r"opacity: ([0-9.]+)", drawn.svg)) < 0.6


def test_a_matrix_of_many_columns_stays_within_a_page():
    drawn = draw_matrix(
        np.full((2, 300), 0.5),
        ["a", "b"],
        [str(n) for n in range(300)],
        ("row", "clip"),
        "t",
        "d",
        [["1"] * 300] * 2,
    )
    assert (
        int(re.search(r'width="(\d+)"', drawn.svg)[1]) < 1300
        and ">1</text>" not in drawn.svg.split("clip")[0][-200:]
    )


def test_a_figure_in_a_frame_shows_what_it_shows_alone_and_the_frame_is_written_once_a_page():
    epochs = np.arange(1.0, 30.0)
    curves = [Curve(f"{n}", n, epochs, np.sqrt(epochs + n), (), ((5.0, 3.0),)) for n in range(4)]
    floors = [("floor", 2.0)]
    page, frames, alone, framed = Attachments("files"), {}, [], []
    for curve in curves[:3]:
        shown = [curve], TEST_LABEL, SMALL, "t", curve.name, floors, curves
        alone.append(draw_curves(*shown))
        framed.append(draw_curves(*shown, frames))
    figures = [page.figure(str(n), drawn) for n, drawn in enumerate(framed)]
    (name,) = set(re.findall(r'id="(frame-\w+)"', "".join(figures)))
    assert [figure.count(f'id="{name}"') for figure in figures] == [1, 0, 0]
    assert [figure.count(f'<use href="#{name}"/>') for figure in figures] == [0, 1, 1]
    for plain, drawn in zip(alone, framed, strict=True):
        whole = drawn.shared[name] + drawn.svg
        for what in (r' d="[^"]*"', r">[^<>\n]+</text>"):
            assert sorted(re.findall(what, whole)) == sorted(re.findall(what, plain.svg))
        sizes = [Image.open(io.BytesIO(made.png)).size for made in (plain, drawn)]
        assert np.abs(np.subtract(*sizes)).max() <= 2
    ids = re.findall(r'\bid="([^"]+)"', "".join(figures))
    assert len(ids) == len(set(ids))
    # Other axes, another frame.
    draw_curves([Curve("up", 1, epochs, 9 * epochs)], TEST_LABEL, SMALL, "t", "d", floors, curves, frames)
    assert len(frames) == 2


def test_a_figure_takes_nothing_from_the_one_before_it_in_its_frame():
    scores = np.array([20.0, 30.0, 50.0])
    frame = scatter_frame((10, 60))
    first, _, again = (
        draw_scatter(frame, [Dot(*pair) for pair in zip(scores, predicted, strict=True)], 1, title, "d")
        for predicted, title in (
            (scores, "a"),
            (scores + 40, "a much longer title than before" * 2),
            (scores, "a"),
        )
    )
    assert first == again
    assert first.svg.count("<use") == 1 and first.svg.count("<circle") == len(scores)


def test_a_png_shows_what_sticks_out_of_its_figure():
    def draw(size):
        figure, axes = new_axes(size)
        axes.set_ylabel("a label")
        axes.plot([0, 1], [1, 1e6])
        return figure

    made = render(draw, SMALL, "A title that is longer than its figure " * 3, "said")
    width, height = (int.from_bytes(made.png[at : at + 4], "big") for at in (16, 20))
    assert width > SMALL.width * 2.5 and height > SMALL.height * 2.4
