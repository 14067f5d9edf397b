// One round with an unmodified TypeScript client: node client_ts.mjs 1|2 URL HOLDER.json TOOL ARGUMENTS FORBIDDEN
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Holder } from "./dpop.mjs";

const [major, url, holderFile, tool, given, forbidden] = process.argv.slice(2);
const require = createRequire(`${process.env.MCP_NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { fetch } = Holder.fromFile(holderFile);

let Client, StreamableHTTPClientTransport;
if (major === "1") {
  ({ Client } = await load("@modelcontextprotocol/sdk/client/index.js"));
  ({ StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js"));
} else {
  ({ Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client"));
}
// What a call gives: its content, or the code of its refusal.
async function call(name, given) {
  try {
    const answer = await client.callTool({ name, arguments: given });
    return answer.isError ? "isError" : answer.content;
  } catch (error) {
    return error.data?.code ?? `${error.code}: ${error.message}`;
  }
}

const client = new Client({ name: "interop", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch }));
const { tools } = await client.listTools();
const result = await call(tool, JSON.parse(given));
const refused = await call(forbidden, {});
console.log(JSON.stringify({ tools: tools.map((it) => it.name), result, refused }));
await client.close();
process.exit(0);
