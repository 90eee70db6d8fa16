/*
 * The packet pool: one mapping that holds the pool itself, the packets, and
 * their buffers, in this order.
 *
 * The free list is last in, first out: the buffer that was used last is the one
 * most likely still in the cache, and buffers that the load never reached are
 * never touched, so the kernel gives them no memory. That is why the packets lie
 * apart from their buffers, and why a fresh pool hands out the lowest first. For the
 * same reason what may be a super-packet goes into a few that are kept for it.
 *
 * Packets and buffers start on cache lines of their own. The pool has no lock:
 * it belongs to one thread.
 */
#include "common/packet.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define LINE 64 /* bytes of a cache line */
#define ALIGN_UP(n) (((n) + LINE - 1) / LINE * LINE)

#define LARGE_PACKETS 96 /* of a pool: a batch of each way */

#define PACKET_STRIDE ALIGN_UP(sizeof(struct packet))
#define BUFFER_STRIDE ALIGN_UP((size_t)PACKET_HEADROOM + PACKET_ROOM + PACKET_TAILROOM)

struct pool {
	struct packet *free[2]; /* of single packets, and the large ones */
	size_t left, size;
	size_t mapped; /* bytes of the mapping */
};

struct pool *pool_new(size_t n)
{
	const size_t header = ALIGN_UP(sizeof(struct pool));
	const size_t each = PACKET_STRIDE + BUFFER_STRIDE;
	uint8_t *map, *packets, *buffers;
	struct pool *pool;
	size_t mapped;

	if (n > (SIZE_MAX - header) / each)
		return NULL;
	mapped = header + n * each;
	map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	madvise(map, mapped, MADV_NOHUGEPAGE); /* what is not used shall not be resident */
	pool = (struct pool *)map;
	pool->size = n;
	pool->mapped = mapped;
	packets = map + header;
	buffers = packets + n * PACKET_STRIDE;
	for (size_t i = n; i-- > 0;) {
		struct packet *p = (struct packet *)(packets + i * PACKET_STRIDE);

		p->buffer = buffers + i * BUFFER_STRIDE;
		p->large = i < LARGE_PACKETS;
		p->refs = 1;
		pool_put(pool, p);
	}
	return pool;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	assert(pool->left == pool->size);
	munmap(pool, pool->mapped);
}

/* From one list, or if that is empty from the other. */
static struct packet *take(struct pool *pool, bool large)
{
	struct packet **free = &pool->free[pool->free[large] ? large : !large], *p = *free;
	uint8_t *buffer;

	if (!p)
		return NULL;
	*free = p->next;
	pool->left--;
	buffer = p->buffer;
	large = p->large;
	memset(p, 0, sizeof(*p));
	p->buffer = buffer;
	p->large = large;
	p->data = packet_start(p);
	p->refs = 1;
	return p;
}

struct packet *pool_get(struct pool *pool)
{
	return take(pool, false);
}

struct packet *pool_get_large(struct pool *pool)
{
	return take(pool, true);
}

struct packet *pool_view(struct pool *pool, struct packet *of, uint8_t *data, uint32_t len)
{
	struct packet *p = pool_get(pool);

	if (!p)
		return NULL;
	of->refs++;
	p->parent = of;
	p->data = data;
	p->len = len;
	return p;
}

struct packet *pool_copy(struct pool *pool, const struct packet *of)
{
	struct packet *p = take(pool, of->len > PACKET_SINGLE), own;

	if (!p)
		return NULL;
	own = *p;
	*p = *of;
	p->next = p->parent = NULL;
	p->refs = own.refs;
	p->large = own.large;
	p->buffer = own.buffer;
	p->data = own.data;
	memcpy(p->data, of->data, of->len);
	return p;
}

void pool_put(struct pool *pool, struct packet *p)
{
	struct packet *parent = p->parent;

	assert(p->refs);
	if (--p->refs)
		return;
	if (parent) {
		p->parent = NULL;
		pool_put(pool, parent);
	}
	assert(pool->left < pool->size);
	p->next = pool->free[p->large];
	pool->free[p->large] = p;
	pool->left++;
}

size_t pool_left(const struct pool *pool)
{
	return pool->left;
}

size_t pool_size(const struct pool *pool)
{
	return pool->size;
}
