#!/bin/sh
# Makes what the production overlay must not share with any other installation: users of Redis with random passwords, and keys
# that sign tokens.
#
#   k8s/secrets.sh DIRECTORY            such as k8s/overlays/production/secrets, which git ignores
#   k8s/secrets.sh --rotate DIRECTORY   new passwords; those before stay valid
#   k8s/secrets.sh --retire DIRECTORY   those before end
#
# For a Redis elsewhere say where it is: REDIS_AT=redis.example:6380 REDIS_SCHEME=rediss. Keys of tokens are made once.
set -eu
umask 077

task=
case "${1:-}" in --rotate | --retire) task=$1; shift ;; esac
[ $# -eq 1 ] || { echo "usage: secrets.sh [--rotate | --retire] DIRECTORY" >&2; exit 64; }
directory=$1
here=$(cd "$(dirname "$0")" && pwd)
redis="$here/../deploy/redis"
command -v openssl >/dev/null || { echo "secrets.sh: openssl is not installed; install it, such as by apt-get install openssl" >&2; exit 1; }

mkdir -p "$directory"
[ -e "$directory/sentinel.password" ] || openssl rand -hex 32 | tr -d '\n' >"$directory/sentinel.password"

# The users of the services, and two more for replication and the sentinels.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$redis/make-users.sh" "$redis/users-cluster.acl" "$work/"
cat "$redis/users.acl" "$here/components/redis-sentinel/users.acl" >"$work/users.acl"
sentinels="redis-sentinel-0:26379,redis-sentinel-1:26379,redis-sentinel-2:26379"
REDIS_SCHEME=${REDIS_SCHEME:-redis+sentinel} \
  REDIS_AT=${REDIS_AT:-$sentinels/vtox/0?sentinel_password=$(cat "$directory/sentinel.password")} \
  sh "$work/make-users.sh" ${task:+"$task"} "$directory"

for user in gateway coordinator worker monitor bridge cli; do
  printf '[redis]\nurl = "%s"\n' "$(cat "$directory/vtox-$user.url")" >"$directory/vtox-$user.toml"
done

keys="$directory/token-keys"
if [ ! -e "$keys" ]; then
  mkdir "$keys"
  openssl genpkey -algorithm ed25519 -out "$keys/k1.key.pem"
  openssl pkey -in "$keys/k1.key.pem" -pubout -out "$keys/k1.pub.pem"
fi
