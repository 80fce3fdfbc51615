/* What judges host keys beyond known_hosts, for Lua. */
#ifndef SL_TRUST_LUA_H
#define SL_TRUST_LUA_H

#include <lua.h>

void sl_trust_open(lua_State *L);

#endif
