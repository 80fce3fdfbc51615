/* readable(fd, done): input for the interactive mode that comes in the loop's own time, so that
   sessions and timers go on while a person types. The line editor is editor.c's. */
#include "host/host.h"

#include <fcntl.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/watch.h"

/* A watch on a duplicate of fd. libuv makes it non-blocking, and with it the fd of everybody who
   has the same open file (a shell, our stdout): undone at once, for epoll and kqueue do not need
   it. NULL: fd cannot be watched. */
sl_watch *sl_watch_duplicate(sl_loop *loop, int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), flags = fcntl(fd, F_GETFL);
  if (copy < 0 || flags < 0) return NULL;
  sl_watch *w = sl_watch_new(loop, copy);
  fcntl(fd, F_SETFL, flags);
  if (!w) close(copy);
  return w;
}

/* readable(fd, done): done(nil) when a read would not block; at once when fd is a file.
 * -------------------------------------------------------------------------------------------- */

typedef struct readable_op {
  sl_op op;
  sl_watch *watch;
} readable_op;

static bool readable_cancel(sl_op *op) {
  (void)op;
  return true;
}

static void readable_clean(sl_op *op) {
  readable_op *r = (readable_op *)op;
  if (r->watch) sl_watch_close(r->watch);
  r->watch = NULL;
}

static const sl_op_kind readable_kind = {
    .name = "readable", .cancel = readable_cancel, .clean = readable_clean};

static void readable_ready(sl_watch *w, int events) {
  (void)events;
  readable_op *r = w->owner;
  sl_watch_want(w, 0);
  sl_op_finish(&r->op);
}

static int l_readable(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  sl_check_done(L, 2);
  sl_loop *loop = sl_loop_get(L);
  readable_op *r = sl_op_new(loop, &readable_kind, sizeof *r);
  if (!r) return luaL_error(L, "not enough memory");
  sl_op_start(L, &r->op, 2, 0);
  r->watch = sl_watch_duplicate(loop, fd);
  if (!r->watch) {
    sl_op_finish(&r->op);
    return 1;
  }
  r->watch->owner = r;
  r->watch->ready = readable_ready;
  sl_watch_want(r->watch, UV_READABLE);
  return 1;
}

static const luaL_Reg input_functions[] = {{"readable", l_readable}, {NULL, NULL}};

void sl_repl_open(lua_State *L) {
  luaL_setfuncs(L, input_functions, 0);
  sl_editor_open(L);
}
