#!/usr/bin/env bash
# All that has to be run on a GPU, for a machine that is there for minutes and has no network.
#
#   benchmarks/on_gpu.sh wheels              beforehand, where there is a network: what may be lacking there
#   benchmarks/on_gpu.sh [PART…]             extraction, training, end-to-end, tests; by default all of them
#   benchmarks/on_gpu.sh --dry-run [PART…]   every command at a tiny size on the CPU
#   benchmarks/on_gpu.sh --list [PART…]      the commands alone; with --dry-run: those of the dry run
#   python benchmarks/results.py merge benchmarks/gpu-results        afterwards: the figures into RESULTS.md
#
# Every command is stopped at its limit, and a part at its own (LIMIT=seconds, of each): under 14 minutes in all, in two
# calls where none may take more than ten. In OUT (benchmarks/gpu-results; as seen from the root of the
# repository) lie machine.txt, PART.log and figures.md, into which every row goes as it is made, in the order of their
# worth. The exit status is 0 if every part was done, 1 if one failed or was stopped, 2 if nothing could be done.
# PYTHON: another interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."

all_parts=(extraction training end-to-end tests)
declare -A part_limit=([extraction]=280 [training]=200 [end-to-end]=200 [tests]=120)
python=${PYTHON:-python3}
wheels=benchmarks/gpu-wheels
wheels_limit=60000000 # bytes
# Of PyAV what is certainly lacking there, of the others what may be. scipy and matplotlib, 35 and 16 MB with what they
# need, do not fit beside PyAV; torchvision comes with Pillow.
fetched=(av h5py safetensors click rich markdown-it-py mdurl pygments pytest pluggy iniconfig packaging pytest-xdist
  execnet scikit-learn joblib threadpoolctl openpyxl et-xmlfile)
expected=(torch torchvision numpy scipy pillow matplotlib)
# OpenVINO, which runs backbones on CPUs, is not looked for.

dry_run=${ON_GPU_DRY_RUN:-} listing='' inside='' failed=0 parts=()

# run SECONDS ARGUMENTS…: of Python. A failure is kept, and the next command comes nevertheless.
run() {
  local started=$SECONDS status=0 limit
  limit=$(size "$1" 600) && shift
  echo "+ python $*"
  [ -z "$listing" ] || return 0
  timeout --kill-after 5 "$limit" "$python" "$@" || status=$?
  echo "exit status $status after $((SECONDS - started)) of $limit s: python $*"
  [ $status = 0 ] || failed=1
}

# size FULL TINY: the second in a dry run.
size() { if [ -n "$dry_run" ]; then echo "$2"; else echo "$1"; fi; }

part_extraction() {
  local bench=(benchmarks/bench_extraction.py --device "$device" --rounds 1 --seconds "$(size 1 0.05)")
  local peers=(benchmarks/bench_peers.py --device "$device" --rounds 1 --videos "$(size 32 2)"
    --frames "$(size 96 16)" --deterministic --precision "fp16,bf16,$(size tf32 fp32)")
  # Compute beside GEMM and eager, end to end; S3D with its kernels.
  run 70 "${bench[@]}" --precision fp16 --backbones "$(size c3d,s3d s3d)" --size "$(size 112 32)"
  run 60 "${bench[@]}" --precision fp16 --backbones s3d --size "$(size 224 40)" --profile
  # Features of each precision, the same bits twice.
  run 45 "${peers[@]}" --backbone s3d
  [ -n "$dry_run" ] || run 45 "${peers[@]}" --backbone c3d
  # Beside torch.compile alone.
  run 90 "${bench[@]}" --precision fp16 --backbones "$(size r2plus1d_18,mvit_v2_s,swin3d_t r2plus1d_18)" \
    --size "$(size 224 32)" --compiled
}

part_training() {
  local train=(benchmarks/bench_train.py --device "$device" --epochs "$(size 3 2)" --dives "$(size 143 16)"
    --dim "$(size 8192 64)" --alone-epochs "$(size 100 2)")
  # Scores and classes alone in full; the eight experiments, an epoch of each.
  run 110 "${train[@]}" --batch-sizes 16 --experiments "$(size baseline,1,2,3,4,5,6,7 baseline)"
  # Exp 7 literal on cached features.
  run 50 benchmarks/bench_encoder_memory.py --only memory --device "$device" --batches 16 --steps "$(size 3 2)" \
    --dim "$(size 8192 64)"
  run 60 "${train[@]}" --only experiments --batch-sizes 3 --experiments "$(size baseline,5,7 7)"
}

part_end-to-end() {
  run 80 benchmarks/bench_end_to_end.py --only memory,equality --device "$device" --backbones "$(size c3d,s3d s3d)" \
    --clips "$(size 6 2)" $(size "" "--size 32")
  # Exp 7 literal, end to end.
  run 70 benchmarks/bench_fine_tuning.py --only exp7 --device "$device" --runs "$(size literal,default literal)" \
    --dives "$(size 20 16)" $(size "" "--backbone s3d --size 32 --encoder-hidden 32")
  run 60 benchmarks/bench_end_to_end.py --only speed --device "$device" --backbones "$(size c3d,s3d s3d)" \
    --clips "$(size 6 2)" --repetitions "$(size 3 1)" $(size "" "--size 32")
}

part_tests() {
  # Without plugins that happen to be installed there.
  PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 run 110 -m pytest -m gpu -v -p xdist -n "$(size auto 0)"
  [ -z "$listing" ] || return 0
  grep -aE '^(FAILED|ERROR) |^=+ .*(passed|failed|skipped|error)' "$out/tests.log" | sed -E 's/^=+ //; s/ =+$//; s/^/- /' |
    "$python" benchmarks/results.py write "tests $device" "Tests that need a GPU" \
      "FAIL_WITHOUT_CUDA=1 pytest -m gpu"
}

fetch_wheels() {
  local requirements platforms=() platform total
  for platform in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux_2_5 manylinux1; do
    platforms+=(--platform "${platform}_x86_64")
  done
  # As pyproject.toml asks for them.
  mapfile -t requirements < <("$python" - "${fetched[@]}" <<'PYTHON'
import re, sys, tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
asked = project["dependencies"] + project["optional-dependencies"]["test"]
asked = {re.match(r"[\w.-]+", requirement)[0]: requirement for requirement in asked}
print(*(asked.get(name, name) for name in sys.argv[1:]), sep="\n")
PYTHON
  )
  mkdir -p "$wheels" && rm -f "$wheels"/*.whl
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --python-version 3.12 --implementation cp "${platforms[@]}" --dest "$wheels" "${requirements[@]}" || return 1
  (cd "$wheels" && ls -lS -- *.whl | awk '{ printf "%9.3f MB  %s\n", $5 / 1e6, $NF }')
  total=$(cat "$wheels"/*.whl | wc -c)
  echo "$total" | awk '{ printf "%9.3f MB  in all\n", $1 / 1e6 }'
  [ "$total" -le $wheels_limit ] || {
    echo "the wheels are larger than $((wheels_limit / 1000000)) MB; leave some out of 'fetched'"
    return 1
  }
}

# Which of these distributions are not installed.
lacking() {
  "$python" - "$@" <<'PYTHON'
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        version(name)
    except PackageNotFoundError:
        print(name)
PYTHON
}

# The project as it lies here and what is lacking go onto PYTHONPATH; the environment stays as it is.
install() {
  local site=$scratch/site name lacks available=()
  mkdir -p "$site"
  ln -s "$PWD/cli" "$site/aqa_cli"
  export PYTHONPATH=$PWD:$site${PYTHONPATH:+:$PYTHONPATH}
  for name in $(lacking "${fetched[@]}"); do
    compgen -G "$wheels/${name//-/_}-*.whl" >/dev/null && available+=("$name")
  done
  if [ ${#available[@]} -gt 0 ]; then
    echo "installing ${available[*]}"
    "$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-index --no-deps \
      --no-compile --find-links "$wheels" --target "$site" "${available[@]}"
  fi
  lacks=$(lacking "${expected[@]}" "${fetched[@]}" | tr '\n' ' ')
  [ -z "$lacks" ] || echo "still lacking: ${lacks% }; what needs them fails, the rest is run"
}

# Card and versions. Fails where there is no CUDA device and this is no dry run.
machine() {
  "$python" - "$dry_run" "${expected[@]}" "${fetched[@]}" <<'PYTHON'
import os, platform, sys
from importlib.metadata import PackageNotFoundError, version
dry_run, names = sys.argv[1], sys.argv[2:]
try:
    import torch
except ImportError as error:
    sys.exit(f"torch cannot be imported: {error}")
if torch.cuda.is_available():
    card = torch.cuda.get_device_properties(0)
    print(f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute capability {card.major}.{card.minor}")
    print(f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
else:
    print("no CUDA device")
print(f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, {platform.platform()}")
def found(name):
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} –"
print(", ".join(map(found, names)))
if not (torch.cuda.is_available() or dry_run):
    sys.exit("torch sees no CUDA device here; --dry-run runs every command at a tiny size on the CPU")
PYTHON
}

while [ $# -gt 0 ]; do
  case $1 in
    wheels) fetch_wheels; exit ;;
    --dry-run) dry_run=1 ;;
    --list) listing=1 ;;
    --inside) inside=1 ;;
    tests | extraction | training | end-to-end) parts+=("$1") ;;
    -h | --help) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' benchmarks/on_gpu.sh; exit ;;
    *) echo "unknown: $1; expected wheels, --dry-run, --list, or any of ${all_parts[*]}" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")
device=$(size cuda cpu)
out=${OUT:-benchmarks/gpu-results}$(size "" /dry-run)

if [ -n "$listing$inside" ]; then
  for part in "${parts[@]}"; do "part_$part"; done
  exit $failed
fi

# Files of 8 GiB are written, which a disk may take a minute for: into memory where there is enough.
shared=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
place=$([ "${shared:-0}" -gt $((32 << 20)) ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")
scratch=$(mktemp -d "$place/on-gpu-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'kill ${child:+"$child"} 2>/dev/null; exit 130' INT TERM
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2

export PYTHONUNBUFFERED=1 AQA_RESULTS=$out/figures.md ON_GPU_DRY_RUN=$dry_run
# In a dry run torch.compile compiles nothing: for a CPU that takes minutes.
if [ -n "$dry_run" ]; then export TORCHDYNAMO_DISABLE=1; else export FAIL_WITHOUT_CUDA=1; fi
started=$SECONDS
install >"$out/machine.txt" 2>&1
machine >>"$out/machine.txt" 2>&1
status=$?
cat "$out/machine.txt"
[ $status = 0 ] || exit 2
echo "start-up: $((SECONDS - started)) s"

for part in "${parts[@]}"; do
  started=$SECONDS status=0
  limit=${LIMIT:-$(size "${part_limit[$part]}" 1800)} # a dry run proves that the commands run, on however busy a machine
  mkdir "$scratch/$part"
  # timeout ends the whole process group: what a benchmark has started too.
  TMPDIR=$scratch/$part OUT=${out%/dry-run} timeout --kill-after 5 "$limit" \
    bash benchmarks/on_gpu.sh --inside "$part" >"$out/$part.log" 2>&1 &
  child=$!
  wait "$child" || status=$?
  rm -rf "${scratch:?}/$part"
  case $status in
    0) verdict="done" ;;
    124 | 137) verdict="stopped at its limit; the rows that it made are kept" ;;
    *) verdict="failed" ;;
  esac
  echo "$part: $verdict after $((SECONDS - started)) s"
  if [ $status != 0 ]; then
    failed=1
    grep -aE '^(exit status [1-9]|FAILED|ERROR|Error:|[A-Za-z.]*Error: )' "$out/$part.log" | head -n 20
  fi
done
[ ! -e "$AQA_RESULTS" ] || cat "$AQA_RESULTS"
exit $failed
