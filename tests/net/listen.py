#!/usr/bin/env python3
"""listen.py URL IDENTITY NAME CONTROL IMAGE: a router as far as an authority sees it. Keeps a
stream open, says what comes ("VERSION STEP TYPE", "stream URL", "ended STATUS"), and confirms it
unless the file CONTROL says "mute", or "refuse WORDS". The bytes of the last tables go to the
file IMAGE."""
import base64
import http.client
import json
import select
import ssl
import sys
import urllib.parse

url, identity, name, control, image = sys.argv[1:]
context = ssl.create_default_context(cafile=identity + "/ca.pem")
context.load_cert_chain(identity + "/certificate.pem", identity + "/key.pem")
have = "0.0"


def say(*words):
    print(*words, flush=True)


def connect(to):
    at = urllib.parse.urlsplit(to)
    return http.client.HTTPSConnection(at.hostname, at.port, context=context, timeout=30)


def post(path, body):
    c = connect(url)
    c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    status = c.getresponse().status
    c.close()
    return status


def wanted():
    try:
        return open(control).read().split(None, 1)
    except FileNotFoundError:
        return []


def take(message):
    global have
    say(message["version"], message["step"], message["type"])
    with open(image, "wb") as f:
        f.write(base64.b64decode(message["image"], validate=True))
    order = wanted()
    if order[:1] == ["mute"]:
        return
    if order[:1] == ["refuse"]:
        post(f"/v1/routers/{name}/confirm", {"version": have, "error": order[1].strip()})
        return
    have = message["version"]
    post(f"/v1/routers/{name}/confirm", {"version": have})


def listen():
    global url
    c = connect(url)
    c.request("GET", f"/v1/routers/{name}/stream?have={have}")
    answer = c.getresponse()
    if answer.status == 307:
        to = urllib.parse.urlsplit(answer.headers["Location"])
        url = f"{to.scheme}://{to.netloc}"
    if answer.status != 200:
        return answer.status
    say("stream", url)
    post(f"/v1/routers/{name}/heartbeat", {"load": 0.1})
    for line in answer:
        message = json.loads(line)
        if message["type"] in ("tables", "change"):
            take(message)
    return 200


start = url
while True:
    try:
        say("ended", listen())
    except (OSError, http.client.HTTPException) as e:
        say("ended", type(e).__name__)
        url = start
    select.select([], [], [], 0.2)  # as a router would
