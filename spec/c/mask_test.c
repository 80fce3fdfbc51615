/* The masker: what it hides, that chunks make no difference, that it is linear, and that nothing is
 * left in memory. */
#include "base/mask.h"
#include "check.h"

#include <stdlib.h>
#include <time.h>

typedef struct text {
  size_t n;
  char s[1 << 16];
} text;

static int append(void *ctx, const char *s, size_t n) {
  text *t = ctx;
  if (n > sizeof t->s - 1 - t->n) abort();
  memcpy(t->s + t->n, s, n);
  t->n += n;
  t->s[t->n] = '\0';
  return 0;
}

static int count(void *ctx, const char *s, size_t n) {
  (void)s;
  *(size_t *)ctx += n;
  return 0;
}

static sl_mask_words *words_of(const char *const *list) {
  sl_mask_words *w = sl_mask_words_new();
  for (; w && *list; list++)
    if (!sl_mask_words_add(w, *list, strlen(*list))) abort();
  if (!w || !sl_mask_words_seal(w)) abort();
  return w;
}

/* A copy of exact size lets the sanitizer see a read past the chunk. */
static void feed(sl_mask *m, const char *s, size_t n, text *t) {
  char *copy = malloc(n ? n : 1);
  if (!copy) abort();
  memcpy(copy, s, n);
  if (sl_mask_feed(m, copy, n, append, t) != 0) abort();
  free(copy);
}

static text *mask_in_chunks(sl_mask_words *w, const char *s, size_t n, size_t chunk) {
  static text t;
  sl_mask m;
  t.n = 0;
  t.s[0] = '\0';
  sl_mask_init(&m);
  if (!sl_mask_use(&m, w)) abort();
  for (size_t i = 0; i < n; i += chunk) feed(&m, s + i, n - i < chunk ? n - i : chunk, &t);
  if (sl_mask_finish(&m, append, &t) != 0) abort();
  sl_mask_free(&m);
  return &t;
}

static const char *mask(sl_mask_words *w, const char *s) {
  return mask_in_chunks(w, s, strlen(s), 1 << 16)->s;
}

static void simple(void) {
  const char *list[] = {"hunter22", "s3cret", "abc", NULL};
  sl_mask_words *w = words_of(list);
  check_case("a word is hidden wherever it stands, and everything else passes");
  CHECK_STR(mask(w, ""), "");
  CHECK_STR(mask(w, "hunter22"), "********");
  CHECK_STR(mask(w, "x hunter22 y s3cret."), "x ******** y ********.");
  CHECK_STR(mask(w, "hunter2 s3cre hunter23"), "hunter2 s3cre hunter23");
  CHECK_STR(mask(w, "hunter22hunter22"), "****************");
  CHECK_STR(mask(w, "hunthunter22"), "hunt********");
  check_case("a word of three bytes is not hidden");
  CHECK_STR(mask(w, "abc"), "abc");
  check_case("the cut beginning of a word is hidden at the end when it is long");
  CHECK_STR(mask(w, "x hunter2"), "x hunter2");
  sl_mask_words_unref(w);
  const char *longer[] = {"correct horse", NULL};
  w = words_of(longer);
  CHECK_STR(mask(w, "x correct h"), "x ********");
  CHECK_STR(mask(w, "x correct"), "x correct");
  sl_mask_words_unref(w);
}

static void overlap(void) {
  const char *list[] = {"abcd", "cdefg", "xabcdef", "aaaa", NULL};
  sl_mask_words *w = words_of(list);
  check_case("words that overlap are hidden as one");
  CHECK_STR(mask(w, "-abcdefg-"), "-********-");
  CHECK_STR(mask(w, "-xabcdefg-"), "-********-");
  CHECK_STR(mask(w, "-xabcde-"), "-x********e-");
  CHECK_STR(mask(w, "baaaaaaab"), "b********b");
  sl_mask_words_unref(w);
}

static void no_words(void) {
  const char *list[] = {NULL};
  sl_mask_words *w = words_of(list);
  check_case("without words everything passes");
  CHECK(sl_mask_words_empty(w));
  CHECK_STR(mask(w, "hunter22"), "hunter22");
  sl_mask_words_unref(w);
}

/* The same by brute force. */
static const char *slow(const char *const *list, const char *s, size_t n) {
  static char out[4096];
  bool hidden[512] = {false}, joined[512] = {false};
  size_t len = 0;
  for (; *list; list++) {
    size_t k = strlen(*list);
    for (size_t i = 0; i + k <= n; i++) {
      if (memcmp(s + i, *list, k) != 0) continue;
      for (size_t j = 0; j < k; j++) hidden[i + j] = true;
      for (size_t j = 1; j < k; j++) joined[i + j] = true; /* belongs to the byte before it */
    }
  }
  for (size_t i = 0; i < n; i++) {
    if (!hidden[i]) {
      out[len++] = s[i];
    } else if (!joined[i]) {
      memcpy(out + len, SL_MASK_TEXT, 8);
      len += 8;
    }
  }
  out[len] = '\0';
  return out;
}

static void chunks(void) {
  check_case("random words in random text, cut at every length: as by brute force");
  const char *list[] = {"abab", "babbaa", "aabba", "bbbb", "abba", NULL};
  sl_mask_words *w = words_of(list);
  srand(7);
  for (int round = 0; round < 400; round++) {
    char s[200];
    size_t n = (size_t)(rand() % 190);
    for (size_t i = 0; i < n; i++) s[i] = "abc"[rand() % (round % 2 ? 2 : 3)];
    s[n] = '\0';
    for (size_t chunk = 1; chunk < 12; chunk++)
      if (!CHECK_STR(mask_in_chunks(w, s, n, chunk)->s, slow(list, s, n))) return;
  }
  sl_mask_words_unref(w);
}

static void later(void) {
  check_case("words that come in the middle of a stream hold from there on, also for bytes that "
             "were held back");
  const char *before[] = {"abcdefghij", NULL}, *after[] = {"cdefXY", "abcdefghij", NULL};
  sl_mask_words *w = words_of(before), *w2 = words_of(after);
  static text t;
  sl_mask m;
  sl_mask_init(&m);
  CHECK(sl_mask_use(&m, w));
  feed(&m, "..abcdef", 8, &t);
  CHECK_STR(t.s, "..");
  CHECK(sl_mask_use(&m, w2));
  feed(&m, "XY..abcdefghij", 14, &t);
  CHECK(sl_mask_finish(&m, append, &t) == 0);
  CHECK_STR(t.s, "..ab********..********");
  sl_mask_free(&m);
  sl_mask_words_unref(w);
  sl_mask_words_unref(w2);
}

/* The worst case of a naive search: a long word of one letter, and its text. */
static void linear(void) {
  check_case("64 MiB of a word's own prefix take linear time");
  enum { LONG = 60000, CHUNK = 1 << 16 };
  char *word = malloc(LONG + 1), *chunk = malloc(CHUNK);
  if (!word || !chunk) abort();
  memset(word, 'a', LONG);
  word[LONG - 1] = 'b';
  word[LONG] = '\0';
  memset(chunk, 'a', CHUNK);
  const char *list[] = {word, NULL};
  sl_mask_words *w = words_of(list);
  sl_mask m;
  size_t out = 0;
  sl_mask_init(&m);
  CHECK(sl_mask_use(&m, w));
  clock_t before = clock();
  for (int i = 0; i < 1024; i++) CHECK(sl_mask_feed(&m, chunk, CHUNK, count, &out) == 0);
  double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
  printf("# %.2f s\n", seconds);
  CHECK(out == (size_t)1024 * CHUNK - (LONG - 1));
  CHECK(seconds < 60); /* quadratic would be hours */
  sl_mask_free(&m);
  sl_mask_words_unref(w);
  free(word);
  free(chunk);
}

int main(void) {
  simple();
  overlap();
  no_words();
  chunks();
  later();
  linear();
  return check_done();
}
