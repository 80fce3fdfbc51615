/* Keys for Lua: parsing and slow signatures run in the thread pool; the agent's messages are encoded and decoded here,
   while Lua does the talking on a socket of the loop. */
#include "ssh/key_lua.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/secret.h"
#include "loop/op.h"
#include "ssh/agent_protocol.h"
#include "ssh/certificate.h"
#include "ssh/public_key.h"
#include "ssh/verbs.h"

#define KEY_CLASS "sshlua.key"

sl_key *sl_key_check(lua_State *L, int idx) { return sl_box_check(L, idx, KEY_CLASS); }

static void push_key(lua_State *L, sl_key *key) {
  void **box = sl_box_new(L, KEY_CLASS);
  *box = key;
}

static int fail(lua_State *L, const sl_err *err) {
  lua_pushnil(L);
  sl_push_err(L, err);
  return 2;
}

/* --- work in the pool --------------------------------------------------------------------------------------- */

typedef struct key_op {
  sl_op op;
  uv_work_t work;
  sl_key *key;
  char *data, *pass;
  size_t len, pass_len;
  unsigned char *sig;
  size_t sig_len;
  sl_err err; /* written by the pool; op.err belongs to the loop */
} key_op;

static void key_clean(sl_op *op) {
  key_op *k = (key_op *)op;
  if (k->data) OPENSSL_cleanse(k->data, k->len);
  if (k->pass) OPENSSL_cleanse(k->pass, k->pass_len);
  free(k->data);
  free(k->pass);
  free(k->sig);
  sl_key_unref(k->key);
}

static void key_done(uv_work_t *work, int status) {
  key_op *k = work->data;
  if (status != 0) sl_err_uv(&k->err, SL_IO, status, "thread pool");
  k->op.err = k->err;
  sl_op_finish(&k->op);
  sl_op_unpin(&k->op);
}

static int parse_push(sl_op *op, lua_State *L) {
  key_op *k = (key_op *)op;
  push_key(L, k->key);
  k->key = NULL;
  return 1;
}

static int sign_push(sl_op *op, lua_State *L) {
  key_op *k = (key_op *)op;
  lua_pushlstring(L, (const char *)k->sig, k->sig_len);
  return 1;
}

/* The pool uses the operation's memory: an abandoned one is a ghost until the pool is done with it. */
static const sl_op_kind parse_kind = {.name = "key.parse", .push = parse_push, .clean = key_clean};
static const sl_op_kind sign_kind = {.name = "key.sign", .push = sign_push, .clean = key_clean};

static void parse_work(uv_work_t *work) {
  key_op *k = work->data;
  k->key = sl_key_parse(k->data, k->len, k->pass, k->pass_len, &k->err);
}

static void sign_work(uv_work_t *work) {
  key_op *k = work->data;
  const char *alg;
  size_t alg_len;
  if (sl_sign_algorithm((unsigned char *)k->data, k->len, &alg, &alg_len) < 0)
    sl_err_set(&k->err, SL_AUTH, "SIGN_FAILED", 0, "not a request that can be signed");
  else
    sl_key_sign(k->key, alg, alg_len, (unsigned char *)k->data, k->len, &k->sig, &k->sig_len, &k->err);
}

static char *copy_of(const char *from, size_t len) {
  char *to = malloc(len + 1);
  if (to) memcpy(to, from, len);
  if (to) to[len] = '\0';
  return to;
}

static key_op *new_key_op(lua_State *L, const sl_op_kind *kind, int data_idx) {
  size_t len;
  const char *data = sl_check_bytes(L, data_idx, &len);
  key_op *k = sl_op_new(sl_loop_get(L), kind, sizeof *k);
  if (!k || !(k->data = copy_of(data, len))) luaL_error(L, "not enough memory");
  k->len = len;
  k->work.data = k;
  return k;
}

static int start_key_op(lua_State *L, key_op *k, uv_work_cb work, int done_idx) {
  sl_op_start(L, &k->op, done_idx, 0);
  sl_op_pin(&k->op);
  uv_queue_work(&k->op.loop->uv, &k->work, work, key_done);
  return 1;
}

/* key_parse(text, passphrase|nil, done): done(nil, key). Failures have name NEED_PASSPHRASE, WRONG_PASSPHRASE,
   BAD_FORMAT or UNSUPPORTED. */
static int l_key_parse(lua_State *L) {
  size_t pass_len = 0;
  const char *pass = lua_isnil(L, 2) ? NULL : sl_check_bytes(L, 2, &pass_len);
  sl_check_done(L, 3);
  key_op *k = new_key_op(L, &parse_kind, 1);
  if (pass) k->pass = copy_of(pass, pass_len);
  k->pass_len = pass_len;
  return start_key_op(L, k, parse_work, 3);
}

/* key:sign(data, done): data as libssh2 wants it signed; done(nil, signature), the inner one. */
static int l_key_sign(lua_State *L) {
  sl_key *key = sl_key_check(L, 1);
  sl_check_done(L, 3);
  key_op *k = new_key_op(L, &sign_kind, 2);
  k->key = sl_key_ref(key);
  return start_key_op(L, k, sign_work, 3);
}

static int l_key_blob(lua_State *L) {
  size_t len;
  const unsigned char *blob = sl_key_blob(sl_key_check(L, 1), &len);
  lua_pushlstring(L, (const char *)blob, len);
  return 1;
}

static int l_key_type(lua_State *L) {
  lua_pushstring(L, sl_key_type(sl_key_check(L, 1)));
  return 1;
}

static int l_key_comment(lua_State *L) {
  lua_pushstring(L, sl_key_comment(sl_key_check(L, 1)));
  return 1;
}

static int l_key_is_slow(lua_State *L) {
  lua_pushboolean(L, sl_key_sign_is_slow(sl_key_check(L, 1)));
  return 1;
}

/* key:agent_add(comment, seconds, confirm) -> secret, or nil, err: what adds it to an agent; seconds 0: for ever. */
static int l_key_agent_add(lua_State *L) {
  enum { COMMENT_MAX = 1024 };
  sl_key *key = sl_key_check(L, 1);
  size_t comment_len;
  const char *comment = luaL_checklstring(L, 2, &comment_len);
  lua_Number seconds = luaL_checknumber(L, 3);
  bool confirm = lua_toboolean(L, 4);
  luaL_argcheck(L, comment_len <= COMMENT_MAX, 2, "too long");
  luaL_argcheck(L, seconds >= 0 && seconds <= (lua_Number)UINT32_MAX, 3, "0 to 4294967295 expected");
  size_t len = sl_key_agent_add(key, comment, comment_len, (uint32_t)seconds, confirm, NULL, 0);
  sl_secret *s = len ? sl_secret_push(L, "key for the agent", len) : NULL;
  if (s) len = sl_key_agent_add(key, comment, comment_len, (uint32_t)seconds, confirm,
                                (unsigned char *)sl_secret_room(s), len);
  if (s) sl_secret_filled(L, s, len, false);
  if (len) return 1;
  sl_err err = {0};
  sl_err_set(&err, SL_AUTH, "UNSUPPORTED", 0, "this key cannot be handed to an agent");
  return fail(L, &err);
}

static int l_key_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  sl_key_unref(*box);
  *box = NULL;
  return 0;
}

/* --- public halves --------------------------------------------------------------------------------------------- */

static int push_public(lua_State *L, int rc, sl_public_key *key, const sl_err *err) {
  if (rc < 0) return fail(L, err);
  lua_pushlstring(L, (const char *)key->blob, key->blob_len);
  lua_pushstring(L, key->type);
  lua_pushstring(L, key->comment);
  sl_public_key_clear(key);
  return 3;
}

/* public_key_parse(text) -> blob, type, comment, or nil, err. text: one line of id_x.pub. */
static int l_public_key_parse(lua_State *L) {
  size_t len;
  const char *text = sl_check_bytes(L, 1, &len);
  sl_public_key key = {0};
  sl_err err = {0};
  return push_public(L, sl_public_key_parse(text, len, &key, &err), &key, &err);
}

/* key_peek(text) -> blob, type, comment of the public half that a private key file shows without its passphrase. */
static int l_key_peek(lua_State *L) {
  size_t len;
  const char *text = sl_check_bytes(L, 1, &len);
  sl_public_key key = {0};
  sl_err err = {0};
  return push_public(L, sl_key_peek(text, len, &key, &err), &key, &err);
}

/* certificate_parse(text, plain_blob) -> blob, type, key id, or nil, err: a user certificate made for that public key
   and valid now. */
static int l_certificate_parse(lua_State *L) {
  size_t len, plain_len;
  const char *text = luaL_checklstring(L, 1, &len);
  const char *plain = luaL_checklstring(L, 2, &plain_len);
  sl_certificate cert = {0};
  sl_err err = {0};
  if (sl_certificate_parse(text, len, &cert, &err) < 0) return fail(L, &err);
  int rc = sl_certificate_check_time(&cert, (uint64_t)time(NULL), &err);
  if (rc == 0 && !sl_certificate_matches_blob(cert.blob, cert.blob_len, (const unsigned char *)plain, plain_len))
    rc = sl_err_set(&err, SL_AUTH, "NOT_FOR_KEY", 0, "the certificate is not for this key");
  if (rc == 0) {
    lua_pushlstring(L, (const char *)cert.blob, cert.blob_len);
    lua_pushstring(L, cert.type);
    lua_pushstring(L, cert.key_id);
  }
  sl_certificate_clear(&cert);
  return rc == 0 ? 3 : fail(L, &err);
}

/* --- the agent's messages -------------------------------------------------------------------------------------- */

static int push_frame(lua_State *L, int rc, unsigned char *frame, size_t len, const sl_err *err) {
  if (rc < 0) return fail(L, err);
  lua_pushlstring(L, (const char *)frame, len);
  free(frame);
  return 1;
}

/* agent_list_request() -> bytes */
static int l_agent_list_request(lua_State *L) {
  unsigned char *frame = NULL;
  size_t len = 0;
  sl_err err = {0};
  int rc = sl_agent_encode_list(&frame, &len, &err); /* arguments have no order */
  return push_frame(L, rc, frame, len, &err);
}

static int check_algorithm(lua_State *L, int idx, const char **alg, size_t *alg_len) {
  size_t len;
  const char *data = luaL_checklstring(L, idx, &len);
  return sl_sign_algorithm((const unsigned char *)data, len, alg, alg_len);
}

static int not_signable(lua_State *L) {
  sl_err err = {0};
  sl_err_set(&err, SL_AUTH, "SIGN_FAILED", 0, "not a request that can be signed");
  return fail(L, &err);
}

/* agent_sign_request(blob, data) -> bytes, or nil, err */
static int l_agent_sign_request(lua_State *L) {
  size_t blob_len, data_len, alg_len, len = 0;
  const char *blob = luaL_checklstring(L, 1, &blob_len);
  const char *data = luaL_checklstring(L, 2, &data_len), *alg;
  unsigned char *frame = NULL;
  sl_err err = {0};
  if (check_algorithm(L, 2, &alg, &alg_len) < 0) return not_signable(L);
  int rc = sl_agent_encode_sign((const unsigned char *)blob, blob_len, (const unsigned char *)data,
                                data_len, alg, alg_len, &frame, &len, &err);
  return push_frame(L, rc, frame, len, &err);
}

/* agent_frame(bytes) -> payload, or nil (more is needed), or nil, err. bytes: all that came since the request. */
static int l_agent_frame(lua_State *L) {
  size_t len, used = 0;
  const char *bytes = luaL_checklstring(L, 1, &len);
  sl_agent_frame frame = {0};
  sl_err err = {0};
  int rc = sl_agent_frame_feed(&frame, (const unsigned char *)bytes, len, &used, &err);
  if (rc > 0)
    lua_pushlstring(L, (const char *)frame.payload, frame.len);
  else
    lua_pushnil(L);
  sl_agent_frame_reset(&frame);
  if (rc >= 0) return 1;
  sl_push_err(L, &err);
  return 2;
}

/* agent_identities(payload) -> list of {type=, blob=, comment=}, or nil, err */
static int l_agent_identities(lua_State *L) {
  size_t len;
  const char *payload = luaL_checklstring(L, 1, &len);
  sl_agent_identities ids = {0};
  sl_err err = {0};
  if (sl_agent_decode_identities((const unsigned char *)payload, len, &ids, &err) < 0)
    return fail(L, &err);
  lua_createtable(L, (int)ids.count, 0);
  for (size_t i = 0; i < ids.count; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, ids.list[i].type);
    lua_setfield(L, -2, "type");
    lua_pushlstring(L, (const char *)ids.list[i].blob, ids.list[i].blob_len);
    lua_setfield(L, -2, "blob");
    lua_pushlstring(L, ids.list[i].comment, ids.list[i].comment_len);
    lua_setfield(L, -2, "comment");
    lua_rawseti(L, -2, (int)i + 1);
  }
  sl_agent_identities_clear(&ids);
  return 1;
}

/* agent_signature(payload, data) -> inner signature, or nil, err */
static int l_agent_signature(lua_State *L) {
  size_t len, alg_len, sig_len = 0;
  const char *payload = luaL_checklstring(L, 1, &len), *alg;
  unsigned char *sig = NULL;
  sl_err err = {0};
  if (check_algorithm(L, 2, &alg, &alg_len) < 0) return not_signable(L);
  int rc = sl_agent_decode_signature((const unsigned char *)payload, len, alg, alg_len, &sig, &sig_len, &err);
  return push_frame(L, rc, sig, sig_len, &err);
}

/* agent_added(payload) -> true, or nil, err */
static int l_agent_added(lua_State *L) {
  size_t len;
  const char *payload = luaL_checklstring(L, 1, &len);
  sl_err err = {0};
  if (sl_agent_decode_added((const unsigned char *)payload, len, &err) < 0) return fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg key_methods[] = {{"sign", l_key_sign},
                                       {"blob", l_key_blob},
                                       {"type", l_key_type},
                                       {"comment", l_key_comment},
                                       {"is_slow", l_key_is_slow},
                                       {"agent_add", l_key_agent_add},
                                       {NULL, NULL}};
static const luaL_Reg key_meta[] = {{"__gc", l_key_gc}, {NULL, NULL}};
static const luaL_Reg key_functions[] = {{"key_parse", l_key_parse},
                                         {"key_peek", l_key_peek},
                                         {"public_key_parse", l_public_key_parse},
                                         {"certificate_parse", l_certificate_parse},
                                         {"agent_list_request", l_agent_list_request},
                                         {"agent_sign_request", l_agent_sign_request},
                                         {"agent_frame", l_agent_frame},
                                         {"agent_identities", l_agent_identities},
                                         {"agent_signature", l_agent_signature},
                                         {"agent_added", l_agent_added},
                                         {NULL, NULL}};

void sl_key_open(lua_State *L) {
  sl_class(L, KEY_CLASS, key_methods, key_meta);
  luaL_setfuncs(L, key_functions, 0);
}
