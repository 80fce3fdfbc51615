/* Requests on a channel (RFC 4254 6): one lane, in order, each answered by the server before the next goes out. */
#include <libssh2.h>
#include <string.h>

#include "base/secret.h"
#include "ssh/channel.h"

#if defined(SL_LIBSSH2_STATIC) && defined(SL_PACKET_HOOK)
#define SL_REQUEST_ALONE
#include "libssh2_priv.h"
#include "transport.h"
#endif

enum { NOTICE_TYPE_MAX = 64, NOTICE_DATA_MAX = 256, MODES_MAX = 256 };

typedef struct request_op {
  sl_eop eop;
  const char *type, *text; /* text and value are anchored by keep_ref */
  const char *value;
  unsigned text_len, value_len;
  int cols, rows;
} request_op;

static LIBSSH2_CHANNEL *raw_of(const request_op *x) { return x->eop.strand->raw; }

/* Nothing comes after the server's CLOSE (RFC 4254 5.3), and libssh2 would wait for it. */
int sl_channel_await_answer(sl_op *op, int rc) {
  if (rc != sl_step_again() || !sl_channel_peer_closed(((sl_eop *)op)->strand->raw)) return rc;
  sl_err_set(&op->err, SL_CHANNEL, "LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED", 0,
             "the server closed the channel without an answer");
  return LIBSSH2_ERROR_CHANNEL_CLOSED;
}

static int process_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return sl_channel_await_answer(op, libssh2_channel_process_startup(raw_of(x), x->type, (unsigned)strlen(x->type),
                                                                     x->text, x->text_len));
}

static int setenv_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return sl_channel_await_answer(op, libssh2_channel_setenv_ex(raw_of(x), x->text, x->text_len, x->value,
                                                               x->value_len));
}

#ifdef SL_REQUEST_ALONE
int sl_channel_send_env(sl_strand *strand, const char *name, size_t name_len, const char *value, size_t value_len) {
  static const char type[] = "env";
  unsigned char packet[1 + 4 + 4 + sizeof type - 1 + 1 + 4 + SL_ENV_NAME_MAX + 4], *p = packet;
  if (name_len > SL_ENV_NAME_MAX) return LIBSSH2_ERROR_INVAL;
  *p++ = SSH_MSG_CHANNEL_REQUEST;
  p = sl_put_u32(p, strand->raw->remote.id);
  p = sl_put_string(p, type, sizeof type - 1);
  *p++ = 0;
  p = sl_put_string(p, name, name_len);
  p = sl_put_u32(p, (uint32_t)value_len);
  return _libssh2_transport_send(strand->engine->raw, packet, (size_t)(p - packet), (const unsigned char *)value,
                                 value_len);
}
#else
int sl_channel_send_env(sl_strand *strand, const char *name, size_t name_len, const char *value, size_t value_len) {
  return libssh2_channel_setenv_ex(strand->raw, name, (unsigned)name_len, value, (unsigned)value_len);
}
#endif

static int send_env_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return sl_channel_send_env(x->eop.strand, x->text, x->text_len, x->value, x->value_len);
}

/* A request of any type that nobody waits for: "break" (RFC 4335), "eow@openssh.com". */
#ifdef SL_REQUEST_ALONE
static int notice_step(sl_op *op) {
  request_op *x = (request_op *)op;
  unsigned char packet[1 + 4 + 4 + NOTICE_TYPE_MAX + 1], *p = packet;
  *p++ = SSH_MSG_CHANNEL_REQUEST;
  p = sl_put_u32(p, raw_of(x)->remote.id);
  p = sl_put_string(p, x->text, x->text_len);
  *p++ = 0;
  return _libssh2_transport_send(x->eop.engine->raw, packet, (size_t)(p - packet), (const unsigned char *)x->value,
                                 x->value_len);
}
#else
static int notice_step(sl_op *op) {
  sl_err_set(&op->err, SL_CHANNEL, "ENOSYS", 0, "this build cannot send such a request");
  return LIBSSH2_ERROR_METHOD_NOT_SUPPORTED;
}
#endif

static int pty_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return sl_channel_await_answer(op, libssh2_channel_request_pty_ex(raw_of(x), x->text, x->text_len, x->value,
                                                                    x->value_len, x->cols, x->rows, 0, 0));
}

static int resize_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return libssh2_channel_request_pty_size_ex(raw_of(x), x->cols, x->rows, 0, 0);
}

static int signal_step(sl_op *op) {
  request_op *x = (request_op *)op;
  return libssh2_channel_signal_ex(raw_of(x), x->text, x->text_len);
}

#define REQUEST_KIND(noun)                                                                         \
  static const sl_op_kind noun##_kind = {                                                          \
      .name = "channel." #noun, .step = noun##_step, .cancel = sl_eop_cancel}
REQUEST_KIND(process);
REQUEST_KIND(setenv);
REQUEST_KIND(send_env);
REQUEST_KIND(notice);
REQUEST_KIND(pty);
REQUEST_KIND(resize);
REQUEST_KIND(signal);

/* All strings of a request are kept alive by one table. */
static int start_request(lua_State *L, request_op *x, int done_idx) {
  int top = lua_gettop(L);
  lua_createtable(L, top, 0);
  for (int i = 1; i < done_idx; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i);
  }
  sl_op_start(L, &x->eop.op, done_idx, top + 1);
  sl_eop_submit(&x->eop);
  return 1;
}

static request_op *new_request(lua_State *L, const sl_op_kind *kind, int done_idx) {
  sl_channel *ch = sl_channel_check(L, 1);
  sl_check_done(L, done_idx);
  return sl_channel_op(L, ch, SL_LANE_REQUEST, kind, sizeof(request_op));
}

static const char *check_text(lua_State *L, int idx, size_t max, unsigned *len) {
  size_t n;
  const char *s = luaL_checklstring(L, idx, &n);
  luaL_argcheck(L, n <= max, idx, "too long");
  *len = (unsigned)n;
  return s;
}

static int start_process(lua_State *L, const char *type, int text_idx, int done_idx) {
  unsigned len = 0;
  const char *text = text_idx ? check_text(L, text_idx, SL_COMMAND_MAX, &len) : NULL;
  request_op *x = new_request(L, &process_kind, done_idx);
  x->type = type;
  x->text = text;
  x->text_len = len;
  return start_request(L, x, done_idx);
}

/* channel:exec(command, done); channel:shell(done); channel:subsystem(name, done) */
static int l_exec(lua_State *L) { return start_process(L, "exec", 2, 3); }
static int l_shell(lua_State *L) { return start_process(L, "shell", 0, 2); }
static int l_subsystem(lua_State *L) { return start_process(L, "subsystem", 2, 3); }

static int start_env(lua_State *L, const sl_op_kind *kind) {
  unsigned name_len;
  size_t value_len;
  const char *name = check_text(L, 2, SL_ENV_NAME_MAX, &name_len);
  const char *value = sl_check_bytes(L, 3, &value_len);
  luaL_argcheck(L, value_len <= SL_COMMAND_MAX, 3, "too long");
  request_op *x = new_request(L, kind, 4);
  x->text = name;
  x->text_len = name_len;
  x->value = value;
  x->value_len = (unsigned)value_len;
  return start_request(L, x, 4);
}

/* channel:setenv(name, value, done): an error of kind channel when the server does not accept it. */
static int l_setenv(lua_State *L) { return start_env(L, &setenv_kind); }

/* channel:send_env(name, value, done): done when it has been sent; whether the server accepts it is not known. With the
   system's libssh2 as setenv. */
static int l_send_env(lua_State *L) { return start_env(L, &send_env_kind); }

/* channel:notice(type, data, done): a request without an answer; data is what RFC 4254 5.4 calls type-specific. */
static int l_notice(lua_State *L) {
  unsigned type_len, data_len;
  const char *type = check_text(L, 2, NOTICE_TYPE_MAX, &type_len);
  const char *data = check_text(L, 3, NOTICE_DATA_MAX, &data_len);
  request_op *x = new_request(L, &notice_kind, 4);
  x->text = type;
  x->text_len = type_len;
  x->value = data;
  x->value_len = data_len;
  return start_request(L, x, 4);
}

/* channel:pty(term, cols, rows, modes, done): modes are encoded as in RFC 4254 8. */
static int l_pty(lua_State *L) {
  unsigned term_len, modes_len;
  const char *term = check_text(L, 2, 100, &term_len);
  const char *modes = check_text(L, 5, MODES_MAX, &modes_len);
  luaL_argcheck(L, term_len + modes_len <= MODES_MAX, 5, "too long together with the terminal's name");
  lua_Integer cols = luaL_checkinteger(L, 3), rows = luaL_checkinteger(L, 4);
  request_op *x = new_request(L, &pty_kind, 6);
  x->text = term;
  x->text_len = term_len;
  x->value = modes;
  x->value_len = modes_len;
  x->cols = (int)cols;
  x->rows = (int)rows;
  return start_request(L, x, 6);
}

/* channel:resize(cols, rows, done) */
static int l_resize(lua_State *L) {
  lua_Integer cols = luaL_checkinteger(L, 2), rows = luaL_checkinteger(L, 3);
  request_op *x = new_request(L, &resize_kind, 4);
  x->cols = (int)cols;
  x->rows = (int)rows;
  return start_request(L, x, 4);
}

/* channel:signal(name, done): name without SIG, RFC 4254 6.9. The server does not answer. */
static int l_signal(lua_State *L) {
  unsigned len;
  const char *name = check_text(L, 2, 64, &len);
  request_op *x = new_request(L, &signal_kind, 3);
  x->text = name;
  x->text_len = len;
  return start_request(L, x, 3);
}

static const luaL_Reg request_verbs[] = {
    {"exec", l_exec}, {"shell", l_shell},   {"subsystem", l_subsystem}, {"setenv", l_setenv},
    {"pty", l_pty},   {"resize", l_resize}, {"signal", l_signal},       {"send_env", l_send_env},
    {"notice", l_notice},
    {NULL, NULL}};

const luaL_Reg *sl_channel_request_verbs(void) { return request_verbs; }
