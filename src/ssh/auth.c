/* Authentication (RFC 4252, 4256): one libssh2 call per attempt, and what the server answered to it. Which methods to
   try, with what, and whom to ask is decided in Lua.

   An attempt ends with done(nil, "ok") or an error; or it needs something first: done(nil, "sign", data) and
   done(nil, "prompts", {...}) are answered with session:auth_signature and session:auth_answer, whose done goes on
   in the same way. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "ssh/auth_parts.h"
#include "ssh/key_lua.h"

enum { BANNER_MAX = 262144, SECRET_MAX = 65536 };

typedef struct auth_op {
  sl_eop eop;
  int (*call)(sl_session *s); /* the libssh2 call of this attempt */
} auth_op;

/* --- state ------------------------------------------------------------------------------------------------ */

/* What libssh2 and packets hold has a length and no NUL, which strndup may look for. */
char *sl_auth_copy_text(const void *from, size_t len) {
  char *to = malloc(len + 1);
  if (!to) return NULL;
  if (len) memcpy(to, from, len);
  to[len] = '\0';
  return to;
}

void sl_auth_wipe(char **p, size_t len) {
  if (*p) OPENSSL_cleanse(*p, len);
  free(*p);
  *p = NULL;
}

static void clear_signature(sl_auth *a) {
  free(a->to_sign);
  free(a->signature);
  a->to_sign = a->signature = NULL;
  a->sign_asked = false;
}

void sl_auth_clear(sl_session *s) {
  sl_auth *a = &s->auth;
  free(a->user);
  free(a->blob);
  a->user = a->blob = NULL;
  sl_auth_clear_prompts(a);
  clear_signature(a);
  sl_key_unref(a->key);
  a->key = NULL;
}

void sl_auth_orphan(sl_session *s) {
  sl_op *op = s->auth.op;
  if (!op) return;
  if (!op->err.kind) sl_err_set(&op->err, SL_CLOSED, NULL, 0, "the session was closed");
  ((sl_eop *)op)->engine = NULL;
  s->auth.op = NULL;
}

static void keep_banner(sl_auth *a, sl_span text) {
  size_t room = BANNER_MAX - sl_buf_len(&a->banner);
  (void)sl_buf_append(&a->banner, text.p, text.n < room ? text.n : room);
}

static void keep_failure(sl_auth *a, sl_span methods, sl_reader *r) {
  uint8_t partial = 0;
  size_t n = methods.n < sizeof a->methods ? methods.n : sizeof a->methods - 1;
  memcpy(a->methods, methods.p, n);
  a->methods[n] = '\0';
  a->partial = sl_get_u8(r, &partial) && partial;
}

void sl_auth_packet(sl_session *s, const unsigned char *data, size_t len) {
  enum { FAILURE = 51, BANNER = 53, PASSWD_CHANGEREQ = 60 };
  sl_reader r = sl_reader_of(data + 1, len - 1);
  sl_auth *a = &s->auth;
  sl_span text;
  if (!sl_get_string(&r, &text)) return;
  if (data[0] == BANNER) keep_banner(a, text);
  if (data[0] == FAILURE) keep_failure(a, text, &r);
  if (data[0] == PASSWD_CHANGEREQ && a->password && !a->instruction)
    a->instruction = sl_auth_copy_text(text.p, text.n < 4096 ? text.n : 4096);
}

/* --- one attempt ------------------------------------------------------------------------------------------ */

static int auth_step(sl_op *op) {
  auth_op *x = (auth_op *)op;
  sl_session *s = (sl_session *)x->eop.engine;
  int rc = x->call(s);
  if (rc == 0) {
    s->auth.succeeded = true;
    s->engine.wire.authenticated = true;
  }
  bool needs_signature = s->auth.sign_asked && !s->auth.signature;
  if (rc == sl_step_again() && (needs_signature || s->auth.asks)) return 0;
  if (rc != sl_step_again()) sl_auth_forget(&s->auth); /* connections last for hours */
  return rc;
}

static int auth_push(sl_op *op, lua_State *L) {
  sl_session *s = (sl_session *)((sl_eop *)op)->engine;
  sl_auth *a = &s->auth;
  if (a->succeeded) {
    lua_pushliteral(L, "ok");
    return 1;
  }
  if (a->asks) return sl_auth_push_prompts(L, a);
  lua_pushliteral(L, "sign");
  lua_pushlstring(L, (const char *)a->to_sign, a->to_sign_len);
  return 2;
}

static void auth_clean(sl_op *op) {
  sl_session *s = (sl_session *)((sl_eop *)op)->engine;
  if (s && s->auth.op == op) s->auth.op = NULL;
}

static const sl_op_kind auth_kind = {.name = "session.auth",
                                     .step = auth_step,
                                     .push = auth_push,
                                     .cancel = sl_eop_cancel,
                                     .clean = auth_clean};

int sl_auth_start(lua_State *L, sl_session *s, int done_idx, int (*call)(sl_session *)) {
  auth_op *x = sl_eop_new(&s->engine, NULL, 0, &auth_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  x->call = call;
  s->auth.call = call;
  s->auth.op = &x->eop.op;
  sl_op_start(L, &x->eop.op, done_idx, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

char *sl_auth_copy_bytes(lua_State *L, int idx, size_t *len) {
  const char *from = sl_check_bytes(L, idx, len);
  luaL_argcheck(L, *len <= SECRET_MAX, idx, "too long");
  char *to = malloc(*len + 1);
  if (!to) luaL_error(L, "not enough memory");
  memcpy(to, from, *len);
  to[*len] = '\0';
  return to;
}

sl_session *sl_auth_begin(lua_State *L, int done_idx) {
  sl_session *s = sl_session_check(L, 1);
  size_t len;
  luaL_checklstring(L, 2, &len);
  sl_check_done(L, done_idx);
  if (s->engine.lane.head || s->auth.op || s->auth.fibre || s->auth.sign_asked)
    luaL_error(L, "an authentication attempt is under way");
  sl_auth_clear(s);
  s->auth.partial = false;
  s->auth.user = sl_auth_copy_bytes(L, 2, &s->auth.user_len);
  return s;
}

/* --- none -------------------------------------------------------------------------------------------------- */

static int none_call(sl_session *s) {
  sl_auth *a = &s->auth;
  const char *list = libssh2_userauth_list(s->engine.raw, a->user, (unsigned)a->user_len);
  if (libssh2_userauth_authenticated(s->engine.raw)) return 0;
  if (!list) return libssh2_session_last_errno(s->engine.raw);
  snprintf(a->methods, sizeof a->methods, "%s", list);
  return LIBSSH2_ERROR_AUTHENTICATION_FAILED;
}

/* session:auth_none(user, done): succeeds where no authentication is asked for; tells the methods otherwise. */
static int l_auth_none(lua_State *L) { return sl_auth_start(L, sl_auth_begin(L, 3), 3, none_call); }

/* --- public key --------------------------------------------------------------------------------------------- */

static int sign_here(sl_auth *a, unsigned char **sig, size_t *sig_len, const unsigned char *data,
                     size_t len) {
  sl_err err = {0};
  const char *alg;
  size_t alg_len;
  if (sl_sign_algorithm(data, len, &alg, &alg_len) < 0) return -1;
  return sl_key_sign(a->key, alg, alg_len, data, len, sig, sig_len, &err);
}

static int on_sign(LIBSSH2_SESSION *raw, unsigned char **sig, size_t *sig_len,
                   const unsigned char *data, size_t len, void **abstract) {
  sl_auth *a = &((sl_session *)*abstract)->auth;
  (void)raw;
  if (a->key) return sign_here(a, sig, sig_len, data, len);
  if (a->sign_asked && a->signature) { /* libssh2 frees it */
    *sig = a->signature;
    *sig_len = a->signature_len;
    a->signature = NULL;
    clear_signature(a);
    return 0;
  }
  if (a->sign_refused) return -1;
  if (!a->sign_asked) {
    a->to_sign = malloc(len);
    if (!a->to_sign) return -1;
    memcpy(a->to_sign, data, len);
    a->to_sign_len = len;
    a->sign_asked = true;
  }
  return sl_step_again();
}

static int publickey_call(sl_session *s) {
  void *abstract = s;
  return libssh2_userauth_publickey(s->engine.raw, s->auth.user, (const unsigned char *)s->auth.blob,
                                    s->auth.blob_len, on_sign, &abstract);
}

/* session:auth_publickey(user, blob, key|nil, done): blob is a public key or a certificate. With a key the signature
   is made here; without one it is asked for: done(nil, "sign", data). */
static int l_auth_publickey(lua_State *L) {
  luaL_checkstring(L, 3);
  sl_key *key = lua_isnil(L, 4) ? NULL : sl_key_check(L, 4);
  sl_session *s = sl_auth_begin(L, 5);
  s->auth.blob = sl_auth_copy_bytes(L, 3, &s->auth.blob_len);
  s->auth.key = key ? sl_key_ref(key) : NULL;
  s->auth.sign_refused = false;
  return sl_auth_start(L, s, 5, publickey_call);
}

/* session:auth_signature(signature|nil, done): the inner signature; nil: refused. */
static int l_auth_signature(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  sl_check_done(L, 3);
  if (!s->auth.sign_asked) return luaL_error(L, "no signature was asked for");
  if (lua_isnil(L, 2)) {
    clear_signature(&s->auth);
    s->auth.sign_refused = true;
  } else {
    s->auth.signature = (unsigned char *)sl_auth_copy_bytes(L, 2, &s->auth.signature_len);
  }
  return sl_auth_start(L, s, 3, s->auth.call);
}

/* --- what the server said -------------------------------------------------------------------------------------- */

/* session:auth_state() -> methods that can continue ("" when unknown), whether the last failure was a partial
   success, banner text that has come since the last question (or nil). */
static int l_auth_state(lua_State *L) {
  sl_auth *a = &sl_session_check(L, 1)->auth;
  lua_pushstring(L, a->methods);
  lua_pushboolean(L, a->partial);
  if (sl_buf_len(&a->banner))
    lua_pushlstring(L, sl_buf_head(&a->banner), sl_buf_len(&a->banner));
  else
    lua_pushnil(L);
  sl_buf_free(&a->banner);
  return 3;
}

static const luaL_Reg auth_verbs[] = {
    {"auth_none", l_auth_none},           {"auth_publickey", l_auth_publickey},
    {"auth_signature", l_auth_signature}, {"auth_password", sl_auth_password},
    {"auth_kbdint", sl_auth_kbdint},       {"auth_answer", sl_auth_answer},
    {"auth_state", l_auth_state},         {NULL, NULL}};

const luaL_Reg *sl_auth_verbs(void) { return auth_verbs; }
