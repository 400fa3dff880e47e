#!/bin/sh
# Counts the instructions of the hot functions (benches/hot) under valgrind's callgrind, for one operation: of 100 and of
# 200 repetitions, so that what comes before and after them drops out.
#
#   scripts/instructions.sh [TEXT]     those whose names have TEXT in them
set -eu
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
    echo "instructions: no valgrind, so none are counted. scripts/setup.sh --bench installs it" >&2
    exit 0
fi

program=$(cargo bench --locked --quiet --bench hot --no-run --message-format=json |
    sed -n 's/.*"name":"hot".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
out=$(mktemp)
trap 'rm -f "$out"' EXIT

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --repeat "$1" "$2" >"$out" 2>&1 ||
        { cat "$out" >&2; exit 1; }
    sed -n 's/.*Collected : \([0-9]*\)$/\1/p' "$out"
}

printf '%-45s %15s\n' 'instructions of' 'one operation'
"$program" --names | grep -F -- "${1:-}" | while IFS= read -r name; do
    few=$(count 100 "$name")
    many=$(count 200 "$name")
    printf '%-45s %15d\n' "$name" $(((many - few) / 100))
done
