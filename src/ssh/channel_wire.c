/* A channel as the wire of another session: what the engine's wire asks of it. */
#include <stdlib.h>

#include "engine/wire_channel.h"
#include "ssh/channel.h"

/* One length for every read of a channel (docs/engine.md, rule 4), so it goes by way of the loop's buffer. */
static ssize_t port_read(sl_strand *below, sl_buf *in) {
  sl_channel *ch = (sl_channel *)below;
  char **scratch = &below->engine->loop->scratch;
  if (!*scratch && !(*scratch = malloc(SL_READ_BYTES))) return LIBSSH2_ERROR_ALLOC;
  ssize_t n = libssh2_channel_read_ex(below->raw, 0, *scratch, ch->read_bytes);
  if (n > 0 && !sl_buf_append(in, *scratch, (size_t)n)) return LIBSSH2_ERROR_ALLOC;
  return n;
}

static ssize_t port_write(sl_strand *below, const char *bytes, size_t len) {
  return libssh2_channel_write_ex(below->raw, 0, bytes, len);
}

static void port_release(sl_strand *below) { sl_channel_release((sl_channel *)below); }

static const sl_channel_port port = {.read = port_read, .write = port_write, .release = port_release};

void sl_channel_become_wire(lua_State *L, int idx, sl_engine *e, const char *via) {
  sl_channel *ch = sl_channel_check(L, idx);
  if (!ch->strand.engine || !ch->strand.raw) luaL_argerror(L, idx, "a channel of a closed session");
  if (ch->strand.engine == e || !sl_strand_idle(&ch->strand)) luaL_argerror(L, idx, "the channel is in use");
  *ch->box = NULL;
  ch->box = NULL;
  sl_buf ahead = ch->unread[0];
  ch->unread[0] = (sl_buf){0};
  int rc = sl_engine_attach_strand(e, &ch->strand, &port, via, &ahead);
  sl_buf_free(&ahead);
  if (rc < 0) luaL_error(L, "not enough memory");
}
