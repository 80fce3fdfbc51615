/* Bytes of others made safe to show. What could move a cursor, ring, recolour, reorder or hide text
   is written out in the escapes of a Lua string literal, one notation for all of it:

     \n \r \t        those three
     \x1b \x7f \xff  other control bytes, DEL, every byte that is not part of valid UTF-8
     \u{9b} \u{202e} C1 controls, bidi controls, zero-width and other invisible characters

   Everything else, a backslash too, passes untouched: the result is for eyes, not for parsing back.
   Cleaning twice changes nothing. Knows Unicode's dangerous corners; must not know Lua. */
#ifndef SL_CLEAN_H
#define SL_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_CLEAN_NEWLINE                                                                           \
  1u                    /* let \n pass, and \r\n; a \r alone could overwrite another line's start */
#define SL_CLEAN_TAB 2u /* let \t pass */

/* Takes the next piece of the result; not 0 stops the work and is handed back. */
typedef int (*sl_clean_sink)(void *ctx, const char *s, size_t n);

/* State between two chunks: a character cut in the middle, or a \r whose \n may follow. */
typedef struct sl_clean {
  unsigned flags;
  unsigned nheld;
  unsigned char held[4];
} sl_clean;

void sl_clean_init(sl_clean *c, unsigned flags);

/* Clean stretches go to the sink as they are, uncopied. Returns 0, or what the sink returned. */
int sl_clean_feed(sl_clean *c, const char *s, size_t n, sl_clean_sink sink, void *ctx);

/* The text has ended: what is held is incomplete and is written out. */
int sl_clean_finish(sl_clean *c, sl_clean_sink sink, void *ctx);

/* How many leading bytes pass as they are. */
size_t sl_clean_span(unsigned flags, const char *s, size_t n);

/* One character of UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). Returns its
   length and fills *cp; 0: good so far, but cut off; -1: not UTF-8. n is at least 1. */
int sl_utf8_next(const char *s, size_t n, uint32_t *cp);

/* True for a valid character that must not reach a terminal as it is. Covers \n, \r and \t. */
bool sl_clean_hides(uint32_t cp);

#endif
