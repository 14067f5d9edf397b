// A strict authorization server (oidc-provider): node provider.mjs CONFIG.json
// CONFIG has port, clients, resources ({URI: {scope, format, ttl}}). Each request that it answered is a line of JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.OAUTH_NODE_MODULES}/`);
const { default: Provider, errors } = await import(pathToFileURL(require.resolve("oidc-provider")).href);
const { port, clients, resources } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const scopes = Object.values(resources).flatMap((it) => it.scope.split(" "));
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  scopes: [...new Set(scopes)],
  clientAuthMethods: ["private_key_jwt", "client_secret_basic", "client_secret_post"],
  enabledJWA: { clientAuthSigningAlgValues: ["ES256", "EdDSA", "RS256", "PS256"] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      // Nobody is given a token for everything.
      defaultResource: () => undefined,
      getResourceServerInfo: (_ctx, uri) => {
        const known = resources[uri];
        if (!known) throw new errors.InvalidTarget();
        return { scope: known.scope, audience: uri, accessTokenFormat: known.format, accessTokenTTL: known.ttl };
      },
    },
  },
});
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path !== "/token") return;
  const { body, client } = ctx.oidc ?? {};
  const told = { status: ctx.status, error: ctx.body?.error, client: client?.clientId, method: client?.clientAuthMethod };
  console.log(JSON.stringify({ ...told, form: Object.keys(body ?? {}), token: ctx.body?.access_token }));
});
for (const event of ["server_error", "grant.error"]) {
  provider.on(event, (_ctx, error) => console.log(JSON.stringify({ event, error: `${error.error}: ${error.error_detail ?? error.message}` })));
}
provider.listen(port, "127.0.0.1");
