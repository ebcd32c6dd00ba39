#!/bin/sh
# `postgres …` makes the database of POSTGRES_DB with POSTGRES_USER and POSTGRES_PASSWORD_FILE on its first start; anything else just runs.
set -eu
data=/var/lib/postgresql/data
if [ "$1" = postgres ]; then
  shift
  if [ ! -s "$data/PG_VERSION" ]; then
    # shellcheck disable=SC2086 # a list of options
    initdb -D "$data" -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS --no-sync
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    pg_ctl -D "$data" -o "-c listen_addresses=''" -w start
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -D "$data" -m fast -w stop
  fi
  exec postgres -D "$data" -c listen_addresses='*' "$@"
fi
exec "$@"
