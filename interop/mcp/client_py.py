"""One round with an unmodified Python client: client_py.py 1|2 URL HOLDER.json TOOL ARGUMENTS FORBIDDEN."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_der_private_key

from bailiwick import HolderKey, HopToken, dpop


def authentication(module: Any, key: HolderKey, token: HopToken) -> Any:
    """Token and proof for each request; once more with the server's nonce."""

    class Auth(module.Auth):  # type: ignore[misc, name-defined]
        requires_request_body = True
        nonce: str | None = None

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            for _ in range(2):
                request.headers["Authorization"] = f"DPoP {token.compact}"
                request.headers["DPoP"] = dpop.proof(
                    key, request.method, str(request.url), token=token.compact, nonce=self.nonce
                )
                response = yield request
                self.nonce = response.headers.get("DPoP-Nonce") or self.nonce
                if response.status_code != 401 or "use_dpop_nonce" not in response.headers.get("WWW-Authenticate", ""):
                    return

    return Auth()


async def one_call(session: Any, tool: str, given: dict[str, Any]) -> Any:
    """What a call gives: its content, or the code of its refusal."""
    try:
        answer = await session.call_tool(tool, given)
    except Exception as error:
        data = getattr(getattr(error, "error", error), "data", None)
        return data["code"] if isinstance(data, dict) else f"{type(error).__name__}: {error}"
    if getattr(answer, "isError", getattr(answer, "is_error", False)):
        return "isError"
    return [part.model_dump(mode="json", exclude_none=True) for part in answer.content]


async def one_round(session: Any, tool: str, given: dict[str, Any], forbidden: str) -> dict[str, Any]:
    """List, call, and call what is not granted."""
    listed = await session.list_tools()
    result = await one_call(session, tool, given)
    refused = await one_call(session, forbidden, {})
    return {"tools": [tool.name for tool in listed.tools], "result": result, "refused": refused}


async def main() -> None:
    """Connect as an agent would."""
    major, url, holder_file, tool, given, forbidden = sys.argv[1:]
    holder = json.loads(Path(holder_file).read_text())
    key = HolderKey(load_der_private_key(base64.b64decode(holder["pkcs8"]), None))  # type: ignore[arg-type]
    module = importlib.import_module("httpx" if major == "1" else "httpx2")
    auth = authentication(module, key, HopToken(holder["token"]))
    transport = importlib.import_module("mcp.client.streamable_http")
    if major == "1":
        session_class = importlib.import_module("mcp").ClientSession
        async with transport.streamablehttp_client(url, auth=auth) as (read, write, _):
            async with session_class(read, write) as session:
                await session.initialize()
                print(json.dumps(await one_round(session, tool, json.loads(given), forbidden)))
        return
    client_class = importlib.import_module("mcp").Client
    async with module.AsyncClient(auth=auth, timeout=30) as http:
        async with client_class(transport.streamable_http_client(url, http_client=http)) as session:
            print(json.dumps(await one_round(session, tool, json.loads(given), forbidden)))


asyncio.run(main())
