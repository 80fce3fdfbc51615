/* Where `require` finds our Lua files: in the program, or below the directory of --lua-path. A
   searcher stands right after package.preload, before the ones that look for files, so that nothing
   on LUA_PATH takes the place of ours. Knows names and sources; must not know what any of them
   does. */
#include <stdio.h>
#include <string.h>

#include "base/embedded.h"
#include "host/host.h"

#ifdef SL_COMPILED_LUA
static const sl_embedded *const modules = sl_compiled_lua;
#else
static const sl_embedded *const modules = sl_embedded_lua;
#endif

#define DIR_KEY "sshlua.program.lua_path"

/* The directory of --lua-path, or NULL. It is part of argv and so outlives everything. */
static const char *source_dir(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, DIR_KEY);
  const char *dir = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return dir;
}

static bool is_ours(const char *name) {
  return strncmp(name, "sshlua", 6) == 0 && (name[6] == '\0' || name[6] == '.');
}

static const sl_embedded *find_embedded(const char *name) {
  for (const sl_embedded *e = modules; e->name; e++) {
    if (strcmp(e->name, name) == 0) return e;
  }
  return NULL;
}

static bool readable(const char *path) {
  FILE *f = fopen(path, "re");
  if (f) fclose(f);
  return f != NULL;
}

/* Pushes the path of the module's file below dir, or nothing. */
static bool push_path(lua_State *L, const char *dir, const char *name) {
  static const char *const tails[] = {".lua", "/init.lua"};
  const char *base = luaL_gsub(L, name, ".", "/");
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
    const char *path = lua_pushfstring(L, "%s/%s%s", dir, base, tails[i]);
    if (readable(path)) {
      lua_remove(L, -2);
      return true;
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return false;
}

static int load_file(lua_State *L, const char *dir, const char *name) {
  if (!push_path(L, dir, name)) {
    lua_pushfstring(L, "no file of '%s' in '%s' (--lua-path)", name, dir);
    return 1;
  }
  const char *path = lua_tostring(L, -1);
  if (luaL_loadfile(L, path) != LUA_OK)
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, path,
                      lua_tostring(L, -1));
  lua_insert(L, -2);
  return 2;
}

static int load_embedded(lua_State *L, const char *name) {
  const sl_embedded *e = find_embedded(name);
  if (!e) {
    lua_pushfstring(L, "no module '%s' in the program", name);
    return 1;
  }
  const char *chunk = lua_pushfstring(L, "@%s", e->path);
  if (luaL_loadbuffer(L, e->source, e->len, chunk) != LUA_OK) return lua_error(L);
  lua_pushstring(L, e->path);
  return 2;
}

/* A searcher as package.searchers has them: name -> loader, its data; or why not. */
static int l_search(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (!is_ours(name)) return 0;
  const char *dir = source_dir(L);
  return dir ? load_file(L, dir, name) : load_embedded(L, name);
}

/* find(name) -> the file of a module of ours, or nil */
static int l_find(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *dir = source_dir(L);
  if (dir) return push_path(L, dir, name) ? 1 : 0;
  const sl_embedded *e = find_embedded(name);
  if (!e) return 0;
  lua_pushstring(L, e->path);
  return 1;
}

bool sl_embedded_internal(lua_State *L, const char *source) {
  if (*source++ != '@') return false;
  const char *dir = source_dir(L);
  if (dir) {
    size_t len = strlen(dir);
    return strncmp(source, dir, len) == 0 && strncmp(source + len, "/sshlua/", 8) == 0;
  }
  for (const sl_embedded *e = modules; e->name; e++) {
    if (strcmp(e->path, source) == 0) return true;
  }
  return false;
}

/* internal(source) -> whether debug.getinfo's `source` is a file of ours */
static int l_internal(lua_State *L) {
  lua_pushboolean(L, sl_embedded_internal(L, luaL_checkstring(L, 1)));
  return 1;
}

static const luaL_Reg embedded_functions[] = {
    {"find", l_find}, {"internal", l_internal}, {NULL, NULL}};

static void add_searcher(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers"); /* [package, searchers] */
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, l_search);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

void sl_embedded_open(lua_State *L, const char *dir) {
  if (dir) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)dir);
    lua_setfield(L, LUA_REGISTRYINDEX, DIR_KEY);
  }
  add_searcher(L);
  luaL_setfuncs(L, embedded_functions, 0);
}
