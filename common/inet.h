/*
 * IPv4, IPv6, TCP, UDP and ICMP headers: reading, checking, and the small
 * changes that a router makes to them. Pure functions over bytes.
 */
#ifndef COMMON_INET_H
#define COMMON_INET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/packet.h"

#define INET_V4_HEADER 20
#define INET_V6_HEADER 40

enum { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

/* Reads the headers of the packet of len bytes at data. False if it is not a
 * whole, well-formed IP packet (version, lengths; IPv6 extension headers are
 * walked, bounded; the IPv4 header checksum is checked). Bytes behind the IP
 * length are no error; *ret_len is the length that the header gives. */
bool inet_parse(const uint8_t *data, size_t len, struct inet_info *ret, size_t *ret_len);

/* As inet_parse, for the packet that an ICMP error quotes: it may be cut short
 * after its IP header, and its checksum is not checked. */
bool inet_parse_quoted(const uint8_t *data, size_t len, struct inet_info *ret);

/* Hash of addresses, protocol and (if there) ports: the same for all packets of
 * a flow in one direction. */
uint32_t inet_flow_hash(const uint8_t *data, size_t len, const struct inet_info *);

/* Internet checksum (RFC 1071) of len bytes on top of a partial sum, not folded. */
uint64_t inet_sum(const void *data, size_t len, uint64_t sum);
/* Copies len bytes, and their sum. */
uint64_t inet_copy_sum(void *to, const void *from, size_t len);
/* Folds to 16 bits and complements; store as is (network order). */
uint16_t inet_fold(uint64_t sum);
/* Sum of the pseudo header for the transport checksum. */
uint64_t inet_pseudo_sum(const struct inet_info *, uint32_t transport_len);

/* Offset of the transport checksum of a whole TCP segment or UDP datagram that fills
 * its IP packet of len bytes; 0 for anything else, fragments too. */
size_t inet_check_at(const uint8_t *data, size_t len, const struct inet_info *);
/* False also where there is none. */
bool inet_check_is_right(const uint8_t *data, size_t len, const struct inet_info *);
/* Writes a partial checksum: the sum of the pseudo header, for a transport header and
 * payload of this length. */
void inet_check_begin(uint8_t *check, const struct inet_info *, uint32_t transport_len);
/* Finishes a partial checksum over the bytes from start to len; it lies at check. */
void inet_check_finish(uint8_t *data, size_t len, size_t start, size_t check);
/* Finishes the checksum of a packet whose inet is known, if it is still partial. */
void packet_finish(struct packet *);
bool inet_is_tcp_syn(const uint8_t *data, size_t len, const struct inet_info *);

/* Lowers TTL or hop limit by one and mends the checksum. False, and nothing
 * done, if it is 1 or 0 already. */
bool inet_ttl_decrement(uint8_t *data);

/* Sets DSCP and ECN, mends the checksum. */
void inet_set_tos(uint8_t *data, uint8_t tos);
/* Sets the source address (of the packet's family); mends IP and transport
 * checksums (ICMPv4 has none over the address). Nothing is done for an address of
 * the other family; *info keeps the old one. The transport checksum must be a
 * finished one, not one left partial; so for inet_clamp_mss. */
void inet_set_source(uint8_t *data, size_t len, const struct inet_info *, const struct ip *);

/* RFC 6040, section 4.2: the ECN field to pass on, from the inner and the outer
 * one; -1 if the packet must be dropped (outer CE, inner not ECN-capable). */
int inet_ecn_decapsulate(uint8_t inner, uint8_t outer);

/* For a TCP SYN: lowers its MSS option to at most mss, mends the checksum.
 * Without the option (RFC 9293: 536 is assumed) nothing is done. True if it
 * changed the packet. */
bool inet_clamp_mss(uint8_t *data, size_t len, const struct inet_info *, uint16_t mss);

/* Whether it is an ICMP or ICMPv6 error message (not an echo, not a query). */
bool inet_is_icmp_error(const uint8_t *data, size_t len, const struct inet_info *);
/* The packet that an ICMP error quotes; NULL if too short. */
const uint8_t *inet_icmp_quoted(const uint8_t *data, size_t len, const struct inet_info *,
				size_t *ret_len);

/* Whether a router may send an ICMP error about this packet (RFC 1812, 4443): not about
 * another ICMP error, a fragment other than the first, a multicast or unspecified
 * address. */
bool inet_icmp_is_due(const uint8_t *data, size_t len, const struct inet_info *);
/* ICMP errors that a router makes. Writes a whole IP packet to out (room: at least
 * 1280) about the packet at data, from source to that packet's sender. 0 if none is
 * due. */
size_t inet_icmp_too_big(uint8_t *out, const uint8_t *data, size_t len, const struct inet_info *,
			 const struct ip *source, uint32_t mtu);
size_t inet_icmp_time_exceeded(uint8_t *out, const uint8_t *data, size_t len,
			       const struct inet_info *, const struct ip *source);

/* A TCP segment or an IPv4 packet that may be fragmented, too large for mtu, cut
 * into packets of at most mtu. Iterator: each call writes one piece (a whole IP
 * packet with finished checksums) to out and returns its length; 0 at the end. */
struct inet_cut {
	const uint8_t *data;
	const struct inet_info *info;
	uint32_t len;	 /* of the IP packet */
	uint32_t header; /* bytes repeated in front of each piece */
	uint32_t step;	 /* payload bytes of a piece, but for the last */
	uint32_t at;	 /* payload done so far */
	bool fragment;	 /* fragments instead of TCP segments */
	bool datagram;	 /* UDP datagrams */
	bool partial;	 /* leaves transport checksums partial; set by the caller */
};
/* TCP (no fragment; both families): segments of at most mtu bytes, with id, seq,
 * FIN, PSH and CWR as TSO makes them; a partial checksum is no matter. False if it
 * is no such segment, has no payload, SYN, RST or a source route, or if the mtu
 * leaves no room. data and info must stay until the end. */
bool inet_cut_tcp(struct inet_cut *, const uint8_t *data, size_t len, const struct inet_info *,
		  uint32_t mtu);
/* IPv4 fragments of at most mtu bytes (RFC 791); the transport checksum must be a
 * finished one. False for IPv6 or DF, without payload, or if the mtu leaves no
 * room. */
bool inet_cut_fragments(struct inet_cut *, const uint8_t *data, size_t len,
			const struct inet_info *, uint32_t mtu);
/* A UDP message of len bytes that stands for datagrams of `size` bytes of payload each,
 * the last one maybe less. False if it is none, or has no payload. */
bool inet_cut_datagrams(struct inet_cut *, const uint8_t *data, size_t len,
			const struct inet_info *, uint32_t size);
/* Also 0 if room is less than the mtu and the piece does not fit. */
size_t inet_cut_next(struct inet_cut *, uint8_t *out, size_t room);

#endif
