/* Making streams: TCP and Unix connects, listeners and accepts. Which address, in what order and for how long
   is decided in Lua. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/socket.h"
#include "loop/verbs.h"

#define LISTENER_CLASS "sshlua.listener"

typedef struct address {
  union {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
  } u;
  socklen_t len;
  char text[128]; /* for messages */
} address;

static int address_numeric(const char *ip, lua_Integer port, address *out) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC,
                           .ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
                  *res = NULL;
  char service[8];
  if (port < 0 || port > 65535) return -1;
  snprintf(service, sizeof service, "%d", (int)port);
  if (getaddrinfo(ip, service, &hints, &res) != 0) return -1;
  memcpy(&out->u, res->ai_addr, res->ai_addrlen);
  out->len = res->ai_addrlen;
  freeaddrinfo(res);
  snprintf(out->text, sizeof out->text, strchr(ip, ':') ? "[%s]:%d" : "%s:%d", ip, (int)port);
  return 0;
}

static int address_unix(const char *path, address *out) {
  memset(out, 0, sizeof *out);
  if (strlen(path) >= sizeof out->u.un.sun_path) return -1;
  out->u.un.sun_family = AF_UNIX;
  strcpy(out->u.un.sun_path, path);
  out->len = sizeof out->u.un;
  snprintf(out->text, sizeof out->text, "%s", path);
  return 0;
}

static void check_numeric(lua_State *L, int ip_idx, int port_idx, address *out) {
  const char *ip = luaL_checkstring(L, ip_idx);
  lua_Integer port = luaL_checkinteger(L, port_idx);
  if (address_numeric(ip, port, out) < 0) luaL_argerror(L, ip_idx, "not a numeric address and port");
}

static void fd_tune(int fd, const address *a) {
  int one = 1;
  if (a->u.sa.sa_family == AF_UNIX) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int fd_new(const address *a) {
  int fd = socket(a->u.sa.sa_family, SOCK_STREAM, 0);
  if (fd < 0) return -errno;
  int rc = sl_fd_prepare(fd);
  if (rc < 0) {
    close(fd);
    return rc;
  }
#ifdef SO_NOSIGPIPE
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
  return fd;
}

/* --- connect ----------------------------------------------------------------------------------------- */

typedef struct connect_op {
  sl_op op;
  sl_watch *watch;
  address to;
} connect_op;

static int connect_push(sl_op *op, lua_State *L) {
  connect_op *c = (connect_op *)op;
  sl_watch *w = c->watch;
  c->watch = NULL;
  sl_socket_push_watch(L, w, SL_SOCKET_STREAM);
  return 1;
}

static void connect_clean(sl_op *op) {
  connect_op *c = (connect_op *)op;
  if (c->watch) sl_watch_close(c->watch);
  c->watch = NULL;
}

static bool connect_cancel(sl_op *op) {
  (void)op;
  return true;
}

static const sl_op_kind connect_kind = {.name = "connect",
                                        .push = connect_push,
                                        .cancel = connect_cancel,
                                        .clean = connect_clean};

static void connect_failed(connect_op *c, int code) {
  char what[160];
  snprintf(what, sizeof what, "connect to %s", c->to.text);
  sl_err_uv(&c->op.err, SL_CONNECT, code, what);
  sl_op_finish(&c->op);
}

static void connect_ready(sl_watch *w, int events) {
  connect_op *c = w->owner;
  int code = 0;
  socklen_t len = sizeof code;
  (void)events;
  sl_watch_want(w, 0);
  if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0) code = errno;
  if (code != 0)
    connect_failed(c, -code);
  else
    sl_op_finish(&c->op);
}

static int fd_bind(int fd, const char *ip) {
  address local;
  if (!ip) return 0;
  if (address_numeric(ip, 0, &local) < 0) return -EINVAL;
  return bind(fd, &local.u.sa, local.len) < 0 ? -errno : 0;
}

typedef struct connect_options {
  const char *bind_ip;
  int sndbuf; /* 0: the kernel's own sizing */
  int tos;    /* type of service (RFC 2474); -1: the kernel's */
  bool keepalive;
} connect_options;

static void fd_options(int fd, const address *to, const connect_options *o) {
  int one = 1;
  if (o->sndbuf) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &o->sndbuf, sizeof o->sndbuf);
  if (o->keepalive) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  if (o->tos < 0) return;
  if (to->u.sa.sa_family == AF_INET6)
    setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &o->tos, sizeof o->tos);
  else if (to->u.sa.sa_family == AF_INET)
    setsockopt(fd, IPPROTO_IP, IP_TOS, &o->tos, sizeof o->tos);
}

static int start_connect(lua_State *L, const address *to, connect_options opts, int done_idx) {
  sl_loop *loop = sl_loop_get(L);
  connect_op *c = sl_op_new(loop, &connect_kind, sizeof *c);
  if (!c) return luaL_error(L, "not enough memory");
  c->to = *to;
  sl_op_start(L, &c->op, done_idx, 0);
  int fd = fd_new(to);
  if (fd < 0) {
    connect_failed(c, fd);
    return 1;
  }
  fd_tune(fd, to);
  fd_options(fd, to, &opts);
  int rc = fd_bind(fd, opts.bind_ip);
  if (rc == 0 && connect(fd, &to->u.sa, to->len) < 0 && errno != EINPROGRESS) rc = -errno;
  c->watch = rc == 0 ? sl_watch_new(loop, fd) : NULL;
  if (!c->watch) {
    close(fd);
    connect_failed(c, rc ? rc : -ENOMEM);
    return 1;
  }
  c->watch->owner = c;
  c->watch->ready = connect_ready;
  sl_watch_want(c->watch, UV_WRITABLE);
  return 1;
}

/* tcp_connect(ip, port, {bind = ip, sndbuf = bytes, tos = 0..255, keepalive = true}|nil, done): done(nil, socket). */
static int l_tcp_connect(lua_State *L) {
  address to;
  check_numeric(L, 1, 2, &to);
  connect_options opts = {.bind_ip = sl_opt_string(L, 3, "bind", NULL),
                          .sndbuf = (int)sl_opt_integer(L, 3, "sndbuf", 0),
                          .tos = (int)sl_opt_integer(L, 3, "tos", -1),
                          .keepalive = sl_opt_boolean(L, 3, "keepalive", false)};
  sl_check_done(L, 4);
  return start_connect(L, &to, opts, 4);
}

/* unix_connect(path, done): done(nil, socket). */
static int l_unix_connect(lua_State *L) {
  address to;
  if (address_unix(luaL_checkstring(L, 1), &to) < 0)
    return luaL_argerror(L, 1, "path too long for a Unix socket");
  sl_check_done(L, 2);
  return start_connect(L, &to, (connect_options){.tos = -1}, 2);
}

/* --- listen ------------------------------------------------------------------------------------------ */

typedef struct listener {
  sl_owned owned;
  sl_loop *loop;
  sl_watch *watch;
  sl_op *head, **tail;
  void **box;
} listener;

typedef struct accept_op {
  sl_op op;
  listener *from;
  int fd;
} accept_op;

static int accept_push(sl_op *op, lua_State *L) {
  accept_op *a = (accept_op *)op;
  int fd = a->fd;
  a->fd = -1;
  sl_socket_push(L, fd, SL_SOCKET_STREAM);
  return 1;
}

static void accept_clean(sl_op *op) {
  if (((accept_op *)op)->fd >= 0) close(((accept_op *)op)->fd);
}

static bool accept_cancel(sl_op *op) {
  listener *l = ((accept_op *)op)->from;
  sl_op_unlink(&l->head, &l->tail, op);
  if (!l->head) sl_watch_want(l->watch, 0);
  return true;
}

static const sl_op_kind accept_kind = {
    .name = "accept", .push = accept_push, .cancel = accept_cancel, .clean = accept_clean};

static void listener_ready(sl_watch *w, int events) {
  listener *l = w->owner;
  (void)events;
  while (l->head) {
    accept_op *a = (accept_op *)l->head;
    int fd = accept(w->fd, NULL, NULL);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) break;
    if (fd < 0) sl_err_uv(&a->op.err, SL_IO, -errno, "accept");
    if (fd >= 0) (void)sl_fd_prepare(fd);
    a->fd = fd;
    sl_op_unlink(&l->head, &l->tail, &a->op);
    sl_op_finish(&a->op);
  }
  if (!l->head) sl_watch_want(l->watch, 0);
}

static void listener_free(listener *l) {
  *l->box = NULL;
  while (l->head) {
    sl_op *op = l->head;
    sl_op_unlink(&l->head, &l->tail, op);
    sl_err_set(&op->err, SL_CLOSED, NULL, 0, "the listener was closed");
    sl_op_finish(op);
  }
  sl_disown(&l->owned);
  sl_watch_close(l->watch);
  free(l);
}

static void listener_shut(sl_owned *owned) { listener_free((listener *)owned); }

static int fail(lua_State *L, int code, const char *what) {
  sl_err e = {0};
  sl_err_uv(&e, SL_IO, code, what);
  lua_pushnil(L);
  sl_push_err(L, &e);
  return 2;
}

static int start_listen(lua_State *L, const address *at, int backlog) {
  sl_loop *loop = sl_loop_get(L);
  void **box = sl_box_new(L, LISTENER_CLASS);
  int fd = fd_new(at), one = 1;
  if (fd < 0) return fail(L, fd, at->text);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, &at->u.sa, at->len) < 0 || listen(fd, backlog) < 0) {
    int code = -errno;
    close(fd);
    return fail(L, code, at->text);
  }
  listener *l = calloc(1, sizeof *l);
  sl_watch *w = l ? sl_watch_new(loop, fd) : NULL;
  if (!w) {
    free(l);
    close(fd);
    return luaL_error(L, "not enough memory");
  }
  l->loop = loop;
  l->watch = w;
  l->box = box;
  l->tail = &l->head;
  w->owner = l;
  w->ready = listener_ready;
  sl_own(loop, &l->owned, listener_shut);
  *box = l;
  return 1;
}

/* tcp_listen(ip, port, backlog|nil) -> listener, or nil, err. Port 0: any free one, see listener:port(). */
static int l_tcp_listen(lua_State *L) {
  address at;
  check_numeric(L, 1, 2, &at);
  return start_listen(L, &at, (int)luaL_optinteger(L, 3, 128));
}

/* unix_listen(path) -> listener, or nil, err. The caller sees to the directory's mode. */
static int l_unix_listen(lua_State *L) {
  address at;
  if (address_unix(luaL_checkstring(L, 1), &at) < 0)
    return luaL_argerror(L, 1, "path too long for a Unix socket");
  return start_listen(L, &at, 128);
}

static int l_listener_accept(lua_State *L) {
  listener *l = sl_box_check(L, 1, LISTENER_CLASS);
  sl_check_done(L, 2);
  accept_op *a = sl_op_new(l->loop, &accept_kind, sizeof *a);
  if (!a) return luaL_error(L, "not enough memory");
  a->from = l;
  a->fd = -1;
  sl_op_append(&l->head, &l->tail, &a->op);
  sl_op_start(L, &a->op, 2, 1);
  sl_watch_want(l->watch, UV_READABLE);
  return 1;
}

static int l_listener_port(lua_State *L) {
  listener *l = sl_box_check(L, 1, LISTENER_CLASS);
  address at = {.len = sizeof at.u};
  if (getsockname(l->watch->fd, &at.u.sa, &at.len) < 0) return fail(L, -errno, "getsockname");
  lua_pushinteger(L, ntohs(at.u.sa.sa_family == AF_INET6 ? at.u.in6.sin6_port : at.u.in.sin_port));
  return 1;
}

static int l_listener_close(lua_State *L) {
  listener *l = sl_box_peek(L, 1, LISTENER_CLASS);
  if (l) listener_free(l);
  return 0;
}

static const luaL_Reg listener_methods[] = {{"accept", l_listener_accept},
                                            {"port", l_listener_port},
                                            {"close", l_listener_close},
                                            {NULL, NULL}};
static const luaL_Reg listener_meta[] = {{"__gc", l_listener_close}, {NULL, NULL}};
static const luaL_Reg tcp_functions[] = {{"tcp_connect", l_tcp_connect},
                                         {"unix_connect", l_unix_connect},
                                         {"tcp_listen", l_tcp_listen},
                                         {"unix_listen", l_unix_listen},
                                         {NULL, NULL}};

void sl_tcp_open(lua_State *L);
void sl_tcp_open(lua_State *L) {
  sl_class(L, LISTENER_CLASS, listener_methods, listener_meta);
  luaL_setfuncs(L, tcp_functions, 0);
}
