#!/usr/bin/env bash
# Vendors that know no chains, behind the gateway: AWS (moto, which verifies signatures and IAM policies with botocore),
# PostgreSQL through a small HTTP tool, and an upstream that echoes what it got.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
venv="$cache/interop-connectors"
export BAILIWICK_BIN="${BAILIWICK_BIN:-${CARGO_TARGET_DIR:-$cache/target}/release/bailiwick}"
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql
fi
if [ ! -x "$venv/bin/moto_server" ]; then python3 -m venv "$venv"; fi
"$venv/bin/pip" install --quiet --disable-pip-version-check "moto[server]==5.2.5" boto3==1.44.5 pg8000==1.31.6 \
  httpx==0.28.1 cryptography -e "$root/sdk/python"
PYTHONPATH="$root/interop:$here" "$venv/bin/python" "$here/connectors_suite.py"
