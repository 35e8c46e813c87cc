#!/usr/bin/env bash
# Builds one RabbitMQ image from Debian packages, without an image registry.
#
#   scripts/image/build.sh SUITE TAG HASH MIRROR
#
# Called by ../images.sh. This folder is the image's recipe: a change in it gives another hash, so a rebuild.
# The image is meant to behave as rabbitmq:4-management for the same test code: default user from the environment,
# management and prometheus plugins on, log on the console, server not as root, signals reach the server.
set -euo pipefail

suite=$1 tag=$2 hash=$3 mirror=$4
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d "${TMPDIR:-/var/tmp}/hareline-image.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT

script=() # an older debootstrap has no script of a newer suite's name: all of them are sid's
[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(/usr/share/debootstrap/scripts/sid)

if ! debootstrap --variant=minbase --include=rabbitmq-server,ca-certificates \
  "$suite" "$root" "$mirror" "${script[@]}" >"$root.log" 2>&1; then
  tail -n 30 "$root.log" >&2
  echo "debootstrap $suite failed: end of $root.log above" >&2
  exit 1
fi
rm -f "$root.log"

version=$(chroot "$root" dpkg-query -W -f '${Version}' rabbitmq-server)
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/* \
  "$root"/var/log/* "$root"/var/lib/rabbitmq/.erlang.cookie "$root"/var/lib/rabbitmq/mnesia
mkdir -p "$root/etc/rabbitmq/conf.d" "$root/var/log/rabbitmq"
cp "$here/10-defaults.conf" "$root/etc/rabbitmq/conf.d/10-defaults.conf"
echo '[rabbitmq_management,rabbitmq_prometheus].' >"$root/etc/rabbitmq/enabled_plugins"
chroot "$root" chown -R rabbitmq:rabbitmq /etc/rabbitmq /var/lib/rabbitmq /var/log/rabbitmq
install -m 755 "$here/entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"

# /usr/lib/rabbitmq/bin comes first: the wrappers of Debian in /usr/sbin hide the log in a file and keep a shell as process 1.
tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV HOME=/var/lib/rabbitmq LANG=C.UTF-8 RUNNING_UNDER_SYSTEMD=true PATH=/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
  --change 'CMD ["rabbitmq-server"]' \
  --change 'EXPOSE 4369 5671 5672 15672 15692 25672' \
  --change 'VOLUME /var/lib/rabbitmq' \
  --change "LABEL hareline.recipe=$hash hareline.rabbitmq=$version" \
  - "$tag" >/dev/null
echo "$tag is RabbitMQ $version"
