/* What lib.c calls: each adds verbs to the table on top of the stack. */
#ifndef SL_TEXT_VERBS_H
#define SL_TEXT_VERBS_H

#include <lua.h>

void sl_text_open(lua_State *L); /* clean.c */
void sl_json_open(lua_State *L); /* json.c */

#endif
