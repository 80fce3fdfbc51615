#include "base/paste.h"

#include <stdlib.h>
#include <string.h>

#include "base/clean.h"

static const char END[] = "\033[201~";

void sl_paste_begin(sl_paste *p) {
  sl_paste_drop(p);
  p->open = true;
}

static void append(sl_paste *p, char byte) {
  if (p->len == p->size) {
    size_t size = p->size ? p->size * 2 : 4096;
    char *text = p->size < SL_PASTE_MAX + sizeof END ? realloc(p->text, size) : NULL;
    if (!text) {
      p->too_long = true;
      return;
    }
    p->text = text;
    p->size = size;
  }
  p->text[p->len++] = byte;
}

bool sl_paste_feed(sl_paste *p, char byte) {
  memmove(p->tail, p->tail + 1, sizeof p->tail - 1);
  p->tail[sizeof p->tail - 1] = byte;
  if (!p->too_long) append(p, byte);
  if (memcmp(p->tail, END, sizeof p->tail) != 0) return false;
  p->open = false;
  return true;
}

static bool is_kept(uint32_t cp) {
  return cp == '\t' || cp == '\n' || (cp >= 0x20 && !(cp >= 0x7f && cp < 0xa0));
}

/* In place: no character becomes longer. Returns the new length. */
static size_t make_text(char *s, size_t n) {
  size_t out = 0;
  for (size_t i = 0; i < n;) {
    uint32_t cp;
    int len = sl_utf8_next(s + i, n - i, &cp);
    if (len <= 0) {
      s[out++] = '?';
      i++;
      continue;
    }
    if (s[i] == '\r') {
      s[out++] = '\n';
      i += i + 1 < n && s[i + 1] == '\n' ? 2 : 1;
      continue;
    }
    if (is_kept(cp)) {
      memmove(s + out, s + i, (size_t)len);
      out += (size_t)len;
    }
    i += (size_t)len;
  }
  while (out > 0 && s[out - 1] == '\n') out--;
  return out;
}

char *sl_paste_take(sl_paste *p) {
  char *text = p->text;
  bool any = !p->open && !p->too_long && p->len >= sizeof END - 1 &&
             p->len - (sizeof END - 1) <= SL_PASTE_MAX;
  size_t len = any ? make_text(text, p->len - (sizeof END - 1)) : 0;
  if (len == 0) {
    sl_paste_drop(p);
    return NULL;
  }
  text[len] = '\0'; /* where the end mark began, or before */
  *p = (sl_paste){.text = NULL};
  return text;
}

void sl_paste_drop(sl_paste *p) {
  free(p->text);
  *p = (sl_paste){.text = NULL};
}
