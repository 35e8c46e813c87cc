#!/bin/sh
# Entrypoint of the RabbitMQ image: as the official image does, owns the data folder, then drops root.
# RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS are read by the server itself.
set -eu

if [ "$(id -u)" = 0 ]; then
  find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq:rabbitmq {} +
  exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$0" "$@"
fi
exec "$@"
