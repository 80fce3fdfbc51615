/* sshlua inside a C program that has a loop of its own: a command on a host, while the program does
   something else. usage: embed_c [[USER@]HOST[:PORT] [COMMAND]]                      without HOST:
   on this machine SSHLUA_IDENTITY and SSHLUA_KNOWN_HOSTS may name the key file and the known_hosts
   file.

   cc embed_c.c $(pkg-config --cflags --libs sshlua lua5.4) -lm -ldl -o embed_c */
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <sshlua.h>

static const char script[] =
    "local ssh = require 'sshlua'\n"
    "ssh.attach(ssh.driver.external())\n"
    "return function(name, command, finished)\n"
    "  ssh.spawn(function()\n"
    "    local host = name and ssh.host(name, { identity = os.getenv 'SSHLUA_IDENTITY',\n"
    "      known_hosts = os.getenv 'SSHLUA_KNOWN_HOSTS' }) or ssh.here\n"
    "    local ok, result = pcall(ssh.timeout, 20, host.run, host, command)\n"
    "    finished(ok, tostring(result))\n"
    "  end)\n"
    "end\n";

/* finished(ok, text): called from sshlua_step. Upvalue: where the exit status goes. */
static int finished(lua_State *L) {
  int *status = lua_touserdata(L, lua_upvalueindex(1));
  *status = lua_toboolean(L, 1) ? 0 : 1;
  fprintf(*status == 0 ? stdout : stderr, "%s\n", lua_tostring(L, 2));
  return 0;
}

static int start(lua_State *L, const char *name, const char *command, int *status) {
  luaL_openlibs(L);
  luaL_requiref(L, "sshlua.core", luaopen_sshlua_core, 0);
  lua_pop(L, 1);
  if (luaL_loadstring(L, script) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK) return -1;
  lua_pushstring(L, name);
  lua_pushstring(L, command);
  lua_pushlightuserdata(L, status);
  lua_pushcclosure(L, finished, 1);
  return lua_pcall(L, 3, 0, 0) == LUA_OK ? 0 : -1;
}

/* The program's own loop: our descriptor is one of many it might watch. */
static unsigned run(lua_State *L) {
  unsigned rounds = 0;
  int alive = 1;
  for (;;) {
    int ms = sshlua_step(L, &alive);
    if (!alive) return rounds;
    struct pollfd fd = {.fd = sshlua_fd(L), .events = POLLIN};
    if (poll(&fd, 1, ms < 0 || ms > 100 ? 100 : ms) < 0 && errno != EINTR) return rounds;
    rounds++; /* here the program does what else it has to do */
  }
}

int main(int argc, char **argv) {
  int status = 2;
  lua_State *L = luaL_newstate();
  if (!L) return status;
  if (start(L, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : "uname -sr", &status) != 0)
    fprintf(stderr, "embed_c: %s\n", lua_tostring(L, -1));
  else
    fprintf(stderr, "embed_c: sshlua %s, %u rounds\n", sshlua_version(), run(L));
  lua_close(L);
  return status;
}
