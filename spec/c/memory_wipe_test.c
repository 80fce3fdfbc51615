/* What libssh2 frees before a session is authenticated is empty. Needs the address sanitizer's
   hooks, which see memory when it is freed; else it is skipped. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "engine/engine.h"
#include "engine/memory.h"

#define CASE "memory of a session that is not authenticated yet is wiped when it is freed"

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#ifdef HAVE_ASAN
/* As in sanitizer/allocator_interface.h, which not every compiler's package has. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static const char secret[] = "correct horse battery";
static int seen;

static void on_malloc(const volatile void *p, size_t n) {
  (void)p, (void)n;
}

static void on_free(const volatile void *freed) {
  if (!freed) return;
  const void *p = (const void *)(uintptr_t)freed;
  if (memmem(p, __sanitizer_get_allocated_size(freed), secret, sizeof secret - 1)) seen++;
}

static void *block(void **abstract) {
  char *p = sl_memory_alloc(100, abstract);
  memset(p, 'x', 100);
  memcpy(p + 70, secret, sizeof secret);
  return p;
}

static void test_wiping(void) {
  sl_engine *e = calloc(1, sizeof *e);
  void *abstract = e;
  __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  check_case(CASE);
  sl_memory_free(block(&abstract), &abstract);
  char *p = sl_memory_realloc(block(&abstract), 5000, &abstract);
  CHECK_STR(p + 70, secret);
  p = sl_memory_realloc(p, 95, &abstract);
  CHECK(memcmp(p + 70, secret, sizeof secret - 1) == 0);
  sl_memory_free(p, &abstract);
  sl_memory_free(sl_memory_realloc(NULL, 10, &abstract), &abstract);
  sl_memory_free(NULL, &abstract);
  CHECK(seen == 0);
  check_case("later it is not: the hooks see what they look for");
  e->wire.authenticated = true;
  sl_memory_free(block(&abstract), &abstract);
  CHECK(seen == 1);
  free(e);
}
#endif

int main(void) {
#ifdef HAVE_ASAN
  test_wiping();
#else
  check_skip(CASE, "needs the address sanitizer");
#endif
  return check_done();
}
