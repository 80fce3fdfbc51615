/* What comes through a channel (RFC 4254 5.2): from the server's packets into buffers, or straight to whoever takes it,
   and out of the buffers by reads. libssh2's queue is not used: it would keep each packet apart and copy it once more.
   Without the packet hook the bytes are fetched from there. */
#include "ssh/channel.h"

#include <stdlib.h>

enum { READ_BYTES = 65536, KEPT_BYTES = 4096 };

/* --- packets -------------------------------------------------------------------------------------- */

static void lost(sl_channel *ch, const char *kind, const char *message) {
  sl_err why = {0};
  sl_err_set(&why, kind, NULL, 0, "%s", message);
  sl_engine_lost(ch->strand.engine, &why);
}

static void gather(sl_channel *ch, int stream, const unsigned char *bytes, size_t len) {
  size_t have = sl_buf_len(&ch->in[stream]), room = have < ch->gather_max ? ch->gather_max - have : 0;
  ch->gathered += len;
  if (len > room) ch->truncated = true;
  if (!sl_buf_append(&ch->in[stream], bytes, len < room ? len : room))
    lost(ch, SL_MEMORY, "not enough memory for a command's output");
  sl_window_credit(&ch->strand, len);
}

static void arrived(sl_channel *ch, int stream, const unsigned char *bytes, size_t len) {
  if (ch->taker)
    ch->taker->bytes(ch->taken_by, stream, bytes, len);
  else if (ch->gathers)
    gather(ch, stream, bytes, len);
  else if (!sl_buf_append(&ch->in[stream], bytes, len))
    lost(ch, SL_MEMORY, "not enough memory for what a channel received");
}

void sl_channel_data(sl_channel *ch, const unsigned char *data, size_t len) {
  enum { EXTENDED_DATA = 95, DATA_STDERR = 1 };
  sl_reader r = sl_reader_of(data + 5, len - 5);
  uint32_t type = 0;
  sl_span bytes = {0};
  if ((data[0] == EXTENDED_DATA && !sl_get_u32(&r, &type)) || !sl_get_string(&r, &bytes)) {
    lost(ch, SL_PROTOCOL, "a packet of channel data is cut short");
  } else if (!sl_window_take(&ch->strand, bytes.n)) {
    lost(ch, SL_PROTOCOL, "the server sent more than the channel's window allows");
  } else if (ch->ended || ch->closing || type > DATA_STDERR) {
    sl_window_credit(&ch->strand, bytes.n); /* nobody can read it */
  } else if (bytes.n) {
    arrived(ch, type == DATA_STDERR, bytes.p, bytes.n);
  }
}

unsigned char *sl_channel_room(sl_strand *strand, size_t len, size_t space) {
  sl_channel *ch = (sl_channel *)strand;
  sl_buf *in = &ch->in[0];
  if (ch->ended || ch->closing || !sl_window_has(strand, len)) return NULL;
  if (ch->taker) return ch->taker->room(ch->taken_by, len, space);
  if (ch->gathers && sl_buf_len(in) + len > ch->gather_max) return NULL;
  return sl_buf_reserve(in, space) ? (unsigned char *)in->data + in->end : NULL;
}

void sl_channel_filled(sl_strand *strand, size_t len) {
  sl_channel *ch = (sl_channel *)strand;
  (void)sl_window_take(strand, len);
  if (ch->taker) {
    ch->taker->filled(ch->taken_by, len);
    return;
  }
  ch->in[0].end += len;
  if (!ch->gathers) return;
  ch->gathered += len;
  sl_window_credit(strand, len);
}

void sl_channel_ended(sl_channel *ch) {
  if (ch->ended) return;
  ch->ended = true;
  if (ch->taker) ch->taker->ended(ch->taken_by);
}

#ifdef SL_PACKET_HOOK

int sl_channel_fetch(sl_channel *ch, int stream) {
  (void)stream;
  return ch->ended ? 0 : sl_step_again();
}

#else

/* After "again" libssh2 wants the same length, from which it also computes the window's adjustment. */
int sl_channel_fetch(sl_channel *ch, int stream) {
  static const size_t bytes = 32768;
  unsigned char *buf = malloc(bytes);
  if (!buf) return LIBSSH2_ERROR_ALLOC;
  ssize_t n = libssh2_channel_read_ex(ch->strand.raw, stream, (char *)buf, bytes);
  if (n > 0) arrived(ch, stream, buf, (size_t)n);
  free(buf);
  return (int)n;
}

#endif

/* --- read ----------------------------------------------------------------------------------------------------- */

typedef struct read_op {
  sl_eop eop;
  int stream; /* 0 stdout, 1 stderr */
  bool any;   /* both streams */
  bool worth_keeping; /* its buffer, for what comes next */
  sl_buf got;
} read_op;

/* 1: bytes, 0: the stream is at its end, <0: libssh2's code. */
static int read_stream(read_op *x, int stream) {
  sl_channel *ch = sl_channel_of(&x->eop.op);
  sl_buf *in = &ch->in[stream];
  int rc = sl_buf_len(in) ? 1 : sl_channel_fetch(ch, stream);
  if (sl_buf_len(in) == 0) return rc;
  size_t len = sl_buf_len(in), paid = len < ch->prepaid ? len : ch->prepaid;
  x->got = *in;
  x->worth_keeping = in->size <= KEPT_BYTES || len * 4 >= in->size;
  x->stream = stream;
  *in = (sl_buf){0};
  ch->prepaid -= paid;
  sl_window_credit(&ch->strand, len - paid);
  return 1;
}

static int read_either(read_op *x, bool err_first) {
  int rc = read_stream(x, err_first);
  if (rc != 0 && rc != sl_step_again()) return rc;
  int other = read_stream(x, !err_first);
  if (other != 0) return other;
  return rc; /* at the end only when both are */
}

bool sl_channel_gathers_more(const sl_channel *ch) {
  const sl_engine *e = ch->strand.engine;
  return e->wire.life == SL_WIRE_OPEN && !ch->ended && sl_rest_is_on(e) && sl_buf_len(&ch->in[0]) < READ_BYTES && sl_buf_len(&ch->in[1]) < READ_BYTES;
}

static int read_step(sl_op *op) {
  read_op *x = (read_op *)op;
  sl_channel *ch = sl_channel_of(op);
  if (sl_channel_gathers_more(ch)) return sl_step_again();
  ch->err_turn = x->any && !ch->err_turn;
  int rc = x->any ? read_either(x, ch->err_turn) : read_stream(x, x->stream);
  return rc < 0 ? rc : 0;
}

static int read_push(sl_op *op, lua_State *L) {
  read_op *x = (read_op *)op;
  size_t len = sl_buf_len(&x->got);
  if (len == 0) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushlstring(L, sl_buf_head(&x->got), len);
  sl_buf_take(&x->got, len);
  lua_pushinteger(L, x->stream);
  return 2;
}

/* Cancelled between the bytes' coming and their delivery: the next read has them. */
static void read_drop(sl_op *op) {
  read_op *x = (read_op *)op;
  sl_channel *ch = sl_buf_len(&x->got) ? sl_op_kept_object(op) : NULL;
  if (!ch) return;
  sl_buf *in = &ch->in[x->stream];
  ch->prepaid += sl_buf_len(&x->got);
  (void)sl_buf_append(&x->got, sl_buf_head(in), sl_buf_len(in));
  sl_buf_free(in);
  *in = x->got;
  x->got = (sl_buf){0};
}

/* The buffer goes back to its channel. */
static void read_clean(sl_op *op) {
  read_op *x = (read_op *)op;
  sl_channel *ch = x->got.data && x->worth_keeping ? sl_op_kept_object(op) : NULL;
  if (ch && !ch->in[x->stream].data) {
    ch->in[x->stream] = x->got;
    sl_buf_take(&ch->in[x->stream], sl_buf_len(&x->got));
    return;
  }
  sl_buf_free(&x->got);
}

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

static const luaL_Reg input_verbs[] = {{"read", l_read}, {"read_any", l_read_any}, {NULL, NULL}};

const luaL_Reg *sl_channel_input_verbs(void) { return input_verbs; }
