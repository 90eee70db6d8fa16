#!/usr/bin/env python3
"""hostile.py PORT IDENTITY COUNT: requests to the authority at 127.0.0.1, most of them with
bytes turned, put in, taken out, or cut; over half of the connections are left before the
answer. The same requests each time. Fails when the authority can't be connected to."""
import json
import random
import socket
import ssl
import sys

port, identity, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context(cafile=identity + "/ca.pem")
context.load_cert_chain(identity + "/certificate.pem", identity + "/key.pem")
context.check_hostname = False
requests = [
    ("POST", "/v1/vns?dry_run=true", {"name": "h", "hosts": ["jane1", "joe1"]}),
    ("PATCH", "/v1/vns/8000", {"users": ["*"]}),
    ("POST", "/v1/register", {"kind": "user", "name": "h", "token": "x", "csr": "y"}),
    ("POST", "/v1/renew", {"kind": "user", "name": "admin", "csr": "-----BEGIN"}),
    ("DELETE", "/v1/routers/r9/blocks/172.16.9.0%2F24", None),
    ("GET", "/v1/audit?limit=3&after=x", None),
    ("GET", "/v1/sites", None),
]
dice = random.Random(7)
statuses = {}


def make():
    method, path, body = dice.choice(requests)
    text = json.dumps(body) if body else ""
    data = bytearray(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(text)}\r\n"
                     f"Authorization: {dice.choice(['', 'Bearer x', 'Basic'])}\r\n\r\n{text}", "ascii")
    for _ in range(dice.choice([0, 0, 1, 1, 2, 8])):
        at = dice.randrange(len(data))
        what = dice.randrange(4)
        if what == 0:
            data[at] = dice.randrange(256)
        elif what == 1:
            data[at:at] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
        elif what == 2:
            del data[at:at + dice.randrange(1, 9)]
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


for i in range(count):
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        if i % 20 == 0:  # no TLS at all
            plain.sendall(make())
            continue
        with context.wrap_socket(plain) as s:
            s.sendall(make() + (make() if i % 7 == 0 else b""))
            if i % 5 < 3:
                continue
            s.settimeout(0.2)
            answer = s.recv(4096)
            status = answer[9:12].decode("latin1") if answer else "none"
            statuses[status] = statuses.get(status, 0) + 1
    except (OSError, ssl.SSLError) as e:
        statuses[type(e).__name__] = statuses.get(type(e).__name__, 0) + 1
    finally:
        plain.close()
print(statuses)
sys.exit(0 if any(k.startswith("2") for k in statuses) else 1)
