"""An `httpx.Auth` that makes each request under a hop token: token, proof, renewal before the end."""

from __future__ import annotations

import time
from collections.abc import Generator

import httpx

from . import dpop
from .client import Authority, answer
from .token import HopToken


class DelegatedAuth(httpx.Auth):
    """Attach `Authorization: DPoP <token>` and a proof with `ath`; renew `renew_before` seconds before the end.

    Works with `httpx.Client` and `httpx.AsyncClient`. A renewal that is refused or unanswered raises, and the
    request is not sent. A proof is made for each request, so a request that httpx repeats gets a new one.
    """

    requires_response_body = True

    def __init__(self, authority: Authority, token: HopToken, renew_before: float = 20.0) -> None:
        self._authority = authority
        self._token = token
        self._renew_before = renew_before
        self._nonces: dict[str, str] = {}

    @property
    def token(self) -> HopToken:
        """The token as last renewed."""
        return self._token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Renew when due, then send the request with a proof; once more when the server asks for a nonce."""
        if self._token.expires_at - time.time() < self._renew_before:
            yield from self._renew()
        origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        for _ in range(2):
            token = self._token.compact
            request.headers["Authorization"] = f"DPoP {token}"
            request.headers["DPoP"] = dpop.proof(
                self._authority.key, request.method, str(request.url), token=token, nonce=self._nonces.get(origin)
            )
            response = yield request
            fresh = response.headers.get("DPoP-Nonce")
            if fresh:
                self._nonces[origin] = fresh
            if (
                not fresh
                or response.status_code != 401
                or "use_dpop_nonce" not in response.headers.get("WWW-Authenticate", "")
            ):
                return

    def _renew(self) -> Generator[httpx.Request, httpx.Response, None]:
        # No lock: two requests that renew at once get two good tokens, and a lock held across a yield would
        # stop an event loop.
        held = self._token
        for _ in range(2):
            headers = {"DPoP": self._authority.proof_for_token_endpoint(held)}
            form = self._authority.renewal_form(held)
            response = yield httpx.Request("POST", self._authority.token_endpoint, data=form, headers=headers)
            if not self._authority.note_nonce(response):
                break
        self._token = HopToken(str(answer(response)["access_token"]))
