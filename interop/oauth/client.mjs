// openid-client, oauth4webapi and jose at the Authority and through a gateway: node client.mjs CONFIG.json
// Each check is a line of JSON: {what, good, got}.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { inflateSync } from "node:zlib";

const require = createRequire(`${process.env.OAUTH_NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [client, oauth, jose] = await Promise.all(["openid-client", "oauth4webapi", "jose"].map(load));
const { issuer, resource, audience, subject, lead, worker, gateway, operator, workflow, workerId } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const type = (name) => `urn:ietf:params:oauth:token-type:${name}`;
const GRANT = "urn:bailiwick:token-type:grant";
const HOP = "urn:bailiwick:hop";
const insecure = { [oauth.allowInsecureRequests]: true }; // Loopback.

const check = (what, good, got) => console.log(JSON.stringify({ what, good: Boolean(good), got: got ?? null }));
const codeOf = async (promise) => {
  try {
    await promise;
    return "accepted";
  } catch (error) {
    const cause = error.cause ?? {};
    // A challenge says nothing of why; the body does.
    if (error instanceof client.WWWAuthenticateChallengeError) return (await error.response.json()).code;
    return cause.code && typeof cause.code === "string" && cause.error ? cause.code : (cause.error ?? error.code ?? error.message);
  }
};
// An object with its members in order, which is RFC 8785 for what stands in a grant.
const ordered = (value) =>
  Array.isArray(value) ? value.map(ordered)
    : value && typeof value === "object" ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, ordered(value[name])]))
      : value;

// A public client of the Authority with a key of its own; what went over the wire is kept.
async function agent(id, algorithm) {
  const wire = [];
  const config = await client.discovery(new URL(issuer), id, undefined, client.None(), {
    algorithm: "oauth2", execute: [client.allowInsecureRequests],
  });
  config[client.customFetch] = async (url, options) => {
    const response = await fetch(url, options);
    wire.push({ url: String(url), status: response.status, headers: options.headers });
    return response;
  };
  const keys = await client.randomDPoPKeyPair(algorithm, { extractable: true });
  const jwk = ordered(await jose.exportJWK(keys.publicKey));
  const DPoP = client.getDPoPHandle(config, keys);
  const exchange = (form, options = { DPoP }) => client.genericGrantRequest(config, EXCHANGE, form, options);
  return { config, keys, jwk, DPoP, exchange, wire, thumbprint: await jose.calculateJwkThumbprint(jwk) };
}

const open = (svid, more = {}) => ({
  subject_token: subject, subject_token_type: type("id_token"), actor_token: svid, actor_token_type: type("jwt"), audience,
  authorization_details: JSON.stringify([{ type: "bailiwick_task", workflow, parameters: {} }]), ...more,
});
const settling = (grant, svid) => ({ subject_token: grant, subject_token_type: GRANT, actor_token: svid, actor_token_type: type("jwt") });

// A grant that jose signs with the parent's key. `change` makes it another one.
async function grant(parent, holder, delegatee, change = () => {}) {
  const held = jose.decodeJwt(parent);
  const { v, purpose, workflow, tenant, env } = held[HOP];
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: held.client_id, sub: held.sub, aud: held.aud, client_id: delegatee, iat: now, exp: Math.min(held.exp, now + 120),
    jti: crypto.randomUUID(), scope: "crm.read", txn: held.txn, del_depth: held.del_depth + 1, del_max_depth: held.del_max_depth,
    authorization_details: [{ type: "agent_delegation", scopes: ["crm.read"], constraints: held.authorization_details[0].constraints }],
    par_hash: createHash("sha256").update(parent.slice(0, parent.lastIndexOf("."))).digest("base64url"),
    [HOP]: { v, purpose, workflow, tenant, env },
  };
  change(claims);
  const header = ordered({ alg: holder.jwk.kty === "EC" ? "ES256" : "EdDSA", c14n: "JCS", jwk: holder.jwk, typ: "at+jwt" });
  const payload = new TextEncoder().encode(JSON.stringify(ordered(claims)));
  return new jose.CompactSign(payload).setProtectedHeader(header).sign(holder.keys.privateKey);
}

async function metadata(leading) {
  const told = leading.config.serverMetadata();
  check("openid-client: discovers the Authority by RFC 8414", told.issuer === issuer && told.token_endpoint === `${issuer}/oauth/token`, told);
  check("openid-client: which says what it serves", told.grant_types_supported.join() === EXCHANGE && told.dpop_signing_alg_values_supported.includes("ES256")
    && told.authorization_details_types_supported.includes("bailiwick_task") && told.response_types_supported.length === 0, told);
  const alias = new URL(issuer);
  alias.hostname = "localhost";
  const other = await codeOf(client.discovery(alias, "x", undefined, client.None(), { algorithm: "oauth2", execute: [client.allowInsecureRequests] }));
  check("openid-client: does not take it under another name", other !== "accepted" && /ISSUER|ATTRIBUTE|unexpected/i.test(other), other);
}

async function exchanges(leading, working) {
  const before = leading.wire.length;
  const first = await leading.exchange(open(lead));
  const [asked, answered, ...rest] = leading.wire.slice(before).map((it) => it.status);
  check("openid-client: opens a task by RFC 8693, and brings the nonce that it is asked for", asked === 400 && answered === 200 && rest.length === 0, [asked, answered, rest]);
  check("openid-client: the answer is whole", first.token_type === "dpop" && first.issued_token_type === type("access_token")
    && first.expires_in > 0 && first.scope === "crm.read crm.write" && first.authorization_details[0].type === "agent_delegation" && !("refresh_token" in first), first);
  const renewed = await leading.exchange({ subject_token: first.access_token, subject_token_type: type("access_token") });
  check("openid-client: renews with the nonce it has, in one request", leading.wire.length === before + 3, leading.wire.slice(before).map((it) => it.status));
  const [old, fresh] = [first, renewed].map((it) => jose.decodeJwt(it.access_token));
  check("jose: a renewal is the same hop", fresh.jti !== old.jti && fresh.txn === old.txn && fresh.del_depth === 0 && fresh.exp >= old.exp, fresh);

  const handed = await grant(renewed.access_token, leading, workerId);
  const embedded = await jose.compactVerify(handed, jose.EmbeddedJWK);
  check("jose: a grant verifies by the key in its header, which is the parent's", await jose.calculateJwkThumbprint(embedded.protectedHeader.jwk) === fresh.cnf.jkt, embedded.protectedHeader);
  const settled = await working.exchange(settling(handed, worker));
  const claims = jose.decodeJwt(settled.access_token);
  check("openid-client: settles a grant that jose made", settled.scope === "crm.read" && claims.cnf.jkt === working.thumbprint && claims.client_id === workerId, claims);
  check("jose: who began it, for what, and through whom stands in the token", claims.sub === old.sub && claims.txn === old.txn && claims.del_depth === 1
    && claims.act.sub === workerId && claims.act.act.sub === old.client_id && claims[HOP].workflow === workflow && claims[HOP].lineage.includes(fresh.jti), claims);
  const parentHash = createHash("sha256").update(renewed.access_token.slice(0, renewed.access_token.lastIndexOf("."))).digest("base64url");
  check("jose: and which token it came from", claims.par_hash === parentHash && claims.exp <= fresh.exp, claims);
  return { parent: renewed.access_token, child: settled.access_token };
}

async function refusals(leading, working, parent) {
  const detail = (change) => (claims) => change(claims.authorization_details[0]);
  const made = (change, key = leading) => grant(parent, key, workerId, change).then((it) => working.exchange(settling(it, worker)));
  const cases = [
    ["a scope that the parent lacks", "not_narrower", () => made((claims) => { claims.scope = "crm.admin"; claims.authorization_details[0].scopes = ["crm.admin"]; })],
    ["no constraint where the parent has one", "not_narrower", () => made(detail((it) => { it.constraints = []; }))],
    ["a wider constraint", "not_narrower", () => made(detail((it) => { it.constraints = [{ key: "rows", max: 1000 }]; }))],
    ["a life of more than 15 minutes", "malformed", () => made((claims) => { claims.exp = claims.iat + 901; })],
    ["another subject", "principal_altered", () => made((claims) => { claims.sub = "user:mallory@dev.example"; })],
    ["another task", "task_mismatch", () => made((claims) => { claims.txn = crypto.randomUUID(); })],
    ["the delegatee's own signature", "holder_binding_failed", () => made(() => {}, working)],
    ["another parent", "par_hash_mismatch", () => made((claims) => { claims.par_hash = createHash("sha256").update("x").digest("base64url"); })],
    ["another agent's name", "holder_binding_failed", async () => working.exchange(settling(await grant(parent, leading, "spiffe://dev.bailiwick.example/gateway/edge"), worker))],
    ["no agent's identity beside it", "issuer_untrusted", async () => working.exchange(settling(await grant(parent, leading, workerId), subject))],
  ];
  for (const [what, code, attempt] of cases) {
    const got = await codeOf(attempt());
    check(`openid-client: a grant with ${what} is refused as ${code}`, got === code, got);
  }
  const settled = await working.exchange(settling(await grant(parent, leading, workerId, (claims) => { claims.cnf = { jkt: working.thumbprint }; }), worker));
  check("openid-client: and one that is bound to the delegatee's key settles", settled.token_type === "dpop", settled);
  const bound = await grant(parent, leading, workerId, (claims) => { claims.cnf = { jkt: leading.thumbprint }; });
  const got = await codeOf(working.exchange(settling(bound, worker)));
  check("openid-client: but to nobody else's", got === "holder_binding_failed", got);
}

async function forms(leading) {
  const cases = [
    ["client_credentials is not served", "unsupported_grant_type", () => client.clientCredentialsGrant(leading.config, {}, { DPoP: leading.DPoP })],
    ["nor are refresh tokens", "unsupported_grant_type", () => client.refreshTokenGrant(leading.config, "x", {}, { DPoP: leading.DPoP })],
    ["a subject token of an unknown type", "invalid_request", () => leading.exchange(open(lead, { subject_token_type: type("saml2") }))],
    ["another kind of token than there is", "invalid_request", () => leading.exchange(open(lead, { requested_token_type: type("refresh_token") }))],
    ["a workflow that is not there", "invalid_authorization_details", () => leading.exchange(open(lead, { authorization_details: JSON.stringify([{ type: "bailiwick_task", workflow: "none", parameters: {} }]) }))],
    ["an audience that the workflow lacks", "invalid_target", () => leading.exchange(open(lead, { audience: "https://elsewhere.example" }))],
    ["a scope that the workflow lacks", "invalid_scope", () => leading.exchange(open(lead, { scope: "crm.admin" }))],
    ["a subject's token that nobody signed", "invalid_grant", () => leading.exchange(open(lead, { subject_token: `${subject.slice(0, -6)}AAAAAA` }))],
    ["no agent's identity", "invalid_request", () => { const { actor_token, actor_token_type, ...form } = open(lead); return leading.exchange(form); }],
    ["no proof", "invalid_dpop_proof", () => leading.exchange(open(lead), {})],
  ];
  for (const [what, error, attempt] of cases) {
    let got = "accepted";
    try {
      await attempt();
    } catch (refusal) {
      got = refusal instanceof client.ResponseBodyError ? refusal.error : (refusal.cause?.error ?? String(refusal));
    }
    check(`openid-client: ${what}: ${error}`, got === error, got);
  }
}

async function tokens({ parent, child }, leading) {
  const keys = jose.createRemoteJWKSet(new URL(leading.config.serverMetadata().jwks_uri));
  const expected = { issuer, audience, typ: "at+jwt", requiredClaims: ["jti", "client_id", "cnf", "txn", "act", "status"] };
  for (const [what, token] of [["first", parent], ["second", child]]) {
    const read = await jose.jwtVerify(token, keys, expected);
    check(`jose: the ${what} hop's token verifies with the published keys`, read.protectedHeader.alg === "ES256", read.protectedHeader);
  }
  const [head, body, signature] = child.split(".");
  const widened = Buffer.from(JSON.stringify({ ...jose.decodeJwt(child), scope: "crm.write" })).toString("base64url");
  const bad = [["of another audience", child, { ...expected, audience: "https://elsewhere.example" }], ["that was changed", [head, widened, signature].join("."), expected],
    ["without a signature", [Buffer.from('{"alg":"none","typ":"at+jwt"}').toString("base64url"), body, ""].join("."), expected]];
  for (const [what, token, rules] of bad) {
    const got = await codeOf(jose.jwtVerify(token, keys, rules));
    check(`jose: a token ${what} does not`, got !== "accepted", got);
  }
  const { keys: published } = await (await fetch(leading.config.serverMetadata().jwks_uri)).json();
  check("jose: no private part is published", published.every((key) => !("d" in key) && key.kid && key.alg && key.use === "sig"), published);
}

async function resources({ child }, leading, working) {
  const call = (who, token) => client.fetchProtectedResource(who.config, token, new URL(`${resource}/contacts`), "GET", undefined, undefined, { DPoP: who.DPoP });
  const before = working.wire.length;
  const reply = await call(working, child);
  const body = await reply.json();
  const statuses = () => working.wire.slice(before).map((it) => it.status);
  check("openid-client: calls through the gateway, and brings its nonce", reply.status === 200 && statuses().join() === "401,200", [body, statuses()]);
  check("openid-client: the upstream sees no token", !("authorization" in body.headers) && !("dpop" in body.headers), body);
  await call(working, child);
  check("openid-client: the next call is one request", statuses().join() === "401,200,200", statuses());
  let challenge;
  try {
    await call(leading, child);
  } catch (error) {
    challenge = error.cause?.find?.((it) => it.scheme === "dpop")?.parameters;
  }
  check("openid-client: a token with somebody else's key is challenged, by RFC 9449", challenge?.algs === "Ed25519 EdDSA ES256", challenge);
  const address = new URL(challenge?.resource_metadata ?? "http://127.0.0.1");
  const document = await (await fetch(address)).json();
  const found = await oauth.processResourceDiscoveryResponse(new URL(resource), await oauth.resourceDiscoveryRequest(new URL(resource), insecure));
  check("oauth4webapi: finds the resource by RFC 9728, and from it the Authority", found.authorization_servers.join() === issuer && found.dpop_bound_access_tokens_required === true, found);
  check("oauth4webapi: at the place that the challenge names", JSON.stringify(document) === JSON.stringify(found), document);
  const wrong = await codeOf(oauth.resourceDiscoveryRequest(new URL(`${resource}/contacts`), insecure).then((it) => oauth.processResourceDiscoveryResponse(new URL(`${resource}/contacts`), it)));
  check("oauth4webapi: which is no other resource", wrong !== "accepted", wrong);

  // A resource server that checks by itself: oauth4webapi does, by RFC 9068 and RFC 9449.
  const sent = working.wire.at(-1);
  const as = { issuer, jwks_uri: leading.config.serverMetadata().jwks_uri };
  const judge = (headers, wanted = audience) => oauth.validateJwtAccessToken(as, new Request(sent.url, { headers }), wanted, { requireDPoP: true, ...insecure });
  const claims = await judge(sent.headers);
  check("oauth4webapi: a stock resource server takes token and proof", claims.cnf.jkt === working.thumbprint && claims.scope === "crm.read", claims);
  const elsewhere = await codeOf(judge(sent.headers, "https://elsewhere.example"));
  check("oauth4webapi: not for another audience", elsewhere !== "accepted", elsewhere);
  const bearer = new Headers(sent.headers);
  bearer.delete("dpop");
  const stripped = await codeOf(judge(bearer));
  check("oauth4webapi: nor without the proof", stripped !== "accepted", stripped);
}

async function replays(leading) {
  const url = leading.config.serverMetadata().token_endpoint;
  const post = (proof) => fetch(url, { method: "POST", headers: { DPoP: proof }, body: new URLSearchParams({ grant_type: EXCHANGE, ...open(lead) }) });
  const proof = (claims, header = {}) => new jose.SignJWT({ jti: crypto.randomUUID(), htm: "POST", htu: url, ...claims })
    .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk: leading.jwk, ...header }).setIssuedAt(claims.iat).sign(leading.keys.privateKey);
  const asked = await post(await proof({}));
  const nonce = asked.headers.get("dpop-nonce");
  check("jose: a proof without a nonce is asked for one, by RFC 9449 §8", asked.status === 400 && (await asked.json()).error === "use_dpop_nonce" && nonce, asked.status);
  const good = await proof({ nonce });
  const answers = [await post(good), await post(good)];
  const [, again] = await Promise.all(answers.map((it) => it.json()));
  check("jose: a proof is good once", answers[0].status === 200 && answers[1].status === 400 && again.error === "invalid_dpop_proof" && again.code === "proof_replayed", again);
  const now = Math.floor(Date.now() / 1000);
  const cases = [["for another URL", { htu: `${issuer}/oauth/introspect` }], ["for another method", { htm: "GET" }], ["that is old", { iat: now - 300 }], ["with a nonce of its own", { nonce: "x" }]];
  for (const [what, claims] of cases) {
    const reply = await post(await proof({ nonce, ...claims }));
    const body = await reply.json();
    check(`jose: a proof ${what} is not`, reply.status === 400 && body.error === (what.includes("nonce") ? "use_dpop_nonce" : "invalid_dpop_proof"), body);
  }
  const typed = await post(await proof({ nonce }, { typ: "jwt" }));
  const said = await typed.json();
  check("jose: nor is a JWT of another type", typed.status === 400 && said.error === "invalid_dpop_proof", said);
}

async function ends({ parent, child }, leading) {
  const as = leading.config.serverMetadata();
  const bearer = (token) => (_as, _client, _body, headers) => headers.set("authorization", `Bearer ${token}`);
  const me = { client_id: "resource" };
  const ask = async (token, who = gateway) => oauth.processIntrospectionResponse(as, me, await oauth.introspectionRequest(as, me, bearer(who), token, insecure));
  const alive = await ask(child);
  const claims = jose.decodeJwt(child);
  check("oauth4webapi: introspection (RFC 7662) tells an enforcement point the claims", alive.active && alive.jti === claims.jti && alive.cnf.jkt === claims.cnf.jkt && alive.scope === "crm.read", alive);
  const nobody = await codeOf(ask(child, subject));
  check("oauth4webapi: and nobody whom it is no business of", nobody !== "accepted" || !(await ask(child, subject)).active, nobody);

  const lists = jose.createRemoteJWKSet(new URL(`${issuer}/.well-known/status-list-jwks.json`));
  const bit = async () => {
    const { idx, uri } = claims.status.status_list;
    const list = await (await fetch(uri)).text();
    const { payload } = await jose.jwtVerify(list, lists, { typ: "statuslist+jwt", subject: uri });
    const bytes = inflateSync(Buffer.from(payload.status_list.lst, "base64url"));
    return payload.status_list.bits === 1 ? ((bytes[idx >> 3] ?? 0) >> (idx & 7)) & 1 : NaN;
  };
  const before = await bit();
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, bearer(operator), parent, insecure));
  const dead = await ask(child);
  check("oauth4webapi: revoking the first hop (RFC 7009) ends the second", JSON.stringify(dead) === '{"active":false}', dead);
  check("jose: the signed status list says so", before === 0 && (await bit()) === 1, [before, await bit()]);
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, bearer(operator), "no-token", insecure));
  check("oauth4webapi: revoking what is no token is no error", true);
  const got = await codeOf(leading.exchange({ subject_token: parent, subject_token_type: type("access_token") }));
  check("openid-client: what was revoked is not renewed", got === "revoked", got);
}

const leading = await agent("lead", "ES256");
const working = await agent("worker", "Ed25519");
await metadata(leading);
const held = await exchanges(leading, working);
await refusals(leading, working, held.parent);
await forms(leading);
await tokens(held, leading);
await resources(held, leading, working);
await replays(leading);
await ends(held, leading);
