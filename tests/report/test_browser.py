"""Laws of the report in a browser."""

import pytest
from browsers import chromium
from made_runs import make_run, report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    runs = [make_run(folder / name, name, n=24) for name in ("baseline", "1", "ridge")]
    return report(folder, *runs).path


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def opened(browser, page_file):
    """Opens the page in a window of a size; at the end the browser must have had nothing to say."""
    said, contexts = [], []

    def open_page(width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url) if "file:" not in request.url else None)
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in said if not line.startswith("data:")] == []


def heights(page):
    return page.evaluate("[document.documentElement.scrollHeight, document.documentElement.scrollWidth]")


def test_folded_the_page_is_short_and_the_answer_and_figure_are_on_the_first_screen(opened):
    page = opened()
    assert heights(page)[0] < 6000
    assert page.locator(".answer").bounding_box()["y"] < 400
    figure = page.locator("header figure svg").first.bounding_box()
    assert figure["y"] + figure["height"] < 800


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_never_scrolls_sideways(opened, width, scripts):
    page = opened(width, java_script_enabled=scripts)
    closed = page.locator("details.section:not([open]) > summary")
    for _ in range(closed.count()):
        closed.first.click()
    assert page.locator("details.section:not([open])").count() == 0
    box = page.locator("main").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width + 0.5
    if scripts:
        assert heights(page)[1] <= width


def test_contents_lead_to_sections_that_open(opened):
    page = opened()
    for link in page.locator("nav.contents a").all()[1:]:
        name = link.get_attribute("href").removeprefix("#")
        link.click()
        page.wait_for_function("name => document.getElementById(name).closest('details').open", arg=name)
    assert page.locator("nav.contents").bounding_box()["y"] >= 0  # it has stayed


def column(page, number):
    return page.locator(f"table.sortable tbody tr:visible > :nth-child({number})").all_inner_texts()


def test_samples_sort_by_any_column_and_filter(opened):
    page = opened()
    page.locator("nav a[href='#samples']").click()
    heads = page.locator("table.sortable thead th")
    last = heads.count()
    heads.nth(last - 1).locator("button").click()
    found = [float(text) for text in column(page, last)]
    assert found == sorted(found) and heads.nth(last - 1).get_attribute("aria-sort") == "ascending"
    heads.nth(last - 1).locator("button").click()
    assert [float(text) for text in column(page, last)] == sorted(found, reverse=True)
    heads.first.locator("button").click()
    assert column(page, 1) == sorted(column(page, 1))
    page.get_by_role("searchbox").fill("01_000")
    assert len(column(page, 1)) == 9 and page.locator(".filter output").inner_text() == "9 of 24"
    page.get_by_role("searchbox").fill("")
    assert len(column(page, 1)) == 24


def test_a_dot_leads_to_the_row_of_its_sample(opened):
    page = opened()
    page.locator("nav a[href='#predicted-and-true-scores']").click()
    dot = page.locator(".dots a").first
    target = dot.get_attribute("href").removeprefix("#")
    dot.dispatch_event("click")
    page.evaluate("link => location.hash = link", dot.get_attribute("href"))
    page.wait_for_function("name => document.getElementById(name).closest('details').open", arg=target)
    assert page.locator(f"#{target}").is_visible()


def test_terms_open_without_scripts(opened):
    page = opened(java_script_enabled=False)
    page.locator("button.term", has_text="floors").first.click()
    assert page.locator("#term-floor").is_visible()


def test_print_shows_what_is_folded(opened):
    page = opened()
    page.emulate_media(media="print")
    assert page.locator("nav.contents").is_hidden()
    assert page.locator("table.sortable tbody tr").first.bounding_box()["height"] > 5


def test_dark_pages_are_dark(opened):
    light, dark = (opened(color_scheme=scheme) for scheme in ("light", "dark"))
    colours = [p.evaluate("getComputedStyle(document.body).backgroundColor") for p in (light, dark)]
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 25, 30)"]
