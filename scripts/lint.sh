#!/bin/sh
# Everything that can be said about the source without a database.
set -eu
cd "$(dirname "$0")/.."

step() { printf '\n=== %s\n' "$*"; "$@"; }

step cargo fmt --check
step cargo clippy --locked --all-targets -- -D warnings
# The documentation is for those who work on the program: it may link to what is private.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" step cargo doc --locked --no-deps --document-private-items
step cargo test --locked --quiet --test it tidy

step npm --prefix clients/js run --silent lint
# That what is built and committed is of these sources, its sizes, its package.
step npm --prefix clients/js run --silent check

# Not its advisories: their database needs GitHub.
PATH=$PATH:$PWD/target/tools/bin
if command -v cargo-deny >/dev/null; then
    step cargo-deny --log-level error --locked check bans licenses sources
else
    echo "lint: no cargo-deny, so licences and sources stay unchecked" >&2
fi
if command -v shellcheck >/dev/null; then
    step shellcheck --shell=sh scripts/*.sh src/demo/postgres/guardian.sh
    step shellcheck .ci/run
fi
if command -v systemd-analyze >/dev/null; then
    # It looks whether the program is there, too: any will do.
    unit=$(mktemp -d)
    trap 'rm -r "$unit"' EXIT
    sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' deploy/systemd/rowcast.service >"$unit/rowcast.service"
    # Of a key that it doesn't know it only warns.
    printf '\n=== systemd-analyze verify\n'
    said=$(systemd-analyze verify "$unit/rowcast.service" 2>&1)
    test -z "$said" || { echo "$said" >&2; exit 1; }
else
    echo "lint: no systemd-analyze, so the unit stays unchecked" >&2
fi
