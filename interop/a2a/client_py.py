"""One round with an unmodified Python client: client_py.py BINDING URL HOLDER.json SKILL|get:TASK|cancel:TASK"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.helpers import get_stream_response_text
from a2a.types import CancelTaskRequest, GetTaskRequest, Message, Part, Role, SendMessageRequest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bailiwick import HolderKey, HopToken, dpop


class Auth(httpx.Auth):
    """Token and proof for each request; once more with the server's nonce."""

    requires_request_body = True

    def __init__(self, key: HolderKey, token: HopToken) -> None:
        self.key, self.token, self.nonce = key, token, None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        for _ in range(2):
            compact = self.token.compact
            request.headers["Authorization"] = f"DPoP {compact}"
            request.headers["DPoP"] = dpop.proof(
                self.key, request.method, str(request.url), token=compact, nonce=self.nonce
            )
            response = yield request
            self.nonce = response.headers.get("DPoP-Nonce") or self.nonce
            if response.status_code != 401 or "use_dpop_nonce" not in response.headers.get("WWW-Authenticate", ""):
                return


async def main() -> None:
    """Find the agent by its card, send a message, follow the stream, ask for the task again."""
    binding, url, holder_file, what = sys.argv[1:]
    what, _, of = what.partition(":")
    holder = json.loads(Path(holder_file).read_text())
    key = HolderKey(load_der_private_key(base64.b64decode(holder["pkcs8"]), None))  # type: ignore[arg-type]
    seen: dict[str, object] = {"texts": []}
    async with httpx.AsyncClient(auth=Auth(key, HopToken(holder["token"])), timeout=30) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding])
        client = await ClientFactory(config).create_from_url(url)
        message = Message(message_id=str(uuid4()), role=Role.ROLE_USER, parts=[Part(text="the report")])
        message.metadata.update({"urn:bailiwick:skill": what})
        try:
            if what == "get":
                seen["again"] = (await client.get_task(GetTaskRequest(id=of))).id == of
                return
            if what == "cancel":
                seen["cancelled"] = (await client.cancel_task(CancelTaskRequest(id=of))).id == of
                return
            task = ""
            async for event in client.send_message(SendMessageRequest(message=message)):
                task = task or event.task.id or event.status_update.task_id
                text = get_stream_response_text(event)
                if text:
                    seen["texts"] = [*seen["texts"], text]  # type: ignore[misc]
            again = await client.get_task(GetTaskRequest(id=task))
            seen.update(again=again.id == task, task=task)
        except Exception as error:
            seen["refused"] = f"{type(error).__name__}: {error} {getattr(error, 'data', '')}"
        finally:
            print(json.dumps(seen))


asyncio.run(main())
