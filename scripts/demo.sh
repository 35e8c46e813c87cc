#!/usr/bin/env bash
# Runs the streaming example: on the broker at AMQP_URL when that is set; on a RabbitMQ of the image RABBITMQ_IMAGE in
# Docker when that is set, such as hareline/rabbitmq:4.0 (built when missing) or rabbitmq:4-management, removed
# afterwards; else on a broker in the example's own process, for which only Go is needed.
#
#   scripts/demo.sh [flags of examples/streaming]
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf '[demo] %s\n' "$*"; }

command -v go >/dev/null || { say "error: no Go here: install Go 1.26"; exit 1; }
if [ -n "${AMQP_URL:-}" ]; then
  say "on the broker at AMQP_URL"
  exec go run ./examples/streaming "$@"
fi
image=${RABBITMQ_IMAGE:-}
if [ -z "$image" ]; then
  say "on a broker in the example's own process (amqptest); on yours: AMQP_URL=... make demo; on a RabbitMQ in Docker: RABBITMQ_IMAGE=hareline/rabbitmq:4.0 make demo"
  exec go run ./examples/streaming "$@"
fi

scripts/docker-engine.sh
case $image in hareline/rabbitmq:*) scripts/images.sh "${image#*:}" ;; esac
user=demo password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
say "starting $image"
container=$(docker run -d --rm -p 127.0.0.1::5672 -e RABBITMQ_DEFAULT_USER="$user" -e RABBITMQ_DEFAULT_PASS="$password" "$image")
trap 'docker rm -f -v "$container" >/dev/null 2>&1 || true' EXIT
port=$(docker port "$container" 5672/tcp | sed -n '1s/.*://p')

say "building the example"
binary=$(mktemp -d)/streaming
trap 'docker rm -f -v "$container" >/dev/null 2>&1 || true; rm -rf "${binary%/*}"' EXIT
go build -o "$binary" ./examples/streaming

say "waiting for the broker on 127.0.0.1:$port"
for ((i = 0; ; i++)); do
  if docker logs "$container" 2>&1 | grep -q 'Server startup complete'; then break; fi
  if [ "$i" -ge 120 ] || [ -z "$(docker ps -q --no-trunc --filter "id=$container")" ]; then
    docker logs --tail 30 "$container" >&2 || true
    say "error: the broker did not start within 60 s (end of its log above)" >&2
    exit 1
  fi
  sleep 0.5
done
code=0
AMQP_URL="amqp://$user:$password@127.0.0.1:$port/" "$binary" "$@" || code=$?
exit "$code"
