#!/bin/sh
# Starts this pod's Redis as what the sentinels say it is: the primary, or its replica.
set -eu
umask 077
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh
self=$(hostname)
# There once this disk has held all data; a first sync that was cut short leaves none.
complete=/data/complete

# Sets `why` not to start yet. A primary that lost its disk must not come back as one: its replica would copy the emptiness. It
# waits until the sentinels have promoted the replica. At the very first start there is none yet.
# shellcheck disable=SC2154 # both are set by who_leads
may_start() {
  why="most of the sentinels to answer"
  who_leads || return 1
  why="the sentinels to promote another: they name this pod the primary, and its disk is empty. If all disks of Redis are, this \
is for ever: see 'Both disks of Redis are lost' in k8s/README.md"
  [ "$primary" != "$self" ] || [ -e "$complete" ] || [ "$replicas" = 0 ]
}

trap exit TERM
said=
until may_start; do
  [ "$why" = "$said" ] || echo "waiting for $why"
  said=$why
  sleep 1
done

# Sentinels promote nobody whose priority is 0.
eligible_once_complete() {
  until has_all; do sleep 1; done
  touch "$complete"
  until [ "$(as_sentinel config set replica-priority 100)" = OK ]; do sleep 1; done
  echo "this replica has all data, and may be promoted"
}

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
  [ "$primary" = "$self" ] || [ -e "$complete" ] || echo "replica-priority 0"
} >/run/redis/redis.conf
echo "the primary is $primary"
if [ "$primary" = "$self" ]; then
  touch "$complete"
elif [ ! -e "$complete" ]; then
  eligible_once_complete &
fi
exec redis-server /run/redis/redis.conf
