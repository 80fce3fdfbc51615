/* libFuzzer target for decrypted packets as our hook and libssh2 take them, without a channel: the
   input is packets, each behind two bytes of its length. The first byte says whether the keys are
   agreed on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "engine/engine.h"
#include "loop/loop.h"

#ifdef SL_PACKET_HOOK
#include "engine/packets.h"
#include "libssh2_priv.h"
#include "packet.h"
#endif
#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef SL_PACKET_HOOK
/* false: the session is over. */
static bool take(sl_engine *e, const uint8_t *data, size_t len, uint32_t seq) {
  LIBSSH2_SESSION *s = e->raw;
  unsigned char *packet = LIBSSH2_ALLOC(s, len);
  int rc;
  if (!packet) abort();
  memcpy(packet, data, len);
  s->packet.total_num = len;
  rc = _libssh2_packet_add(s, packet, len, LIBSSH2_MAC_CONFIRMED, seq);
  if (rc == LIBSSH2_ERROR_EAGAIN) { /* no answer is sent in a key exchange, and ours never ends */
    e->in_again = packet;
    e->in_again_len = len;
  }
  return rc >= 0 && e->wire.life == SL_WIRE_OPEN;
}

/* What libssh2 keeps must not grow without end: nothing here was asked for. */
static size_t kept(LIBSSH2_SESSION *s) {
  size_t n = 0;
  for (void *p = _libssh2_list_first(&s->packets); p; p = _libssh2_list_next(p)) n++;
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const sl_engine_hooks hooks = {0};
  static lua_State *L; /* its loop serves all inputs */
  sl_engine e;
  if (size < 2) return 0;
  if (!L && (L = luaL_newstate())) {
    lua_newtable(L);
    sl_loop_open(L);
  }
  if (!L || sl_engine_init(&e, sl_loop_get(L), &hooks) != 0) abort();
  e.pumped = *data & 1;
  if (*data & 2) e.raw->state |= LIBSSH2_STATE_EXCHANGING_KEYS;
  size_t packets = 0;
  for (size_t at = 1; at + 2 < size; packets++) {
    size_t len = (size_t)data[at] << 8 | data[at + 1];
    at += 2;
    if (len > size - at) len = size - at;
    if (len == 0 || !take(&e, data + at, len, (uint32_t)packets)) break;
    at += len;
  }
  TRUTH(kept(e.raw) <= packets);
  e.raw->state &= ~LIBSSH2_STATE_EXCHANGING_KEYS;
  sl_engine_kill(&e);
  return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  (void)data;
  (void)size;
  return 0;
}
#endif
