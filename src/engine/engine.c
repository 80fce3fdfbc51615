/* Life of an engine, its strands and its operations. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/memory.h"

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#endif

/* --- lanes and operations ----------------------------------------------------------------------------- */

static void lane_init(sl_lane *lane) {
  lane->head = NULL;
  lane->tail = &lane->head;
}

void sl_lane_end(sl_lane *lane, const sl_err *why) {
  while (lane->head) {
    sl_op *op = lane->head;
    sl_op_unlink(&lane->head, &lane->tail, op);
    op->err = *why;
    sl_op_finish(op);
  }
}

void *sl_eop_new(sl_engine *e, sl_strand *strand, int lane, const sl_op_kind *kind, size_t size) {
  sl_eop *x = sl_op_new(e->loop, kind, size);
  if (!x) return NULL;
  x->engine = e;
  x->strand = strand;
  x->lane = strand ? &strand->lanes[lane] : &e->lane;
  return x;
}

void sl_eop_submit(sl_eop *x) {
  sl_engine *e = x->engine;
  sl_op_append(&x->lane->head, &x->lane->tail, &x->op);
  if (x->strand) x->strand->woken = true;
  sl_engine_queue(e); /* which watches the wire again if it was paused */
}

bool sl_eop_cancel_at_once(sl_op *op) {
  sl_eop *x = (sl_eop *)op;
  sl_op_unlink(&x->lane->head, &x->lane->tail, op);
  sl_engine_queue(x->engine); /* the next in the lane may go */
  if (x->strand) x->strand->woken = true;
  return true;
}

bool sl_eop_cancel(sl_op *op) {
  return ((sl_eop *)op)->stepped ? false : sl_eop_cancel_at_once(op);
}

/* --- strands ------------------------------------------------------------------------------------------ */

void sl_strand_add(sl_engine *e, sl_strand *s) {
  s->engine = e;
  for (int i = 0; i < SL_LANES; i++) lane_init(&s->lanes[i]);
  s->next = e->strands;
  s->link = &e->strands;
  if (s->next) s->next->link = &s->next;
  e->strands = s;
}

void sl_strand_remove(sl_strand *s) {
  if (!s->link) return;
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
  sl_engine *e = s->engine;
  s->link = NULL;
  s->engine = NULL;
  sl_strand_detached(e);
}

void sl_strand_bury(sl_strand *s) {
  sl_engine *e = s->engine;
  sl_strand_remove(s);
  if (!e) {
    free(s);
    return;
  }
  s->woken = false;
  s->next = e->buried;
  e->buried = s;
}

void sl_engine_free_buried(sl_engine *e) {
  while (e->buried) {
    sl_strand *s = e->buried;
    e->buried = s->next;
    free(s);
  }
}

sl_strand *sl_strand_find(sl_engine *e, uint32_t id) {
  for (sl_strand *s = e->strands; s; s = s->next)
    if (s->raw && s->id == id) return s;
  return NULL;
}

void sl_strand_wake(sl_strand *s) { s->woken = true; }

bool sl_strand_idle(const sl_strand *s) {
  for (int i = 0; i < SL_LANES; i++)
    if (s->lanes[i].head) return false;
  return true;
}

/* --- engine ------------------------------------------------------------------------------------------- */

static ssize_t on_send(libssh2_socket_t fd, const void *buf, size_t len, int flags, void **abstract) {
  (void)fd;
  (void)flags;
  return sl_wire_send(&((sl_engine *)*abstract)->wire, buf, len);
}

static ssize_t on_recv(libssh2_socket_t fd, void *buf, size_t len, int flags, void **abstract) {
  (void)fd;
  (void)flags;
  sl_engine *e = *abstract;
  size_t limit = sl_length_limit(e, len);
  if (limit == 0) return sl_wire_protocol(&e->wire, "a packet of the server has an impossible length");
  return sl_wire_recv(&e->wire, buf, limit);
}

/* libssh2 ends waits for replies by itself after this many seconds and then forgets a channel the server may
   still open; deadlines are ours. */
enum { LIBSSH2_PATIENCE = 30 * 24 * 3600 };

int sl_engine_init(sl_engine *e, sl_loop *loop, const sl_engine_hooks *hooks) {
  memset(e, 0, sizeof *e);
  e->raw = libssh2_session_init_ex(sl_memory_alloc, sl_memory_free, sl_memory_realloc, e);
  if (!e->raw) return -1;
  e->loop = loop;
  e->hooks = hooks;
  lane_init(&e->lane);
  libssh2_session_set_blocking(e->raw, 0);
  libssh2_session_set_read_timeout(e->raw, LIBSSH2_PATIENCE);
  libssh2_session_callback_set2(e->raw, LIBSSH2_CALLBACK_SEND, (libssh2_cb_generic *)on_send);
  libssh2_session_callback_set2(e->raw, LIBSSH2_CALLBACK_RECV, (libssh2_cb_generic *)on_recv);
  return 0;
}

bool sl_engine_alive(const sl_engine *e) { return e->raw && e->wire.life == SL_WIRE_OPEN; }

void sl_engine_lost(sl_engine *e, const sl_err *why) {
  sl_wire_fail(&e->wire, why);
  e->wake_all = true;
  sl_engine_queue(e);
}

/* After the wire is dead libssh2 frees whatever state it is in: no call of it can wait any more. */
static void free_libssh2(LIBSSH2_SESSION *raw) {
  int rc;
#ifdef SL_LIBSSH2_STATIC
  /* It forgets the host key of a key exchange that did not get to its end. */
  if (!(raw->state & LIBSSH2_STATE_NEWKEYS) && raw->hostkey && raw->hostkey->dtor && raw->server_hostkey_abstract)
    raw->hostkey->dtor(raw, &raw->server_hostkey_abstract);
#endif
  do rc = libssh2_session_free(raw);
  while (rc == LIBSSH2_ERROR_EAGAIN);
}

void sl_engine_kill(sl_engine *e) {
  sl_err closed = {0};
  if (!e->raw) return;
  sl_err_set(&closed, SL_CLOSED, NULL, 0, "the session was closed");
  const sl_err *why = e->wire.err.kind ? &e->wire.err : &closed;
  sl_keepalive_stop(e);
  sl_trim_forget(e);
  sl_rest_forget(e);
  sl_job_remove(&e->job);
  sl_lane_end(&e->lane, why);
  for (sl_strand *s = e->strands, *next; s; s = next) {
    next = s->next; /* ending its last operation may bury it */
    for (int i = 0; i < SL_LANES; i++) sl_lane_end(&s->lanes[i], why);
  }
  sl_wire_kill(&e->wire);
  while (e->strands) {
    sl_strand *s = e->strands;
    sl_strand_remove(s);
    s->raw = NULL; /* freed with the session */
  }
  if (e->hooks && e->hooks->dying) e->hooks->dying(e);
  sl_receive_forget(e);
  free_libssh2(e->raw);
  sl_kex_forget(e);
  sl_buf_free(&e->in);
  e->raw = NULL;
  sl_engine_free_buried(e);
}
