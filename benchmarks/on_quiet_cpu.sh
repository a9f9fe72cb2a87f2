#!/usr/bin/env bash
# The tables of RESULTS.md whose times want a machine that nobody else uses, one command each.
#
#   benchmarks/on_quiet_cpu.sh              all tables, hours on two cores
#   benchmarks/on_quiet_cpu.sh TABLE…       some: encoders, train, start, audit, report, engines, engines224, threads,
#                                          waiting, precision
#   benchmarks/on_quiet_cpu.sh --list       the commands alone
#
# Every command writes its own section of RESULTS.md (or of the file that AQA_RESULTS names). One that fails or takes
# longer than LIMIT (as of timeout, 15m by default) leaves the rows that it has, marked as unfinished. The exit status
# is 0 if all were done, 1 if one was not, 2 for a table that there is not. PYTHON: another interpreter.
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
  [engines224]="bench_engines.py --size 224 --limit 4"
  [threads]="bench_threads.py"
  [waiting]="bench_waiting.py"
  [precision]="bench_precision.py"
)
tables=(encoders train start audit report engines engines224 threads waiting precision)

list='' failed=0
[ "${1:-}" != --list ] || { list=1 && shift; }
[ $# = 0 ] || tables=("$@")
for table in "${tables[@]}"; do
  [ -n "${command[$table]:-}" ] || { echo "no table '$table'; expected ${!command[*]}" >&2 && exit 2; }
done
figures=$(mktemp -d)
trap 'rm -rf "$figures"' EXIT
for table in "${tables[@]}"; do
  echo "+ python benchmarks/${command[$table]}"
  [ -z "$list" ] || continue
  # shellcheck disable=SC2086  # the arguments are words
  AQA_RESULTS=${AQA_RESULTS:-$figures/$table.md} timeout -k 10 "${LIMIT:-15m}" \
    "$python" benchmarks/${command[$table]} || failed=1
  [ ! -s "$figures/$table.md" ] || "$python" benchmarks/results.py merge "$figures/$table.md" || failed=1
done
exit $failed
