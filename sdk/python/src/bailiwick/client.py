"""The Authority's client: open a task, settle a grant, renew, ask for a decision, revoke, trace."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx

from . import dpop
from .errors import AuthorityUnavailable, Refused
from .grant import Grant
from .identity import IdentitySource
from .keys import HolderKey
from .token import HopToken

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE_JWT = "urn:ietf:params:oauth:token-type:jwt"
TYPE_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
TYPE_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
TYPE_GRANT = "urn:bailiwick:token-type:grant"


class Authority:
    """One agent's connection to the Authority at `issuer`. Safe to use from several threads.

    Every method raises `Refused` when the Authority said no (`.code` says why) and `AuthorityUnavailable` when it
    did not answer. Neither ever yields a token or an allow.
    """

    def __init__(
        self,
        issuer: str,
        identity: IdentitySource,
        key: HolderKey | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        self.issuer = issuer.rstrip("/")
        self.identity = identity
        self.key = key or HolderKey.generate()
        self._http = client or httpx.Client(timeout=10)
        self._nonce: str | None = None
        self.nonces: dict[str, str] = {}
        """The last nonce that each resource (by origin) asked this agent's proofs to have."""

    @property
    def token_endpoint(self) -> str:
        """Where tokens are exchanged."""
        return f"{self.issuer}/oauth/token"

    def open_task(
        self,
        subject_token: str,
        workflow: str,
        parameters: dict[str, Any],
        audience: str,
        purpose: str | None = None,
    ) -> HopToken:
        """Start a task for the subject whose OIDC token this is. The token returned is DT_0, held by this agent."""
        detail: dict[str, Any] = {"type": "bailiwick_task", "workflow": workflow, "parameters": parameters}
        if purpose is not None:
            detail["purpose"] = purpose
        return self._exchange(
            {
                "subject_token": subject_token,
                "subject_token_type": TYPE_ID_TOKEN,
                "actor_token": self.identity.token(self.issuer),
                "actor_token_type": TYPE_JWT,
                "audience": audience,
                "authorization_details": json.dumps([detail]),
            }
        )

    def settle(self, grant: Grant | str) -> HopToken:
        """Turn a grant made out to this agent into a hop token bound to this agent's key."""
        return self._exchange(
            {
                "subject_token": grant.compact if isinstance(grant, Grant) else grant,
                "subject_token_type": TYPE_GRANT,
                "actor_token": self.identity.token(self.issuer),
                "actor_token_type": TYPE_JWT,
            }
        )

    def renew(self, token: HopToken) -> HopToken:
        """The same hop with a later end, by a fresh decision."""
        return self._exchange(self.renewal_form(token), token)

    def reaudience(self, token: HopToken, audience: str) -> HopToken:
        """The same hop for another audience that the workflow allows."""
        return self._exchange({**self.renewal_form(token), "audience": audience}, token)

    def complete(self, token: HopToken) -> dict[str, Any]:
        """Complete the task: every token of it is dead when this returns."""
        return self._call("POST", f"/v1/tasks/{token.task_id}/complete", {}, token=token)

    def evaluate(
        self,
        token: str,
        proof: str,
        *,
        agent: str,
        scope: str,
        arguments: dict[str, Any],
        resource: dict[str, Any],
        htu: str,
        htm: str = "POST",
        audience: str | None = None,
    ) -> dict[str, Any]:
        """For enforcement points (AuthZEN): may this token do this action with these arguments now?

        `audience` is who the enforcement point speaks for, and so what the token must be for; without it, the
        origin of `htu`. Returns the response body. Only `body["decision"] is True` is an allow.
        """
        properties = {"token": token, "proof": {"dpop": proof, "htm": htm, "htu": htu}}
        body = {
            "subject": {"type": "agent", "id": agent, "properties": properties},
            "action": {"name": scope},
            "resource": resource,
            "context": {"arguments": arguments} if audience is None else {"arguments": arguments, "audience": audience},
        }
        return self._call("POST", "/access/v1/evaluation", body)

    def revoke(self, token: HopToken) -> None:
        """Revoke this token and everything below it (RFC 7009)."""
        url = f"{self.issuer}/oauth/revoke"
        self._send("POST", url, token=token, data={"token": token.compact})

    def trace(self, identifier: str) -> dict[str, Any]:
        """The whole tree around a task, token, decision or ledger index."""
        return self._call("GET", f"/v1/trace/{quote(identifier, safe='')}")

    def register_key(self) -> dict[str, Any]:
        """Bind this agent's holder key to its attested identity for a while, so that delegators can look it up."""
        return self._call("POST", "/v1/agent-keys", {}, prove=True)

    def renewal_form(self, token: HopToken) -> dict[str, str]:
        """The form that renews `token` at the token endpoint."""
        return {
            "grant_type": EXCHANGE,
            "subject_token": token.compact,
            "subject_token_type": TYPE_ACCESS_TOKEN,
        }

    def proof_for_token_endpoint(self, token: HopToken | None) -> str:
        """A proof for the token endpoint with the last nonce the Authority gave."""
        return dpop.proof(
            self.key, "POST", self.token_endpoint, token=token.compact if token else None, nonce=self._nonce
        )

    def note_nonce(self, response: httpx.Response) -> bool:
        """Remember the nonce of `response`. True when the request must be sent again with it."""
        fresh = response.headers.get("DPoP-Nonce")
        if fresh:
            self._nonce = fresh
        # RFC 9449: §8 in the body of the token endpoint's 400, §9 in the challenge of everything else's 401.
        challenge = response.headers.get("WWW-Authenticate", "")
        asked = (response.status_code == 400 and b"use_dpop_nonce" in response.content) or (
            response.status_code == 401 and "use_dpop_nonce" in challenge
        )
        return bool(fresh) and asked

    def _exchange(self, form: dict[str, str], token: HopToken | None = None) -> HopToken:
        form = {"grant_type": EXCHANGE, **form}
        for _ in range(2):
            headers = {"DPoP": self.proof_for_token_endpoint(token)}
            response = self._request("POST", self.token_endpoint, data=form, headers=headers)
            if not self.note_nonce(response):
                break
        return HopToken(str(answer(response)["access_token"]))

    def _call(
        self, method: str, path: str, body: Any = None, *, token: HopToken | None = None, prove: bool = False
    ) -> dict[str, Any]:
        return answer(self._send(method, self.issuer + path, token=token, prove=prove, json=body))

    def _send(
        self, method: str, url: str, *, token: HopToken | None = None, prove: bool = False, **content: Any
    ) -> httpx.Response:
        for _ in range(2):
            if token is not None:
                headers = {"Authorization": f"DPoP {token.compact}"}
            else:
                headers = {"Authorization": f"Bearer {self.identity.token(self.issuer)}"}
            if token is not None or prove:
                compact = token.compact if token else None
                headers["DPoP"] = dpop.proof(self.key, method, url, token=compact, nonce=self._nonce)
            response = self._request(method, url, headers=headers, **content)
            if not self.note_nonce(response):
                break
        if response.is_error:
            answer(response)
        return response

    def _request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **arguments)
        except httpx.HTTPError as error:
            raise AuthorityUnavailable(f"{type(error).__name__}: {error}") from error


def answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a success. Raises `Refused` for an error and `AuthorityUnavailable` for anything else."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AuthorityUnavailable(f"HTTP {response.status_code} without a JSON object")
    if response.is_success:
        return body
    code = str(body.get("code") or body.get("error") or "malformed")
    detail = str(body.get("detail") or body.get("error_description") or body.get("title") or "refused")
    raise Refused(code, detail, response.status_code, body.get("decision_id"), body)
