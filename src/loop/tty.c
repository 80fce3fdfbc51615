/* tty_prompt({prompt=, echo=, timeout=, secret=}, done): done(nil, line) with what a person typed on the
   controlling terminal, never on stdin; with the name of a secret the line is one, and never a Lua string. Prompts of a Lua state are shown one after the other; the
   timeout runs from when a prompt is shown. Also isatty(fd) and tty_size(fd). Knows lines of a
   terminal; must not know what the answers are for. The prompt is written as it is: whoever passes
   on text of a server cleans it first. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/mask.h"
#include "base/secret.h"
#include "loop/op.h"
#include "loop/ttyguard.h"
#include "loop/verbs.h"
#include "loop/watch.h"

#define QUEUE_CLASS "sshlua.tty"
#define QUEUE_KEY "sshlua.tty.queue"

enum { MAX_LINE = 1024 };

typedef struct prompt_op prompt_op;

typedef struct prompt_queue {
  sl_owned owned;
  sl_op *waiting, **waiting_tail;
  prompt_op *asking;
} prompt_queue;

struct prompt_op {
  sl_op op;
  prompt_queue *queue;
  sl_watch *tty; /* while it asks */
  uv_timer_t timer;
  uv_async_t caught;  /* a fatal signal that was survived */
  const char *prompt; /* anchored by keep_ref */
  size_t prompt_len;
  lua_Number timeout; /* seconds; 0: none */
  bool echo;
  char secret[SL_SECRET_NAME_MAX + 1]; /* "": the line is a string */
  size_t len;
  char line[MAX_LINE + 2]; /* a longest line, its end, and one byte that shows it is too long */
};

static void queue_next(prompt_queue *q);

/* Asking
 * ------------------------------------------------------------------------------------------------
 */

static void handle_closed(uv_handle_t *h) {
  sl_op_unpin(h->data);
}

/* The terminal is as before and the prompt is not `asking` any more. */
static void prompt_stop(prompt_op *p) {
  if (!p->tty) return;
  static const char newline = '\n';
  bool answered = p->echo && !p->op.err.kind && !p->op.abandoned;
  if (!answered) {
    ssize_t n = write(p->tty->fd, &newline, 1); /* the one that was not echoed */
    (void)n;
  }
  sl_ttyguard_give_back();
  sl_watch_close(p->tty);
  p->tty = NULL;
  p->queue->asking = NULL;
  uv_close((uv_handle_t *)&p->timer, handle_closed);
  uv_close((uv_handle_t *)&p->caught, handle_closed);
}

static void prompt_finish(prompt_op *p) {
  prompt_queue *q = p->queue;
  prompt_stop(p);
  sl_op_finish(&p->op);
  queue_next(q);
}

static void prompt_timed_out(uv_timer_t *timer) {
  prompt_op *p = timer->data;
  tcflush(p->tty->fd, TCIFLUSH); /* half an answer must not become a shell's command */
  sl_err_set(&p->op.err, SL_TIMEOUT, "ETIMEDOUT", UV_ETIMEDOUT, "no answer within %g seconds",
             p->timeout);
  prompt_finish(p);
}

static void prompt_caught(uv_async_t *async) {
  prompt_op *p = async->data;
  if (!p->tty || sl_ttyguard_signal() == 0) return;
  sl_err_set(&p->op.err, SL_CANCELLED, "EINTR", UV_EINTR, "the prompt was interrupted by a signal");
  prompt_finish(p);
}

static void prompt_line(prompt_op *p, const char *end) {
  p->len = (size_t)(end - p->line);
  if (p->len > MAX_LINE) {
    tcflush(p->tty->fd, TCIFLUSH);
    sl_err_set(&p->op.err, SL_LIMIT, "E2BIG", UV_E2BIG, "the answer is longer than %d bytes",
               MAX_LINE);
  }
  prompt_finish(p);
}

static void prompt_ready(sl_watch *w, int events) {
  (void)events;
  prompt_op *p = w->owner;
  ssize_t n = read(w->fd, p->line + p->len, sizeof p->line - p->len);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0 || (n == 0 && p->len == 0)) {
    sl_err_uv(&p->op.err, SL_IO, n < 0 ? -errno : UV_EOF, "no answer from the terminal");
    prompt_finish(p);
    return;
  }
  p->len += (size_t)n;
  const char *end = memchr(p->line, '\n', p->len);
  if (end || n == 0 || p->len > MAX_LINE) prompt_line(p, end ? end : p->line + p->len);
}

static void prompt_handles(prompt_op *p) {
  uv_loop_t *uv = &p->op.loop->uv;
  uv_timer_init(uv, &p->timer);
  uv_async_init(uv, &p->caught, prompt_caught);
  p->timer.data = p->caught.data = p;
  sl_op_pin(&p->op);
  sl_op_pin(&p->op);
}

static int prompt_failed(prompt_op *p, int code) {
  return sl_err_uv(&p->op.err, SL_IO, code, "no terminal to ask on");
}

static int prompt_start(prompt_op *p) {
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return prompt_failed(p, -errno);
  p->tty = sl_watch_new(p->op.loop, fd);
  if (!p->tty) {
    close(fd);
    return prompt_failed(p, UV_ENOTTY);
  }
  prompt_handles(p);
  int rc = sl_ttyguard_take(fd, p->echo, p->prompt, p->prompt_len, &p->caught);
  if (rc != 0) {
    sl_watch_close(p->tty);
    p->tty = NULL;
    uv_close((uv_handle_t *)&p->timer, handle_closed);
    uv_close((uv_handle_t *)&p->caught, handle_closed);
    return prompt_failed(p, rc);
  }
  p->queue->asking = p;
  p->tty->owner = p;
  p->tty->ready = prompt_ready;
  sl_watch_want(p->tty, UV_READABLE);
  if (p->timeout > 0) {
    uv_update_time(&p->op.loop->uv);
    uv_timer_start(&p->timer, prompt_timed_out, (uint64_t)ceil(p->timeout * 1000), 0);
  }
  return 0;
}

static void queue_next(prompt_queue *q) {
  while (!q->asking && q->waiting) {
    sl_op *op = q->waiting;
    sl_op_unlink(&q->waiting, &q->waiting_tail, op);
    if (prompt_start((prompt_op *)op) != 0) sl_op_finish(op);
  }
}

/* Operation
 * --------------------------------------------------------------------------------------------- */

static int prompt_push(sl_op *op, lua_State *L) {
  const prompt_op *p = (const prompt_op *)op;
  if (*p->secret)
    sl_secret_push_copy(L, p->secret, p->line, p->len);
  else
    lua_pushlstring(L, p->line, p->len);
  return 1;
}

static bool prompt_cancel(sl_op *op) {
  prompt_op *p = (prompt_op *)op;
  prompt_queue *q = p->queue;
  if (p->tty) tcflush(p->tty->fd, TCIFLUSH);
  sl_op_unlink(&q->waiting, &q->waiting_tail, op);
  prompt_stop(p);
  queue_next(q);
  return true;
}

static void prompt_clean(sl_op *op) {
  prompt_op *p = (prompt_op *)op;
  sl_wipe(p->line, sizeof p->line);
}

static const sl_op_kind prompt_kind = {
    .name = "tty_prompt", .push = prompt_push, .cancel = prompt_cancel, .clean = prompt_clean};

/* Queue of a Lua state
 * ---------------------------------------------------------------------------------- */

static void queue_shut(sl_owned *owned) {
  prompt_queue *q = (prompt_queue *)((char *)owned - offsetof(prompt_queue, owned));
  sl_disown(owned);
  while (q->waiting) {
    sl_op *op = q->waiting;
    sl_op_unlink(&q->waiting, &q->waiting_tail, op);
    sl_op_release(op);
  }
  if (q->asking) {
    prompt_op *p = q->asking;
    p->op.abandoned = true;
    prompt_stop(p);
    sl_op_release(&p->op);
  }
}

static prompt_queue *queue_get(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, QUEUE_KEY);
  prompt_queue *q = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (q) return q;
  sl_loop *loop = sl_loop_get(L);
  q = lua_newuserdata(L, sizeof *q); /* without a finalizer: the registry keeps it to the end */
  *q = (prompt_queue){.asking = NULL};
  lua_setfield(L, LUA_REGISTRYINDEX, QUEUE_KEY);
  sl_own(loop, &q->owned, queue_shut);
  return q;
}

static int l_tty_prompt(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  sl_check_done(L, 2);
  lua_settop(L, 2);
  lua_Number timeout = sl_opt_number(L, 1, "timeout", 0);
  luaL_argcheck(L, timeout >= 0 && timeout < 1e9, 1, "option 'timeout': out of range");
  bool echo = sl_opt_boolean(L, 1, "echo", false);
  const char *secret = sl_opt_string(L, 1, "secret", "");
  lua_pushstring(L, sl_opt_string(L, 1, "prompt", ""));
  prompt_queue *q = queue_get(L);
  prompt_op *p = sl_op_new(sl_loop_get(L), &prompt_kind, sizeof *p);
  if (!p) return luaL_error(L, "not enough memory");
  p->queue = q;
  p->timeout = timeout;
  p->echo = echo;
  snprintf(p->secret, sizeof p->secret, "%s", secret);
  p->prompt = lua_tolstring(L, 3, &p->prompt_len);
  sl_op_start(L, &p->op, 2, 3);
  sl_op_append(&q->waiting, &q->waiting_tail, &p->op);
  queue_next(q);
  return 1;
}

static int l_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* tty_size(fd) -> rows, columns; nothing when fd is not a terminal or does not know. */
static int l_tty_size(lua_State *L) {
  struct winsize size;
  if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return 0;
  lua_pushinteger(L, size.ws_row);
  lua_pushinteger(L, size.ws_col);
  return 2;
}

static const luaL_Reg tty_functions[] = {
    {"tty_prompt", l_tty_prompt}, {"isatty", l_isatty}, {"tty_size", l_tty_size}, {NULL, NULL}};

void sl_tty_open(lua_State *L) {
  luaL_setfuncs(L, tty_functions, 0);
}
