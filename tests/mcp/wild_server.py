"""An MCP server over stdio that speaks JSON-RPC by hand and misbehaves exactly as it is told.

    python -S -E tests/mcp/wild_server.py BEHAVIOUR [LOG]

Appends the method of each message that it receives to the file LOG, and "start" when it starts.
"""

import json
import sys
import time

BEHAVIOUR = sys.argv[1]
MODERN = "2026-07-28"
CACHE = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
ECHO = {"name": "echo", "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}}}


def note(word):
    if len(sys.argv) > 2:
        with open(sys.argv[2], "a", encoding="utf8") as log:
            log.write(word + "\n")


def write(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def send(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}))


def answer(request, method, params):
    if method == "server/discover":
        if BEHAVIOUR == "exits":
            sys.exit("expected initialize")
        if BEHAVIOUR in ("silent", "stuck"):
            return None
        if BEHAVIOUR in ("incomplete", "modern"):
            return {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **CACHE}
    if method == "initialize":
        if BEHAVIOUR == "modern":
            data = {"supported": [MODERN], "requested": params["protocolVersion"]}
            send(id=request, error={"code": -32022, "message": "only 2026-07-28", "data": data})
            return None
        if BEHAVIOUR == "refuses":
            send(id=request, error={"code": -32602, "message": "the licence of this server has expired"})
            return None
        version = "1999-01-01" if BEHAVIOUR == "old" else params["protocolVersion"]
        server = {"name": BEHAVIOUR, "version": "1"}
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return listing(params)
    if method == "tools/call":
        return call(request, params["name"], params.get("arguments") or {})
    send(id=request, error={"code": -32601, "message": f"no method {method}"})
    return None


def listing(params):
    if BEHAVIOUR == "cursors":  # the same cursor, for ever
        return {"tools": [ECHO] if not params.get("cursor") else [], "nextCursor": "again"}
    if BEHAVIOUR == "pages":  # another cursor, for ever
        return {"tools": [], "nextCursor": str(int(params.get("cursor", 0)) + 1)}
    return {"tools": [ECHO], **(CACHE if BEHAVIOUR == "modern" else {})}


def call(request, name, arguments):
    text = arguments.get("text", "")
    result = {"content": [{"type": "text", "text": text}], **(CACHE if BEHAVIOUR == "modern" else {})}
    if BEHAVIOUR == "id-first":
        result["content"][0]["text"] = "x" * int(text)
        send(id=request, result=result)
    elif BEHAVIOUR == "id-last":
        result["content"][0]["text"] = "x" * int(text)
        write(json.dumps({"result": result, "jsonrpc": "2.0", "id": request}))
    elif BEHAVIOUR == "raw":
        write(text.replace("ID", json.dumps(request)))
    else:
        return result
    return None


def main():
    note("start")
    stuck = False
    for line in sys.stdin:
        message = json.loads(line)
        note(message.get("method", "answer"))
        stuck = stuck or (BEHAVIOUR == "stuck" and message.get("method") == "server/discover")
        if "id" in message and not stuck:
            result = answer(message["id"], message["method"], message.get("params") or {})
            if result is not None:
                send(id=message["id"], result=result)
    while BEHAVIOUR == "stays":
        time.sleep(1)


if __name__ == "__main__":
    main()
