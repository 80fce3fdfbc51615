/* Opening a channel of type "session" (RFC 4254 5.1). Lua has the channel at once and may already ask for things: they
   wait in its lanes for the server's answer, and end with the reason when it is a refusal. So a command costs no wait of
   its own for its channel. Opens of one session go one after the other: libssh2 has one state for them. */
#include "ssh/channel.h"

#include <stdlib.h>

#include "ssh/verbs.h"

enum { WINDOW_DEFAULT = 2 << 20, WINDOW_MIN = 32768, WINDOW_MAX = 1 << 30, VARIABLES_MAX = 1000 };

typedef struct open_op {
  sl_eop eop;
  sl_channel *ch;
  unsigned window;
  sl_buf variables; /* strings of RFC 4251 in pairs: what is sent as soon as it is open */
} open_op;

unsigned sl_channel_check_window(lua_State *L, int idx) {
  lua_Integer window = luaL_optinteger(L, idx, WINDOW_DEFAULT);
  luaL_argcheck(L, window >= WINDOW_MIN && window <= WINDOW_MAX, idx, "window out of range");
  return (unsigned)window;
}

/* --- the operation: nobody waits for it, what comes after it is waited for ----------------------------------- */

static void opened(sl_channel *ch, LIBSSH2_CHANNEL *raw) {
  sl_strand_attach(&ch->strand, raw);
  ch->strand.opening = false;
  ch->strand.woken = true;
  ch->opened = true;
  if (libssh2_channel_eof(raw) > 0) sl_channel_ended(ch); /* it came before the answer */
}

static int open_channel(open_op *x) {
  sl_session *s = (sl_session *)x->eop.engine;
  LIBSSH2_CHANNEL *raw = libssh2_channel_open_ex(s->engine.raw, "session", 7, x->window,
                                                 LIBSSH2_CHANNEL_PACKET_DEFAULT, NULL, 0);
  int rc = sl_step_pointer(&s->engine, raw);
  if (raw) {
    opened(x->ch, raw);
  } else if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE) { /* without the packet hook the reason is not known */
    sl_err_set(&x->eop.op.err, SL_CHANNEL, "SSH_OPEN_FAILURE", rc, "%s",
               s->open_failure[0] ? s->open_failure : "the server refused to open a channel");
    s->open_failure[0] = '\0';
  }
  return rc;
}

/* What the server does not take, it leaves out; so do we, when there is no way to ask without an answer. */
static int send_variables(open_op *x) {
  sl_span name, value;
  for (;;) {
    sl_reader r = sl_reader_of((const unsigned char *)sl_buf_head(&x->variables), sl_buf_len(&x->variables));
    if (!sl_get_string(&r, &name) || !sl_get_string(&r, &value)) return 0;
    int rc = sl_channel_send_env(&x->ch->strand, (const char *)name.p, name.n, (const char *)value.p, value.n);
    if (rc == sl_step_again()) return rc;
    sl_buf_take(&x->variables, 4 + name.n + 4 + value.n);
  }
}

static int open_step(sl_op *op) {
  open_op *x = (open_op *)op;
  int rc = x->ch->opened ? 0 : open_channel(x);
  return rc == 0 ? send_variables(x) : rc;
}

/* Not opened: everything that was asked of it ends with the reason. */
static void open_clean(sl_op *op) {
  open_op *x = (open_op *)op;
  sl_strand *strand = &x->ch->strand;
  sl_buf_free(&x->variables);
  strand->opening = false;
  for (int i = 0; i < SL_LANES && !x->ch->opened && strand->engine; i++) sl_lane_end(&strand->lanes[i], &op->err);
}

static const sl_op_kind open_kind = {.name = "channel.open", .step = open_step, .clean = open_clean};

/* --- verbs --------------------------------------------------------------------------------------------------- */

void sl_channel_push(lua_State *L, sl_channel *ch) {
  void **box = sl_box_new(L, SL_CHANNEL_CLASS);
  ch->box = box;
  *box = ch;
  lua_insert(L, -2);
#if LUA_VERSION_NUM < 502
  lua_createtable(L, 1, 0);
  lua_insert(L, -2);
  lua_rawseti(L, -2, 1);
#endif
  lua_setuservalue(L, -2);
}

static bool put_string(sl_buf *b, const char *bytes, size_t len) {
  if (!sl_buf_reserve(b, 4 + len)) return false;
  sl_put_string((unsigned char *)b->data + b->end, bytes, len);
  b->end += 4 + len;
  return true;
}

static const char *check_variable(lua_State *L, int list, int i, size_t max, size_t *len) {
  lua_rawgeti(L, list, i);
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, len) : NULL;
  luaL_argcheck(L, text && *len <= max, list, "names and values expected, by turns");
  lua_pop(L, 1); /* the list holds it */
  return text;
}

/* Checks first: nothing is owned while it may raise. */
static int check_variables(lua_State *L, int list) {
  size_t len;
  if (lua_isnoneornil(L, list)) return 0;
  luaL_checktype(L, list, LUA_TTABLE);
  int n = (int)lua_rawlen(L, list);
  luaL_argcheck(L, n % 2 == 0 && n <= 2 * VARIABLES_MAX, list, "names and values expected, by turns");
  for (int i = 1; i <= n; i++) check_variable(L, list, i, i % 2 ? SL_ENV_NAME_MAX : SL_COMMAND_MAX, &len);
  return n;
}

static bool put_variables(lua_State *L, int list, int n, sl_buf *to) {
  size_t len;
  for (int i = 1; i <= n; i++) {
    const char *text = check_variable(L, list, i, SL_COMMAND_MAX, &len);
    if (!put_string(to, text, len)) return false;
  }
  return true;
}

/* session:open_channel(window|nil, variables|nil) -> channel of type "session", which is being opened. */
static int l_open_channel(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  unsigned window = sl_channel_check_window(L, 2);
  int variables = check_variables(L, 3);
  lua_pushvalue(L, 1);
  sl_channel *ch = calloc(1, sizeof *ch);
  if (!ch) return luaL_error(L, "not enough memory");
  sl_channel_push(L, ch);
  open_op *x = sl_eop_new(&s->engine, NULL, 0, &open_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory"); /* the box frees the channel */
  x->ch = ch;
  x->window = window;
  x->eop.op.abandoned = true;
  sl_strand_add(&s->engine, &ch->strand);
  ch->strand.opening = ch->is_session = true;
  if (!put_variables(L, 3, variables, &x->variables)) {
    sl_op_release(&x->eop.op);
    return luaL_error(L, "not enough memory");
  }
  sl_eop_submit(&x->eop);
  return 1;
}

static int opened_step(sl_op *op) {
  (void)op;
  return 0;
}

static const sl_op_kind opened_kind = {.name = "channel.opened", .step = opened_step, .cancel = sl_eop_cancel_at_once};

/* channel:opened(done): done(nil) once the server has opened it. */
static int l_opened(lua_State *L) { return sl_channel_start(L, SL_LANE_REQUEST, &opened_kind, sizeof(sl_eop)); }

/* channel:is_open() -> has the server opened it, and we have not closed it? */
static int l_is_open(lua_State *L) {
  const sl_channel *ch = sl_box_peek(L, 1, SL_CHANNEL_CLASS);
  lua_pushboolean(L, ch && ch->opened);
  return 1;
}

/* session:count_open() -> how many channels of type "session" are open and not being closed; how many are, by us alone. */
static int l_count_open(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  lua_Integer open = 0, closing = 0;
  for (const sl_strand *strand = s->engine.strands; strand; strand = strand->next) {
    const sl_channel *ch = (const sl_channel *)strand;
    if (!ch->is_session || !ch->opened) continue;
    if (ch->closing)
      closing++;
    else
      open++;
  }
  lua_pushinteger(L, open);
  lua_pushinteger(L, closing);
  return 2;
}

static const luaL_Reg open_verbs[] = {{"opened", l_opened}, {"is_open", l_is_open}, {NULL, NULL}};
static const luaL_Reg session_verbs[] = {{"open_channel", l_open_channel}, {"count_open", l_count_open}, {NULL, NULL}};

const luaL_Reg *sl_channel_open_verbs(void) { return open_verbs; }
const luaL_Reg *sl_channel_session_verbs(void) { return session_verbs; }
