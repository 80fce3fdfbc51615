/* A directory with what is known of its entries, in one visit to the thread pool: one lstat for
   each entry, without a way back to Lua in between. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/fs.h"
#include "loop/op.h"

enum { MAX_ENTRIES = 1000000 };

typedef struct entry {
  uv_stat_t st; /* only what sl_fs_push_stat reads */
  char *name;
} entry;

typedef struct list_op {
  sl_op op;
  uv_work_t work;
  char *path;
  entry *entries;
  size_t count, size;
  int error;
} list_op;

static bool add_entry(list_op *x, int dir, const char *name) {
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT; /* just removed */
  if (x->count == x->size) {
    size_t size = x->size ? x->size * 2 : 64;
    entry *more = realloc(x->entries, size * sizeof *more);
    if (!more) return false;
    x->entries = more;
    x->size = size;
  }
  entry *e = &x->entries[x->count];
  memset(e, 0, sizeof *e);
  e->name = strdup(name);
  if (!e->name) return false;
  e->st.st_mode = st.st_mode;
  e->st.st_size = (uint64_t)st.st_size;
  e->st.st_uid = st.st_uid;
  e->st.st_gid = st.st_gid;
  e->st.st_ino = st.st_ino;
  e->st.st_dev = st.st_dev;
  e->st.st_mtim.tv_sec = st.st_mtim.tv_sec;
  e->st.st_mtim.tv_nsec = st.st_mtim.tv_nsec;
  x->count++;
  return true;
}

static void list_work(uv_work_t *req) {
  list_op *x = req->data;
  DIR *dir = opendir(x->path);
  struct dirent *d;
  errno = 0;
  while (dir && x->count <= MAX_ENTRIES && (d = readdir(dir))) {
    bool dots = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0;
    if (!dots && !add_entry(x, dirfd(dir), d->d_name)) break;
    errno = 0;
  }
  x->error = errno;
  if (dir) closedir(dir);
}

static void list_done(uv_work_t *req, int status) {
  list_op *x = req->data;
  int code = status ? status : uv_translate_sys_error(x->error);
  if (code)
    sl_fs_err(&x->op.err, code, "list", x->path, NULL);
  else if (x->count > MAX_ENTRIES)
    sl_err_set(&x->op.err, SL_LIMIT, NULL, 0, "more than %d entries in a directory", MAX_ENTRIES);
  sl_op_finish(&x->op);
  sl_op_unpin(&x->op);
}

static int list_push(sl_op *op, lua_State *L) {
  const list_op *x = (list_op *)op;
  lua_createtable(L, (int)x->count, 0);
  for (size_t i = 0; i < x->count; i++) {
    sl_fs_push_stat(L, &x->entries[i].st);
    lua_pushstring(L, x->entries[i].name);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static bool list_cancel(sl_op *op) {
  uv_cancel((uv_req_t *)&((list_op *)op)->work);
  return false;
}

static void list_clean(sl_op *op) {
  list_op *x = (list_op *)op;
  for (size_t i = 0; i < x->count; i++) free(x->entries[i].name);
  free(x->entries);
  free(x->path);
}

static const sl_op_kind list_kind = {
    .name = "fs_list", .push = list_push, .cancel = list_cancel, .clean = list_clean};

/* fs_list(path, done): done(nil, { { name=, and what fs_lstat says }, ... }) */
static int l_fs_list(lua_State *L) {
  const char *path = sl_fs_path(L, 1);
  sl_check_done(L, 2);
  list_op *x = sl_op_new(sl_loop_get(L), &list_kind, sizeof *x);
  if (!x || !(x->path = strdup(path))) {
    if (x) sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  x->work.data = x;
  sl_op_start(L, &x->op, 2, 0);
  sl_op_pin(&x->op);
  uv_queue_work(&x->op.loop->uv, &x->work, list_work, list_done);
  return 1;
}

static const luaL_Reg list_functions[] = {{"fs_list", l_fs_list}, {NULL, NULL}};

void sl_fs_list_open(lua_State *L) {
  luaL_setfuncs(L, list_functions, 0);
}
