/* Secrets as C sees them: where their bytes are, that they go when they are wiped, and that a state
   can be closed with everything still alive. */
#include "base/secret.h"
#include "check.h"

#include <lualib.h>
#include <stdlib.h>

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();
  if (!L) abort();
  luaL_openlibs(L);
  lua_newtable(L);
  sl_secret_open(L);
  lua_setglobal(L, "core");
  return L;
}

static bool run(lua_State *L, const char *code) {
  bool ok = luaL_loadstring(L, code) == 0 && lua_pcall(L, 0, 0, 0) == 0;
  if (!ok) printf("# %s\n", lua_tostring(L, -1));
  return ok;
}

static bool all_zero(const char *p, size_t n) {
  while (n--)
    if (*p++) return false;
  return true;
}

static void wiped(void) {
  check_case("wiping takes the bytes away, and later uses raise");
  lua_State *L = open_state();
  size_t len;
  sl_secret_push_copy(L, "name", "hunter\0two", 10);
  lua_setglobal(L, "s");
  lua_getglobal(L, "s");
  CHECK(sl_is_secret(L, -1));
  const char *bytes = sl_check_bytes(L, -1, &len);
  CHECK(len == 10 && memcmp(bytes, "hunter\0two", 11) == 0); /* with a NUL behind it */
  CHECK(run(L, "assert(core.mask('xhunter\\0twox') == 'x********x')"));
  CHECK(run(L, "s:wipe()"));
  CHECK(all_zero(bytes, 11)); /* the page is still there: a write may be under way */
  CHECK(run(L, "assert(not pcall(s.reveal, s) and core.mask('hunter\\0two') == 'hunter\\0two')"));
  lua_close(L);
}

static void filled(void) {
  check_case("what is filled in later is a secret from then on");
  lua_State *L = open_state();
  sl_secret *s = sl_secret_push(L, "name", SL_SECRET_MAX);
  memset(sl_secret_room(s), 'a', SL_SECRET_MAX);
  sl_secret_filled(L, s, SL_SECRET_MAX, true);
  size_t len;
  const char *bytes = sl_check_bytes(L, -1, &len);
  CHECK(len == SL_SECRET_MAX && bytes[len] == '\0');
  lua_setglobal(L, "s");
  CHECK(run(L, "assert(core.mask(('a'):rep(65536)) == '********' and s:count('a') == 65536)"));
  lua_close(L);
}

static void others(void) {
  check_case("strings are taken as they are, anything else is not");
  lua_State *L = open_state();
  size_t len;
  lua_pushliteral(L, "text");
  CHECK_STR(sl_check_bytes(L, -1, &len), "text");
  CHECK(len == 4 && !sl_is_secret(L, -1));
  CHECK(run(L, "assert(not core.is_secret(io.stdout) and not core.is_secret(core.masker()))"));
  CHECK(run(L, "assert(not pcall(core.secret, 'x', {}) and not pcall(core.secret))"));
  lua_close(L);
}

static void closing(void) {
  check_case("a state is closed with secrets, a masker in the middle of one, and garbage");
  lua_State *L = open_state();
  CHECK(run(L, "keep = {} for i = 1, 300 do keep[i] = core.secret('n' .. i, ('secret number "
               "%d'):format(i)) end "
               "for i = 1, 300, 2 do keep[i] = nil end collectgarbage() "
               "m = core.masker() assert(m:feed('x secret num') == 'x ') "
               "assert(core.mask('secret number 2 ') == '******** ')"));
  lua_close(L);
}

int main(void) {
  wiped();
  filled();
  others();
  closing();
  return check_done();
}
