#!/bin/sh
# Ready is a primary, and a replica that is in step with it and once had all data: only then may the other one be replaced.
set -eu
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh

case $(as_sentinel role | tr '\n' ' ') in
  "master "*) ;;
  "slave "*" connected "*) [ -e /data/complete ] ;;
  *) exit 1 ;;
esac
