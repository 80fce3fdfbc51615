/* The text functions of sshlua.core: clean, cleaner, json_*, save_file. */
#ifndef SL_TEXT_H
#define SL_TEXT_H

#include <lua.h>

/* Adds the functions to the table on top of the stack; leaves the stack as it was. */
void sl_text_open(lua_State *L);

#endif
