/* A wire fed by a socket, or by two pipes: those of a child process. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/engine.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static sl_watch *watch_of(sl_wire *w) { return w->below; }

static ssize_t uv_wire_recv(sl_wire *w, void *buf, size_t len) {
  int fd = watch_of(w)->fd;
  ssize_t n;
  do {
    n = recv(fd, buf, len, 0);
    if (n < 0 && errno == ENOTSOCK) n = read(fd, buf, len);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  return n;
}

static ssize_t uv_wire_send(sl_wire *w, const void *buf, size_t len) {
  int fd = watch_of(w)->fd;
  ssize_t n;
  do {
    n = send(fd, buf, len, MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = write(fd, buf, len);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  return n;
}

static void uv_wire_want(sl_wire *w, bool read_too, bool write_too) {
  sl_watch_want(watch_of(w), (read_too ? UV_READABLE : 0) | (write_too ? UV_WRITABLE : 0));
}

static void uv_wire_close(sl_wire *w) { sl_watch_close(watch_of(w)); }

/* sshd leaves Nagle on for sessions without a terminal: its next small packet would wait 40 ms for our delayed
   acknowledgement. The option acknowledges now, and the kernel forgets it by itself. */
static void uv_wire_acknowledge(sl_wire *w) {
#ifdef TCP_QUICKACK
  int one = 1;
  setsockopt(watch_of(w)->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
#else
  (void)w;
#endif
}

static void uv_wire_low_water(sl_wire *w, int bytes) {
#ifdef __linux__ /* elsewhere the poll may not know of it */
  setsockopt(watch_of(w)->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
#else
  (void)w, (void)bytes;
#endif
}

static const sl_transport uv_transport = {.recv = uv_wire_recv,
                                          .send = uv_wire_send,
                                          .want = uv_wire_want,
                                          .close = uv_wire_close,
                                          .acknowledge = uv_wire_acknowledge,
                                          .low_water = uv_wire_low_water};

static void uv_wire_ready(sl_watch *watch, int events) {
  sl_engine *e = watch->owner;
  if (events & UV_READABLE) {
    e->readable = true;
    e->wire.dry = false;
  }
  sl_engine_queue(e);
}

void sl_engine_attach_watch(sl_engine *e, sl_watch *watch) {
  sl_wire_init(&e->wire, &uv_transport, watch);
  watch->owner = e;
  watch->ready = uv_wire_ready;
  sl_watch_want(watch, UV_READABLE);
}

/* --- two pipes: whoever made them has seen to SIGPIPE -------------------------------------------------------- */

typedef struct pipes {
  sl_watch *from, *to;
} pipes;

static ssize_t pipes_recv(sl_wire *w, void *buf, size_t len) {
  ssize_t n;
  do n = read(((pipes *)w->below)->from->fd, buf, len);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

static ssize_t pipes_send(sl_wire *w, const void *buf, size_t len) {
  ssize_t n;
  do n = write(((pipes *)w->below)->to->fd, buf, len);
  while (n < 0 && errno == EINTR);
  return n < 0 ? -errno : n;
}

static void pipes_want(sl_wire *w, bool read_too, bool write_too) {
  pipes *p = w->below;
  sl_watch_want(p->from, read_too ? UV_READABLE : 0);
  sl_watch_want(p->to, write_too ? UV_WRITABLE : 0);
}

static void pipes_close(sl_wire *w) {
  pipes *p = w->below;
  sl_watch_close(p->from);
  sl_watch_close(p->to);
  free(p);
}

static const sl_transport pipes_transport = {.recv = pipes_recv,
                                             .send = pipes_send,
                                             .want = pipes_want,
                                             .close = pipes_close};

int sl_engine_attach_pipes(sl_engine *e, sl_watch *from, sl_watch *to) {
  pipes *p = malloc(sizeof *p);
  if (!p) {
    sl_watch_close(from);
    sl_watch_close(to);
    return -1;
  }
  *p = (pipes){from, to};
  sl_wire_init(&e->wire, &pipes_transport, p);
  from->owner = to->owner = e;
  from->ready = to->ready = uv_wire_ready;
  sl_watch_want(from, UV_READABLE);
  return 0;
}
