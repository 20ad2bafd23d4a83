#!/usr/bin/env bash
# The workflow on a real SLURM cluster, with what can happen to it there.
#
#   bash tests/slurm.sh [CHECK…]     partition, sources, two, limit, killed, interrupted, node, container, demo, speed (which
#                                    runs demo twice); without one, all
#
# Needs two nodes that share the file system of WORK (a folder, .slurm-test here by default), the right to take a node down
# with scontrol, and an environment of envs/host.txt and envs/current.txt in PATH. PARTITION=name if the cluster's default is
# not right, IMAGE=file.sif for `container`, STUDIES="brain_tumor …" for `demo` and `speed`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=${WORK:-$root/.slurm-test}
cpu=(device=cpu threads=1)

snake() { # FOLDER [option…]: the workflow, on the cluster
  local folder=$1; shift
  env --default-signal=INT python -m snakemake --snakefile "$root/Snakefile" --directory "$folder" \
    --workflow-profile "$root/profiles/slurm" ${PARTITION:+--default-resources slurm_partition="$PARTITION"} "$@"
}

run() { # FOLDER [option…]: the small study of write_study; its messages are in FOLDER/out
  local folder=$1 log=${OUT:-$1/out}; shift
  snake "$folder" --config "studies=[$folder/small.yaml]" "${cpu[@]}" "$@" &> "$log" || { tail -n 40 "$log" >&2; return 1; }
}

fresh() { # NAME: an empty folder for a check
  rm -rf "${work:?}/$1"; mkdir -p "$work/$1"; echo "$work/$1"
}

prepared() { # EPOCHS [SEEDS]: a folder in which only the trainings of the small study are to do
  local folder=$work/trainings; mkdir -p "$folder"; rm -rf "$folder/.snakemake/locks"; write_study "$folder" "$@"
  run "$folder" --until preprocess split
  rm -rf "$folder"/{out,again,logs,results/demo/.state,results/demo/small/base}
  echo "$folder"
}

write_study() { # FOLDER EPOCHS [SEEDS]: a study whose epochs take seconds
  cat > "$1/small.yaml" << STUDY
title: A small study
data: {source: {path: nowhere}, layout: class_folders, classes: [glioma, meningioma, notumor, pituitary]}
split: {group_by: [near_duplicate], seeds: ${3:-[0]}}
preparations:
  small: {steps: [{name: crop_brain}, {name: resize, size: [64, 64]}]}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  stages: {main: {epochs: $2, batch_size: 16, optimizer: {name: adam, lr: 1e-3}}}
arms: {base: {}}
demo: {data: {phantom: {name: brain_mri, samples: 160, size: 64}}}
STUDY
}

trainings() { squeue --noheader --states running --format '%i %N %k' | grep rule_train || true; } # id, node, rule
training_job() { trainings | head -n 1 | cut -d' ' -f1; }
show_trainings() { trainings | sed 's/^/  /'; }
is_training() { [ -n "$(trainings)" ]; }
on_two_nodes() { [ "$(trainings | cut -d' ' -f2 | sort -u | wc -l)" = 2 ]; }
on_another_node() { trainings | grep -qv " $1 "; }

await() { # SECONDS COMMAND…: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || { echo "waited in vain: $*"; return 1; }; sleep 1; done
}
says() { # FILE-OR-FOLDER PATTERN
  grep -rqE "$2" "$1" || { echo "$1 does not say: $2"; return 1; }
}

trained_once() { # FOLDER EPOCHS: the history has each epoch once
  local rows; rows=$(awk 'END {print NR - 1}' "$1/results/demo/small/base/fold0_seed0/history.csv")
  [ "$rows" = "$2" ] || { echo "$rows epochs in the history, not $2"; return 1; }
}

# Checks

partition() { # one that is not there is said before the first job
  local folder; folder=$(fresh partition); write_study "$folder" 1
  if PARTITION=nowhere run "$folder" > "$folder/shown"; then return 1; fi
  says "$folder/out" "slurm_partition: no partition 'nowhere'"
  [ ! -e "$folder/data" ]
}

sources() { # a relative source, from another folder than the one that the workflow works in
  local folder; folder=$(fresh sources); write_study "$folder" 1
  mkdir "$folder/here" "$folder/there"
  snake "$folder/there" --config "studies=[$folder/small.yaml]" "${cpu[@]}" --until download &> "$folder/out"
  mv "$folder/there/data/demo/small/raw" "$folder/here/images"; rm -r "$folder/there"
  (cd "$folder/here" && snake ../there --config 'studies=[../small.yaml]' 'sources={small: images}' "${cpu[@]}") \
    &> "$folder/out" || { tail -n 40 "$folder/out"; return 1; }
  says "$folder/there/data/demo/small/source.json" "$folder/here/images"
  trained_once "$folder/there" 1; [ -s "$folder/there/results/demo/small/index.html" ]
}

two() { # two trainings at once, on two nodes, each with a GPU if the nodes have any
  local folder pid; folder=$(prepared 20 '[0, 1]')
  if sinfo --noheader --format %G | grep -q gpu; then local cpu=(device=auto threads=1); fi
  run "$folder" --until train & pid=$!
  await 600 on_two_nodes
  show_trainings
  if [ "${cpu[0]}" = device=auto ]; then scontrol show job "$(training_job)" | grep -E 'gres[/:]gpu[=:]1'; fi
  wait $pid
}

limit() { # a training stops itself before its time limit, and its retries finish it
  local folder; folder=$(prepared 60)
  run "$folder" --until train --set-resources train:runtime=2 2> "$folder/shown" \
    || OUT=$folder/again run "$folder" --until train # after the last retry, the same command goes on
  grep -h 'stopped before' "$folder/out" | sort -u | sed 's/^/  /'
  says "$folder/out" 'stopped before its 2 minutes are over at .*an epoch takes'
  says "$folder/logs/demo/small/base" 'going on at stage main'
  trained_once "$folder" 60
}

killed() { # Snakemake is killed while a training runs, and started again: it is not done twice, nor lost
  local folder pid job; folder=$(prepared 60)
  snake "$folder" --config "studies=[$folder/small.yaml]" "${cpu[@]}" --until train &> "$folder/out" & pid=$!
  await 600 is_training
  job=$(training_job)
  await 120 test -s "$folder/results/demo/.state/small/base/fold0_seed0/lock"
  kill -9 "$(pgrep -P $pid -f snakemake || echo $pid)"; wait $pid 2> "$folder/shown" || true
  OUT=$folder/unlocking run "$folder" --unlock
  OUT=$folder/again run "$folder" --until train
  says "$folder/logs/demo/small/base" "another .train. of it is under way .*SLURM job $job.*: waiting for it"
  says "$folder/logs/demo/small/base" 'trained already'
  trained_once "$folder" 60
}

interrupted() { # Ctrl-C: the training saves its state, and goes on when Snakemake is started again
  local folder pid; folder=$(prepared 60)
  snake "$folder" --config "studies=[$folder/small.yaml]" "${cpu[@]}" --until train &> "$folder/out" & pid=$!
  await 600 is_training
  await 120 test -s "$folder/results/demo/.state/small/base/fold0_seed0/lock"
  sleep 5
  kill -INT "$(pgrep -P $pid -f snakemake || echo $pid)"; wait $pid || true
  says "$folder/logs/demo/small/base" 'stopped by SIGTERM'
  [ -z "$(trainings)" ]
  OUT=$folder/again run "$folder" --until train
  says "$folder/logs/demo/small/base" 'going on at stage main'
  trained_once "$folder" 60
}

node() { # the node of a training goes down: SLURM runs the job again on the other one, and the training goes on
  local folder pid name; folder=$(prepared 150)
  run "$folder" --until train & pid=$!
  await 600 is_training
  name=$(trainings | head -n 1 | cut -d' ' -f2)
  await 300 test -s "$folder/results/demo/.state/small/base/fold0_seed0/state.json" # there is something to go on from
  show_trainings
  scontrol update nodename="$name" state=down reason=tests/slurm.sh
  await 600 on_another_node "$name"
  show_trainings
  scontrol update nodename="$name" state=resume
  wait $pid
  says "$folder/logs/demo/small/base" 'going on at stage main'
  trained_once "$folder" 150
}

container() { # the jobs run in IMAGE
  local folder; folder=$(fresh container); write_study "$folder" 2
  [ -n "${IMAGE:-}" ] || { echo '  left out: no IMAGE'; return; }
  local cpu=("${cpu[@]}" "image=$IMAGE")
  run "$folder" --use-singularity --singularity-args=--userns
  trained_once "$folder" 2; [ -s "$folder/results/demo/small/index.html" ]
}

demo() { # the studies on phantoms, all at once as users run them
  local folder began studies; folder=$(fresh demo); began=$SECONDS; studies=${STUDIES:-brain_tumor aptos2019 octa500 mura}
  snake "$folder" --config scale=demo "studies=[${studies// /,}]" "${cpu[@]}" &> "$folder/out" || { tail -n 40 "$folder/out"; return 1; }
  for study in $studies; do [ -s "$folder/results/demo/$study/index.html" ]; done; [ -s "$folder/results/index.html" ]
  echo "  $studies: $(grep -c 'has been submitted' "$folder/out") jobs in $((SECONDS - began)) s"
}

speed() { # the same studies on two nodes and on one
  local last one two; last=$(sinfo --noheader --Node --format %N | sort -u | tail -n 1)
  two=$SECONDS; demo; two=$((SECONDS - two))
  scontrol update nodename="$last" state=drain reason=tests/slurm.sh
  one=$SECONDS; demo; one=$((SECONDS - one))
  scontrol update nodename="$last" state=resume
  awk -v one=$one -v two=$two 'BEGIN {printf "  one node %d s, two %d s: %.2f\n", one, two, two / one}'
}

for check; do
  case $check in
    partition | sources | two | limit | killed | interrupted | node | container | demo | speed) ;;
    *) sed -n '2,9p' "$0"; exit 2 ;;
  esac
done
for check in ${@:-partition sources two limit killed interrupted node container speed}; do
  echo "$check"; "$check"; echo '  ok'
done
