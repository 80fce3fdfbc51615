/* What spawn is asked for, as libuv wants it. For proc.c only. */
#ifndef SL_PROC_OPTIONS_H
#define SL_PROC_OPTIONS_H

#include <lua.h>
#include <uv.h>

enum { SL_STREAMS = 3 };

/* From the table at index 1: program, arguments, environment, directory, identity. Raises when they cannot be; leaves
   on the stack what anchors them. */
void sl_proc_options(lua_State *L, uv_process_options_t *o);

/* Its standard streams. Where a pipe is asked for, our end goes into the table at streams_idx, the child's end into
   child_ends (-1: none), also when this raises. 0, or a negative code when a pipe cannot be made. */
int sl_proc_streams(lua_State *L, uv_stdio_container_t *stdio, int *child_ends, int streams_idx);

#endif
