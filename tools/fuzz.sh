#!/usr/bin/env bash
# Runs each fuzzer of build/fuzz for SECONDS, two at a time, from its seeds in tests/fuzz/corpus; the canary has to be
# found, nothing else may be.
set -euo pipefail
seconds=${1:?usage: tools/fuzz.sh SECONDS}
bin=build/fuzz/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One fuzzer: its output and exit status lie in $work then.
run() {
  local program=$1 name corpus limit=$seconds status=0
  name=$(basename "$program")
  corpus=tests/fuzz/corpus/${name#fuzz_}
  [ "$name" != fuzz_canary ] || limit=30
  mkdir -p "$work/$name"
  "$program" -max_total_time="$limit" -max_len=65536 -rss_limit_mb=2048 -artifact_prefix="$work/$name/" \
    "$work/$name" $([ ! -d "$corpus" ] || echo "$corpus") >"$work/$name.log" 2>&1 || status=$?
  echo "$status" >"$work/$name.status"
}

for program in "$bin"/fuzz_*; do
  while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
    wait -n || true
  done
  run "$program" &
done
wait

failed=0
for program in "$bin"/fuzz_*; do
  name=$(basename "$program")
  status=$(cat "$work/$name.status")
  runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$work/$name.log")
  if [ "$name" = fuzz_canary ]; then
    [ "$status" -ne 0 ] || { echo "fuzz: the canary was NOT found"; failed=1; }
  elif [ "$status" -ne 0 ]; then
    echo "fuzz: $name FAILED:"
    tail -30 "$work/$name.log"
    mkdir -p results && cp "$work/$name"/crash-* "$work/$name"/oom-* "$work/$name"/timeout-* results/ 2>/dev/null || true
    failed=1
  else
    echo "fuzz: $name: ${runs:-some} inputs, nothing found"
  fi
done
exit $failed
