#!/usr/bin/env bash
# The tables of RESULTS.md whose times want a machine that nobody else uses, one command each.
#
#   benchmarks/on_quiet_cpu.sh              all tables, hours on two cores
#   benchmarks/on_quiet_cpu.sh TABLE…       some: encoders, train, start, audit, report, engines, threads, waiting, precision
#   benchmarks/on_quiet_cpu.sh --list       the commands alone
#
# Every command writes its own section of RESULTS.md (or of the file that AQA_RESULTS names). The exit status is 0 if
# all were done, 1 if one failed, 2 for a table that there is not. PYTHON: another interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
declare -A command=(
  [encoders]="bench_encoders.py"
  [train]="bench_train.py --only alone --dives 1059 --clips 10 --dim 1024 --batch-sizes 16"
  [start]="bench_growth.py --only start --backbone s3d --starts 5"
  [audit]="bench_growth.py --only audit"
  [report]="bench_report.py"
  [engines]="bench_engines.py"
  [threads]="bench_threads.py"
  [waiting]="bench_waiting.py"
  [precision]="bench_precision.py"
)
tables=(encoders train start audit report engines threads waiting precision)

list='' failed=0
[ "${1:-}" != --list ] || { list=1 && shift; }
[ $# = 0 ] || tables=("$@")
for table in "${tables[@]}"; do
  [ -n "${command[$table]:-}" ] || { echo "no table '$table'; expected ${!command[*]}" >&2 && exit 2; }
done
for table in "${tables[@]}"; do
  echo "+ python benchmarks/${command[$table]}"
  [ -z "$list" ] || continue
  # shellcheck disable=SC2086  # the arguments are words
  "$python" benchmarks/${command[$table]} || failed=1
done
exit $failed
