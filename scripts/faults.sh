#!/bin/sh
# Runs every fault of tests/it/faults with outages of ROWCAST_FAULT_SECONDS (20), and writes what came of it to
# docs/reliability.md. The file is only replaced where all went well.
set -eu
cd "$(dirname "$0")/.."

ROWCAST_FAULT_SECONDS=${ROWCAST_FAULT_SECONDS:-20}
export ROWCAST_FAULT_SECONDS

log=target/faults.log
mkdir -p target docs
status=0
# Outages are mostly waiting: more at a time than there are processors.
cargo test --locked --test it faults:: -- --nocapture --test-threads=6 >"$log" 2>&1 || status=$?
grep -a -o 'FAULT	.*' "$log" | sort >target/faults.tsv || true
if [ "$status" -ne 0 ]; then
    grep -a -E 'panicked|^test result' -A 3 "$log" >&2 || true
    echo "faults: a test failed (the log: $log)" >&2
    exit "$status"
fi

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
{
    cat <<'HEAD'
# Reliability

What breaks, for real, and what becomes of the rows. Made by `make faults`; do not edit. Each line is a test of
`tests/it/faults` and ends with the same proof: three writers commit rows before, during and after the fault, where they can, some
late, some rolled back; eight subscribers, two of each transport, come, go and resume by their cursors; at the end each has every
committed row of its rooms exactly once. A line with another number than 0 under "lost" or "repeated" can't stand here: its test fails.

- **rows** were committed; **delivered**: to all subscribers together, of as many as there should be (four of them follow one room of
  four). After a reset only what the table holds counts.
- **longest pause**: the longest time between two events of one subscriber. The outage is in it, and what the subscriber itself stays
  away: up to half a second.

HEAD
    printf '%s, PostgreSQL %s, %s processors (%s), Linux %s; outages of %s s.\n\n' "$(date +%F)" \
        "$(cut -f 12 target/faults.tsv | sort -u | grep . | paste -s -d , -)" "$(getconf _NPROCESSORS_ONLN)" \
        "${processor:-unknown}" "$(uname -r)" "$ROWCAST_FAULT_SECONDS"
    awk -F '\t' '
        BEGIN {
            print "| fault | what was done | what subscribers saw | rows | delivered | lost | repeated | longest pause |"
            print "| --- | --- | --- | --- | --- | --- | --- | --- |"
        }
        { printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", $2, $3, $10, $5, $6, $7, $8, $9 }
    ' target/faults.tsv
    printf '\nSubscribers of each line: '
    awk -F '\t' '$4 != "" { print $4; exit }' target/faults.tsv | tr '\n' '.'
    printf ' Seeds (%sROWCAST_FAULT_SEED%s): ' '`' '`'
    awk -F '\t' '$11 != "" { printf "%s%s (%s)", separator, $2, $11; separator = "; " } END { print "." }' target/faults.tsv
} >target/reliability.md
mv target/reliability.md docs/reliability.md
echo "faults: $(wc -l <target/faults.tsv) lines in docs/reliability.md" >&2
