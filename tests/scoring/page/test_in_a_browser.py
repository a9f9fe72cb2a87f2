"""The page of a score in a browser: clips move the player, by click and by key; all stands there without a
script, fits a phone, and is black on white in print.
"""

import pytest
from browsers import chromium
from scored_table import HOSTILE, scored, table_of

from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.comparison import compare
from aqa_heads.scoring.page.writing import write_pages

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory, numbered_video):
    """A page of one sample, one of two takes, and one whose video is gone."""
    folder = tmp_path_factory.mktemp("pages")
    video = folder / "a dive's #1.mp4"
    video.write_bytes(numbered_video.read_bytes())
    first, second = scored(HOSTILE, video.name, 62.0), scored("second", video.name, 50.0)
    write_pages(table_of(folder, first), folder / "one")
    made = compare(first, second, Calibration(lacking="no interval: why"))
    write_pages(table_of(folder, first, second, comparison=made), folder / "two")
    gone = folder / "gone.mp4"
    gone.write_bytes(numbered_video.read_bytes())
    write_pages(table_of(folder, scored("gone", gone.name)), folder / "gone")
    gone.unlink()
    return folder


@pytest.fixture
def opened(browser, folder):
    """Opens a page; what it complains of, and what it asks the network for, fails the test."""
    wrong, contexts = [], []

    def go(name, **options):
        contexts.append(context := browser.new_context(**options))
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url.startswith("http") else None)
        page.goto((folder / name / "index.html").as_uri())
        return page

    yield go
    for context in contexts:
        context.close()
    assert [line for line in wrong if "ERR_FILE_NOT_FOUND" not in line] == []


def plays(page):
    if not page.evaluate("document.createElement('video').canPlayType('video/mp4; codecs=\"avc1.64001f\"')"):
        pytest.skip("this Chromium plays no H.264")
    page.wait_for_function("document.querySelector('video').readyState >= 1")


def now(page, place=0):
    return page.evaluate(f"document.querySelectorAll('video')[{place}].currentTime")


def test_a_clip_moves_the_player_by_click_and_by_key(opened):
    page = opened("one")
    plays(page)
    clips = page.locator(".timeline a")
    clips.nth(2).click()
    assert now(page) == pytest.approx(2.28, abs=0.01) and clips.nth(2).get_attribute("aria-current") == "true"
    clips.nth(2).press("ArrowLeft")
    assert now(page) == pytest.approx(1.64, abs=0.01)
    assert page.evaluate("document.activeElement.getAttribute('data-from')") == "1.640"
    clips.nth(0).focus()
    page.keyboard.press("Enter")
    assert now(page) == pytest.approx(1.0, abs=0.01)
    page.get_by_role("button", name="½").click()
    assert page.evaluate("document.querySelector('video').playbackRate") == 0.5


def test_without_a_script_all_is_shown(opened):
    page = opened("one", java_script_enabled=False)
    for said in ("62.0 points", "With 90 % probability", "Most alike", "What the number cannot tell"):
        assert page.get_by_text(said).first.is_visible(), said
    page.locator(".timeline a").nth(1).click()
    assert page.url.endswith("#video-clip-2") and not page.locator(".speeds").count()


@pytest.mark.parametrize("name", ["one", "two"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(opened, name, width):
    page = opened(name, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_video_that_is_gone_is_said_and_its_stills_are_shown(opened):
    page = opened("gone")
    page.locator(".stage .lost").wait_for(state="visible")
    large = page.locator(".stage .large")
    before = large.get_attribute("src")
    page.locator(".timeline a").nth(2).click()
    assert not page.locator("video").is_visible() and large.get_attribute("src") != before


def test_two_takes_move_together(opened):
    page = opened("two")
    plays(page)
    page.locator("a.both").nth(1).click()
    assert now(page, 0) == now(page, 1) == pytest.approx(1.64, abs=0.01)


def test_dark_where_the_reader_wants_it_and_white_in_print(opened):
    page = opened("one", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 25, 30)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not page.locator("video").is_visible() and page.locator(".timeline img").first.is_visible()
