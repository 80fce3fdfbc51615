/* Methods in which the server asks while the attempt is under way: keyboard-interactive (RFC 4256), and a password that
   has to be changed (RFC 4252, section 8). libssh2 asks in a callback that wants its answers at once, so each attempt
   runs on a fibre, which is parked there until Lua has them. Knows questions and answers; must not know who gives them,
   nor which method comes next. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "ssh/auth_parts.h"

/* --- state ------------------------------------------------------------------------------------------------ */

static void clear_answers(sl_auth *a) {
  for (int i = 0; i < a->answers_count; i++) sl_auth_wipe(&a->answers[i], a->answer_lens[i]);
  free(a->answers);
  free(a->answer_lens);
  a->answers = NULL;
  a->answer_lens = NULL;
  a->answers_count = a->answers_used = 0;
}

static void clear_questions(sl_auth *a) {
  for (int i = 0; i < a->prompts_count; i++) free(a->prompts[i].text);
  free(a->prompts);
  free(a->name);
  free(a->instruction);
  a->prompts = NULL;
  a->prompts_count = 0;
  a->name = a->instruction = NULL;
}

void sl_auth_forget(sl_auth *a) {
  sl_auth_wipe(&a->password, a->password_len);
  clear_answers(a);
}

void sl_auth_clear_prompts(sl_auth *a) {
  sl_auth_forget(a);
  clear_questions(a);
  sl_fibre_free(a->fibre);
  a->fibre = NULL;
}

void sl_auth_end_fibre(sl_session *s) {
  s->auth.aborting = true;
  while (s->auth.fibre && sl_fibre_resume(s->auth.fibre)) continue;
  sl_auth_forget(&s->auth);
}

static void push_bytes(lua_State *L, const char *field, const char *text) {
  lua_pushstring(L, text ? text : "");
  lua_setfield(L, -2, field);
}

int sl_auth_push_prompts(lua_State *L, const sl_auth *a) {
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

/* --- what libssh2 calls -------------------------------------------------------------------------------------- */

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
    a->prompts[i].text = sl_auth_copy_text(prompts[i].text, prompts[i].length);
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
  clear_questions(a);
  a->name = sl_auth_copy_text(name, name && name_len > 0 ? (size_t)name_len : 0);
  a->instruction = sl_auth_copy_text(instruction, instruction && instruction_len > 0 ? (size_t)instruction_len : 0);
  if (n > 0 && !copy_prompts(a, n, prompts)) return;
  if (a->fibre && !ask(a)) return;
  for (int i = 0; i < n; i++) {
    size_t len;
    responses[i].text = next_answer(a, &len);
    responses[i].length = (unsigned)len;
  }
}

/* --- one attempt --------------------------------------------------------------------------------------------- */

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
  return sl_auth_start(L, s, done_idx, fibre_call);
}

/* --- verbs --------------------------------------------------------------------------------------------------- */

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
    a->answers[i] = sl_auth_copy_bytes(L, lua_gettop(L), &a->answer_lens[i]);
    a->answers_count = i + 1;
    lua_pop(L, 1);
  }
}

/* session:auth_password(user, password, done). A server that wants a new one asks: done(nil, "new_password", {...}). */
int sl_auth_password(lua_State *L) {
  size_t len;
  (void)sl_check_bytes(L, 3, &len);
  sl_session *s = sl_auth_begin(L, 4);
  s->auth.password = sl_auth_copy_bytes(L, 3, &s->auth.password_len);
  return start_fibre(L, s, 4, password_once);
}

/* session:auth_kbdint(user, answers|nil, done): answers in advance are for builds without fibres. */
int sl_auth_kbdint(lua_State *L) {
  sl_session *s = sl_auth_begin(L, 4);
  if (!lua_isnil(L, 3)) take_answers(L, &s->auth, 3);
  return start_fibre(L, s, 4, kbdint_once);
}

/* session:auth_answer({strings}, done): as many as there were prompts; the attempt goes on. */
int sl_auth_answer(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  sl_check_done(L, 3);
  if (!s->auth.asks) return luaL_error(L, "nothing was asked");
  take_answers(L, &s->auth, 2);
  s->auth.asks = false;
  return sl_auth_start(L, s, 3, s->auth.call);
}
