/* What the files of the program share. Each of them adds functions to one table, `program`, which
   the Lua side gets as an argument and which no script sees. */
#ifndef SL_HOST_H
#define SL_HOST_H

#include <stdbool.h>

#include "base/lx.h"
#include "loop/watch.h"

/* embedded.c: where `require` finds our Lua files. `dir` (--lua-path) replaces what is in the
 * program; NULL: none. */
void sl_embedded_open(lua_State *L,
                      const char *dir); /* adds find and internal to the table on top */
bool sl_embedded_internal(lua_State *L,
                          const char *source); /* does a chunk of this name belong to us? */

/* interrupt.c: signals. Adds signals, untold, last_chance and load_tasks. */
void sl_interrupt_open(lua_State *L);

/* repl.c: input that comes in the loop's own time. Adds readable. */
void sl_repl_open(lua_State *L);

/* A watch on a duplicate of fd, which stays blocking. NULL: it cannot be watched. */
sl_watch *sl_watch_duplicate(sl_loop *loop, int fd);

/* editor.c: lines that are edited on a terminal. Adds editor, where there is line editing. */
void sl_editor_open(lua_State *L);

/* stdio.c: standard input and output as streams. Adds take_stream and release_stream. */
void sl_stdio_open(lua_State *L);

/* luv.c: package.preload.luv on our loop, when built with luv. Adds luv_failed. */
void sl_luv_open(lua_State *L);

/* pool.c: memory for a state, made for many small objects. At its beginning. */
void sl_pool_open(lua_State *L);

/* leave.c: how the process ends. Adds flush_output; wraps os.exit. */
void sl_leave_open(lua_State *L);
void sl_leave_soon(lua_State *L, int code); /* from now on ending takes a second at most */

#endif
