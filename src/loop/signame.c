#include "loop/signame.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>

#define NAME(s)                                                                                    \
  { #s, s }
static const struct {
  const char *name;
  int signum;
} names[] = {
    NAME(SIGHUP),  NAME(SIGINT),    NAME(SIGQUIT), NAME(SIGILL),   NAME(SIGTRAP), NAME(SIGABRT),
    NAME(SIGBUS),  NAME(SIGFPE),    NAME(SIGKILL), NAME(SIGUSR1),  NAME(SIGSEGV), NAME(SIGUSR2),
    NAME(SIGPIPE), NAME(SIGALRM),   NAME(SIGTERM), NAME(SIGCHLD),  NAME(SIGCONT), NAME(SIGSTOP),
    NAME(SIGTSTP), NAME(SIGTTIN),   NAME(SIGTTOU), NAME(SIGURG),   NAME(SIGXCPU), NAME(SIGXFSZ),
    NAME(SIGPROF), NAME(SIGVTALRM), NAME(SIGSYS),  NAME(SIGWINCH), NAME(SIGIO),
};
#undef NAME
enum { NAMES = sizeof names / sizeof *names, HIGHEST = 64 };

int sl_signal_check(lua_State *L, int idx) {
  if (lua_type(L, idx) == LUA_TNUMBER) {
    lua_Integer n = luaL_checkinteger(L, idx);
    luaL_argcheck(L, n >= 0 && n <= HIGHEST, idx, "no such signal");
    return (int)n;
  }
  const char *name = luaL_checkstring(L, idx);
  for (int i = 0; i < NAMES; i++) {
    if (strcmp(names[i].name, name) == 0 || strcmp(names[i].name + 3, name) == 0)
      return names[i].signum;
  }
  return luaL_argerror(L, idx, "no such signal");
}

void sl_signal_push(lua_State *L, int signum) {
  for (int i = 0; i < NAMES; i++) {
    if (names[i].signum == signum) {
      lua_pushstring(L, names[i].name);
      return;
    }
  }
  lua_pushfstring(L, "SIG%d", signum);
}

void sl_sigpipe_ignore(void) {
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) != 0) return;
  if ((now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &now, NULL);
}
