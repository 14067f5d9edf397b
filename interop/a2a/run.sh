#!/usr/bin/env bash
# A2A v1 through the gateway: clients and agents of the Python and TypeScript SDKs, JSON-RPC and HTTP+JSON.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
export A2A_CACHE="$cache/interop-a2a"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
mkdir -p "$A2A_CACHE/js"
cp "$here/package.json" "$A2A_CACHE/js/"
if [ ! -d "$A2A_CACHE/js/node_modules/@a2a-js" ]; then (cd "$A2A_CACHE/js" && npm install --no-audit --no-fund --silent); fi
if [ ! -x "$A2A_CACHE/py/bin/python" ]; then python3 -m venv "$A2A_CACHE/py"; fi
"$A2A_CACHE/py/bin/pip" install --quiet --disable-pip-version-check "a2a-sdk[http-server]==1.3.0" httpx==0.28.1 \
  uvicorn cryptography -e "$root/sdk/python"
PYTHONPATH="$root/interop" "$A2A_CACHE/py/bin/python" "$here/a2a_suite.py"
