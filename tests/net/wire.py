#!/usr/bin/env python3
"""Puts frames on the wire that no router made, or made for another moment.

    wire.py [--from ADDR:PORT] [--to ADDR:PORT] replay PCAP [SKIP [COUNT]]
    wire.py ... flip PCAP         the first frame, each of its bits turned in turn
    wire.py ... cut PCAP          the first frame in every length but its own
    wire.py ... invent SOURCE DESTINATION COUNT   router IDs; headers that look right
    wire.py ... flood RATE SECONDS                malformed ones, evenly spaced
    wire.py count PCAP            how many UDP datagrams, and their types of frame

Addresses are IPv4. --from may be anyone's, for datagrams are made whole, IP header
included; without it a captured frame goes out from where it came, and without --to to
where it went. Everything random has a fixed seed.
"""
import argparse
import random
import socket
import struct
import sys
import threading
import time

HEADER, MAC = 24, 16
pause = threading.Event().wait  # seconds between sends: it paces, it waits for nothing


def endpoint(text):
    address, port = text.rsplit(":", 1)
    return socket.inet_aton(address), int(port)


def read_pcap(path):
    """(source, destination, payload) of each IPv4 UDP datagram captured on Ethernet."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 24:
        return
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        packet = data[at + 16:at + 16 + length]
        at += 16 + length
        if packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_UDP:
            continue
        ip = packet[14:]
        udp = ip[(ip[0] & 15) * 4:]
        source, destination, size = struct.unpack("!HHH", udp[:6])
        yield (ip[12:16], source), (ip[16:20], destination), udp[8:size]


class Wire:
    def __init__(self, source, destination):
        self.source, self.destination, self.sent = source, destination, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(self, frame, source=None, destination=None):
        source = self.source or source
        destination = self.destination or destination
        udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(frame), 0)
        # Length, identification and checksum are the kernel's to fill in.
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0,
                         source[0], destination[0])
        while True:
            try:
                self.socket.sendto(ip + udp + frame, (socket.inet_ntoa(destination[0]), 0))
                break
            except OSError as e:
                if e.errno != 105:  # ENOBUFS
                    raise
        self.sent += 1
        if self.sent % 32 == 0:  # a socket buffer holds only so much
            pause(0.001)


def header(r, source, destination, size):
    """A header that parses, mostly, in everything but what only keys can make."""
    return struct.pack("!BBHIIIBB6s", 0x10 | r.choice((0, 0, 0, 3, 4, 5, 6, r.randrange(16))),
                       r.choice((0, 1, 1, 2, 9, r.randrange(256))), size,
                       r.choice((8000, 8000, 0, 8001)), source, destination, r.randrange(256),
                       r.choice((0, 0, 1, r.randrange(256))), r.randbytes(6))


def replay(wire, args):
    frames = list(read_pcap(args.pcap))[args.skip:]
    for source, destination, frame in frames[:args.count]:
        wire.send(frame, source, destination)


def flip(wire, args):
    source, destination, frame = next(read_pcap(args.pcap))
    for bit in range(len(frame) * 8):
        turned = bytearray(frame)
        turned[bit // 8] ^= 0x80 >> bit % 8
        wire.send(bytes(turned), source, destination)


def cut(wire, args):
    source, destination, frame = next(read_pcap(args.pcap))
    for length in range(len(frame)):
        wire.send(frame[:length], source, destination)
        if length >= HEADER:  # and as if it were meant to be that long
            wire.send(frame[:2] + struct.pack("!H", length) + frame[4:length],
                      source, destination)
    for more in (1, 4, 16, 100):
        wire.send(frame + bytes(more), source, destination)


def invent(wire, args):
    r = random.Random(1)
    for _ in range(args.count):
        size = HEADER + MAC + r.choice((0, 20, 28, 84, r.randrange(1400)))
        head = header(r, args.source, args.dest, size)
        wire.send(head + r.randbytes(size - HEADER))


def flood(wire, args):
    r = random.Random(2)
    frames = []
    for _ in range(500):
        size = r.randrange(200)
        frames.append(r.choice((
            r.randbytes(size),
            header(r, 2, 1, HEADER + MAC + size) + r.randbytes(MAC + size),
            header(r, r.randrange(1 << 32), 1, size & 0xffff) + r.randbytes(size))))
    start = time.monotonic()
    while True:
        now = time.monotonic() - start
        if now >= args.seconds:
            break
        while wire.sent < now * args.rate and time.monotonic() - start < args.seconds:
            wire.send(frames[wire.sent % len(frames)])
        pause(0.002)


def count(_, args):
    types = {}
    n = 0
    for _, _, frame in read_pcap(args.pcap):
        n += 1
        if frame:
            types[frame[0] & 15] = types.get(frame[0] & 15, 0) + 1
    print(n, *(f"{t}:{c}" for t, c in sorted(types.items())))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--from", dest="source_endpoint", type=endpoint)
    parser.add_argument("--to", type=endpoint)
    verbs = parser.add_subparsers(required=True)
    for function in (replay, flip, cut, count):
        verb = verbs.add_parser(function.__name__)
        verb.add_argument("pcap")
        verb.set_defaults(run=function)
        if function is replay:
            verb.add_argument("skip", type=int, nargs="?", default=0)
            verb.add_argument("count", type=int, nargs="?", default=None)
    verb = verbs.add_parser("invent")
    for name in ("source", "dest", "count"):
        verb.add_argument(name, type=int)
    verb.set_defaults(run=invent)
    verb = verbs.add_parser("flood")
    verb.add_argument("rate", type=int)
    verb.add_argument("seconds", type=float)
    verb.set_defaults(run=flood)
    args = parser.parse_args()
    if args.run is count:
        count(None, args)
        return
    wire = Wire(args.source_endpoint, args.to)
    args.run(wire, args)
    print(wire.sent)
    sys.exit(0 if wire.sent else 1)


main()
