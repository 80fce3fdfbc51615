/* The life of an operation: created by a verb, started, finished once, delivered to Lua once or dropped.
   `done(err, ...)` is called by the loop's turn, never from inside the call that started the operation.

   Cancelling is abandoning: `done` will not be called, and the operation is released as soon as nothing below
   still uses it. An operation that cannot stop (libssh2 holds its state) goes on as a ghost to its end. */
#ifndef SL_OP_H
#define SL_OP_H

#include "loop/loop.h"

typedef struct sl_op_kind {
  const char *name;
  int (*step)(sl_op *op);                /* engine operations: one libssh2 call; 0, an error, or "again" */
  int (*push)(sl_op *op, lua_State *L);  /* pushes results, returns how many; NULL: none */
  void (*drop)(sl_op *op);               /* disposes of a good result that nobody wants; may be NULL */
  bool (*cancel)(sl_op *op);             /* abandoned: true when it may be released at once; NULL: never */
  void (*stop)(sl_op *op);               /* begins nothing more and ends soon, with `done`; NULL: goes on */
  void (*clean)(sl_op *op);              /* frees what the operation owns; may be NULL */
} sl_op_kind;

struct sl_op {
  const sl_op_kind *kind;
  sl_loop *loop;
  sl_op *next, **link; /* its place in a lane or in the finished queue */
  sl_op *all_next, **all_link; /* among all that have not been released */
  sl_op **handle;      /* the Lua handle, a box that is emptied when the operation ends */
  int done_ref, keep_ref;
  unsigned pins;       /* libuv requests and handles that still point here */
  bool abandoned, ended, freed;
  sl_err err;          /* err.kind != NULL: failed */
};

void *sl_op_new(sl_loop *loop, const sl_op_kind *kind, size_t size); /* zeroed; raises nothing; NULL: no memory */

/* Anchors `done` (a function at done_idx) and, if keep_idx is not 0, a value that must outlive the operation
   (a string to write); pushes the handle (+1). Raises before anything is anchored. */
void sl_op_start(lua_State *L, sl_op *op, int done_idx, int keep_idx);

/* The object in the box that keep_ref anchors; NULL when it was closed meanwhile. */
void *sl_op_kept_object(const sl_op *op);

void sl_op_finish(sl_op *op);           /* queue for delivery; op->err says how it went */
void sl_op_release(sl_op *op);          /* end without delivery */
void sl_op_pin(sl_op *op);
void sl_op_unpin(sl_op *op);

/* Appends to / removes from an intrusive list with a tail pointer. */
void sl_op_append(sl_op **head, sl_op ***tail, sl_op *op);
void sl_op_unlink(sl_op **head, sl_op ***tail, sl_op *op);

void sl_op_abandon_all(sl_loop *loop); /* the state closes: nobody will hear of them */
bool sl_op_deliver_all(sl_loop *loop);  /* the turn's second half; true if anything was delivered */
void sl_op_open(lua_State *L);          /* registers the class of handles */

/* Raises unless the value is a function: call it before sl_op_new. */
void sl_check_done(lua_State *L, int idx);

#endif
