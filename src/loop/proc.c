/* spawn({args=, env=, cwd=, stdin=, stdout=, stderr=, detached=, uid=, gid=}[, done]) -> proc, or
   nil, error. Knows processes and their standard streams; must not know what is run.

   Standard streams: "pipe" is a pipe(2) and not a socket pair, so that a child can open /dev/stdin.
   stdin is "null" unless told, stdout and stderr are inherited. env is the whole environment of the
   child, a list of "K=V"; without it ours is inherited. `done` is a first wait().

   A proc that is collected while the child runs sends nothing: libuv reaps the child through a
   handle that lives as long as the child. Only while somebody waits does a child keep the loop
   running.

   Making the first pipe sets SIGPIPE to be ignored if it has its default action: write(2) to a pipe
   has no MSG_NOSIGNAL, and a child that stops reading must not end this process. Children get the
   default again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "loop/op.h"
#include "loop/signame.h"
#include "loop/socket.h"
#include "loop/verbs.h"

#define PROC_CLASS "sshlua.proc"

enum { STREAMS = 3, MAX_WORDS = 1 << 16 };

typedef struct sl_proc {
  uv_process_t handle;
  sl_loop *loop;
  sl_owned owned;
  void **box;        /* NULL: collected */
  bool open, exited; /* the handle is not closed yet; the child is gone */
  int64_t status;
  int signum, pid;
  int child[STREAMS]; /* the child's pipe ends, until it has them; -1: none */
  sl_op *waiters, **waiters_tail;
} sl_proc;

typedef struct wait_op {
  sl_op op;
  sl_proc *proc;
  int64_t status;
  int signum;
} wait_op;

static void proc_close_child_ends(sl_proc *p) {
  for (int i = 0; i < STREAMS; i++) {
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

/* Pushes an array of the strings in the list at the top, which anchors them, and removes nothing
 * (+1). */
static char **words_array(lua_State *L, const char *field, bool assignments) {
  if (lua_type(L, -1) != LUA_TTABLE)
    luaL_error(L, "option '%s': list of strings expected, got %s", field, luaL_typename(L, -1));
  size_t n = lua_rawlen(L, -1);
  if (n > MAX_WORDS) luaL_error(L, "option '%s': too many words", field);
  char **array = lua_newuserdata(L, (n + 1) * sizeof *array); /* [list, array] */
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING && !(assignments && sl_is_secret(L, -1)))
      luaL_error(L, "option '%s': item %d: string expected, got %s", field, (int)i + 1,
                 luaL_typename(L, -1));
    size_t len;
    const char *word = sl_check_bytes(L, lua_gettop(L), &len);
    if (strlen(word) != len)
      luaL_error(L, "option '%s': item %d has a NUL byte", field, (int)i + 1);
    if (assignments && !strchr(word, '='))
      luaL_error(L, "option '%s': item %d is not NAME=VALUE", field, (int)i + 1);
    array[i] = (char *)(uintptr_t)word; /* libuv's options want char *, and do not write */
    lua_pop(L, 1);
  }
  array[n] = NULL;
  return array;
}

/* Makes the pipe of stream i; our end becomes a socket object in the table of streams. */
static int pipe_make(lua_State *L, sl_proc *p, int i, int streams_idx) {
  int fds[2];
  sl_sigpipe_ignore();
  if (pipe2(fds, O_CLOEXEC) != 0) return -errno;
  int ours = i == 0 ? fds[1] : fds[0];
  p->child[i] = i == 0 ? fds[0] : fds[1];
  fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
  sl_socket_push(L, ours, SL_SOCKET_PIPE);
  lua_rawseti(L, streams_idx, i + 1);
  return 0;
}

/* The fd() of the userdata at the top. */
static int stream_fd_of(lua_State *L, const char *field) {
  if (luaL_getmetafield(L, -1, "__index") == 0)
    luaL_error(L, "option '%s': the userdata has no method fd", field);
  lua_pop(L, 1);
  lua_getfield(L, -1, "fd");
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) != LUA_TNUMBER || lua_tointeger(L, -1) < 0)
    luaL_error(L, "option '%s': its method fd gave no descriptor", field);
  int fd = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return fd;
}

/* Fills the container of stream i. 0, or a negative code when a pipe cannot be made. */
static int stream_set_up(lua_State *L, sl_proc *p, int i, uv_stdio_container_t *c,
                         int streams_idx) {
  static const char *const fields[STREAMS] = {"stdin", "stdout", "stderr"};
  static const char *const words[] = {"null", "inherit", "pipe", NULL};
  lua_getfield(L, 1, fields[i]);
  int type = lua_type(L, -1), rc = 0;
  c->flags = UV_INHERIT_FD;
  c->data.fd = i;
  if (type == LUA_TNIL) {
    if (i == 0) c->flags = UV_IGNORE;
  } else if (type == LUA_TNUMBER) {
    lua_Integer fd = lua_tointeger(L, -1);
    if (fd < 0 || fd > (1 << 24)) luaL_error(L, "option '%s': bad descriptor", fields[i]);
    c->data.fd = (int)fd;
  } else if (type == LUA_TUSERDATA) {
    c->data.fd = stream_fd_of(L, fields[i]);
  } else if (type == LUA_TSTRING) {
    int w = 0;
    while (words[w] && strcmp(words[w], lua_tostring(L, -1)) != 0) w++;
    if (!words[w]) luaL_error(L, "option '%s': no such kind of stream", fields[i]);
    if (w == 0) c->flags = UV_IGNORE;
    if (w == 2) rc = pipe_make(L, p, i, streams_idx);
    if (w == 2 && rc == 0) c->data.fd = p->child[i];
  } else {
    luaL_error(L, "option '%s': got %s", fields[i], lua_typename(L, type));
  }
  lua_pop(L, 1);
  return rc;
}

static bool id_option(lua_State *L, const char *field, unsigned *id) {
  lua_Number v = sl_opt_number(L, 1, field, -1);
  if (v == -1) return false;
  if (!(v >= 0 && v < 0xffffffff)) luaL_error(L, "option '%s': out of range", field);
  *id = (unsigned)v;
  return true;
}

static void close_streams(lua_State *L, int streams_idx) {
  for (int i = 1; i <= STREAMS; i++) {
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

static const char *cwd_option(lua_State *L) {
  const char *cwd = sl_opt_string(L, 1, "cwd", NULL);
  lua_getfield(L, 1, "cwd");
  if (cwd && strlen(cwd) != lua_rawlen(L, -1)) luaL_error(L, "option 'cwd' has a NUL byte");
  return cwd;
}

static void spawn_options(lua_State *L, uv_process_options_t *o) {
  lua_getfield(L, 1, "args");
  o->args = words_array(L, "args", false);
  o->file = o->args[0];
  if (!o->file || !*o->file) luaL_error(L, "option 'args': no program");
  lua_getfield(L, 1, "env");
  if (!lua_isnil(L, -1)) o->env = words_array(L, "env", true);
  o->cwd = cwd_option(L);
  if (sl_opt_boolean(L, 1, "detached", false)) o->flags |= UV_PROCESS_DETACHED;
  unsigned id = 0;
  if (id_option(L, "uid", &id)) o->flags |= UV_PROCESS_SETUID, o->uid = id;
  if (id_option(L, "gid", &id)) o->flags |= UV_PROCESS_SETGID, o->gid = id;
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
  lua_createtable(L, STREAMS, 0);
  lua_pushvalue(L, STREAMS_TABLE);
  lua_setuservalue(L, BOX);

  uv_stdio_container_t stdio[STREAMS] = {{0}};
  uv_process_options_t o = {.exit_cb = proc_exited, .stdio = stdio, .stdio_count = STREAMS};
  spawn_options(L, &o);
  int rc = 0;
  for (int i = 0; i < STREAMS && rc == 0; i++)
    rc = stream_set_up(L, p, i, &stdio[i], STREAMS_TABLE);
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
