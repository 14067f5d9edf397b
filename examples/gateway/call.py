"""One request under a hop token: what an agent's HTTP client does. Needs the SDK: pip install ./sdk/python

usage: call.py AGENT KEY TOKEN METHOD URL [JSON [NAME:VALUE ...]]
"""

import os
import sys
from pathlib import Path

import httpx
from bailiwick import Authority, DelegatedAuth, DevIdentity, HolderKey, HopToken


def main() -> int:
    agent, key, token, method, url, *rest = sys.argv[1:]
    server = os.environ.get("BAILIWICK_SERVER", "http://127.0.0.1:8420")
    identity = DevIdentity(server, f"spiffe://dev.bailiwick.example/agent/{agent}")
    authority = Authority(server, identity, HolderKey.load(key))
    auth = DelegatedAuth(authority, HopToken(Path(token).read_text().strip()))
    headers = dict(header.split(":", 1) for header in rest[1:])
    if rest and rest[0]:
        headers["Content-Type"] = "application/json"
    with httpx.Client(auth=auth, trust_env=False) as client:
        reply = client.request(method, url, content=rest[0] if rest else None, headers=headers)
    print(reply.status_code, reply.text)
    # A protocol refuses within a reply that succeeds.
    return 0 if reply.is_success and '"error"' not in reply.text else 3


if __name__ == "__main__":
    sys.exit(main())
