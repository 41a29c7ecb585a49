#!/bin/sh
# Starts a sentinel. What it has learnt of failovers stays on its disk; settings and passwords are those of now.
set -eu
umask 077
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh
state=/data/sentinel.conf
learnt=$(grep -E '^sentinel (myid|monitor|config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) ' "$state" 2>/dev/null || true)

{
  echo "port 26379"
  echo "dir /data"
  echo "requirepass $(password sentinel)"
  echo "sentinel resolve-hostnames yes"
  echo "sentinel announce-hostnames yes"
  echo "sentinel announce-ip $(hostname)"
  echo "sentinel announce-port 26379"
  echo "${learnt:-sentinel monitor vtox redis-0 6379 2}"
  echo "sentinel down-after-milliseconds vtox 3000"
  echo "sentinel failover-timeout vtox 15000"
  echo "sentinel parallel-syncs vtox 1"
  echo "sentinel auth-user vtox vtox-sentinel"
  echo "sentinel auth-pass vtox $(password vtox-sentinel)"
} >"$state.new"
mv "$state.new" "$state"
exec redis-server "$state" --sentinel
