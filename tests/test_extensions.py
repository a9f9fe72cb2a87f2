"""One grammar for the names of what is somebody's own."""

import importlib.metadata
from dataclasses import replace

import pytest

from aqa_cache.errors import AqaError
from aqa_cache.extensions import Extensions
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_heads.errors import TrainingError
from aqa_heads.settings.naming import run_label, run_name
from aqa_heads.settings.training import TrainingConfig


@pytest.fixture
def known():
    return Extensions("score head", "aqa_test.heads", ("plain",), "a function", callable)


def test_a_name_that_comes_with_the_program_is_left_to_it(known):
    known.give("plain")
    assert known.knows("plain") and not known.registered
    with pytest.raises(AqaError, match="'plain' is the name of a score head that comes with this program"):
        known.register("plain", print)


def test_module_and_attribute_are_looked_for_as_python_does_the_current_folder_first(
    known, own_code, tmp_path
):
    (tmp_path / "inner").mkdir()
    own_code("inner/mine", "class Holder:\n    head = print\n")
    own_code("json_of_mine", "head = len")
    known.give("inner.mine:Holder.head")
    known.give("json_of_mine:head")
    known.give("json:dumps")
    assert [known.find(name) for name in ("inner.mine:Holder.head", "json_of_mine:head")] == [print, len]
    assert known.names == ["plain", "inner.mine:Holder.head", "json_of_mine:head", "json:dumps"]


def test_what_is_wrong_is_one_message(known, own_code):
    own_code("broken", "import math\nraise ValueError('no such\\nday')")
    own_code("lacking", "import not_installed_at_all")
    own_code("leaving", "raise SystemExit('bye')")
    own_code("works", "number = 3\nclass Thing: pass")
    not_one = Extensions("loss", "aqa_test.losses", (), "a number", lambda value: isinstance(value, int))
    for extensions, name, message in (
        (
            known,
            "nowhere.at_all:Head",
            "--score-head nowhere.at_all:Head: there is no module nowhere, in .*install",
        ),
        (known, "works.inner:Head", "there is no module works.inner|importing works.inner failed"),
        (
            known,
            "broken:Head",
            r"importing broken failed \(ValueError: no such\); try: python -c 'import broken'",
        ),
        (known, "lacking:Head", r"importing lacking failed \(ModuleNotFoundError: No module named 'not_inst"),
        (known, "leaving:Head", r"importing leaving failed \(SystemExit: bye\)"),
        (
            known,
            "works:Haed",
            "--score-head works:Haed: .*works.py has no Haed; give the name of what it defines",
        ),
        (known, "works:number", "score head works:number: is a int, expected a function"),
        (not_one, "works:Thing", "loss works:Thing: is a class Thing, expected a number"),
        (known, "unknown", "score head is 'unknown', expected one of plain, or MODULE:ATTRIBUTE"),
        (not_one, "unknown", "loss is 'unknown', expected MODULE:ATTRIBUTE"),
        (known, "a:b:c", "score head is 'a:b:c', expected one of"),
        (
            known,
            "timm:vit",
            "score head is 'timm:vit', but timm: names backbones only; give one of plain, or MODULE",
        ),
    ):
        with pytest.raises(AqaError, match=message) as error:
            extensions.give(name)
        assert "\n" not in str(error.value) and name not in extensions.registered


def test_networks_of_other_libraries_are_known_by_a_name_of_their_own():
    class Found:
        name = "hf:short"

    known = Extensions("backbone", "aqa_test.b", (), "a network", callable, elsewhere=lambda name: Found)
    assert known.give("hf:org/short@main") == known.give("hf:short") == "hf:short"
    assert known.find("hf:short") is Found and not known.knows("hf:org/short@main")
    with pytest.raises(AqaError, match="neither a folder that is there nor a name on the Hub"):
        ExtractionConfig("hf:name")
    with pytest.raises(AqaError, match="nothing is fetched or read because a file names it; give --backbone"):
        known.find("timm:other")


def test_what_a_file_names_is_never_imported(known, own_code, tmp_path):
    own_code("marked", "import pathlib\npathlib.Path('imported').touch()\nhead = print")
    with pytest.raises(
        AqaError, match="nothing is imported because a file names it; give --score-head marked:head"
    ):
        known.find("marked:head")
    with pytest.raises(
        AqaError, match="'theirs' is not known here, only plain; install the package that brings it"
    ):
        known.find("theirs")
    assert not known.knows("marked:head") and not (tmp_path / "imported").exists()
    known.give("marked:head")
    assert known.find("marked:head") is print and (tmp_path / "imported").exists()


def test_entry_points_of_installed_packages_are_names_and_are_read_when_they_are_needed(
    known, own_code, tmp_path
):
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[aqa_test.heads]\nfine = fine_head:head\nbad = no_head:head\n")
    own_code("fine_head", "head = print")
    own_code("no_head", "raise RuntimeError('not on this machine')")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert [entry.name for entry in importlib.metadata.entry_points(group="aqa_test.heads")] == [
            "fine",
            "bad",
        ]
        assert known.knows("fine") and known.names == ["plain", "fine", "bad"] and not known.registered
        known.give("fine")
        assert known.find("fine") is print, "a file may name it too"
        with pytest.raises(
            AqaError, match=r"score head 'bad' of the package theirs: .*\(RuntimeError: not on this"
        ):
            known.find("bad")


def test_the_options_of_training_follow_the_grammar(own_code):
    own_code("mine", "import math\nencoder = loss = print\nnumber = 3")
    config = TrainingConfig(
        "", experiment="baseline", encoder="mine:encoder", loss="mine:loss", loss_weight=0.5
    )
    assert run_name(config.resolve(), "c3d") == "baseline-encoder-mine-encoder-loss-mine-loss-loss-weight-0.5"
    assert (
        run_label(config.resolve(), "c3d")
        == "Baseline (encoder mine:encoder, loss mine:loss, loss weight 0.5)"
    )
    assert {"score_head": None, "loss": None}.items() <= vars(
        TrainingConfig("", experiment="baseline")
    ).items()
    assert {"score_head", "loss", "loss_weight"}.isdisjoint(
        TrainingConfig("", experiment="baseline").resolve().deciding()
    )
    for options, message in (
        ({"encoder": "mine:number"}, "encoder mine:number: is a int, expected a class, or a function"),
        (
            {"score_head": "mine:encoder"},
            "score head mine:encoder: is a builtin_function_or_method, expected a sub",
        ),
        ({"loss_weight": 0.5}, "loss_weight is 0.5, but there is no loss"),
        (
            {"loss": "mine:loss", "loss_weight": 0},
            "loss_weight is 0, expected a finite number greater than 0",
        ),
        (
            {"experiment": "c3d-lstm", "loss": "mine:loss"},
            "C3D-LSTM is an LSTM encoder .*loss cannot be given",
        ),
        ({"experiment": "ridge", "score_head": "regression"}, "has no score_head; leave them out"),
    ):
        with pytest.raises(TrainingError, match=message):
            TrainingConfig("", **{"experiment": "baseline", **options})
    assert replace(config, encoder=None).resolve().encoder == "average"
