/* The cleaner: what it hides, what it lets pass, and that chunks make no difference. */
#include "base/clean.h"
#include "check.h"

#include <stdlib.h>
#include <time.h>

#define BOTH (SL_CLEAN_NEWLINE | SL_CLEAN_TAB)

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

static text *clean_in_chunks(unsigned flags, const char *s, size_t n, size_t chunk) {
  static text t;
  sl_clean c;
  t.n = 0;
  t.s[0] = '\0';
  sl_clean_init(&c, flags);
  for (size_t i = 0; i < n; i += chunk) {
    /* A copy of exact size lets the sanitizer see a read past the chunk. */
    size_t k = n - i < chunk ? n - i : chunk;
    char *copy = malloc(k);
    if (!copy) abort();
    memcpy(copy, s + i, k);
    sl_clean_feed(&c, copy, k, append, &t);
    free(copy);
  }
  sl_clean_finish(&c, append, &t);
  return &t;
}

static const char *clean(unsigned flags, const char *s) {
  return clean_in_chunks(flags, s, strlen(s), 1 << 16)->s;
}

static void ascii(void) {
  check_case("printable ASCII and backslashes pass");
  char all[96];
  for (int i = 0; i < 95; i++) all[i] = (char)(0x20 + i);
  all[95] = '\0';
  CHECK_STR(clean(0, all), all);
  CHECK(sl_clean_span(0, all, 95) == 95);

  check_case("every other byte is written out");
  for (int i = 0; i < 256; i++) {
    char one = (char)i, want[8];
    if (i >= 0x20 && i < 0x7f) continue;
    snprintf(want, sizeof want,
             i == '\n'   ? "\\n"
             : i == '\r' ? "\\r"
             : i == '\t' ? "\\t"
                         : "\\x%02x",
             i);
    CHECK_STR(clean_in_chunks(0, &one, 1, 1)->s, want);
  }

  check_case("no byte that needs hiding slips through a word of clean ones");
  for (size_t at = 0; at < 24; at++) {
    for (int i = 0; i < 256; i++) {
      char s[24];
      memset(s, 'a', sizeof s);
      s[at] = (char)i;
      CHECK(sl_clean_span(0, s, sizeof s) == (i >= 0x20 && i < 0x7f ? sizeof s : at));
    }
  }

  check_case("newline and tab pass when asked for");
  CHECK_STR(clean(0, "a\n\tb"), "a\\n\\tb");
  CHECK_STR(clean(SL_CLEAN_NEWLINE, "a\n\tb"), "a\n\\tb");
  CHECK_STR(clean(SL_CLEAN_TAB, "a\n\tb"), "a\\n\tb");
  CHECK_STR(clean(BOTH, "a\n\tb"), "a\n\tb");

  check_case("a carriage return passes only as part of a line end");
  CHECK_STR(clean(0, "a\r\n"), "a\\r\\n");
  CHECK_STR(clean(BOTH, "a\r\nb"), "a\r\nb");
  CHECK_STR(clean(BOTH, "a\rb\r\r\n\r"), "a\\rb\\r\r\n\\r");
}

static void attacks(void) {
  check_case("escape sequences are shown, not run");
  CHECK_STR(clean(BOTH, "\x1b[2J\x1b]0;owned\x07"), "\\x1b[2J\\x1b]0;owned\\x07");
  CHECK_STR(clean(BOTH, "\xc2\x9b"
                        "31m"),
            "\\u{9b}31m");
  CHECK_STR(clean(BOTH, "\x9b"
                        "31m"),
            "\\x9b31m");
  CHECK_STR(clean(BOTH, "\b\b\b"), "\\x08\\x08\\x08");

  check_case("bidi and invisible characters are shown");
  static const uint32_t hidden[] = {0x7f,   0x80,   0x9f,   0x61c,  0x180e,  0x200b, 0x200c, 0x200d,
                                    0x200e, 0x200f, 0x2028, 0x2029, 0x202a,  0x202e, 0x2060, 0x2066,
                                    0x2069, 0x206f, 0xfeff, 0xfff9, 0xe0001, 0xe007f};
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) CHECK(sl_clean_hides(hidden[i]));
  CHECK_STR(clean(0, "a\xe2\x80\xae"
                     "b\xd8\x9c\xef\xbb\xbf\xf3\xa0\x81\xbf"),
            "a\\u{202e}b\\u{61c}\\u{feff}\\u{e007f}");

  check_case("their neighbours and ordinary text pass");
  static const uint32_t shown[] = {0x20,   0x7e,    0xa0,    0x61b,   0x61d,   0x180d,
                                   0x180f, 0x200a,  0x2010,  0x2027,  0x202f,  0x205f,
                                   0x2070, 0xfe0f,  0xfefe,  0xff01,  0xfff8,  0xfffc,
                                   0xfffd, 0x1f600, 0xe0080, 0xdffff, 0x10ffff};
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) CHECK(!sl_clean_hides(shown[i]));
  const char *good = "na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf";
  CHECK_STR(clean(0, good), good);

  check_case("bytes that are not UTF-8 are shown one by one");
  CHECK_STR(clean(0, "\xc0\xaf"), "\\xc0\\xaf");                   /* overlong slash */
  CHECK_STR(clean(0, "\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf");          /* overlong */
  CHECK_STR(clean(0, "\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf"); /* overlong */
  CHECK_STR(clean(0, "\xed\xa0\x80"), "\\xed\\xa0\\x80");          /* surrogate */
  CHECK_STR(clean(0, "\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); /* past the end */
  CHECK_STR(clean(0, "\xf8\x88\x80\x80\x80"), "\\xf8\\x88\\x80\\x80\\x80");
  CHECK_STR(clean(0, "a\x80z"), "a\\x80z");
  CHECK_STR(clean(0, "\xe2\x80"), "\\xe2\\x80");
  CHECK_STR(clean(0, "\xe2\x80\xe2\x80\xae"), "\\xe2\\x80\\u{202e}");

  check_case("a cut character does not swallow what follows");
  CHECK_STR(clean(0, "\xf0\x9f\x1b[m"), "\\xf0\\x9f\\x1b[m");
}

static void every_code_point(void) {
  check_case("every code point is decoded as it was encoded");
  for (uint32_t cp = 0; cp < 0x110000; cp++) {
    char s[4];
    uint32_t got = 0;
    int len = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = len - 1; i > 0; i--) s[i] = (char)(0x80 | (cp >> 6 * (len - 1 - i) & 0x3f));
    s[0] = (char)(lead[len] | cp >> 6 * (len - 1));
    bool surrogate = cp >= 0xd800 && cp < 0xe000;
    if (sl_utf8_next(s, 4, &got) != (surrogate ? -1 : len) || (!surrogate && got != cp)) {
      CHECK_STR("decoded wrong", "decoded right");
      break;
    }
    for (int cut = 1; cut < len && !surrogate; cut++)
      CHECK(sl_utf8_next(s, (size_t)cut, &got) == 0);
  }
}

static unsigned long seed = 42;
static unsigned roll(unsigned n) {
  seed = seed * 6364136223846793005ul + 1442695040888963407ul;
  return (unsigned)(seed >> 33) % n;
}

/* Bytes that are likely to form, or nearly form, the characters that matter. */
static void fill(char *s, size_t n) {
  static const char *const pieces[] = {"\r\n",
                                       "\r",
                                       "\xe2\x80\xae",
                                       "\xe2\x80",
                                       "\xc2\x9b",
                                       "\xc2",
                                       "\xf0\x9f\x98\x80",
                                       "\xf3\xa0\x81",
                                       "\x1b",
                                       "abcdefgh",
                                       "\xef\xbb\xbf",
                                       "\xed\xa0",
                                       "\xff",
                                       "\n",
                                       "\t",
                                       "\x7f"};
  for (size_t i = 0; i < n;) {
    const char *p = pieces[roll(16)];
    for (; *p && i < n; p++) s[i++] = *p;
    if (i < n && roll(4) == 0) s[i++] = (char)roll(256);
  }
}

static void random_bytes(void) {
  static char whole[1 << 12], again[1 << 16];
  check_case("chunks of any size give what the whole gives, nothing unsafe is left, twice changes "
             "nothing");
  for (int round = 0; round < 400; round++) {
    char s[256];
    size_t n = 1 + roll(sizeof s);
    unsigned flags = roll(4);
    fill(s, n);
    text *t = clean_in_chunks(flags, s, n, n);
    if (!CHECK(t->n < sizeof whole)) return;
    size_t nwhole = t->n;
    memcpy(whole, t->s, t->n + 1);
    for (size_t chunk = 1; chunk < 9; chunk++)
      CHECK_STR(clean_in_chunks(flags, s, n, chunk)->s, whole);
    CHECK(sl_clean_span(flags, whole, nwhole) == nwhole);
    memcpy(again, whole, nwhole);
    CHECK_STR(clean_in_chunks(flags, again, nwhole, 3)->s, whole);
    for (size_t i = 0; i < nwhole; i++) {
      unsigned char b = (unsigned char)whole[i];
      CHECK((b >= 0x20 && b != 0x7f) || b == '\n' || b == '\t' || b == '\r');
    }
  }
}

static int refuse(void *ctx, const char *s, size_t n) {
  (void)s;
  (void)n;
  return --*(int *)ctx == 0 ? 7 : 0;
}

static void sinks(void) {
  check_case("a sink that refuses stops the work at any piece");
  for (int after = 1; after <= 5; after++) {
    sl_clean c;
    int left = after;
    sl_clean_init(&c, 0);
    CHECK(sl_clean_feed(&c,
                        "a\x1b"
                        "b\x07"
                        "c\xe2",
                        6, refuse, &left) == (after <= 5 ? 7 : 0));
  }
  sl_clean c;
  int left = 1;
  sl_clean_init(&c, 0);
  CHECK(sl_clean_feed(&c, "\xe2", 1, refuse, &left) == 0);
  CHECK(sl_clean_finish(&c, refuse, &left) == 7);
  CHECK(sl_clean_finish(&c, refuse, &left) == 0);
}

int main(void) {
  ascii();
  attacks();
  every_code_point();
  random_bytes();
  sinks();
  return check_done();
}
