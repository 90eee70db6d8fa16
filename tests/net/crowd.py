#!/usr/bin/env python3
"""Very many TCP connections of strangers to one port, kept up until it is ended.

    crowd.py --to ADDRESS:PORT --count N --way WAY FROM-ADDRESS...

WAY is what a connection does once it is there:
    silent   nothing
    drip     a frame's header, a byte a second
    tls      a TLS record's header and no more
    get      asks for a page, again and again, and never reads
One that the other side ends is made again, REOPEN a second of them. "reached" is
printed once N have been begun, and at the end how it went. Behind a filter that drops
what answers a SYN, connections stay half-open whatever the way.
"""
import argparse
import collections
import errno
import select
import signal
import socket
import time

REOPEN = 500
FIRST = {
    "silent": b"",
    # version 1, type 4 (handshake), 100 bytes, of router 3 to router 1
    "drip": bytes([0x14, 0, 0, 100]) + bytes(4) + bytes([0, 0, 0, 3, 0, 0, 0, 1]) + bytes(8),
    "tls": b"\x16\x03\x01\x02\x00\x01",
    "get": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20,
}


class Crowd:
    def __init__(self, options):
        self.way = options.way
        host, port = options.to.rsplit(":", 1)
        self.to = (host, int(port))
        self.sources = options.sources
        self.count = options.count
        self.poll = select.epoll()
        self.open = {}
        self.drips = collections.deque()
        self.begun = self.connected = self.ended = self.refused = 0

    def begin(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # The port is chosen with the destination in mind, so that there are enough.
        s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.bind((self.sources[self.begun % len(self.sources)], 0))
        self.begun += 1
        e = s.connect_ex(self.to)
        if e not in (0, errno.EINPROGRESS):
            self.refused += 1
            s.close()
            return
        self.open[s.fileno()] = s
        self.poll.register(s, select.EPOLLOUT)

    def end(self, s):
        del self.open[s.fileno()]
        s.close()
        self.ended += 1

    def event(self, fd, events):
        s = self.open.get(fd)
        if s is None:
            return
        if events & (select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP):
            self.end(s)
            return
        self.connected += 1
        self.poll.modify(s, select.EPOLLRDHUP)
        if self.way == "drip":
            self.drips.append((time.monotonic(), 0, s))
        elif FIRST[self.way]:
            self.send(s, FIRST[self.way])

    def send(self, s, data):
        try:
            s.send(data)
            return True
        except BlockingIOError:
            return True
        except OSError:
            if s.fileno() >= 0:
                self.end(s)
            return False

    def drip(self, now):
        data = FIRST["drip"]
        while self.drips and self.drips[0][0] <= now:
            _, at, s = self.drips.popleft()
            if s.fileno() >= 0 and at < len(data) and self.send(s, data[at:at + 1]):
                self.drips.append((now + 1, at + 1, s))

    def run(self):
        reached = False
        allowance, last = 0.0, time.monotonic()
        while True:
            now = time.monotonic()
            allowance = min(allowance + (now - last) * REOPEN, REOPEN)
            last = now
            for _ in range(200):
                if len(self.open) >= self.count or (reached and allowance < 1):
                    break
                self.begin()
                allowance -= 1 if reached else 0
            for fd, events in self.poll.poll(0.02, 1000):
                self.event(fd, events)
            self.drip(now)
            if not reached and self.begun >= self.count:
                reached = True
                print("reached", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--to", required=True)
    p.add_argument("--count", type=int, required=True)
    p.add_argument("--way", choices=FIRST, required=True)
    p.add_argument("sources", nargs="+")
    c = Crowd(p.parse_args())

    def stop(*_):
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    try:
        c.run()
    finally:
        print(f"begun {c.begun}, connected {c.connected}, ended by the other side {c.ended}, "
              f"refused {c.refused}, open {len(c.open)}", flush=True)


main()
