#!/bin/sh
# The JavaScript client's tests: of its parts alone, then in Chromium against real relays, PostgreSQL and proxies.
# What is given goes to Playwright: scripts/test-client.sh --headed ladder
set -eu
cd "$(dirname "$0")/.."

cargo build --locked
ROWCAST_BIN=${ROWCAST_BIN:-${CARGO_TARGET_DIR:-$PWD/target}/debug/rowcast}
export ROWCAST_BIN
cd clients/js
if [ $# -eq 0 ]; then
    npm test
fi
npm run test:browser -- "$@"
