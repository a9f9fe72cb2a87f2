"""Tests named `test_real_…` read the MTL-AQA release, which has no licence and is never part of this
repository.
"""

import os
import pickle
import statistics
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from aqa_cache.annotations import read_annotations, write_annotations
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release, video_links
from aqa_cache.errors import AnnotationError, AqaError
from aqa_cache.video import probing
from aqa_cli.data import data

REPOSITORY = Path(__file__).resolve().parents[2]
SPLIT = "Ready_2_Use/MTL-AQA_split_0_data"
SUBSET = "Ready_2_Use/smaller_training_sets/size_140"
TRAIN, TEST, SUBSET_TRAIN = [(1, 1), (1, 2), (2, 1)], [(1, 3), (2, 2)], [(1, 1), (1, 3)]


@pytest.fixture(scope="session")
def real():
    folder = REPOSITORY / os.environ.get("AQA_MTL_AQA", "../shared/mtl_aqa")
    if not folder.is_dir():
        pytest.skip(
            f"the MTL-AQA release is not in {folder}; name its folder in the environment variable AQA_MTL_AQA"
        )
    return find_release(folder)


@pytest.fixture
def release(tmp_path):
    """A made-up release of five dives in two videos, with a subset that trains on one of the two test
    dives.
    """
    annotations = {
        dive: {
            "primary_view": 0,
            "start_frame": 1000 * number,
            "end_frame": 1000 * number + 100,
            "position": number % 3,
            "difficulty": 3.0,
            "armstand": number % 2,
            "rotation_type": number % 4,
            "ss_no": number,
            "tw_no": 7 - number,
            "final_score": 63.0 + number,
        }
        for number, dive in enumerate(sorted(TRAIN + TEST), start=1)
    }
    captions = {(np.int64(v), n): ["<sos>", "dive", str(n), "<eos>"] for v, n in [*annotations, (2, 9)]}
    folder = tmp_path / "release"
    for part, train in ((SPLIT, TRAIN), (SUBSET, SUBSET_TRAIN)):
        (folder / part).mkdir(parents=True)
        dump(folder / part / "train_split_0.pkl", train)
        own = {dive: fields for dive, fields in annotations.items() if part == SPLIT or dive[0] == 1}
        dump(folder / part / "final_annotations_dict.pkl", own)
        dump(
            folder / part / "final_captions_dict.pkl",
            {dive: captions[dive] for dive in own} | {(2, 9): captions[2, 9]},
        )
    dump(folder / SPLIT / "test_split_0.pkl", TEST)
    return folder


def dump(path, value):
    path.write_bytes(pickle.dumps(value, 3))


def edit(path, change):
    value = pickle.loads(path.read_bytes())
    change(value)
    dump(path, value)


def split_ids(samples):
    return {split: [s.sample_id for s in samples if s.split == split] for split in ("train", "test")}


def write_marks(release, rows, video="01"):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["sr. no", "view", "start frame", "end frame"])
    for row in rows:
        book.active.append(row)
    (release / "Raw_Annotations").mkdir(exist_ok=True)
    book.save(release / "Raw_Annotations" / f"{video}.xlsx")


def marks_row(view, start, end, marks):
    return [1, view, start, end, *[None] * 8, *marks]


def run(*arguments):
    return CliRunner().invoke(data, ["mtl-aqa", *map(str, arguments)])


# The made-up release


def test_a_dive_becomes_a_sample(release):
    sample = convert(find_release(release)).samples[1]
    assert sample.sample_id == "01_0002"
    assert (sample.video, sample.group, sample.split) == ("01.mp4", "01", "train")
    assert (sample.final_score, sample.difficulty, sample.judges) == (65.0, 3.0, ())
    assert sample.caption == "dive 2"
    assert sample.classes == {
        "position": "tuck",
        "armstand": "no",
        "rotation_type": "inward",
        "somersaults": "1",
        "twists": "2.5",
    }


def test_frames_are_the_image_files_from_start_to_end_both_included(release):
    files = [f"{number:06d}.jpg" for number in range(1, 5001)]  # as ffmpeg names them
    sample = convert(find_release(release)).samples[1]
    action = files[sample.start_frame : sample.end_frame]
    assert (action[0], action[-1]) == ("002000.jpg", "002100.jpg")
    window = files[sample.end_frame - 103 : sample.end_frame]  # the authors' own frames
    assert (window[0], window[-1]) == ("001998.jpg", "002100.jpg")


def test_every_dive_has_one_row_and_its_official_split(release):
    conversion = convert(find_release(release))
    assert split_ids(conversion.samples) == {
        "train": ["01_0001", "01_0002", "02_0001"],
        "test": ["01_0003", "02_0002"],
    }
    assert "02_0009 has captions but no annotations, and no row." in conversion.notes


def test_a_subset_never_tests_on_what_it_trains_on(release):
    conversion = convert(find_release(release), "size_140")
    assert split_ids(conversion.samples) == {"train": ["01_0001", "01_0003"], "test": ["02_0002"]}
    assert not any(sample.extra for sample in conversion.samples)
    assert conversion.notes[0].startswith(
        "1 of the 2 official test dives are also among the 2 of size_140 train; they are"
    )


def test_the_papers_test_set_marks_every_leaked_dive(release):
    conversion = convert(find_release(release), "size_140", paper_test=True)
    assert split_ids(conversion.samples) == {
        "train": ["01_0001", "01_0003"],
        "test": ["01_0003@test", "02_0002"],
    }
    by_id = {sample.sample_id: sample for sample in conversion.samples}
    copy, original = by_id["01_0003@test"], by_id["01_0003"]
    assert (copy.video, copy.start_frame, copy.end_frame) == (
        original.video,
        original.start_frame,
        original.end_frame,
    )
    assert {name: sample.extra for name, sample in by_id.items() if sample.extra} == {
        "01_0003@test": {"leak": "also in size_140 train"}
    }
    assert conversion.notes[0].startswith("LEAK: 1 of the 2 official test dives")


def test_the_table_is_read_back_as_the_same_samples(release, tmp_path):
    samples = convert(find_release(release), "size_140", paper_test=True).samples
    write_annotations(tmp_path / "annotations.csv", samples)
    assert read_annotations(tmp_path / "annotations.csv") == samples


@pytest.mark.parametrize("depth", range(5))
def test_the_release_is_found_from_each_of_its_folders(release, tmp_path, depth):
    place = tmp_path / "downloads" / "MTL-AQA" / "MTL-AQA_dataset_release"
    place.parent.mkdir(parents=True)
    release.rename(place)
    start = [tmp_path / "downloads", place.parent, place, place / "Ready_2_Use", place / SPLIT][depth]
    found = find_release(start)
    assert found.raw_folder == place / "Raw_Annotations"
    assert len(convert(found, "size_140").samples) == 3


def test_a_relative_folder_is_enough(release, monkeypatch):
    write_marks(release, [marks_row("s", 1000, 1100, [7] * 7)])
    monkeypatch.chdir(release / SPLIT)
    assert convert(find_release(".")).samples[0].judges == (7.0,) * 7


def test_a_folder_without_or_with_two_releases_is_refused(release, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="empty: holds no Ready_2_Use/MTL-AQA_split_0_data.*git clone"):
        find_release(tmp_path / "empty")
    (tmp_path / "other" / SPLIT).mkdir(parents=True)
    with pytest.raises(AnnotationError, match="holds 2 releases; name one"):
        find_release(tmp_path)


def test_an_unknown_subset_lists_the_known(release):
    with pytest.raises(AnnotationError, match="has no smaller training set '143'; there: size_140"):
        convert(find_release(release), "143")


@pytest.mark.parametrize("name", ["final_annotations_dict.pkl", "final_captions_dict.pkl"])
def test_a_subset_that_contradicts_the_release_is_refused(release, name):
    def change(table):
        table[1, 2] = (
            {**table[1, 2], "final_score": 1.0} if isinstance(table[1, 2], dict) else ["<sos>", "x", "<eos>"]
        )

    edit(release / SUBSET / name, change)
    convert(find_release(release))
    with pytest.raises(AnnotationError, match=f"size_140/{name}: 01_0002 has another entry than in"):
        convert(find_release(release), "size_140")


@pytest.mark.parametrize(
    "name, change, message",
    [
        (
            "final_annotations_dict",
            lambda t: t[1, 2].update(position=3),
            r"01_0002 has position 3, expected 0 to 2 \(free",
        ),
        (
            "final_annotations_dict",
            lambda t: t[1, 2].update(ss_no="4"),
            "01_0002 has ss_no '4', expected a number",
        ),
        (
            "final_annotations_dict",
            lambda t: t[1, 2].pop("tw_no"),
            "01_0002 has tw_no None, expected a number",
        ),
        (
            "final_annotations_dict",
            lambda t: t[1, 2].update(end_frame=9),
            "01_0002 has frames 2000 to 9, expected 1 <=",
        ),
        ("final_annotations_dict", lambda t: t[1, 2].update(start_frame=0), "01_0002 has frames 0 to 2100"),
        ("final_annotations_dict", lambda t: t[1, 2].update(final_score=float("nan")), "final_score nan"),
        (
            "final_annotations_dict",
            lambda t: t[1, 2].update(difficulty=0.0),
            "difficulty 0.0, expected more than 0",
        ),
        (
            "final_annotations_dict",
            lambda t: t.update({"1": {}}),
            r"names a dive '1', expected \(video, number\)",
        ),
        ("final_annotations_dict", lambda t: t.update({(1, 2): 5}), "01_0002 is 5, expected a dict"),
        ("final_annotations_dict", lambda t: t.clear(), r"holds \{\}, expected a dict of dives"),
        (
            "final_captions_dict",
            lambda t: t.update({(1, 2): ["dive", "<eos>"]}),
            r"01_0002 has caption \['dive'",
        ),
        (
            "train_split_0",
            lambda t: t.append((1, 3)),
            "01_0003 has a place in train_split_0.pkl and in test_split_0.pkl",
        ),
        ("train_split_0", lambda t: t.append((1, 2)), "01_0002 has more than one entry"),
        ("test_split_0", lambda t: t.append((7, 7)), "07_0007 has no annotations"),
    ],
)
def test_a_damaged_release_names_file_dive_and_value(release, name, change, message):
    edit(release / SPLIT / f"{name}.pkl", change)
    with pytest.raises(AnnotationError, match=message) as caught:
        convert(find_release(release))
    assert name in str(caught.value)
    assert "again" in str(caught.value)


def test_a_missing_file_is_named(release):
    (release / SPLIT / "test_split_0.pkl").unlink()
    with pytest.raises(AnnotationError, match=r"test_split_0\.pkl: is missing"):
        convert(find_release(release))


def test_a_malicious_release_runs_nothing(release, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch '{tmp_path / 'ran'}'",)

    dump(release / SPLIT / "final_captions_dict.pkl", {(1, 1): Evil()})
    with pytest.raises(AqaError, match=r"final_captions_dict\.pkl: names the global (posix|nt)\.system"):
        convert(find_release(release))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "pattern", ["dive.mp4", "{v}.mp4", "{video", "/videos/{video}.mp4", "../{video}.mp4", "a\\{video}.mp4"]
)
def test_a_video_pattern_must_name_each_video_inside_the_folder(release, pattern):
    with pytest.raises(AnnotationError, match="video pattern"):
        convert(find_release(release), video_pattern=pattern)


def test_a_video_pattern_names_the_videos(release):
    samples = convert(find_release(release), video_pattern="broadcasts/{video}.mkv").samples
    assert {(s.group, s.video) for s in samples} == {("01", "broadcasts/1.mkv"), ("02", "broadcasts/2.mkv")}


def test_marks_are_taken_from_the_normal_side_view_of_the_same_frames(release):
    write_marks(
        release,
        [
            # 3.0 x (7 + 7 + 7.5) = 64.5, and the score is 64
            marks_row("S ", 1000, 1100, [9, 7, 7.5, 7, 6.5, 8, 6]),
            marks_row("ss", 1000, 1100, [1] * 7),
            marks_row("comm", 2000, 2100, [1] * 7),
            marks_row("s", 3000, 3100, [7, 7, None, 7, 7, 7, 7]),
            marks_row("s", 2000, 2099, [7] * 7),
        ],
    )
    conversion = convert(find_release(release))
    first, second, third = (sample.judges for sample in conversion.samples[:3])
    assert first == (9.0, 7.0, 7.5, 7.0, 6.5, 8.0, 6.0)
    assert second == ()
    assert np.isnan(third).tolist() == [False, False, True, False, False, False, False]
    assert "01_0002 has no judge marks in the raw annotations." in conversion.notes
    assert (
        f"Judge marks are left empty for videos without an xlsx in {release / 'Raw_Annotations'}: 02."
        in conversion.notes
    )
    assert "marks for 0 of 1 dives, but not for 01_0001" in conversion.notes[-1]


def test_a_score_is_difficulty_times_the_middle_three_of_seven(release):
    write_marks(release, [marks_row("s", 1000, 1100, [10, 10, 7, 7.5, 0, 64 / 3 - 14.5, 0])])
    assert "marks for 1 of 1 dives." in convert(find_release(release)).notes[-1]


def test_without_openpyxl_marks_stay_empty_and_one_line_says_so(release, monkeypatch):
    (release / "Raw_Annotations").mkdir()
    (release / "Raw_Annotations" / "01.xlsx").touch()
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    conversion = convert(find_release(release))
    assert not any(sample.judges for sample in conversion.samples)
    (note,) = (note for note in conversion.notes if "udge" in note and "divers" not in note)
    assert "openpyxl is needed for the judges' marks" in note
    assert "pip install openpyxl" in note
    (release / "Video_List.xlsx").touch()
    assert video_links(find_release(release)) == {}


def test_a_damaged_xlsx_is_named(release):
    pytest.importorskip("openpyxl")
    (release / "Raw_Annotations").mkdir()
    (release / "Raw_Annotations" / "02.xlsx").write_bytes(b"not a zip file")
    with pytest.raises(AnnotationError, match=r"02\.xlsx: cannot be read as xlsx"):
        convert(find_release(release))


# The command


def test_the_command_writes_the_table_and_says_what_is_in_it(release, tmp_path):
    output = tmp_path / "out.csv"
    result = run(release, "-o", output)
    assert result.exit_code == 0, result.output
    assert read_annotations(output) == convert(find_release(release)).samples
    assert f"Wrote {output}: 5 rows." in result.stdout
    assert "class_position" in result.stdout
    assert sorted(tmp_path.iterdir()) == [output, release]


def test_an_existing_table_is_kept_unless_forced(release, tmp_path):
    output = tmp_path / "out.csv"
    output.write_text("mine")
    result = run(release, "-o", output)
    assert (result.exit_code, output.read_text()) == (2, "mine")
    assert (
        result.stderr
        == f"Error: {output} exists already; give another name with -o, or --force to overwrite it\n"
    )
    assert run(release, "-o", output, "--force").exit_code == 0
    assert len(read_annotations(output)) == 5


def test_mistakes_are_one_message_and_write_nothing(release, tmp_path):
    output = tmp_path / "out.csv"
    for arguments in (
        (tmp_path / "nowhere",),
        (release, "--subset", "size_1"),
        (release, "--paper-test"),
        (release, "--video-pattern", "x"),
        (release, "-o", tmp_path / "no folder" / "out.csv"),
    ):
        result = run(*arguments, *(() if "-o" in arguments else ("-o", output)))
        assert result.exit_code == 2, arguments
        assert "Error: " in result.stderr
        assert result.stdout == ""
    assert not output.exists()


def test_the_leak_is_said_aloud(release, tmp_path):
    result = run(release, "--subset", "size_140", "--paper-test", "-o", tmp_path / "out.csv")
    assert "LEAK: 1 of the 2 official test dives" in result.stdout
    assert "were never published" in result.stdout


def test_videos_that_do_not_fit_are_listed_and_the_table_is_written(release, tmp_path, monkeypatch):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "01.mkv").touch()
    monkeypatch.setattr(probing, "probe", lambda path: probing.VideoInfo(2050, 30.0, 32, 24))
    output = folder / "annotations.csv"
    result = run(release, "--videos", folder, "-o", output)
    assert result.exit_code == 1
    assert "1 of 2 videos are missing" in result.stderr
    assert "\n  02.mp4\n" in result.stderr
    assert "01.mkv: has 30 frames per second, expected 25" in result.stderr
    assert "01.mkv: has 2050 frames, but 2 of its samples end later, the last (01_0003" in result.stderr
    assert [sample.video for sample in read_annotations(output)] == ["01.mkv"] * 3 + ["02.mp4"] * 2

    (folder / "02.mp4").touch()
    monkeypatch.setattr(probing, "probe", lambda path: probing.VideoInfo(5100, 25.0, 32, 24))
    result = run(release, "--videos", folder, "-o", output, "--force")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "all 2 videos are there and fit" in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["mtl-aqa", "--help"]])
def test_help_ends_in_an_example(arguments):
    output = CliRunner().invoke(data, arguments).output.splitlines()
    assert output[-2].strip() == "Example:"
    assert output[-1].strip().startswith("aqa-data mtl-aqa")


# The real release


def test_real_release_has_the_official_split(real):
    samples = convert(real).samples
    assert Counter(sample.split for sample in samples) == {"train": 1059, "test": 353}
    assert len({sample.sample_id for sample in samples}) == 1412
    assert len({sample.video for sample in samples}) == len({sample.group for sample in samples}) == 15


def test_real_release_has_the_known_labels(real):
    samples = convert(real).samples

    def tally(name):
        return Counter(sample.classes[name] for sample in samples)

    assert tally("position") == {"free": 152, "pike": 702, "tuck": 558}
    assert tally("armstand") == {"no": 1246, "yes": 166}
    assert tally("rotation_type") == {"back": 563, "forward": 359, "inward": 266, "reverse": 224}
    assert tally("somersaults") == {
        "0": 27,
        "0.5": 1,
        "1": 6,
        "1.5": 70,
        "2": 108,
        "2.5": 492,
        "3": 52,
        "3.5": 590,
        "4.5": 66,
    }
    assert tally("twists") == {
        "0": 1009,
        "0.5": 20,
        "1": 42,
        "1.5": 200,
        "2": 38,
        "2.5": 87,
        "3": 11,
        "3.5": 5,
    }
    scores = [sample.final_score for sample in samples]
    assert (min(scores), max(scores)) == (0.0, 104.5)
    assert statistics.mean(scores) == pytest.approx(67.0, abs=0.05)
    assert statistics.pstdev(scores) == pytest.approx(16.92, abs=0.01)
    assert (min(s.difficulty for s in samples), max(s.difficulty for s in samples)) == (1.5, 4.1)


def test_real_release_has_the_known_captions_and_frames(real):
    samples = convert(real).samples
    lengths = [len(sample.caption.split(" ")) + 2 for sample in samples]  # with <sos> and <eos>
    assert (min(lengths), max(lengths), statistics.median(lengths)) == (4, 485, 78)
    assert (min(s.start_frame for s in samples), max(s.start_frame for s in samples)) == (1059, 291896)
    assert (min(s.end_frame for s in samples), max(s.end_frame for s in samples)) == (1210, 291971)
    # end - start as the release counts
    durations = [sample.end_frame - sample.start_frame - 1 for sample in samples]
    assert (min(durations), max(durations), statistics.median(durations)) == (54, 273, 100)


def test_real_subset_is_free_of_leaks_and_the_papers_test_set_marks_them(real):
    official = {sample.sample_id for sample in convert(real).samples if sample.split == "test"}
    clean = split_ids(convert(real, "size_140").samples)
    assert (len(clean["train"]), len(clean["test"])) == (143, 317)
    assert len(set(clean["train"]) & official) == 36
    assert not set(clean["train"]) & set(clean["test"])

    samples = convert(real, "size_140", paper_test=True).samples
    paper = split_ids(samples)
    assert paper["train"] == clean["train"]
    assert {name.removesuffix("@test") for name in paper["test"]} == official
    leaked = {sample.sample_id for sample in samples if sample.extra}
    assert leaked == {name for name in paper["test"] if name.endswith("@test")}
    assert {name.removesuffix("@test") for name in leaked} == set(clean["train"]) & official


def test_real_marks_give_the_scores(real):
    pytest.importorskip("openpyxl")
    if not (real.raw_folder / "01.xlsx").is_file():
        pytest.skip(f"no Raw_Annotations/01.xlsx in {real.raw_folder}")
    samples = {sample.sample_id: sample for sample in convert(real).samples if sample.group == "01"}
    assert len(samples) == 191
    assert all(len(sample.judges) == 7 for sample in samples.values())
    wrong = {
        name
        for name, sample in samples.items()
        if sample.difficulty * sum(sorted(sample.judges)[2:5]) != pytest.approx(sample.final_score, abs=0.011)
    }
    assert wrong == {"01_0070"}
    assert samples["01_0001"].judges == (9.5, 9.0, 9.5, 9.0, 8.5, 9.5, 8.5)  # 3.2 x (9 + 9 + 9.5) = 88


def test_real_table_is_read_back_as_the_same_samples(real, tmp_path):
    samples = convert(real).samples
    write_annotations(tmp_path / "annotations.csv", samples)
    assert read_annotations(tmp_path / "annotations.csv") == samples


def test_real_videos_have_addresses(real):
    pytest.importorskip("openpyxl")
    if not real.video_list.is_file():
        pytest.skip(f"no {real.video_list}")
    assert set(video_links(real)) == {sample.group for sample in convert(real).samples}
