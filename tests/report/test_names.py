"""Laws of the rows' names and colours."""

from made_runs import make_run

from aqa_heads.report.families import read_families
from aqa_heads.report.names import colours


def named(tmp_path, *labels, experiment="7"):
    runs = [
        make_run(
            tmp_path / f"run{number}", experiment, n=12, config={"label": label, "identity": {"n": number}}
        )
        for number, label in enumerate(labels)
    ]
    return {family.label: family.short for family in read_families(runs)}


def test_rows_of_one_title_are_named_by_what_differs(tmp_path):
    found = named(
        tmp_path,
        "Default model (encoder lstm, lr 0.0003, on S3D features)",
        "Default model (encoder conv, lr 0.0003, on S3D features)",
        "Default model (score head gaussian, lr 0.001, on S3D features)",
        "Default model (on S3D features)",
        experiment="default",
    )
    assert list(found.values()) == [
        "Default model",
        "lstm encoder, lr 3e-4",
        "conv encoder, lr 3e-4",
        "gaussian head, lr 1e-3",
    ]


def test_among_others_the_title_stays_before_what_differs(tmp_path):
    found = named(tmp_path, "Exp 7 (literal)", "Exp 7")
    assert set(found.values()) == {"literal", "Exp 7"}
    make_run(tmp_path / "baseline", n=12)
    families = read_families(sorted(tmp_path.iterdir()))
    assert {family.short for family in families} == {"Baseline", "Exp 7", "Exp 7, literal"}


def test_colours_do_not_depend_on_the_other_rows_and_no_two_are_alike(tmp_path):
    names = ("baseline", "1", "7", "ridge", "default")
    runs = [make_run(tmp_path / name, name, n=12) for name in names]
    all_rows = {family.experiment: family.colour for family in read_families(runs)}
    few = {family.experiment: family.colour for family in read_families(runs[2:4])}
    assert few.items() <= all_rows.items() and len(set(all_rows.values())) == len(names)
    again = make_run(tmp_path / "again", "7", n=12, config={"label": "Exp 7 (literal)"})
    mixed = read_families([*runs, again])
    assert len(set(colours(mixed))) == len(mixed)
    assert {f.experiment: f.colour for f in mixed if f.label != "Exp 7 (literal)"} == all_rows
