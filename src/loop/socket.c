/* Sockets for Lua: read, write, half-close, close; each direction is a lane of operations, first come first
   served. Must not know SSH. */
#include "loop/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/secret.h"
#include "loop/op.h"
#include "loop/verbs.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS: SO_NOSIGPIPE is set instead */
#endif

#define SOCKET_CLASS "sshlua.socket"
enum { READ_MAX = 262144 };

typedef struct lane {
  sl_op *head, **tail;
} lane;

typedef struct sl_socket {
  sl_owned owned;
  sl_loop *loop;
  sl_watch *watch;
  lane reads, writes;
  sl_buf unread; /* what a read brought that was then cancelled */
  int kind;
  void **box;
} sl_socket;

typedef struct io_op {
  sl_op op;
  sl_socket *socket;
  const char *data; /* write: anchored by keep_ref */
  char *buf;        /* read */
  size_t len, done;
  bool eof;
} io_op;

static void socket_rearm(sl_socket *s) {
  sl_watch_want(s->watch, (s->reads.head ? UV_READABLE : 0) | (s->writes.head ? UV_WRITABLE : 0));
}

/* --- operations ------------------------------------------------------------------------------------- */

static int read_push(sl_op *op, lua_State *L) {
  const io_op *io = (const io_op *)op;
  if (io->eof)
    lua_pushnil(L);
  else
    lua_pushlstring(L, io->buf, io->done);
  return 1;
}

static void io_clean(sl_op *op) { free(((io_op *)op)->buf); }

static void serve_unread(sl_socket *s) {
  while (s->reads.head && sl_buf_len(&s->unread)) {
    io_op *io = (io_op *)s->reads.head;
    size_t n = sl_buf_len(&s->unread);
    io->done = n < io->len ? n : io->len;
    memcpy(io->buf, sl_buf_head(&s->unread), io->done);
    sl_buf_take(&s->unread, io->done);
    sl_op_unlink(&s->reads.head, &s->reads.tail, &io->op);
    sl_op_finish(&io->op);
  }
  if (sl_buf_len(&s->unread) == 0) sl_buf_free(&s->unread);
}

/* Cancelled between the bytes' coming and their delivery: the next read has them. */
static void read_drop(sl_op *op) {
  const io_op *io = (const io_op *)op;
  sl_socket *s = io->done ? sl_op_kept_object(op) : NULL;
  if (!s) return;
  (void)sl_buf_append(&s->unread, io->buf, io->done);
  serve_unread(s);
  socket_rearm(s);
}

static bool read_cancel(sl_op *op) {
  sl_socket *s = ((io_op *)op)->socket;
  sl_op_unlink(&s->reads.head, &s->reads.tail, op);
  socket_rearm(s);
  return true;
}

static bool write_cancel(sl_op *op) {
  sl_socket *s = ((io_op *)op)->socket;
  sl_op_unlink(&s->writes.head, &s->writes.tail, op);
  socket_rearm(s);
  return true;
}

static const sl_op_kind read_kind = {.name = "socket.read",
                                     .push = read_push,
                                     .drop = read_drop,
                                     .cancel = read_cancel,
                                     .clean = io_clean};
static const sl_op_kind write_kind = {
    .name = "socket.write", .cancel = write_cancel, .clean = io_clean};

static ssize_t fd_read(const sl_socket *s, void *buf, size_t len) {
  return s->kind == SL_SOCKET_PIPE ? read(s->watch->fd, buf, len) : recv(s->watch->fd, buf, len, MSG_DONTWAIT);
}

static ssize_t fd_write(const sl_socket *s, const void *buf, size_t len) {
  return s->kind == SL_SOCKET_PIPE ? write(s->watch->fd, buf, len)
                                   : send(s->watch->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

static void socket_read_ready(sl_socket *s) {
  while (s->reads.head) {
    io_op *io = (io_op *)s->reads.head;
    ssize_t n = fd_read(s, io->buf, io->len);
    if (n < 0 && would_block()) return;
    if (n < 0)
      sl_err_uv(&io->op.err, errno == ECONNRESET ? SL_CONNECTION_LOST : SL_IO, -errno, "read");
    io->eof = n == 0;
    io->done = n > 0 ? (size_t)n : 0;
    sl_op_unlink(&s->reads.head, &s->reads.tail, &io->op);
    sl_op_finish(&io->op);
  }
}

static void socket_write_ready(sl_socket *s) {
  while (s->writes.head) {
    io_op *io = (io_op *)s->writes.head;
    while (io->done < io->len) {
      ssize_t n = fd_write(s, io->data + io->done, io->len - io->done);
      if (n < 0 && would_block()) return;
      if (n < 0) {
        sl_err_uv(&io->op.err, errno == EPIPE || errno == ECONNRESET ? SL_CONNECTION_LOST : SL_IO,
                  -errno, "write");
        break;
      }
      io->done += (size_t)n;
    }
    sl_op_unlink(&s->writes.head, &s->writes.tail, &io->op);
    sl_op_finish(&io->op);
  }
}

static void socket_ready(sl_watch *w, int events) {
  sl_socket *s = w->owner;
  if (events & UV_READABLE) socket_read_ready(s);
  if (events & UV_WRITABLE) socket_write_ready(s);
  socket_rearm(s);
}

/* --- life -------------------------------------------------------------------------------------------- */

static void lane_close(lane *l) {
  while (l->head) {
    sl_op *op = l->head;
    sl_op_unlink(&l->head, &l->tail, op);
    sl_err_set(&op->err, SL_CLOSED, NULL, 0, "the socket was closed");
    sl_op_finish(op);
  }
}

static void socket_free(sl_socket *s) {
  *s->box = NULL;
  lane_close(&s->reads);
  lane_close(&s->writes);
  sl_buf_free(&s->unread);
  sl_disown(&s->owned);
  if (s->watch) sl_watch_close(s->watch);
  free(s);
}

static void socket_shut(sl_owned *owned) { socket_free((sl_socket *)owned); }

void sl_socket_push_watch(lua_State *L, sl_watch *w, int kind) {
  sl_loop *loop = sl_loop_get(L);
  void **box = sl_box_new(L, SOCKET_CLASS);
  sl_socket *s = calloc(1, sizeof *s);
  if (!s) {
    sl_watch_close(w);
    luaL_error(L, "not enough memory");
    return;
  }
  s->loop = loop;
  s->watch = w;
  s->kind = kind;
  s->box = box;
  s->reads.tail = &s->reads.head;
  s->writes.tail = &s->writes.head;
  w->owner = s;
  w->ready = socket_ready;
  sl_own(loop, &s->owned, socket_shut);
  *box = s;
}

void sl_socket_push(lua_State *L, int fd, int kind) {
  sl_watch *w = sl_watch_new(sl_loop_get(L), fd);
  if (w) {
    sl_socket_push_watch(L, w, kind);
    return;
  }
  close(fd);
  luaL_error(L, "cannot watch a descriptor");
}

static sl_socket *check_idle(lua_State *L, int idx) {
  sl_socket *s = sl_box_check(L, idx, SOCKET_CLASS);
  if (s->reads.head || s->writes.head || sl_buf_len(&s->unread)) luaL_argerror(L, idx, "the socket is in use");
  return s;
}

void sl_socket_check_idle(lua_State *L, int idx) { (void)check_idle(L, idx); }

sl_watch *sl_socket_take(lua_State *L, int idx) {
  sl_socket *s = check_idle(L, idx);
  sl_watch *w = s->watch;
  s->watch = NULL;
  sl_watch_want(w, 0);
  socket_free(s);
  return w;
}

/* --- verbs ------------------------------------------------------------------------------------------- */

static io_op *io_new(lua_State *L, sl_socket *s, const sl_op_kind *kind) {
  io_op *io = sl_op_new(s->loop, kind, sizeof *io);
  if (!io) luaL_error(L, "not enough memory");
  io->socket = s;
  return io;
}

/* socket:read(max, done): done(nil, bytes) or done(nil, nil) at the end. */
static int l_socket_read(lua_State *L) {
  sl_socket *s = sl_box_check(L, 1, SOCKET_CLASS);
  lua_Integer max = luaL_checkinteger(L, 2);
  sl_check_done(L, 3);
  luaL_argcheck(L, max > 0, 2, "a positive size expected");
  io_op *io = io_new(L, s, &read_kind);
  io->len = max > READ_MAX ? READ_MAX : (size_t)max;
  io->buf = malloc(io->len);
  if (!io->buf) {
    sl_op_release(&io->op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_append(&s->reads.head, &s->reads.tail, &io->op);
  sl_op_start(L, &io->op, 3, 1);
  serve_unread(s);
  socket_rearm(s);
  return 1;
}

/* socket:write(bytes, done): done(nil) when all of it is with the kernel. */
static int l_socket_write(lua_State *L) {
  sl_socket *s = sl_box_check(L, 1, SOCKET_CLASS);
  size_t len;
  const char *data = sl_check_bytes(L, 2, &len);
  sl_check_done(L, 3);
  io_op *io = io_new(L, s, &write_kind);
  io->data = data;
  io->len = len;
  bool first = !s->writes.head;
  sl_op_append(&s->writes.head, &s->writes.tail, &io->op);
  sl_op_start(L, &io->op, 3, 2);
  if (first) socket_write_ready(s);
  socket_rearm(s);
  return 1;
}

/* socket:close_write(): what was written before still goes out only if its write has finished. */
static int l_socket_close_write(lua_State *L) {
  sl_socket *s = sl_box_peek(L, 1, SOCKET_CLASS);
  if (!s) return 0;
  if (s->kind == SL_SOCKET_PIPE)
    socket_free(s);
  else
    shutdown(s->watch->fd, SHUT_WR);
  return 0;
}

static int l_socket_close(lua_State *L) {
  sl_socket *s = sl_box_peek(L, 1, SOCKET_CLASS);
  if (s) socket_free(s);
  return 0;
}

/* socket:reset(): closes so that the peer gets RST. */
static int l_socket_reset(lua_State *L) {
  sl_socket *s = sl_box_peek(L, 1, SOCKET_CLASS);
  if (!s) return 0;
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(s->watch->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  socket_free(s);
  return 0;
}

/* socket:nodelay(on): small writes leave at once (TCP_NODELAY). What we connect has it; what we accept has not, because
   a server it is handed to may want to decide itself. Nothing for other sockets. */
static int l_socket_nodelay(lua_State *L) {
  sl_socket *s = sl_box_check(L, 1, SOCKET_CLASS);
  int on = lua_toboolean(L, 2);
  setsockopt(s->watch->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return 0;
}

static int l_socket_fd(lua_State *L) {
  sl_socket *s = sl_box_check(L, 1, SOCKET_CLASS);
  lua_pushinteger(L, s->watch->fd);
  return 1;
}

static int l_socket_is_closed(lua_State *L) {
  lua_pushboolean(L, sl_box_peek(L, 1, SOCKET_CLASS) == NULL);
  return 1;
}

static const luaL_Reg socket_methods[] = {{"read", l_socket_read},
                                          {"write", l_socket_write},
                                          {"close_write", l_socket_close_write},
                                          {"close", l_socket_close},
                                          {"reset", l_socket_reset},
                                          {"nodelay", l_socket_nodelay},
                                          {"fd", l_socket_fd},
                                          {"is_closed", l_socket_is_closed},
                                          {NULL, NULL}};
static const luaL_Reg socket_meta[] = {{"__gc", l_socket_close}, {NULL, NULL}};

void sl_tcp_open(lua_State *L);

void sl_socket_open(lua_State *L) {
  sl_class(L, SOCKET_CLASS, socket_methods, socket_meta);
  sl_tcp_open(L);
}
