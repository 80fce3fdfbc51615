#include "engine/fibre.h"

#include <stddef.h>

#ifdef SL_UCONTEXT

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SL_ASAN 1
#endif
#endif

#ifdef SL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 131072 };

struct sl_fibre {
  ucontext_t self, caller;
  void (*body)(void *arg);
  void *arg;
  char *stack; /* its lowest page is a guard */
  size_t mapped;
  bool ended;
  void *self_fake, *caller_fake; /* the sanitizer's shadow of each stack */
  const void *caller_bottom;
  size_t caller_size;
};

static void into_fibre(sl_fibre *f) {
#ifdef SL_ASAN
  __sanitizer_start_switch_fiber(&f->caller_fake, f->stack, f->mapped);
#endif
  swapcontext(&f->caller, &f->self);
#ifdef SL_ASAN
  __sanitizer_finish_switch_fiber(f->caller_fake, NULL, NULL);
#endif
}

static void arrived(sl_fibre *f) {
#ifdef SL_ASAN
  __sanitizer_finish_switch_fiber(f->self_fake, &f->caller_bottom, &f->caller_size);
#else
  (void)f;
#endif
}

static void out_of_fibre(sl_fibre *f) {
#ifdef SL_ASAN
  __sanitizer_start_switch_fiber(f->ended ? NULL : &f->self_fake, f->caller_bottom, f->caller_size);
#endif
  swapcontext(&f->self, &f->caller);
  arrived(f);
}

/* makecontext passes ints only. */
static void entry(unsigned hi, unsigned lo) {
  sl_fibre *f = (sl_fibre *)((uintptr_t)hi << 32 | lo);
  arrived(f);
  f->body(f->arg);
  f->ended = true;
  out_of_fibre(f);
}

static bool map_stack(sl_fibre *f) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  f->mapped = STACK_BYTES + page;
  f->stack = mmap(NULL, f->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (f->stack == MAP_FAILED) return false;
  mprotect(f->stack, page, PROT_NONE);
  return true;
}

static void prepare_context(sl_fibre *f) {
  getcontext(&f->self);
  f->self.uc_stack.ss_sp = f->stack;
  f->self.uc_stack.ss_size = f->mapped;
  f->self.uc_link = NULL;
  uintptr_t p = (uintptr_t)f;
  makecontext(&f->self, (void (*)(void))entry, 2, (unsigned)(p >> 32), (unsigned)(p & 0xffffffffu));
}

sl_fibre *sl_fibre_new(void (*body)(void *arg), void *arg) {
  sl_fibre *f = calloc(1, sizeof *f);
  if (!f || !map_stack(f)) {
    free(f);
    return NULL;
  }
  f->body = body;
  f->arg = arg;
  prepare_context(f);
  return f;
}

bool sl_fibre_resume(sl_fibre *f) {
  if (!f->ended) into_fibre(f);
  return !f->ended;
}

void sl_fibre_park(sl_fibre *f) { out_of_fibre(f); }

void sl_fibre_free(sl_fibre *f) {
  if (!f) return;
  munmap(f->stack, f->mapped);
  free(f);
}

#else

sl_fibre *sl_fibre_new(void (*body)(void *arg), void *arg) {
  (void)body;
  (void)arg;
  return NULL;
}
bool sl_fibre_resume(sl_fibre *f) {
  (void)f;
  return false;
}
void sl_fibre_park(sl_fibre *f) { (void)f; }
void sl_fibre_free(sl_fibre *f) { (void)f; }

#endif
