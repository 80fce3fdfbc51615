/* Pastes as terminals send them. */
#include <stdlib.h>

#include "base/paste.h"
#include "check.h"

/* What becomes of these bytes; `used`: how many of them belong to the paste. */
static char *paste(const char *bytes, size_t len, size_t *used) {
  static sl_paste p;
  sl_paste_begin(&p);
  for (size_t i = 0; i < len; i++) {
    if (!sl_paste_feed(&p, bytes[i])) continue;
    *used = i + 1;
    return sl_paste_take(&p);
  }
  *used = 0;
  sl_paste_drop(&p);
  return NULL;
}

static void check_paste(const char *bytes, size_t len, const char *expected) {
  size_t used;
  char *text = paste(bytes, len, &used);
  CHECK(used == len);
  CHECK((text == NULL) == (expected == NULL));
  if (text && expected) CHECK_STR(text, expected);
  free(text);
}

#define PASTE(bytes, expected) check_paste(bytes "\033[201~", sizeof bytes + 5, expected)

static void check_sizes(void) {
  enum { SIZE = SL_PASTE_MAX + 8 };
  char *bytes = malloc(SIZE);
  size_t used;
  memset(bytes, 'x', SIZE);
  memcpy(bytes + SL_PASTE_MAX, "\033[201~", 6);
  char *text = paste(bytes, SL_PASTE_MAX + 6, &used);
  CHECK(text && strlen(text) == SL_PASTE_MAX);
  free(text);
  memcpy(bytes + SL_PASTE_MAX, "x\033[201~", 7);
  text = paste(bytes, SL_PASTE_MAX + 7, &used);
  CHECK(!text && used == SL_PASTE_MAX + 7);
  free(text);
  free(bytes);
}

/* Whatever comes, what is made of it can stand in a line. */
static void check_noise(void) {
  unsigned seed = 1;
  for (int round = 0; round < 2000; round++) {
    char bytes[64];
    size_t used;
    for (size_t i = 0; i < sizeof bytes; i++) {
      seed = seed * 1103515245 + 12345;
      bytes[i] = (char)(seed >> 16);
      if ((seed >> 24) % 4 == 0) bytes[i] = "\033[201~\r\n"[(seed >> 8) % 8];
    }
    memcpy(bytes + sizeof bytes - 6, "\033[201~", 6);
    char *text = paste(bytes, sizeof bytes, &used);
    CHECK(used >= 6 && used <= sizeof bytes);
    for (const char *c = text; c && *c; c++)
      CHECK((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t');
    CHECK(!text || text[strlen(text) - 1] != '\n');
    free(text);
  }
}

int main(void) {
  check_case("a paste is its text up to the end mark");
  PASTE("echo hi", "echo hi");
  PASTE("", NULL);
  PASTE("\033[201", "[201");
  PASTE("\033\033[201", "[201");
  check_case("line ends are LF, and none is left at the end");
  PASTE("a\rb\r\nc\nd\r\n\r", "a\nb\nc\nd");
  PASTE("\r\n", NULL);
  check_case("characters are whole, tabs are kept, other control characters are not");
  PASTE("gr\xc3\xbc\tn\x01\x1b[31m\x7f\xc2\x9b \xff\xc3", "gr\xc3\xbc\tn[31m ??");
  check_case("a paste that is too long is none");
  check_sizes();
  check_case("noise becomes text");
  check_noise();
  return check_done();
}
