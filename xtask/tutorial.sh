#!/usr/bin/env bash
# Runs every command of a tutorial, in order, in one shell: docs that are not run are not believed.
# usage: xtask/tutorial.sh FILE.md
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
doc=$1
WORK=$(mktemp -d)
export WORK
# Held together, so that none is given out twice.
read -r LISTEN GATEWAY MANAGEMENT UPSTREAM < <(python3 -c '
import socket
held = [socket.socket() for _ in range(4)]
for it in held: it.bind(("127.0.0.1", 0))
print(*("127.0.0.1:%d" % it.getsockname()[1] for it in held))')
export LISTEN GATEWAY MANAGEMENT UPSTREAM BAILIWICK_SERVER="http://$LISTEN"
export BAILIWICK_MANAGEMENT_LISTEN=127.0.0.1:0
export PYTHON="${BAILIWICK_VENV:-$HOME/.cache/bailiwick/venv}/bin/python"
PATH="$(dirname "${BAILIWICK_BIN:?names the binary to run}"):$PATH"
cleanup() {
  # Only what this script started.
  local started
  started=$(jobs -p)
  if [ -n "$started" ]; then kill $started 2>/dev/null || true; wait 2>/dev/null || true; fi
  rm -rf "$WORK"
}
trap cleanup EXIT
commands=0
while IFS= read -r line; do
  commands=$((commands + 1))
  # `! command` must fail; under `set -e` a bare `!` would let either pass.
  if [[ $line == '! '* ]]; then
    if eval "${line#! }" > "$WORK/out" 2>&1; then echo "$doc: should have been refused: ${line#! }" >&2; exit 1; fi
  elif ! eval "$line" > "$WORK/out" 2>&1; then
    echo "$doc: failed: $line" >&2
    cat "$WORK/out" >&2
    exit 1
  fi
done < <(sed -n '/^```console$/,/^```$/s/^\$ //p' "$doc")
[ "$commands" -gt 0 ] || { echo "$doc has no commands" >&2; exit 1; }
echo "$doc: $commands commands ran as it says"
