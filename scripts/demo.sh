#!/usr/bin/env bash
# Runs the streaming example: on AMQP_URL when that is set, else on a RabbitMQ 4.0 in Docker, set up for it and removed
# afterwards.
#
#   scripts/demo.sh [flags of examples/streaming]
set -euo pipefail

cd "$(dirname "$0")/.."
say() { printf '[demo] %s\n' "$*"; }

if [ -n "${AMQP_URL:-}" ]; then
  exec go run ./examples/streaming "$@"
fi

scripts/docker-engine.sh
image=${RABBITMQ_IMAGE:-hareline/rabbitmq:4.0}
if [ -z "${RABBITMQ_IMAGE:-}" ]; then scripts/images.sh 4.0; fi
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
