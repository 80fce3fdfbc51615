/* The memory that transfers hold for blocks is shared: one alone may have all that it asks for,
   five hundred have a few small blocks each. Looked at for each block, so a transfer shrinks when
   others begin and grows when they end. Knows bytes; must not know files or requests. */
#ifndef SL_SFTP_SHARE_H
#define SL_SFTP_SHARE_H

#include "loop/loop.h"

enum {
  SL_SHARE_ALL = 8 << 20,
  SL_SHARE_LEAST = 100 << 10,
  SL_SHARE_PIECE = 32 << 10,
  SL_SHARE_SPARES = 4
};

typedef struct sl_share_bytes {
  unsigned char *data; /* NULL: none */
  size_t size;
} sl_share_bytes;

typedef struct sl_share {
  sl_loop *loop; /* NULL: takes no part, and may have what it wants */
  size_t held;   /* bytes that this one has allocated */
  sl_share_bytes spare[SL_SHARE_SPARES];
  unsigned spares;
} sl_share;

void sl_share_join(sl_share *s, sl_loop *loop);
void sl_share_leave(sl_share *s); /* also without having joined: the spare memory goes */

size_t sl_share_now(const sl_share *s);                 /* what each may hold */
size_t sl_share_block(const sl_share *s, size_t most);  /* a good length for its next block */
bool sl_share_has_room(const sl_share *s, size_t need); /* may it take so many bytes? */

/* Memory for a block: what was given back last, which the processor's cache may still have, or new.
 * False: no memory. */
bool sl_share_take(sl_share *s, size_t need, sl_share_bytes *b);
/* Back for the next one; freed when it is too large for `block`, a block of today, or held beyond
 * the share. */
void sl_share_give(sl_share *s, sl_share_bytes *b, size_t block);

#endif
