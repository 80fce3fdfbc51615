#include "loop/loop.h"

#include <stdlib.h>

#include "loop/op.h"

#define LOOP_CLASS "sshlua.loop"
#define LOOP_KEY "sshlua.loop.instance"

/* Rounds of stepping and delivering per turn; then other file descriptors get their chance. */
enum { ROUNDS_PER_TURN = 32 };

static void idle_spin(uv_idle_t *idle) { (void)idle; }

void sl_loop_wake(sl_loop *loop) {
  if (!loop->in_turn && !loop->closed) uv_idle_start(&loop->idle, idle_spin);
}

static bool jobs_pending(const sl_loop *loop) { return loop->jobs.next != &loop->jobs; }

static bool jobs_run(sl_loop *loop) {
  unsigned n = 0;
  for (sl_job *job = loop->jobs.next; job != &loop->jobs; job = job->next) n++;
  for (unsigned i = 0; i < n && jobs_pending(loop); i++) {
    sl_job *job = loop->jobs.next;
    sl_job_remove(job);
    job->run(job);
  }
  return n > 0;
}

static void loop_turn(sl_loop *loop) {
  if (loop->in_turn || !loop->L) return;
  loop->in_turn = true;
  bool more = true;
  for (int i = 0; i < ROUNDS_PER_TURN && more; i++) {
    more = jobs_run(loop);
    more |= sl_op_deliver_all(loop);
  }
  loop->in_turn = false;
  if (jobs_pending(loop) || loop->finished)
    sl_loop_wake(loop);
  else
    uv_idle_stop(&loop->idle);
}

static void on_prepare(uv_prepare_t *h) { loop_turn(h->data); }
static void on_check(uv_check_t *h) { loop_turn(h->data); }

void sl_job_queue(sl_loop *loop, sl_job *job) {
  if (job->next) return;
  job->next = &loop->jobs;
  job->prev = loop->jobs.prev;
  job->prev->next = job;
  loop->jobs.prev = job;
  sl_loop_wake(loop);
}

void sl_job_remove(sl_job *job) {
  if (!job->next) return;
  job->prev->next = job->next;
  job->next->prev = job->prev;
  job->next = job->prev = NULL;
}

void sl_own(sl_loop *loop, sl_owned *owned, void (*shut)(sl_owned *)) {
  owned->shut = shut;
  owned->next = loop->owned;
  owned->link = &loop->owned;
  if (owned->next) owned->next->link = &owned->next;
  loop->owned = owned;
}

void sl_disown(sl_owned *owned) {
  if (!owned->link) return;
  *owned->link = owned->next;
  if (owned->next) owned->next->link = owned->link;
  owned->link = NULL;
}

uint64_t sl_now_ms(sl_loop *loop) {
  uv_update_time(&loop->uv);
  return uv_now(&loop->uv);
}

static void loop_start_hooks(sl_loop *loop) {
  uv_prepare_init(&loop->uv, &loop->prepare);
  uv_check_init(&loop->uv, &loop->check);
  uv_idle_init(&loop->uv, &loop->idle);
  loop->prepare.data = loop->check.data = loop->idle.data = loop;
  uv_prepare_start(&loop->prepare, on_prepare);
  uv_check_start(&loop->check, on_check);
  uv_unref((uv_handle_t *)&loop->prepare);
  uv_unref((uv_handle_t *)&loop->check);
}

sl_loop *sl_loop_get(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LOOP_KEY);
  sl_loop *loop = NULL;
  if (!lua_isnil(L, -1)) {
    loop = sl_box_check(L, -1, LOOP_CLASS);
    lua_pop(L, 1);
    return loop;
  }
  lua_pop(L, 1);
  void **box = sl_box_new(L, LOOP_CLASS);
  lua_State *anchor = lua_newthread(L); /* [box, thread] */
  lua_setfield(L, LUA_REGISTRYINDEX, LOOP_KEY ".anchor");
  loop = calloc(1, sizeof *loop);
  int rc = loop ? uv_loop_init(&loop->uv) : UV_ENOMEM;
  if (rc != 0) {
    free(loop);
    luaL_error(L, "cannot make an event loop: %s", uv_strerror(rc));
    return NULL;
  }
  loop->anchor = anchor;
  loop->jobs.next = loop->jobs.prev = &loop->jobs;
  loop->finished_tail = &loop->finished;
  loop_start_hooks(loop);
  *box = loop;
  lua_setfield(L, LUA_REGISTRYINDEX, LOOP_KEY);
  return loop;
}

/* The state closes: whatever holds handles is shut, the handles' close callbacks run, nothing else does. */
static int l_loop_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  sl_loop *loop = *box;
  if (!loop) return 0;
  *box = NULL;
  bool running = loop->L != NULL; /* os.exit from a task: libuv's own frames are below us */
  loop->closed = true;
  loop->L = NULL;
  while (loop->owned) loop->owned->shut(loop->owned);
  sl_op_abandon_all(loop);
  if (running) return 0;
  uv_close((uv_handle_t *)&loop->prepare, NULL);
  uv_close((uv_handle_t *)&loop->check, NULL);
  uv_close((uv_handle_t *)&loop->idle, NULL);
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop->uv) == 0) free(loop);
  return 0;
}

/* run() -> true when stop() was called, false when nothing is left that could ever happen. */
static int l_run(lua_State *L) {
  sl_loop *loop = sl_loop_get(L);
  if (loop->L) return luaL_error(L, "the loop is running already");
  loop->L = L;
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  loop->L = NULL;
  lua_pushboolean(L, loop->stopped);
  loop->stopped = false;
  return 1;
}

static int l_stop(lua_State *L) {
  sl_loop *loop = sl_loop_get(L);
  loop->stopped = true;
  uv_stop(&loop->uv);
  return 0;
}

static int l_running(lua_State *L) {
  lua_pushboolean(L, sl_loop_get(L)->L != NULL);
  return 1;
}

/* fd() -> the descriptor a foreign loop watches for reading. */
static int l_fd(lua_State *L) {
  lua_pushinteger(L, uv_backend_fd(&sl_loop_get(L)->uv));
  return 1;
}

int sl_loop_step(sl_loop *loop, lua_State *L, int *alive) {
  if (!loop->L) { /* otherwise a callback of ours called us: the turn under way does it */
    loop->L = L;
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    loop->L = NULL;
  }
  int going = uv_loop_alive(&loop->uv);
  if (alive) *alive = going;
  return going ? uv_backend_timeout(&loop->uv) : -1;
}

/* step() -> milliseconds until the next timer (-1: none), whether anything is going on. Never blocks. */
static int l_step(lua_State *L) {
  int alive;
  int ms = sl_loop_step(sl_loop_get(L), L, &alive);
  lua_pushinteger(L, ms);
  lua_pushboolean(L, alive);
  return 2;
}

/* now() -> seconds on a clock that never jumps. */
static int l_now(lua_State *L) {
  (void)sl_loop_get(L);
  lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
  return 1;
}

/* stats() -> {ops=, handles=}: what the spec helper checks for leaks. */
static void count_handle(uv_handle_t *h, void *arg) {
  (void)h;
  ++*(lua_Integer *)arg;
}

static int l_stats(lua_State *L) {
  sl_loop *loop = sl_loop_get(L);
  lua_Integer handles = 0, owned = 0;
  uv_walk(&loop->uv, count_handle, &handles);
  for (sl_owned *o = loop->owned; o; o = o->next) owned++;
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, handles - 3);
  lua_setfield(L, -2, "handles");
  lua_pushinteger(L, loop->ops);
  lua_setfield(L, -2, "ops");
  lua_pushinteger(L, owned);
  lua_setfield(L, -2, "owned");
  return 1;
}

static const luaL_Reg loop_functions[] = {
    {"run", l_run}, {"stop", l_stop}, {"running", l_running}, {"fd", l_fd},
    {"step", l_step}, {"now", l_now}, {"stats", l_stats}, {NULL, NULL}};
static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg loop_meta[] = {{"__gc", l_loop_gc}, {NULL, NULL}};

void sl_loop_open(lua_State *L) {
  sl_class(L, LOOP_CLASS, no_methods, loop_meta);
  sl_op_open(L);
  luaL_setfuncs(L, loop_functions, 0);
  (void)sl_loop_get(L);
}
