#!/bin/sh
# Starts this pod's Redis as what the sentinels say it is: the primary, or its replica.
set -eu
umask 077
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh
self=$(hostname)

# A primary that lost its disk must not come back as one: its replica would copy the emptiness. It waits until the sentinels
# have promoted the replica. At the very first start there is none yet.
# shellcheck disable=SC2154 # both are set by who_leads
may_start() {
  [ "$primary" != "$self" ] || [ -d /data/appendonlydir ] || [ "$replicas" = 0 ]
}

until who_leads && may_start; do
  echo "waiting for the sentinels to name a primary that has its data (now: ${primary:-none})"
  sleep 1
done

{
  cat /etc/vtox/redis/redis.conf
  echo "dir /data"
  echo "maxmemory $MAXMEMORY"
  echo "replica-announce-ip $self"
  echo "min-replicas-to-write 1"
  # There is one replica, so nobody else is waited for.
  echo "repl-diskless-sync-delay 0"
  echo "masteruser vtox-replica"
  echo "masterauth $(password vtox-replica)"
  [ "$primary" = "$self" ] || echo "replicaof $primary 6379"
} >/run/redis/redis.conf
echo "the primary is $primary"
exec redis-server /run/redis/redis.conf
