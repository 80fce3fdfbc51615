/* A channel's streams passed on to and from descriptors of this process, byte for byte and without Lua: what `ssh host
   command` does with standard input and output. Back-pressure both ways: what the descriptor does not take stays in the
   channel's buffer, whose window then closes; nothing is read that the peer does not take. Knows descriptors and one
   channel; must not know what they are for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/socket.h"
#include "ssh/channel.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

typedef struct pass_op {
  sl_eop eop;
  int stream;      /* out: 0 stdout, 1 stderr */
  int fd;          /* -1: what comes is thrown away */
  bool stalled;    /* the descriptor is not ready; its watch will say when */
  bool is_socket;  /* recv and send, which do not wait, whatever others want of the open file */
  sl_watch *watch; /* NULL: a file, which never keeps anybody waiting */
  uint64_t bytes;
  char *piece; /* in: read and not yet sent; libssh2 may hold it */
  size_t len, done;
} pass_op;

/* The descriptor
 * ------------------------------------------------------------------------------------------------------------------ */

static void watch_ready(sl_watch *w, int events) {
  (void)events;
  pass_op *x = w->owner;
  sl_watch_want(w, 0);
  x->stalled = false;
  if (x->eop.op.ended || !x->eop.strand->engine) return;
  sl_strand_wake(x->eop.strand);
  sl_engine_queue(x->eop.strand->engine);
}

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static int wait_for(pass_op *x, int event) {
  x->stalled = true;
  sl_watch_want(x->watch, event);
  return sl_step_again();
}

static int io_failed(pass_op *x, const char *what) {
  sl_err_uv(&x->eop.op.err, SL_IO, -errno, what);
  return LIBSSH2_ERROR_CHANNEL_CLOSED;
}

static ssize_t fd_write(const pass_op *x, const char *bytes, size_t len) {
  if (x->fd < 0) return (ssize_t)len;
  if (x->is_socket) return send(x->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  return write(x->fd, bytes, len);
}

static ssize_t fd_read(const pass_op *x) {
  if (x->is_socket) return recv(x->fd, x->piece, SL_WIRE_PIECE, MSG_DONTWAIT);
  return read(x->fd, x->piece, SL_WIRE_PIECE);
}

/* Out of the channel
 * ------------------------------------------------------------------------------------------------------------------ */

static void consumed(sl_channel *ch, int stream, size_t len) {
  size_t paid = len < ch->prepaid ? len : ch->prepaid;
  sl_buf_take(&ch->in[stream], len);
  ch->prepaid -= paid;
  sl_window_credit(&ch->strand, len - paid);
}

static int out_step(sl_op *op) {
  pass_op *x = (pass_op *)op;
  sl_channel *ch = sl_channel_of(op);
  sl_buf *in = &ch->in[x->stream];
  for (;;) {
    if (sl_buf_len(in) == 0) {
      int rc = sl_channel_fetch(ch, x->stream);
      if (sl_buf_len(in) == 0) return rc;
    }
    if (x->stalled) return sl_step_again();
    if (sl_channel_gathers_more(ch)) return sl_step_again();
    ssize_t n = fd_write(x, sl_buf_head(in), sl_buf_len(in));
    if (n < 0 && would_block() && x->watch) return wait_for(x, UV_WRITABLE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_failed(x, "write");
    x->bytes += (uint64_t)n;
    consumed(ch, x->stream, (size_t)n);
  }
}

/* Into the channel
 * ------------------------------------------------------------------------------------------------------------------ */

/* 0: all of the piece is sent, or "again", or libssh2's code. */
static int send_piece(pass_op *x) {
  sl_strand *strand = x->eop.strand;
  while (x->done < x->len) {
    if (!x->eop.said && sl_buf_len(&x->eop.engine->wire.out) > SL_WIRE_HIGH_WATER) {
      strand->woken = true;
      return sl_step_again();
    }
    x->eop.said = true; /* libssh2 may hold these bytes: it must get them again as they are */
    ssize_t sent = libssh2_channel_write_ex(strand->raw, 0, x->piece + x->done, x->len - x->done);
    if (sent <= 0) return sent < 0 ? (int)sent : sl_step_again();
    x->eop.said = false;
    x->done += (size_t)sent;
    x->bytes += (uint64_t)sent;
  }
  return 0;
}

static int in_step(sl_op *op) {
  pass_op *x = (pass_op *)op;
  if (x->eop.engine->wire.life != SL_WIRE_OPEN) return sl_step_again();
  if (sl_channel_peer_closed(x->eop.strand->raw)) {
    sl_err_set(&op->err, SL_CHANNEL, "EPIPE", 0, "the command has ended and takes no more input");
    return LIBSSH2_ERROR_CHANNEL_CLOSED;
  }
  for (;;) {
    int rc = send_piece(x);
    if (rc != 0 || op->abandoned) return rc;
    if (x->stalled) return sl_step_again();
    ssize_t n = fd_read(x);
    if (n == 0) return 0;
    if (n < 0 && would_block() && x->watch) return wait_for(x, UV_READABLE);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io_failed(x, "read");
    x->len = (size_t)n;
    x->done = 0;
  }
}

/* Life
 * ------------------------------------------------------------------------------------------------------------------ */

static int pass_push(sl_op *op, lua_State *L) {
  lua_pushnumber(L, (lua_Number)((pass_op *)op)->bytes);
  return 1;
}

/* A piece of which libssh2 holds the beginning goes out as a ghost; else nothing is left behind. */
static bool in_cancel(sl_op *op) { return ((pass_op *)op)->eop.said ? false : sl_eop_cancel_at_once(op); }

static void pass_clean(sl_op *op) {
  pass_op *x = (pass_op *)op;
  if (x->watch) sl_watch_close(x->watch);
  free(x->piece);
}

static const sl_op_kind out_kind = {.name = "channel.pass_out",
                                    .step = out_step,
                                    .push = pass_push,
                                    .cancel = sl_eop_cancel_at_once,
                                    .clean = pass_clean};
static const sl_op_kind in_kind = {
    .name = "channel.pass_in", .step = in_step, .push = pass_push, .cancel = in_cancel, .clean = pass_clean};

/* The descriptor at idx: a socket, which is closed for Lua from then on, or the number of an open file. */
static void take_descriptor(lua_State *L, int idx, pass_op *x) {
  if (lua_type(L, idx) == LUA_TNUMBER) {
    x->fd = (int)lua_tointeger(L, idx);
    return;
  }
  int type;
  socklen_t len = sizeof type;
  x->watch = sl_socket_take(L, idx);
  x->fd = x->watch->fd;
  x->is_socket = getsockopt(x->fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
  x->watch->owner = x;
  x->watch->ready = watch_ready;
}

static pass_op *pass_new(lua_State *L, sl_channel *ch, int lane, const sl_op_kind *kind, int idx) {
  if (lua_type(L, idx) != LUA_TNUMBER) sl_socket_check_idle(L, idx); /* raises now or not at all */
  pass_op *x = sl_channel_op(L, ch, lane, kind, sizeof *x);
  x->fd = -1;
  return x;
}

/* channel:pass_out(stream, to, done): all that comes of a stream goes to a socket, to an open file (its number), or to
   nobody (-1). done(nil, bytes) at the stream's end; a socket is then closed. */
static int l_pass_out(lua_State *L) {
  sl_channel *ch = sl_channel_check(L, 1);
  lua_Integer stream = luaL_checkinteger(L, 2);
  luaL_argcheck(L, stream == 0 || stream == 1, 2, "stream 0 or 1 expected");
  sl_check_done(L, 4);
  pass_op *x = pass_new(L, ch, stream ? SL_LANE_ERR : SL_LANE_IN, &out_kind, 3);
  x->stream = (int)stream;
  take_descriptor(L, 3, x);
  sl_op_start(L, &x->eop.op, 4, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

/* channel:pass_in(from, done): all that comes from a socket or an open file goes to the command. done(nil, bytes) at
   its end; the command's input is not ended by it. */
static int l_pass_in(lua_State *L) {
  sl_channel *ch = sl_channel_check(L, 1);
  sl_check_done(L, 3);
  pass_op *x = pass_new(L, ch, SL_LANE_OUT, &in_kind, 2);
  x->piece = malloc(SL_WIRE_PIECE);
  if (!x->piece) {
    sl_op_release(&x->eop.op);
    return luaL_error(L, "not enough memory");
  }
  take_descriptor(L, 2, x);
  sl_op_start(L, &x->eop.op, 3, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

static const luaL_Reg pass_verbs[] = {{"pass_out", l_pass_out}, {"pass_in", l_pass_in}, {NULL, NULL}};

const luaL_Reg *sl_channel_pass_verbs(void) { return pass_verbs; }
