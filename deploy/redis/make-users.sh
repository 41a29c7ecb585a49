#!/bin/sh
# Gives every service of VTOX a user of Redis with a random password.
#
#   make-users.sh DIRECTORY            users.acl for Redis, and SERVICE.password and SERVICE.url for each service
#   make-users.sh --rotate DIRECTORY   new passwords; those before stay valid
#   make-users.sh --retire DIRECTORY   those before end
#
# REDIS_AT (default redis:6379) is where services reach Redis, REDIS_SCHEME (default redis) is rediss for TLS. For a Redis
# Cluster REDIS_SCHEME is redis+cluster or rediss+cluster, and each node needs the file.
# Redis reads the file with `aclfile` in redis.conf, and again when vtox-cli says ACL LOAD.
set -eu
umask 077

fail() {
  echo "make-users.sh: $1" >&2
  exit 1
}

task="make"
case "${1:-}" in
  --rotate) task="rotate"; shift ;;
  --retire) task="retire"; shift ;;
esac
[ $# -eq 1 ] || fail "usage: make-users.sh [--rotate | --retire] DIRECTORY"
directory=$1
rights="$(dirname "$0")/users.acl"
more="$(dirname "$0")/users-cluster.acl"
[ -r "$rights" ] || fail "$rights is not there; it belongs beside this script"
if [ "$task" = make ]; then
  [ ! -e "$directory/users.acl" ] || fail "$directory/users.acl is there; --rotate makes new passwords"
  mkdir -p "$directory"
else
  [ -e "$directory/users.acl" ] || fail "$directory/users.acl is not there; make it first, without --$task"
fi

random() {
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

hash_of() {
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

new="$directory/users.acl.new"
: >"$new"
while read -r word user switch rest; do
  if [ "$switch" != on ]; then
    echo "$word $user $switch $rest" >>"$new"
    continue
  fi
  case "${REDIS_SCHEME:-}" in *cluster) rest="$rest $(sed -n "s/^user $user //p" "$more")" ;; esac
  password="$directory/$user.password"
  hashes=
  if [ "$task" = rotate ]; then
    [ -r "$password" ] || fail "$password is not there; make users anew in another directory"
    hashes="#$(hash_of "$password")"
  fi
  if [ "$task" != retire ]; then
    password="$password.new"
    random >"$password"
  fi
  echo "$word $user #$(hash_of "$password") $hashes $switch $rest" >>"$new"
done <"$rights"
mv "$new" "$directory/users.acl"
for password in "$directory"/*.password.new; do
  [ -e "$password" ] || continue
  kept=${password%.new}
  mv "$password" "$kept"
  user=$(basename "$kept" .password)
  printf '%s://%s:%s@%s\n' "${REDIS_SCHEME:-redis}" "$user" "$(cat "$kept")" "${REDIS_AT:-redis:6379}" >"${kept%.password}.url"
done
echo "$directory/users.acl: $(grep -c '#' "$directory/users.acl") users"
