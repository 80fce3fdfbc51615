/* What lib.c calls: each adds one noun's verbs to the table on top of the stack. */
#ifndef SL_VERBS_H
#define SL_VERBS_H

#include <lua.h>

void sl_timer_open(lua_State *L);
void sl_dns_open(lua_State *L);
void sl_net_open(lua_State *L);
void sl_socket_open(lua_State *L);
void sl_proc_open(lua_State *L);
void sl_tty_open(lua_State *L);
void sl_ttyraw_open(lua_State *L);
void sl_ttymodes_open(lua_State *L);
void sl_fs_open(lua_State *L);
void sl_signal_open(lua_State *L);

#endif
