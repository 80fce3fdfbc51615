/* What libssh2 frees before a session is authenticated is empty. Needs the address sanitizer's
   hooks, which see memory when it is freed; else it is skipped. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine/engine.h"
#include "engine/memory.h"
#include "freed_memory.h"

#define CASE "memory of a session that is not authenticated yet is wiped when it is freed"

#ifdef FREED_MEMORY
static const char secret[] = "correct horse battery";

static void *block(void **abstract) {
  char *p = sl_memory_alloc(100, abstract);
  memset(p, 'x', 100);
  memcpy(p + 70, secret, sizeof secret);
  return p;
}

static void test_wiping(void) {
  sl_engine *e = calloc(1, sizeof *e);
  void *abstract = e;
  watch_for(secret, sizeof secret - 1);
  watch_begin();
  check_case(CASE);
  sl_memory_free(block(&abstract), &abstract);
  char *p = sl_memory_realloc(block(&abstract), 5000, &abstract);
  CHECK_STR(p + 70, secret);
  p = sl_memory_realloc(p, 95, &abstract);
  CHECK(memcmp(p + 70, secret, sizeof secret - 1) == 0);
  sl_memory_free(p, &abstract);
  sl_memory_free(sl_memory_realloc(NULL, 10, &abstract), &abstract);
  sl_memory_free(NULL, &abstract);
  CHECK(watch.leaks == 0);
  check_case("later it is not: the hooks see what they look for");
  e->wire.authenticated = true;
  sl_memory_free(block(&abstract), &abstract);
  CHECK(watch.leaks == 1);
  free(e);
}
#endif

int main(void) {
#ifdef FREED_MEMORY
  test_wiping();
#else
  check_skip(CASE, "needs the address sanitizer");
#endif
  return check_done();
}
