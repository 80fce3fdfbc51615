/* Verbs of a handle that are one request each. What reads and writes is in data.c, get.c and put.c.
 */
#include "loop/fs.h"
#include "sftp/call.h"

static sl_sftp_handle *handle_of(lua_State *L) {
  return sl_sftp_handle_check(L, 1);
}

/* Nothing of Lua between begin and send: the collector may close a handle, which is a packet, too.
 */
static void put_handle(sl_sftp_writer *w, const sl_sftp_handle *h) {
  sl_sftp_put_string(w, h->bytes, h->len);
}

static int call_handle(lua_State *L, sl_sftp_type type, sl_sftp_ext ext, sl_sftp_answer answer) {
  const sl_sftp_handle *h = handle_of(L);
  sl_sftp_call *x = sl_sftp_call_new(L, answer, 2, true);
  sl_sftp_writer w = ext ? sl_sftp_call_begin_extended(x, ext) : sl_sftp_call_begin(x, type);
  put_handle(&w, h);
  return sl_sftp_call_send(L, x, &w, 2);
}

static int l_stat(lua_State *L) {
  return call_handle(L, SL_FXP_FSTAT, 0, SL_ANSWER_ATTRS);
}
static int l_fsync(lua_State *L) {
  return call_handle(L, 0, SL_EXT_FSYNC, SL_ANSWER_NONE);
}
static int l_statvfs(lua_State *L) {
  return call_handle(L, 0, SL_EXT_FSTATVFS, SL_ANSWER_STATVFS);
}

/* handle:readdir(done): done(nil, entries, refused), done(nil, nil) at the end. */
static int l_readdir(lua_State *L) {
  return call_handle(L, SL_FXP_READDIR, 0, SL_ANSWER_NAMES);
}

/* handle:setstat(attrs, done) */
static int l_setstat(lua_State *L) {
  sl_sftp_attrs a;
  const sl_sftp_handle *h = handle_of(L);
  sl_sftp_attrs_arg(L, 2, &a);
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_NONE, 3, true);
  sl_sftp_writer w = sl_sftp_call_begin(x, SL_FXP_FSETSTAT);
  put_handle(&w, h);
  sl_sftp_put_attrs(&w, &a);
  return sl_sftp_call_send(L, x, &w, 3);
}

/* handle:copy_data(from, length, to_handle, to, done): within the server; length 0: to the end of
 * file. */
static int l_copy_data(lua_State *L) {
  const sl_sftp_handle *h = handle_of(L), *to = sl_sftp_handle_check(L, 4);
  uint64_t from = sl_sftp_offset_arg(L, 2), len = sl_sftp_offset_arg(L, 3),
           at = sl_sftp_offset_arg(L, 5);
  luaL_argcheck(L, to->sftp == h->sftp, 4, "a handle of the same session expected");
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_NONE, 6, true);
  sl_sftp_writer w = sl_sftp_call_begin_extended(x, SL_EXT_COPY_DATA);
  put_handle(&w, h);
  sl_sftp_put_u64(&w, from);
  sl_sftp_put_u64(&w, len);
  sl_sftp_put_string(&w, to->bytes, to->len);
  sl_sftp_put_u64(&w, at);
  return sl_sftp_call_send(L, x, &w, 6);
}

/* handle:close(done): what fails here may be a write that failed. The handle is gone for Lua at
 * once. */
static int l_close(lua_State *L) {
  sl_sftp_handle *h = handle_of(L);
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_CLOSED, 2, true);
  sl_sftp_writer w = sl_sftp_call_begin(x, SL_FXP_CLOSE);
  put_handle(&w, h);
  h->closed = true;
  sl_sftp_call_send(L, x, &w, 2);
  *(void **)lua_touserdata(L, 1) = NULL;
  sl_sftp_handle_unref(h);
  return 1;
}

/* handle:progress() -> bytes without a gap that are safe, bytes moved so far, of the transfer under
 * way or the last */
static int l_progress(lua_State *L) {
  const sl_sftp_handle *h = handle_of(L);
  sl_fs_push_integer(L, h->safe);
  sl_fs_push_integer(L, h->moved);
  return 2;
}

static const luaL_Reg handle_verbs[] = {
    {"stat", l_stat},       {"fsync", l_fsync},       {"statvfs", l_statvfs},
    {"readdir", l_readdir}, {"setstat", l_setstat},   {"copy_data", l_copy_data},
    {"close", l_close},     {"progress", l_progress}, {NULL, NULL}};

const luaL_Reg *sl_sftp_handle_verbs(void) {
  return handle_verbs;
}
