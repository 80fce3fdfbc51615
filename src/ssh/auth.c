/* Authentication (RFC 4252, 4256): one libssh2 call per attempt, and what the server answered to it. Which methods to
   try, with what, and whom to ask is decided in Lua.

   An attempt ends with done(nil, "ok") or an error; or it needs something first: done(nil, "sign", data) and
   done(nil, "prompts", {...}) are answered with session:auth_signature and session:auth_answer, whose done goes on
   in the same way. */
#include "ssh/auth.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "ssh/key_lua.h"
#include "ssh/session.h"

enum { BANNER_MAX = 262144, SECRET_MAX = 65536 };

typedef struct auth_op {
  sl_eop eop;
  int (*call)(sl_session *s); /* the libssh2 call of this attempt */
} auth_op;

/* --- state ------------------------------------------------------------------------------------------------ */

/* What libssh2 and packets hold has a length and no NUL, which strndup may look for. */
static char *copy_text(const void *from, size_t len) {
  char *to = malloc(len + 1);
  if (!to) return NULL;
  if (len) memcpy(to, from, len);
  to[len] = '\0';
  return to;
}

static void wipe(char **p, size_t len) {
  if (*p) OPENSSL_cleanse(*p, len);
  free(*p);
  *p = NULL;
}

static void clear_answers(sl_auth *a) {
  for (int i = 0; i < a->answers_count; i++) wipe(&a->answers[i], a->answer_lens[i]);
  free(a->answers);
  free(a->answer_lens);
  a->answers = NULL;
  a->answer_lens = NULL;
  a->answers_count = a->answers_used = 0;
}

static void clear_prompts(sl_auth *a) {
  for (int i = 0; i < a->prompts_count; i++) free(a->prompts[i].text);
  free(a->prompts);
  free(a->name);
  free(a->instruction);
  a->prompts = NULL;
  a->prompts_count = 0;
  a->name = a->instruction = NULL;
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
  wipe(&a->password, a->password_len);
  clear_answers(a);
  clear_prompts(a);
  clear_signature(a);
  sl_key_unref(a->key);
  a->key = NULL;
  sl_fibre_free(a->fibre);
  a->fibre = NULL;
}

void sl_auth_orphan(sl_session *s) {
  sl_op *op = s->auth.op;
  if (!op) return;
  if (!op->err.kind) sl_err_set(&op->err, SL_CLOSED, NULL, 0, "the session was closed");
  ((sl_eop *)op)->engine = NULL;
  s->auth.op = NULL;
}

void sl_auth_end_fibre(sl_session *s) {
  s->auth.aborting = true;
  while (s->auth.fibre && sl_fibre_resume(s->auth.fibre)) continue;
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
    a->instruction = copy_text(text.p, text.n < 4096 ? text.n : 4096);
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
  return rc;
}

static void push_bytes(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text ? text : "");
  lua_setfield(L, -2, field);
}

static int push_prompts(lua_State *L, const sl_auth *a) {
  lua_pushstring(L, a->asks_new_password ? "new_password" : "prompts");
  lua_newtable(L);
  push_bytes(L, "name", a->name);
  push_bytes(L, "instruction", a->instruction);
  for (int i = 0; i < a->prompts_count; i++) {
    lua_newtable(L);
    lua_pushlstring(L, a->prompts[i].text, a->prompts[i].len);
    lua_setfield(L, -2, "text");
    lua_pushboolean(L, a->prompts[i].echo);
    lua_setfield(L, -2, "echo");
    lua_rawseti(L, -2, i + 1);
  }
  return 2;
}

static int auth_push(sl_op *op, lua_State *L) {
  sl_session *s = (sl_session *)((sl_eop *)op)->engine;
  sl_auth *a = &s->auth;
  if (a->succeeded) {
    lua_pushliteral(L, "ok");
    return 1;
  }
  if (a->asks) return push_prompts(L, a);
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

static int start_attempt(lua_State *L, sl_session *s, int done_idx, int (*call)(sl_session *)) {
  auth_op *x = sl_eop_new(&s->engine, NULL, 0, &auth_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  x->call = call;
  s->auth.call = call;
  s->auth.op = &x->eop.op;
  sl_op_start(L, &x->eop.op, done_idx, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

static char *copy_bytes(lua_State *L, int idx, size_t *len) {
  const char *from = sl_check_bytes(L, idx, len);
  luaL_argcheck(L, *len <= SECRET_MAX, idx, "too long");
  char *to = malloc(*len + 1);
  if (!to) luaL_error(L, "not enough memory");
  memcpy(to, from, *len);
  to[*len] = '\0';
  return to;
}

static sl_session *begin(lua_State *L, int done_idx) {
  sl_session *s = sl_session_check(L, 1);
  size_t len;
  luaL_checklstring(L, 2, &len);
  sl_check_done(L, done_idx);
  if (s->engine.lane.head || s->auth.op || s->auth.fibre || s->auth.sign_asked)
    luaL_error(L, "an authentication attempt is under way");
  sl_auth_clear(s);
  s->auth.partial = false;
  s->auth.user = copy_bytes(L, 2, &s->auth.user_len);
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
static int l_auth_none(lua_State *L) { return start_attempt(L, begin(L, 3), 3, none_call); }

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
  sl_session *s = begin(L, 5);
  s->auth.blob = copy_bytes(L, 3, &s->auth.blob_len);
  s->auth.key = key ? sl_key_ref(key) : NULL;
  s->auth.sign_refused = false;
  return start_attempt(L, s, 5, publickey_call);
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
    s->auth.signature = (unsigned char *)copy_bytes(L, 2, &s->auth.signature_len);
  }
  return start_attempt(L, s, 3, s->auth.call);
}

/* --- password and prompts: on a fibre ------------------------------------------------------------------------ */

/* Waits, on the fibre, until Lua has answered. False: the session is being freed. */
static bool ask(sl_auth *a) {
  a->asks = true;
  while (a->asks && !a->aborting) sl_fibre_park(a->fibre);
  return !a->aborting;
}

/* libssh2 frees what it is given: each answer is handed over once. */
static char *next_answer(sl_auth *a, size_t *len) {
  *len = 0;
  if (a->answers_used >= a->answers_count) return NULL;
  char *answer = a->answers[a->answers_used];
  *len = a->answer_lens[a->answers_used];
  a->answers[a->answers_used++] = NULL;
  return answer;
}

static void on_new_password(LIBSSH2_SESSION *raw, char **newpw, int *newpw_len, void **abstract) {
  sl_auth *a = &((sl_session *)*abstract)->auth;
  size_t len = 0;
  (void)raw;
  *newpw = NULL;
  *newpw_len = 0;
  a->asks_new_password = true;
  if (a->fibre && !ask(a)) return;
  *newpw = next_answer(a, &len);
  *newpw_len = (int)len;
}

static bool copy_prompts(sl_auth *a, int n, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts) {
  a->prompts = calloc((size_t)n, sizeof *a->prompts);
  if (!a->prompts) return false;
  for (int i = 0; i < n; i++) {
    a->prompts[i].text = copy_text(prompts[i].text, prompts[i].length);
    a->prompts[i].len = a->prompts[i].text ? prompts[i].length : 0;
    a->prompts[i].echo = prompts[i].echo != 0;
    if (!a->prompts[i].text) return false;
    a->prompts_count = i + 1;
  }
  return true;
}

static void on_prompts(const char *name, int name_len, const char *instruction, int instruction_len,
                       int n, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts,
                       LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses, void **abstract) {
  sl_auth *a = &((sl_session *)*abstract)->auth;
  /* A round without prompts says something only; RFC 4256 3.2 wants an empty answer at once. */
  if (n <= 0 && name_len <= 0 && instruction_len <= 0) return;
  clear_prompts(a);
  a->name = copy_text(name, name && name_len > 0 ? (size_t)name_len : 0);
  a->instruction = copy_text(instruction, instruction && instruction_len > 0 ? (size_t)instruction_len : 0);
  if (n > 0 && !copy_prompts(a, n, prompts)) return;
  if (a->fibre && !ask(a)) return;
  for (int i = 0; i < n; i++) {
    size_t len;
    responses[i].text = next_answer(a, &len);
    responses[i].length = (unsigned)len;
  }
}

static int password_once(sl_session *s) {
  sl_auth *a = &s->auth;
  return libssh2_userauth_password_ex(s->engine.raw, a->user, (unsigned)a->user_len, a->password,
                                      (unsigned)a->password_len, on_new_password);
}

static int kbdint_once(sl_session *s) {
  return libssh2_userauth_keyboard_interactive_ex(s->engine.raw, s->auth.user,
                                                  (unsigned)s->auth.user_len, on_prompts);
}

static void fibre_body(void *arg) {
  sl_session *s = arg;
  while ((s->auth.fibre_rc = s->auth.fibre_call(s)) == sl_step_again() && !s->auth.aborting)
    sl_fibre_park(s->auth.fibre);
}

static int fibre_call(sl_session *s) {
  sl_auth *a = &s->auth;
  if (!a->fibre) return a->fibre_call(s); /* a build without fibres: answers were given in advance */
  if (sl_fibre_resume(a->fibre)) return sl_step_again();
  sl_fibre_free(a->fibre);
  a->fibre = NULL;
  return a->fibre_rc;
}

static int start_fibre(lua_State *L, sl_session *s, int done_idx, int (*once)(sl_session *)) {
  s->auth.fibre_call = once;
  s->auth.asks = s->auth.asks_new_password = false;
  s->auth.fibre = sl_fibre_new(fibre_body, s);
  return start_attempt(L, s, done_idx, fibre_call);
}

static void take_answers(lua_State *L, sl_auth *a, int idx) {
  luaL_checktype(L, idx, LUA_TTABLE);
  int n = (int)lua_rawlen(L, idx);
  luaL_argcheck(L, n <= 1000, idx, "too many answers");
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i);
    if (lua_type(L, -1) != LUA_TSTRING && !sl_is_secret(L, -1)) luaL_argerror(L, idx, "answers are strings or secrets");
    lua_pop(L, 1);
  }
  clear_answers(a);
  if (n == 0) return;
  a->answers = calloc((size_t)n, sizeof *a->answers);
  a->answer_lens = calloc((size_t)n, sizeof *a->answer_lens);
  if (!a->answers || !a->answer_lens) luaL_error(L, "not enough memory");
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, idx, i + 1);
    a->answers[i] = copy_bytes(L, lua_gettop(L), &a->answer_lens[i]);
    a->answers_count = i + 1;
    lua_pop(L, 1);
  }
}

/* session:auth_password(user, password, done). A server that wants a new one asks: done(nil, "new_password", {...}). */
static int l_auth_password(lua_State *L) {
  size_t len;
  (void)sl_check_bytes(L, 3, &len);
  sl_session *s = begin(L, 4);
  s->auth.password = copy_bytes(L, 3, &s->auth.password_len);
  return start_fibre(L, s, 4, password_once);
}

/* session:auth_kbdint(user, answers|nil, done): answers in advance are for builds without fibres. */
static int l_auth_kbdint(lua_State *L) {
  sl_session *s = begin(L, 4);
  if (!lua_isnil(L, 3)) take_answers(L, &s->auth, 3);
  return start_fibre(L, s, 4, kbdint_once);
}

/* session:auth_answer({strings}, done): as many as there were prompts; the attempt goes on. */
static int l_auth_answer(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  sl_check_done(L, 3);
  if (!s->auth.asks) return luaL_error(L, "nothing was asked");
  take_answers(L, &s->auth, 2);
  s->auth.asks = false;
  return start_attempt(L, s, 3, s->auth.call);
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
    {"auth_signature", l_auth_signature}, {"auth_password", l_auth_password},
    {"auth_kbdint", l_auth_kbdint},       {"auth_answer", l_auth_answer},
    {"auth_state", l_auth_state},         {NULL, NULL}};

const luaL_Reg *sl_auth_verbs(void) { return auth_verbs; }
