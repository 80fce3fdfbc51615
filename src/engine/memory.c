#include "engine/memory.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

static bool holds_secrets(void **abstract) {
  return !((const sl_engine *)*abstract)->wire.authenticated;
}

void *sl_memory_alloc(size_t size, void **abstract) {
  (void)abstract;
  return malloc(size);
}

void sl_memory_free(void *p, void **abstract) {
  if (p && holds_secrets(abstract)) OPENSSL_cleanse(p, malloc_usable_size(p));
  free(p);
}

void *sl_memory_realloc(void *p, size_t size, void **abstract) {
  if (!p || !holds_secrets(abstract)) return realloc(p, size);
  size_t old = malloc_usable_size(p);
  void *moved = malloc(size);
  if (!moved) return NULL;
  memcpy(moved, p, old < size ? old : size);
  sl_memory_free(p, abstract);
  return moved;
}
