/* File objects: read, write, fsync, stat, close in libuv's thread pool. A file is a lane of
   operations, one at a time and in the order they were asked for, so that writes without an offset
   cannot overtake each other and a descriptor is never closed under a thread that uses it. Must not
   know how files are named. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/fs.h"
#include "loop/op.h"
#include "loop/signame.h"
#include "loop/watch.h"

#define FILE_CLASS "sshlua.file"

enum { READ_MAX = 16 << 20, WRITE_CHUNK = 16 << 20 };

typedef enum file_what {
  FILE_READ,
  FILE_WRITE,
  FILE_FSYNC,
  FILE_STAT,
  FILE_CLOSE,
  FILE_TRUNCATE
} file_what;

typedef struct file_op file_op;

typedef struct sl_file {
  sl_loop *loop;
  sl_owned owned;
  void **box; /* NULL: closed for Lua, or collected; goes when its lane is empty */
  int fd;
  sl_op *queue, **queue_tail;
  file_op *active;
  sl_watch *watch; /* a FIFO or terminal that is not ready: on a duplicate of fd */
  char path[];
} sl_file;

struct file_op {
  sl_op op;
  uv_fs_t req;
  sl_file *file;
  file_what what;
  bool in_pool;     /* the request is with a thread */
  char *buf;        /* read */
  const char *data; /* write: anchored by keep_ref */
  size_t len, done;
  int64_t offset; /* -1: the file's own; truncate: the size */
};

static void file_next(sl_file *f);
static void file_submit(file_op *x);

/* Life of a file
 * ---------------------------------------------------------------------------------------- */

static void file_free_if_unused(sl_file *f) {
  if (f->box || f->active || f->queue) return;
  sl_disown(&f->owned);
  if (f->fd >= 0) close(f->fd);
  free(f);
}

static void file_detach(sl_file *f) {
  if (f->box) *f->box = NULL;
  f->box = NULL;
}

static void file_unwatch(sl_file *f) {
  if (f->watch) sl_watch_close(f->watch);
  f->watch = NULL;
}

static void file_shut(sl_owned *owned) {
  sl_file *f = (sl_file *)((char *)owned - offsetof(sl_file, owned));
  sl_disown(owned);
  file_detach(f);
  while (f->queue) {
    sl_op *op = f->queue;
    sl_op_unlink(&f->queue, &f->queue_tail, op);
    sl_op_release(op);
  }
  if (f->active && f->active->in_pool) {
    f->active->op.abandoned = true;
  } else if (f->active) {
    file_unwatch(f);
    sl_op_release(&f->active->op);
    f->active = NULL;
  }
  file_free_if_unused(f);
}

void sl_file_push(lua_State *L, sl_loop *loop, int fd, const char *path) {
  void **box = sl_box_new(L, FILE_CLASS);
  size_t size = strlen(path) + 1;
  sl_file *f = calloc(1, sizeof *f + size);
  if (!f) {
    close(fd);
    luaL_error(L, "not enough memory");
    return;
  }
  f->loop = loop;
  f->fd = fd;
  f->box = box;
  memcpy(f->path, path, size);
  struct stat st;
  if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) sl_sigpipe_ignore();
  sl_own(loop, &f->owned, file_shut);
  *box = f;
}

static int l_file_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  sl_file *f = *box;
  if (!f) return 0;
  file_detach(f);
  file_free_if_unused(f);
  return 0;
}

/* Operations
 * -------------------------------------------------------------------------------------------- */

static bool file_cancel(sl_op *op) {
  file_op *x = (file_op *)op;
  sl_file *f = x->file;
  if (x->in_pool) {
    uv_cancel((uv_req_t *)&x->req);
    return false;
  }
  if (f->active == x) { /* it waits for the descriptor */
    file_unwatch(f);
    f->active = NULL;
    file_next(f);
  } else {
    sl_op_unlink(&f->queue, &f->queue_tail, op);
  }
  return true;
}

static void file_clean(sl_op *op) {
  file_op *x = (file_op *)op;
  free(x->buf);
  x->buf = NULL;
}

static int read_push(sl_op *op, lua_State *L) {
  file_op *x = (file_op *)op;
  if (x->done == 0)
    lua_pushnil(L);
  else
    lua_pushlstring(L, x->buf, x->done);
  return 1;
}

static int stat_push(sl_op *op, lua_State *L) {
  sl_fs_push_stat(L, &((file_op *)op)->req.statbuf);
  return 1;
}

static const sl_op_kind file_kinds[] = {
    [FILE_READ] = {"read", .push = read_push, .cancel = file_cancel, .clean = file_clean},
    [FILE_WRITE] = {"write", .cancel = file_cancel, .clean = file_clean},
    [FILE_FSYNC] = {"sync", .cancel = file_cancel, .clean = file_clean},
    [FILE_STAT] = {"stat", .push = stat_push, .cancel = file_cancel, .clean = file_clean},
    [FILE_CLOSE] = {"close", .cancel = file_cancel, .clean = file_clean},
    [FILE_TRUNCATE] = {"cut", .cancel = file_cancel, .clean = file_clean},
};

static void file_finish(file_op *x, int code) {
  sl_file *f = x->file;
  if (code < 0) sl_fs_err(&x->op.err, code, x->op.kind->name, f->path, NULL);
  f->active = NULL;
  sl_op_finish(&x->op);
  file_next(f);
}

static void file_ready(sl_watch *w, int events) {
  (void)events;
  sl_file *f = w->owner;
  file_unwatch(f);
  file_submit(f->active);
}

/* Files opened here do not block, so a FIFO or a terminal can say "not yet". */
static void file_wait(file_op *x) {
  sl_file *f = x->file;
  int fd = dup(f->fd);
  if (fd >= 0) f->watch = sl_fd_prepare(fd) == 0 ? sl_watch_new(f->loop, fd) : NULL;
  if (!f->watch) {
    if (fd >= 0) close(fd);
    file_finish(x, UV_EAGAIN);
    return;
  }
  f->watch->owner = f;
  f->watch->ready = file_ready;
  sl_watch_want(f->watch, x->what == FILE_READ ? UV_READABLE : UV_WRITABLE);
}

static void file_wrote(file_op *x, ssize_t n) {
  x->done += (size_t)n;
  if (x->done == x->len || x->op.abandoned) {
    file_finish(x, 0);
  } else if (n == 0) {
    file_finish(x, UV_EIO);
  } else {
    if (x->offset >= 0) x->offset += n;
    file_submit(x);
  }
}

static void file_done(uv_fs_t *req) {
  file_op *x = req->data;
  ssize_t n = req->result;
  x->in_pool = false;
  uv_fs_req_cleanup(req); /* leaves the statbuf */
  if (x->what == FILE_CLOSE && n != UV_ECANCELED)
    x->file->fd = -1; /* gone, whatever close(2) said */
  if (n == UV_EAGAIN && !x->op.abandoned) {
    file_wait(x);
  } else if (n >= 0 && x->what == FILE_WRITE) {
    file_wrote(x, n);
  } else {
    if (n > 0 && x->what == FILE_READ) x->done = (size_t)n;
    file_finish(x, n < 0 ? (int)n : 0);
  }
  sl_op_unpin(&x->op);
}

static int file_request(file_op *x) {
  uv_loop_t *uv = &x->file->loop->uv;
  int fd = x->file->fd;
  uv_buf_t buf;
  switch (x->what) {
  case FILE_READ:
    buf = uv_buf_init(x->buf, (unsigned)x->len);
    return uv_fs_read(uv, &x->req, fd, &buf, 1, x->offset, file_done);
  case FILE_WRITE: {
    size_t left = x->len - x->done;
    buf = uv_buf_init((char *)(uintptr_t)(x->data + x->done),
                      (unsigned)(left > WRITE_CHUNK ? WRITE_CHUNK : left));
    return uv_fs_write(uv, &x->req, fd, &buf, 1, x->offset, file_done);
  }
  case FILE_FSYNC:
    return uv_fs_fsync(uv, &x->req, fd, file_done);
  case FILE_STAT:
    return uv_fs_fstat(uv, &x->req, fd, file_done);
  case FILE_CLOSE:
    return uv_fs_close(uv, &x->req, fd, file_done);
  case FILE_TRUNCATE:
    return uv_fs_ftruncate(uv, &x->req, fd, x->offset, file_done);
  }
  return UV_EINVAL;
}

static void file_submit(file_op *x) {
  sl_op_pin(&x->op);
  x->in_pool = true;
  int rc = file_request(x);
  x->req.data = x;
  if (rc >= 0) return;
  x->in_pool = false;
  file_finish(x, rc);
  sl_op_unpin(&x->op);
}

static void file_next(sl_file *f) {
  if (f->active) return;
  if (!f->queue) {
    file_free_if_unused(f);
    return;
  }
  file_op *x = (file_op *)f->queue;
  sl_op_unlink(&f->queue, &f->queue_tail, &x->op);
  f->active = x;
  file_submit(x);
}

/* Verbs
 * -------------------------------------------------------------------------------------------------
 */

static file_op *file_op_new(lua_State *L, sl_loop *loop, file_what what) {
  file_op *x = sl_op_new(loop, &file_kinds[what], sizeof *x);
  if (!x) luaL_error(L, "not enough memory");
  x->what = what;
  x->offset = -1;
  return x;
}

/* Pushes the handle, and starts the operation when its turn comes (+1). */
static int file_queue(lua_State *L, sl_file *f, file_op *x, int done_idx, int keep_idx) {
  x->file = f;
  sl_op_start(L, &x->op, done_idx, keep_idx);
  sl_op_append(&f->queue, &f->queue_tail, &x->op);
  file_next(f);
  return 1;
}

static int64_t offset_check(lua_State *L, int idx) {
  lua_Number offset = luaL_checknumber(L, idx);
  luaL_argcheck(L, offset >= -1 && offset <= 9007199254740992.0, idx, "offset out of range");
  return (int64_t)offset;
}

/* file:read(max, offset, done): done(nil, bytes), or done(nil, nil) at the end. offset -1: go on.
 */
static int l_file_read(lua_State *L) {
  sl_file *f = sl_box_check(L, 1, FILE_CLASS);
  lua_Integer max = luaL_checkinteger(L, 2);
  int64_t offset = offset_check(L, 3);
  sl_check_done(L, 4);
  luaL_argcheck(L, max > 0, 2, "a positive size expected");
  file_op *x = file_op_new(L, f->loop, FILE_READ);
  x->offset = offset;
  x->len = max > READ_MAX ? READ_MAX : (size_t)max;
  x->buf = malloc(x->len);
  if (!x->buf) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  return file_queue(L, f, x, 4, 1);
}

/* file:write(bytes, offset, done): done(nil) when all of it is written. */
static int l_file_write(lua_State *L) {
  sl_file *f = sl_box_check(L, 1, FILE_CLASS);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  int64_t offset = offset_check(L, 3);
  sl_check_done(L, 4);
  file_op *x = file_op_new(L, f->loop, FILE_WRITE);
  x->offset = offset;
  x->data = data;
  x->len = len;
  return file_queue(L, f, x, 4, 2);
}

static int file_simple(lua_State *L, file_what what) {
  sl_file *f = sl_box_check(L, 1, FILE_CLASS);
  sl_check_done(L, 2);
  return file_queue(L, f, file_op_new(L, f->loop, what), 2, 1);
}

static int l_file_fsync(lua_State *L) {
  return file_simple(L, FILE_FSYNC);
}
static int l_file_stat(lua_State *L) {
  return file_simple(L, FILE_STAT);
}

static int l_file_truncate(lua_State *L) {
  sl_file *f = sl_box_check(L, 1, FILE_CLASS);
  lua_Number size = luaL_checknumber(L, 2);
  luaL_argcheck(L, size >= 0 && size <= 9007199254740992.0, 2, "out of range");
  sl_check_done(L, 3);
  file_op *x = file_op_new(L, f->loop, FILE_TRUNCATE);
  x->offset = (int64_t)size;
  return file_queue(L, f, x, 3, 1);
}

/* file:close(done): after what was asked for before. Closing twice is fine. */
static int l_file_close(lua_State *L) {
  sl_file *f = sl_box_peek(L, 1, FILE_CLASS);
  sl_check_done(L, 2);
  file_op *x = file_op_new(L, f ? f->loop : sl_loop_get(L), FILE_CLOSE);
  if (!f) {
    sl_op_start(L, &x->op, 2, 0);
    sl_op_finish(&x->op);
    return 1;
  }
  file_queue(L, f, x, 2, 0);
  file_detach(f);
  file_free_if_unused(f);
  return 1;
}

static int l_file_fd(lua_State *L) {
  lua_pushinteger(L, ((sl_file *)sl_box_check(L, 1, FILE_CLASS))->fd);
  return 1;
}

static const luaL_Reg file_methods[] = {{"read", l_file_read},         {"write", l_file_write},
                                        {"fsync", l_file_fsync},       {"stat", l_file_stat},
                                        {"close", l_file_close},       {"fd", l_file_fd},
                                        {"truncate", l_file_truncate}, {NULL, NULL}};
static const luaL_Reg file_meta[] = {{"__gc", l_file_gc}, {NULL, NULL}};

void sl_file_open(lua_State *L) {
  sl_class(L, FILE_CLASS, file_methods, file_meta);
}
