/* Files by path, in libuv's thread pool: fs_open, fs_stat, fs_rename, ... each with a `done`. What
   has started in the pool cannot be stopped; it ends as a ghost, and a file it opened is closed.
   Knows paths; must not know what is in files. */
#include "loop/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/verbs.h"

enum { MAX_ENTRIES = 1000000 };

typedef struct fs_op {
  sl_op op;
  uv_fs_t req;
  sl_owned owned;
  const char *verb;
} fs_op;

/* Shared
 * ------------------------------------------------------------------------------------------------
 */

static const char *path_tail(const char *path, size_t max, const char **dots) {
  size_t len = strlen(path);
  *dots = len > max ? "..." : "";
  return len > max ? path + len - max : path;
}

int sl_fs_err(sl_err *e, int code, const char *verb, const char *path, const char *other) {
  char what[200];
  const char *dots, *dots2;
  if (other) {
    path = path_tail(path, 72, &dots);
    other = path_tail(other, 72, &dots2);
    snprintf(what, sizeof what, "cannot %s %s%s to %s%s", verb, dots, path, dots2, other);
  } else {
    path = path_tail(path ? path : "?", 150, &dots);
    snprintf(what, sizeof what, "cannot %s %s%s", verb, dots, path);
  }
  return sl_err_uv(e, SL_IO, code, what);
}

const char *sl_fs_path(lua_State *L, int idx) {
  size_t len;
  const char *path = luaL_checklstring(L, idx, &len);
  luaL_argcheck(L, strlen(path) == len, idx, "a path has no NUL bytes");
  return path;
}

const char *sl_fs_type_of_mode(uint64_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "fifo";
  case S_IFSOCK:
    return "socket";
  case S_IFCHR:
    return "char";
  case S_IFBLK:
    return "block";
  default:
    return "unknown";
  }
}

void sl_fs_push_integer(lua_State *L, uint64_t v) {
#if LUA_VERSION_NUM >= 503
  lua_pushinteger(L, (lua_Integer)v);
#else
  lua_pushnumber(L, (lua_Number)v);
#endif
}

void sl_fs_set_integer(lua_State *L, const char *field, uint64_t v) {
  sl_fs_push_integer(L, v);
  lua_setfield(L, -2, field);
}

void sl_fs_push_stat(lua_State *L, const uv_stat_t *st) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, sl_fs_type_of_mode(st->st_mode));
  lua_setfield(L, -2, "type");
  sl_fs_set_integer(L, "size", st->st_size);
  sl_fs_set_integer(L, "mode", st->st_mode & 07777);
  sl_fs_set_integer(L, "uid", st->st_uid);
  sl_fs_set_integer(L, "gid", st->st_gid);
  sl_fs_set_integer(L, "ino", st->st_ino);
  sl_fs_set_integer(L, "dev", st->st_dev);
  lua_pushnumber(L, (lua_Number)st->st_mtim.tv_sec + (lua_Number)st->st_mtim.tv_nsec / 1e9);
  lua_setfield(L, -2, "mtime");
}

/* Operations
 * -------------------------------------------------------------------------------------------- */

static bool fs_cancel(sl_op *op) {
  uv_cancel((uv_req_t *)&((fs_op *)op)->req);
  return false;
}

static void fs_clean(sl_op *op) {
  uv_fs_req_cleanup(&((fs_op *)op)->req);
}

static int push_stat(sl_op *op, lua_State *L) {
  sl_fs_push_stat(L, &((fs_op *)op)->req.statbuf);
  return 1;
}

static int push_target(sl_op *op, lua_State *L) {
  lua_pushstring(L, ((fs_op *)op)->req.ptr);
  return 1;
}

static int push_path(sl_op *op, lua_State *L) {
  lua_pushstring(L, ((fs_op *)op)->req.path);
  return 1;
}

static const char *type_of_entry(uv_dirent_type_t type) {
  switch (type) {
  case UV_DIRENT_FILE:
    return "file";
  case UV_DIRENT_DIR:
    return "directory";
  case UV_DIRENT_LINK:
    return "link";
  case UV_DIRENT_FIFO:
    return "fifo";
  case UV_DIRENT_SOCKET:
    return "socket";
  case UV_DIRENT_CHAR:
    return "char";
  case UV_DIRENT_BLOCK:
    return "block";
  default:
    return "unknown";
  }
}

static int push_entries(sl_op *op, lua_State *L) {
  fs_op *f = (fs_op *)op;
  uv_dirent_t entry;
  lua_createtable(L, (int)f->req.result, 0);
  for (int i = 1; uv_fs_scandir_next(&f->req, &entry) == 0; i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, entry.name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, type_of_entry(entry.type));
    lua_setfield(L, -2, "type");
    lua_rawseti(L, -2, i);
  }
  return 1;
}

static int push_file(sl_op *op, lua_State *L) {
  fs_op *f = (fs_op *)op;
  int fd = (int)f->req.result;
  f->req.result = -1;
  sl_file_push(L, op->loop, fd, f->req.path);
  return 1;
}

static void drop_file(sl_op *op) {
  fs_op *f = (fs_op *)op;
  if (f->req.result >= 0) close((int)f->req.result);
}

static void drop_directory(sl_op *op) {
  rmdir(((fs_op *)op)->req.path);
}

#define KIND(...)                                                                                  \
  { .cancel = fs_cancel, .clean = fs_clean, __VA_ARGS__ }
static const sl_op_kind none_kind = KIND(.name = "fs");
static const sl_op_kind stat_kind = KIND(.name = "fs_stat", .push = push_stat);
static const sl_op_kind target_kind = KIND(.name = "fs_link", .push = push_target);
static const sl_op_kind entries_kind = KIND(.name = "fs_readdir", .push = push_entries);
static const sl_op_kind file_kind = KIND(.name = "fs_open", .push = push_file, .drop = drop_file);
static const sl_op_kind mkdtemp_kind =
    KIND(.name = "fs_mkdtemp", .push = push_path, .drop = drop_directory);
#undef KIND

static void fs_failed(fs_op *f, int code) {
  sl_fs_err(&f->op.err, code, f->verb, f->req.path, f->req.new_path);
}

static void fs_done(uv_fs_t *req) {
  fs_op *f = req->data;
  sl_disown(&f->owned);
  if (req->result < 0)
    fs_failed(f, (int)req->result);
  else if (f->op.kind == &entries_kind && req->result > MAX_ENTRIES)
    sl_err_set(&f->op.err, SL_LIMIT, NULL, 0, "more than %d entries in a directory", MAX_ENTRIES);
  sl_op_finish(&f->op);
  sl_op_unpin(&f->op);
}

static void fs_shut(sl_owned *owned) {
  fs_op *f = (fs_op *)((char *)owned - offsetof(fs_op, owned));
  sl_disown(owned);
  f->op.abandoned = true;
  uv_cancel((uv_req_t *)&f->req);
}

/* Checks everything that raises, then makes and starts the operation; pushes its handle (+1). */
static fs_op *fs_new(lua_State *L, const sl_op_kind *kind, const char *verb, int done_idx) {
  sl_check_done(L, done_idx);
  sl_loop *loop = sl_loop_get(L);
  fs_op *f = sl_op_new(loop, kind, sizeof *f);
  if (!f) {
    luaL_error(L, "not enough memory");
    return NULL;
  }
  f->verb = verb;
  f->req.data = f;
  sl_op_start(L, &f->op, done_idx, 0);
  sl_op_pin(&f->op);
  sl_own(loop, &f->owned, fs_shut);
  return f;
}

/* The request is under way, unless rc says that libuv had no memory for it. */
static int fs_begun(fs_op *f, int rc) {
  if (rc >= 0) return 1;
  f->req.data = f;
  f->req.result = rc;
  fs_done(&f->req);
  return 1;
}

#define LOOP(f) (&(f)->op.loop->uv)

/* Verbs
 * -------------------------------------------------------------------------------------------------
 */

static int mode_check(lua_State *L, int idx) {
  lua_Integer mode = luaL_checkinteger(L, idx);
  luaL_argcheck(L, mode >= 0 && mode <= 07777, idx, "permission bits out of range");
  return (int)mode;
}

/* O_NONBLOCK: a FIFO without a peer must not keep a thread of the pool for ever. Files do not mind.
 */
static int flags_check(lua_State *L, int idx) {
  static const char *const names[] = {"r", "w", "wx", "a", "r+", "rn", "r+n", "dir", NULL};
  static const int flags[] = {O_RDONLY,
                              O_WRONLY | O_CREAT | O_TRUNC,
                              O_WRONLY | O_CREAT | O_EXCL,
                              O_WRONLY | O_CREAT | O_APPEND,
                              O_RDWR,
                              O_RDONLY | O_NOFOLLOW,
                              O_RDWR | O_NOFOLLOW,
                              O_RDONLY | O_NOFOLLOW | O_DIRECTORY};
  return flags[luaL_checkoption(L, idx, NULL, names)] | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
}

static int l_fs_open(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  int flags = flags_check(L, 2);
  int mode = lua_isnil(L, 3) ? 0666 : mode_check(L, 3);
  fs_op *f = fs_new(L, &file_kind, "open", 4);
  return fs_begun(f, uv_fs_open(LOOP(f), &f->req, path, flags, mode, fs_done));
}

static int l_fs_stat(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &stat_kind, "stat", 2);
  return fs_begun(f, uv_fs_stat(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_lstat(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &stat_kind, "stat", 2);
  return fs_begun(f, uv_fs_lstat(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_rename(lua_State *L) {
  const char *from = sl_fs_path(L, 1), *to = sl_fs_path(L, 2);
  fs_op *f = fs_new(L, &none_kind, "rename", 3);
  return fs_begun(f, uv_fs_rename(LOOP(f), &f->req, from, to, fs_done));
}

static int l_fs_unlink(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &none_kind, "remove", 2);
  return fs_begun(f, uv_fs_unlink(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_mkdir(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  int mode = mode_check(L, 2);
  fs_op *f = fs_new(L, &none_kind, "make directory", 3);
  return fs_begun(f, uv_fs_mkdir(LOOP(f), &f->req, path, mode, fs_done));
}

static int l_fs_rmdir(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &none_kind, "remove directory", 2);
  return fs_begun(f, uv_fs_rmdir(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_readdir(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &entries_kind, "list", 2);
  return fs_begun(f, uv_fs_scandir(LOOP(f), &f->req, path, 0, fs_done));
}

static int l_fs_mkdtemp(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &mkdtemp_kind, "make directory", 2);
  return fs_begun(f, uv_fs_mkdtemp(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_chmod(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  int mode = mode_check(L, 2);
  fs_op *f = fs_new(L, &none_kind, "change the mode of", 3);
  return fs_begun(f, uv_fs_chmod(LOOP(f), &f->req, path, mode, fs_done));
}

static int l_fs_realpath(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &target_kind, "resolve", 2);
  return fs_begun(f, uv_fs_realpath(LOOP(f), &f->req, path, fs_done));
}

static int l_fs_readlink(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  fs_op *f = fs_new(L, &target_kind, "read link", 2);
  return fs_begun(f, uv_fs_readlink(LOOP(f), &f->req, path, fs_done));
}

/* fs_symlink(target, path, done) */
static int l_fs_symlink(lua_State *L) {
  const char *target = sl_fs_path(L, 1), *path = sl_fs_path(L, 2);
  fs_op *f = fs_new(L, &none_kind, "link", 3);
  return fs_begun(f, uv_fs_symlink(LOOP(f), &f->req, target, path, 0, fs_done));
}

static int l_fs_utime(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  lua_Number atime = luaL_checknumber(L, 2), mtime = luaL_checknumber(L, 3);
  luaL_argcheck(L, atime > -1e11 && atime < 1e11, 2, "time out of range");
  luaL_argcheck(L, mtime > -1e11 && mtime < 1e11, 3, "time out of range");
  fs_op *f = fs_new(L, &none_kind, "set the times of", 4);
  return fs_begun(f, uv_fs_utime(LOOP(f), &f->req, path, atime, mtime, fs_done));
}

static const luaL_Reg fs_functions[] = {
    {"fs_open", l_fs_open},       {"fs_stat", l_fs_stat},         {"fs_lstat", l_fs_lstat},
    {"fs_rename", l_fs_rename},   {"fs_unlink", l_fs_unlink},     {"fs_mkdir", l_fs_mkdir},
    {"fs_rmdir", l_fs_rmdir},     {"fs_readdir", l_fs_readdir},   {"fs_mkdtemp", l_fs_mkdtemp},
    {"fs_chmod", l_fs_chmod},     {"fs_realpath", l_fs_realpath}, {"fs_readlink", l_fs_readlink},
    {"fs_symlink", l_fs_symlink}, {"fs_utime", l_fs_utime},       {NULL, NULL}};

void sl_fs_open(lua_State *L) {
  sl_file_open(L);
  luaL_setfuncs(L, fs_functions, 0);
  sl_fs_list_open(L);
  sl_fs_sync_open(L);
}
