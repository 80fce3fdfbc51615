/* libFuzzer target for YAML into Lua values, and from there to JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

#include "lua_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  lua_State *L = lua_state_new(sl_yaml_open);
  lua_pushlstring(L, (const char *)data, size);
  lua_state_call(L, "yaml_decode");
  TRUTH(lua_istable(L, -1));
  if (lua_isnil(L, -2)) lua_state_check_error(L);
  lua_close(L);
  return 0;
}
