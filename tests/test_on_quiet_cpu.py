"""benchmarks/on_quiet_cpu.sh: what it would run exists, and takes the options that it is given."""

import os
import shlex
import subprocess

from places import ROOT
from test_on_gpu import options_of

SCRIPT = ROOT / "benchmarks" / "on_quiet_cpu.sh"


def listed(*tables):
    return subprocess.run([SCRIPT, "--list", *tables], capture_output=True, text=True, check=False)


def test_every_command_exists_and_takes_its_options():
    lines = listed().stdout.splitlines()
    assert len(lines) > 5
    for line in lines:
        script, *arguments = shlex.split(line.removeprefix("+ python "))
        options = {word for word in arguments if word.startswith("--")}
        assert options <= set(options_of(script)), line


def test_one_table_or_a_message():
    assert listed("report").stdout == "+ python benchmarks/bench_report.py\n"
    unknown = listed("nope")
    assert unknown.returncode == 2 and "no table 'nope'" in unknown.stderr and not unknown.stdout


def test_rows_are_kept_of_a_table_that_is_cut_short(tmp_path):
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\ncase $1 in *results.py) cat "$3" > "$MERGED" ;;'
        ' *) echo "a row" > "$AQA_RESULTS"; exec sleep 60 ;; esac\n'
    )
    python.chmod(0o755)
    merged = tmp_path / "merged.md"
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(python), "LIMIT": "0.3", "MERGED": str(merged)}
    cut = subprocess.run([SCRIPT, "report"], env=environment, capture_output=True, check=False)
    assert cut.returncode == 1 and merged.read_text() == "a row\n"
