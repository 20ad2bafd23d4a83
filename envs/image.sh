#!/usr/bin/env bash
# Builds the container image of a flavor and, where Apptainer or Singularity is, images/rescan-FLAVOR.sif.
#   envs/image.sh [FLAVOR] [BUILD ARGUMENT ...]
# FLAVOR is cu113 (the default) or current. Build arguments go to the builder as they are, and win: another base image is
# --build-arg BASE_IMAGE=…, see the Dockerfile. The builder is docker, podman or buildah, the first that works, or $BUILDER.
set -euo pipefail
cd "$(dirname "$0")/.."
flavor=${1:-cu113}
[ $# = 0 ] || shift
case $flavor in
  cu113) arguments=() ;; # the defaults of the Dockerfile
  current) arguments=(BASE_IMAGE=python:3.11-slim-bookworm PYTHON=python3.11 HOST=yes TORCH_SOURCE=) ;;
  *) echo "FLAVOR=$flavor: no such flavor; take cu113 or current" >&2; exit 1 ;;
esac
revision=$(git rev-parse HEAD 2>/dev/null || true)
[ -z "$revision" ] || git diff --quiet HEAD || revision+=-changed
arguments+=(
  "FLAVOR=$flavor"
  "LOCK=$(sha256sum "envs/$flavor.txt" | cut -d ' ' -f 1)"
  "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
  "REVISION=$revision"
)
options=()
for argument in "${arguments[@]}"; do options+=(--build-arg "$argument"); done

# docker's client may be there without its daemon.
works() { case $1 in buildah) buildah --version ;; *) "$1" info ;; esac >/dev/null 2>&1; }
builder=${BUILDER:-}
for name in docker podman buildah; do [ -n "$builder" ] || ! works "$name" || builder=$name; done
[ -n "$builder" ] || { echo "No working docker, podman or buildah here: start docker's daemon or install one of them" >&2; exit 1; }

tag=localhost/rescan:$flavor
case $builder in
  docker) tag=rescan:$flavor; docker build "${options[@]}" --tag "$tag" "$@" . ;;
  podman) podman build --format docker "${options[@]}" --tag "$tag" "$@" . ;;
  buildah) buildah build --format docker --layers "${options[@]}" --tag "$tag" "$@" . ;;
  *) echo "BUILDER=$builder: take docker, podman or buildah" >&2; exit 1 ;;
esac
echo "Built $tag with $builder"

apptainer=$(command -v apptainer || command -v singularity || true)
[ -n "$apptainer" ] || exit 0
mkdir -p images
new=$(mktemp -d images/.new.XXXXXX) # beside its place: an interrupted build leaves the old image as it is
trap 'rm -rf "$new"' EXIT
source=docker-archive:$new/image.tar
case $builder in
  docker) source=docker-daemon:$tag ;;
  podman) podman save --quiet --format docker-archive --output "$new/image.tar" "$tag" ;;
  buildah) buildah push --quiet "$tag" "docker-archive:$new/image.tar:$tag" ;;
esac
# Read by every job: of the same size as gzip's, and faster to read.
quick=()
[[ $("$apptainer" build --help) != *--mksquashfs-args* ]] || quick=(--mksquashfs-args '-comp zstd -Xcompression-level 3')
"$apptainer" build "${quick[@]}" "$new/image.sif" "$source"
mv "$new/image.sif" "images/rescan-$flavor.sif"
echo "Made images/rescan-$flavor.sif"
