#!/usr/bin/env python3
"""Loopback replay server for the recordings in this folder (stdlib only, Python 3.10+).

    python replay.py                # serves the whole corpus, prints the base address
    python replay.py --list stream anthropic-messages text

From a test (works from sync, asyncio or trio code: the server runs in its own thread):

    with ReplayServer() as s:
        base = s.url("3f2a1b", "split,heartbeat,crlf")   # recording id (a prefix will do), faults
        # -> http://127.0.0.1:PORT/r/3f2a1b.../split,heartbeat,crlf/0 ; any POST under it is answered
        client = openai.OpenAI(base_url=base + "/v1", ...)   # openai: + "/v1"; anthropic: base itself

Faults (comma separated, all seeded by seed=N, default 0):
  split          adversarial chunks: random cuts plus one inside every UTF-8 sequence, CRLF pair and "data:" word
  bytes=K        every chunk K bytes            whole       one chunk
  crlf           CRLF line endings in SSE/NDJSON            heartbeat   SSE comments and blank events, blank NDJSON lines
  nodone         leave out `data: [DONE]` / message_stop    dupfinish   repeat the finishing event(s)
  badjson        break the JSON of a middle event           dropfinish  leave out the finishing event(s) and all after
  cut=P          connection closed after P% of the body, no end of chunked encoding
  rst=P          the same with a TCP reset
  trunc=P        body ends after P% but HTTP ends cleanly (0-chunk): a proxy that gave up
  stall=S@P      at P% say nothing for S seconds, then go on  hang@P    say nothing for ever
  fail=CODExN    answer CODE the first N times (429 carries Retry-After), then the recording; N=0: always
  retryafter=V   the Retry-After value for fail=429 (default 0)
  slow=S         S seconds between chunks       emptybody   200 with nothing       html  200 with an HTML page (captive portal)
  errevent       at mid-body an in-band error event (provider shape), then a clean end
A last path part (here /0) is a nonce: counters for fail= are kept per (id, faults, nonce).
"""
from __future__ import annotations
import argparse, asyncio, json, os, random, socket, struct, sys, threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ERR = {
    400: {"type": "invalid_request_error", "message": "injected bad request"},
    401: {"type": "authentication_error", "message": "injected bad key"},
    429: {"type": "rate_limit_error", "message": "injected rate limit"},
    500: {"type": "api_error", "message": "injected server error"},
    503: {"type": "api_error", "message": "injected unavailable"},
    529: {"type": "overloaded_error", "message": "Overloaded"},
}


def load(root: Path = HERE) -> dict[str, dict]:
    out = {}
    for p in sorted(root.rglob("*.json")):
        try:
            r = json.loads(p.read_text("utf8"))
        except ValueError:
            continue
        if isinstance(r, dict) and "response" in r:
            r["_file"] = str(p)
            out[r["id"]] = r
    return out


def parse(spec: str) -> dict[str, str]:
    f = {}
    for part in filter(None, spec.split(",")):
        if part.startswith("hang@"):
            f["hang"] = part[5:]
        else:
            k, _, v = part.partition("=")
            f[k] = v
    return f


def _events(body: str) -> list[str]:
    """Split SSE text into whole events (each with its blank line) or NDJSON into lines."""
    if "data:" in body[:4000] or body.startswith((":", "event:")):
        return [e + "\n\n" for e in body.replace("\r\n", "\n").split("\n\n") if e.strip()]
    return [l + "\n" for l in body.splitlines() if l.strip()]


_FIN = ('"finish_reason":"', '"finish_reason": "', "message_delta", "message_stop", "response.completed", "response.incomplete", "response.failed", '"done":true', '"done": true')


def _is_finish(e: str) -> bool:
    return any(m in e for m in _FIN)


def transform(rec: dict, f: dict[str, str]) -> bytes:
    body = rec["response"]["body"]
    if not rec["streaming"]:
        if "badjson" in f:
            body = body[: len(body) // 2] + "}{" + body[len(body) // 2 :]
        return body.encode("utf8", "surrogatepass")
    ev = _events(body)
    sse = ev and not ev[0].lstrip().startswith("{")
    if "nodone" in f:
        ev = [e for e in ev if "[DONE]" not in e and "message_stop" not in e]
    if "dropfinish" in f:
        for i, e in enumerate(ev):
            if _is_finish(e):
                ev = ev[:i]
                break
    if "dupfinish" in f:
        ev = [x for e in ev for x in ([e, e] if _is_finish(e) else [e])]
    if "badjson" in f:
        i = len(ev) // 2
        k = ev[i].rfind("}")
        ev[i] = ev[i][:k] + "\n\n" if sse else ev[i][:k] + "\n"
    if "errevent" in f:
        i = len(ev) // 2
        api = rec["api"]
        if api == "anthropic-messages":
            x = 'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
        elif api == "openai-responses":
            x = 'event: error\ndata: {"type":"error","code":"server_error","message":"injected","param":null,"sequence_number":9999}\n\n'
        elif sse:
            x = 'data: {"error":{"message":"injected","type":"server_error","code":500}}\n\n'
        else:
            x = '{"error":"injected"}\n'
        ev = ev[:i] + [x]
    if "heartbeat" in f:
        ev = [x for e in ev for x in ([": keep-alive\n\n", ":\n\n", e] if sse else ["\n", e])]
    s = "".join(ev)
    if "crlf" in f:
        s = s.replace("\n", "\r\n")
    return s.encode("utf8", "surrogatepass")


def chunks(b: bytes, f: dict[str, str], rnd: random.Random, streaming: bool) -> list[bytes]:
    if not b:
        return []
    if "whole" in f or (not streaming and "split" not in f and "bytes" not in f):
        return [b]
    if "bytes" in f:
        k = int(f["bytes"])
        return [b[i : i + k] for i in range(0, len(b), k)]
    if "split" in f:
        cuts = {rnd.randrange(1, len(b)) for _ in range(max(4, min(400, len(b) // 60)))} if len(b) > 1 else set()
        for i in range(1, len(b)):
            if b[i] & 0xC0 == 0x80:  # continuation byte: cut inside the character
                cuts.add(i)
            elif b[i - 1 : i + 1] == b"\r\n":
                cuts.add(i)
        j = b.find(b"data:")
        while j >= 0 and len(cuts) < 1500:
            cuts.add(j + rnd.randrange(1, 5))
            j = b.find(b"data:", j + 1 + rnd.randrange(0, 2000))
        c = [0, *sorted(x for x in cuts if 0 < x < len(b)), len(b)]
        return [b[x:y] for x, y in zip(c, c[1:])]
    import re

    return [m.group(0).encode("utf8", "surrogatepass") for m in re.finditer(r"(?s).*?(?:\r?\n\r?\n|\Z)", b.decode("utf8", "surrogatepass")) if m.group(0)]


class ReplayServer:
    def __init__(self, recs: dict[str, dict] | None = None, port: int = 0):
        self.recs = recs if recs is not None else load()
        self.port = port
        self.hits: dict[str, int] = {}
        self.requests: list[dict] = []  # (path, json) of everything received, for assertions
        self.open = 0
        self.keep_requests = True

    # -- addressing
    def find(self, rid: str) -> dict:
        r = self.recs.get(rid)
        if r:
            return r
        m = [k for k in self.recs if k.startswith(rid)]
        if len(m) != 1:
            raise KeyError(rid)
        return self.recs[m[0]]

    def url(self, rid: str, faults: str = "", nonce: object = 0) -> str:
        return f"http://127.0.0.1:{self.port}/r/{rid}/{faults or '-'}/{nonce}"

    # -- lifecycle
    def __enter__(self):
        ready = threading.Event()

        def main():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

            async def go():
                self.srv = await asyncio.start_server(self._conn, "127.0.0.1", self.port, backlog=2048)
                self.port = self.srv.sockets[0].getsockname()[1]
                ready.set()
                self._stop = asyncio.Event()
                await self._stop.wait()
                self.srv.close()
                tasks = asyncio.all_tasks() - {asyncio.current_task()}
                for t in tasks:
                    t.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.sleep(0)  # lets the transports close

            self.loop.run_until_complete(go())
            self.loop.close()

        self.thread = threading.Thread(target=main, name="replay", daemon=True)
        self.thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *a):
        self.loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(5)

    # -- wire
    async def _conn(self, rd, wr):
        self.open += 1
        try:
            wr.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while await self._one(rd, wr):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            self.open -= 1
            try:
                wr.close()
            except Exception:
                pass

    async def _one(self, rd, wr) -> bool:
        try:
            head = (await rd.readuntil(b"\r\n\r\n")).decode("latin1")
        except asyncio.IncompleteReadError:
            return False
        lines = head.split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        hdr = {k.strip().lower(): v.strip() for k, _, v in (l.partition(":") for l in lines[1:] if l)}
        n = int(hdr.get("content-length", 0) or 0)
        if hdr.get("transfer-encoding", "").lower() == "chunked":
            raw = b""
            while True:
                k = int((await rd.readline()).split(b";")[0], 16)
                raw += await rd.readexactly(k)
                await rd.readline()
                if k == 0:
                    break
        else:
            raw = await rd.readexactly(n) if n else b""
        if self.keep_requests:
            try:
                js = json.loads(raw) if raw else None
            except ValueError:
                js = None
            self.requests.append({"method": method, "path": target, "json": js})
        p = target.split("?")[0].split("/")
        if len(p) < 5 or p[1] != "r":
            return await self._send(wr, 404, {"content-type": "application/json"}, b'{"error":{"message":"no such recording"}}')
        try:
            rec = self.find(p[2])
        except KeyError:
            return await self._send(wr, 404, {"content-type": "application/json"}, b'{"error":{"message":"no such recording"}}')
        f = parse("" if p[3] == "-" else p[3].replace("%2C", ",").replace("%3D", "=").replace("%40", "@"))
        key = "/".join(p[2:5])
        self.hits[key] = hit = self.hits.get(key, 0) + 1
        rnd = random.Random(f"{f.get('seed', 0)}:{key}")
        if "fail" in f:
            code, _, cnt = f["fail"].partition("x")
            code, cnt = int(code), int(cnt or 1)
            if cnt == 0 or hit <= cnt:
                e = ERR.get(code, {"type": "error", "message": "injected"})
                h = {"content-type": "application/json"}
                if code == 429:
                    h["retry-after"] = f.get("retryafter", "0")
                b = {"type": "error", "error": e} if rec["api"] == "anthropic-messages" else {"error": {**e, "code": None, "param": None}}
                if rec["api"].startswith("ollama"):
                    b = {"error": e["message"]}
                return await self._send(wr, code, h, json.dumps(b).encode())
        ct = rec["response"]["headers"].get("content-type") or ("application/x-ndjson" if rec["api"].startswith("ollama") and rec["streaming"] else "text/event-stream" if rec["streaming"] else "application/json")
        if "emptybody" in f:
            return await self._send(wr, 200, {"content-type": ct}, b"")
        if "html" in f:
            return await self._send(wr, 200, {"content-type": "text/html"}, b"<html><body>Sign in to the network</body></html>")
        body = transform(rec, f)
        h = {k: v for k, v in rec["response"]["headers"].items() if k not in ("content-length", "content-encoding", "transfer-encoding", "connection")}
        h["content-type"] = ct
        pct = lambda s: int(len(body) * float(s) / 100)
        stop = pct(f.get("cut") or f.get("rst") or f.get("trunc") or 100)
        pause = None
        if "stall" in f:
            s, _, at = f["stall"].partition("@")
            pause = (pct(at or 50), float(s))
        if "hang" in f:
            pause = (pct(f["hang"]), 1e9)
        if not any(k in f for k in ("cut", "rst", "trunc", "stall", "hang", "split", "bytes", "slow")) and not rec["streaming"]:
            return await self._send(wr, rec["response"]["status"], h, body)
        wr.write((f"HTTP/1.1 {rec['response']['status']} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items()) + "transfer-encoding: chunked\r\n\r\n").encode("latin1", "replace"))
        await wr.drain()
        pos = 0
        for c in chunks(body, f, rnd, rec["streaming"]):
            if pos + len(c) > stop:
                c = c[: stop - pos]
            while pause and pos + len(c) > pause[0]:
                a = c[: max(0, pause[0] - pos)]
                if a:
                    wr.write(b"%x\r\n%b\r\n" % (len(a), a))
                    await wr.drain()
                pos += len(a)
                c = c[len(a) :]
                try:  # a client that gives up is seen at once
                    if not await asyncio.wait_for(rd.read(1), pause[1]):
                        return False
                except TimeoutError:
                    pass
                pause = None
            if c:
                wr.write(b"%x\r\n%b\r\n" % (len(c), c))
                await wr.drain()
                pos += len(c)
            if pos >= stop and stop < len(body):
                break
            await asyncio.sleep(float(f["slow"]) if f.get("slow") else 0)
        if stop < len(body) and ("cut" in f or "rst" in f):
            if "rst" in f:
                wr.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wr.close()
            return False
        wr.write(b"0\r\n\r\n")
        await wr.drain()
        return hdr.get("connection", "").lower() != "close"

    async def _send(self, wr, code, h, b) -> bool:
        wr.write((f"HTTP/1.1 {code} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in h.items()) + f"content-length: {len(b)}\r\n\r\n").encode("latin1", "replace") + b)
        await wr.drain()
        return True


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--list", nargs="*", help="list recordings whose provider/api/features/'stream' hold all these words")
    a = ap.parse_args()
    recs = load()
    if a.list is not None:
        for r in recs.values():
            w = {r["provider"], r["api"], *r["features"], "stream" if r["streaming"] else "single"}
            if set(a.list) <= w:
                print(r["id"], r["provider"], r["api"], "stream" if r["streaming"] else "single", ",".join(r["features"]))
        return
    with ReplayServer(recs, a.port) as s:
        print(f"{len(recs)} recordings at {s.url('<id>', '<faults>')}", flush=True)
        s.thread.join()


if __name__ == "__main__":
    main()
