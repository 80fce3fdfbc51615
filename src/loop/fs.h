/* What the three files of the file system share: failures that name the path, stat tables, file
 * objects. */
#ifndef SL_FS_H
#define SL_FS_H

#include <uv.h>

#include "loop/loop.h"

/* Fills *e with "cannot <verb> <path>[ to <other>]: ..."; long paths are cut at the front. Returns
 * -1. */
int sl_fs_err(sl_err *e, int code, const char *verb, const char *path, const char *other);

/* A path without NUL bytes; raises an argument error. */
const char *sl_fs_path(lua_State *L, int idx);

/* Pushes {type=, size=, mode=, mtime=, uid=, gid=, ino=, dev=} (+1). */
void sl_fs_push_stat(lua_State *L, const uv_stat_t *st);

/* "file", "directory", ... by the type bits. */
const char *sl_fs_type_of_mode(uint64_t mode);

/* Pushes a number that may be too large for an integer (+1); sets a field of the table on top to it. */
void sl_fs_push_integer(lua_State *L, uint64_t v);
void sl_fs_set_integer(lua_State *L, const char *field, uint64_t v);

/* Pushes a file object that owns fd; `path` is for messages (+1). Closes fd and raises without
 * memory. */
void sl_file_push(lua_State *L, sl_loop *loop, int fd, const char *path);

void sl_file_open(lua_State *L);    /* registers the class of file objects */
void sl_fs_list_open(lua_State *L); /* adds fs_list */
void sl_fs_sync_open(lua_State *L); /* adds the fs_*_sync verbs */

#endif
