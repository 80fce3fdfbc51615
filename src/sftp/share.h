/* The memory that transfers hold for blocks is shared: one alone may have all that it asks for,
   five hundred have a few small blocks each. Looked at for each block, so a transfer shrinks when
   others begin and grows when they end. Knows bytes; must not know files or requests. */
#ifndef SL_SFTP_SHARE_H
#define SL_SFTP_SHARE_H

#include "loop/loop.h"

enum { SL_SHARE_ALL = 8 << 20, SL_SHARE_LEAST = 100 << 10, SL_SHARE_PIECE = 32 << 10 };

typedef struct sl_share {
  sl_loop *loop; /* NULL: takes no part, and may have what it wants */
  size_t held;   /* bytes that this one has allocated */
} sl_share;

void sl_share_join(sl_share *s, sl_loop *loop);
void sl_share_leave(sl_share *s);

size_t sl_share_now(const sl_share *s);                 /* what each may hold */
size_t sl_share_block(const sl_share *s, size_t most);  /* a good length for its next block */
bool sl_share_has_room(const sl_share *s, size_t more); /* may it hold so many bytes more? */

/* Memory of a block that has `*room` bytes becomes one of `need` bytes, unless it fits. NULL: no
   memory, and the old one is gone. */
unsigned char *sl_share_fit(sl_share *s, unsigned char *old, size_t *room, size_t need);
/* What is too large for a block of today, or held beyond the share, is given back. */
unsigned char *sl_share_trim(sl_share *s, unsigned char *old, size_t *room, size_t block);

#endif
