/* `require "luv"` in a script: luv on the program's own loop. What would end or walk that loop
   raises; a failing callback fails the script and not the process. Without luv in the build this
   file is empty and the script gets what is on package.cpath. */
#include "host/host.h"

#ifdef SL_HAVE_LUV

#include <luv/luv.h>

#include "loop/loop.h"

#define FAILED_KEY "sshlua.program.luv_failed"

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *thread = lua_tothread(L, -1);
  lua_pop(L, 1);
  return thread;
}

/* luv_failed(fn): fn(err) is called when a callback of luv raises, with an error handler's view of
 * the stack. */
static int l_luv_failed(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, FAILED_KEY);
  return 0;
}

static int keep_quiet(lua_State *L) {
  (void)L;
  return 0;
}

static int report_failure(lua_State *L) {
  lua_settop(L, 1);
  if (lua_getfield(L, LUA_REGISTRYINDEX, FAILED_KEY) != LUA_TFUNCTION) return 0;
  lua_insert(L, 1);
  lua_call(L, 1, 0);
  return 0;
}

/* luv's way to call Lua: returns the number of results, or a negative number; leaves nothing when
 * it fails. */
static int call_back(lua_State *L, int nargs, int nresults, int flags) {
  int base = lua_gettop(L) - nargs;
  lua_pushcfunction(L, flags & LUVF_CALLBACK_NOERRMSG ? keep_quiet : report_failure);
  lua_insert(L, base);
  int rc = lua_pcall(L, nargs, nresults, base);
  lua_remove(L, base);
  if (rc != LUA_OK) {
    lua_pop(L, 1);
    return -rc;
  }
  return nresults == LUA_MULTRET ? lua_gettop(L) - base + 1 : nresults;
}

/* The upvalue is the message. */
static int l_refuse(lua_State *L) {
  return luaL_error(L, "%s", lua_tostring(L, lua_upvalueindex(1)));
}

static void refuse(lua_State *L, const char *name, const char *message) {
  lua_pushstring(L, message);
  lua_pushcclosure(L, l_refuse, 1);
  lua_setfield(L, -2, name);
}

static int open_luv(lua_State *L) {
  lua_State *thread = main_thread(L); /* a task's own thread may be gone when a callback comes */
  luv_set_loop(thread, &sl_loop_get(L)->uv);
  luv_set_callback(thread, call_back);
  luaopen_luv(L);
  refuse(L, "run",
         "uv.run: sshlua runs this loop already; wait with ssh.sleep, or for an ssh.event() that a "
         "callback sets");
  refuse(L, "stop", "uv.stop: this is sshlua's loop; a script ends by returning or with os.exit");
  refuse(L, "loop_close",
         "uv.loop_close: this is sshlua's loop; a script ends by returning or with os.exit");
  refuse(L, "walk", "uv.walk: this is sshlua's loop, and some of its handles are not luv's");
  return 1;
}

static const luaL_Reg luv_functions[] = {{"luv_failed", l_luv_failed}, {NULL, NULL}};

void sl_luv_open(lua_State *L) {
  luaL_setfuncs(L, luv_functions, 0);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_luv);
  lua_setfield(L, -2, "luv");
  lua_pop(L, 1);
}

#else

void sl_luv_open(lua_State *L) {
  (void)L;
}

#endif
