/* Memory for the program's Lua state. Lua makes and drops thousands of small things for each
   connection and tells their size when it frees them, so lists of free blocks, one for each size,
   serve it with a few instructions and keep its objects close together. What is larger comes from
   malloc, and so does everything where sanitizers want to see it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "host/host.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

enum {
  GRAIN = 16, /* bytes: sizes are rounded up to these, and blocks aligned to them */
  LARGEST = 512,
  CLASSES = LARGEST / GRAIN + 1,
};

static const size_t RESERVED =
    (size_t)1 << 30; /* of addresses, not of memory: pages come when they are written to */

typedef struct block {
  struct block *next;
} block;

typedef struct pool {
  block *freed[CLASSES];
  unsigned char *unused, *end;
} pool;

static size_t class_of(size_t size) {
  return (size + GRAIN - 1) / GRAIN;
}

static bool is_ours(const pool *p, const void *at) {
  return (uintptr_t)at - (uintptr_t)p < RESERVED;
}

static void *take(pool *p, size_t size) {
  if (size > LARGEST) return malloc(size);
  size_t class = class_of(size);
  block *b = p->freed[class];
  if (b) {
    p->freed[class] = b->next;
    return b;
  }
  if ((size_t)(p->end - p->unused) < class * GRAIN) return malloc(size);
  b = (block *)(void *)p->unused;
  p->unused += class * GRAIN;
  return b;
}

static void give(pool *p, void *at, size_t size) {
  if (!is_ours(p, at)) {
    free(at);
    return;
  }
  block *b = at;
  b->next = p->freed[class_of(size)];
  p->freed[class_of(size)] = b;
}

static void *change(pool *p, void *at, size_t from, size_t to) {
  if (!is_ours(p, at)) return realloc(at, to);
  if (to <= LARGEST && class_of(from) == class_of(to)) return at;
  void *fresh = take(p, to);
  if (!fresh)
    return to < from ? at : NULL; /* Lua relies on this: making things smaller does not fail */
  memcpy(fresh, at, from < to ? from : to);
  give(p, at, from);
  return fresh;
}

/* A lua_Alloc. Without a block the size before is not a size but a type. */
static void *allocate(void *ud, void *at, size_t from, size_t to) {
  if (to > 0) return at ? change(ud, at, from, to) : take(ud, to);
  if (at) give(ud, at, from);
  return NULL;
}

static pool *pool_new(void) {
#if defined(__SANITIZE_ADDRESS__)
  return NULL;
#else
  void *at = mmap(NULL, RESERVED, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return NULL; /* a limit on addresses: malloc does */
  pool *p = at;
  p->unused = (unsigned char *)at + (sizeof *p + GRAIN - 1) / GRAIN * GRAIN;
  p->end = (unsigned char *)at + RESERVED;
  return p;
#endif
}

/* What the state has already stays where it is. The process' end gives the addresses back. */
void sl_pool_open(lua_State *L) {
  pool *p = pool_new();
  if (p) lua_setallocf(L, allocate, p);
}
