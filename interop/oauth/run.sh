#!/usr/bin/env bash
# Stock OAuth clients, resource servers and JOSE libraries at the Authority and through a gateway: openid-client,
# oauth4webapi and jose (JavaScript), Authlib, joserfc and PyJWT (Python). None of them knows Bailiwick.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
venv="$cache/interop-oauth/venv"
js="$cache/interop-oauth/js"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
if [ ! -x "$venv/bin/python" ]; then python3 -m venv "$venv"; fi
"$venv/bin/pip" install --quiet --disable-pip-version-check authlib==1.9.10 joserfc==1.8.0 pyjwt==2.15.1 httpx==0.28.1 \
  cryptography -e "$root/sdk/python"
mkdir -p "$js"
if ! cmp -s "$here/package.json" "$js/installed.json"; then
  cp "$here/package.json" "$js/"
  (cd "$js" && npm install --no-audit --no-fund --silent)
  cp "$here/package.json" "$js/installed.json"
fi
OAUTH_NODE_MODULES="$js/node_modules" PYTHONPATH="$root/interop" "$venv/bin/python" "$here/oauth_suite.py"
