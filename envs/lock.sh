#!/usr/bin/env bash
# Writes the locked environments anew from pyproject.toml. Needs uv.
#   host     Snakemake and the light jobs, no torch       Python >= 3.11
#   current  today's torch, for the jobs that train       Python >= 3.11
#   cu113    the reference image, and the oldest versions that are supported: Python 3.9, torch 1.12.1
#   dev      what tests and checks need beside host and current; floor: beside cu113
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile pyproject.toml --quiet --no-header --no-annotate --upgrade "$@"; }
new=(--universal --python-version 3.11)
old=(--python-version 3.9 --python-platform x86_64-manylinux_2_31)
compile "${new[@]}" --extra torch -o envs/current.txt
compile "${new[@]}" --extra workflow -c envs/current.txt -o envs/host.txt
compile "${new[@]}" --extra test --extra dev -c envs/current.txt -c envs/host.txt -o envs/dev.txt
compile "${old[@]}" --extra torch -c envs/oldest.in -o envs/cu113.txt
compile "${old[@]}" --extra torch --extra test -c envs/cu113.txt -o envs/floor.txt
{
  echo "# Written by lock.sh: host.txt for Snakemake's --use-conda"
  printf 'channels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n'
  sed 's/.*/      - "&"/' envs/host.txt
} > envs/host.yaml
