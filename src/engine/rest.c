/* While a session moves bytes in bulk (more than 20 MB/s in the last milliseconds), its readers rest for a moment and its
   socket is left alone until there is much to read: one receive and one delivery to Lua then carry what would have been
   ten. Interactive traffic never rests. A millisecond is far shorter than what the channel's window covers, and a
   receive buffer that fills up to the low water does not throttle the sender. The timer runs as long as the bulk does:
   it fetches what stays below the low water. */
#include <stdlib.h>

#include "engine/engine.h"

enum { BULK_BYTES = 24576, BULK_BYTES_PER_MS = 20000, WINDOW_MS = 4, REST_MS = 1, SENDING_WINDOW = 524288 };

typedef enum flow_kind { QUIET, SENDING, RECEIVING } flow_kind;

/* Bytes. Who sends in bulk gets windows opened and writes answered, some dozens of bytes for each. */
static const int low_water[] = {[QUIET] = 1, [SENDING] = 512, [RECEIVING] = 131072};

struct sl_rest {
  uv_timer_t timer;
  sl_engine *engine;
  uint64_t since, received, sent; /* when the window that is measured began, and the wire's counters then */
  flow_kind flow;
  bool resting;
};

static void set_flow(struct sl_rest *r, flow_kind flow) {
  sl_wire *w = &r->engine->wire;
  if (r->flow == flow) return;
  r->flow = flow;
  if (w->transport && w->transport->low_water) w->transport->low_water(w, low_water[flow]);
}

static void begin_window(struct sl_rest *r) {
  const sl_engine *e = r->engine;
  r->since = uv_now(&e->loop->uv);
  r->received = e->wire.received;
  r->sent = e->wire.sent;
}

/* Who lets us send but little ahead (dropbear: 24 KiB) has to be heard at once: that much goes in less than we rest. */
static bool is_narrow(const sl_engine *e) {
  for (const sl_strand *s = e->strands; s; s = s->next)
    if (s->raw && sl_window_widest(s) < SENDING_WINDOW) return true;
  return false;
}

static flow_kind flow_of(const struct sl_rest *r, uint64_t bulk) {
  const sl_wire *w = &r->engine->wire;
  if (w->received - r->received >= bulk) return RECEIVING;
  return w->sent - r->sent >= bulk && !is_narrow(r->engine) ? SENDING : QUIET;
}

static void measure(struct sl_rest *r) {
  uint64_t ms = uv_now(&r->engine->loop->uv) - r->since;
  if (ms < WINDOW_MS) return;
  set_flow(r, flow_of(r, ms * BULK_BYTES_PER_MS));
  begin_window(r);
}

static void rest_over(uv_timer_t *t) {
  struct sl_rest *r = t->data;
  sl_engine *e = r->engine;
  r->resting = false;
  e->wake_all = true;
  if (e->wire.paused) { /* nothing may be read now: who reads again will be told of every byte */
    set_flow(r, QUIET);
  } else {
    e->readable = true; /* less than the low water may have come */
    e->wire.dry = false;
  }
  sl_engine_queue(e);
}

static struct sl_rest *rest_of(sl_engine *e) {
  if (e->rest) return e->rest;
  struct sl_rest *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->engine = e;
  uv_timer_init(&e->loop->uv, &r->timer);
  r->timer.data = r;
  begin_window(r);
  e->rest = r;
  return r;
}

void sl_rest_moved(sl_engine *e, uint64_t bytes) {
  if (bytes < BULK_BYTES && !e->rest) return;
  struct sl_rest *r = e->wire.authenticated && e->wire.life == SL_WIRE_OPEN ? rest_of(e) : NULL;
  if (!r) return;
  measure(r);
  if (r->flow == QUIET || r->resting) return;
  r->resting = true;
  uv_timer_start(&r->timer, rest_over, REST_MS, 0);
}

bool sl_rest_is_on(const sl_engine *e) {
  return e->rest && e->rest->resting && e->rest->flow == RECEIVING;
}

static void rest_closed(uv_handle_t *h) { free(h->data); }

void sl_rest_forget(sl_engine *e) {
  if (!e->rest) return;
  uv_close((uv_handle_t *)&e->rest->timer, rest_closed);
  e->rest = NULL;
}
