/* Session: create, greeting, handshake, disconnect, close, gc. Authentication, host keys and channels have files of
   their own; this one holds life only. */
#include "ssh/session.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cipher.h"
#include "loop/socket.h"
#include "ssh/channel.h"
#include "ssh/verbs.h"

sl_session *sl_session_check(lua_State *L, int idx) { return sl_box_check(L, idx, SL_SESSION_CLASS); }

/* --- what the packet hook sees ------------------------------------------------------------------------- */

enum {
  MSG_DISCONNECT = 1,
  MSG_IGNORE_TO_EXT_INFO_LAST = 7,
  MSG_KEXINIT = 20,
  MSG_KEX_LAST = 49,
  MSG_USERAUTH_FIRST = 50,
  MSG_USERAUTH_LAST = 79,
  MSG_GLOBAL_REQUEST = 80,
  MSG_REQUEST_SUCCESS = 81,
  MSG_REQUEST_FAILURE = 82,
  MSG_CHANNEL_OPEN = 90,
  MSG_CHANNEL_FAILURE = 100
};

static void disconnected(sl_session *s, const unsigned char *data, size_t len) {
  sl_reader r = sl_reader_of(data + 1, len - 1);
  sl_err why = {0};
  sl_span text = {0};
  uint32_t reason = 0;
  if (sl_get_u32(&r, &reason)) (void)sl_get_string(&r, &text);
  sl_err_set(&why, SL_CONNECTION_LOST, "SSH_MSG_DISCONNECT", (int)reason,
             "the server disconnected: %.*s", (int)(text.n > 180 ? 180 : text.n),
             text.p ? (const char *)text.p : "");
  sl_engine_lost(&s->engine, &why);
}

static void keep_kexinit(sl_session *s, const unsigned char *data, size_t len) {
  if (s->kexinit || len > 35000) return;
  s->kexinit = malloc(len);
  if (!s->kexinit) return;
  memcpy(s->kexinit, data, len);
  s->kexinit_len = len;
}

/* libssh2 queues what it does not know or expect, for ever: a server must not fill memory with it. */
static bool session_packet(sl_engine *e, sl_strand *strand, const unsigned char *data, size_t len) {
  sl_session *s = (sl_session *)e;
  unsigned type = data[0];
  if (type == MSG_DISCONNECT) {
    disconnected(s, data, len);
    return e->pumped; /* libssh2 would no longer hand out what came before it */
  }
  if (type == MSG_KEXINIT) keep_kexinit(s, data, len);
  if (type <= MSG_IGNORE_TO_EXT_INFO_LAST || (type >= MSG_KEXINIT && type <= MSG_KEX_LAST)) return false;
  if (!e->pumped) return false;
  if (type >= MSG_USERAUTH_FIRST && type <= MSG_USERAUTH_LAST) {
    sl_auth_packet(s, data, len);
    bool banner = type == 53; /* kept by us; libssh2 would keep them all in its queue */
    return banner || e->wire.authenticated;
  }
  if (!e->wire.authenticated) return false;
  if (type == MSG_REQUEST_SUCCESS || type == MSG_REQUEST_FAILURE) {
    (void)sl_keepalive_reply(e);
    return true;
  }
  if (type == MSG_GLOBAL_REQUEST) return false;
  if (type >= MSG_CHANNEL_OPEN && type <= MSG_CHANNEL_FAILURE)
    return sl_channel_packet(s, strand, data, len);
  return true;
}

static void session_dying(sl_engine *e) { sl_auth_end_fibre((sl_session *)e); }

static const sl_engine_hooks session_hooks = {
    .packet = session_packet, .room = sl_channel_room, .filled = sl_channel_filled, .dying = session_dying};

/* --- life ---------------------------------------------------------------------------------------------- */

static void session_free(sl_session *s) {
  *s->box = NULL;
  sl_engine_kill(&s->engine);
  sl_auth_orphan(s);
  sl_auth_clear(s);
  sl_buf_free(&s->auth.banner);
  sl_disown(&s->owned);
  free(s->kexinit);
  free(s->trace_path);
  free(s);
}

static void session_shut(sl_owned *owned) {
  session_free((sl_session *)((char *)owned - offsetof(sl_session, owned)));
}

static const struct {
  const char *field;
  int method;
} preferences[] = {{"kex", LIBSSH2_METHOD_KEX},           {"host_key", LIBSSH2_METHOD_HOSTKEY},
                   {"ciphers", LIBSSH2_METHOD_CRYPT_CS},  {"ciphers", LIBSSH2_METHOD_CRYPT_SC},
                   {"macs", LIBSSH2_METHOD_MAC_CS},       {"macs", LIBSSH2_METHOD_MAC_SC},
                   {"compression", LIBSSH2_METHOD_COMP_CS}, {"compression", LIBSSH2_METHOD_COMP_SC},
                   {"sign", LIBSSH2_METHOD_SIGN_ALGO}};

/* Returns the field whose list has nothing that this build can do, or NULL. */
static const char *set_preferences(lua_State *L, int idx, LIBSSH2_SESSION *raw) {
  for (size_t i = 0; i < sizeof preferences / sizeof *preferences; i++) {
    const char *list = sl_opt_string(L, idx, preferences[i].field, NULL);
    if (!list) continue;
    if (preferences[i].method == LIBSSH2_METHOD_COMP_CS)
      libssh2_session_flag(raw, LIBSSH2_FLAG_COMPRESS, strcmp(list, "none") != 0);
    if (libssh2_session_method_pref(raw, preferences[i].method, list) != 0)
      return preferences[i].field;
  }
  return NULL;
}

static void on_trace(LIBSSH2_SESSION *raw, void *context, const char *text, size_t len) {
  const sl_session *s = context;
  (void)raw;
  FILE *to = s->trace_path ? fopen(s->trace_path, "a") : stderr;
  while (len && (text[len - 1] == '\n' || text[len - 1] == '\0')) len--;
  if (to) fprintf(to, "libssh2: %.*s\n", (int)len, text);
  if (to && to != stderr) fclose(to);
}

/* {trace=}: true, or the file that it goes to. */
static void start_trace(lua_State *L, sl_session *s) {
  lua_getfield(L, 2, "trace");
  const char *path = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  bool wanted = lua_toboolean(L, -1);
  if (path) s->trace_path = strdup(path);
  lua_pop(L, 1);
  if (!wanted) return;
  /* Not LIBSSH2_TRACE_TRANS or _SOCKET: they print packets, and so passwords. */
  libssh2_trace_sethandler(s->engine.raw, s, on_trace);
  libssh2_trace(s->engine.raw, LIBSSH2_TRACE_KEX | LIBSSH2_TRACE_AUTH | LIBSSH2_TRACE_CONN | LIBSSH2_TRACE_ERROR |
                                   LIBSSH2_TRACE_PUBLICKEY);
}

/* The ciphers prove themselves once per process, when the first session wants them: libcrypto's first look-ups take
   milliseconds that a script without sessions need not spend. */
static uv_once_t ciphers_once = UV_ONCE_INIT;
static sl_err cipher_error;

static void test_ciphers(void) { (void)sl_cipher_self_test(&cipher_error); }

/* Two pipes: what is read from, what is written to. */
static void attach_pipes(lua_State *L, int idx, sl_engine *e) {
  lua_rawgeti(L, idx, 1);
  lua_rawgeti(L, idx, 2);
  sl_watch *from = sl_socket_take(L, -2);
  sl_watch *to = sl_socket_take(L, -1);
  lua_pop(L, 2);
  if (sl_engine_attach_pipes(e, from, to) < 0) luaL_error(L, "not enough memory");
}

/* What carries the session's bytes is taken, and closed for Lua from then on. */
static void attach(lua_State *L, int idx, int box_idx, sl_engine *e) {
  if (lua_istable(L, idx)) {
    attach_pipes(L, idx, e);
  } else if (luaL_testudata(L, idx, SL_CHANNEL_CLASS)) {
    sl_channel_become_wire(L, idx, e, sl_opt_string(L, 2, "via", "another host"));
    lua_getuservalue(L, idx); /* the session below lives as long as this one */
    if (lua_istable(L, -1) || lua_isuserdata(L, -1))
      lua_setuservalue(L, box_idx);
    else
      lua_pop(L, 1);
  } else {
    sl_engine_attach_watch(e, sl_socket_take(L, idx));
  }
}

/* session(below, {kex=, host_key=, ciphers=, macs=, compression=, sign=, trace=, via=}) -> session, or nil, err.
   below: a socket, {pipe to read from, pipe to write to}, or a channel of another session, which leads through the host
   `via`. Lists are comma-separated names; those libssh2 does not know are passed over. */
static int l_session(lua_State *L) {
  sl_loop *loop = sl_loop_get(L);
  uv_once(&ciphers_once, test_ciphers);
  if (cipher_error.kind) return luaL_error(L, "cipher self-test failed: %s", cipher_error.message);
  luaL_checkany(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  void **box = sl_box_new(L, SL_SESSION_CLASS);
  const int box_idx = lua_gettop(L);
  sl_session *s = calloc(1, sizeof *s);
  if (!s || sl_engine_init(&s->engine, loop, &session_hooks) < 0) {
    free(s);
    return luaL_error(L, "not enough memory for a session");
  }
  s->box = box;
  sl_own(loop, &s->owned, session_shut);
  *box = s; /* from here on the collector frees it */
  const char *bad = set_preferences(L, 2, s->engine.raw);
  if (bad) {
    sl_err e = {0};
    sl_err_set(&e, SL_CONFIG, NULL, 0, "no algorithm in '%s' is known to this build", bad);
    lua_pushnil(L);
    sl_push_err(L, &e);
    return 2;
  }
  if (lua_istable(L, 2)) start_trace(L, s);
  attach(L, 1, box_idx, &s->engine);
  lua_settop(L, box_idx);
  return 1;
}

/* --- greeting and handshake ----------------------------------------------------------------------------- */

/* libssh2 never does I/O on the descriptor it is given, it only looks whether that is non-blocking; what is none counts as
   such. Not every wire has one. */
enum { NO_DESCRIPTOR = INT_MAX };

static int handshake_step(sl_op *op) {
  sl_session *s = (sl_session *)((sl_eop *)op)->engine;
  if (s->keyed) return 0;
  int rc = libssh2_session_handshake(s->engine.raw, NO_DESCRIPTOR);
  if (rc != 0) return rc;
  s->keyed = true;
  sl_engine_pumped(&s->engine);
  return 0;
}

/* The handshake's own call, given up at the moment the server's identification has come, so that waiting for it can
   have a deadline of its own. */
static int greeting_step(sl_op *op) {
  int rc = handshake_step(op);
  bool greeted = ((sl_eop *)op)->engine->wire.greeted;
  return rc == sl_step_again() && greeted ? 0 : rc;
}

static const sl_op_kind greeting_kind = {
    .name = "session.greeting", .step = greeting_step, .cancel = sl_eop_cancel};
static const sl_op_kind handshake_kind = {
    .name = "session.handshake", .step = handshake_step, .cancel = sl_eop_cancel};

static int start_session_op(lua_State *L, const sl_op_kind *kind) {
  sl_session *s = sl_session_check(L, 1);
  sl_check_done(L, 2);
  sl_eop *x = sl_eop_new(&s->engine, NULL, 0, kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  sl_op_start(L, &x->op, 2, 1);
  sl_eop_submit(x);
  return 1;
}

/* session:greeting(done): the server has identified itself as SSH-2. */
static int l_greeting(lua_State *L) { return start_session_op(L, &greeting_kind); }

/* session:handshake(done): keys are exchanged. Nothing secret was sent; check the host key now. */
static int l_handshake(lua_State *L) { return start_session_op(L, &handshake_kind); }

/* --- leaving -------------------------------------------------------------------------------------------- */

static int disconnect_step(sl_op *op) {
  sl_eop *x = (sl_eop *)op;
  sl_engine *e = x->engine;
  if (e->wire.life != SL_WIRE_OPEN) return 0;
  if (e->pumped && !x->said) {
    int rc = libssh2_session_disconnect_ex(e->raw, SSH_DISCONNECT_BY_APPLICATION, "bye", "");
    if (rc == sl_step_again()) return rc;
    x->said = e->said_bye = true;
    sl_wire_flush(&e->wire);
  }
  return sl_buf_len(&e->wire.out) ? sl_step_again() : 0;
}

static const sl_op_kind disconnect_kind = {
    .name = "session.disconnect", .step = disconnect_step, .cancel = sl_eop_cancel};

/* session:disconnect(done): says good-bye and waits until all output is with the kernel. Then close it. */
static int l_disconnect(lua_State *L) { return start_session_op(L, &disconnect_kind); }

/* session:close(): at once; pending operations end with kind closed. */
static int l_close(lua_State *L) {
  sl_session *s = sl_box_peek(L, 1, SL_SESSION_CLASS);
  if (s) session_free(s);
  return 0;
}

/* --- questions ------------------------------------------------------------------------------------------- */

static int l_is_alive(lua_State *L) {
  sl_session *s = sl_box_peek(L, 1, SL_SESSION_CLASS);
  lua_pushboolean(L, s && sl_engine_alive(&s->engine));
  return 1;
}

/* session:why() -> err table, or nil while the connection is there. */
static int l_why(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  if (s->engine.wire.err.kind)
    sl_push_err(L, &s->engine.wire.err);
  else
    lua_pushnil(L);
  return 1;
}

static int l_server_version(lua_State *L) {
  lua_pushstring(L, libssh2_session_banner_get(sl_session_check(L, 1)->engine.raw));
  return 1;
}

/* session:traffic() -> bytes received, bytes sent, bytes waiting to be sent */
static int l_traffic(lua_State *L) {
  const sl_wire *w = &sl_session_check(L, 1)->engine.wire;
  lua_pushnumber(L, (lua_Number)w->received);
  lua_pushnumber(L, (lua_Number)w->sent);
  lua_pushnumber(L, (lua_Number)sl_buf_len(&w->out));
  return 3;
}

/* session:keepalive(interval, count_max): seconds of silence per probe, probes that may stay unanswered; 0: off. */
static int l_keepalive(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  lua_Number interval = luaL_checknumber(L, 2);
  lua_Integer max = luaL_checkinteger(L, 3);
  luaL_argcheck(L, interval >= 0 && interval < 1e6, 2, "seconds out of range");
  luaL_argcheck(L, max >= 0 && max < 1000, 3, "count out of range");
  sl_keepalive_start(&s->engine, interval, (unsigned)max);
  return 0;
}

static const luaL_Reg session_methods[] = {{"greeting", l_greeting},
                                           {"handshake", l_handshake},
                                           {"disconnect", l_disconnect},
                                           {"close", l_close},
                                           {"is_alive", l_is_alive},
                                           {"why", l_why},
                                           {"server_version", l_server_version},
                                           {"traffic", l_traffic},
                                           {"keepalive", l_keepalive},
                                           {NULL, NULL}};
static const luaL_Reg session_meta[] = {{"__gc", l_close}, {NULL, NULL}};
static const luaL_Reg session_functions[] = {{"session", l_session}, {NULL, NULL}};

static void add_methods(lua_State *L, const luaL_Reg *verbs) {
  luaL_getmetatable(L, SL_SESSION_CLASS);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, verbs, 0);
  lua_pop(L, 2);
}

void sl_session_open(lua_State *L) {
  sl_class(L, SL_SESSION_CLASS, session_methods, session_meta);
  add_methods(L, sl_auth_verbs());
  add_methods(L, sl_hostkey_verbs());
  add_methods(L, sl_channel_session_verbs());
  add_methods(L, sl_channel_direct_verbs());
  luaL_setfuncs(L, session_functions, 0);
}
