/* A whole command in one operation: exec, end of input, all output gathered, how it ended. What scripts do most costs
   Lua one wait. The output is gathered in the channel, so that a run that was cancelled leaves what came. */
#include "ssh/channel.h"

#include <string.h>

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

typedef enum run_phase { RUN_ASK, RUN_END_INPUT, RUN_GATHER } run_phase;

typedef struct run_op {
  sl_eop eop;
  run_phase phase;
  sl_exit exit;
  sl_buf out[2];
  uint64_t bytes;
  bool truncated, said_end;
  unsigned command_len;
  char command[];
} run_op;

/* 0 when both streams are at their end. */
static int gather_rest(sl_channel *ch) {
  int all = 0;
  for (int stream = 0; stream <= 1; stream++) {
    int rc;
    do rc = sl_channel_fetch(ch, stream);
    while (rc > 0);
    if (rc < 0 && rc != sl_step_again()) return rc;
    if (rc < 0) all = rc;
  }
  return all;
}

static int run_end(run_op *x) {
  sl_channel *ch = sl_channel_of(&x->eop.op);
  int rc = gather_rest(ch);
  if (rc == 0) rc = sl_channel_wait_closed(ch);
  if (rc != 0) return rc;
  x->exit = ch->exit;
  x->bytes = ch->gathered;
  x->truncated = ch->truncated;
  for (int stream = 0; stream <= 1; stream++) {
    x->out[stream] = ch->in[stream];
    ch->in[stream] = (sl_buf){0};
  }
  return 0;
}

/* The command gets no input: its end goes out with the request, in one segment. */
static void end_input_early(run_op *x) {
#ifdef SL_LIBSSH2_STATIC
  LIBSSH2_CHANNEL *raw = x->eop.strand->raw;
  if (!x->said_end && raw->process_state == libssh2_NB_state_sent) x->said_end = libssh2_channel_send_eof(raw) == 0;
#else
  (void)x;
#endif
}

static int run_step(sl_op *op) {
  run_op *x = (run_op *)op;
  LIBSSH2_CHANNEL *raw = x->eop.strand->raw;
  int rc;
  switch (x->phase) {
  case RUN_ASK:
    rc = libssh2_channel_process_startup(raw, "exec", 4, x->command, x->command_len);
    if (rc == sl_step_again()) end_input_early(x);
    rc = sl_channel_await_answer(op, rc);
    if (rc != 0 || op->abandoned) return rc;
    x->phase = RUN_END_INPUT; /* fall through */
  case RUN_END_INPUT:
    rc = x->said_end || sl_channel_peer_closed(raw) ? 0 : libssh2_channel_send_eof(raw);
    if (rc != 0) return rc;
    x->phase = RUN_GATHER; /* fall through */
  default:
    return run_end(x);
  }
}

/* While the request waits for its answer libssh2 has to be driven on. */
static bool run_cancel(sl_op *op) {
  return ((run_op *)op)->phase == RUN_ASK ? sl_eop_cancel(op) : sl_eop_cancel_at_once(op);
}

static void push_output(lua_State *L, const sl_buf *b) {
  if (sl_buf_len(b))
    lua_pushlstring(L, sl_buf_head(b), sl_buf_len(b));
  else
    lua_pushliteral(L, "");
}

static void push_gathered(lua_State *L, const sl_buf out[2], uint64_t bytes, bool truncated) {
  push_output(L, &out[0]);
  push_output(L, &out[1]);
  lua_pushnumber(L, (lua_Number)bytes);
  lua_pushboolean(L, truncated);
}

static int run_push(sl_op *op, lua_State *L) {
  const run_op *x = (const run_op *)op;
  luaL_checkstack(L, 8, NULL);
  push_gathered(L, x->out, x->bytes, x->truncated);
  return 4 + sl_exit_push(L, &x->exit);
}

static void run_drop(sl_op *op) {
  run_op *x = (run_op *)op;
  sl_channel *ch = sl_op_kept_object(op);
  for (int stream = 0; ch && stream <= 1; stream++) {
    sl_buf_free(&ch->in[stream]);
    ch->in[stream] = x->out[stream];
    x->out[stream] = (sl_buf){0};
  }
}

static void run_clean(sl_op *op) {
  sl_buf_free(&((run_op *)op)->out[0]);
  sl_buf_free(&((run_op *)op)->out[1]);
}

static const sl_op_kind run_kind = {.name = "channel.run",
                                    .step = run_step,
                                    .push = run_push,
                                    .drop = run_drop,
                                    .cancel = run_cancel,
                                    .clean = run_clean};

/* channel:run(command, max, done): done(nil, stdout, stderr, bytes, truncated, code|nil, signal, message, core). Of each
   stream max bytes are kept, the rest is counted. The channel's reads must not be used beside it. */
static int l_run(lua_State *L) {
  size_t len;
  sl_channel *ch = sl_channel_check(L, 1);
  const char *command = luaL_checklstring(L, 2, &len);
  lua_Number max = luaL_checknumber(L, 3);
  sl_check_done(L, 4);
  luaL_argcheck(L, len <= SL_COMMAND_MAX, 2, "too long");
  luaL_argcheck(L, max >= 0, 3, "not a size");
  run_op *x = sl_channel_op(L, ch, SL_LANE_REQUEST, &run_kind, sizeof *x + len);
  memcpy(x->command, command, len);
  x->command_len = (unsigned)len;
  ch->gathers = true;
  ch->gather_max = max < (lua_Number)(SIZE_MAX / 2) ? (size_t)max : SIZE_MAX / 2;
  sl_op_start(L, &x->eop.op, 4, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

/* channel:gathered() -> stdout, stderr, bytes, truncated: what a run that did not end well has left. Also when closed. */
static int l_gathered(lua_State *L) {
  static const sl_buf nothing[2];
  const sl_channel *ch = sl_box_peek(L, 1, SL_CHANNEL_CLASS);
  push_gathered(L, ch ? ch->in : nothing, ch ? ch->gathered : 0, ch && ch->truncated);
  return 4;
}

static const luaL_Reg run_verbs[] = {{"run", l_run}, {"gathered", l_gathered}, {NULL, NULL}};

const luaL_Reg *sl_channel_run_verbs(void) { return run_verbs; }
