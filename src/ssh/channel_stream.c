/* What flows through a channel (RFC 4254 5.2): reads of either stream or both, writes within the peer's window, end of
   input. */
#include "ssh/channel.h"

#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

enum {
  WRITE_CHUNK = 32000,
  COPY_MAX = 32768 /* what is read is copied up to here; beyond, the buffer goes along and the next read gets another */
};

/* --- read ----------------------------------------------------------------------------------------------------- */

typedef struct read_op {
  sl_eop eop;
  int stream; /* 0 stdout, 1 stderr */
  char *buf;
  size_t len;
  bool any; /* both streams */
} read_op;

static bool keep_bytes(read_op *x, char **scratch, size_t len) {
  x->len = len;
  if (len > COPY_MAX) {
    x->buf = *scratch;
    *scratch = NULL;
    return true;
  }
  x->buf = malloc(len);
  if (x->buf) memcpy(x->buf, *scratch, len);
  return x->buf != NULL;
}

static int read_unread(read_op *x, int stream) {
  sl_buf *unread = &sl_channel_of(&x->eop.op)->unread[stream];
  size_t len = sl_buf_len(unread);
  x->buf = malloc(len);
  if (!x->buf) return LIBSSH2_ERROR_ALLOC;
  memcpy(x->buf, sl_buf_head(unread), len);
  sl_buf_free(unread);
  x->stream = stream;
  x->len = len;
  return 1;
}

/* 1: bytes, 0: the stream is at its end, <0: libssh2's code. */
static int read_stream(read_op *x, int stream) {
  sl_channel *ch = sl_channel_of(&x->eop.op);
  char **scratch = &x->eop.op.loop->scratch;
  if (sl_buf_len(&ch->unread[stream])) return read_unread(x, stream);
  if (!*scratch && !(*scratch = malloc(SL_READ_BYTES))) return LIBSSH2_ERROR_ALLOC;
  ssize_t n = libssh2_channel_read_ex(ch->strand.raw, stream, *scratch, ch->read_bytes);
  if (n <= 0) return (int)n;
  x->stream = stream;
  return keep_bytes(x, scratch, (size_t)n) ? 1 : LIBSSH2_ERROR_ALLOC;
}

static int read_either(read_op *x, bool err_first) {
  int rc = read_stream(x, err_first);
  if (rc != 0 && rc != sl_step_again()) return rc;
  int other = read_stream(x, !err_first);
  if (other != 0) return other;
  return rc; /* at the end only when both are */
}

/* In a bulk stream a small delivery waits a moment for company; the end of the stream does not. */
static bool wait_for_more(const sl_strand *s) {
#ifdef SL_LIBSSH2_STATIC
  return sl_rest_is_on(s->engine) && !s->raw->remote.eof && s->raw->read_avail < ((const sl_channel *)s)->read_bytes;
#else
  (void)s;
  return false;
#endif
}

static int read_step(sl_op *op) {
  read_op *x = (read_op *)op;
  sl_channel *ch = sl_channel_of(op);
  if (x->eop.engine->wire.life == SL_WIRE_OPEN && wait_for_more(x->eop.strand)) return sl_step_again();
  ch->err_turn = x->any && !ch->err_turn;
  int rc = x->any ? read_either(x, ch->err_turn) : read_stream(x, x->stream);
  return rc < 0 ? rc : 0;
}

static int read_push(sl_op *op, lua_State *L) {
  read_op *x = (read_op *)op;
  if (x->len == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, x->buf, x->len);
  lua_pushinteger(L, x->stream);
  return 2;
}

/* Cancelled between the bytes' coming and their delivery: the next read has them. */
static void read_drop(sl_op *op) {
  const read_op *x = (const read_op *)op;
  sl_channel *ch = x->len ? sl_op_kept_object(op) : NULL;
  if (ch) (void)sl_buf_append(&ch->unread[x->stream], x->buf, x->len);
}

static void read_clean(sl_op *op) { free(((read_op *)op)->buf); }

static const sl_op_kind read_kind = {.name = "channel.read",
                                     .step = read_step,
                                     .push = read_push,
                                     .drop = read_drop,
                                     .cancel = sl_eop_cancel_at_once,
                                     .clean = read_clean};

static int start_read(lua_State *L, int lane, int stream, bool any, int done_idx) {
  sl_channel *ch = sl_channel_check(L, 1);
  sl_check_done(L, done_idx);
  read_op *x = sl_channel_op(L, ch, lane, &read_kind, sizeof *x);
  x->stream = stream;
  x->any = any;
  sl_op_start(L, &x->eop.op, done_idx, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

/* channel:read(stream, done): stream 0 is stdout, 1 is stderr. done(nil, bytes, stream), done(nil, nil) at the end. */
static int l_read(lua_State *L) {
  lua_Integer stream = luaL_checkinteger(L, 2);
  luaL_argcheck(L, stream == 0 || stream == 1, 2, "stream 0 or 1 expected");
  return start_read(L, stream ? SL_LANE_ERR : SL_LANE_IN, (int)stream, false, 3);
}

/* channel:read_any(done): whichever stream has something; the end when both are at it. Do not mix with read. */
static int l_read_any(lua_State *L) { return start_read(L, SL_LANE_IN, 0, true, 2); }

/* --- write ------------------------------------------------------------------------------------------------------ */

typedef struct write_op {
  sl_eop eop;
  const char *data; /* anchored with the channel by keep_ref; the same bytes until libssh2 took them */
  size_t len, done;
} write_op;

/* libssh2 goes on sending to a channel that the server has closed, whose window nobody opens again. */
static bool peer_has_closed(LIBSSH2_CHANNEL *raw) {
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
  if (peer_has_closed(x->eop.strand->raw)) {
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
                                            n > WRITE_CHUNK ? WRITE_CHUNK : n);
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
  if (rc < 0 || peer_has_closed(raw)) return rc; /* a command that has ended needs no end of input */
  return libssh2_channel_send_eof(raw);
}

static const sl_op_kind eof_kind = {
    .name = "channel.eof", .step = eof_step, .cancel = sl_eop_cancel};

/* channel:send_eof(done): after the writes before it. */
static int l_send_eof(lua_State *L) { return sl_channel_start(L, SL_LANE_OUT, &eof_kind, sizeof(sl_eop)); }

static const luaL_Reg stream_verbs[] = {{"read", l_read},
                                        {"read_any", l_read_any},
                                        {"write", l_write},
                                        {"send_eof", l_send_eof},
                                        {NULL, NULL}};

const luaL_Reg *sl_channel_stream_verbs(void) { return stream_verbs; }
