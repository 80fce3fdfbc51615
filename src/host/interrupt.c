/* Signals that end the program: ^C, SIGTERM, SIGHUP, and SIGPIPE when it is our own output that
   nobody reads any more. The first one is told to Lua in a turn of the loop, which cancels what
   runs. Knows how a signal gets there, and what to do when Lua does not listen; must not know what
   is cancelled.

   Lua does not listen while a script computes without ever waiting. So the handler also sets a
   count hook on the thread that runs: if the loop has not had its turn after GRACE_MS, the hook
   raises in the script's own code (never in ours, whose bookkeeping would break). And a second ^C
   or SIGTERM ends the process on the spot once clean-ups run, or when the first has not been heard
   for STUCK_MS.

   A signal handler has no argument: what it needs is static, one set for the process. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/host.h"
#include "loop/loop.h"
#include "loop/signame.h"
#include "loop/ttyguard.h"

enum { GRACE_MS = 200, STUCK_MS = 1000, HOOK_COUNT = 1000 };

static struct {
  pthread_t thread;
  sl_loop *loop; /* NULL: the state closes */
  uv_async_t async;
  sl_job job;
  sl_owned owned;
  int fn_ref;
  volatile sig_atomic_t pending, last_chance;
  struct timespec since, grace; /* when the pending one came; from when on a script may compute */
  lua_State *volatile running;  /* the thread that runs Lua code */
  lua_State *volatile hooked;   /* it has our hook */
} state;

static long ms_since(const struct timespec *t) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000;
}

/* The hook
 * -------------------------------------------------------------------------------------------- */

static void interrupt_hook(lua_State *L, lua_Debug *ar);

/* lua_sethook may be called from a signal handler (its own description says so). */
static void hook(lua_State *L) {
  state.hooked = L;
  lua_sethook(L, interrupt_hook, LUA_MASKCOUNT, HOOK_COUNT);
}

static void unhook(lua_State *L) {
  state.hooked = NULL;
  lua_sethook(L, NULL, 0, 0);
}

static void interrupt_hook(lua_State *L, lua_Debug *ar) {
  if (!state.pending || state.hooked != L) {
    lua_sethook(L, NULL, 0, 0);
    if (state.pending && state.hooked == L) hook(L); /* a signal came just now */
    return;
  }
  if (ms_since(&state.grace) < GRACE_MS || !lua_getinfo(L, "S", ar)) return;
  if (sl_embedded_internal(L, ar->source)) return;
  clock_gettime(CLOCK_MONOTONIC, &state.grace); /* the next task to run may be the one that waits */
  unhook(L);
  luaL_where(L, 0);
  lua_pushliteral(L, "interrupted");
  lua_concat(L, 2);
  lua_error(L);
}

/* coroutine.resume that says which thread runs, and that a signal not yet heard hooks: also when it
   came between two tasks. Upvalue: the original. */
static int l_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1), *before = state.running;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  if (co) state.running = co;
  if (co && state.pending && state.hooked != co) hook(co);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  state.running = before; /* first: a signal that comes now must not hook co again */
  if (co && state.hooked == co) unhook(co); /* it may be collected from now on */
  if (state.pending && !state.hooked) hook(before);
  return lua_gettop(L);
}

/* load_tasks() -> the task library, whose tasks are resumed through l_resume. Scripts keep the
 * plain one. */
static int l_load_tasks(lua_State *L) {
  lua_settop(L, 0);
  lua_getglobal(L, "coroutine");
  lua_getfield(L, 1, "resume"); /* [coroutine, resume] */
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, l_resume, 1);
  lua_setfield(L, 1, "resume");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "sshlua.task");
  int rc = lua_pcall(L, 1, 1, 0); /* [coroutine, resume, module or error] */
  lua_pushvalue(L, 2);
  lua_setfield(L, 1, "resume");
  return rc == LUA_OK ? 1 : lua_error(L);
}

/* The handler: everything called here is async-signal-safe.
 * -------------------------------------------------------------------------------------------- */

/* A pipe or socket that takes output says so here when nobody reads it any more. */
static bool output_gone(void) {
  struct pollfd fds[2] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                          {.fd = STDERR_FILENO, .events = POLLOUT}};
  return poll(fds, 2, 0) > 0 && ((fds[0].revents | fds[1].revents) & (POLLERR | POLLHUP)) != 0;
}

static void take_signal(int signum) {
  /* SIGPIPE of a child's stdin is an error code for whoever wrote; SIGHUP often comes twice. */
  if (signum == SIGPIPE && (state.pending || !output_gone())) return;
  bool insists = signum == SIGINT || signum == SIGTERM;
  if (insists &&
      (state.last_chance || !state.loop || (state.pending && ms_since(&state.since) > STUCK_MS))) {
    sl_ttyguard_restore();
    _exit(128 + signum);
  }
  if (state.pending || state.last_chance || !state.loop) return;
  clock_gettime(CLOCK_MONOTONIC, &state.since);
  state.grace = state.since;
  state.pending = signum;
  hook(state.running);
  uv_async_send(&state.async);
}

static void on_signal(int signum) {
  int saved_errno = errno;
  if (pthread_equal(pthread_self(), state.thread))
    take_signal(signum);
  else
    pthread_kill(state.thread, signum); /* a thread of the pool got it */
  errno = saved_errno;
}

/* What was ignored when we were started (nohup, a shell's background job) stays so. SIGPIPE is an
   exception: it is ignored by parents that did not mean us. Without SA_RESTART, so that io.read
   comes back. */
static void catch_signal(int signum) {
  struct sigaction mine = {.sa_handler = on_signal}, old;
  sigfillset(&mine.sa_mask);
  sigaction(signum, NULL, &old);
  if (signum != SIGPIPE && old.sa_handler == SIG_IGN) return;
  sigaction(signum, &mine, NULL);
}

/* The loop's side
 * -------------------------------------------------------------------------------------------- */

static void tell(sl_job *job) {
  (void)job;
  int signum = state.pending;
  if (!signum || !state.loop) return;
  if (state.hooked) unhook(state.hooked);
  state.pending = 0;
  lua_State *L = state.loop->L;
  lua_rawgeti(L, LUA_REGISTRYINDEX, state.fn_ref);
  sl_signal_push(L, signum);
  sl_call(L, 1);
}

static void woken(uv_async_t *async) {
  (void)async;
  if (state.loop) sl_job_queue(state.loop, &state.job);
}

static void shut(sl_owned *owned) {
  sl_disown(owned);
  sl_job_remove(&state.job);
  state.loop = NULL;
  uv_close((uv_handle_t *)&state.async, NULL);
}

/* signals(fn): from now on fn(name) is called for "INT", "TERM", "HUP" and "PIPE". */
static int l_signals(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (state.loop) return luaL_error(L, "signals are caught already");
  sl_loop *loop = sl_loop_get(L);
  state.fn_ref = sl_ref(L, 1);
  if (uv_async_init(&loop->uv, &state.async, woken) != 0)
    return luaL_error(L, "signals cannot be caught");
  uv_unref((uv_handle_t *)&state.async);
  state.loop = loop;
  state.job.run = tell;
  sl_own(loop, &state.owned, shut);
  catch_signal(SIGINT);
  catch_signal(SIGTERM);
  catch_signal(SIGHUP);
  catch_signal(SIGPIPE);
  return 0;
}

/* last_chance(): the next ^C or SIGTERM ends the process at once. */
static int l_last_chance(lua_State *L) {
  (void)L;
  state.last_chance = 1;
  return 0;
}

/* untold() -> the name of a signal that came and has not been told, and will not be now; or nil */
static int l_untold(lua_State *L) {
  int signum = state.pending;
  if (!signum) return 0;
  state.pending = 0;
  sl_signal_push(L, signum);
  return 1;
}

static const luaL_Reg interrupt_functions[] = {{"signals", l_signals},
                                               {"untold", l_untold},
                                               {"last_chance", l_last_chance},
                                               {"load_tasks", l_load_tasks},
                                               {NULL, NULL}};

void sl_interrupt_open(lua_State *L) {
  state.thread = pthread_self();
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  state.running = lua_tothread(L, -1);
  lua_pop(L, 1);
  luaL_setfuncs(L, interrupt_functions, 0);
}
