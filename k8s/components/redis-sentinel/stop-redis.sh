#!/bin/sh
# Before a primary stops, its replica takes over, so that nobody waits until the sentinels notice. A replica that is not in step does
# not: it gets 100 s of the 120 there are to stop in.
set -eu
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh

leads() {
  [ "$(as_sentinel role | head -n 1)" = master ]
}

# The replica is in step to within a second's load.
in_step() {
  as_sentinel info replication | tr -d '\r' | awk -F '[:,=]' '
    /^slave[0-9]+:.*,state=online,/ { for (n = 1; n < NF; n++) if ($n == "offset" && $(n + 1) > its) its = $(n + 1) }
    /^master_repl_offset:/ { own = $2 }
    END { exit !(its > 0 && own - its < 1048576) }'
}

# Refused (NOGOODSLAVE) until a sentinel knows that the replica may be promoted, which it looks at every 10 s.
handed_over() {
  for sentinel in $SENTINELS; do
    [ "$(ask "$sentinel" sentinel failover vtox)" = OK ] && return
  done
  return 1
}

again=0
for second in $(seq 100); do
  leads || exit 0
  # Nobody is there to wait for.
  [ "$second" -le 10 ] || as_sentinel info replication | grep -q '^slave0:' || exit 0
  # A sentinel that already follows the replica would make this one the primary again.
  # shellcheck disable=SC2154 # set by who_leads
  if [ "$second" -ge "$again" ] && in_step && who_leads && [ "$primary" = "$(hostname)" ] && handed_over; then
    again=$((second + 20))
  fi
  sleep 1
done
