/* A file that arrives whole under its name or not at all. Knows POSIX files; must not know Lua. */
#ifndef SL_SAVEFILE_H
#define SL_SAVEFILE_H

#include <stddef.h>

#include "base/err.h"

/* Writes to a temporary name beside `path`, syncs, renames. A new file gets the mode the umask
   leaves, an existing one keeps its mode; a symbolic link stays, its target is replaced. What is
   there and is not a regular file (a device, a pipe, a folder) is refused. Returns 0, or -1 with *e
   filled (kind io) and nothing left behind. */
int sl_savefile(const char *path, const char *data, size_t n, sl_err *e);

#endif
