/* The one event loop of a Lua state: turns, the queue of finished operations, and the seam through which a
   foreign loop drives ours. Knows libuv; must not know libssh2 or what an operation does.

   A turn runs before and after every wait for I/O: it steps all dirty jobs (sessions), then delivers finished
   operations to Lua, until nothing is left or the cap on rounds is reached. Lua is entered from here only. */
#ifndef SL_LOOP_H
#define SL_LOOP_H

#include <uv.h>

#include "base/lx.h"

typedef struct sl_op sl_op;
typedef struct sl_job sl_job;

/* Something that wants to be stepped once in this turn. Embedded in its owner. */
struct sl_job {
  sl_job *next, *prev; /* a ring through the loop's sentinel; NULL: not queued */
  void (*run)(sl_job *job);
};

/* Something that holds libuv handles and must be shut when the Lua state goes. Embedded in its owner. */
typedef struct sl_owned {
  struct sl_owned *next, **link;
  void (*shut)(struct sl_owned *owned); /* must unlink itself through sl_disown */
} sl_owned;

typedef struct sl_loop {
  uv_loop_t uv;
  uv_prepare_t prepare;
  uv_check_t check;
  uv_idle_t idle;   /* active while work is left over from a turn, so that the wait does not block */
  lua_State *L;     /* the state that runs or steps the loop now; NULL outside */
  lua_State *anchor; /* a thread that is always there, for registry work outside a run; calls nothing */
  sl_job jobs;      /* sentinel of the ring */
  sl_op *finished, **finished_tail;
  sl_owned *owned;
  sl_op *all;       /* every operation that has not been released */
  unsigned ops;     /* live operations, ghosts included */
  unsigned sharing; /* transfers that share the memory for blocks, see sftp/share.h */
  bool in_turn, stopped, closed;
} sl_loop;

sl_loop *sl_loop_get(lua_State *L); /* this state's loop, made on first use */
void sl_loop_open(lua_State *L);    /* adds run, step, fd, ... to the table on top of the stack */

int sl_loop_step(sl_loop *loop, lua_State *L, int *alive); /* see sshlua_step */

void sl_job_queue(sl_loop *loop, sl_job *job); /* once; also from within a turn: runs in the next round */
void sl_job_remove(sl_job *job);
void sl_loop_wake(sl_loop *loop); /* there is work for a turn: do not block */

void sl_own(sl_loop *loop, sl_owned *owned, void (*shut)(sl_owned *));
void sl_disown(sl_owned *owned);

uint64_t sl_now_ms(sl_loop *loop);

#endif
