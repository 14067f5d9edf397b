// A proxy beside a client that cannot be changed: adds token and proof to each request and changes nothing else.
// node sidecar.mjs HOLDER.json GATEWAY_ORIGIN   prints its port
import http from "node:http";
import { Holder } from "./dpop.mjs";

const [holderFile, origin] = process.argv.slice(2);
const holder = Holder.fromFile(holderFile);
const own = new URL(origin);

const server = http.createServer((request, reply) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => send(request, Buffer.concat(chunks), reply, 0));
});

function send(request, body, reply, attempt) {
  const url = new URL(request.url, origin);
  const headers = { ...request.headers, ...holder.headers(request.method, url.href) };
  // The client's own address for this proxy is the gateway's; whatever else it says as Host or Origin goes through.
  for (const name of ["host", "origin"]) {
    if (headers[name]) headers[name] = headers[name].replace(`${"127.0.0.1"}:${server.address().port}`, own.host).replace(`localhost:${server.address().port}`, own.host);
  }
  const options = { host: own.hostname, port: own.port, method: request.method, path: request.url, headers };
  const upstream = http.request(options, (answer) => {
    if (holder.challenged(answer.statusCode, (name) => answer.headers[name]) && attempt === 0) {
      answer.resume();
      answer.on("end", () => send(request, body, reply, 1));
      return;
    }
    reply.writeHead(answer.statusCode, answer.headers);
    reply.flushHeaders();
    answer.pipe(reply);
    answer.on("error", () => reply.destroy());
  });
  upstream.on("error", () => reply.destroy());
  reply.on("close", () => upstream.destroy());
  upstream.end(body);
}

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
