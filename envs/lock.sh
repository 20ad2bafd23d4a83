#!/usr/bin/env bash
# Writes the locked environments anew from pyproject.toml, with the checksums of all files. Needs uv.
#   envs/lock.sh            takes today's newest versions
#   envs/lock.sh --keep     keeps the versions that are there where pyproject.toml allows
#   host     Snakemake and the light jobs, no torch       Python >= 3.11
#   current  today's torch, for the jobs that train       Python >= 3.11
#   cu113    the reference image, and the oldest versions that are supported: Python 3.9, torch 1.12.1
#   dev      what tests and checks need beside host and current; floor: beside cu113
#   pip      what installs the others in an image
set -euo pipefail
cd "$(dirname "$0")/.."
upgrade=--upgrade
[ "${1:-}" != --keep ] || upgrade=
compile() { uv pip compile "$@" --quiet --no-header --no-annotate --generate-hashes $upgrade >/dev/null; }
new=(pyproject.toml --universal --python-version 3.11)
old=(pyproject.toml --python-version 3.9 --python-platform x86_64-manylinux_2_31)
compile "${new[@]}" --extra workflow --extra weights --overrides envs/no_torch.in -o envs/host.txt
compile "${new[@]}" --extra train --extra timm -c envs/host.txt -o envs/current.txt
compile "${new[@]}" --extra test --extra onnx --extra dev -c envs/current.txt -c envs/host.txt -o envs/dev.txt
compile "${old[@]}" --extra train --extra timm -c envs/oldest.in -o envs/cu113.txt
compile "${old[@]}" --extra train --extra timm --extra test --extra onnx -c envs/cu113.txt -o envs/floor.txt
compile - --universal --python-version 3.9 -o envs/pip.txt <<<pip

# The builds for CUDA 11.3 are not on the default index; here are the checksums of torch-…+cu113-cp39-cp39-linux_x86_64.whl and
# torchvision's. Other versions in oldest.in need theirs.
add_checksum() {
  grep -q "^$1 " envs/cu113.txt || { echo "lock.sh: $1 is not locked any more; give the checksum of the new version" >&2; exit 1; }
  sed -i -e "/sha256:$2/d" -e "/^$1 /a\\    --hash=sha256:$2 \\\\" envs/cu113.txt
}
add_checksum torch==1.12.1 01854806973840bdf3fc0efc84811539cb37101afd6498ef24a7d7f1af3cb010
add_checksum torchvision==0.13.1 2fa135937c65b1bb8e3bf8f620c4fb755c0cd02b1f57ba1d6f9c09467a9b70cf

{
  echo "# Written by lock.sh: host.txt for Snakemake's --use-conda"
  printf 'channels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n'
  # A package and its checksums in one line
  sed -e ':line' -e '/\\$/{N;s/ *\\\n */ /;bline' -e '}' -e 's/.*/      - "&"/' envs/host.txt
} > envs/host.yaml
