#!/usr/bin/env bash
# Builds an image and runs Rescan in it: on a Linux machine with Apptainer and one of docker, podman, buildah.
#   tests/container.sh FLAVOR [STEP ...]      FLAVOR: cu113 or current
# Steps; all of them, in this order, if none is named:
#   build      make image
#   demo       the demo of the studies under --use-singularity, in $WORK/FLAVOR
#   suite      the test suite in the image, without tests/workflow (only cu113: the suite is locked for it)
#   bare       the same demo without the image, in $WORK/bare
#   compare    whether both demos are equal to the last bit (only current: the torch of .venv is its)
#   overhead   seconds that a job takes longer in the image
# Settings, by environment:
#   STUDIES=octa500,mura           (all)
#   CORES=2                        (all)
#   WORK=/var/tmp/rescan-container
#   BUILD_ARGS='--build-arg …'     more arguments for the builder
#   APPTAINER_ARGS=--userns        more arguments for Apptainer; this one where its starter is not setuid and root runs it
set -euo pipefail
cd "$(dirname "$0")/.."
flavor=${1:?give a flavor: cu113 or current}
shift
work=${WORK:-/var/tmp/rescan-container}
cores=${CORES:-$(nproc)}
image=$PWD/images/rescan-$flavor.sif
read -ra arguments <<<"${APPTAINER_ARGS:-}"
[ ! -x .venv/bin/snakemake ] || PATH=$PWD/.venv/bin:$PATH
settings=(scale=demo device=cpu threads=1)
[ -z "${STUDIES:-}" ] || settings+=("studies=[$STUDIES]")

# A demo in a folder; "$@": more arguments of Snakemake.
run_demo() {
  local folder=$1; shift
  mkdir -p "$folder"
  local start=$SECONDS
  snakemake --cores "$cores" --directory "$folder" --quiet progress "$@" --config "image=$flavor" "${settings[@]}"
  echo "$folder: $((SECONDS - start)) s"
}

build() { bash envs/image.sh "$flavor" ${BUILD_ARGS:-}; }
bare() { run_demo "$work/bare"; }
demo() { run_demo "$work/$flavor" --use-singularity ${APPTAINER_ARGS:+"--singularity-args=$APPTAINER_ARGS"}; }
compare() {
  [ "$flavor" = current ] || { echo "compare: only current has the torch of .venv"; return; }
  python tests/compare_results.py "$work/bare/results/demo" "$work/current/results/demo"
}

suite() {
  [ "$flavor" = cu113 ] || { echo "suite: only cu113 has a lock for the tests (envs/floor.txt)"; return; }
  # The image has no pip: what the tests need beside it is put there by the pip of this machine.
  mkdir -p "$work/suite"
  awk 'FNR == NR {if (/==/) there[$1]; next} /==/ {wanted = !($1 in there)} wanted' envs/cu113.txt envs/floor.txt >"$work/suite.txt"
  python -m pip install --quiet --disable-pip-version-check --upgrade --target "$work/suite" --python-version 3.9 \
    --only-binary :all: --no-deps --require-hashes -r "$work/suite.txt"
  apptainer exec "${arguments[@]}" --bind "$PWD,$work" --pwd "$PWD" --env "PYTHONPATH=$PWD/src:$work/suite" "$image" \
    python -m pytest -n "$cores" -p no:cacheprovider --ignore tests/workflow tests
}

# Median seconds of seven runs of a light job, as Snakemake runs it, after one that must work; "$@": what it is run in.
median() {
  local step="exec python -m rescan split results/demo/$study/study.json"
  "$@" sh -c "$step" >/dev/null || return
  local TIMEFORMAT=%R
  for _ in 1 2 3 4 5 6 7; do
    { time "$@" sh -c "$step" >/dev/null 2>&1; } 2>&1
  done | sort -n | sed -n 4p
}
overhead() {
  local study=${STUDIES:-octa500}; study=${study%%,*}
  cd "$work/$flavor"
  export PYTHONPATH=$OLDPWD/src
  local inside outside
  inside=$(median apptainer exec --home "$PWD" --bind "$OLDPWD" "${arguments[@]}" "$image")
  outside=$(median env)
  echo "a light job of $study: $inside s in $flavor, $outside s without it"
  cd "$OLDPWD"
}

[ $# -gt 0 ] || set -- build demo suite bare compare overhead
for step; do
  case $step in
    build | demo | suite | bare | compare | overhead) echo "== $flavor: $step"; "$step" ;;
    *) sed -n '2,16p' "$0"; exit 2 ;;
  esac
done
