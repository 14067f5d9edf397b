// An agent of the TypeScript SDK, over JSON-RPC and HTTP+JSON: node server_ts.mjs PORT
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(`${process.env.A2A_NODE_MODULES}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } = await load("@a2a-js/sdk/server");
const { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } = await load("@a2a-js/sdk/server/express");
const express = (await load("express")).default;
const sdk = await load("@a2a-js/sdk");

const port = Number(process.argv[2]);
const card = {
  name: "summarizer", description: "Summarizes", version: "1.0.0",
  supportedInterfaces: [
    { url: `http://127.0.0.1:${port}/`, protocolBinding: "JSONRPC", protocolVersion: "1.0", tenant: "" },
    { url: `http://127.0.0.1:${port}/rest`, protocolBinding: "HTTP+JSON", protocolVersion: "1.0", tenant: "" },
  ],
  capabilities: { streaming: true, pushNotifications: false, extensions: [] },
  defaultInputModes: ["text/plain"], defaultOutputModes: ["text/plain"],
  skills: ["summarize", "translate"].map((id) => ({
    id, name: id, description: id, tags: ["text"], examples: [], inputModes: [], outputModes: [], securityRequirements: [],
  })),
  securitySchemes: {}, securityRequirements: [], signatures: [],
};
const text = (value) => ({ content: { $case: "text", value }, metadata: undefined, filename: "", mediaType: "text/plain" });
const executor = {
  async execute(context, bus) {
    const { taskId, contextId, userMessage } = context;
    const said = userMessage.parts.map((part) => part.content?.value ?? "").join(" ");
    const carried = Object.keys(userMessage.metadata ?? {}).sort();
    const status = (state) => ({ state: sdk.TaskState[state], message: undefined, timestamp: new Date().toISOString() });
    bus.publish(AgentEvent.task({ id: taskId, contextId, status: status("TASK_STATE_WORKING"), artifacts: [], history: [userMessage], metadata: {} }));
    bus.publish(AgentEvent.artifactUpdate({ taskId, contextId, append: false, lastChunk: true, metadata: {},
      artifact: { artifactId: "a", name: "summary", description: "", parts: [text(`summary of ${said}; carried ${carried}`)], metadata: {}, extensions: [] } }));
    bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status("TASK_STATE_COMPLETED"), metadata: {} }));
    bus.finished();
  },
  async cancelTask() {},
};
const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), executor);
const userBuilder = UserBuilder.noAuthentication;
const app = express();
app.use("/.well-known/agent-card.json", agentCardHandler({ agentCardProvider: handler }));
app.use("/rest", restHandler({ requestHandler: handler, userBuilder }));
app.use("/", jsonRpcHandler({ requestHandler: handler, userBuilder }));
app.listen(port, "127.0.0.1");
