#!/bin/sh
# What compose.yaml needs before anything starts, made once: keys and tokens, the database's password, the tunnel's certificates. Runs at
# each `up` as the product's own user; what is there stays, but a certificate that is about to end is renewed.
set -eu
umask 077
state=/var/lib/sallyport
secrets=/etc/sallyport

# keys.json, admin.key, worker.token and connector.token
sallyport keys ls >/dev/null

put() { # FROM TO MODE: in one step, so that a reader never sees half of it
  install -m "$3" "$1" "$2.new"
  mv "$2.new" "$2"
}
# tokens that were rotated since are left as they are
[ -s "$secrets/worker/worker.token" ] || put "$state/worker.token" "$secrets/worker/worker.token" 600
[ -s "$secrets/connector/connector.token" ] || put "$state/connector.token" "$secrets/connector/connector.token" 600

# The volume of the password is mounted by the database only, which runs as another user.
password=$secrets/database/password
if [ ! -s "$password" ]; then
  head -c 24 /dev/urandom | base64 | tr '+/' '-_' >/tmp/password
  put /tmp/password "$password" 444
fi
if [ ! -s "$state/database-url" ]; then
  printf 'postgres://sallyport:%s@postgres:5432/sallyport\n' "$(cat "$password")" >/tmp/url
  put /tmp/url "$state/database-url" 600
fi

# The authority's key stays in its own volume. What it signs is good for 90 days and renewed in the last 30.
sallyport certs init --domain "$TUNNEL_DOMAIN" --output "$secrets/authority"
sallyport certs renew --output "$secrets/authority" --renew-before 720h
put "$secrets/authority/tls.key" "$secrets/connector/tls.key" 600
put "$secrets/authority/tls.crt" "$secrets/connector/tls.crt" 644
put "$secrets/authority/ca.crt" "$secrets/worker/ca.crt" 644
