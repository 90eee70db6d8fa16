#!/usr/bin/env python3
"""A reader as slow as one likes, in the middle of TCP connections.

    trickle.py PORT RATE-FILE

Connections that nftables redirected to PORT are continued to where they were going. What
comes back from there is read at as many bytes a second as RATE-FILE says at the moment (0:
not at all; empty: as fast as it comes), with small buffers, so that the sender's own
side fills. The other direction is never slowed. Who ends a connection ends both halves.
"""
import select
import socket
import struct
import sys
import time

ORIGINAL_DST = 80  # SO_ORIGINAL_DST
BUFFER = 65536


class Half:
    """One direction; reads only while the bytes it holds are all written."""

    def __init__(self, source, sink, slow):
        self.source, self.sink, self.slow, self.held = source, sink, slow, b""

    def move(self, most):
        """At most so many bytes; how many it read. EOFError at the end."""
        if not self.held and most > 0:
            try:
                self.held = self.source.recv(min(most, BUFFER))
            except BlockingIOError:
                return 0
            if not self.held:
                raise EOFError
            n = len(self.held)
        else:
            n = 0
        try:
            while self.held:
                self.held = self.held[self.sink.send(self.held):]
        except BlockingIOError:
            pass
        return n


class Pair:
    def __init__(self, near):
        port, host = struct.unpack("!2xH4s8x", near.getsockopt(socket.SOL_IP, ORIGINAL_DST, 16))
        self.near, self.far = near, socket.socket()
        self.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.far.settimeout(3)
        self.far.connect((socket.inet_ntoa(host), port))
        for s in (self.near, self.far):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.halves = [Half(near, self.far, False), Half(self.far, near, True)]
        self.allowance = 0.0

    def close(self):
        self.near.close()
        self.far.close()


def rate_of(path, last):
    try:
        with open(path, encoding="ascii") as f:
            text = f.read().strip()
        return int(text) if text else None
    except (OSError, ValueError):
        return last


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    listener = socket.create_server(("", port))
    listener.setblocking(False)
    pairs, rate, last = [], None, time.monotonic()
    while True:
        # While slow, what comes back wakes nobody: it is looked at ten times a second.
        fds = [listener] + [p.near for p in pairs]
        if rate is None:
            fds += [p.far for p in pairs]
        full = [h.sink for p in pairs for h in p.halves if h.held]
        select.select(fds, full, [], 0.1)
        now = time.monotonic()
        rate = rate_of(path, rate)
        try:
            near, _ = listener.accept()
            pairs.append(Pair(near))
        except BlockingIOError:
            pass
        except OSError:
            near.close()
        for p in list(pairs):
            p.allowance = BUFFER if rate is None else min(p.allowance + rate * (now - last),
                                                          max(rate, 1))
            try:
                for h in p.halves:
                    most = int(p.allowance) if h.slow else BUFFER
                    n = h.move(most)
                    if h.slow and rate is not None:
                        p.allowance -= n
            except (EOFError, OSError):
                p.close()
                pairs.remove(p)
        last = now


main()
