/* The program `sshlua`: a Lua state with our modules inside. Knows what only C can know (argv, what
   was compiled in, how a process ends); everything that is decided, from options to exit codes, is
   decided in lua/sshlua/cli/main.lua. */
#include <errno.h>
#include <fcntl.h>
#include <lualib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/host.h"
#include "sshlua.h"

#define LUA_PATH_OPTION "--lua-path"

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

/* Pushes the table `program` (+1). */
static void push_program(lua_State *L, const char *lua_path) {
  lua_newtable(L);
  lua_pushliteral(L, LUA_RELEASE);
  lua_setfield(L, -2, "lua");
#ifdef SL_HAVE_EDIT
  set_flag(L, "edit", true);
#else
  set_flag(L, "edit", false);
#endif
#ifdef SL_HAVE_LUV
  set_flag(L, "luv", true);
#else
  set_flag(L, "luv", false);
#endif
  sl_embedded_open(L, lua_path);
  sl_interrupt_open(L);
  sl_repl_open(L);
  sl_stdio_open(L);
  sl_luv_open(L);
  sl_leave_open(L);
}

static void preload_core(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_sshlua_core);
  lua_setfield(L, -2, "sshlua.core");
  lua_pop(L, 1);
}

/* --lua-path DIR decides where the file that reads options comes from, so it is read here, and only
 * as the first. */
static const char *find_lua_path(int argc, char **argv) {
  size_t len = strlen(LUA_PATH_OPTION);
  if (argc < 2 || strncmp(argv[1], LUA_PATH_OPTION, len) != 0) return NULL;
  if (argv[1][len] == '=') return argv[1] + len + 1;
  return argv[1][len] == '\0' && argc > 2 ? argv[2] : NULL;
}

/* run(argc, argv) -> exit code */
static int run(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  luaL_checkversion(L);
  luaL_openlibs(L);
  lua_gc(L, LUA_GCGEN, 0, 0); /* strings of bulk data die young; the library need not be looked at each time */
  preload_core(L);
  push_program(L, find_lua_path(argc, argv)); /* [program] */
  lua_getglobal(L, "require");
  lua_pushliteral(L, "sshlua.cli.main");
  lua_call(L, 1, 1); /* [program, main] */
  lua_insert(L, -2);
  lua_createtable(L, argc, 1); /* [main, program, argv] */
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 2, 1);
  return 1;
}

/* A standard descriptor that is closed would be the number of the next file or socket. It becomes
   /dev/null, opened the wrong way round, so that reading and writing fail as before. */
static void fill_standard_descriptors(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
      (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

/* Buffers and strings of bulk data come and go. Left to itself the allocator gives each back to the kernel, which clears
   the pages for the next. */
static void keep_freed_memory(void) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 4 << 20);
  mallopt(M_TRIM_THRESHOLD, 8 << 20);
#endif
}

/* Shells give a process 1024 descriptors and allow it far more: too few for some hundred hosts at
   once, or for a tree to sixty. Programs that we start inherit what we take; so not millions,
   through which some of them loop. */
static void take_descriptors(void) {
  const rlim_t enough = 65536;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= enough) return;
  limit.rlim_cur = limit.rlim_max < enough ? limit.rlim_max : enough;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* A file that may not grow is an error of a write, told in words; the signal would end us. */
static void ignore_file_limit(void) {
  signal(SIGXFSZ, SIG_IGN);
}

int main(int argc, char **argv) {
  fill_standard_descriptors();
  keep_freed_memory();
  take_descriptors();
  ignore_file_limit();
  lua_State *L = luaL_newstate();
  if (!L) {
    fputs("sshlua: not enough memory for a Lua state\n", stderr);
    return EXIT_FAILURE;
  }
  sl_pool_open(L);
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int code = EXIT_FAILURE;
  if (lua_pcall(L, 2, 1, 0) == LUA_OK) {
    code = (int)lua_tointeger(L, -1);
  } else {
    const char *message = lua_tostring(L, -1);
    fprintf(stderr, "sshlua: %s\n", message ? message : "an error that is no text");
  }
  sl_leave_soon(L, code);
  lua_close(L);
  return code;
}
