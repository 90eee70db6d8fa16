"""What the ViNe dissertation measured, as it says there. Chapter 4: four machines of 2008
(two Xeon 5130 each), gigabit Ethernet, Linux 2.6.22, Netperf; Mbit/s and milliseconds.
Chapter 3: three universities; the same units. Chapter 6: VMs in two clouds; percent of a
processor, which had other work to do.

Figures 4-4, 4-5 and 4-13 are drawn there and nowhere told in numbers. So they are here as
what the text reads from them.
"""

# Table 3-8: round trip and TCP of each pair of sites; case 0 is without ViNe
PAIRS = [("UF to PU", "uf_pu"), ("UF to NWU", "uf_nwu"), ("NWU to PU", "nwu_pu")]
FIREWALLS = {
    "0": ((24.1, 20.4), (27.8, 17.5), (6.8, 63.1)),
    "1": ((25.5, 19.8), (29.3, 15.7), (8.3, 27.7)),
    "1a": ((25.6, 20.4), (29.1, 15.7), (8.1, 39.1)),
    "2": ((27.0, 15.3), (29.3, 15.8), (31.1, 12.0)),
    "3": ((32.5, 14.1), (29.5, 15.5), (8.1, 27.1)),
    "4": ((25.6, 19.6), (29.3, 15.6), (54.9, 6.5)),
    "5": ((37.5, 11.8), (29.8, 15.2), (8.3, 26.9)),
}

# Table 4-2: what carries the packets; UDP, TCP, rtt(min), rtt(MTU)
FORWARDERS = [
    ("Linux's own forwarding", 953.01, 940.02, 0.216, 0.403),
    ("forwarder in C", 937.18, 917.77, 0.244, 0.431),
    ("forwarder in Java", 936.33, 670.33, 0.257, 0.449),
    ("forwarder in C, fragmenting", 903.32, 845.62, 0.243, 0.465),
    ("forwarder in Java, fragmenting", 808.59, 611.32, 0.282, 0.469),
]

# Table 4-3: OpenVPN 2.1; cipher and HMAC
OPENVPN = [
    ("OpenVPN: none, none", 933.19, 854.43, 0.248, 0.461),
    ("OpenVPN: none, MD5", 642.14, 516.87, 0.254, 0.481),
    ("OpenVPN: none, SHA1", 554.37, 442.07, 0.261, 0.491),
    ("OpenVPN: AES, none", 375.62, 278.03, 0.261, 0.526),
    ("OpenVPN: BF, none", 308.36, 232.52, 0.262, 0.551),
    ("OpenVPN: AES, MD5", 314.44, 264.66, 0.267, 0.549),
    ("OpenVPN: 3DES, none", 84.05, 81.09, 0.286, 0.904),
]

PHYSICAL = FORWARDERS[0]

# Table 4-1: bytes of overhead; the most of a gigabit for UDP, TCP, whole and in fragments
OVERHEADS = [
    (0, 957.08, 957.08, 941.48, 941.48),
    (14, 947.98, 907.52, 932.38, 892.72),
    (20, 944.08, 907.52, 928.48, 892.72),
    (28, 938.88, 906.40, 923.28, 891.63),
    (52, 923.28, 893.20, 907.67, 878.64),
]

# "over 800 Mbps" of the improved ViNe router, beside the physical network's TCP
VINE_ROUTER_TCP = 800

# Table 6-4: what a VM's virtual network takes of a processor: with TinyViNe, with ViNe on it
TINY_PERCENT, ROUTER_PERCENT = 9.27, 11.98

INTERCEPTION = ("TUN and raw sockets filled a gigabit line with packets of more than 400 bytes"
                " (all methods: 500); Netfilter's queue was the slowest.")
INJECTION = ("Both methods filled a gigabit line with packets of more than 200 bytes; TUN was"
             " clearly ahead of raw sockets for the machine itself.")
THREADS = ("More threads helped only where a packet took long (over 50 microseconds), up to the"
           " number of processors, and cost throughput where it did not or where they were more.")
