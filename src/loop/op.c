#include "loop/op.h"

#include <stdlib.h>

#define OP_CLASS "sshlua.op"

void *sl_op_new(sl_loop *loop, const sl_op_kind *kind, size_t size) {
  sl_op *op = calloc(1, size);
  if (!op) return NULL;
  op->kind = kind;
  op->loop = loop;
  op->done_ref = op->keep_ref = LUA_NOREF;
  loop->ops++;
  op->all_next = loop->all;
  op->all_link = &loop->all;
  if (op->all_next) op->all_next->all_link = &op->all_next;
  loop->all = op;
  return op;
}

void sl_check_done(lua_State *L, int idx) { luaL_checktype(L, idx, LUA_TFUNCTION); }

void sl_op_start(lua_State *L, sl_op *op, int done_idx, int keep_idx) {
  sl_op **box = (sl_op **)sl_box_new(L, OP_CLASS);
  op->done_ref = sl_ref(L, done_idx);
  if (keep_idx) op->keep_ref = sl_ref(L, keep_idx);
  *box = op;
  op->handle = box;
}

void *sl_op_kept_object(const sl_op *op) {
  lua_State *L = op->loop->anchor;
  lua_rawgeti(L, LUA_REGISTRYINDEX, op->keep_ref);
  void **box = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return box ? *box : NULL;
}

/* Lua values are released as soon as the operation ends, although its memory may be pinned longer. */
static void op_detach(sl_op *op) {
  if (op->handle) *op->handle = NULL;
  op->handle = NULL;
}

static void op_unref(sl_op *op) {
  sl_unref(op->loop->anchor, &op->done_ref);
  sl_unref(op->loop->anchor, &op->keep_ref);
}

void sl_op_pin(sl_op *op) { op->pins++; }

static void op_free_memory(sl_op *op) {
  op->loop->ops--;
  free(op);
}

void sl_op_unpin(sl_op *op) {
  if (--op->pins == 0 && op->freed) op_free_memory(op);
}

void sl_op_release(sl_op *op) {
  *op->all_link = op->all_next;
  if (op->all_next) op->all_next->all_link = op->all_link;
  op_detach(op);
  if (op->kind->clean) op->kind->clean(op); /* it may still want what was kept */
  op_unref(op);
  op->ended = op->freed = true;
  if (op->pins == 0) op_free_memory(op);
}

void sl_op_finish(sl_op *op) {
  if (op->ended) return;
  op->ended = true;
  if (op->abandoned) {
    if (!op->err.kind && op->kind->drop) op->kind->drop(op);
    sl_op_release(op);
    return;
  }
  sl_op_append(&op->loop->finished, &op->loop->finished_tail, op);
  sl_loop_wake(op->loop);
}

void sl_op_append(sl_op **head, sl_op ***tail, sl_op *op) {
  if (!*head) *tail = head;
  op->next = NULL;
  op->link = *tail;
  **tail = op;
  *tail = &op->next;
}

void sl_op_unlink(sl_op **head, sl_op ***tail, sl_op *op) {
  if (!op->link) return;
  *op->link = op->next;
  if (op->next)
    op->next->link = op->link;
  else
    *tail = op->link;
  if (!*head) *tail = head;
  op->link = NULL;
  op->next = NULL;
}

typedef struct delivery {
  sl_op *op;
  bool released;
} delivery;

/* Pushing results allocates and so may raise: it runs inside the protected call, not under libuv's frames. */
static int call_done(lua_State *L) {
  delivery *d = lua_touserdata(L, 1);
  sl_op *op = d->op;
  luaL_checkstack(L, 12, "delivering a result");
  lua_rawgeti(L, LUA_REGISTRYINDEX, op->done_ref);
  int n = 1;
  if (op->err.kind) {
    sl_push_err(L, &op->err);
  } else {
    lua_pushnil(L);
    if (op->kind->push) n += op->kind->push(op, L);
  }
  d->released = true;
  sl_op_release(op);
  lua_call(L, n, 0);
  return 0;
}

static void op_deliver(lua_State *L, sl_op *op) {
  delivery d = {op, false};
  for (int i = 0; i < 2 && !d.released; i++) {
    lua_pushcfunction(L, call_done);
    lua_pushlightuserdata(L, &d);
    sl_call(L, 1);
    /* No memory for the result: say that instead. */
    if (!d.released) sl_err_set(&op->err, SL_MEMORY, "ENOMEM", 0, "not enough memory for a result");
  }
  if (!d.released) sl_op_release(op);
}

bool sl_op_deliver_all(sl_loop *loop) {
  /* Only what is finished now: results that deliveries cause wait for the next round of the turn. */
  unsigned n = 0;
  for (sl_op *op = loop->finished; op; op = op->next) n++;
  for (unsigned i = 0; i < n && loop->finished; i++) {
    sl_op *op = loop->finished;
    sl_op_unlink(&loop->finished, &loop->finished_tail, op);
    op_deliver(loop->L, op);
  }
  return n > 0;
}

static void op_abandon(sl_op *op) {
  op_detach(op);
  op->abandoned = true;
  sl_unref(op->loop->anchor, &op->done_ref);
  if (op->ended) { /* finished, not yet delivered */
    sl_op_unlink(&op->loop->finished, &op->loop->finished_tail, op);
    if (!op->err.kind && op->kind->drop) op->kind->drop(op);
    sl_op_release(op);
  } else if (op->kind->cancel && op->kind->cancel(op)) {
    sl_op_release(op);
  }
}

void sl_op_abandon_all(sl_loop *loop) {
  for (sl_op *op = loop->all, *next; op; op = next) {
    next = op->all_next;
    op_abandon(op);
  }
}

static int l_op_cancel(lua_State *L) {
  sl_op *op = sl_box_peek(L, 1, OP_CLASS);
  if (op) op_abandon(op);
  return 0;
}

static int l_op_stop(lua_State *L) {
  sl_op *op = sl_box_peek(L, 1, OP_CLASS);
  if (op && !op->ended && op->kind->stop) op->kind->stop(op);
  return 0;
}

static int l_op_gc(lua_State *L) {
  sl_op **box = lua_touserdata(L, 1);
  if (*box) (*box)->handle = NULL;
  *box = NULL;
  return 0;
}

static const luaL_Reg op_methods[] = {{"cancel", l_op_cancel}, {"stop", l_op_stop}, {NULL, NULL}};
static const luaL_Reg op_meta[] = {{"__gc", l_op_gc}, {NULL, NULL}};

void sl_op_open(lua_State *L) { sl_class(L, OP_CLASS, op_methods, op_meta); }
