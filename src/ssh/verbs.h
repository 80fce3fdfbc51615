/* What lib.c calls: each adds one noun's verbs to the table on top of the stack. */
#ifndef SL_SSH_VERBS_H
#define SL_SSH_VERBS_H

#include <lua.h>

void sl_session_open(lua_State *L);
void sl_channel_open(lua_State *L);
void sl_known_hosts_open(lua_State *L);
void sl_trust_open(lua_State *L);
void sl_hasher_open(lua_State *L);
void sl_key_open(lua_State *L);

#endif
