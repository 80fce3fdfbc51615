/* What secret.c and secret_mask.c share: the object, and its place among those that are masked. */
#ifndef SL_SECRET_PARTS_H
#define SL_SECRET_PARTS_H

#include "base/secret.h"

struct sl_secret {
  sl_secret *next, **link; /* among those that are masked; link NULL: not among them */
  char *bytes;             /* pages of its own */
  size_t len, size;
  bool wiped;
  char name[SL_SECRET_NAME_MAX + 1];
};

void sl_secret_mask(lua_State *L, sl_secret *s);   /* from here on it is hidden */
void sl_secret_unmask(lua_State *L, sl_secret *s); /* before its bytes go */
void sl_secret_mask_open(lua_State *L);

#endif
