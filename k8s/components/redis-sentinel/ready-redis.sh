#!/bin/sh
# Ready is a primary that has read its file, and a replica that has all data, also on its disk: only then may the other one be replaced.
set -eu
# shellcheck source=/dev/null
. /etc/vtox/redis/who-leads.sh

[ "$(as_sentinel ping)" = PONG ]
[ "$(as_sentinel role | head -n 1)" = master ] || { [ -e /data/complete ] && has_all; }
