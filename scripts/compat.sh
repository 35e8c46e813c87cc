#!/usr/bin/env bash
# Runs other people's clients on the embedded broker, prints what passed, and fails if something did not that passes on
# a RabbitMQ 4.0.
#
#   scripts/compat.sh [3.10|4.0|4.3 ...]      none named: 4.0; about three minutes each
#
# amqp091-go's own tests come from the module cache; compat/amqp091_go_tests.txt names those that need a broker. They
# drop connections through a management API at 127.0.0.1:15672, so that port must be free. amqp-tools, python3-pika and
# ruby-bunny are tried if they are installed.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
say() { printf '[compat] %s\n' "$*"; }
command -v go >/dev/null || { say "error: no Go here: install Go 1.26"; exit 1; }
[ $# -gt 0 ] || set -- 4.0

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
race=(); command -v gcc >/dev/null && race=(-race)
expected=$root/scripts/compat/amqp091_go_tests.txt

say "building"
(cd cmd/hareline && go build "${race[@]}" -o "$work/hareline" .)
go mod download github.com/rabbitmq/amqp091-go
cp -r "$(go list -m -f '{{.Dir}}' github.com/rabbitmq/amqp091-go)" "$work/amqp091-go"
chmod -R u+w "$work/amqp091-go"
(cd "$work/amqp091-go" && GOWORK=off GOFLAGS=-mod=mod go test "${race[@]}" -tags integration -c -o "$work/amqp091-go.test" .)

code=0
table=()
row() { table+=("$(printf '%-14s %-9s %6s %6s %8s' "$@")"); }
row client RabbitMQ passed failed "not run"

# count NAME VERSION LOG: a row for a log whose lines begin with PASS or FAIL.
count() {
  local passed failed
  passed=$(grep -c '^PASS' "$3" || true)
  failed=$(grep -c '^FAIL' "$3" || true)
  row "$1" "$2" "$passed" "$failed" 0
  if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then code=1; cat "$3"; fi
}

amqp091() {
  local log=$work/amqp091-go.log run passed failed missing
  run=$(paste -sd '|' "$expected")
  (cd "$work/amqp091-go" && timeout 600 "$work/hareline" broker --version "$1" --management 127.0.0.1:15672 -- \
    "$work/amqp091-go.test" -test.v -test.timeout 590s -test.run "^($run)\$") >"$log" 2>&1 || true
  sed -nE 's/^--- PASS: ([^ ]+).*/\1/p' "$log" | sort >"$work/passed"
  sed -nE 's/^--- FAIL: ([^ ]+).*/\1/p' "$log" | sort >"$work/failed"
  passed=$(wc -l <"$work/passed") failed=$(wc -l <"$work/failed")
  missing=$(sort "$expected" | comm -23 - "$work/passed")
  row amqp091-go "$1" "$passed" "$failed" $(($(wc -l <"$expected") - passed - failed))
  if [ -n "$missing" ]; then
    code=1
    tail -n 100 "$log"
    say "amqp091-go on $1, did not pass:"
    echo "$missing"
  fi
}

# tools does what amqp-tools can, in a shell that the broker runs.
tools() {
  local log=$work/tools.log
  timeout 60 "$work/hareline" broker --version "$1" -- bash -c '
    url=${AMQP_URL%/}
    is() { if [ "$2" = "$3" ]; then echo "PASS $1"; else echo "FAIL $1: got $2, want $3"; fi; }
    is declare "$(amqp-declare-queue --url="$url" -d -q compat)" compat
    amqp-publish --url="$url" -r compat -p -b one
    is get "$(amqp-get --url="$url" -q compat)" one
    amqp-publish --url="$url" -r compat -b two
    is consume "$(amqp-consume --url="$url" -q compat -c 1 cat)" two
    is delete "$(amqp-delete-queue --url="$url" -q compat)" 0' >"$log" 2>&1 || true
  count amqp-tools "$1" "$log"
}

# smoke NAME VERSION COMMAND...: a program of compat/.
smoke() {
  local log=$work/smoke.log
  timeout 120 "$work/hareline" broker --version "$2" -- "${@:3}" >"$log" 2>&1 || true
  count "$1" "$2" "$log"
}

python=; for p in python3 /usr/bin/python3; do "$p" -c 'import pika' 2>/dev/null && python=$p && break; done
for version in "$@"; do
  say "amqp091-go's own tests on $version"
  amqp091 "$version"
  if command -v amqp-consume >/dev/null; then tools "$version"; fi
  if [ -n "$python" ]; then smoke pika "$version" "$python" scripts/compat/pika_smoke.py; fi
  if ruby -e 'require "bunny"' 2>/dev/null; then smoke bunny "$version" ruby scripts/compat/bunny_smoke.rb; fi
done
printf '%s\n' "${table[@]}"
exit "$code"
