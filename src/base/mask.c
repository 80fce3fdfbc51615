#include "base/mask.h"

#include <stdlib.h>
#include <string.h>

/* A node of the trie of all words. Children are a list: most nodes have one. */
typedef struct node {
  uint32_t child, sibling, fail;
  uint32_t depth;
  uint32_t match; /* length of the longest word that ends here, 0: none */
  unsigned char byte;
} node;

struct sl_mask_words {
  unsigned refs;
  node *nodes; /* [0] is the root */
  uint32_t count, size;
  uint32_t longest;
  uint32_t first[256]; /* the root's children */
};

void sl_wipe(void *data, size_t len) {
  volatile unsigned char *p = data;
  while (len--) *p++ = 0;
}

/* --- words ------------------------------------------------------------------------------------ */

sl_mask_words *sl_mask_words_new(void) {
  sl_mask_words *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->refs = 1;
  w->size = 64;
  w->nodes = calloc(w->size, sizeof *w->nodes);
  w->count = 1;
  if (w->nodes) return w;
  free(w);
  return NULL;
}

sl_mask_words *sl_mask_words_ref(sl_mask_words *w) {
  w->refs++;
  return w;
}

void sl_mask_words_unref(sl_mask_words *w) {
  if (!w || --w->refs > 0) return;
  sl_wipe(w->nodes, w->count * sizeof *w->nodes);
  sl_wipe(w->first, sizeof w->first);
  free(w->nodes);
  free(w);
}

bool sl_mask_words_empty(const sl_mask_words *w) {
  return w->count == 1;
}

static uint32_t child_of(const sl_mask_words *w, uint32_t at, unsigned char byte) {
  if (at == 0) return w->first[byte];
  uint32_t i = w->nodes[at].child;
  while (i && w->nodes[i].byte != byte) i = w->nodes[i].sibling;
  return i;
}

/* By hand: realloc would leave words in memory that nobody wipes. */
static bool grow(sl_mask_words *w) {
  if (w->count < w->size) return true;
  if (w->size > UINT32_MAX / 4) return false;
  node *nodes = malloc((size_t)w->size * 2 * sizeof *nodes);
  if (!nodes) return false;
  memcpy(nodes, w->nodes, w->count * sizeof *nodes);
  sl_wipe(w->nodes, w->count * sizeof *nodes);
  free(w->nodes);
  w->nodes = nodes;
  w->size *= 2;
  return true;
}

static uint32_t add_child(sl_mask_words *w, uint32_t at, unsigned char byte) {
  if (!grow(w)) return 0;
  uint32_t i = w->count++;
  w->nodes[i] =
      (node){.sibling = w->nodes[at].child, .depth = w->nodes[at].depth + 1, .byte = byte};
  w->nodes[at].child = i;
  if (at == 0) w->first[byte] = i;
  return i;
}

bool sl_mask_words_add(sl_mask_words *w, const char *word, size_t len) {
  uint32_t at = 0;
  if (len < SL_MASK_SHORTEST || len > UINT32_MAX / 4) return true;
  for (size_t i = 0; i < len; i++) {
    unsigned char byte = (unsigned char)word[i];
    uint32_t next = child_of(w, at, byte);
    if (!next && !(next = add_child(w, at, byte))) return false;
    at = next;
  }
  w->nodes[at].match = (uint32_t)len;
  if (len > w->longest) w->longest = (uint32_t)len;
  return true;
}

static uint32_t step(const sl_mask_words *w, uint32_t state, unsigned char byte) {
  while (state) {
    uint32_t next = child_of(w, state, byte);
    if (next) return next;
    state = w->nodes[state].fail;
  }
  return w->first[byte];
}

/* Breadth first, so that a node's fail is known before its children's. */
bool sl_mask_words_seal(sl_mask_words *w) {
  uint32_t *queue = malloc(w->count * sizeof *queue), head = 0, tail = 0;
  if (!queue) return false;
  queue[tail++] = 0;
  while (head < tail) {
    uint32_t at = queue[head++];
    for (uint32_t i = w->nodes[at].child; i; i = w->nodes[i].sibling) {
      node *n = &w->nodes[i];
      n->fail = at == 0 ? 0 : step(w, w->nodes[at].fail, n->byte);
      if (!n->match) n->match = w->nodes[n->fail].match;
      queue[tail++] = i;
    }
  }
  free(queue);
  return true;
}

/* --- a stream --------------------------------------------------------------------------------- */

void sl_mask_init(sl_mask *m) {
  *m = (sl_mask){.words = NULL};
}

void sl_mask_free(sl_mask *m) {
  sl_mask_words_unref(m->words);
  if (m->held) sl_wipe(m->held, m->held_size);
  free(m->held);
  free(m->spans);
  sl_mask_init(m);
}

static bool room_for_span(sl_mask *m) {
  if (m->spans_end < m->spans_size) return true;
  size_t n = m->spans_end - m->spans_first;
  if (m->spans_first > n) {
    memcpy(m->spans, m->spans + m->spans_first, n * sizeof *m->spans);
  } else {
    size_t size = m->spans_size ? m->spans_size * 2 : 16;
    sl_mask_span *spans = malloc(size * sizeof *spans);
    if (!spans) return false;
    if (n) memcpy(spans, m->spans + m->spans_first, n * sizeof *spans);
    free(m->spans);
    m->spans = spans;
    m->spans_size = size;
  }
  m->spans_first = 0;
  m->spans_end = n;
  return true;
}

/* Ends never go back, so only the last spans can be touched by a new one: each is merged once. */
static bool cover(sl_mask *m, uint64_t from, uint64_t to) {
  sl_mask_span span = {from, to, false};
  while (m->spans_end > m->spans_first && m->spans[m->spans_end - 1].to > span.from) {
    const sl_mask_span *last = &m->spans[--m->spans_end];
    if (last->from < span.from) span.from = last->from;
    span.shown |= last->shown;
  }
  if (!room_for_span(m)) return false;
  m->spans[m->spans_end++] = span;
  return true;
}

/* What was held back at the beginning of a feed, and the chunk behind it. */
typedef struct window {
  const char *held, *chunk;
  uint64_t held_from, chunk_from;
} window;

static int give_plain(const window *v, uint64_t from, uint64_t to, sl_mask_sink sink, void *ctx) {
  int rc = 0;
  if (from < v->chunk_from) {
    uint64_t end = to < v->chunk_from ? to : v->chunk_from;
    rc = sink(ctx, v->held + (from - v->held_from), (size_t)(end - from));
    from = end;
  }
  if (rc == 0 && from < to) rc = sink(ctx, v->chunk + (from - v->chunk_from), (size_t)(to - from));
  return rc;
}

/* Everything before `end` is decided: no later word begins there. */
static int give(sl_mask *m, const window *v, uint64_t end, sl_mask_sink sink, void *ctx) {
  while (m->out < end) {
    sl_mask_span *span = m->spans_first < m->spans_end ? &m->spans[m->spans_first] : NULL;
    int rc = 0;
    uint64_t to = end;
    if (!span || span->from > m->out) {
      if (span && span->from < end) to = span->from;
      rc = give_plain(v, m->out, to, sink, ctx);
    } else {
      if (!span->shown) rc = sink(ctx, SL_MASK_TEXT, sizeof SL_MASK_TEXT - 1);
      span->shown = true;
      if (span->to <= end) {
        to = span->to;
        m->spans_first++;
      }
    }
    m->out = to;
    if (rc != 0) return rc;
  }
  return 0;
}

/* The bytes between out and pos, for the next feed. There are fewer than the longest word has. */
static void hold(sl_mask *m, const window *v) {
  size_t n = (size_t)(m->pos - m->out);
  if (n == 0) return;
  size_t old = m->out < v->chunk_from ? (size_t)(v->chunk_from - m->out) : 0;
  if (old > n) old = n;
  if (old) memmove(m->held, v->held + (m->out - v->held_from), old);
  if (n > old) memcpy(m->held + old, v->chunk + (m->out + old - v->chunk_from), n - old);
}

bool sl_mask_use(sl_mask *m, sl_mask_words *w) {
  if (m->words == w) return true;
  size_t n = (size_t)(m->pos - m->out);
  size_t size = w->longest > n ? w->longest : n;
  char *held = malloc(size + 1);
  if (!held) return false;
  if (n) memcpy(held, m->held, n);
  if (m->held) sl_wipe(m->held, m->held_size);
  free(m->held);
  m->held = held;
  m->held_size = size + 1;
  sl_mask_words_ref(w);
  sl_mask_words_unref(m->words);
  m->words = w;
  m->state = 0;
  for (size_t i = 0; i < n; i++) {
    m->state = step(w, m->state, (unsigned char)held[i]);
    uint32_t match = w->nodes[m->state].match;
    if (match && !cover(m, m->out + i + 1 - match, m->out + i + 1)) return false;
  }
  return true;
}

/* Steps over the chunk; false: no memory. */
static bool look(sl_mask *m, const char *s, size_t n) {
  const sl_mask_words *w = m->words;
  uint32_t state = m->state;
  for (size_t i = 0; i < n; i++) {
    if (state == 0) {
      while (i < n && !w->first[(unsigned char)s[i]]) i++;
      if (i == n) break;
    }
    state = step(w, state, (unsigned char)s[i]);
    uint32_t match = w->nodes[state].match;
    if (match && !cover(m, m->pos + i + 1 - match, m->pos + i + 1)) return false;
  }
  m->state = state;
  m->pos += n;
  return true;
}

int sl_mask_feed(sl_mask *m, const char *s, size_t n, sl_mask_sink sink, void *ctx) {
  if (!m->words) return n ? sink(ctx, s, n) : 0;
  window v = {m->held, s, m->out, m->pos};
  if (!look(m, s, n)) return SL_MASK_NOMEM;
  int rc = give(m, &v, m->pos - m->words->nodes[m->state].depth, sink, ctx);
  if (rc == 0) hold(m, &v);
  return rc;
}

int sl_mask_finish(sl_mask *m, sl_mask_sink sink, void *ctx) {
  if (!m->words) return 0;
  window v = {m->held, NULL, m->out, m->pos};
  uint32_t depth = m->words->nodes[m->state].depth;
  if (depth >= SL_MASK_TAIL && !cover(m, m->pos - depth, m->pos)) return SL_MASK_NOMEM;
  int rc = give(m, &v, m->pos, sink, ctx);
  if (m->held) sl_wipe(m->held, m->held_size);
  m->state = 0;
  m->pos = m->out = 0;
  m->spans_first = m->spans_end = 0;
  return rc;
}
