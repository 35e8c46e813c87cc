#!/usr/bin/env bash
# Builds the RabbitMQ images of the integration tests from Debian packages: no image registry is needed.
#
#   scripts/images.sh [3.10|4.0|4.3 ...]      none named: all three
#
# hareline/rabbitmq:3.10 comes from bookworm, :4.0 from trixie, :4.3 from forky. An image whose recipe (image/) has not
# changed since is left alone. Needs a Docker engine (docker-engine.sh), root, and debootstrap, which is installed when
# missing. The Debian mirror is the one this machine's apt uses, or HARELINE_DEBIAN_MIRROR.
set -euo pipefail

cd "$(dirname "$0")"
readonly repository=hareline/rabbitmq parallel=2

say() { printf '[images] %s\n' "$*"; }
die() { printf '[images] error: %s\n' "$*" >&2; exit 1; }

suite_of() {
  case $1 in
    3.10) echo bookworm ;;
    4.0) echo trixie ;;
    4.3) echo forky ;;
    *) die "no image for RabbitMQ $1: name 3.10, 4.0 or 4.3" ;;
  esac
}

# The main archive of apt's own sources; security, updates and backports (names with a dash) hold no whole suite.
mirror() {
  local found=${HARELINE_DEBIAN_MIRROR:-}
  if [ -z "$found" ] && command -v apt-get >/dev/null && [ "$(. /etc/os-release && echo "$ID")" = debian ]; then
    found=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' \
      | awk '$1 !~ /-/ && !seen++ { print $2 }')
  fi
  [ -n "$found" ] || die "no Debian archive in apt's sources: set HARELINE_DEBIAN_MIRROR to the address of one"
  echo "$found"
}

recipe_hash() { # of everything that shapes the image
  { echo "$1"; cat image/*; } | sha256sum | cut -c1-16
}

up_to_date() {
  [ "$(docker image inspect --format '{{index .Config.Labels "hareline.recipe"}}' "$1" 2>/dev/null)" = "$2" ]
}

install_debootstrap() {
  command -v debootstrap >/dev/null && return
  command -v apt-get >/dev/null || die "debootstrap is missing: install it"
  say "installing debootstrap"
  apt-get update -qq || say "apt-get update failed; trying with the package lists that are here"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap debian-archive-keyring >/dev/null \
    || die "apt-get install debootstrap failed (its message is above)"
}

build() { # VERSION: prints one line at the start, one every 15 s, one at the end
  local version=$1 suite tag hash old started=$SECONDS pid
  suite=$(suite_of "$version") tag=$repository:$1
  hash=$(recipe_hash "$suite")
  old=$(docker image inspect --format '{{.Id}}' "$tag" 2>/dev/null || true)
  say "$tag: building from Debian $suite (about a minute)"
  image/build.sh "$suite" "$tag" "$hash" "$archive" &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if [ $(((SECONDS - started) % 15)) -eq 14 ]; then say "$tag: still building, $((SECONDS - started)) s"; fi
  done
  wait "$pid" || { say "$tag: FAILED after $((SECONDS - started)) s"; return 1; }
  if [ -n "$old" ]; then docker rmi "$old" >/dev/null 2>&1 || true; fi # stays when a container still uses it
  say "$tag: built in $((SECONDS - started)) s"
}

main() {
  local version wanted=() todo=() pids=() failed=0
  wanted=("$@")
  [ $# -gt 0 ] || wanted=(4.0 3.10 4.3)
  docker version >/dev/null 2>&1 || die "no Docker engine answers: run scripts/docker-engine.sh first"
  for version in "${wanted[@]}"; do
    suite_of "$version" >/dev/null
    if up_to_date "$repository:$version" "$(recipe_hash "$(suite_of "$version")")"; then
      say "$repository:$version is there"
    else
      todo+=("$version")
    fi
  done
  [ ${#todo[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || die "building an image needs root (debootstrap): run this as root once"
  install_debootstrap
  archive=$(mirror)
  for version in "${todo[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$parallel" ]; do sleep 0.5; done
    build "$version" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  [ "$failed" -eq 0 ] || die "not every image could be built (messages above)"
}

main "$@"
