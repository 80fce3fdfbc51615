/* Keys as Lua holds them. */
#ifndef SL_KEY_LUA_H
#define SL_KEY_LUA_H

#include "base/lx.h"
#include "ssh/key.h"

sl_key *sl_key_check(lua_State *L, int idx); /* raises when it is not a key */

#endif
