#include "sftp/share.h"

#include <stdint.h>
#include <stdlib.h>

void sl_share_join(sl_share *s, sl_loop *loop) {
  s->loop = loop;
  s->held = 0;
  loop->sharing++;
}

void sl_share_leave(sl_share *s) {
  if (s->loop) s->loop->sharing--;
  s->loop = NULL;
}

size_t sl_share_now(const sl_share *s) {
  if (!s->loop) return SIZE_MAX;
  size_t share = SL_SHARE_ALL / (s->loop->sharing ? s->loop->sharing : 1);
  return share > SL_SHARE_LEAST ? share : SL_SHARE_LEAST;
}

/* Powers of two, so that memory that was given back fits the next one; at least three in a share,
   so that reading, sending and waiting for answers go on side by side. */
size_t sl_share_block(const sl_share *s, size_t most) {
  size_t len = SL_SHARE_PIECE, each = sl_share_now(s) / 3;
  while (len * 2 <= each && len < most) len *= 2;
  return len < most ? len : most;
}

bool sl_share_has_room(const sl_share *s, size_t more) {
  return s->held + more <= sl_share_now(s);
}

unsigned char *sl_share_fit(sl_share *s, unsigned char *old, size_t *room, size_t need) {
  if (*room >= need) return old;
  free(old);
  s->held -= *room;
  *room = 0;
  unsigned char *bytes = malloc(need);
  if (!bytes) return NULL;
  *room = need;
  s->held += need;
  return bytes;
}

unsigned char *sl_share_trim(sl_share *s, unsigned char *old, size_t *room, size_t block) {
  if (s->held <= sl_share_now(s) && *room < block * 2) return old;
  free(old);
  s->held -= *room;
  *room = 0;
  return NULL;
}
