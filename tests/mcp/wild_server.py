"""An MCP server over stdio that speaks JSON-RPC by hand and misbehaves exactly as it is told.

    python -S -E tests/mcp/wild_server.py BEHAVIOUR [LOG]

Appends the method of each message that it receives to the file LOG, and "start" when it starts.
"""

import json
import sys
import time

BEHAVIOUR = sys.argv[1]
MODERN = "2026-07-28"
MODERN_ONES = "modern", "changing", "late"
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
ASKS = {
    "asks": ("elicitation/create", {"message": "Who are you?", "requestedSchema": NAME}),
    "asks-url": (
        "elicitation/create",
        {"mode": "url", "message": "Log in", "url": "https://x.org/login", "elicitationId": "7"},
    ),
    "asks-roots": ("roots/list", {}),
    "asks-model": ("sampling/createMessage", {"messages": [], "maxTokens": 1}),
}
LISTENING, GROWN = [], []
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
CACHE = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
EVIL = "(a+)+$"
OUTPUT = {
    "output-pattern": {"properties": {"x": {"type": "string", "pattern": EVIL}}},
    "output-names": {"patternProperties": {EVIL: {"type": "string"}}, "additionalProperties": False},
    "output-unevaluated": {"patternProperties": {EVIL: {}}, "unevaluatedProperties": False},
    "output-wrong": {"properties": {"x": {"type": "integer"}}},
    "output-none": {},
    "output-invalid": {"properties": {"x": {"type": 7}}},
    "output-endless": {"$ref": "#"},
}
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


def notify(method, **params):
    send(method=f"notifications/{method}", params=params)


def ask(method, params):
    """Ask the client, and return its answer or error."""
    send(id="question", method=method, params=params)
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == "question":
            return message.get("result", message.get("error"))
    return None


def answer(request, method, params):
    if method == "server/discover":
        if BEHAVIOUR == "exits":
            sys.exit("expected initialize")
        if BEHAVIOUR in ("silent", "stuck"):
            return None
        if BEHAVIOUR == "late":
            time.sleep(0.5)
        if BEHAVIOUR in ("incomplete", "modern", "changing", "late"):
            return {"supportedVersions": [MODERN], "capabilities": {"tools": {"listChanged": True}}, **CACHE}
    if method == "subscriptions/listen" and BEHAVIOUR == "changing":
        LISTENING.append(request)
        about = {SUBSCRIPTION: request}
        notify("subscriptions/acknowledged", notifications={"toolsListChanged": True}, _meta=about)
        return None
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
    if method == "resources/list" and BEHAVIOUR == "cursors":
        return {"resources": [], "nextCursor": "again"}
    if method == "tools/call":
        return call(request, params["name"], params.get("arguments") or {})
    send(id=request, error={"code": -32601, "message": f"no method {method}"})
    return None


def listing(params):
    if BEHAVIOUR == "cursors":  # the same cursor, for ever
        return {"tools": [ECHO] if not params.get("cursor") else [], "nextCursor": "again"}
    if BEHAVIOUR == "pages":  # another cursor, for ever
        return {"tools": [], "nextCursor": str(int(params.get("cursor", 0)) + 1)}
    tools = [{**ECHO, "outputSchema": {"type": "object", **OUTPUT[BEHAVIOUR]}}] if BEHAVIOUR in OUTPUT else [ECHO]
    more = [{**ECHO, "name": "more"}] if GROWN else []
    return {"tools": [*tools, *more], **(CACHE if BEHAVIOUR in MODERN_ONES else {})}


def call(request, name, arguments):
    text = arguments.get("text", "")
    modern = BEHAVIOUR in MODERN_ONES
    result = {"content": [{"type": "text", "text": text or name}], **(CACHE if modern else {})}
    if text == "grow":
        GROWN.append(1)
        notify("tools/list_changed", **({"_meta": {SUBSCRIPTION: LISTENING[0]}} if LISTENING else {}))
    if BEHAVIOUR in OUTPUT and BEHAVIOUR != "output-none":
        result["structuredContent"] = (
            {text: text} if BEHAVIOUR in ("output-names", "output-unevaluated") else {"x": text}
        )
    if BEHAVIOUR == "id-first":
        result["content"][0]["text"] = "x" * int(text)
        send(id=request, result=result)
    elif BEHAVIOUR == "id-last":
        result["content"][0]["text"] = "x" * int(text)
        write(json.dumps({"result": result, "jsonrpc": "2.0", "id": request}))
    elif BEHAVIOUR in ASKS:
        result["content"][0]["text"] = json.dumps(ask(*ASKS[BEHAVIOUR]))
        return result
    elif BEHAVIOUR == "logs":
        for level in ("debug", "notice", "emergency"):
            notify("message", level=level, logger="disk", data=f"{level} {text}")
        return result
    elif BEHAVIOUR == "half":
        sys.stdout.write(f'{{"jsonrpc": "2.0", "id": {request}, "result": {{')
        sys.stdout.flush()
        sys.exit(9)
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
