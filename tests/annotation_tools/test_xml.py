"""Sportscode and its relatives, CVAT, and XML that is meant to harm."""

import pytest

from aqa_cache.annotation_tools import documents
from aqa_cache.annotation_tools.export import Asked
from aqa_cache.annotation_tools.importing import import_annotations
from aqa_cache.annotations import Columns
from aqa_cache.errors import AnnotationError

SPORTSCODE = """<?xml version="1.0" encoding="UTF-8"?>
<file><SESSION_INFO/><ALL_INSTANCES>
<instance><ID>1</ID><start>1.2</start><end>3.4</end><code>Anna Müller</code>
<label><group>Stroke</group><text>topspin</text></label><label><group>Score</group><text>7.5</text></label>
<free_text>good</free_text></instance>
<instance><ID>2</ID><start>60</start><end>62.5</end><code>Mia</code>
<label><group>Stroke</group><text>slice</text></label><label><group>Stroke</group><text>short</text></label>
<label><text>windy</text></label></instance>
</ALL_INSTANCES><ROWS><row><sort_order>1</sort_order><code>Mia</code></row></ROWS></file>
"""
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>dives</name><size>40</size><mode>interpolation</mode>
<start_frame>0</start_frame><stop_frame>39</stop_frame><frame_filter></frame_filter>
<labels><label><name>dive</name><attributes>
<attribute><name>score</name><mutable>False</mutable><input_type>number</input_type></attribute>
<attribute><name>position</name><mutable>False</mutable><input_type>select</input_type></attribute>
<attribute><name>remark</name><mutable>False</mutable><input_type>text</input_type></attribute>
<attribute><name>seen</name><mutable>True</mutable><input_type>checkbox</input_type></attribute>
</attributes></label></labels><source>a.mp4</source></task></meta>
<track id="0" label="dive" source="manual">
<box frame="3" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="2" ybr="2">
<attribute name="score">7.5</attribute><attribute name="position">tuck</attribute>
<attribute name="remark">late</attribute><attribute name="seen">true</attribute></box>
<box frame="9" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="2" ybr="2">
<attribute name="score">7.5</attribute><attribute name="seen">false</attribute></box>
<box frame="10" outside="1" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="2" ybr="2"/></track>
<track id="1" label="dive" source="manual"><polygon frame="20" outside="0" points="1,1"/></track>
</annotations>
"""


def read(path, content, **asked):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return import_annotations(path, asked=Asked(**asked))


def test_instances_are_actions(tmp_path):
    done = read(tmp_path / "s.xml", SPORTSCODE, video="game.mp4")
    first, second = done.samples
    assert (first.sample_id, first.video, first.final_score) == ("game_1.2-3.4", "game.mp4", 7.5)
    assert first.classes == {"code": "Anna Müller", "Stroke": "topspin"}
    assert second.classes == {"code": "Mia", "Stroke": "slice; short", "label": "windy"}
    assert first.extra["free_text"] == "good" and second.extra["start"] == "0:01:00.000000"
    columns = Columns.parse("group=code,caption=free_text")
    first = read(tmp_path / "s.xml", SPORTSCODE, video="game.mp4", columns=columns).samples[0]
    assert (first.group, first.caption, list(first.classes)) == ("Anna Müller", "good", ["Stroke"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("times", [("1,2", "3,4"), ("00:00:01.2", "00:00:03.4"), ("0:01,2", "0:03,4")])
def test_any_encoding_whatever_it_says_of_itself_and_decimal_commas(tmp_path, encoding, times):
    start, end = times
    text = SPORTSCODE.replace("<start>1.2", f"<start>{start}").replace("<end>3.4", f"<end>{end}")
    done = read(tmp_path / "s.xml", text.encode(encoding), video="game.mp4")
    assert done.samples == read(tmp_path / "t.xml", SPORTSCODE, video="game.mp4").samples


def test_two_instances_of_one_part_are_two_samples(tmp_path):
    text = SPORTSCODE.replace("<start>60</start><end>62.5</end>", "<start>1.2</start><end>3.4</end>")
    done = read(tmp_path / "s.xml", text, video="game.mp4")
    assert [sample.sample_id for sample in done.samples] == ["game_1.2-3.4", "game_1.2-3.4_2"]


def test_a_track_is_an_action_from_its_first_to_its_last_frame_that_is_not_outside(tmp_path):
    done = read(tmp_path / "c.xml", CVAT)
    first, second = done.samples
    assert (first.video, first.start_frame, first.end_frame, first.final_score) == ("a.mp4", 3, 10, 7.5)
    assert first.classes == {"label": "dive", "position": "tuck"} and first.extra == {"remark": "late"}
    assert (second.start_frame, second.end_frame, second.final_score) == (20, 21, None)
    assert any("attribute 'seen' changes within 1 track" in note for note in done.notes)


def test_of_a_video_the_last_part_of_its_name_counts_and_a_person_can_say_another(tmp_path):
    text = CVAT.replace("<source>a.mp4", "<source>../../elsewhere/a.mp4")
    assert [sample.video for sample in read(tmp_path / "c.xml", text).samples] == ["a.mp4"] * 2
    done = read(tmp_path / "c.xml", text, video="other.mp4")
    assert [sample.video for sample in done.samples] == ["other.mp4"] * 2


def test_frames_of_a_strided_task_are_those_of_the_video(tmp_path):
    text = CVAT.replace("<frame_filter></frame_filter>", "<frame_filter>step=5</frame_filter>")
    text = text.replace("<start_frame>0", "<start_frame>100")
    done = read(tmp_path / "c.xml", text)
    assert (done.samples[0].start_frame, done.samples[0].end_frame) == (115, 146)
    assert any("every 5. frame from frame 100 on" in note for note in done.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SPORTSCODE.replace("<end>3.4</end>", ""), "instance 1 has no start or no end"),
        (SPORTSCODE.replace("<start>1.2", "<start>soon"), "entry 1: start is 'soon' is no time"),
        ("<file><ALL_INSTANCES/></file>", "has no instance in ALL_INSTANCES"),
        (CVAT.replace('outside="0"', 'outside="1"'), "track '0' is outside in every frame"),
        (CVAT.replace('frame="3"', 'frame="-3"'), "a frame is '-3', expected a whole number"),
        ('<annotations><image id="0"><tag/></image></annotations>', "images with tags .* expected tracks"),
        (CVAT.replace("<start_frame>0", "<start_frame>²"), "start_frame is '²'"),
        (CVAT.replace("<start_frame>0", f"<start_frame>{'9' * 5000}"), "start_frame is '999"),
        (CVAT.replace("</frame_filter>", "step=²</frame_filter>"), "frame_filter 'step=²'"),
        (CVAT.replace('name="remark"', 'name="video"'), "track '0': something is called 'video'"),
        (SPORTSCODE.replace("<group>Score", "<group>start"), "instance 1: something is called 'start'"),
        (SPORTSCODE.replace("<group>Score", "<group>code"), "instance 1: something is called 'code'"),
        ("<html/>", "XML whose root is 'html'"),
        (SPORTSCODE[:200], "no XML that can be read"),
    ],
)
def test_what_cannot_be_read_is_one_message(tmp_path, text, message):
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path / "x.xml", text, video="game.mp4")


HARM = {
    "entities that double": '<!DOCTYPE f [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><file>&b;</file>',
    "another file": '<!DOCTYPE f [<!ENTITY a SYSTEM "file:///etc/passwd">]><file>&a;</file>',
    "a document type elsewhere": '<!DOCTYPE f SYSTEM "http://127.0.0.1:9/f.dtd"><file/>',
}


@pytest.mark.parametrize("text", HARM.values(), ids=HARM)
def test_a_document_type_is_not_read(tmp_path, text):
    with pytest.raises(AnnotationError, match="declares a document type .*it is not read"):
        read(tmp_path / "x.xml", text)


def test_depth_and_size_have_an_end(tmp_path, monkeypatch):
    with pytest.raises(AnnotationError, match="nested deeper than 64 levels"):
        read(tmp_path / "x.xml", "<a>" * 100_000)
    monkeypatch.setattr(documents, "MOST_BYTES", 100)
    with pytest.raises(AnnotationError, match="larger than 100 bytes"):
        read(tmp_path / "x.xml", SPORTSCODE)
    with pytest.raises(AnnotationError, match="larger than 100 bytes"):
        read(tmp_path / "x.json", "[" * 200)
    monkeypatch.undo()
    with pytest.raises(AnnotationError, match="nested"):
        read(tmp_path / "x.json", "[" * 100_000)
