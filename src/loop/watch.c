#include "loop/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int sl_fd_prepare(int fd) {
  int fl = fcntl(fd, F_GETFL), fd_flags = fcntl(fd, F_GETFD);
  if (fl < 0 || fd_flags < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0 ||
      fcntl(fd, F_SETFD, fd_flags | FD_CLOEXEC) < 0)
    return -errno;
  return 0;
}

sl_watch *sl_watch_new(sl_loop *loop, int fd) {
  sl_watch *w = calloc(1, sizeof *w);
  if (!w || uv_poll_init(&loop->uv, &w->poll, fd) != 0) {
    free(w);
    return NULL;
  }
  w->fd = fd;
  w->poll.data = w;
  return w;
}

static void watch_ready(uv_poll_t *p, int status, int events) {
  sl_watch *w = p->data;
  /* An error shows in the next read or write, which names it. */
  if (status < 0) { /* libuv has stopped watching; bytes may stand before the error, so it may take another look */
    events = w->events;
    w->events = 0;
    sl_watch_want(w, events);
  }
  if (events & UV_DISCONNECT) events |= w->events & (UV_READABLE | UV_WRITABLE);
  if (w->ready) w->ready(w, events);
}

void sl_watch_want(sl_watch *w, int events) {
  if (events == w->events) return;
  w->events = events;
  if (events)
    uv_poll_start(&w->poll, events, watch_ready);
  else
    uv_poll_stop(&w->poll);
}

static void watch_freed(uv_handle_t *h) { free(h->data); }

void sl_watch_close(sl_watch *w) {
  w->ready = NULL;
  uv_poll_stop(&w->poll);
  uv_close((uv_handle_t *)&w->poll, watch_freed);
  close(w->fd);
  w->fd = -1;
}
