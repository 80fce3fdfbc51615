/* The format is that of Lua 5.4's ldump.c: numbers of variable length whose last byte has the high
   bit, strings with their length plus one in front (0: none). */
#include "forget_names.h"

#include <string.h>

enum {
  HEADER = 4 + 1 + 1 + 6 + 1 + 1 + 1 + 8 + 8,
  UPVALUES_OF_MAIN = 1,
  PARAMETERS = 3, /* their number, whether there are more, the stack's size */
  INSTRUCTION = 4,
  UPVALUE = 3,
  NUMBER = 8,
  DEPTH_MAX = 200
};

enum { NIL = 0x00, FALSE = 0x01, TRUE = 0x11, INTEGER = 0x03, FLOAT = 0x13, SHORT = 0x04, LONG = 0x14 };

typedef struct copier {
  const unsigned char *from, *end;
  unsigned char *to; /* at `from` or before it */
  bool bad;
} copier;

static void move(copier *c, size_t n, bool keep) {
  if ((size_t)(c->end - c->from) < n) c->bad = true;
  if (c->bad) return;
  if (keep) {
    memmove(c->to, c->from, n);
    c->to += n;
  }
  c->from += n;
}

static size_t number(copier *c, bool keep) {
  enum { LAST = 0x80 };
  const unsigned char *begin = c->from;
  size_t value = 0, n = 0;
  do {
    if (begin + n >= c->end || value > (size_t)-1 >> 8) {
      c->bad = true;
      return 0;
    }
    value = value << 7 | (begin[n] & (LAST - 1));
  } while (!(begin[n++] & LAST));
  move(c, n, keep);
  return value;
}

static void string(copier *c, bool keep) {
  size_t n = number(c, keep);
  if (n > 0) move(c, n - 1, keep);
}

static void list(copier *c, size_t size) {
  size_t n = number(c, true);
  if (n > (size_t)(c->end - c->from) / size) c->bad = true;
  if (!c->bad) move(c, n * size, true);
}

static void constant(copier *c) {
  int type = c->from < c->end ? *c->from : -1;
  move(c, 1, true);
  switch (type) {
  case NIL:
  case FALSE:
  case TRUE:
    break;
  case INTEGER:
  case FLOAT:
    move(c, NUMBER, true);
    break;
  case SHORT:
  case LONG:
    string(c, true);
    break;
  default:
    c->bad = true;
  }
}

static void none(copier *c) {
  if (!c->bad) *c->to++ = 0x80;
}

static void debug_of_function(copier *c) {
  list(c, 1); /* lines, each from the one before */
  for (size_t n = number(c, true); n > 0 && !c->bad; n--) {
    number(c, true); /* an instruction and its line */
    number(c, true);
  }
  size_t locals = number(c, false);
  none(c);
  for (; locals > 0 && !c->bad; locals--) {
    string(c, false);
    number(c, false); /* from where to where it lives */
    number(c, false);
  }
  size_t upvalues = number(c, false);
  none(c);
  for (; upvalues > 0 && !c->bad; upvalues--) string(c, false);
}

static void function(copier *c, int depth) {
  if (depth > DEPTH_MAX) c->bad = true;
  string(c, true); /* the source */
  number(c, true); /* its first line and its last */
  number(c, true);
  move(c, PARAMETERS, true);
  list(c, INSTRUCTION);
  for (size_t n = number(c, true); n > 0 && !c->bad; n--) constant(c);
  list(c, UPVALUE);
  for (size_t n = number(c, true); n > 0 && !c->bad; n--) function(c, depth + 1);
  debug_of_function(c);
}

bool forget_names(chunk *whole) {
  copier c = {.from = whole->bytes, .end = whole->bytes + whole->len, .to = whole->bytes};
  if (whole->len < HEADER || memcmp(whole->bytes, "\x1bLua\x54\x00", 6) != 0) return false;
  move(&c, HEADER + UPVALUES_OF_MAIN, true);
  function(&c, 0);
  if (c.bad || c.from != c.end) return false;
  whole->len = (size_t)(c.to - whole->bytes);
  return true;
}
