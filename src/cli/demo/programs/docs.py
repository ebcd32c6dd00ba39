# Plain Python as an agent writes it: no proxy setting, no credential, the usual certificate checks.
import json, os, urllib.request

URL = f"https://docs.{os.environ['DOMAIN']}/mcp"
session, number = None, 0

def rpc(method, params=None, notify=False):
    global session, number
    number += 1
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
    if not notify:
        message["id"] = number
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    if session:
        headers["mcp-session-id"] = session
    request = urllib.request.Request(URL, json.dumps(message).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        session = reply.headers.get("mcp-session-id") or session
        body = reply.read().decode()
    if body.startswith(("event:", "data:", "id:", ":")):
        body = next(line[5:] for line in reversed(body.splitlines()) if line.startswith("data:"))
    return json.loads(body) if body.strip() else None

rpc("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "demo", "version": "1"}})
rpc("notifications/initialized", notify=True)
print("tools", sorted(tool["name"] for tool in rpc("tools/list")["result"]["tools"]))
call = lambda name, **arguments: rpc("tools/call", {"name": name, "arguments": arguments})
print("found", call("search_docs", query="backups")["result"]["content"][0]["text"])
print("denied", json.dumps(call("delete_everything")["error"]["data"]["reason"]))
