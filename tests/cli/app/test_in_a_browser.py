"""The app as a person has it: Chromium, mouse and keys, at a desk and on a phone."""

import base64
import json
import time
from urllib.parse import quote

import numpy as np
import pytest
from app_server import HANGS
from browsers import chromium
from numbered_video import image_number

from aqa_cache.annotations import read_annotations
from aqa_heads.scoring.packing import pack

pytestmark = pytest.mark.browser
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser):
    """Opens a page; what it complains of fails the test."""
    wrong, contexts = [], []

    def go(url, expected=(), **options):
        contexts.append(context := browser.new_context(**options))
        page = context.new_page()
        page.set_default_timeout(1000 * HANGS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: (
                wrong.append(said.text)
                if said.type in ("error", "warning") and not any(part in said.text for part in expected)
                else None
            ),
        )
        page.goto(url)
        return page

    yield go
    for context in contexts:
        context.close()
    assert wrong == []


def without_violations(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


def drop(page, paths):
    """Drop files, as from a file manager."""
    files = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(
        """files => {
          const transfer = new DataTransfer();
          for (const { name, data } of files) {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type: "video/mp4" }));
          }
          const place = document.getElementById("drop");
          for (const kind of ["dragenter", "dragover", "drop"]) {
            const all = { dataTransfer: transfer, bubbles: true, cancelable: true };
            place.dispatchEvent(new DragEvent(kind, all));
          }
        }""",
        files,
    )


def until(page, true, seconds=HANGS):
    """Wait until an expression is true; the page's policy lets no text be run in it, so that it is asked."""
    last = time.monotonic() + seconds
    while not page.evaluate(true):
        assert time.monotonic() < last, true
        page.wait_for_timeout(50)


def saved(page):
    until(page, "document.getElementById('state').textContent === 'saved'")


def table(app):
    return {sample.sample_id: sample for sample in read_annotations(app.folder / "videos/annotations.csv")}


def page_of_new_clip(app, video) -> str:
    """The address of the page of a video that is there now, as `a.mp4`."""
    _, row = app.json("POST", "/api/videos?name=a.mp4", video.read_bytes())
    app.idle()
    return f"{app.url}/clips/{row['id']}"


def test_drop_score_annotate_and_train(start, opened, trained, three):
    """What a coach does, from the first page to a model of one's own; no step needs a terminal."""
    app = start(runs=trained / "runs")
    page = opened(app.url)
    without_violations(page)
    drop(page, three)
    scored = "document.querySelectorAll('[data-part=scores] tbody tr').length === 3"
    until(page, scored)
    without_violations(page)
    page.get_by_role("link", name="one").click()
    assert "/../videos/one.mp4" in page.locator("video").get_attribute("src")
    until(page, "document.querySelector('video').readyState >= 2")
    without_violations(page)
    page.get_by_role("link", name="All scores").click()
    page.get_by_role("link", name="Clips").click()
    page.get_by_role("link", name="one").click()
    # By keys alone: eight frames on, start; twenty more, end.
    until(page, "document.getElementById('frame')?.textContent.startsWith('frame 0 of 40')")
    page.locator("body").press(".")
    for _ in range(8):
        page.keyboard.press(".")
    page.keyboard.press(",")
    page.keyboard.press("s")
    saved(page)
    for _ in range(20):
        page.keyboard.press(".")
    page.keyboard.press("e")
    until(page, "document.getElementById('end_frame').value === '28'")
    saved(page)
    page.fill("#who", "Ann")
    page.fill("#mark", "7.5")
    page.fill("#final_score", "71.5")
    page.fill("#class-name", "position")
    page.click("#add-class")
    page.keyboard.type("tuck")
    page.fill("#comment", "late entry")
    page.locator("#comment").blur()
    saved(page)
    without_violations(page)
    one = table(app)["one"]
    assert (one.start_frame, one.end_frame, one.final_score, one.judges) == (8, 28, 71.5, (7.5,))
    assert one.classes == {"position": "tuck"} and one.extra == {"comment": "late entry"}
    page.locator("h1").click()
    page.keyboard.press("u")
    until(page, "document.getElementById('state').textContent === 'undone'")
    assert table(app)["one"].extra == {}
    for name, score in (("two", "62"), ("three", "80.25")):
        page.get_by_role("link", name="Clips").click()
        page.get_by_role("link", name=name).click()
        page.fill("#final_score", score)
        page.locator("#final_score").blur()
        saved(page)
    page.get_by_role("link", name="Train").click()
    without_violations(page)
    page.click("#learn")
    page.get_by_text("own-1 is trained").wait_for()
    page.get_by_role("link", name="Models").click()
    page.get_by_role("link", name="own-1").wait_for()
    without_violations(page)
    assert len(app.json("GET", "/api/models")[1]["models"]) == 2


def test_a_packed_model_is_added_and_a_damaged_one_is_refused(start, opened, trained, tmp_path):
    (tmp_path / "none").mkdir()
    app = start(runs=tmp_path / "none")
    whole, half = tmp_path / "theirs.zip", tmp_path / "half.zip"
    pack(trained / "runs/ridge", whole)
    half.write_bytes(whole.read_bytes()[:-30])
    page = opened(app.url, ["422"])
    # What comes late takes every file nevertheless.
    page.route("**/static/models.js", lambda route: (time.sleep(0.5), route.continue_()))
    page.get_by_role("link", name="add it").click()
    page.set_input_files("#model-file:enabled", half)
    page.get_by_text("half.zip: is no zip archive").wait_for()
    without_violations(page)
    page.set_input_files("#model-file:enabled", whole)
    page.get_by_role("heading", name="theirs.zip", level=1).wait_for()
    without_violations(page)
    page.get_by_role("link", name="Train").click()
    page.locator("#learn").wait_for()
    assert page.locator("#model option").all_inner_texts() == [
        "theirs.zip",
        "S3D (its weights are downloaded once)",
    ]


def test_two_browsers_change_one_row_and_the_second_is_told(start, opened, three):
    app = start()
    _, row = app.json("POST", "/api/videos?name=a.mp4", three[0].read_bytes())
    app.idle()
    url = f"{app.url}/clips/{row['id']}"
    ann, ben = opened(url), opened(url, expected=("409",))
    for page, who, score in ((ann, "Ann", "80"), (ben, "Ben", "20")):
        page.fill("#who", who)
        page.fill("#final_score", score)
        page.locator("#final_score").blur()
        if page is ann:
            saved(page)
    alert = ben.get_by_role("alert")
    alert.get_by_text("Ann has changed it meanwhile").wait_for()
    assert "not saved: final_score: 20" in alert.text_content()
    assert table(app)["a"].final_score == 80
    ben.get_by_role("button", name="Keep mine on top of it").click()
    saved(ben)
    assert table(app)["a"].final_score == 20


def test_what_is_typed_while_another_change_is_on_its_way_is_kept(start, opened, three):
    """The answer to the first shows the row as it was then; and nothing is called saved before all is."""
    app = start()
    page = opened(page_of_new_clip(app, three[0]))

    def on_its_way(route):
        answer = route.fetch()
        page.evaluate(
            "() => { const field = document.getElementById('comment'); field.value = 'late entry';"
            " field.dispatchEvent(new Event('input', { bubbles: true })); }"
        )
        route.fulfill(response=answer)

    page.route("**/api/rows/*", on_its_way, times=1)
    page.fill("#final_score", "80")
    page.locator("#final_score").blur()
    saved(page)
    assert page.locator("#comment").input_value() == "late entry"
    assert (table(app)["a"].final_score, table(app)["a"].extra) == (80, {"comment": "late entry"})


def test_a_clip_is_removed_and_put_back(start, opened, three):
    app = start()
    page = opened(page_of_new_clip(app, three[0]))
    page.fill("#final_score", "80")
    page.locator("#final_score").blur()
    saved(page)
    page.get_by_role("button", name="Remove this clip").click()
    page.wait_for_url(f"{app.url}/clips")
    assert app.json("GET", "/api/rows")[1]["rows"] == []
    page.get_by_text("Removed: 1").click()
    without_violations(page)
    page.get_by_role("button", name="Put back a").click()
    page.get_by_role("link", name="a", exact=True).wait_for()
    assert table(app)["a"].final_score == 80 and page.get_by_text("Removed:").count() == 0


def test_numbers_are_kept_as_they_are_typed_or_not_at_all(start, opened, three):
    app = start()
    page = opened(page_of_new_clip(app, three[0]))
    until(page, "document.getElementById('frame')?.textContent.startsWith('frame 0 of 40')")

    def typed(field, text):
        page.fill(f"#{field}", text)
        page.locator(f"#{field}").blur()
        until(page, "/^(saved|not saved:)/.test(document.getElementById('state').textContent)")
        return page.locator("#state").text_content()

    for field, text in (("final_score", "71,5"), ("difficulty", "3.2"), ("end_frame", "40")):
        assert typed(field, text) == "saved"
    for field, text, why in (
        ("final_score", "1,234", "may be thousands"),
        ("final_score", "n/a", "is no number"),
        ("difficulty", "1.234,5", "is no number"),
        ("end_frame", "3,9", "is no number of a frame"),
        ("end_frame", "41", "is more than the 40 frames"),
    ):
        said = typed(field, text)
        assert said.startswith("not saved: ") and why in said, said
    one = table(app)["a"]
    assert (one.final_score, one.difficulty, one.end_frame) == (71.5, 3.2, 40)
    without_violations(page)


def test_a_frame_is_shown_by_its_number(start, opened, numbered_video):
    """The picture on the page is that of the frame whose number stands there."""
    app = start()
    page = opened(page_of_new_clip(app, numbered_video))
    until(page, "document.getElementById('video').readyState >= 2")
    for frame in (0, 1, 137, 138, 299):
        page.evaluate(
            "frame => { const p = document.getElementById('place'); p.value = frame;"
            " p.dispatchEvent(new Event('input')); }",
            frame,
        )
        until(page, "!document.getElementById('video').seeking")
        last = time.monotonic() + HANGS
        while shown(page) != frame:  # it is painted some time after it was found
            assert time.monotonic() < last, (shown(page), frame)


def shown(page):
    """The number of the picture that the player shows."""
    pixels = page.evaluate(
        """() => { const v = document.getElementById('video'), c = document.createElement('canvas');
          c.width = v.videoWidth; c.height = v.videoHeight;
          const d = c.getContext('2d'); d.drawImage(v, 0, 0);
          return [c.width, c.height, [...d.getImageData(0, 0, c.width, c.height).data]]; }"""
    )
    return image_number(np.array(pixels[2], np.uint8).reshape(pixels[1], pixels[0], 4)[..., :3])


@pytest.mark.parametrize("options", [PHONE, {"color_scheme": "dark"}], ids=["phone", "dark"])
def test_pages_fit_a_phone_and_are_readable_in_the_dark(start, opened, trained, three, options):
    app = start(runs=trained / "runs")
    _, row = app.json("POST", "/api/videos?name=a.mp4", three[0].read_bytes())
    (model,) = app.json("GET", "/api/models")[1]["models"]
    app.idle()
    page = opened(app.url, **options)
    for path in (
        "/",
        "/clips",
        f"/clips/{row['id']}",
        "/train",
        "/models",
        f"/models/{model['id']}",
        "/login",
    ):
        page.goto(app.url + path)
        page.wait_for_timeout(300)
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1], path
        without_violations(page)


def test_everything_is_reached_by_the_keyboard(start, opened, three):
    app = start()
    page = opened(page_of_new_clip(app, three[0]))
    until(page, "document.getElementById('frame')?.textContent.startsWith('frame 0')")
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    controls = page.evaluate(
        "[...document.querySelectorAll('main button:not(:disabled), main input, main select')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.id).filter(Boolean)"
    )
    assert set(controls) <= seen and "To the content" in seen
    page.focus("#play")
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('video').paused || document.getElementById('video').ended")


def test_what_a_video_is_called_is_never_markup(start, opened, three):
    app = start()
    name = "<img src=x onerror=alert(1)>"
    status, row = app.json("POST", f"/api/videos?name={quote(name)}.mp4", three[0].read_bytes())
    assert status == 201
    evil = {"comment": "</form><script>alert(1)</script>", "marks": {"<b onclick=alert(1)>": 1}}
    change = {"version": row["version"], "changes": {**evil, "group": name}, "who": name}
    assert app.json("PATCH", f"/api/rows/{row['id']}", change)[0] == 200
    page = opened(f"{app.url}/clips")
    page.goto(f"{app.url}/clips/{row['id']}")
    until(page, f"document.getElementById('comment').value === {json.dumps(evil['comment'])}")
    assert page.locator("main img, main b").count() == 0
