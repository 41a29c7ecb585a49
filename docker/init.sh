#!/bin/sh
# Makes what a cluster keeps secret, where it is not there yet: users of Redis with random passwords, one directory per
# service, and the key that signs tokens. Each service's directory is a volume that nobody else mounts.
#
#   init.sh            passwords stay; a cluster without any gets its first
#   init.sh --rotate   new passwords; those before stay valid
#   init.sh --retire   those before end
set -eu
umask 077

secrets=/secrets
kept=$secrets/vtox-cli/redis

case "${1:-}" in
    --rotate | --retire)
        /usr/local/lib/vtox/make-users.sh "$1" "$kept"
        if [ "$1" = --rotate ]; then touch "$kept/rotating"; else rm -f "$kept/rotating"; fi
        ;;
    *)
        if [ -e "$kept/rotating" ]; then
            # Services may still run with the passwords before.
            echo "new passwords are half done: init --retire ends those before"
        elif [ -e "$kept/users.acl" ]; then
            # The passwords stay, the rights are those of this version.
            /usr/local/lib/vtox/make-users.sh --retire "$kept"
        else
            rm -rf "$kept"
            REDIS_AT=${REDIS_AT:-redis:6379} /usr/local/lib/vtox/make-users.sh "$kept"
        fi
        ;;
esac
for user in vtox-gateway vtox-coordinator vtox-worker vtox-monitor vtox-bridge vtox-cli; do
    cp "$kept/$user.url" "$secrets/$user/redis.url"
done
# It holds digests of random passwords of 256 bits.
cp "$kept/users.acl" "$secrets/redis/users.acl"
cp /usr/local/lib/vtox/redis.conf "$secrets/redis/redis.conf"

if [ -z "$(ls "$secrets/keys")" ]; then
    vtox token keygen "$secrets/keys"
fi
echo "the secrets of this cluster are in its volumes"
