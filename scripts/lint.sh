#!/usr/bin/env bash
# gofmt, go vet and golangci-lint over every module of the repository. golangci-lint is built once, of the version named
# by GOLANGCI_LINT_VERSION, into .bin.
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf '[lint] %s\n' "$*"; }
version=${GOLANGCI_LINT_VERSION:?}
tool=$PWD/.bin/golangci-lint-$version

unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
  say "error: not gofmt'ed (make fmt):"
  echo "$unformatted"
  exit 1
fi
say "gofmt: ok"

if [ ! -x "$tool" ]; then
  say "building golangci-lint $version (about three minutes, once)"
  mkdir -p .bin/build
  GOBIN=$PWD/.bin/build GOFLAGS= GOWORK=off go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
  mv .bin/build/golangci-lint "$tool"
fi

for module in . cmd/hareline examples integration; do
  say "go vet in $module"
  (cd "$module" && go vet ./...)
  say "golangci-lint in $module"
  (cd "$module" && "$tool" run --allow-parallel-runners ./...)
done
say "ok"
