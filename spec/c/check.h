/* The least a C test needs. A test is a main() of cases:

     check_case("a cut character waits for its end");
     CHECK(n == 3);
     CHECK_STR(text, "abc");
     ...
     return check_done();

   A case without a failed check prints `ok N - name`, else `not ok N - name` below the checks that
   failed. */
#ifndef SL_CHECK_H
#define SL_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *name;
  int passed, failed, skipped;
  bool bad;
} check_state;

static inline void check_close(void) {
  if (!check_state.name) return;
  int n = check_state.passed + check_state.failed + check_state.skipped + 1;
  printf("%s %d - %s\n", check_state.bad ? "not ok" : "ok", n, check_state.name);
  check_state.passed += !check_state.bad;
  check_state.failed += check_state.bad;
  check_state.name = NULL;
}

static inline void check_case(const char *name) {
  check_close();
  check_state.name = name;
  check_state.bad = false;
  fflush(stdout); /* so that a crash shows which case it was after */
}

static inline void check_skip(const char *name, const char *why) {
  check_close();
  check_state.skipped++;
  printf("ok %d - %s # SKIP %s\n", check_state.passed + check_state.failed + check_state.skipped,
         name, why);
}

static inline bool check_that(bool good, const char *what, const char *file, int line) {
  if (good) return true;
  check_state.bad = true;
  printf("# %s:%d: %s\n", file, line, what);
  return false;
}

static inline bool check_str(const char *got, const char *want, const char *what, const char *file,
                             int line) {
  if (got == want || (got && want && strcmp(got, want) == 0)) return true;
  check_that(false, what, file, line);
  printf("#   got  \"%s\"\n#   want \"%s\"\n", got ? got : "(null)", want ? want : "(null)");
  return false;
}

static inline int check_done(void) {
  check_close();
  printf("%d passed, %d failed, %d skipped\n", check_state.passed, check_state.failed,
         check_state.skipped);
  return check_state.failed != 0;
}

#define CHECK(cond) check_that((cond), #cond, __FILE__, __LINE__)
#define CHECK_STR(got, want) check_str((got), (want), #got " is " #want, __FILE__, __LINE__)

#endif
