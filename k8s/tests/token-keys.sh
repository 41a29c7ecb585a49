#!/usr/bin/env bash
# Runs the init container of the gateway on a Secret as the kubelet mounts it: files of root behind links, readable for the group
# alone. What it leaves must be the gateway's own, as the gateway insists, also when it runs a second time.
#   k8s/tests/token-keys.sh SECRETS      as made by k8s/secrets.sh
set -euo pipefail

secrets=$(cd "$1" && pwd)
command=$(sed -n 's/^ *args: \["\(.*\)"\]$/\1/p' "$(dirname "${BASH_SOURCE[0]}")/../components/token-keys/api-gateway.yaml")
[ -n "$command" ] || { echo "the init container has no command" >&2; exit 1; }

# shellcheck disable=SC2016 # $1 is that of the inner shell
docker run --rm --user 0 --cap-drop ALL --cap-add CHOWN --cap-add SETUID --cap-add SETGID --cap-add DAC_OVERRIDE \
    --tmpfs /run/vtox:mode=2777,gid=10001 --tmpfs /etc/vtox/token-keys:mode=1777 -v "$secrets/token-keys:/secret:ro" \
    --entrypoint bash redis:7-bookworm -euc '
        mkdir /etc/vtox/token-keys/..now
        cp /secret/* /etc/vtox/token-keys/..now/
        chgrp 10001 /etc/vtox/token-keys/..now/*
        chmod 0440 /etc/vtox/token-keys/..now/*
        chmod 0755 /etc/vtox/token-keys/..now
        ln -s ..now /etc/vtox/token-keys/..data
        for key in /secret/*; do ln -s "..data/${key##*/}" /etc/vtox/token-keys/; done
        for _ in 1 2; do setpriv --reuid 10001 --regid 10001 --clear-groups sh -c "$1"; done
        diff -r /secret /run/vtox/token-keys
        open=$(find /run/vtox/token-keys -perm /077 -o -not -user 10001)
        [ -z "$open" ] || { echo "others may read or change $open" >&2; exit 1; }
        ls -A /run/vtox/token-keys | wc -l
    ' bash "$command" | sed 's/$/ keys, for the gateway alone/'
