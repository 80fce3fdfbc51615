/* Columns of text on a terminal: width, fit. */
#ifndef SL_WIDTH_H
#define SL_WIDTH_H

#include <lua.h>

/* Adds the functions to the table on top of the stack; leaves the stack as it was. */
void sl_width_open(lua_State *L);

#endif
