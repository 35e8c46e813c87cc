#!/usr/bin/env bash
# Makes a Docker engine answer on this machine, and says how long it took.
#
#   scripts/docker-engine.sh
#
# An engine that answers already is used as it is (DOCKER_HOST is honoured). Otherwise, on Debian or a relative of it
# and as root, the engine is installed from the distribution (docker.io) and started: by systemd where systemd runs,
# else detached from this shell with its log in /var/log/hareline-dockerd.log.
set -euo pipefail

readonly log=/var/log/hareline-dockerd.log
readonly wait_seconds=60

say() { printf '[engine] %s\n' "$*"; }
die() { printf '[engine] error: %s\n' "$*" >&2; exit 1; }
answers() { command -v docker >/dev/null && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

install_engine() {
  command -v apt-get >/dev/null || die "no Docker engine answers, and this is no Debian: install and start one, then run this again"
  [ "$(id -u)" -eq 0 ] || die "no Docker engine answers: start it, or run this as root to have docker.io installed and started"
  say "installing docker.io"
  apt-get update -qq || say "apt-get update failed; trying with the package lists that are here"
  local packages=(docker.io iptables ca-certificates)
  if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi # a package of its own since Debian 13
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null \
    || die "apt-get install docker.io failed (its message is above)"
}

start_engine() {
  [ "$(id -u)" -eq 0 ] || die "the Docker engine is installed but does not answer: start it, or run this as root"
  if [ -d /run/systemd/system ]; then
    say "starting docker by systemd"
    systemctl start docker || die "systemctl start docker failed: see journalctl -u docker"
    return
  fi
  if [ -f /var/run/docker.pid ] && ! kill -0 "$(cat /var/run/docker.pid)" 2>/dev/null; then
    rm -f /var/run/docker.pid # left by an engine that was killed: dockerd refuses to start beside it
  fi
  say "starting dockerd, log in $log"
  setsid nohup dockerd >>"$log" 2>&1 </dev/null &
}

wait_engine() {
  local started=$SECONDS
  until answers; do
    if [ $((SECONDS - started)) -ge "$wait_seconds" ]; then
      [ -f "$log" ] && tail -n 20 "$log" >&2
      die "the engine did not answer within $wait_seconds s (end of its log above)"
    fi
    sleep 0.5
  done
}

if ! answers; then
  { command -v docker && command -v dockerd; } >/dev/null || install_engine
  start_engine
  wait_engine
fi
say "Docker engine $(docker version --format '{{.Server.Version}}') answers (${SECONDS} s)"
