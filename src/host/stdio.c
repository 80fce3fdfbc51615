/* The program's own standard input, output and error as streams of the loop, for commands that pass them on. Knows
   descriptors; must not know what flows. */
#include "host/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop/signame.h"
#include "loop/socket.h"

/* Others may have the same open file (a terminal, a pipe of the shell), and for them it does not become non-blocking:
   where we can, we open it once more for ourselves. Sockets are asked not to wait at each call. For the rest (a pipe
   that another user has made) the flags are put back. */
enum { STREAMS = 3 };

static struct taken {
  int fd, flags;
  dev_t dev;
  ino_t ino;
} taken[STREAMS] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};

/* The number may be another file's by now. */
static void give_back(int i) {
  struct stat st;
  int fd = taken[i].fd;
  taken[i].fd = -1;
  if (fd < 0 || fstat(fd, &st) != 0 || st.st_dev != taken[i].dev || st.st_ino != taken[i].ino) return;
  (void)fcntl(fd, F_SETFL, taken[i].flags);
}

static void give_back_all(void) {
  for (int i = 0; i < STREAMS; i++) give_back(i);
}

static void remember(int i, int fd, int flags, const struct stat *st) {
  static bool at_exit = false;
  if (!at_exit) atexit(give_back_all);
  at_exit = true;
  give_back(i);
  taken[i] = (struct taken){fd, flags, st->st_dev, st->st_ino};
}

static int open_again(int fd, const struct stat *st) {
  char path[64];
  int flags = (fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, again = -1;
  if (!isatty(fd) && !S_ISFIFO(st->st_mode)) return -1;
  if (!isatty(fd) || ttyname_r(fd, path, sizeof path) != 0) snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  again = open(path, flags);
  return again < 0 && isatty(fd) ? open("/dev/tty", flags) : again;
}

/* A watch on the same thing as fd; NULL: it is a file. */
static sl_watch *watch_of(lua_State *L, int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode)) return NULL;
  int own = open_again(fd, &st), flags = fcntl(fd, F_GETFL);
  int used = own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (used < 0) return NULL;
  sl_watch *w = sl_watch_new(sl_loop_get(L), used); /* which makes it non-blocking */
  if (!w) close(used);
  if (own >= 0) return w;
  if (!w || S_ISSOCK(st.st_mode))
    (void)fcntl(fd, F_SETFL, flags);
  else
    remember(fd, used, flags, &st);
  return w;
}

/* The descriptor itself leads nowhere from now on: what is printed by mistake is not in the stream, and closing the
   stream closes it for the other side. */
static bool lead_nowhere(int fd) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  bool ok = null >= 0 && dup2(null, fd) == fd;
  if (null >= 0) close(null);
  return ok;
}

/* take_stream(fd) -> socket of standard input (0), output (1) or error (2); nil: it is a file, which never keeps
   anybody waiting. Standard error stays what it is for our own words, too. */
static int l_take_stream(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd >= 0 && fd < STREAMS, 1, "0, 1 or 2 expected");
  struct stat st;
  sl_watch *w = watch_of(L, fd);
  if (!w) return 0;
  sl_sigpipe_ignore();
  if (fd != STDERR_FILENO && !lead_nowhere(fd)) {
    give_back(fd);
    sl_watch_close(w);
    return luaL_error(L, "cannot open /dev/null");
  }
  bool is_socket = fstat(w->fd, &st) == 0 && S_ISSOCK(st.st_mode);
  sl_socket_push_watch(L, w, is_socket ? SL_SOCKET_STREAM : SL_SOCKET_PIPE);
  return 1;
}

/* release_stream(fd): its open file is as we found it; then the socket may be closed. */
static int l_release_stream(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd >= 0 && fd < STREAMS, 1, "0, 1 or 2 expected");
  give_back(fd);
  return 0;
}

/* background() -> true: the process that was started has ended with 0, and this one goes on in a session of its own,
   with everything that was open; or nil, message. Nothing may be under way in the thread pool. */
static int l_background(lua_State *L) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid > 0) _exit(0);
  if (pid < 0) return luaL_fileresult(L, 0, "cannot go into the background");
  (void)setsid();
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg stdio_functions[] = {{"take_stream", l_take_stream},
                                           {"release_stream", l_release_stream},
                                           {"background", l_background},
                                           {NULL, NULL}};

void sl_stdio_open(lua_State *L) {
  luaL_setfuncs(L, stdio_functions, 0);
}
