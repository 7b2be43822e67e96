#!/usr/bin/env bash
# Runs every command of the built program once, with the node that PATH finds: test/tools/smoke.sh
#
# A line for each, and at the end `N passed, N failed`; exits with 0 only if all passed. Works in a folder of its own, on
# loopback, and stops what it started. Bounds are for machines that are slow and busy.
set -uo pipefail
main=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/dist/main.js
work=$(mktemp -d)
cd "$work" || exit 1
passed=0
failed=0
pids=()
clean_up() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# name, command...: passes if the command does
check() {
  local name=$1
  shift
  if "$@" >"$work/out" 2>&1; then
    echo "ok      $name"
    passed=$((passed + 1))
  else
    echo "FAILED  $name"
    tail -n 20 "$work/out"
    failed=$((failed + 1))
  fi
}

# command...: asks again until the command succeeds, for at most two minutes
eventually() {
  local end=$((SECONDS + 120))
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -gt "$end" ]; then return 1; fi
    sleep 0.2
  done
}

# pattern, command...: whether the output of the command has the pattern
shows() {
  local pattern=$1
  shift
  "$@" | tee "$work/shown" | grep -E "$pattern" || {
    cat "$work/shown"
    return 1
  }
}

# pid: whether it ends with exit code 0
ends_well() {
  kill -TERM "$1" && wait "$1"
}

program() { timeout --kill-after=10 300 node "$main" "$@"; }

echo "Node $(node --version)"
export HOME="$work" NO_COLOR=1 AWS_EC2_METADATA_DISABLED=true
export ARCHIVE_STORE=file BATCH_INTERVAL=0.5 ARCHIVE_INTERVAL=3600 HTTP_PORT=0 MARKETS=binance:btcusdt

check "--version" shows '^[0-9]+\.[0-9]+\.[0-9]+$' program --version
check "--help" shows '^ *- coverage' program --help

node "$main" simulate --port 0 --rate 50 >simulate.out 2>&1 &
simulator=$!
pids+=("$simulator")
check "simulate" eventually grep -E 'ws://127\.0\.0\.1:[0-9]+' simulate.out
BINANCE_WS_URL=$(grep -oE 'ws://127\.0\.0\.1:[0-9]+/stream' simulate.out | head -n 1)
export BINANCE_WS_URL

node "$main" >collector.out 2>&1 &
collector=$!
pids+=("$collector")
check "the collector connects" eventually grep -E ' connected ' collector.out
check "its status page starts" eventually grep -E ' status page url=' collector.out
sleep 2
check "replay beside a collector that runs" shows '"type":"trade".*"message":\{' program replay
check "archive asks a collector that runs" shows 'with [1-9][0-9]* rows, 0 failed' program archive
sleep 2
check "the collector ends by SIGTERM" ends_well "$collector"
check "simulate ends by SIGTERM" kill -TERM "$simulator"
check "archive" shows 'with [1-9][0-9]* rows, 0 failed' program archive
check "coverage" shows '"symbol"' program coverage --json
check "verify --deep" shows 'Nothing is off' program verify --deep
check "merge" shows '[1-9][0-9]* messages' program merge --into merged
check "demo" shows '^[1-9][0-9]* messages in all' program demo
DATABASE_PATH=/dev/null check "a start that fails" bash -c "! timeout 120 node '$main' 2>&1"

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
