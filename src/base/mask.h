/* Secrets hidden in a stream: every occurrence of one of a set of words is replaced by
   SL_MASK_TEXT, however the stream is cut into chunks. Occurrences that overlap are replaced once.
   What the result is does not depend on the chunks. Time is linear in the stream (Aho and Corasick
   1975); held back is at most the longest word less a byte. Knows bytes; must not know Lua or where
   they come from. */
#ifndef SL_MASK_H
#define SL_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_MASK_TEXT "********"

enum {
  SL_MASK_SHORTEST = 4, /* shorter words are in every text: they are not masked */
  SL_MASK_TAIL = 8      /* at the end of a stream so much of a word's beginning is masked, too */
};

/* The words, compiled and counted by reference. Holds copies of their bytes, which are wiped when
 * it goes. */
typedef struct sl_mask_words sl_mask_words;

sl_mask_words *sl_mask_words_new(void);                                 /* NULL: no memory */
bool sl_mask_words_add(sl_mask_words *w, const char *word, size_t len); /* false: no memory */
bool sl_mask_words_seal(sl_mask_words *w); /* after the last one; false: no memory */
sl_mask_words *sl_mask_words_ref(sl_mask_words *w);
void sl_mask_words_unref(sl_mask_words *w); /* NULL is fine */
bool sl_mask_words_empty(const sl_mask_words *w);

/* Takes the next piece of the result; not 0 stops the work and is handed back. */
typedef int (*sl_mask_sink)(void *ctx, const char *s, size_t n);

typedef struct sl_mask_span {
  uint64_t from, to;
  bool shown; /* its SL_MASK_TEXT is out */
} sl_mask_span;

typedef struct sl_mask {
  sl_mask_words *words;
  uint32_t state;
  uint64_t pos; /* bytes taken */
  uint64_t out; /* bytes decided and given on */
  char *held;   /* those between out and pos, outside of a feed */
  size_t held_size;
  sl_mask_span *spans; /* covered and not given on yet, in order, disjoint */
  size_t spans_first, spans_end, spans_size;
} sl_mask;

void sl_mask_init(sl_mask *m);
bool sl_mask_use(
    sl_mask *m,
    sl_mask_words *w); /* also in the middle of a stream; false: no memory, nothing changed */
int sl_mask_feed(sl_mask *m, const char *s, size_t n, sl_mask_sink sink,
                 void *ctx); /* SL_MASK_NOMEM: no memory */
int sl_mask_finish(sl_mask *m, sl_mask_sink sink,
                   void *ctx); /* the stream has ended; it may be used again */
void sl_mask_free(sl_mask *m); /* wipes what is held */

#define SL_MASK_NOMEM (-1000)

/* A compiler may not remove this. */
void sl_wipe(void *data, size_t len);

#endif
