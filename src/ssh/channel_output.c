/* What goes into a channel (RFC 4254 5.2): writes within the peer's window, end of input. */
#include "base/secret.h"
#include "ssh/channel.h"

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

/* --- write ------------------------------------------------------------------------------------------------------ */

typedef struct write_op {
  sl_eop eop;
  const char *data; /* anchored with the channel by keep_ref; the same bytes until libssh2 took them */
  size_t len, done;
} write_op;

/* libssh2 goes on sending to a channel that the server has closed, whose window nobody opens again. */
bool sl_channel_peer_closed(LIBSSH2_CHANNEL *raw) {
#ifdef SL_LIBSSH2_STATIC
  return raw->remote.close;
#else
  return libssh2_channel_eof(raw) && libssh2_channel_wait_closed(raw) == 0;
#endif
}

/* Output is not sent into a wire that is lost, although libssh2 would take it. */
static int refuse_lost(sl_op *op) {
  const sl_wire *w = &((sl_eop *)op)->engine->wire;
  if (w->life == SL_WIRE_OPEN) return 0;
  op->err = w->err;
  return LIBSSH2_ERROR_CHANNEL_CLOSED;
}

/* After "again" the next call must have the same bytes, so an abandoned write stops between calls only. */
static int write_step(sl_op *op) {
  write_op *x = (write_op *)op;
  sl_engine *e = x->eop.engine;
  int rc = refuse_lost(op);
  if (rc < 0) return rc;
  if (sl_channel_peer_closed(x->eop.strand->raw)) {
    sl_err_set(&op->err, SL_CHANNEL, "EPIPE", 0, "the command has ended and takes no more input");
    return LIBSSH2_ERROR_CHANNEL_CLOSED;
  }
  while (x->done < x->len && !(op->abandoned && !x->eop.said)) {
    if (!x->eop.said && sl_buf_len(&e->wire.out) > SL_WIRE_HIGH_WATER) {
      x->eop.strand->woken = true;
      return sl_step_again();
    }
    size_t n = x->len - x->done;
    x->eop.said = true; /* libssh2 may hold this chunk */
    ssize_t sent = libssh2_channel_write_ex(x->eop.strand->raw, 0, x->data + x->done,
                                            n > SL_WIRE_PIECE ? SL_WIRE_PIECE : n);
    if (sent < 0) return (int)sent;
    if (sent == 0) return sl_step_again();
    x->eop.said = false;
    x->done += (size_t)sent;
  }
  return 0;
}

static const sl_op_kind write_kind = {
    .name = "channel.write", .step = write_step, .cancel = sl_eop_cancel};

/* channel:write(bytes, done): done(nil) when libssh2 has taken all of it, within the peer's window. */
static int l_write(lua_State *L) {
  sl_channel *ch = sl_channel_check(L, 1);
  size_t len;
  const char *data = sl_check_bytes(L, 2, &len);
  sl_check_done(L, 3);
  write_op *x = sl_channel_op(L, ch, SL_LANE_OUT, &write_kind, sizeof *x);
  x->data = data;
  x->len = len;
  lua_createtable(L, 2, 0);
  for (int i = 1; i <= 2; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i);
  }
  sl_op_start(L, &x->eop.op, 3, lua_gettop(L));
  sl_eop_submit(&x->eop);
  return 1;
}

static int eof_step(sl_op *op) {
  LIBSSH2_CHANNEL *raw = ((sl_eop *)op)->strand->raw;
  int rc = refuse_lost(op);
  if (rc < 0 || sl_channel_peer_closed(raw)) return rc; /* a command that has ended needs no end of input */
  return libssh2_channel_send_eof(raw);
}

static const sl_op_kind eof_kind = {
    .name = "channel.eof", .step = eof_step, .cancel = sl_eop_cancel};

/* channel:send_eof(done): after the writes before it. */
static int l_send_eof(lua_State *L) { return sl_channel_start(L, SL_LANE_OUT, &eof_kind, sizeof(sl_eop)); }

static const luaL_Reg output_verbs[] = {{"write", l_write}, {"send_eof", l_send_eof}, {NULL, NULL}};

const luaL_Reg *sl_channel_output_verbs(void) { return output_verbs; }
