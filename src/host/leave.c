/* How the process ends: output that was lost is noticed, and nobody waits for what cannot be
   stopped. A look-up at a name server that does not answer keeps a thread of libuv's pool busy;
   closing the loop waits for it, and so does libuv's own clean-up at exit. An alarm ends that.
   Knows processes; must not know why one ends. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "host/host.h"
#include "loop/loop.h"
#include "loop/ttyguard.h"

/* Seconds that ending may take when the pool is busy. */
enum { PATIENCE = 1 };

static volatile sig_atomic_t exit_code; /* for the handler */

static void on_alarm(int signum) {
  (void)signum;
  sl_ttyguard_restore();
  _exit(exit_code);
}

/* A loop is made when the core is first required. */
static bool is_busy(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  bool has_loop = lua_getfield(L, -1, "sshlua.core") != LUA_TNIL;
  lua_pop(L, 2);
  return has_loop && sl_loop_get(L)->uv.active_reqs.count > 0;
}

void sl_leave_soon(lua_State *L, int code) {
  if (!is_busy(L)) return;
  exit_code = code;
  signal(SIGALRM, on_alarm);
  alarm(PATIENCE);
}

/* os.exit([code [, close]]) as ever, but soon. Upvalue: the original. */
static int l_exit(lua_State *L) {
  int code = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)luaL_optinteger(L, 1, 0);
  sl_leave_soon(L, code);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

static void wrap_exit(lua_State *L) {
  lua_getglobal(L, "os");
  lua_getfield(L, -1, "exit");
  lua_pushcclosure(L, l_exit, 1);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
}

/* flush_output() -> true when all that was ever written to stdout has gone out; or nil, message,
   errno. print() tells nobody that it failed, but stdio remembers. Not after io.stdout:close(). */
static int l_flush_output(lua_State *L) {
  if (fflush(stdout) != 0) return luaL_fileresult(L, 0, NULL);
  if (!ferror(stdout)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "some of it was lost");
  lua_pushinteger(L, 0);
  return 3;
}

static const luaL_Reg leave_functions[] = {{"flush_output", l_flush_output}, {NULL, NULL}};

void sl_leave_open(lua_State *L) {
  wrap_exit(L);
  luaL_setfuncs(L, leave_functions, 0);
}
