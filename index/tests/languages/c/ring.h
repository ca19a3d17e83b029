#ifndef RING_H
#define RING_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ring;

/** Makes an empty ring; free it with ring_free(). */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);
int ring_write(struct ring *ring,
	       const void *from, size_t count);

#ifdef __cplusplus
}
#endif

#endif
