#!/usr/bin/env bash
# Runs the AgentDojo demo against BAILIWICK_BIN. Installs what it needs into a virtual environment once; after that it
# needs no network, no model and no API key. `run.sh test` runs the example's own tests instead (with pytest from
# `make venv`); they need no binary.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
venv="${BAILIWICK_DEMO_VENV:-$HOME/.cache/bailiwick/venv}"
bin="${BAILIWICK_BIN:-$root/target/release/bailiwick}"

[ "${1:-}" = test ] || [ -x "$bin" ] || { echo "no bailiwick binary at $bin: build it, or set BAILIWICK_BIN" >&2; exit 1; }
BAILIWICK_VENV="$venv" "$root/xtask/venv.sh" "$here"

cd "$here"
[ "${1:-}" != test ] || exec "$venv/bin/python" -m pytest -q -p no:cacheprovider tests
exec "$venv/bin/python" -m agentdojo_demo --bin "$bin" "$@"
