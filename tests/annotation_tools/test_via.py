import json

import pytest

from aqa_cache.annotation_tools.export import Asked
from aqa_cache.annotation_tools.importing import import_annotations
from aqa_cache.errors import AnnotationError

ATTRIBUTES = {
    "1": {"aname": "family", "anchor_id": "FILE1_Z2_XY0", "options": {"0": "tuck", "1": "pike"}},
    "2": {"aname": "score", "anchor_id": "FILE1_Z2_XY0", "options": {}},
    "3": {"aname": "group", "anchor_id": "FILE1_Z0_XY0", "options": {}},
}
CSV = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    f"# ATTRIBUTE = {json.dumps(ATTRIBUTES)}\n"
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_a","[""a.mp4""]","0","[1.2,3.4]","[]","{""1"":""0"",""2"":""7.5""}"\n'
    '"1_b","[""a.mp4""]","0","[4,5.25]","[]","{""1"":""1"",""2"":""6""}"\n'
    '"1_c","[""a.mp4""]","0","[2.5]","[2,10,10,20,20]","{}"\n'
    '"1_d","[""a.mp4""]","0","[4.5]","[]","{""1"":""1""}"\n'
    '"1_e","[""a.mp4""]","0","[]","[]","{""3"":""Berlin""}"\n'
    '"2_f","[""b.mp4""]","0","[]","[]","{""2"":""5"",""3"":""Oslo""}"\n'
)


def read(path, text, **asked):
    path.write_text(text)
    return import_annotations(path, asked=Asked(**asked))


def test_segments_are_actions_and_what_is_said_of_a_file_is_of_all_of_them(tmp_path):
    done = read(tmp_path / "via.csv", CSV)
    first, second, third = done.samples
    assert (first.video, first.final_score, first.group) == ("a.mp4", 7.5, "Berlin")
    assert first.classes == {"family": "tuck"} and second.classes == {"family": "pike"}
    assert second.extra == {"start": "0:00:04.000000", "end": "0:00:05.250000"}
    assert (third.video, third.final_score, third.extra) == ("b.mp4", 5.0, {}), (
        "a file without a segment is one"
    )
    assert any("1 region(s) and 1 moment(s) are no actions" in note for note in done.notes)


def test_a_project_says_the_same(tmp_path):
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__"},
        "attribute": ATTRIBUTES,
        "file": {
            "1": {"fid": "1", "fname": "a.mp4", "type": 4},
            "2": {"fid": "2", "fname": "b.mp4", "type": 4},
        },
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
        "metadata": {
            "1_a": {"vid": "1", "flg": 0, "z": [1.2, 3.4], "xy": [], "av": {"1": "0", "2": "7.5"}},
            "1_b": {"vid": "1", "flg": 0, "z": [4, 5.25], "xy": [], "av": {"1": "1", "2": "6"}},
            "1_c": {"vid": "1", "flg": 0, "z": [2.5], "xy": [2, 10, 10, 20, 20], "av": {}},
            "1_d": {"vid": "1", "flg": 0, "z": [4.5], "xy": [], "av": {"1": "1"}},
            "1_e": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"3": "Berlin"}},
            "2_f": {"vid": "2", "flg": 0, "z": [], "xy": [], "av": {"2": "5", "3": "Oslo"}},
        },
    }
    samples = read(tmp_path / "via.json", json.dumps(project)).samples
    assert samples == read(tmp_path / "via.csv", CSV).samples


def test_without_attributes_keys_are_names(tmp_path):
    lines = [line for line in CSV.splitlines() if not line.startswith("# ATTRIBUTE")][:3]
    text = "\n".join(lines).replace('""1"":""0"",""2""', '""TEMPORAL-SEGMENTS"":""tuck"",""score""')
    (sample,) = read(tmp_path / "via.csv", text).samples
    assert sample.extra["TEMPORAL-SEGMENTS"] == "tuck" and sample.final_score == 7.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("# CSV_HEADER = metadata_id,", "# "), "has no line '# CSV_HEADER = "),
        (("temporal_coordinates", "region_shape_attributes"), "lacks temporal_coordinates; .*not VIA 2"),
        (('"[1.2,3.4]"', '"[1.2,NaN]"'), "no JSON that can be read: holds NaN"),
        (('"[1.2,3.4]"', '"7"'), "the times of entry '1' is '7', expected a list"),
        (('"[1.2,3.4]"', '"[3.4,1.2]"'), "entry 1: end '1.2' must be later than start '3.4'"),
        (('""1"":', '""start"":'), "something is called 'start'"),
        (('"1_a",', ""), "entry 1 has 5 cells, expected 6"),
        (('{""1"":', '{""1""'), "no JSON that can be read: Expecting ':'"),
    ],
)
def test_what_cannot_be_read_is_one_message(tmp_path, change, message):
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path / "via.csv", CSV.replace(*change, 1))
