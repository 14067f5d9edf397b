#!/usr/bin/env bash
# Runs every check of the repository, whatever fails before. The last line says how many passed and how many failed.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
export BAILIWICK_CACHE="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
export BAILIWICK_VENV="${BAILIWICK_VENV:-$BAILIWICK_CACHE/venv}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$BAILIWICK_CACHE/target}"
export HYPOTHESIS_STORAGE_DIRECTORY="$BAILIWICK_CACHE/hypothesis"
export NO_COLOR=1 CARGO_TERM_COLOR=never
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
passed=0
failed=0
failures=()

# Counts tests in the output of cargo test, pytest and our own suites.
count() {
  awk -v what="$1" '
    /^test result: |^[0-9]+ (passed|failed|errors?)|^=+ .*(passed|failed|error).* =+$/ {
      line = $0
      gsub(/[;,=.]/, " ", line)
      n = split(line, word, / +/)
      for (i = 2; i <= n; i++) {
        if (word[i] == what || (what == "failed" && word[i] ~ /^errors?$/)) total += word[i - 1]
      }
    }
    END { print total + 0 }' "$log"
}

# check NAME COMMAND…: runs a command. If its output counts tests they are added up, otherwise it is one check.
check() {
  local name="$1" ok=0 good bad
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$log" || ok=1
  good="$(count passed)"
  bad="$(count failed)"
  if [ "$ok" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
  elif [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
    good=1
  fi
  passed=$((passed + good))
  failed=$((failed + bad))
  if [ "$bad" -ne 0 ]; then failures+=("$name"); fi
}

sdk() { (cd sdk/python && "$BAILIWICK_VENV/bin/$1" "${@:2}"); }

check "python environment" xtask/venv.sh
check "format" cargo fmt --all --check
check "tidy" cargo xtask tidy
check "clippy" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
# What runs the service runs the one that is built here.
export BAILIWICK_BIN="$CARGO_TARGET_DIR/debug/bailiwick"
export BAILIWICK_DEMO_VENV="$BAILIWICK_VENV"
check "rust tests" cargo test --locked --workspace --no-fail-fast --quiet
check "binary" cargo build --locked --quiet --workspace --bins
check "vectors of the agent delegation chain draft" interop/adc/run.sh
check "an auditor who shares no code with us" interop/auditor/run.sh
check "python sdk" sdk pytest -p no:cacheprovider
check "python sdk: lint" sdk ruff check --no-cache .
check "python sdk: types" sdk mypy --cache-dir "$BAILIWICK_CACHE/mypy" src
for tutorial in docs/tutorial/*.md; do check "$tutorial" xtask/tutorial.sh "$tutorial"; done
check "agentdojo: parameters and enforcement" examples/agentdojo/run.sh test
check "agentdojo: one prompt and its attacks" examples/agentdojo/run.sh --only banking/user_task_3

printf '\n'
for name in "${failures[@]}"; do printf 'failed: %s\n' "$name"; done
printf '%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
