/* Secrets as userdata: bytes in pages of their own, locked and kept out of core files where the
   system allows it, wiped when the object goes. Lua cannot print, concatenate or measure them;
   verbs of ours take them where they take strings. All secrets of a Lua state are hidden by its
   maskers. Knows Lua; must not know where secrets come from or go. */
#ifndef SL_SECRET_H
#define SL_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/lx.h"

enum { SL_SECRET_MAX = 65536, SL_SECRET_NAME_MAX = 63 };

typedef struct sl_secret sl_secret;

/* Pushes a secret with room for len bytes, which the caller fills through sl_secret_room and ends
   with sl_secret_filled; or with a copy of bytes. Raises when it is too long or memory is short. */
sl_secret *sl_secret_push(lua_State *L, const char *name, size_t len);
char *sl_secret_room(sl_secret *s);
void sl_secret_filled(lua_State *L, sl_secret *s, size_t len, bool mask);
void sl_secret_push_copy(lua_State *L, const char *name, const char *bytes, size_t len);

bool sl_is_secret(lua_State *L, int idx);

/* luaL_checklstring that takes secrets, too: their bytes, ended by NUL, anchored by the value at
 * idx. */
const char *sl_check_bytes(lua_State *L, int idx, size_t *len);

void sl_secret_open(
    lua_State *L); /* adds secret, mask, masker, ... to the table on top of the stack */

#endif
