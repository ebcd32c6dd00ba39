"""Calls a tool that the route allows and one that it does not, over MCP, and prints what came of each."""

import json
import urllib.request


def ask(message, session=None):
    accept = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    request = urllib.request.Request("https://docs.tunnel.internal/mcp", body, {**accept, **(session or {})})
    with urllib.request.urlopen(request, timeout=20) as reply:
        text = reply.read().decode()
        lines = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        return reply.headers, json.loads(lines[-1] if lines else text or "null")


client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "smoke", "version": "1"}}
headers, _ = ask({"id": 1, "method": "initialize", "params": client})
session = {"mcp-session-id": headers["mcp-session-id"]}
ask({"method": "notifications/initialized"}, session)
search = {"name": "search_docs", "arguments": {"query": "leave"}}
print(ask({"id": 2, "method": "tools/call", "params": search}, session)[1]["result"]["content"][0]["text"][:6])
denied = {"name": "delete_everything", "arguments": {}}
print(ask({"id": 3, "method": "tools/call", "params": denied}, session)[1]["error"]["data"]["reason"])
