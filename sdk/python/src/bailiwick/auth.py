"""An `httpx.Auth` that makes each request under a hop token: token, proof, renewal before the end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx

from . import dpop
from .client import Authority, answer
from .token import HopToken


class DelegatedFlow:
    """The flow of `DelegatedAuth`, for any HTTP client whose `Auth` works as httpx's does (see `bailiwick.mcp`)."""

    request_type: Any = httpx.Request
    """What the client's requests are made with; a renewal is one."""

    def __init__(self, authority: Authority, token: HopToken, renew_before: float = 20.0) -> None:
        self._authority = authority
        self._token = token
        self._renew_before = renew_before

    @property
    def token(self) -> HopToken:
        """The token as last renewed."""
        return self._token

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Renew when due, then send the request with a proof; once more when the server asks for a nonce."""
        if self._token.expires_at - time.time() < self._renew_before:
            yield from self._renew()
        origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        nonces = self._authority.nonces
        for _ in range(2):
            token = self._token.compact
            request.headers["Authorization"] = f"DPoP {token}"
            request.headers["DPoP"] = dpop.proof(
                self._authority.key, request.method, str(request.url), token=token, nonce=nonces.get(origin)
            )
            response = yield request
            fresh = response.headers.get("DPoP-Nonce")
            if fresh:
                nonces[origin] = fresh
            if (
                not fresh
                or response.status_code != 401
                or "use_dpop_nonce" not in response.headers.get("WWW-Authenticate", "")
            ):
                return

    # The body of an answer is read here only when it is a renewal's: the others may be streams that never end.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """`auth_flow` for a blocking client."""
        flow = self.auth_flow(request)
        outgoing = next(flow)
        while True:
            response = yield outgoing
            if outgoing is not request:
                response.read()
            try:
                outgoing = flow.send(response)
            except StopIteration:
                return

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """`auth_flow` for an asynchronous client."""
        flow = self.auth_flow(request)
        outgoing = next(flow)
        while True:
            response = yield outgoing
            if outgoing is not request:
                await response.aread()
            try:
                outgoing = flow.send(response)
            except StopIteration:
                return

    def _renew(self) -> Generator[Any, Any, None]:
        # No lock: two requests that renew at once get two good tokens, and a lock held across a yield would
        # stop an event loop.
        held = self._token
        for _ in range(2):
            headers = {"DPoP": self._authority.proof_for_token_endpoint(held)}
            form = self._authority.renewal_form(held)
            response = yield self.request_type("POST", self._authority.token_endpoint, data=form, headers=headers)
            if not self._authority.note_nonce(response):
                break
        self._token = HopToken(str(answer(response)["access_token"]))


class DelegatedAuth(DelegatedFlow, httpx.Auth):
    """Attach `Authorization: DPoP <token>` and a proof with `ath`; renew `renew_before` seconds before the end.

    Works with `httpx.Client` and `httpx.AsyncClient`. A renewal that is refused or unanswered raises, and the
    request is not sent. A proof is made for each request, so a request that httpx repeats gets a new one. Nonces that
    a server asks for (RFC 9449 §9) are remembered by the `Authority`, for every token of this agent.
    """
