#include "sftp/share.h"

#include <stdint.h>
#include <stdlib.h>

void sl_share_join(sl_share *s, sl_loop *loop) {
  s->loop = loop;
  s->held = 0;
  loop->sharing++;
}

static void drop(sl_share *s, sl_share_bytes *b) {
  free(b->data);
  s->held -= b->size;
  *b = (sl_share_bytes){0};
}

void sl_share_leave(sl_share *s) {
  while (s->spares) drop(s, &s->spare[--s->spares]);
  if (s->loop) s->loop->sharing--;
  s->loop = NULL;
}

size_t sl_share_now(const sl_share *s) {
  if (!s->loop) return SIZE_MAX;
  size_t share = SL_SHARE_ALL / (s->loop->sharing ? s->loop->sharing : 1);
  return share > SL_SHARE_LEAST ? share : SL_SHARE_LEAST;
}

/* Powers of two, so that memory that was given back fits the next one; at least three in a share,
   so that the disk, the network and the other side work at the same time. */
size_t sl_share_block(const sl_share *s, size_t most) {
  size_t len = SL_SHARE_PIECE, each = sl_share_now(s) / 3;
  while (len * 2 <= each && len < most) len *= 2;
  return len < most ? len : most;
}

static size_t top_spare(const sl_share *s) {
  return s->spares ? s->spare[s->spares - 1].size : 0;
}

bool sl_share_has_room(const sl_share *s, size_t need) {
  size_t top = top_spare(s);
  return top >= need || s->held - top + need <= sl_share_now(s);
}

bool sl_share_take(sl_share *s, size_t need, sl_share_bytes *b) {
  *b = (sl_share_bytes){0};
  if (s->spares) *b = s->spare[--s->spares];
  if (b->data && b->size >= need) return true;
  drop(s, b);
  b->data = malloc(need);
  if (!b->data) return false;
  b->size = need;
  s->held += need;
  return true;
}

void sl_share_give(sl_share *s, sl_share_bytes *b, size_t block) {
  if (s->held > sl_share_now(s) || b->size >= block * 2 || s->spares == SL_SHARE_SPARES) drop(s, b);
  if (b->data) s->spare[s->spares++] = *b;
  *b = (sl_share_bytes){0};
}
