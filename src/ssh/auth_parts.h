/* What the auth*.c files share: copies of secrets, and how an attempt begins. For them only. */
#ifndef SL_AUTH_PARTS_H
#define SL_AUTH_PARTS_H

#include "ssh/session.h"

/* A copy with a NUL behind; NULL: no memory. What libssh2 and packets hold has a length and no NUL. */
char *sl_auth_copy_text(const void *from, size_t len);
/* A copy of the string or secret at idx; raises when it is too long. */
char *sl_auth_copy_bytes(lua_State *L, int idx, size_t *len);
void sl_auth_wipe(char **p, size_t len); /* ... and free; NULL is fine */

/* A verb's arguments are (session, user, ..., done): the session with nothing left of earlier attempts. */
sl_session *sl_auth_begin(lua_State *L, int done_idx);
/* Starts the operation, or the next part of it; returns the verb's result. */
int sl_auth_start(lua_State *L, sl_session *s, int done_idx, int (*call)(sl_session *));

/* auth_prompts.c */
int sl_auth_push_prompts(lua_State *L, const sl_auth *a);
void sl_auth_forget(sl_auth *a);        /* what was answered: the attempt is over */
void sl_auth_clear_prompts(sl_auth *a); /* questions, answers and the fibre that waits for them */
int sl_auth_password(lua_State *L);
int sl_auth_kbdint(lua_State *L);
int sl_auth_answer(lua_State *L);

#endif
