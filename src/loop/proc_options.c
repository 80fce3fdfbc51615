/* What a child is started with: spawn's table read into libuv's options, and its standard streams. Knows the table;
   must not know how a child is started, waited for or signalled.

   Making the first pipe sets SIGPIPE to be ignored if it has its default action: write(2) to a pipe
   has no MSG_NOSIGNAL, and a child that stops reading must not end this process. Children get the
   default again. */
#include "loop/proc_options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "loop/signame.h"
#include "loop/socket.h"

enum { MAX_WORDS = 1 << 16 };

/* Pushes an array of the strings in the list at the top, which anchors them, and removes nothing
 * (+1). */
static char **words_array(lua_State *L, const char *field, bool assignments) {
  if (lua_type(L, -1) != LUA_TTABLE)
    luaL_error(L, "option '%s': list of strings expected, got %s", field, luaL_typename(L, -1));
  size_t n = lua_rawlen(L, -1);
  if (n > MAX_WORDS) luaL_error(L, "option '%s': too many words", field);
  char **array = lua_newuserdata(L, (n + 1) * sizeof *array); /* [list, array] */
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, -2, (int)i + 1);
    if (lua_type(L, -1) != LUA_TSTRING && !(assignments && sl_is_secret(L, -1)))
      luaL_error(L, "option '%s': item %d: string expected, got %s", field, (int)i + 1,
                 luaL_typename(L, -1));
    size_t len;
    const char *word = sl_check_bytes(L, lua_gettop(L), &len);
    if (strlen(word) != len)
      luaL_error(L, "option '%s': item %d has a NUL byte", field, (int)i + 1);
    if (assignments && !strchr(word, '='))
      luaL_error(L, "option '%s': item %d is not NAME=VALUE", field, (int)i + 1);
    array[i] = (char *)(uintptr_t)word; /* libuv's options want char *, and do not write */
    lua_pop(L, 1);
  }
  array[n] = NULL;
  return array;
}

static bool id_option(lua_State *L, const char *field, unsigned *id) {
  lua_Number v = sl_opt_number(L, 1, field, -1);
  if (v == -1) return false;
  if (!(v >= 0 && v < 0xffffffff)) luaL_error(L, "option '%s': out of range", field);
  *id = (unsigned)v;
  return true;
}

static const char *cwd_option(lua_State *L) {
  const char *cwd = sl_opt_string(L, 1, "cwd", NULL);
  lua_getfield(L, 1, "cwd");
  if (cwd && strlen(cwd) != lua_rawlen(L, -1)) luaL_error(L, "option 'cwd' has a NUL byte");
  return cwd;
}

void sl_proc_options(lua_State *L, uv_process_options_t *o) {
  lua_getfield(L, 1, "args");
  o->args = words_array(L, "args", false);
  o->file = o->args[0];
  if (!o->file || !*o->file) luaL_error(L, "option 'args': no program");
  lua_getfield(L, 1, "env");
  if (!lua_isnil(L, -1)) o->env = words_array(L, "env", true);
  o->cwd = cwd_option(L);
  if (sl_opt_boolean(L, 1, "detached", false)) o->flags |= UV_PROCESS_DETACHED;
  unsigned id = 0;
  if (id_option(L, "uid", &id)) o->flags |= UV_PROCESS_SETUID, o->uid = id;
  if (id_option(L, "gid", &id)) o->flags |= UV_PROCESS_SETGID, o->gid = id;
}

/* Makes the pipe of stream i; our end becomes a socket object in the table of streams. */
static int pipe_make(lua_State *L, int *child_ends, int i, int streams_idx) {
  int fds[2];
  sl_sigpipe_ignore();
  if (pipe2(fds, O_CLOEXEC) != 0) return -errno;
  int ours = i == 0 ? fds[1] : fds[0];
  child_ends[i] = i == 0 ? fds[0] : fds[1];
  fcntl(ours, F_SETFL, fcntl(ours, F_GETFL) | O_NONBLOCK);
  sl_socket_push(L, ours, SL_SOCKET_PIPE);
  lua_rawseti(L, streams_idx, i + 1);
  return 0;
}

/* The fd() of the userdata at the top. */
static int stream_fd_of(lua_State *L, const char *field) {
  if (luaL_getmetafield(L, -1, "__index") == 0)
    luaL_error(L, "option '%s': the userdata has no method fd", field);
  lua_pop(L, 1);
  lua_getfield(L, -1, "fd");
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) != LUA_TNUMBER || lua_tointeger(L, -1) < 0)
    luaL_error(L, "option '%s': its method fd gave no descriptor", field);
  int fd = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return fd;
}

/* Fills the container of stream i. 0, or a negative code when a pipe cannot be made. */
static int stream_set_up(lua_State *L, int i, uv_stdio_container_t *c, int *child_ends,
                         int streams_idx) {
  static const char *const fields[SL_STREAMS] = {"stdin", "stdout", "stderr"};
  static const char *const words[] = {"null", "inherit", "pipe", NULL};
  lua_getfield(L, 1, fields[i]);
  int type = lua_type(L, -1), rc = 0;
  c->flags = UV_INHERIT_FD;
  c->data.fd = i;
  if (type == LUA_TNIL) {
    if (i == 0) c->flags = UV_IGNORE;
  } else if (type == LUA_TNUMBER) {
    lua_Integer fd = lua_tointeger(L, -1);
    if (fd < 0 || fd > (1 << 24)) luaL_error(L, "option '%s': bad descriptor", fields[i]);
    c->data.fd = (int)fd;
  } else if (type == LUA_TUSERDATA) {
    c->data.fd = stream_fd_of(L, fields[i]);
  } else if (type == LUA_TSTRING) {
    int w = 0;
    while (words[w] && strcmp(words[w], lua_tostring(L, -1)) != 0) w++;
    if (!words[w]) luaL_error(L, "option '%s': no such kind of stream", fields[i]);
    if (w == 0) c->flags = UV_IGNORE;
    if (w == 2) rc = pipe_make(L, child_ends, i, streams_idx);
    if (w == 2 && rc == 0) c->data.fd = child_ends[i];
  } else {
    luaL_error(L, "option '%s': got %s", fields[i], lua_typename(L, type));
  }
  lua_pop(L, 1);
  return rc;
}

int sl_proc_streams(lua_State *L, uv_stdio_container_t *stdio, int *child_ends, int streams_idx) {
  int rc = 0;
  for (int i = 0; i < SL_STREAMS && rc == 0; i++)
    rc = stream_set_up(L, i, &stdio[i], child_ends, streams_idx);
  return rc;
}
