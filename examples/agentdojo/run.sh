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
# The first interpreter that really runs (a version manager leaves shims that do not) and is new enough.
python=""
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$candidate"; break; fi
done
[ -n "$python" ] || { echo "the demo needs Python 3.11 or later" >&2; exit 1; }

stamp="$venv/.agentdojo-$( (echo "$root"; cat "$here/requirements.txt" "$root/sdk/python/pyproject.toml") | sha256sum | cut -c1-16)"
if [ ! -e "$stamp" ]; then
  echo "installing agentdojo 0.1.35, what its suites need and the MCP SDK into $venv (once)"
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps agentdojo==0.1.35
  "$venv/bin/pip" install --quiet --disable-pip-version-check -e "$root/sdk/python"
  touch "$stamp"
fi

cd "$here"
[ "${1:-}" != test ] || exec "$venv/bin/python" -m pytest -q -p no:cacheprovider tests
exec "$venv/bin/python" -m agentdojo_demo --bin "$bin" "$@"
