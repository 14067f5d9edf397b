// Tasks (2025-11-25) with an unmodified TypeScript client: node client_tasks.mjs URL HOLDER.json begin TOOL ARGUMENTS
// follows one to its result; `look TASK` asks for one, and for all.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Holder } from "./dpop.mjs";

const [url, holderFile, verb, what, given] = process.argv.slice(2);
const require = createRequire(`${process.env.MCP_NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { fetch } = Holder.fromFile(holderFile);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");
const client = new Client({ name: "interop", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch }));
const { tasks } = client.experimental;

// What was asked gives, or the code of its refusal.
const told = async (asked) => {
  try {
    return await asked;
  } catch (error) {
    return { refused: error.data?.code ?? `${error.code}: ${error.message}` };
  }
};
const seen = {};
if (verb === "begin") {
  await client.listTools();
  for await (const event of tasks.callToolStream({ name: what, arguments: JSON.parse(given) })) {
    if (event.type === "taskCreated") seen.task = event.task.taskId;
    if (event.type === "result") seen.result = event.result.content;
    if (event.type === "error") seen.fault = `${event.error.message}`;
  }
} else {
  seen.get = await told(tasks.getTask(what));
  seen.cancel = await told(tasks.cancelTask(what));
}
seen.list = (await told(tasks.listTasks())).tasks?.map((it) => it.taskId);
console.log(JSON.stringify(seen));
await client.close();
process.exit(0);
