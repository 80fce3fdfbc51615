/* signal(name, fn|nil): fn(name) is called from a turn of the loop whenever the signal came, until
   nil takes it away; several signals of one number between two turns are one call. A handler does
   not keep the loop running. When the last one goes, libuv gives the signal its default action.
   Also what a process knows of itself: pid, user, host name, umask,
   how many files it may have open. */
#include <errno.h>
#include <math.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/signame.h"
#include "loop/verbs.h"

#define CATCHER_CLASS "sshlua.signal"
#define CATCHERS_KEY "sshlua.signals" /* registry: [number] = the box of its catcher */

typedef struct catcher {
  uv_signal_t handle;
  sl_job job;
  sl_owned owned;
  sl_loop *loop;
  void **box;
  int fn_ref, signum;
} catcher;

static void catcher_closed(uv_handle_t *h) {
  free(h->data);
}

static void catcher_close(catcher *c) {
  *c->box = NULL;
  sl_job_remove(&c->job);
  sl_disown(&c->owned);
  sl_unref(c->loop->anchor, &c->fn_ref);
  uv_close((uv_handle_t *)&c->handle, catcher_closed);
}

static void catcher_shut(sl_owned *owned) {
  catcher_close((catcher *)((char *)owned - offsetof(catcher, owned)));
}

static void catcher_run(sl_job *job) {
  catcher *c = (catcher *)((char *)job - offsetof(catcher, job));
  lua_State *L = c->loop->L;
  luaL_checkstack(L, 8, "calling a signal handler");
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->fn_ref);
  sl_signal_push(L, c->signum);
  sl_call(L, 1); /* may close c */
}

static void catcher_caught(uv_signal_t *handle, int signum) {
  (void)signum;
  catcher *c = handle->data;
  sl_job_queue(c->loop, &c->job);
}

static int l_catcher_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  if (*box) catcher_close(*box);
  return 0;
}

/* The catcher of a signal, or NULL; pushes the table of boxes (+1). */
static catcher *catcher_find(lua_State *L, int signum) {
  lua_getfield(L, LUA_REGISTRYINDEX, CATCHERS_KEY);
  lua_rawgeti(L, -1, signum);
  void **box = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return box ? *box : NULL;
}

/* Makes a catcher in the table at the top. */
static void catcher_new(lua_State *L, int signum, int fn_idx) {
  sl_loop *loop = sl_loop_get(L);
  void **box = sl_box_new(L, CATCHER_CLASS); /* [table, box] */
  catcher *c = calloc(1, sizeof *c);
  if (!c) {
    luaL_error(L, "not enough memory");
    return;
  }
  c->loop = loop;
  c->signum = signum;
  c->job.run = catcher_run;
  c->fn_ref = LUA_NOREF;
  c->box = box;
  uv_signal_init(&loop->uv, &c->handle);
  c->handle.data = c;
  sl_own(loop, &c->owned, catcher_shut);
  *box = c;
  c->fn_ref = sl_ref(L, fn_idx);
  int rc = uv_signal_start(&c->handle, catcher_caught, signum);
  if (rc != 0) {
    catcher_close(c);
    luaL_error(L, "this signal cannot be caught: %s", uv_strerror(rc));
    return;
  }
  uv_unref((uv_handle_t *)&c->handle);
  lua_rawseti(L, -2, signum);
}

static int l_signal(lua_State *L) {
  int signum = sl_signal_check(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  catcher *c = catcher_find(L, signum);
  if (lua_isnil(L, 2)) {
    if (c) catcher_close(c);
  } else if (c) {
    int ref = sl_ref(L, 2);
    sl_unref(L, &c->fn_ref);
    c->fn_ref = ref;
  } else {
    catcher_new(L, signum, 2);
  }
  return 0;
}

/* kill(pid, signal) -> true, or nil, error */
static int l_kill(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  luaL_argcheck(L, pid >= -0x7fffffff && pid <= 0x7fffffff, 1, "no such process number");
  if (kill((pid_t)pid, sl_signal_check(L, 2)) == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, -errno, "cannot signal the process");
  lua_pushnil(L);
  sl_push_err(L, &err);
  return 2;
}

static int l_getpid(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

static void set_string(lua_State *L, const char *field, const char *value) {
  if (!value) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

/* user() -> {uid=, name=, home=, shell=}; only uid when the number has no entry. */
static int l_user(lua_State *L) {
  enum { SIZE = 65536 };
  struct passwd entry, *found = NULL;
  char *buf = lua_newuserdata(L, SIZE);
  uid_t uid = getuid();
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)uid);
  lua_setfield(L, -2, "uid");
  if (getpwuid_r(uid, &entry, buf, SIZE, &found) == 0 && found) {
    set_string(L, "name", found->pw_name);
    set_string(L, "home", found->pw_dir);
    set_string(L, "shell", found->pw_shell);
  }
  return 1;
}

static int l_hostname(lua_State *L) {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) != 0) return 0;
  lua_pushstring(L, name);
  return 1;
}

/* umask([mask]) -> the mask so far. There is no way to only look; a thread of the pool that makes a
   file just then gets a private one. */
static int l_umask(lua_State *L) {
  lua_Integer mask = luaL_optinteger(L, 1, -1);
  luaL_argcheck(L, mask >= -1 && mask <= 0777, 1, "permission bits out of range");
  mode_t old = umask(mask >= 0 ? (mode_t)mask : 077);
  if (mask < 0) umask(old);
  lua_pushinteger(L, (lua_Integer)old);
  return 1;
}

/* max_files() -> how many descriptors this process may have open, huge when nothing says */
static int l_max_files(lua_State *L) {
  struct rlimit limit;
  bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  lua_pushnumber(L, known ? (lua_Number)limit.rlim_cur : HUGE_VAL);
  return 1;
}

/* environ() -> list of "NAME=value" */
static int l_environ(lua_State *L) {
  uv_env_item_t *items;
  int count;
  lua_newtable(L);
  if (uv_os_environ(&items, &count) != 0) return 1;
  for (int i = 0; i < count; i++) {
    lua_pushfstring(L, "%s=%s", items[i].name, items[i].value);
    lua_rawseti(L, -2, i + 1);
  }
  uv_os_free_environ(items, count);
  return 1;
}

static const luaL_Reg signal_functions[] = {
    {"signal", l_signal}, {"kill", l_kill},           {"getpid", l_getpid},
    {"user", l_user},     {"hostname", l_hostname},   {"environ", l_environ},
    {"umask", l_umask},   {"max_files", l_max_files}, {NULL, NULL}};
static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg catcher_meta[] = {{"__gc", l_catcher_gc}, {NULL, NULL}};

void sl_signal_open(lua_State *L) {
  sl_class(L, CATCHER_CLASS, no_methods, catcher_meta);
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, CATCHERS_KEY);
  luaL_setfuncs(L, signal_functions, 0);
}
