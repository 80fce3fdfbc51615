/* Life of SFTP sessions and of handles. */
#include "sftp/sftp.h"

#include <stdlib.h>
#include <string.h>

#include "loop/fs.h"
#include "ssh/channel.h"

sl_sftp *sl_sftp_check(lua_State *L, int idx) {
  return sl_box_check(L, idx, SL_SFTP_CLASS);
}

void sl_sftp_ref(sl_sftp *s) {
  s->refs++;
}

void sl_sftp_unref(sl_sftp *s) {
  if (--s->refs > 0) return;
  sl_sftp_client_free(&s->client);
  free(s);
}

/* --- starting --------------------------------------------------------------------------------- */

typedef struct start_op {
  sl_op op;
  sl_sftp *sftp; /* a reference, handed to the box */
} start_op;

static void sftp_ready(sl_sftp_client *c) {
  sl_sftp *s = (sl_sftp *)c;
  sl_op *op = s->starting;
  s->starting = NULL;
  if (op) sl_op_finish(op);
}

static void sftp_failed(sl_sftp_client *c) {
  sl_sftp *s = (sl_sftp *)c;
  sl_op *op = s->starting;
  s->starting = NULL;
  if (op) {
    op->err = c->err;
    sl_op_finish(op);
  }
  sl_sftp_pipe_wake(s);
}

static void sftp_wake(sl_sftp_client *c) {
  sl_sftp_pipe_wake((sl_sftp *)c);
}

static const sl_sftp_hooks sftp_hooks = {sftp_ready, sftp_failed, sftp_wake};

static void sftp_shut(sl_sftp *s) {
  sl_err why = {0};
  sl_err_set(&why, SL_CLOSED, NULL, 0, "the SFTP session was closed");
  sl_sftp_fail(&s->client, &why);
  sl_sftp_unref(s);
}

static void set_uservalue(lua_State *L) {
#if LUA_VERSION_NUM < 502
  lua_createtable(L, 1, 0);
  lua_insert(L, -2);
  lua_rawseti(L, -2, 1);
#endif
  lua_setuservalue(L, -2);
}

static int start_push(sl_op *op, lua_State *L) {
  start_op *x = (start_op *)op;
  void **box = sl_box_new(L, SL_SFTP_CLASS);
  *box = x->sftp;
  x->sftp = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX,
              op->keep_ref); /* the channel lives as long as its SFTP session */
  set_uservalue(L);
  return 1;
}

static void start_clean(sl_op *op) {
  sl_sftp *s = ((start_op *)op)->sftp;
  ((start_op *)op)->sftp = NULL;
  if (!s) return;
  s->starting = NULL;
  sftp_shut(s);
}

static bool start_cancel(sl_op *op) {
  (void)op;
  return true;
}

static const sl_op_kind start_kind = {
    .name = "sftp.start", .push = start_push, .cancel = start_cancel, .clean = start_clean};

/* sftp(channel, eager, done): on a channel whose subsystem "sftp" was started. eager: the server
   takes a request before it has said its version. done(nil, sftp). */
static int l_sftp(lua_State *L) {
  sl_channel *ch = sl_channel_check(L, 1);
  bool eager = lua_toboolean(L, 2);
  sl_check_done(L, 3);
  if (!ch->strand.engine) return luaL_error(L, "attempt to use a channel of a closed session");
  sl_loop *loop = ch->strand.engine->loop;
  start_op *x = sl_op_new(loop, &start_kind, sizeof *x);
  sl_sftp *s = calloc(1, sizeof *s);
  if (!x || !s || !sl_sftp_client_init(&s->client, &sftp_hooks)) {
    free(s);
    if (x) sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  s->loop = loop;
  s->refs = 1;
  x->sftp = s;
  s->starting = &x->op;
  sl_op_start(L, &x->op, 3, 1);
  if (eager) sl_sftp_ask_limits(&s->client);
  if (!sl_sftp_pipe_start(s, ch)) {
    sl_err why = {0};
    sl_err_set(&why, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    sl_sftp_fail(&s->client, &why);
  }
  return 1;
}

/* sftp:close(): at once; requests under way end with kind closed. The channel is its owner's. */
static int l_close(lua_State *L) {
  void **box = luaL_checkudata(L, 1, SL_SFTP_CLASS);
  sl_sftp *s = *box;
  *box = NULL;
  if (s) sftp_shut(s);
  return 0;
}

/* sftp:why() -> err table, or nil while it can be used */
static int l_why(lua_State *L) {
  const sl_sftp *s = sl_sftp_check(L, 1);
  if (s->client.err.kind)
    sl_push_err(L, &s->client.err);
  else
    lua_pushnil(L);
  return 1;
}

/* sftp:offers() -> { ["fsync@openssh.com"] = true, ... } of the extensions that we know */
static int l_offers(lua_State *L) {
  const sl_sftp *s = sl_sftp_check(L, 1);
  lua_newtable(L);
  for (unsigned i = 0; i < SL_EXT_COUNT; i++) {
    if (!(s->client.extensions & 1u << i)) continue;
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, sl_sftp_ext_name(1u << i));
  }
  return 1;
}

/* sftp:limits() -> { packet, read, write, handles: what the server said, 0: nothing; read_size,
 * write_size: of requests } */
static int l_limits(lua_State *L) {
  const sl_sftp_client *c = &sl_sftp_check(L, 1)->client;
  lua_newtable(L);
  sl_fs_set_integer(L, "packet", c->limits.packet);
  sl_fs_set_integer(L, "read", c->limits.read);
  sl_fs_set_integer(L, "write", c->limits.write);
  sl_fs_set_integer(L, "handles", c->limits.handles);
  sl_fs_set_integer(L, "read_size", c->read_max);
  sl_fs_set_integer(L, "write_size", c->write_max);
  return 1;
}

/* sftp:in_flight() -> requests under way, forgotten ones included */
static int l_in_flight(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)sl_sftp_check(L, 1)->client.in_flight);
  return 1;
}

/* sftp:moved() -> bytes of all requests and answers so far */
static int l_moved(lua_State *L) {
  lua_pushnumber(L, (lua_Number)sl_sftp_check(L, 1)->client.moved);
  return 1;
}

/* --- handles ---------------------------------------------------------------------------------- */

sl_sftp_handle *sl_sftp_handle_new(sl_sftp *s, sl_span bytes) {
  sl_sftp_handle *h = calloc(1, sizeof *h);
  if (!h) return NULL;
  h->sftp = s;
  h->refs = 1;
  h->len = bytes.n;
  memcpy(h->bytes, bytes.p, bytes.n);
  sl_sftp_ref(s);
  return h;
}

void sl_sftp_handle_unref(sl_sftp_handle *h) {
  if (--h->refs > 0) return;
  if (!h->closed) sl_sftp_close_handle(&h->sftp->client, sl_sftp_span_of(h));
  sl_sftp_unref(h->sftp);
  free(h);
}

void sl_sftp_handle_push(lua_State *L, sl_sftp_handle *h, int sftp_ref) {
  void **box = sl_box_new(L, SL_SFTP_HANDLE_CLASS);
  *box = h;
  lua_rawgeti(L, LUA_REGISTRYINDEX, sftp_ref); /* the session lives as long as its handles */
  set_uservalue(L);
}

sl_sftp_handle *sl_sftp_handle_check(lua_State *L, int idx) {
  return sl_box_check(L, idx, SL_SFTP_HANDLE_CLASS);
}

static int l_handle_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  sl_sftp_handle *h = *box;
  *box = NULL;
  if (h) sl_sftp_handle_unref(h);
  return 0;
}

static const luaL_Reg sftp_methods[] = {{"close", l_close},         {"why", l_why},
                                        {"offers", l_offers},       {"limits", l_limits},
                                        {"in_flight", l_in_flight}, {"moved", l_moved},
                                        {NULL, NULL}};
static const luaL_Reg sftp_meta[] = {{"__gc", l_close}, {NULL, NULL}};
static const luaL_Reg handle_meta[] = {{"__gc", l_handle_gc}, {NULL, NULL}};
static const luaL_Reg sftp_functions[] = {{"sftp", l_sftp}, {NULL, NULL}};

static void add_methods(lua_State *L, const char *class, const luaL_Reg *verbs) {
  luaL_getmetatable(L, class);
  lua_getfield(L, -1, "__index");
  luaL_setfuncs(L, verbs, 0);
  lua_pop(L, 2);
}

void sl_sftp_open(lua_State *L) {
  sl_class(L, SL_SFTP_CLASS, sftp_methods, sftp_meta);
  add_methods(L, SL_SFTP_CLASS, sl_sftp_path_verbs());
  add_methods(L, SL_SFTP_CLASS, sl_sftp_get_files_verbs());
  add_methods(L, SL_SFTP_CLASS, sl_sftp_put_files_verbs());
  sl_class(L, SL_SFTP_HANDLE_CLASS, sl_sftp_handle_verbs(), handle_meta);
  add_methods(L, SL_SFTP_HANDLE_CLASS, sl_sftp_data_verbs());
  add_methods(L, SL_SFTP_HANDLE_CLASS, sl_sftp_get_verbs());
  add_methods(L, SL_SFTP_HANDLE_CLASS, sl_sftp_put_verbs());
  luaL_setfuncs(L, sftp_functions, 0);
}
