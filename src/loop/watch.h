/* A file descriptor and what we want to hear about it: uv_poll with an owner that can change hands.
   The wire of a session and a plain socket are both built on one. */
#ifndef SL_WATCH_H
#define SL_WATCH_H

#include "loop/loop.h"

typedef struct sl_watch sl_watch;
typedef void (*sl_watch_fn)(sl_watch *watch, int events); /* UV_READABLE | UV_WRITABLE */

struct sl_watch {
  uv_poll_t poll;
  int fd, events;
  sl_watch_fn ready;
  void *owner;
};

sl_watch *sl_watch_new(sl_loop *loop, int fd); /* fd is non-blocking; NULL: it cannot be watched */
void sl_watch_want(sl_watch *watch, int events);
void sl_watch_close(sl_watch *watch); /* closes the descriptor now; the memory goes when libuv lets go */

int sl_fd_prepare(int fd); /* non-blocking, close-on-exec; -errno on failure */

#endif
