#!/usr/bin/env bash
# Vendors that know no chains, behind the gateway: AWS (moto, which verifies signatures and IAM policies with botocore),
# PostgreSQL through a small HTTP tool, an upstream that echoes what it got, and resources of two OAuth servers
# (oidc-provider, Authlib).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
venv="$cache/interop-connectors"
js="$cache/interop-connectors/js"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql
fi
if [ ! -x "$venv/bin/moto_server" ]; then python3 -m venv "$venv"; fi
"$venv/bin/pip" install --quiet --disable-pip-version-check "moto[server]==5.2.5" boto3==1.44.5 pg8000==1.31.6 \
  authlib==1.9.10 joserfc==1.8.0 flask httpx==0.28.1 cryptography -e "$root/sdk/python"
mkdir -p "$js"
if ! cmp -s "$here/package.json" "$js/installed.json"; then
  cp "$here/package.json" "$js/"
  (cd "$js" && npm install --no-audit --no-fund --silent)
  cp "$here/package.json" "$js/installed.json"
fi
export OAUTH_NODE_MODULES="$js/node_modules" PYTHONPATH="$root/interop:$here"
failed=0
for suite in connectors oauth; do "$venv/bin/python" "$here/${suite}_suite.py" || failed=1; done
exit "$failed"
