/* A ring buffer, and what makes C hard to read for a program. */
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "util/hash.h"

#define RING_LIMIT 4096
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

struct ring {
	unsigned char *data;
	size_t head, tail;
	int (*on_full)(struct ring *ring, void *user);
};

union word {
	unsigned int whole;
	unsigned char parts[4];
};

enum mode {
	MODE_BLOCK,
	MODE_DROP = 4,
};

typedef struct {
	int left, right;
} pair_t;

typedef int (*compare_fn)(const void *, const void *);
typedef unsigned long long u64;

static const char *const names[] = { "block", "drop" };
int ring_count = 0;
extern int ring_debug;

static int grow(struct ring *ring, size_t by);

/**
 * ring_new - makes an empty ring
 * @size: bytes that fit
 */
struct ring *ring_new(size_t size)
{
	struct ring *ring = malloc(sizeof(*ring));

	if (!ring)
		return NULL;
	memset(ring, 0, sizeof *ring);
	ring->data = calloc(1, MIN(size, RING_LIMIT));
	ring_count++;
	return ring;
}

/* Old style, still found in the wild. */
int
ring_compare(a, b)
	const void *a;
	const void *b;
{
	return memcmp(a, b, sizeof(union word));
}

#ifdef RING_THREADS
static inline __attribute__((always_inline)) void ring_lock(struct ring *ring) { lock(&ring->data); }
#else
static inline void ring_lock(struct ring *ring) { (void)ring; }
#endif

// Returns a function.
static compare_fn *(pick)(enum mode mode) { return mode == MODE_DROP ? NULL : 0; }

static int grow(struct ring *ring, size_t by)
{
	static struct ring *last;

	last = ring;
	return ring->on_full ? ring->on_full(ring, last) : (int)hash_bytes(ring->data, by);
}

SYSCALL_DEFINE2(ring, int, fd, size_t, size)
{
	return grow(NULL, size);
}

module_init(ring_start);
