/* The Lua library inside the program: a table generated at build time from lua/ (cmake/EmbedLua.cmake).
   Knows names and bytes; must not know Lua. */
#ifndef SL_EMBEDDED_H
#define SL_EMBEDDED_H

#include <stddef.h>

typedef struct sl_embedded {
  const char *name;   /* as `require` says it: "sshlua.task.core" */
  const char *path;   /* below lua/: "sshlua/task/core.lua", for chunk names */
  const char *source; /* text or a compiled chunk, followed by a NUL that len does not count */
  size_t len;
} sl_embedded;

/* Sorted by file name; the last entry has a NULL name. Linked into libsshlua.a, not into core.so. */
extern const sl_embedded sl_embedded_lua[];

/* The same as compiled chunks (cmake/compile_lua.c); what the program carries when it can. */
extern const sl_embedded sl_compiled_lua[];

#endif
