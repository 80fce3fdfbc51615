/* Files without a loop, for code that starts up or ends: each verb returns its result (true when
   there is none), or nil and an error. They block for as long as a local file system does, and are
   not for anything else. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/fs.h"

/* Each level of a tree that is removed holds one descriptor. */
enum { MAX_DEPTH = 128 };

static int sync_failed(lua_State *L, int code, const char *verb, const char *path) {
  sl_err err = {0};
  sl_fs_err(&err, code, verb, path, NULL);
  lua_pushnil(L);
  sl_push_err(L, &err);
  return 2;
}

static int sync_result(lua_State *L, int rc, const char *verb, const char *path) {
  if (rc != 0) return sync_failed(L, -errno, verb, path);
  lua_pushboolean(L, 1);
  return 1;
}

static mode_t mode_check(lua_State *L, int idx) {
  lua_Integer mode = luaL_checkinteger(L, idx);
  luaL_argcheck(L, mode >= 0 && mode <= 07777, idx, "permission bits out of range");
  return (mode_t)mode;
}

static int l_fs_stat_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  uv_fs_t req;
  int rc = uv_fs_stat(NULL, &req, path, NULL);
  uv_stat_t st = req.statbuf;
  uv_fs_req_cleanup(&req);
  if (rc < 0) return sync_failed(L, rc, "stat", path);
  sl_fs_push_stat(L, &st);
  return 1;
}

static int l_fs_mkdtemp_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  size_t size = strlen(path) + 1;
  char *name = lua_newuserdata(L, size);
  memcpy(name, path, size);
  if (!mkdtemp(name)) return sync_failed(L, -errno, "make directory", path);
  lua_pushstring(L, name);
  return 1;
}

static int l_fs_mkdir_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  return sync_result(L, mkdir(path, mode_check(L, 2)), "make directory", path);
}

static int l_fs_chmod_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  return sync_result(L, chmod(path, mode_check(L, 2)), "change the mode of", path);
}

static int write_all(int fd, const char *data, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, data, len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) return UV_EIO;
    data += n;
    len -= (size_t)n;
  }
  return 0;
}

/* fs_write_sync(path, text, mode): the mode is for a new file; an old one keeps its own. */
static int l_fs_write_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  mode_t mode = mode_check(L, 3);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
  if (fd < 0) return sync_failed(L, -errno, "open", path);
  int rc = write_all(fd, text, len);
  if (close(fd) != 0 && rc == 0) rc = -errno;
  if (rc != 0) return sync_failed(L, rc, "write", path);
  lua_pushboolean(L, 1);
  return 1;
}

/* Removing a tree
 * --------------------------------------------------------------------------------------- */

static int tree_remove(int parent, const char *name, int depth);

static bool is_dots(const char *name) {
  return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes what is in the directory; goes on after a failure and returns the first. */
static int tree_empty(DIR *dir, int depth) {
  int first = 0;
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (!entry) return first ? first : -errno;
    if (is_dots(entry->d_name)) continue;
    int rc = 0;
    if (unlinkat(dirfd(dir), entry->d_name, 0) != 0) {
      rc = -errno;
      /* Linux says EISDIR for a directory, POSIX EPERM. */
      if (rc == UV_EISDIR || rc == UV_EPERM) {
        int tree = tree_remove(dirfd(dir), entry->d_name, depth + 1);
        if (tree != UV_ENOTDIR) rc = tree;
      }
    }
    if (rc != 0 && rc != UV_ENOENT && first == 0) first = rc;
  }
}

/* Opened without following a link and emptied through the descriptor: whoever swaps a directory for
   a link meanwhile gets nothing outside the tree removed. */
static int tree_remove(int parent, const char *name, int depth) {
  if (depth > MAX_DEPTH) return UV_ELOOP;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -errno;
  DIR *dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return UV_ENOMEM;
  }
  int rc = tree_empty(dir, depth);
  closedir(dir);
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && rc == 0) rc = -errno;
  return rc;
}

static int l_fs_rmtree_sync(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  int rc = tree_remove(AT_FDCWD, path, 0);
  if (rc != 0) return sync_failed(L, rc, "remove tree", path);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg sync_functions[] = {{"fs_stat_sync", l_fs_stat_sync},
                                          {"fs_mkdtemp_sync", l_fs_mkdtemp_sync},
                                          {"fs_mkdir_sync", l_fs_mkdir_sync},
                                          {"fs_chmod_sync", l_fs_chmod_sync},
                                          {"fs_write_sync", l_fs_write_sync},
                                          {"fs_rmtree_sync", l_fs_rmtree_sync},
                                          {NULL, NULL}};

void sl_fs_sync_open(lua_State *L) {
  luaL_setfuncs(L, sync_functions, 0);
}
