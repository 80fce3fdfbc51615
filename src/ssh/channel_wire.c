/* A channel as the wire of another session: what the engine's wire asks of it. */
#include <stdlib.h>

#include "engine/wire_channel.h"
#include "ssh/channel.h"

static ssize_t port_read(sl_strand *below, sl_buf *in) {
  sl_channel *ch = (sl_channel *)below;
  sl_buf *come = &ch->in[0];
  int rc = sl_buf_len(come) ? 1 : sl_channel_fetch(ch, 0);
  size_t len = sl_buf_len(come), paid = len < ch->prepaid ? len : ch->prepaid;
  if (len == 0) return rc;
  if (sl_buf_len(in)) {
    if (!sl_buf_append(in, sl_buf_head(come), len)) return LIBSSH2_ERROR_ALLOC;
    sl_buf_free(come);
  } else {
    sl_buf_free(in);
    *in = *come;
    *come = (sl_buf){0};
  }
  ch->prepaid -= paid;
  sl_window_credit(below, len - paid);
  return (ssize_t)len;
}

static ssize_t port_write(sl_strand *below, const char *bytes, size_t len) {
  return libssh2_channel_write_ex(below->raw, 0, bytes, len);
}

static void port_release(sl_strand *below) {
  sl_channel_release((sl_channel *)below);
}

static const sl_channel_port port = {
    .read = port_read, .write = port_write, .release = port_release};

void sl_channel_become_wire(lua_State *L, int idx, sl_engine *e, const char *via) {
  sl_channel *ch = sl_channel_check(L, idx);
  if (!ch->strand.engine || !ch->strand.raw) luaL_argerror(L, idx, "a channel of a closed session");
  if (ch->strand.engine == e || !sl_strand_idle(&ch->strand))
    luaL_argerror(L, idx, "the channel is in use");
  *ch->box = NULL;
  ch->box = NULL;
  int rc = sl_engine_attach_strand(e, &ch->strand, &port, via);
  if (rc < 0) luaL_error(L, "not enough memory");
}
