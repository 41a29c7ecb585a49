#!/bin/sh
# Before a primary stops, its replica takes over, so that nobody waits until the sentinels notice.
set -eu
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh

role() {
  REDISCLI_AUTH=$(password vtox-sentinel) redis-cli --no-auth-warning --user vtox-sentinel role | head -n 1
}

[ "$(role)" = master ] || exit 0
for sentinel in $SENTINELS; do
  [ "$(ask "$sentinel" sentinel failover vtox)" = OK ] && break
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
  [ "$(role)" = slave ] && exit 0
  sleep 1
done
