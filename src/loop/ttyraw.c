/* tty_raw([fd]) -> socket, or nil, error: the controlling terminal (or the one that fd is) for a person who talks to
   another host: every byte as it is typed. tty_screen([fd]) -> socket: for whoever draws on it. tty_held(): it is still as one
   of them made it. tty_restore() gives it back; so do fatal signals, exit() and the
   end of the module (ttyguard). Knows the terminal; must not know who talks to whom. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/socket.h"
#include "loop/ttyguard.h"
#include "loop/verbs.h"

#define HOLDER_KEY "sshlua.tty.raw"

/* Of a Lua state: gives the terminal back when the state ends. */
typedef struct holder {
  sl_owned owned;
  bool has_it;
} holder;

static void holder_drop(holder *h) {
  if (!h->has_it) return;
  h->has_it = false;
  sl_disown(&h->owned);
  sl_ttyguard_give_back();
}

static void holder_shut(sl_owned *owned) {
  holder_drop((holder *)((char *)owned - offsetof(holder, owned)));
}

static holder *holder_get(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, HOLDER_KEY);
  holder *h = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (h) return h;
  h = lua_newuserdata(L, sizeof *h); /* without a finalizer: the registry keeps it to the end */
  *h = (holder){.has_it = false};
  lua_setfield(L, LUA_REGISTRYINDEX, HOLDER_KEY);
  return h;
}

static int push_failure(lua_State *L, int code) {
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, code, "no terminal to hand over");
  lua_pushnil(L);
  sl_push_err(L, &err);
  return 2;
}

/* The alternate screen, without a cursor and without wrapped lines; and back. */
static const char screen_enter[] = "\33[?1049h\33[?25l\33[?7l\33[2J";
static const char screen_leave[] = "\33[?7h\33[?25h\33[?1049l";

/* The settings have a descriptor of their own: the socket may be closed first. */
static int terminal_take(const char *path, bool screen) {
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -errno;
  int rc = screen ? sl_ttyguard_screen(fd, screen_enter, screen_leave) : sl_ttyguard_raw(fd);
  if (rc != 0) close(fd);
  return rc;
}

/* Where a terminal can be opened once more: by its own name if it has one here. */
static void terminal_path(int fd, char *path, size_t size) {
  if (fd < 0 || ttyname_r(fd, path, size) != 0 || access(path, R_OK | W_OK) != 0) snprintf(path, size, "/dev/tty");
}

static int take(lua_State *L, bool screen) {
  char path[128];
  terminal_path((int)luaL_optinteger(L, 1, -1), path, sizeof path);
  sl_loop *loop = sl_loop_get(L);
  holder *h = holder_get(L);
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return push_failure(L, -errno);
  sl_socket_push(L, fd, SL_SOCKET_PIPE); /* may raise: nothing is changed yet */
  int rc = terminal_take(path, screen);
  if (rc != 0) return push_failure(L, rc); /* the socket goes to the collector */
  h->has_it = true;
  sl_own(loop, &h->owned, holder_shut);
  return 1;
}

static int l_tty_raw(lua_State *L) {
  return take(L, false);
}

static int l_tty_screen(lua_State *L) {
  return take(L, true);
}

static int l_tty_held(lua_State *L) {
  lua_pushboolean(L, holder_get(L)->has_it && sl_ttyguard_held());
  return 1;
}

static int l_tty_restore(lua_State *L) {
  holder_drop(holder_get(L));
  return 0;
}

static const luaL_Reg raw_functions[] = {
    {"tty_raw", l_tty_raw}, {"tty_screen", l_tty_screen}, {"tty_held", l_tty_held}, {"tty_restore", l_tty_restore},
    {NULL, NULL}};

void sl_ttyraw_open(lua_State *L) {
  luaL_setfuncs(L, raw_functions, 0);
}
