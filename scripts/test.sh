#!/usr/bin/env bash
# Runs the tests, with their set-up.
#
#   scripts/test.sh unit          the root module, cmd/hareline and the examples: needs only Go
#   scripts/test.sh integration   the integration module: Docker engine, images, brokers
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf '[test] %s\n' "$*"; }

race() { # -race needs cgo, and cgo a C compiler
  command -v gcc >/dev/null && return
  command -v apt-get >/dev/null || { say "error: the race detector needs gcc: install it"; exit 1; }
  say "installing gcc for the race detector"
  apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null
}

command -v go >/dev/null || { say "error: no Go here: install Go 1.26"; exit 1; }
race
case ${1:-} in
  unit)
    say "unit tests, with the race detector"
    go test -race ./...
    say "tests of the command line, with the race detector"
    (cd cmd/hareline && go test -race ./...)
    say "tests of the examples, with the race detector"
    (cd examples && go test -race ./...)
    ;;
  integration)
    scripts/docker-engine.sh
    scripts/images.sh
    say "integration tests on RabbitMQ 3.10, 4.0 and 4.3, with the race detector (some minutes)"
    cd integration
    # Mostly they wait for brokers: four at a time, however few cores there are.
    go test -race -parallel 4 -timeout 22m -skip "${HARELINE_TEST_SKIP:-^$}" ./...
    ;;
  *)
    say "error: name unit or integration"
    exit 2
    ;;
esac
