/* The door of known_hosts to Lua. */
#ifndef SL_KNOWN_HOSTS_LUA_H
#define SL_KNOWN_HOSTS_LUA_H

#include <lua.h>

/* Registers the class and adds its functions to the table on top of the stack. */
void sl_known_hosts_open(lua_State *L);

#endif
