/* spawn({args=, env=, cwd=, stdin=, stdout=, stderr=, detached=, uid=, gid=}[, done]) -> proc, or
   nil, error. Knows processes and their standard streams; must not know what is run.

   Standard streams: "pipe" is a pipe(2) and not a socket pair, so that a child can open /dev/stdin.
   stdin is "null" unless told, stdout and stderr are inherited. env is the whole environment of the
   child, a list of "K=V"; without it ours is inherited. `done` is a first wait().

   A proc that is collected while the child runs sends nothing: libuv reaps the child through a
   handle that lives as long as the child. Only while somebody waits does a child keep the loop
   running. */
#include <stdlib.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/proc_options.h"
#include "loop/signame.h"
#include "loop/verbs.h"

#define PROC_CLASS "sshlua.proc"

typedef struct sl_proc {
  uv_process_t handle;
  sl_loop *loop;
  sl_owned owned;
  void **box;        /* NULL: collected */
  bool open, exited; /* the handle is not closed yet; the child is gone */
  int64_t status;
  int signum, pid;
  int child[SL_STREAMS]; /* the child's pipe ends, until it has them; -1: none */
  sl_op *waiters, **waiters_tail;
} sl_proc;

typedef struct wait_op {
  sl_op op;
  sl_proc *proc;
  int64_t status;
  int signum;
} wait_op;

static void proc_close_child_ends(sl_proc *p) {
  for (int i = 0; i < SL_STREAMS; i++) {
    if (p->child[i] >= 0) close(p->child[i]);
    p->child[i] = -1;
  }
}

static void proc_free_if_unused(sl_proc *p) {
  if (!p->box && !p->open) free(p);
}

static void proc_closed(uv_handle_t *h) {
  sl_proc *p = h->data;
  p->open = false;
  proc_free_if_unused(p);
}

static void proc_close_handle(sl_proc *p) {
  sl_disown(&p->owned);
  if (p->open && !uv_is_closing((uv_handle_t *)&p->handle))
    uv_close((uv_handle_t *)&p->handle, proc_closed);
}

static void proc_detach(sl_proc *p) {
  *p->box = NULL;
  p->box = NULL;
}

static void proc_shut(sl_owned *owned) {
  sl_proc *p = (sl_proc *)((char *)owned - offsetof(sl_proc, owned));
  while (p->waiters) {
    sl_op *op = p->waiters;
    sl_op_unlink(&p->waiters, &p->waiters_tail, op);
    sl_op_release(op);
  }
  if (p->box) proc_detach(p);
  proc_close_handle(p);
}

static void wait_finish(wait_op *w) {
  w->status = w->proc->status;
  w->signum = w->proc->signum;
  w->proc = NULL;
  sl_op_finish(&w->op);
}

static void proc_exited(uv_process_t *handle, int64_t status, int signum) {
  sl_proc *p = handle->data;
  p->exited = true;
  p->status = status;
  p->signum = signum;
  while (p->waiters) {
    sl_op *op = p->waiters;
    sl_op_unlink(&p->waiters, &p->waiters_tail, op);
    wait_finish((wait_op *)op);
  }
  proc_close_handle(p);
}

static int wait_push(sl_op *op, lua_State *L) {
  const wait_op *w = (const wait_op *)op;
  if (w->signum == 0) {
    lua_pushinteger(L, (lua_Integer)w->status);
    return 1;
  }
  lua_pushnil(L);
  sl_signal_push(L, w->signum);
  return 2;
}

static bool wait_cancel(sl_op *op) {
  sl_proc *p = ((wait_op *)op)->proc;
  sl_op_unlink(&p->waiters, &p->waiters_tail, op);
  if (!p->waiters) uv_unref((uv_handle_t *)&p->handle);
  return true;
}

static const sl_op_kind wait_kind = {.name = "wait", .push = wait_push, .cancel = wait_cancel};

/* Starts a wait for the proc at proc_idx, which the operation keeps from being collected (+1). */
static int proc_wait(lua_State *L, int proc_idx, int done_idx) {
  sl_proc *p = sl_box_check(L, proc_idx, PROC_CLASS);
  wait_op *w = sl_op_new(p->loop, &wait_kind, sizeof *w);
  if (!w) return luaL_error(L, "not enough memory");
  w->proc = p;
  sl_op_start(L, &w->op, done_idx, proc_idx);
  if (p->exited) {
    wait_finish(w);
    return 1;
  }
  uv_ref((uv_handle_t *)&p->handle);
  sl_op_append(&p->waiters, &p->waiters_tail, &w->op);
  return 1;
}

static int l_proc_wait(lua_State *L) {
  sl_check_done(L, 2);
  return proc_wait(L, 1, 2);
}

/* kill(signal) -> true when sent, false when the child is gone; or nil, error. */
static int l_proc_kill(lua_State *L) {
  sl_proc *p = sl_box_check(L, 1, PROC_CLASS);
  int signum = sl_signal_check(L, 2);
  /* The number of a reaped child may be another process's by now. */
  int rc = p->exited ? UV_ESRCH : uv_process_kill(&p->handle, signum);
  if (rc == 0 || rc == UV_ESRCH) {
    lua_pushboolean(L, rc == 0);
    return 1;
  }
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, rc, "cannot signal the process");
  lua_pushnil(L);
  sl_push_err(L, &err);
  return 2;
}

static int l_proc_pid(lua_State *L) {
  lua_pushinteger(L, ((sl_proc *)sl_box_check(L, 1, PROC_CLASS))->pid);
  return 1;
}

static int proc_stream(lua_State *L, int i) {
  (void)sl_box_check(L, 1, PROC_CLASS);
  lua_getuservalue(L, 1);
  lua_rawgeti(L, -1, i + 1);
  return 1;
}

static int l_proc_stdin(lua_State *L) {
  return proc_stream(L, 0);
}
static int l_proc_stdout(lua_State *L) {
  return proc_stream(L, 1);
}
static int l_proc_stderr(lua_State *L) {
  return proc_stream(L, 2);
}

static int l_proc_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  sl_proc *p = *box;
  if (!p) return 0;
  proc_detach(p);
  proc_close_child_ends(p); /* spawn raised half-way */
  proc_free_if_unused(p);
  return 0;
}

/* Starting
 * ---------------------------------------------------------------------------------------------- */

static void close_streams(lua_State *L, int streams_idx) {
  for (int i = 1; i <= SL_STREAMS; i++) {
    lua_rawgeti(L, streams_idx, i);
    if (lua_isnil(L, -1)) continue;
    lua_getfield(L, -1, "close");
    lua_insert(L, -2);
    lua_call(L, 1, 0);
  }
}

/* exec and chdir fail with the same codes, so both are named. */
static void describe_failure(sl_err *err, int rc, const uv_process_options_t *o) {
  char what[200];
  if (o->cwd)
    snprintf(what, sizeof what, "cannot start %.60s in %.100s", o->file, o->cwd);
  else
    snprintf(what, sizeof what, "cannot start %.150s", o->file);
  sl_err_uv(err, SL_IO, rc, what);
}

static int spawn_failed(lua_State *L, sl_proc *p, int rc, const uv_process_options_t *o,
                        int streams_idx) {
  sl_err err = {0};
  describe_failure(&err, rc, o);
  proc_detach(p);
  proc_close_handle(p);
  proc_free_if_unused(p);
  close_streams(L, streams_idx);
  lua_pushnil(L);
  sl_push_err(L, &err);
  return 2;
}

static int l_spawn(lua_State *L) {
  enum { DONE = 2, BOX, STREAMS_TABLE };
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, DONE);
  if (!lua_isnil(L, DONE)) sl_check_done(L, DONE);
  luaL_checkstack(L, 16, "spawn");
  sl_loop *loop = sl_loop_get(L);

  void **box = sl_box_new(L, PROC_CLASS);
  sl_proc *p = calloc(1, sizeof *p);
  if (!p) return luaL_error(L, "not enough memory");
  *p = (sl_proc){.loop = loop, .box = box, .child = {-1, -1, -1}};
  *box = p;
  lua_createtable(L, SL_STREAMS, 0);
  lua_pushvalue(L, STREAMS_TABLE);
  lua_setuservalue(L, BOX);

  uv_stdio_container_t stdio[SL_STREAMS] = {{0}};
  uv_process_options_t o = {.exit_cb = proc_exited, .stdio = stdio, .stdio_count = SL_STREAMS};
  sl_proc_options(L, &o);
  int rc = sl_proc_streams(L, stdio, p->child, STREAMS_TABLE);
  if (rc == 0) {
    rc = uv_spawn(&loop->uv, &p->handle, &o);
    p->handle.data = p;
    p->open = true; /* libuv wants the handle closed even when it could not start anything */
  }
  proc_close_child_ends(p);
  if (rc != 0) return spawn_failed(L, p, rc, &o, STREAMS_TABLE);

  p->pid = p->handle.pid;
  uv_unref((uv_handle_t *)&p->handle);
  sl_own(loop, &p->owned, proc_shut);
  if (!lua_isnil(L, DONE)) proc_wait(L, BOX, DONE);
  lua_settop(L, BOX);
  return 1;
}

static const luaL_Reg proc_functions[] = {{"spawn", l_spawn}, {NULL, NULL}};
static const luaL_Reg proc_methods[] = {{"wait", l_proc_wait},
                                        {"kill", l_proc_kill},
                                        {"pid", l_proc_pid},
                                        {"stdin", l_proc_stdin},
                                        {"stdout", l_proc_stdout},
                                        {"stderr", l_proc_stderr},
                                        {NULL, NULL}};
static const luaL_Reg proc_meta[] = {{"__gc", l_proc_gc}, {NULL, NULL}};

void sl_proc_open(lua_State *L) {
  sl_class(L, PROC_CLASS, proc_methods, proc_meta);
  luaL_setfuncs(L, proc_functions, 0);
}
