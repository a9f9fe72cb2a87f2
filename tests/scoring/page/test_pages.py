"""Pages of scores: all that is known stands there, nothing of a stranger acts, nothing of others is lost."""

import csv
import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from at_once import at_once
from numbered_video import write_numbered_video
from scored_table import HOSTILE, scored, table_of

from aqa_cache.errors import AqaError
from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.comparison import compare
from aqa_heads.scoring.flags import UNLIKE
from aqa_heads.scoring.page.media import MOST_STILLS, media_of
from aqa_heads.scoring.page.writing import check_pages, write_pages
from aqa_heads.scoring.results import Flag, Judge, Panel
from aqa_heads.scoring.writing import write_scores, writing_alone


class Read(HTMLParser):
    """Tags, attributes, and the text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def written(table, folder) -> Read:
    return Read(write_pages(table, folder).read_text(encoding="utf-8"))


def test_the_page_of_one_sample_has_all_that_is_known(numbered_video, tmp_path):
    score = scored("a dive", numbered_video.name, final_score=47.5, notes=("mind the light",))
    page = written(table_of(numbered_video.parent, score), tmp_path / "out")
    for said in (
        *("50.0 points", "40.0 and 61.5", "with 40 calibration samples: 82 to 97 %", "true score: 47.5"),
        *(
            "near 0: 40",
            "5 training scores",
            "mean training score: 50.1",
            "7, –, 6.5",
            "tuck",
            "70%",
            HOSTILE,
        ),
        *("what the difficulty alone gives: 50.0", "+1.00", "-2.00", "+48.00", "Mind the light."),
        *("It has limits.", "0.600 (0.300 to 0.800)", "8.2", "the difficulty alone", "0.400"),
        *("one judge, with the others", "with its 95 % interval"),
    ):
        assert said in page.text, said
    clips = [a for a in page.named("a") if (a.get("href") or "").startswith("#video-clip-")]
    assert [a["data-from"] for a in clips] == ["1.000", "1.640", "2.280"]
    rows = {row.get("id") for row in page.named("tr")}
    assert {a["href"][1:] for a in clips} <= rows, "without a script the links lead to the rows"
    (video,) = page.named("video")
    target, _, fragment = video["src"].partition("#")
    assert fragment == "t=1.000,2.920" and (tmp_path / "out" / unquote(target)).samefile(numbered_video)


def test_nothing_is_fetched_and_nothing_of_a_stranger_runs(tmp_path, numbered_video):
    (tmp_path / "v").mkdir()
    video = tmp_path / "v" / "a:b #?%20'\"é<x>.mp4"
    video.write_bytes(numbered_video.read_bytes())
    score = scored(HOSTILE, video.name, notes=(HOSTILE,), interval_note=HOSTILE)
    page = written(table_of(video.parent, score), tmp_path)
    assert len(page.named("script")) == 1 and len(page.named("img")) == 3
    addresses = [a[name] for _, a in page.tags for name in ("src", "href", "poster") if a.get(name)]
    assert all(re.match(r"\./|#|data:image/jpeg;base64,", address) for address in addresses)
    (video_tag,) = page.named("video")
    assert (tmp_path / unquote(video_tag["src"].partition("#")[0])).samefile(video)
    policy = next(
        m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy and "http" not in policy
    assert "'unsafe-inline'" not in re.search(r"script-src ([^;]*)", policy)[1]


def test_several_samples_are_ranked_and_have_a_page_each(numbered_video, tmp_path):
    names = ["dive/1", "dive 1", "../up", "", "x" * 300]
    scores = [scored(name, numbered_video.name, 60.0 - place) for place, name in enumerate(names)]
    table = replace(table_of(numbered_video.parent, *scores), failures=(("gone", "gone: no such video"),))
    page = written(table, tmp_path)
    links = [a["href"] for a in page.named("a") if "pages" in (a.get("href") or "")]
    assert links[:3] == ["./pages/dive_1.html", "./pages/dive_1_2.html", "./pages/up.html"]
    assert len(links) == 5 == len(set(links)) and all((tmp_path / link).is_file() for link in links)
    assert "gone: no such video" in page.text
    one = Read((tmp_path / links[0]).read_text())
    assert "../index.html" in {a.get("href") for a in one.named("a")} and "60.0 points" in one.text
    (video,) = one.named("video")
    assert (tmp_path / "pages" / unquote(video["src"].partition("#")[0])).samefile(numbered_video)
    (tmp_path / "pages" / "mine.html").write_text("mine")
    written(table_of(numbered_video.parent, *scores[1:3]), tmp_path)
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"dive_1.html", "up.html", "mine.html"}


def test_commands_that_write_at_once_to_one_place_leave_the_scores_of_one(tmp_path):
    """Table, record and pages are of the same samples, and no page is left that no table names."""

    def write(letter):
        table = table_of(None, *(scored(f"{letter}{number}", "a.mp4") for number in range(2)))
        for _ in range(3):
            with writing_alone(tmp_path):
                write_scores(table, tmp_path)
                write_pages(table, tmp_path)

    at_once(*(lambda letter=letter: write(letter) for letter in "abc"))
    with open(tmp_path / "scores.csv", newline="") as file:
        in_table = {row["sample_id"] for row in csv.DictReader(file)}
    assert len(in_table) == 2 and {path.stem for path in (tmp_path / "pages").iterdir()} == in_table
    assert {
        score["sample_id"] for score in json.loads((tmp_path / "scores.json").read_text())["scores"]
    } == in_table
    assert sorted(os.listdir(tmp_path)) == ["index.html", "pages", "scores.csv", "scores.json"]


def test_files_of_others_are_not_replaced(numbered_video, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(AqaError, match="index.html: is there and is no page of aqa-score"):
        check_pages(tmp_path)
    (tmp_path / "index.html").unlink()
    (tmp_path / "pages").symlink_to(tmp_path.parent)
    with pytest.raises(AqaError, match="link"):
        check_pages(tmp_path)
    (tmp_path / "pages").unlink()
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/a.html").write_text("mine")
    table = table_of(numbered_video.parent, *(scored(name, numbered_video.name) for name in "ab"))
    with pytest.raises(AqaError, match="a.html: is there"):
        write_pages(table, tmp_path)
    assert not (tmp_path / "index.html").exists() and not (tmp_path / "pages/b.html").exists()


def test_what_browsers_do_not_play_is_shown_in_stills(tmp_path):
    write_numbered_video(tmp_path / "v.avi", 80, codec="mpeg4")
    page = written(table_of(tmp_path, scored("a", "v.avi")), tmp_path / "out")
    assert not page.named("video") and "Browsers do not play this video (mpeg4, yuv420p, .avi)" in page.text
    assert [img.get("class") for img in page.named("img")] == ["large", None, None, None]


def test_cached_features_and_folders_of_images_have_nothing_to_play(tmp_path):
    from PIL import Image

    made = scored("a", "v.mp4").contributions
    unknown = replace(made, clips=tuple(replace(clip, first_frame=-1) for clip in made.clips))
    page = written(table_of(None, scored("a", "v.mp4", contributions=unknown)), tmp_path / "out")
    assert page.text.count("frames not known") == 2 * 3 and "+3.00" in page.text
    page = written(table_of(None, scored("a", "v.mp4")), tmp_path / "out")
    assert "Scored from cached features" in page.text and not page.named("img") and not page.named("video")
    (tmp_path / "images").mkdir()
    for number in range(80):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / f"images/{number:06d}.png")
    media = media_of(scored("a", "images"), tmp_path, tmp_path / "out")
    assert media.href is None and len(media.stills) == 3 and "have no times" in media.notes[0]


def test_of_many_clips_the_stills_are_bounded(tmp_path, numbered_video):
    score = scored("a", numbered_video.name, clips=17)
    media = media_of(replace(score, contributions=None), numbered_video.parent, tmp_path)
    assert len(media.stretches) == len(media.stills) == 1
    made = score.contributions
    clips = tuple(replace(made.clips[0], clip=c, first_frame=c, points=c / 9) for c in range(200))
    many = replace(score, frames=(0, 216), contributions=replace(made, clips=clips))
    page = written(table_of(numbered_video.parent, many), tmp_path)
    assert "140 clips that add less are not listed" in page.text
    assert len(page.named("img")) <= MOST_STILLS and len(page.named("li")) >= 200


def test_a_sample_that_is_unlike_is_said_to_be_on_top(tmp_path):
    unlike = (Flag(UNLIKE, "unlike the training samples: why"),)
    page = written(table_of(None, scored("a", "v.mp4", 99.0, flags=unlike)), tmp_path)
    assert "like those of training, which this is not" in page.text and "With 90 %" not in page.text
    for said in ("Have a person look at it:", "Unlike the training samples: why.", "outside those of"):
        assert said in page.text, said
    assert [a for _, a in page.tags if a.get("role") == "alert"]
    calm = written(table_of(None, scored("a", "v.mp4")), tmp_path)
    assert not [a for _, a in calm.tags if a.get("role") == "alert"]


def test_a_run_without_scores_has_a_page_too(tmp_path, numbered_video):
    bare = scored(
        "a", numbered_video.name, contributions=None, interval=None, interval_note="", neighbours=()
    )
    page = written(table_of(numbered_video.parent, replace(bare, points=None)), tmp_path)
    assert "predicts no score" in page.text and page.named("video")
    nothing = replace(table_of(None, replace(bare, frames=None, classes={}, caption=None)), background=None)
    assert "50.0 points" in written(nothing, tmp_path).text
    assert "0 scored samples" in written(replace(nothing, scores=()), tmp_path).text


def test_the_marks_of_judges_stand_there(tmp_path):
    judges = (Judge(1, 7.0, -1.0, 75.0), Judge(3, 8.0, 1.0, 69.0))
    panel = Panel(judges, "the mean of all 2 marks, times the difficulty", 72.0, 6.5, 1, 0.25)
    text = written(table_of(None, scored("a", "v.mp4", panel=panel)), tmp_path).text
    for said in ("make 72.00 points: the mean of all 2 marks", "a mark of 6.50 by each", "75.00"):
        assert said in text, said
    assert "Judge 1 is 1.00 below the mean of the others; in 25% of training panels one is as far" in text
    alike = replace(panel, rule="", points=None, predicted_mark=None, furthest=None)
    text = written(table_of(None, scored("a", "v.mp4", panel=alike)), tmp_path).text
    assert "is not known" in text and "All gave the same" in text


def test_two_takes_stand_beside_each_other(tmp_path, numbered_video):
    first, second = (
        scored("one", numbered_video.name, 62.0),
        scored("two", numbered_video.name, 50.0, clips=2),
    )
    made = compare(first, second, Calibration(lacking="no interval: why"))
    page = written(table_of(numbered_video.parent, first, second, comparison=made), tmp_path)
    assert "one is ahead of two by 12.0 points" in page.text and "no interval: why" in page.text
    assert [a["data-player"] for a in page.named("div") if a.get("data-player")] == ["first", "second"]
    both = [a for a in page.named("a") if a.get("class") == "both"]
    assert len(both) == 2 and all(a["data-first"] and a["data-second"] for a in both)
    assert Path(tmp_path / "pages/one.html").is_file()
