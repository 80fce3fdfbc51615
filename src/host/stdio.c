/* The program's own standard input and output as streams of the loop, for commands that pass them on. Knows
   descriptors; must not know what flows. */
#include "host/host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/signame.h"
#include "loop/socket.h"

/* Others may have the same open file (a terminal, a pipe of the shell): it does not stay non-blocking. */
static struct taken {
  int fd, flags;
} taken[2] = {{-1, 0}, {-1, 0}};

static void give_back(int i) {
  if (taken[i].fd >= 0) (void)fcntl(taken[i].fd, F_SETFL, taken[i].flags);
  taken[i].fd = -1;
}

static void give_back_all(void) {
  give_back(0);
  give_back(1);
}

/* The descriptor itself leads nowhere from now on: what is printed by mistake is not in the stream, and closing the
   stream closes it for the other side. */
static bool lead_nowhere(int fd) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  bool ok = null >= 0 && dup2(null, fd) == fd;
  if (null >= 0) close(null);
  return ok;
}

/* take_stream(fd) -> socket of standard input (0) or output (1); nil: it is a file, which never keeps anybody
   waiting. */
static int l_take_stream(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd == 0 || fd == 1, 1, "0 or 1 expected");
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), flags = fcntl(fd, F_GETFL);
  sl_watch *w = copy >= 0 && flags >= 0 ? sl_watch_new(sl_loop_get(L), copy) : NULL;
  if (!w) {
    if (copy >= 0) close(copy);
    return 0;
  }
  if (taken[0].fd < 0 && taken[1].fd < 0) atexit(give_back_all);
  give_back(fd);
  taken[fd] = (struct taken){copy, flags};
  (void)fcntl(copy, F_SETFL, flags | O_NONBLOCK);
  sl_sigpipe_ignore();
  if (!lead_nowhere(fd)) {
    give_back(fd);
    sl_watch_close(w);
    return luaL_error(L, "cannot open /dev/null");
  }
  sl_socket_push_watch(L, w, SL_SOCKET_PIPE);
  return 1;
}

/* release_stream(fd): its open file is as we found it; then the socket may be closed. */
static int l_release_stream(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd == 0 || fd == 1, 1, "0 or 1 expected");
  give_back(fd);
  return 0;
}

static const luaL_Reg stdio_functions[] = {
    {"take_stream", l_take_stream}, {"release_stream", l_release_stream}, {NULL, NULL}};

void sl_stdio_open(lua_State *L) {
  luaL_setfuncs(L, stdio_functions, 0);
}
