#include "base/clean.h"

#include <stdio.h>
#include <string.h>

#define ONES 0x0101010101010101u
#define TOPS 0x8080808080808080u

/* Every byte of the word is printable ASCII. Borrows and carries cross bytes only out of a byte
   that is itself reported, so the answer is exact. */
static bool word_plain(uint64_t w) {
  return (((w - 0x20 * ONES) | (w + ONES) | w) & TOPS) == 0;
}

static bool byte_plain(unsigned char b) {
  return b >= 0x20 && b < 0x7f;
}

static size_t plain_span(const char *s, size_t n) {
  size_t i = 0;
  for (uint64_t w; n - i >= sizeof w; i += sizeof w) {
    memcpy(&w, s + i, sizeof w);
    if (!word_plain(w)) break;
  }
  while (i < n && byte_plain((unsigned char)s[i])) i++;
  return i;
}

/* Unicode's characters without ink that steer or hide text. Joiners and marks that emoji and
   scripts build on (variation selectors, combining marks) stay: they change a glyph, not what the
   reader takes it for. */
static const struct {
  uint32_t from, to;
} hidden[] = {
    {0x61c, 0x61c},     /* Arabic letter mark */
    {0x180e, 0x180e},   /* Mongolian vowel separator */
    {0x200b, 0x200f},   /* zero-width space and joiners, left-to-right and right-to-left marks */
    {0x2028, 0x202e},   /* line and paragraph separators, bidi embeddings and overrides */
    {0x2060, 0x206f},   /* word joiner, invisible operators, bidi isolates, deprecated controls */
    {0xfeff, 0xfeff},   /* byte order mark, zero-width no-break space */
    {0xfff9, 0xfffb},   /* interlinear annotation */
    {0xe0000, 0xe007f}, /* tags: a second, invisible ASCII */
};

bool sl_clean_hides(uint32_t cp) {
  if (cp < 0x61c) return cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
  if (cp > 0x206f && cp < 0xfeff) return false; /* most of the world's text */
  for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
    if (cp < hidden[i].from) return false;
    if (cp <= hidden[i].to) return true;
  }
  return false;
}

int sl_utf8_next(const char *s, size_t n, uint32_t *cp) {
  const unsigned char *u = (const unsigned char *)s;
  unsigned char b = u[0], lo = 0x80, hi = 0xbf;
  if (b < 0x80) {
    *cp = b;
    return 1;
  }
  if (b < 0xc2 || b > 0xf4) return -1;
  size_t len = b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
  uint32_t v = b & (0x7fu >> len);
  if (b == 0xe0) lo = 0xa0; /* overlong */
  if (b == 0xf0) lo = 0x90;
  if (b == 0xed) hi = 0x9f; /* surrogates */
  if (b == 0xf4) hi = 0x8f; /* past U+10FFFF */
  for (size_t i = 1; i < len; i++) {
    if (i == n) return 0;
    if (u[i] < lo || u[i] > hi) return -1;
    v = v << 6 | (u[i] & 0x3fu);
    lo = 0x80;
    hi = 0xbf;
  }
  *cp = v;
  return (int)len;
}

/* Length of the character at s when it passes as it is, else 0. */
static size_t passes(unsigned flags, const char *s, size_t n) {
  uint32_t cp;
  switch (s[0]) {
  case '\n':
    return flags & SL_CLEAN_NEWLINE ? 1 : 0;
  case '\t':
    return flags & SL_CLEAN_TAB ? 1 : 0;
  case '\r':
    return (flags & SL_CLEAN_NEWLINE) && n > 1 && s[1] == '\n' ? 2 : 0;
  default:
    break;
  }
  int len = sl_utf8_next(s, n, &cp);
  return len > 0 && !sl_clean_hides(cp) ? (size_t)len : 0;
}

size_t sl_clean_span(unsigned flags, const char *s, size_t n) {
  size_t i = 0;
  for (;;) {
    i += plain_span(s + i, n - i);
    if (i == n) return n;
    size_t step = passes(flags, s + i, n - i);
    if (step == 0) return i;
    i += step;
  }
}

void sl_clean_init(sl_clean *c, unsigned flags) {
  c->flags = flags;
  c->nheld = 0;
}

static int show_byte(unsigned char b, sl_clean_sink sink, void *ctx) {
  char text[8];
  const char *name = b == '\n' ? "\\n" : b == '\r' ? "\\r" : b == '\t' ? "\\t" : NULL;
  if (name) return sink(ctx, name, 2);
  snprintf(text, sizeof text, "\\x%02x", b);
  return sink(ctx, text, 4);
}

static int show_char(uint32_t cp, sl_clean_sink sink, void *ctx) {
  char text[16];
  if (cp < 0x80) return show_byte((unsigned char)cp, sink, ctx);
  int n = snprintf(text, sizeof text, "\\u{%x}", (unsigned)cp);
  return sink(ctx, text, (size_t)n);
}

int sl_clean_finish(sl_clean *c, sl_clean_sink sink, void *ctx) {
  unsigned n = c->nheld;
  c->nheld = 0;
  for (unsigned i = 0; i < n; i++) {
    int rc = show_byte(c->held[i], sink, ctx);
    if (rc) return rc;
  }
  return 0;
}

/* Adds bytes of the new chunk to what is held until that is decided. *used: bytes taken from s. */
static int feed_held(sl_clean *c, const char *s, size_t n, size_t *used, sl_clean_sink sink,
                     void *ctx) {
  uint32_t cp;
  *used = 0;
  while (c->nheld && *used < n) {
    char all[sizeof c->held];
    memcpy(all, c->held, c->nheld);
    all[c->nheld] = s[*used];
    size_t pass = passes(c->flags, all, c->nheld + 1);
    int len = all[0] == '\r' ? -1 : sl_utf8_next(all, c->nheld + 1, &cp);
    if (pass == 0 && len < 0) return sl_clean_finish(c, sink, ctx);
    *used += 1;
    if (pass == 0 && len == 0) {
      memcpy(c->held, all, ++c->nheld);
      continue;
    }
    c->nheld = 0;
    return pass ? sink(ctx, all, pass) : show_char(cp, sink, ctx);
  }
  return 0;
}

int sl_clean_feed(sl_clean *c, const char *s, size_t n, sl_clean_sink sink, void *ctx) {
  size_t i;
  int rc = feed_held(c, s, n, &i, sink, ctx);
  while (rc == 0 && i < n) {
    uint32_t cp;
    size_t span = sl_clean_span(c->flags, s + i, n - i);
    if (span) rc = sink(ctx, s + i, span);
    i += span;
    if (rc || i == n) break;
    int len = sl_utf8_next(s + i, n - i, &cp);
    bool may_be_crlf = s[i] == '\r' && (c->flags & SL_CLEAN_NEWLINE) && n - i == 1;
    if (len == 0 || may_be_crlf) {
      c->nheld = (unsigned)(n - i);
      memcpy(c->held, s + i, n - i);
      break;
    }
    rc = len > 0 ? show_char(cp, sink, ctx) : show_byte((unsigned char)s[i], sink, ctx);
    i += len > 0 ? (size_t)len : 1;
  }
  return rc;
}
