/* sshlua's C API. A C program that embeds Lua registers luaopen_sshlua_core under package.preload["sshlua.core"], has the
   Lua files on package.path, and is done; with a loop of its own it watches sshlua_fd and calls sshlua_step.

   One Lua state belongs to one thread. Nothing here is global: states are independent of each other.
   After fork() the child must not touch sessions. */
#ifndef SSHLUA_H
#define SSHLUA_H

#include <lua.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SSHLUA_API __attribute__((visibility("default")))
#else
#define SSHLUA_API
#endif

/* The module `sshlua.core`. Idempotent: every call returns the same table. */
SSHLUA_API int luaopen_sshlua_core(lua_State *L);

/* The descriptor that becomes readable when sshlua_step has something to do. */
SSHLUA_API int sshlua_fd(lua_State *L);

/* Does what can be done without waiting. Returns the milliseconds after which to call again at the latest, or -1 for no
   limit; *alive (may be NULL) tells whether anything is going on. Never raises. Call it too after work was started from
   outside, or nothing is registered with the kernel. */
SSHLUA_API int sshlua_step(lua_State *L, int *alive);

/* "0.1.0" */
SSHLUA_API const char *sshlua_version(void);

#ifdef __cplusplus
}
#endif

#endif
