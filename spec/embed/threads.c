/* Lua states that know nothing of each other, each with sessions of its own, in threads.
   usage: threads THREADS ROUNDS [USER@HOST:PORT]
   Every second state is closed with work open. */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <sshlua.h>
#include <stdio.h>
#include <stdlib.h>

static const char script[] =
    "local ssh = require 'sshlua'\n"
    "local name, abandon = ...\n"
    "local function work()\n"
    "  ssh.sleep(0.001)\n"
    "  ssh.all(function() ssh.sleep(0.002) end, function()\n"
    "    assert(not pcall(ssh.timeout, 0.001, ssh.sleep, 5)) end)\n"
    "  assert(ssh.here:read('echo $((6 * 7))') == '42')\n"
    "  if not name then return end\n"
    "  local host = ssh.host(name, { identity = os.getenv 'SSHLUA_IDENTITY',\n"
    "    known_hosts = os.getenv 'SSHLUA_KNOWN_HOSTS', agent = false })\n"
    "  ssh.each({ 1, 2, 3 }, function(i) assert(host:read('echo ' .. i) == tostring(i)) end)\n"
    "  if abandon then ssh.spawn(function() host:run('sleep 20') end) ssh.sleep(0.05) end\n"
    "end\n"
    "if not abandon then return ssh.run(work) end\n"
    "local core = require 'sshlua.core'\n"
    "ssh.attach(ssh.driver.external())\n"
    "local over\n"
    "ssh.spawn(function() ssh.sleep(100) end)\n"
    "ssh.spawn(function() ssh.here:run('sleep 20') end)\n"
    "ssh.spawn(function() ssh.scope(function(s) s:defer(ssh.sleep, 1) ssh.event():wait() end) "
    "end)\n"
    "ssh.spawn(function() work() over = true end)\n"
    "local deadline = core.now() + 60\n"
    "while not over do core.step() assert(core.now() < deadline, 'timed out') end\n";

static const char *target;
static int rounds;

static int one_state(int abandon) {
  lua_State *L = luaL_newstate();
  if (!L) return 1;
  luaL_openlibs(L);
  luaL_requiref(L, "sshlua.core", luaopen_sshlua_core, 0);
  lua_pop(L, 1);
  int rc = luaL_loadstring(L, script);
  if (rc == LUA_OK) {
    lua_pushstring(L, target);
    lua_pushboolean(L, abandon);
    rc = lua_pcall(L, 2, 0, 0);
  }
  if (rc != LUA_OK) fprintf(stderr, "threads: %s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
  return rc != LUA_OK;
}

static void *thread_main(void *failures) {
  for (int i = 0; i < rounds; i++) *(int *)failures += one_state(i % 2);
  return NULL;
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  rounds = argc > 2 ? atoi(argv[2]) : 2;
  target = argc > 3 ? argv[3] : NULL;
  pthread_t thread[64];
  int failures[64] = {0}, sum = 0;
  if (threads < 1 || threads > 64) return 2;
  for (int i = 0; i < threads; i++)
    if (pthread_create(&thread[i], NULL, thread_main, &failures[i]) != 0) return 2;
  for (int i = 0; i < threads; i++) {
    pthread_join(thread[i], NULL);
    sum += failures[i];
  }
  printf("%d states, %d failed\n", threads * rounds, sum);
  return sum != 0;
}
