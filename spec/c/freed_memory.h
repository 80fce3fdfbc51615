/* Searches everything that is freed for secrets, with the address sanitizer's hooks. Where there
   is no sanitizer FREED_MEMORY is not defined and the case is to be skipped. */
#ifndef FREED_MEMORY_H
#define FREED_MEMORY_H

#if defined(__SANITIZE_ADDRESS__)
#define FREED_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FREED_MEMORY 1
#endif
#endif

#ifdef FREED_MEMORY
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* As in sanitizer/allocator_interface.h, which not every compiler's package has. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));
size_t __sanitizer_get_allocated_size(const volatile void *p);

static struct {
  bool on;
  const void *secret[8];
  size_t len[8], count, leaks;
} watch;

static void on_malloc(const volatile void *p, size_t n) {
  (void)p, (void)n;
}

static void on_free(const volatile void *freed) {
  if (!watch.on || !freed) return;
  const void *p = (const void *)(uintptr_t)freed;
  size_t n = __sanitizer_get_allocated_size(freed);
  for (size_t i = 0; i < watch.count; i++) {
    if (memmem(p, n, watch.secret[i], watch.len[i])) watch.leaks++;
  }
}

static void watch_for(const void *secret, size_t len) {
  watch.secret[watch.count] = secret;
  watch.len[watch.count++] = len;
}

/* From now on leaks are counted, from 0. */
static void watch_begin(void) {
  static bool installed;
  if (!installed) __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
  installed = watch.on = true;
  watch.leaks = 0;
}
#endif
#endif
