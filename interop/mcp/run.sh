#!/usr/bin/env bash
# MCP through the gateway: clients and servers of the TypeScript and Python SDKs, 1.x and 2.x, the conformance suite, and
# the file server, which speaks stdio, behind a bridge.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
export MCP_CACHE="$cache/interop-mcp"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
mkdir -p "$MCP_CACHE/js"
if ! cmp -s "$here/package.json" "$MCP_CACHE/js/installed.json"; then
  cp "$here/package.json" "$MCP_CACHE/js/"
  (cd "$MCP_CACHE/js" && npm install --no-audit --no-fund --silent)
  cp "$here/package.json" "$MCP_CACHE/js/installed.json"
fi
for major in 1 2; do
  if [ ! -x "$MCP_CACHE/py$major/bin/python" ]; then python3 -m venv "$MCP_CACHE/py$major"; fi
done
pip() { "$MCP_CACHE/py$1/bin/pip" install --quiet --disable-pip-version-check "${@:2}"; }
pip 1 mcp==1.30.0 mcp-proxy==0.13.0 httpx==0.28.1 cryptography -e "$root/sdk/python"
pip 2 mcp==2.3.0 httpx==0.28.1 cryptography -e "$root/sdk/python"
export PYTHONPATH="$root/interop"
failed=0
for suite in files mcp; do "$MCP_CACHE/py1/bin/python" "$here/${suite}_suite.py" || failed=1; done
exit "$failed"
