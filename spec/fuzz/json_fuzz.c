/* libFuzzer target for JSON into Lua values and back: what was read is written, and reads as the same. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lua_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool decode(lua_State *L) {
  lua_state_call(L, "json_decode");
  if (!lua_istable(L, -1) || !lua_isnil(L, -2)) {
    lua_pop(L, 1);
    return true;
  }
  lua_state_check_error(L);
  return false;
}

/* The text of the value on top, in its place. */
static bool encode(lua_State *L) {
  lua_state_call(L, "json_encode");
  lua_pop(L, 1);
  return lua_isstring(L, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  lua_State *L = lua_state_new(NULL);
  lua_pushlstring(L, (const char *)data, size);
  if (decode(L) && encode(L)) {
    lua_pushvalue(L, -1);
    TRUTH(decode(L) && encode(L));
    TRUTH(lua_rawlen(L, -1) == lua_rawlen(L, -2));
  }
  lua_close(L);
  return 0;
}
