"""An MCP server that uses the standard library only, so it starts in milliseconds. It misbehaves on demand.

    python -S -E tests/mcp/tiny_server.py [mute] [stubborn] [malformed]

`mute` never answers; `stubborn` ignores SIGTERM and the end of its stdin; `malformed` writes invalid JSON Schemas.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

LOCK = threading.Lock()
CANCELLED = {}
TOOLS = {
    "echo": {"text": {"type": "string"}},
    "give": {"result": {"type": "object"}},
    "hang": {},
    "busy": {},
    "cancelled": {},
    "pid": {},
    "environ": {},
    "die": {"status": {"type": "integer"}, "words": {"type": "string"}},
    "babble": {"text": {"type": "string"}},
    "breed": {},
    "odd.name": {},
}
MALFORMED = {"required": None, "$defs": None, "anyOf": []}


def send(**message):
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def progress(params, step):
    token = params.get("_meta", {}).get("progressToken")
    if token is not None:
        send(method="notifications/progress", params={"progressToken": token, "progress": step, "total": 9})


def keep_busy(request, params):
    step = 0
    while request not in CANCELLED:
        progress(params, step := step + 1)
        time.sleep(0.01)


def call(request, params):
    name, arguments = params["name"], params.get("arguments") or {}
    if name == "hang":
        progress(params, 1)
        return None
    if name == "busy":
        threading.Thread(target=keep_busy, args=(request, params), daemon=True).start()
        return None
    if name == "die":
        progress(params, 1)
        print(arguments.get("words", ""), file=sys.stderr, flush=True)
        os._exit(arguments["status"])
    if name == "give":
        return {"content": [], **arguments["result"]}
    if name == "babble":
        print(arguments["text"], flush=True)
    if name == "breed":
        text = str(subprocess.Popen([sys.executable, "-S", "-E", "-c", "import time; time.sleep(600)"]).pid)
    else:
        text = {
            "echo": lambda: arguments["text"],
            "cancelled": lambda: json.dumps(list(CANCELLED.values())),
            "pid": lambda: str(os.getpid()),
            "environ": lambda: json.dumps(dict(os.environ)),
        }.get(name, lambda: "done")()
    return {"content": [{"type": "text", "text": text}]}


def answer(request, method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "tiny", "version": "1"},
        }
    if method == "tools/list":  # in two pages
        names = sorted(TOOLS)
        first = "cursor" not in params
        page = names[:3] if first else names[3:]
        more = MALFORMED if "malformed" in sys.argv else {}
        tools = [{"name": n, "inputSchema": {"type": "object", "properties": TOOLS[n], **more}} for n in page]
        return {"tools": tools, **({"nextCursor": "2"} if first else {})}
    if method == "tools/call":
        return call(request, params)
    send(id=request, error={"code": -32601, "message": f"no method {method}"})
    return None


def main():
    if "stubborn" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        message = json.loads(line)
        params = message.get("params") or {}
        if message.get("method") == "notifications/cancelled":
            CANCELLED[params["requestId"]] = params["requestId"]
        elif "id" in message and "mute" not in sys.argv:
            result = answer(message["id"], message["method"], params)
            if result is not None:
                send(id=message["id"], result=result)
    while "stubborn" in sys.argv:
        time.sleep(1)


if __name__ == "__main__":
    main()
