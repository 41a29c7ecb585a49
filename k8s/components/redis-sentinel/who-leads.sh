# Asking the sentinels, and Redis; sourced by the other scripts.
# shellcheck shell=sh
# SENTINELS has their names; /etc/vtox/passwords the passwords, one file each.

password() {
  cat "/etc/vtox/passwords/$1.password"
}

# ask SENTINEL WORD...: its answer, a word per line; nothing when it does not answer within 2 s.
ask() {
  sentinel=$1
  shift
  REDISCLI_AUTH=$(password sentinel) timeout 2 redis-cli --no-auth-warning -h "$sentinel" -p 26379 "$@" 2>/dev/null || true
}

# as_sentinel WORD...: a command of this pod's own Redis.
as_sentinel() {
  REDISCLI_AUTH=$(password vtox-sentinel) timeout 2 redis-cli --no-auth-warning --user vtox-sentinel "$@" 2>/dev/null || true
}

# This replica is in step, and so is its disk: Redis rewrites its file after a sync, and until then has the one from before.
has_all() {
  [ "$(as_sentinel info | tr -d '\r' |
    grep -cxE 'master_link_status:up|aof_rewrite_in_progress:0|aof_rewrite_scheduled:0|aof_last_bgrewrite_status:ok')" = 4 ]
}

# The line after the one that is $1.
value_of() {
  awk -v key="$1" 'found { print; exit } $0 == key { found = 1 }'
}

# Sets `primary` and `replicas`, how many it has, as of the newest failover; fails until most sentinels answered.
# shellcheck disable=SC2034 # for who sources this
who_leads() {
  answered=0 asked=0 newest=-1
  for sentinel in $SENTINELS; do
    asked=$((asked + 1))
    about=$(ask "$sentinel" sentinel master vtox)
    epoch=$(echo "$about" | value_of config-epoch)
    case $epoch in "" | *[!0-9]*) continue ;; esac
    answered=$((answered + 1))
    if [ "$epoch" -gt "$newest" ]; then
      newest=$epoch
      primary=$(echo "$about" | value_of ip)
      replicas=$(echo "$about" | value_of num-slaves)
    fi
  done
  [ $((answered * 2)) -gt "$asked" ]
}
