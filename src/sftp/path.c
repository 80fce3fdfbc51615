/* Verbs of an SFTP session that name a path: each is one request. */
#include "sftp/call.h"

/* A request of one path, and of attributes if attrs_idx is not 0. */
static int call_path(lua_State *L, sl_sftp_type type, sl_sftp_answer answer, int attrs_idx) {
  int done_idx = attrs_idx ? 4 : 3;
  size_t len;
  sl_sftp_attrs a;
  const char *path = sl_sftp_path_arg(L, 2, &len);
  if (attrs_idx) sl_sftp_attrs_arg(L, attrs_idx, &a);
  sl_sftp_call *x = sl_sftp_call_new(L, answer, done_idx, false);
  sl_sftp_writer w = sl_sftp_call_begin(x, type);
  sl_sftp_put_string(&w, path, len);
  if (attrs_idx) sl_sftp_put_attrs(&w, &a);
  return sl_sftp_call_send(L, x, &w, done_idx);
}

/* Two paths, in the order in which they go over the wire. */
static int call_two(lua_State *L, sl_sftp_type type, sl_sftp_ext ext, int first, int second) {
  size_t n1, n2;
  const char *one = sl_sftp_path_arg(L, first, &n1), *two = sl_sftp_path_arg(L, second, &n2);
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_NONE, 4, false);
  sl_sftp_writer w = ext ? sl_sftp_call_begin_extended(x, ext) : sl_sftp_call_begin(x, type);
  sl_sftp_put_string(&w, one, n1);
  sl_sftp_put_string(&w, two, n2);
  return sl_sftp_call_send(L, x, &w, 4);
}

static int call_extended(lua_State *L, sl_sftp_ext ext, sl_sftp_answer answer) {
  size_t len;
  const char *path = sl_sftp_path_arg(L, 2, &len);
  sl_sftp_call *x = sl_sftp_call_new(L, answer, 3, false);
  sl_sftp_writer w = sl_sftp_call_begin_extended(x, ext);
  sl_sftp_put_string(&w, path, len);
  return sl_sftp_call_send(L, x, &w, 3);
}

/* sftp:open(path, flags, attrs, done): flags are SSH_FXF_* added up. done(nil, handle). */
static int l_open(lua_State *L) {
  size_t len;
  sl_sftp_attrs a;
  const char *path = sl_sftp_path_arg(L, 2, &len);
  lua_Integer flags = luaL_checkinteger(L, 3);
  sl_sftp_attrs_arg(L, 4, &a);
  luaL_argcheck(L, flags > 0 && flags < 64, 3, "flags out of range");
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_HANDLE, 5, false);
  sl_sftp_writer w = sl_sftp_call_begin(x, SL_FXP_OPEN);
  sl_sftp_put_string(&w, path, len);
  sl_sftp_put_u32(&w, (uint32_t)flags);
  sl_sftp_put_attrs(&w, &a);
  return sl_sftp_call_send(L, x, &w, 5);
}

static int l_opendir(lua_State *L) {
  return call_path(L, SL_FXP_OPENDIR, SL_ANSWER_HANDLE, 0);
}
static int l_stat(lua_State *L) {
  return call_path(L, SL_FXP_STAT, SL_ANSWER_ATTRS, 0);
}
static int l_lstat(lua_State *L) {
  return call_path(L, SL_FXP_LSTAT, SL_ANSWER_ATTRS, 0);
}
static int l_setstat(lua_State *L) {
  return call_path(L, SL_FXP_SETSTAT, SL_ANSWER_NONE, 3);
}
static int l_mkdir(lua_State *L) {
  return call_path(L, SL_FXP_MKDIR, SL_ANSWER_NONE, 3);
}
static int l_rmdir(lua_State *L) {
  return call_path(L, SL_FXP_RMDIR, SL_ANSWER_NONE, 0);
}
static int l_remove(lua_State *L) {
  return call_path(L, SL_FXP_REMOVE, SL_ANSWER_NONE, 0);
}
static int l_realpath(lua_State *L) {
  return call_path(L, SL_FXP_REALPATH, SL_ANSWER_NAME, 0);
}
static int l_readlink(lua_State *L) {
  return call_path(L, SL_FXP_READLINK, SL_ANSWER_NAME, 0);
}

/* sftp:rename(from, to, done): fails when `to` exists. */
static int l_rename(lua_State *L) {
  return call_two(L, SL_FXP_RENAME, 0, 2, 3);
}
static int l_posix_rename(lua_State *L) {
  return call_two(L, 0, SL_EXT_POSIX_RENAME, 2, 3);
}
static int l_hardlink(lua_State *L) {
  return call_two(L, 0, SL_EXT_HARDLINK, 2, 3);
}
/* sftp:symlink(target, link, done): OpenSSH sends them in this order, the draft says the other. */
static int l_symlink(lua_State *L) {
  return call_two(L, SL_FXP_SYMLINK, 0, 2, 3);
}

static int l_statvfs(lua_State *L) {
  return call_extended(L, SL_EXT_STATVFS, SL_ANSWER_STATVFS);
}
static int l_expand_path(lua_State *L) {
  return call_extended(L, SL_EXT_EXPAND_PATH, SL_ANSWER_NAME);
}
static int l_home_directory(lua_State *L) {
  return call_extended(L, SL_EXT_HOME_DIRECTORY, SL_ANSWER_NAME);
}

/* sftp:lsetstat(path, attrs, done): of a symbolic link itself. */
static int l_lsetstat(lua_State *L) {
  size_t len;
  sl_sftp_attrs a;
  const char *path = sl_sftp_path_arg(L, 2, &len);
  sl_sftp_attrs_arg(L, 3, &a);
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_NONE, 4, false);
  sl_sftp_writer w = sl_sftp_call_begin_extended(x, SL_EXT_LSETSTAT);
  sl_sftp_put_string(&w, path, len);
  sl_sftp_put_attrs(&w, &a);
  return sl_sftp_call_send(L, x, &w, 4);
}

enum { OWNERS_MAX = 1000 };

static void check_ids(lua_State *L, int idx) {
  luaL_checktype(L, idx, LUA_TTABLE);
  luaL_argcheck(L, lua_rawlen(L, idx) <= OWNERS_MAX, idx, "at most 1000 numbers");
}

static void put_ids(lua_State *L, int idx, sl_sftp_writer *w) {
  int n = (int)lua_rawlen(L, idx);
  sl_sftp_put_u32(w, (uint32_t)n * 4);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, idx, i);
    sl_sftp_put_u32(w, (uint32_t)lua_tonumber(L, -1));
    lua_pop(L, 1);
  }
}

/* sftp:owners(uids, gids, done): done(nil, users, groups), lists of names, "" where there is none.
 */
static int l_owners(lua_State *L) {
  check_ids(L, 2);
  check_ids(L, 3);
  sl_sftp_call *x = sl_sftp_call_new(L, SL_ANSWER_OWNERS, 4, false);
  sl_sftp_writer w = sl_sftp_call_begin_extended(x, SL_EXT_USERS_GROUPS);
  put_ids(L, 2, &w);
  put_ids(L, 3, &w);
  return sl_sftp_call_send(L, x, &w, 4);
}

static const luaL_Reg path_verbs[] = {{"open", l_open},
                                      {"opendir", l_opendir},
                                      {"stat", l_stat},
                                      {"lstat", l_lstat},
                                      {"setstat", l_setstat},
                                      {"lsetstat", l_lsetstat},
                                      {"mkdir", l_mkdir},
                                      {"rmdir", l_rmdir},
                                      {"remove", l_remove},
                                      {"realpath", l_realpath},
                                      {"readlink", l_readlink},
                                      {"rename", l_rename},
                                      {"posix_rename", l_posix_rename},
                                      {"hardlink", l_hardlink},
                                      {"symlink", l_symlink},
                                      {"statvfs", l_statvfs},
                                      {"expand_path", l_expand_path},
                                      {"home_directory", l_home_directory},
                                      {"owners", l_owners},
                                      {NULL, NULL}};

const luaL_Reg *sl_sftp_path_verbs(void) {
  return path_verbs;
}
