/* The pump: when the wire has bytes, open the gate, let libssh2 take them all into its queues, shut the gate, then
   step the operations whose answers may be there. The only files that know "again" are in this folder. */
#include "engine/engine.h"

#include <string.h>

#ifdef SL_LIBSSH2_STATIC
#include "libssh2_priv.h"
#include "transport.h"
#endif

/* Rounds of stepping per run; a session with more to do queues itself behind the others. */
enum { ROUNDS_PER_RUN = 8 };

/* Bytes; who sends more than that at a time does not wait for each acknowledgement. */
enum { SMALL_ANSWER = 4096 };

int sl_step_again(void) { return LIBSSH2_ERROR_EAGAIN; }

int sl_step_pointer(sl_engine *e, const void *result) {
  return result ? 0 : libssh2_session_last_errno(e->raw);
}

/* --- receiving ---------------------------------------------------------------------------------------- */

#ifdef SL_PACKET_HOOK
static bool rekeying(const sl_engine *e) {
  return (e->raw->state & LIBSSH2_STATE_EXCHANGING_KEYS) != 0;
}
#else
/* Without the packet hook nobody tells which channel got something: every lane is looked at. */
static bool rekeying(const sl_engine *e) {
  (void)e;
  return true;
}
#endif

#ifdef SL_LIBSSH2_STATIC

void sl_engine_pumped(sl_engine *e) {
  e->pumped = true;
  e->wire.gate_open = false;
}

static int receive_packets(sl_engine *e) {
  int rc;
  do rc = _libssh2_transport_read(e->raw);
  while (rc >= 0);
  return rc;
}

#else

void sl_engine_pumped(sl_engine *e) { (void)e; } /* when there is a channel, see sl_strand_attach */

static int receive_packets(sl_engine *e) {
  char none[1];
  ssize_t rc = LIBSSH2_ERROR_EAGAIN;
  for (const sl_strand *s = e->strands; s; s = s->next) {
    if (!s->raw) continue;
    do rc = libssh2_channel_read_ex(s->raw, 0, none, 0);
    while (rc > 0);
    break;
  }
  return rc == 0 ? LIBSSH2_ERROR_EAGAIN : (int)rc;
}

#endif

/* libssh2's words for this code; its last words may be about another. */
static const char *words_for(sl_engine *e, int rc) {
  char *text = NULL;
  return libssh2_session_last_error(e->raw, &text, NULL, 0) == rc ? text : NULL;
}

static void engine_failed(sl_engine *e, int rc) {
  sl_err why = {0};
  sl_err_ssh2(&why, rc, words_for(e, rc));
  sl_engine_lost(e, &why);
}

static void drain_wire(sl_engine *e) {
  bool before = rekeying(e);
  e->wire.gate_open = true;
  int rc = receive_packets(e);
  e->wire.gate_open = false;
  if (before || rekeying(e)) e->wake_all = true;
  if (rc != LIBSSH2_ERROR_EAGAIN && e->wire.life == SL_WIRE_OPEN) engine_failed(e, rc);
}

/* --- stepping ----------------------------------------------------------------------------------------- */

static void finish_failed(sl_eop *x, int rc) {
  sl_engine *e = x->engine;
  if (x->op.err.kind) return;
  if (e->wire.err.kind && e->wire.life != SL_WIRE_OPEN) {
    x->op.err = e->wire.err;
    return;
  }
  sl_err_ssh2(&x->op.err, rc, words_for(e, rc));
}

/* A socket error seen by one operation is the end of all: libssh2 cannot go on after it. */
static bool is_fatal(int rc) {
  switch (rc) {
  case LIBSSH2_ERROR_SOCKET_SEND:
  case LIBSSH2_ERROR_SOCKET_RECV:
  case LIBSSH2_ERROR_SOCKET_DISCONNECT:
  case LIBSSH2_ERROR_SOCKET_NONE:
  case LIBSSH2_ERROR_INVALID_MAC:
  case LIBSSH2_ERROR_DECRYPT:
  case LIBSSH2_ERROR_ENCRYPT:
  case LIBSSH2_ERROR_OUT_OF_BOUNDARY:
  case LIBSSH2_ERROR_PROTO:
  case LIBSSH2_ERROR_ZLIB:
  case LIBSSH2_ERROR_BANNER_RECV:
  case LIBSSH2_ERROR_BANNER_SEND:
  case LIBSSH2_ERROR_TIMEOUT:
    return true;
  default:
    return false;
  }
}

static void leave_lane(sl_lane *lane, sl_eop *x) {
  sl_op_unlink(&lane->head, &lane->tail, &x->op);
  if (x->strand && lane == &x->strand->lanes[SL_LANE_REQUEST]) x->strand->answered = false;
}

/* Steps the head of a lane; true when it finished. */
static bool step_head(sl_engine *e, sl_lane *lane) {
  sl_eop *x = (sl_eop *)lane->head;
  x->stepped = true;
  int rc = x->op.kind->step(&x->op);
  if (rc == LIBSSH2_ERROR_EAGAIN) {
    if (e->wire.life == SL_WIRE_OPEN) return false;
    x->op.err = e->wire.err; /* nothing more will come */
  } else if (rc < 0) {
    if (is_fatal(rc) && e->wire.life == SL_WIRE_OPEN) engine_failed(e, rc);
    finish_failed(x, rc);
  }
  leave_lane(lane, x);
  sl_op_finish(&x->op);
  return true;
}

static bool step_lane(sl_engine *e, sl_lane *lane) {
  bool any = false;
  while (lane->head && step_head(e, lane)) any = true;
  return any;
}

static bool step_strand(sl_engine *e, sl_strand *s) {
  bool any = false;
  s->woken = false;
  for (int i = 0; i < SL_LANES; i++) {
    if (i == SL_LANE_OUT && sl_buf_len(&e->wire.out) > SL_WIRE_HIGH_WATER) {
      if (s->lanes[i].head) s->woken = true; /* again when the queue has drained */
      continue;
    }
    any |= step_lane(e, &s->lanes[i]);
  }
  if (s->lanes[SL_LANE_REQUEST].head) e->waited_for = true;
  sl_window_step(s);
  return any;
}

static bool step_all(sl_engine *e) {
  bool all = e->wake_all || e->wire.life != SL_WIRE_OPEN;
  e->wake_all = false;
  bool any = step_lane(e, &e->lane);
  if (e->lane.head) e->waited_for = true;
  if (e->said_bye && e->wire.life == SL_WIRE_OPEN) return any;
  for (sl_strand *s = e->strands, *next; s; s = next) {
    next = s->next;
    if ((all || s->woken) && !s->opening) any |= step_strand(e, s);
  }
  return any;
}

static bool woken_left(const sl_engine *e) {
  if (e->said_bye) return false;
  for (const sl_strand *s = e->strands; s; s = s->next)
    if (s->woken && !s->opening) return true;
  return false;
}

static void report_lost(sl_engine *e) {
  if (e->wire.life == SL_WIRE_OPEN || e->reported_lost) return;
  e->reported_lost = true;
  sl_keepalive_stop(e);
  if (e->hooks && e->hooks->lost) e->hooks->lost(e);
}

/* The poll is level-triggered: bytes that nobody takes would spin the loop. */
static void pause_unless_read(sl_engine *e) {
  bool readers = (e->pumped || e->lane.head) && sl_buf_len(&e->wire.out) <= SL_WIRE_CHOKE;
  if (e->wire.life != SL_WIRE_OPEN) readers = false;
  sl_wire_pause(&e->wire, !readers);
}

/* An answer came that is not the last of what somebody waits for, and we had nothing to say to it. */
static void acknowledge_unsaid(sl_engine *e, uint64_t received, uint64_t sent) {
  sl_wire *w = &e->wire;
  if (w->received == received || w->received - received > SMALL_ANSWER || w->sent != sent || !e->waited_for) return;
  if (w->life == SL_WIRE_OPEN && w->transport->acknowledge) w->transport->acknowledge(w);
}

static void engine_run(sl_job *job) {
  sl_engine *e = (sl_engine *)job;
  if (!e->raw || e->running) return;
  e->running = true;
  e->waited_for = false;
  uint64_t received = e->wire.received, sent = e->wire.sent;
  e->wire.budget = SL_WIRE_TURN_BYTES;
  if (e->readable) e->last_heard = uv_now(&e->loop->uv);
  if (e->pumped && e->readable && e->wire.life == SL_WIRE_OPEN) drain_wire(e);
  e->readable = false;
  bool again = true;
  for (int i = 0; i < ROUNDS_PER_RUN && again; i++) {
    again = step_all(e);
    bool open = e->wire.life == SL_WIRE_OPEN;
    sl_wire_flush(&e->wire);
    again |= open && e->wire.life != SL_WIRE_OPEN; /* lost while sending: everybody who waits has to hear of it */
    again |= woken_left(e) && sl_buf_len(&e->wire.out) <= SL_WIRE_HIGH_WATER;
    again |= e->wire.life != SL_WIRE_OPEN && !e->reported_lost; /* lost in the flush: operations have to end */
  }
  report_lost(e);
  acknowledge_unsaid(e, received, sent);
  sl_rest_moved(e, e->wire.received - received + e->wire.sent - sent);
  pause_unless_read(e);
  e->running = false;
  sl_engine_free_buried(e);
  sl_trim_touch(e);
  if (again) sl_engine_queue(e);
}

void sl_engine_queue(sl_engine *e) {
  e->job.run = engine_run;
  sl_job_queue(e->loop, &e->job);
}
