/* The text functions inside a Lua state whose memory runs out: at every allocation in turn they
   must raise or answer, never crash, leak or answer wrong. */
#include "base/text.h"
#include "check.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

typedef struct budget {
  long left; /* allocations until the first that fails; negative: none fails */
  size_t used;
} budget;

static void *limited(void *ud, void *p, size_t old, size_t size) {
  budget *b = ud;
  if (!p) old = 0; /* then it is a type, not a size */
  if (size == 0) {
    b->used -= old;
    free(p);
    return NULL;
  }
  if (size > old && b->left >= 0 && b->left-- == 0) {
    b->left = 0; /* and every one behind it */
    return NULL;
  }
  void *q = realloc(p, size);
  if (q) b->used += size - old;
  return q;
}

#ifdef SL_HAVE_JANSSON
#include <jansson.h>

static long jansson_left = -1;

static void *jansson_malloc(size_t n) {
  if (jansson_left >= 0 && jansson_left-- == 0) {
    jansson_left = 0;
    return NULL;
  }
  return malloc(n);
}

/* jansson allocates apart from Lua, and calls a string it has no memory for a bad token. */
static void jansson_case(void) {
  static const char text[] =
      "local core = ...\n"
      "local text = '{\"a\":[1,2.5,\"' .. ('x'):rep(500) .. '\",null,{\"b\":[true]}]}'\n"
      "local v, e = core.json_decode(text)\n"
      "if v then return assert(v.a[1] == 1 and v.a[5].b[1]) end\n"
      "assert(e.kind == 'memory' or e.kind == 'protocol', e.kind .. ': ' .. e.message)\n";
  check_case("jansson's memory that runs out at any allocation is an error too");
  json_set_alloc_funcs(jansson_malloc, free);
  bool done = false;
  for (long left = 0; left < 1000 && !done; left++) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    CHECK(luaL_loadstring(L, text) == 0);
    lua_newtable(L);
    sl_text_open(L);
    jansson_left = left;
    CHECK(lua_pcall(L, 1, 1, 0) == 0);
    if (!lua_isboolean(L, -1) && lua_isstring(L, -1)) CHECK_STR(lua_tostring(L, -1), NULL);
    done = lua_toboolean(L, -1);
    jansson_left = -1;
    lua_close(L);
  }
  CHECK(done);
  json_set_alloc_funcs(malloc, free);
}
#else
static void jansson_case(void) {
  check_skip("jansson's memory runs out", "built without jansson");
}
#endif

static int open_text(lua_State *L) {
  luaL_openlibs(L);
  lua_newtable(L);
  sl_text_open(L);
  lua_setglobal(L, "core");
  return 0;
}

static const char script[] =
    "local core = ...\n"
    "local bad = '\\27[2J\\226\\128\\174' .. ('x'):rep(300) .. '\\255'\n"
    "assert(core.clean('plain') == 'plain')\n"
    "assert(core.clean(bad) == '\\\\x1b[2J\\\\u{202e}' .. ('x'):rep(300) .. '\\\\xff')\n"
    "local c = core.cleaner { newline = true }\n"
    "assert(c:feed('a\\226') .. c:feed('\\128') .. c:feed('\\174\\n') .. c:finish() == "
    "'a\\\\u{202e}\\n')\n"
    "local list = {}\n"
    "for i = 1, 200 do list[i] = { name = 'n' .. i, n = i, x = i / 7, s = bad, e = {}, o = "
    "core.json_null } end\n"
    "local text, e = core.json_encode(list, { pretty = true })\n"
    "assert(text, e and e.message)\n"
    "local back, e = core.json_decode(text)\n"
    "if not back then assert(e.kind == 'config' or e.kind == 'memory', e.message) return end\n"
    "assert(#back == 200 and back[200].name == 'n200' and back[7].x == 1 and back[1].o == "
    "core.json_null)\n"
    "assert(core.json_encode(back, { pretty = true }) == text)\n"
    "assert(not core.json_decode('[1,' .. bad))\n"
    "list[200].f = print\n"
    "local none, e = core.json_encode(list)\n"
    "assert(not none and e.message == 'cannot encode a function at [200].f', e.message)\n";

/* Runs the script with `left` allocations. True when it got to its end. */
static bool run(long left, const char **problem, char *buffer, size_t size) {
  budget b = {.left = -1};
  lua_State *L = lua_newstate(limited, &b);
  *problem = "no state";
  if (!L) return false;
  lua_pushcfunction(L, open_text);
  bool good = lua_pcall(L, 0, 0, 0) == 0 && luaL_loadstring(L, script) == 0;
  *problem = good ? NULL : "the script does not load";
  if (good) {
    lua_getglobal(L, "core");
    b.left = left;
    int rc = lua_pcall(L, 1, 0, 0);
    b.left = -1;
    good = rc == 0;
    if (rc != 0 && rc != LUA_ERRMEM) {
      const char *message = lua_tostring(L, -1);
      snprintf(buffer, size, "%s", message ? message : "(no message)");
      *problem = buffer;
    }
  }
  lua_close(L);
  if (b.used != 0) *problem = "memory is left behind";
  return good;
}

int main(void) {
  char buffer[200];
  const char *problem;
  check_case("the text functions do what they say");
  CHECK(run(-1, &problem, buffer, sizeof buffer));
  CHECK_STR(problem, NULL);

  check_case("memory that runs out at any allocation is an error and nothing else");
  bool done = false;
  for (long left = 0; left < 100000 && !done; left += left < 300 ? 1 : 37) {
    done = run(left, &problem, buffer, sizeof buffer);
    CHECK_STR(problem, NULL);
  }
  CHECK(done);
  jansson_case();
  return check_done();
}
