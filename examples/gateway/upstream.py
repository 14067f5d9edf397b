"""A toy bank, MCP server and A2A agent, for the tutorial and the how-tos. It trusts whoever reaches it.

usage: upstream.py [ADDRESS]
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARD = {
    "name": "Clerk",
    "description": "Pays bills",
    "version": "1",
    "supportedInterfaces": [
        {"url": "http://127.0.0.1:8432/a2a/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "capabilities": {},
    "defaultInputModes": ["application/json"],
    "defaultOutputModes": ["text/plain"],
    "skills": [
        {"id": "pay-bill", "name": "Pay", "description": "Pays a bill", "tags": []},
        {"id": "close-account", "name": "Close", "description": "Closes the account", "tags": []},
    ],
}


def tool(name: str, description: str) -> dict:
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS = [tool("read", "Reads a file"), tool("delete", "Deletes a file")]


def mcp(message: dict) -> dict:
    match message["method"]:
        case "initialize":
            server = {"name": "toy", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": server}
        case "tools/list":
            return {"tools": TOOLS}
        case "tools/call":
            text = f"{message['params']['name']}: {message['params']['arguments']}"
            return {"content": [{"type": "text", "text": text}]}
    return {}


def a2a(message: dict) -> dict:
    if message["method"] == "SendMessage":
        return {"task": {"id": "clerk-1", "contextId": "c-1", "status": {"state": "TASK_STATE_WORKING"}}}
    return {"id": "clerk-1", "contextId": "c-1", "status": {"state": "TASK_STATE_COMPLETED"}}


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        match self.path:
            case "/bank/balance":
                self.answer({"balance": 1810, "seen": {name.lower(): value for name, value in self.headers.items()}})
            case "/a2a/.well-known/agent-card.json":
                self.answer(CARD)
            case _:
                self.answer({"error": "no such path"}, 404)

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        match self.path:
            case "/bank/payments":
                self.answer({"paid": message})
            case "/mcp" | "/a2a/rpc" if "id" not in message:
                self.answer({}, 202)
            case "/mcp":
                self.answer({"jsonrpc": "2.0", "id": message["id"], "result": mcp(message)})
            case "/a2a/rpc":
                self.answer({"jsonrpc": "2.0", "id": message["id"], "result": a2a(message)})
            case _:
                self.answer({"error": "no such path"}, 404)


if __name__ == "__main__":
    host, port = (sys.argv[1:2] or ["127.0.0.1:8432"])[0].split(":")
    ThreadingHTTPServer((host, int(port)), Upstream).serve_forever()
