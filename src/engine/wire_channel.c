/* A wire fed by a channel: the bytes of the inner session go through the lanes of a strand of the
   outer one, without a socket in between. Two operations stand in the channel's lanes as long as
   the wire lives; nobody in Lua waits for them.

   Bounded both ways: what comes is read only while little of it waits here, so that the channel's
   window closes; what goes stays in the inner wire's own out-queue until the channel takes it, and
   above its high water the inner session steps no writes. */
#include "engine/wire_channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_AHEAD = 65536 };

typedef struct channel_wire channel_wire;

typedef struct pass_op {
  sl_eop eop;
  channel_wire *wire; /* NULL: the wire is gone, the operation ends with the channel */
} pass_op;

struct channel_wire {
  sl_job poke; /* what a turn has left over is offered again */
  sl_engine *inner;
  sl_strand *below;
  const sl_channel_port *port;
  pass_op *reader, *writer; /* NULL: ended */
  sl_buf in;
  size_t unsent; /* length of a piece that libssh2 may hold */
  bool want_read, ended;
  sl_err err; /* why, when it was not the end of the stream */
  char via[128];
};

/* The inner session has something to look at: bytes, or the end. */
static void tell(channel_wire *cw) {
  if (!cw->want_read) return;
  cw->inner->readable = true;
  cw->inner->wire.dry = false;
  sl_engine_queue(cw->inner);
}

static void poked(sl_job *job) {
  tell((channel_wire *)job);
}

static void wake_below(channel_wire *cw) {
  if (!cw->below->engine) return;
  sl_strand_wake(cw->below);
  sl_engine_queue(cw->below->engine);
}

/* --- the two operations
 * ------------------------------------------------------------------------------------- */

static int read_step(sl_op *op) {
  channel_wire *cw = ((pass_op *)op)->wire;
  if (!cw) return 0;
  bool lost = ((sl_eop *)op)->engine->wire.life != SL_WIRE_OPEN; /* then all of it, now */
  size_t before = sl_buf_len(&cw->in);
  ssize_t n = sl_step_again();
  while (sl_buf_len(&cw->in) < READ_AHEAD || lost) {
    n = cw->port->read(cw->below, &cw->in);
    if (n <= 0) break;
  }
  if (sl_buf_len(&cw->in) > before) tell(cw);
  return n > 0 ? sl_step_again() : (int)n;
}

static int write_step(sl_op *op) {
  channel_wire *cw = ((pass_op *)op)->wire;
  if (!cw) return 0;
  sl_wire *w = &cw->inner->wire;
  sl_engine *outer = ((sl_eop *)op)->engine;
  bool moved = false;
  while (w->life == SL_WIRE_OPEN && sl_buf_len(&w->out)) {
    if (sl_buf_len(&outer->wire.out) > SL_WIRE_HIGH_WATER) {
      sl_strand_wake(cw->below);
      break;
    }
    size_t len = sl_buf_len(&w->out);
    if (!cw->unsent) cw->unsent = len < SL_WIRE_PIECE ? len : SL_WIRE_PIECE;
    ssize_t n = cw->port->write(cw->below, sl_buf_head(&w->out), cw->unsent);
    if (n == 0 || n == sl_step_again()) break;
    if (n < 0) return (int)n;
    cw->unsent = 0;
    w->sent += (uint64_t)n;
    sl_buf_take(&w->out, (size_t)n);
    moved = true;
  }
  if (moved) sl_engine_queue(cw->inner);
  return sl_step_again();
}

/* Not started by Lua, an operation that has ended is released at once: this is how we hear of it.
 */
static void pass_clean(sl_op *op) {
  pass_op *x = (pass_op *)op;
  channel_wire *cw = x->wire;
  if (!cw) return;
  if (cw->reader == x) cw->reader = NULL;
  if (cw->writer == x) cw->writer = NULL;
  if (op->err.kind && !cw->err.kind && !cw->ended)
    sl_err_set(&cw->err, SL_CONNECTION_LOST, op->err.name, op->err.code,
               "the connection through %s was lost: %s", cw->via, op->err.message);
  cw->ended = true;
  tell(cw);
}

static const sl_op_kind read_kind = {.name = "wire.read", .step = read_step, .clean = pass_clean};
static const sl_op_kind write_kind = {
    .name = "wire.write", .step = write_step, .clean = pass_clean};

/* --- the transport
 * ------------------------------------------------------------------------------------------- */

static ssize_t channel_wire_recv(sl_wire *w, void *buf, size_t len) {
  channel_wire *cw = w->below;
  size_t have = sl_buf_len(&cw->in);
  if (have == 0 && !cw->ended) return -EAGAIN;
  if (have == 0 && cw->err.kind) sl_wire_fail(w, &cw->err);
  if (have == 0) return cw->err.kind ? -ECONNRESET : 0;
  if (len > have) len = have;
  memcpy(buf, sl_buf_head(&cw->in), len);
  sl_buf_take(&cw->in, len);
  if (len == have)
    sl_buf_free(&cw->in);
  else
    sl_job_queue(cw->inner->loop, &cw->poke);
  if (have >= READ_AHEAD && have - len < READ_AHEAD) wake_below(cw);
  return (ssize_t)len;
}

/* Nothing is taken here: the write operation empties the wire's queue itself. */
static ssize_t channel_wire_send(sl_wire *w, const void *buf, size_t len) {
  channel_wire *cw = w->below;
  (void)buf;
  (void)len;
  if (!cw->writer) return -EPIPE;
  wake_below(cw);
  return -EAGAIN;
}

static void channel_wire_want(sl_wire *w, bool read_too, bool write_too) {
  channel_wire *cw = w->below;
  (void)write_too;
  cw->want_read = read_too;
  if (sl_buf_len(&cw->in) || cw->ended) tell(cw);
}

static void channel_wire_free(channel_wire *cw) {
  if (cw->reader) cw->reader->wire = NULL;
  if (cw->writer) cw->writer->wire = NULL;
  sl_job_remove(&cw->poke);
  sl_buf_free(&cw->in);
  cw->port->release(cw->below);
  free(cw);
}

static void channel_wire_close(sl_wire *w) {
  channel_wire_free(w->below);
}

static const sl_transport channel_transport = {.recv = channel_wire_recv,
                                               .send = channel_wire_send,
                                               .want = channel_wire_want,
                                               .close = channel_wire_close};

/* --- making one
 * ---------------------------------------------------------------------------------------------- */

static pass_op *start_pass(channel_wire *cw, int lane, const sl_op_kind *kind) {
  pass_op *x = sl_eop_new(cw->below->engine, cw->below, lane, kind, sizeof *x);
  if (!x) return NULL;
  x->wire = cw;
  x->eop.op.abandoned = true;
  sl_eop_submit(&x->eop);
  return x;
}

int sl_engine_attach_strand(sl_engine *e, sl_strand *below, const sl_channel_port *port,
                            const char *via) {
  channel_wire *cw = calloc(1, sizeof *cw);
  if (!cw) {
    port->release(below);
    return -1;
  }
  *cw = (channel_wire){
      .poke = {.run = poked}, .inner = e, .below = below, .port = port, .want_read = true};
  snprintf(cw->via, sizeof cw->via, "%s", via);
  cw->reader = start_pass(cw, SL_LANE_IN, &read_kind);
  cw->writer = cw->reader ? start_pass(cw, SL_LANE_OUT, &write_kind) : NULL;
  if (!cw->writer) {
    channel_wire_free(cw);
    return -1;
  }
  sl_wire_init(&e->wire, &channel_transport, cw);
  return 0;
}
