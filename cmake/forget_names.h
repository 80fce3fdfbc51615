/* Takes the names of local variables and upvalues out of a chunk that lua_dump wrote; lines stay.
   They are half of what loading a chunk costs, and nobody debugs the library by them. */
#ifndef FORGET_NAMES_H
#define FORGET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct chunk {
  unsigned char *bytes;
  size_t len;
} chunk;

/* Shortens the chunk where it stands. False: it is not as Lua 5.4 writes it, and is spoilt. */
bool forget_names(chunk *whole);

#endif
