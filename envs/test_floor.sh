#!/usr/bin/env bash
# Runs the tests with the oldest versions that are supported: Python 3.9 and torch 1.12.1 (envs/cu113.txt, envs/floor.txt).
# Takes a python3.9 that is on the machine (or $PYTHON39); else, on Debian as root, a Debian 11 made here with debootstrap.
# The workflow's own tests stay on the host: Snakemake 9 needs Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
floor=$PWD/.floor
mkdir -p "$floor"

works() { command -v "$1" >/dev/null && "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info[:2] != (3, 9))' 2>/dev/null; }

# "$@": how to run a command; then the place of the checkout as that command sees it.
run_tests() {
  local python=$1 venv=$2 place=$3; shift 3
  "$@" sh -ec '
    cd "$3"
    [ -x "$2/bin/python" ] || "$1" -m venv "$2"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/cu113.txt -r envs/floor.txt
    PYTHONPATH="$PWD/src" PYTHONDONTWRITEBYTECODE=1 "$2/bin/python" -m pytest -n "$(nproc)" -p no:cacheprovider --ignore tests/workflow tests
  ' sh "$python" "$venv" "$place"
}

for python in "${PYTHON39:-python3.9}" "$HOME"/.pyenv/versions/3.9.*/bin/python; do
  if works "$python"; then
    run_tests "$python" "$floor/venv" "$PWD" env
    exit
  fi
done

if [ "$(id -u)" != 0 ] || [ ! -e /etc/debian_version ]; then
  echo "No Python 3.9 here: install one and name it, PYTHON39=/path/to/python3.9, or run this as root on Debian." >&2
  exit 1
fi
root=$floor/debian11
if [ ! -e "$root/.complete" ]; then
  command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -y -q debootstrap; }
  # The system's own mirror, where it names one, else debootstrap's default.
  mirror=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null |
    awk '$1 == "URIs:" {print $2; exit} $1 == "deb" {print ($2 ~ /^\[/) ? $3 : $2; exit}' || true)
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bullseye "$root" ${mirror:+"$mirror"}
  touch "$root/.complete"
fi
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
rm -rf "$root/rescan" && mkdir "$root/rescan"
cp -r pyproject.toml config.yaml Snakefile docs envs src studies tests workflow "$root/rescan/"
# Python's multiprocessing needs /proc and /dev/shm; the mounts go with the namespace.
run_tests python3.9 /floor /rescan unshare --mount sh -ec '
  root=$1; shift
  mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
  exec chroot "$root" "$@"
' sh "$root"
