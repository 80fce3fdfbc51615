/* POSIX signals: names, numbers, and SIGPIPE, which nobody here wants. Must not know who sends or
 * catches. */
#ifndef SL_SIGNAME_H
#define SL_SIGNAME_H

#include <lua.h>

/* A signal given by name ("SIGTERM", "TERM") or by number; raises an argument error. */
int sl_signal_check(lua_State *L, int idx);

/* Pushes "SIGTERM", or "SIG34" for a number without a name (+1). */
void sl_signal_push(lua_State *L, int signum);

/* SIGPIPE is ignored from now on if it has its default action. For descriptors that write(2) is
 * used on. */
void sl_sigpipe_ignore(void);

#endif
