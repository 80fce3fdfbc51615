/* Channels: their packets, close, exit status. Opening is in channel_open.c, what flows through them in channel_input.c
   and channel_output.c, requests (exec, pty, env, ...) are in channel_request.c, a whole command in channel_run.c. */
#include "ssh/channel.h"

#include <stdlib.h>
#include <string.h>

#include "ssh/verbs.h"

sl_channel *sl_channel_check(lua_State *L, int idx) {
  return sl_box_check(L, idx, SL_CHANNEL_CLASS);
}

void *sl_channel_op(lua_State *L, sl_channel *ch, int lane, const sl_op_kind *kind, size_t size) {
  if (!ch->strand.engine) luaL_error(L, "attempt to use a channel of a closed session");
  if (!ch->strand.raw && !ch->strand.opening) luaL_error(L, "attempt to use a channel that was not opened");
  void *op = sl_eop_new(ch->strand.engine, &ch->strand, lane, kind, size);
  if (!op) luaL_error(L, "not enough memory");
  return op;
}

int sl_channel_start(lua_State *L, int lane, const sl_op_kind *kind, size_t size) {
  sl_channel *ch = sl_channel_check(L, 1);
  sl_check_done(L, 2);
  sl_eop *x = sl_channel_op(L, ch, lane, kind, size);
  sl_op_start(L, &x->op, 2, 1);
  sl_eop_submit(x);
  return 1;
}

/* --- packets -------------------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t size, sl_span from) {
  size_t n = from.n < size ? from.n : size - 1;
  if (n) memcpy(to, from.p, n);
  to[n] = '\0';
}

/* RFC 4254 6.10. A second status or signal changes nothing. */
static void channel_exit(sl_exit *x, const unsigned char *data, size_t len) {
  sl_reader r = sl_reader_of(data + 5, len - 5);
  sl_span type, name, message;
  uint8_t flag;
  if (x->has_status || x->has_signal) return;
  if (!sl_get_string(&r, &type) || !sl_get_u8(&r, &flag)) return; /* want reply: false */
  if (sl_span_is(type, "exit-status")) {
    x->has_status = sl_get_u32(&r, &x->status);
  } else if (sl_span_is(type, "exit-signal") && sl_get_string(&r, &name)) {
    copy_text(x->signal, sizeof x->signal, name);
    x->core_dumped = sl_get_u8(&r, &flag) && flag;
    if (sl_get_string(&r, &message)) copy_text(x->message, sizeof x->message, message);
    x->has_signal = true;
  }
}

static void open_refused(sl_session *s, const unsigned char *data, size_t len) {
  static const char *const reasons[] = {"refused", "administratively prohibited", "connect failed",
                                        "unknown channel type", "resource shortage"};
  sl_reader r = sl_reader_of(data + 5, len - 5);
  sl_span text = {0};
  uint32_t reason = 0;
  if (sl_get_u32(&r, &reason)) (void)sl_get_string(&r, &text);
  snprintf(s->open_failure, sizeof s->open_failure, "the server refused to open a channel (%s): %.*s",
           reasons[reason <= 4 ? reason : 0], (int)(text.n > 90 ? 90 : text.n),
           text.p ? (const char *)text.p : "");
}

bool sl_channel_packet(sl_session *s, sl_strand *strand, const unsigned char *data, size_t len) {
  enum {
    CONFIRMATION = 91,
    OPEN_FAILURE,
    WINDOW_ADJUST,
    DATA,
    EXTENDED_DATA,
    END_OF_DATA,
    CLOSE,
    REQUEST,
    SUCCESS,
    FAILURE
  };
  sl_reader r = sl_reader_of(data + 1, len - 1);
  uint32_t number;
  switch (data[0]) {
  case CONFIRMATION:
  case OPEN_FAILURE: /* nobody else's answer, and not a second one */
    if (strand && sl_channel_direct_answer((sl_channel *)strand, data, len)) return true;
    if (!sl_get_u32(&r, &number) || !sl_engine_awaits_open(&s->engine, number)) return true;
    if (data[0] == OPEN_FAILURE) open_refused(s, data, len);
    return false;
  case WINDOW_ADJUST:
    if (strand && sl_get_u32(&r, &number) && sl_get_u32(&r, &number)) sl_window_opened(strand, number);
    return false;
  case DATA:
  case EXTENDED_DATA:
    if (strand) sl_channel_data((sl_channel *)strand, data, len);
    return true;
  case END_OF_DATA:
  case CLOSE:
    if (strand) sl_channel_ended((sl_channel *)strand);
    return false;
  case REQUEST:
    if (strand && len > 5) channel_exit(&((sl_channel *)strand)->exit, data, len);
    return false;
  case SUCCESS:
  case FAILURE: /* an answer nobody waits for would stay in libssh2's queue */
    if (!strand || !strand->lanes[SL_LANE_REQUEST].head || strand->answered) return true;
    strand->answered = true;
    return false;
  default:
    return false;
  }
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void channel_forget(sl_channel *ch) {
  if (ch->box) *ch->box = NULL;
  ch->box = NULL;
  sl_strand_bury(&ch->strand);
}

static int free_step(sl_op *op) {
  sl_channel *ch = sl_channel_of(op);
  return ch->strand.raw ? libssh2_channel_free(ch->strand.raw) : 0;
}

static void free_clean(sl_op *op) {
  sl_channel *ch = sl_channel_of(op);
  ch->strand.raw = NULL; /* freed now, or with the session */
  channel_forget(ch);
}

static const sl_op_kind free_kind = {
    .name = "channel.free", .step = free_step, .clean = free_clean};

/* Closes in the background: reads and writes end now, requests under way finish first, then the channel is freed when
   the server has closed its side too. */
void sl_channel_release(sl_channel *ch) {
  if (ch->closing) return;
  sl_buf_free(&ch->in[0]);
  sl_buf_free(&ch->in[1]);
  ch->taker = NULL;
  ch->closing = true;
  if (ch->box) *ch->box = NULL;
  ch->box = NULL;
  if (!ch->strand.engine) {
    free(ch);
    return;
  }
  sl_err closed = {0};
  sl_err_set(&closed, SL_CLOSED, NULL, 0, "the channel was closed");
  for (int lane = SL_LANE_REQUEST + 1; lane < SL_LANES; lane++) sl_lane_end(&ch->strand.lanes[lane], &closed);
  sl_eop *x = sl_eop_new(ch->strand.engine, &ch->strand, SL_LANE_REQUEST, &free_kind, sizeof *x);
  if (!x) return; /* freed with the session */
  x->op.abandoned = true;
  sl_eop_submit(x);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

typedef struct closed_op {
  sl_eop eop;
  sl_exit exit; /* a copy: the channel may be gone when the result is delivered */
} closed_op;

#ifndef SL_PACKET_HOOK
/* libssh2 cannot tell status 0 from none; without a signal it is taken for 0. */
static void exit_from_libssh2(sl_channel *ch) {
  char *name = NULL;
  size_t len = 0;
  sl_exit *x = &ch->exit;
  libssh2_channel_get_exit_signal(ch->strand.raw, &name, &len, NULL, NULL, NULL, NULL);
  x->has_signal = name != NULL;
  copy_text(x->signal, sizeof x->signal, (sl_span){(const unsigned char *)name, len});
  if (name) libssh2_free(ch->strand.engine->raw, name);
  x->has_status = !x->has_signal;
  x->status = (uint32_t)libssh2_channel_get_exit_status(ch->strand.raw);
}
#endif

int sl_channel_wait_closed(sl_channel *ch) {
  int rc = libssh2_channel_wait_closed(ch->strand.raw);
#ifndef SL_PACKET_HOOK
  if (rc == 0) exit_from_libssh2(ch);
#endif
  return rc;
}

static int closed_step(sl_op *op) {
  sl_channel *ch = sl_channel_of(op);
  int rc = sl_channel_wait_closed(ch);
  ((closed_op *)op)->exit = ch->exit;
  return rc;
}

int sl_exit_push(lua_State *L, const sl_exit *x) {
  if (x->has_status)
    lua_pushinteger(L, (lua_Integer)x->status);
  else
    lua_pushnil(L);
  if (!x->has_signal) return 1;
  lua_pushstring(L, x->signal);
  lua_pushstring(L, x->message);
  lua_pushboolean(L, x->core_dumped);
  return 4;
}

static int closed_push(sl_op *op, lua_State *L) { return sl_exit_push(L, &((closed_op *)op)->exit); }

static const sl_op_kind closed_kind = {
    .name = "channel.wait_closed", .step = closed_step, .push = closed_push, .cancel = sl_eop_cancel};

/* channel:wait_closed(done): after both streams were read to their end: done(nil, code|nil, signal, message, core). */
static int l_wait_closed(lua_State *L) {
  return sl_channel_start(L, SL_LANE_REQUEST, &closed_kind, sizeof(closed_op));
}

/* channel:close() -> was it open? At once for Lua, in the background for the server. Idempotent. */
static int l_close(lua_State *L) {
  sl_channel *ch = sl_box_peek(L, 1, SL_CHANNEL_CLASS);
  if (ch) sl_channel_release(ch);
  lua_pushboolean(L, ch != NULL);
  return 1;
}

/* channel:window() -> bytes that the peer would take now */
static int l_window(lua_State *L) {
  sl_channel *ch = sl_channel_check(L, 1);
  if (!ch->strand.raw) return luaL_error(L, "attempt to use a channel of a closed session");
  lua_pushinteger(L, (lua_Integer)libssh2_channel_window_write_ex(ch->strand.raw, NULL));
  return 1;
}

static const luaL_Reg channel_methods[] = {
    {"wait_closed", l_wait_closed}, {"close", l_close}, {"window", l_window}, {NULL, NULL}};
static const luaL_Reg channel_meta[] = {{"__gc", l_close}, {NULL, NULL}};
void sl_channel_open(lua_State *L) {
  sl_class(L, SL_CHANNEL_CLASS, channel_methods, channel_meta);
  luaL_getmetatable(L, SL_CHANNEL_CLASS);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, sl_channel_open_verbs(), 0);
  luaL_setfuncs(L, sl_channel_request_verbs(), 0);
  luaL_setfuncs(L, sl_channel_input_verbs(), 0);
  luaL_setfuncs(L, sl_channel_output_verbs(), 0);
  luaL_setfuncs(L, sl_channel_run_verbs(), 0);
  luaL_setfuncs(L, sl_channel_pass_verbs(), 0);
  lua_pop(L, 2);
}
