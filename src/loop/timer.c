/* timer(seconds, done): done() once, after that long on a clock that never jumps. */
#include <math.h>

#include "loop/op.h"
#include "loop/verbs.h"

typedef struct timer_op {
  sl_op op;
  uv_timer_t timer;
} timer_op;

static void timer_closed(uv_handle_t *h) { sl_op_unpin(h->data); }

static void timer_fired(uv_timer_t *t) { sl_op_finish(t->data); }

static bool timer_cancel(sl_op *op) {
  (void)op; /* clean closes the handle, and the pin keeps the memory until that is done */
  return true;
}

static void timer_clean(sl_op *op) { uv_close((uv_handle_t *)&((timer_op *)op)->timer, timer_closed); }

static const sl_op_kind timer_kind = {
    .name = "timer", .cancel = timer_cancel, .clean = timer_clean};

/* libuv counts whole milliseconds of a clock that it rounds down: without the part that it dropped
 * a timer would fire up to a millisecond early. */
static uint64_t timer_ticks(uv_loop_t *uv, double seconds) {
  uv_update_time(uv);
  if (seconds <= 0) return 0; /* the next turn */
  double due = ceil((double)uv_hrtime() / 1e6 + seconds * 1000);
  return (uint64_t)due - uv_now(uv);
}

static int l_timer(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  sl_check_done(L, 2);
  luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "seconds out of range");
  sl_loop *loop = sl_loop_get(L);
  timer_op *t = sl_op_new(loop, &timer_kind, sizeof *t);
  if (!t) return luaL_error(L, "not enough memory");
  uv_timer_init(&loop->uv, &t->timer);
  t->timer.data = t;
  sl_op_pin(&t->op);
  uv_timer_start(&t->timer, timer_fired, timer_ticks(&loop->uv, seconds), 0);
  sl_op_start(L, &t->op, 2, 0);
  return 1;
}

static const luaL_Reg timer_functions[] = {{"timer", l_timer}, {NULL, NULL}};

void sl_timer_open(lua_State *L) { luaL_setfuncs(L, timer_functions, 0); }
