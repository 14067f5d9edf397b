// One round with an unmodified TypeScript client: node client_ts.mjs BINDING URL HOLDER.json SKILL|get:TASK|cancel:TASK
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Holder } from "../mcp/dpop.mjs";

const [binding, url, holderFile, asked] = process.argv.slice(2);
const [what, of] = asked.split(/:(.*)/);
const require = createRequire(`${process.env.A2A_NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } = await load("@a2a-js/sdk/client");
const { Role } = await load("@a2a-js/sdk");
const fetchImpl = Holder.fromFile(holderFile).fetch;
const transport = binding === "JSONRPC" ? new JsonRpcTransportFactory({ fetchImpl }) : new RestTransportFactory({ fetchImpl });
const factory = new ClientFactory({ transports: [transport], cardResolver: new DefaultAgentCardResolver({ fetchImpl }) });
const seen = { texts: [] };
try {
  const client = await factory.createFromUrl(`${url}/`);
  const part = { content: { $case: "text", value: "the report" }, metadata: undefined, filename: "", mediaType: "text/plain" };
  const message = {
    messageId: randomUUID(), contextId: "", taskId: "", role: Role.ROLE_USER, parts: [part],
    metadata: { "urn:bailiwick:skill": what }, extensions: [], referenceTaskIds: [],
  };
  if (what === "get") seen.again = (await client.getTask({ tenant: "", id: of })).id === of;
  else if (what === "cancel") seen.cancelled = (await client.cancelTask({ tenant: "", id: of })).id === of;
  else {
    let task;
    for await (const event of client.sendMessageStream({ tenant: "", message, configuration: undefined, metadata: undefined })) {
      const value = event.payload?.value ?? event;
      task ??= value.taskId ?? value.id;
      for (const it of value.artifact?.parts ?? []) seen.texts.push(it.content?.value ?? "");
    }
    const again = await client.getTask({ tenant: "", id: task });
    Object.assign(seen, { again: again.id === task, task });
  }
} catch (error) {
  seen.refused = `${error.name}: ${error.message} ${JSON.stringify(error.data ?? error.cause ?? "")} ${JSON.stringify(error)}`;
}
console.log(JSON.stringify(seen));
process.exit(0);
