// What an agent's HTTP client does with a hop token: Authorization, a proof for each request, the server's nonce.
import { createHash, createPrivateKey, createPublicKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";

const b64 = (data) => Buffer.from(data).toString("base64url");

export class Holder {
  #key;
  #jwk;
  #token;
  #nonce;

  constructor({ pkcs8, token }) {
    this.#key = createPrivateKey({ key: Buffer.from(pkcs8, "base64"), format: "der", type: "pkcs8" });
    const { crv, kty, x } = createPublicKey(this.#key).export({ format: "jwk" });
    this.#jwk = { crv, kty, x };
    this.#token = token;
  }

  static fromFile(path) {
    return new Holder(JSON.parse(readFileSync(path, "utf8")));
  }

  headers(method, url) {
    const htu = new URL(url);
    htu.search = htu.hash = "";
    const ath = createHash("sha256").update(this.#token).digest("base64url");
    const claims = { jti: randomUUID(), htm: method, htu: htu.href, iat: Math.floor(Date.now() / 1000), ath };
    if (this.#nonce) claims.nonce = this.#nonce;
    const header = { typ: "dpop+jwt", alg: "EdDSA", jwk: this.#jwk };
    const input = `${b64(JSON.stringify(header))}.${b64(JSON.stringify(claims))}`;
    const proof = `${input}.${b64(sign(null, Buffer.from(input), this.#key))}`;
    return { authorization: `DPoP ${this.#token}`, dpop: proof };
  }

  // Whether the request has to be sent again, with the nonce that the reply brings.
  challenged(status, get) {
    const nonce = get("dpop-nonce");
    if (nonce) this.#nonce = nonce;
    return status === 401 && nonce && (get("www-authenticate") ?? "").includes("use_dpop_nonce");
  }

  fetch = async (url, init = {}) => {
    for (let attempt = 0; ; attempt++) {
      const headers = new Headers(init.headers);
      for (const [name, value] of Object.entries(this.headers(init.method ?? "GET", url))) headers.set(name, value);
      const reply = await fetch(url, { ...init, headers });
      if (!this.challenged(reply.status, (name) => reply.headers.get(name)) || attempt > 0) return reply;
      await reply.arrayBuffer();
    }
  };
}
