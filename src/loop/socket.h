/* Byte streams over a descriptor: TCP, Unix sockets, pipes of child processes; and listeners. */
#ifndef SL_SOCKET_H
#define SL_SOCKET_H

#include "loop/watch.h"

enum { SL_SOCKET_STREAM, SL_SOCKET_PIPE }; /* a pipe has no shutdown, and read(2) in place of recv(2) */

/* Pushes a new socket that owns fd, which must be prepared (+1). Closes fd and raises on failure. */
void sl_socket_push(lua_State *L, int fd, int kind);

/* The same from a watch, whose owner the socket becomes. */
void sl_socket_push_watch(lua_State *L, sl_watch *watch, int kind);

/* Takes the watch out of the socket at idx, which is closed for Lua from then on. Raises when it is closed
   or has operations in flight. */
sl_watch *sl_socket_take(lua_State *L, int idx);
void sl_socket_check_idle(lua_State *L, int idx); /* raises as sl_socket_take would */

#endif
