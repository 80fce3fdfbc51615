/* libFuzzer target for pastes: whatever a terminal sends, what is made of it can stand in a line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clean.h"
#include "base/paste.h"

static void check(const char *text) {
  size_t n = strlen(text);
  if (n == 0 || n > SL_PASTE_MAX || text[n - 1] == '\n') abort();
  for (size_t i = 0; i < n;) {
    uint32_t cp;
    int len = sl_utf8_next(text + i, n - i, &cp);
    if (len <= 0 || (cp >= 0x7f && cp < 0xa0) || (cp < 0x20 && cp != '\t' && cp != '\n')) abort();
    i += (size_t)len;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static sl_paste p;
  sl_paste_begin(&p);
  for (size_t i = 0; i < size; i++) {
    if (!sl_paste_feed(&p, (char)data[i])) continue;
    char *text = sl_paste_take(&p);
    if (text) check(text);
    free(text);
    if (p.text || p.open) abort();
    sl_paste_begin(&p);
  }
  sl_paste_drop(&p);
  return 0;
}
