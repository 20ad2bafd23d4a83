#!/usr/bin/env bash
# One arm of a study at full scale, from scratch, on a machine with a GPU that is lent for minutes and has no Snakemake:
#
#     bash tests/gpu_study.sh STUDY_FILE SOURCE ARM MINUTES [KEY.PATH=VALUE …]
#     bash tests/gpu_study.sh studies/brain_tumor.yaml brain.zip densenet169 9 \
#         'preparations.brain256.steps=[{name: crop_brain, threshold: 45}, {name: resize, size: [224, 224]}]'
#     bash tests/gpu_study.sh studies/aptos2019.yaml aptos.zip multitask_enhanced 9
#
# It makes data/ and results/ where it is run, and prints the card, images per second, GPU memory and scores. The training
# ends itself before MINUTES are over; the same command, after a kill too, goes on where it was. PYTHON and DEVICE (cuda or
# cpu) may be set. `python -m tests.packed_images` makes SOURCE small enough to travel.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2; }
study_file=$1 source=$(realpath "$2") arm=$3 minutes=$4
shift 4
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"
name=$(basename "$study_file" .yaml)
study=results/full/$name/study.json
changes=()
for change in "$@"; do changes+=(--set "$change"); done
step() { "$python" -m rescan "$@"; }

step resolve "$study_file" --scale full --weights none --seed 0 --folds 1 --arm "$arm" --source "$source" \
  "${changes[@]}" --out "$study"
preparation=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["arms"][sys.argv[2]]["preparation"])' "$study" "$arm")
if [ ! -f "data/full/$name/$preparation/items.csv" ]; then
  step download "$study"
  step index "$study"
  step audit "$study" --processes "$(nproc)"
  step split "$study"
  step preprocess "$study" --preparation "$preparation" --processes "$(nproc)"
fi
echo "prepared after $SECONDS s"

if command -v nvidia-smi > /dev/null; then
  nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
  nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits --loop=5 > gpu_memory.txt &
  trap 'kill $! 2> /dev/null || true' EXIT
fi
step train "$study" --arm "$arm" --device "$device" --runtime $((minutes - SECONDS / 60))
if [ -s gpu_memory.txt ]; then
  echo "GPU memory: at most $(sort -n gpu_memory.txt | tail -1) MiB"
fi
step infer "$study" --arm "$arm" --device "$device"
step posttrain "$study" --arm "$arm"
step evaluate "$study" --arm "$arm"
"$python" - "results/full/$name/$arm" << 'END'
import csv, json, statistics, sys

folder = sys.argv[1]
with open(f"{folder}/fold0_seed0/history.csv") as file:
    rows = list(csv.DictReader(file))
speed = statistics.median(float(row["images_per_second"]) for row in rows)
print(f"{len(rows)} epochs, {sum(float(row['seconds']) for row in rows):.0f} s, median {speed:.0f} images/s")
with open(f"{folder}/metrics.json") as file:
    metrics = json.load(file)
for level, scores in metrics["parts"]["test"].items():
    for metric in dict.fromkeys([metrics["metric"], "accuracy", "auroc"]):
        if metric in scores["metrics"]:
            own = scores["metrics"][metric]
            print(f"test, {level}, n = {scores['n']}: {metric} {own['value']:.4f} ({own['low']:.4f} to {own['high']:.4f})")
END
