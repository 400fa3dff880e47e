#!/bin/sh
# Fuzzes the cursor, the query string and the token path, each for ROWCAST_FUZZ_SECONDS (60). What is found is kept under
# fuzz/artifacts/; what was learned, under fuzz/corpus/, is where the next run goes on.
set -eu
cd "$(dirname "$0")/.."

PATH=$PATH:$PWD/target/tools/bin
seconds=${ROWCAST_FUZZ_SECONDS:-60}

if ! command -v cargo-fuzz >/dev/null; then
    # Without the fuzzer, the property tests of the same paths take their inputs from chance alone.
    echo "fuzz: no cargo-fuzz: property tests instead, again and again for $((3 * seconds)) s" >&2
    end=$(($(date +%s) + 3 * seconds))
    while [ "$(date +%s)" -lt "$end" ]; do
        PROPTEST_CASES=20000 cargo test --locked --lib -- cursor::tests http::fuzzing auth::tests::random
    done
    exit
fi

# No sanitizer: there is no unsafe code on these paths, and it needs a nightly toolchain.
for target in cursor query token; do
    printf '\n=== %s\n' "$target"
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -print_final_stats=1
done
