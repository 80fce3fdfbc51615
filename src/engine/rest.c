/* While a session receives in bulk (more than 20 MB/s in the last milliseconds), its readers rest for a moment and its
   socket is left alone until there is much to read: one receive and one delivery to Lua then carry what would have been
   ten. Interactive traffic never rests. A millisecond is far shorter than what the channel's window covers, and a
   receive buffer that fills up to the low water does not throttle the sender. The timer runs as long as the bulk does:
   it fetches what stays below the low water. */
#include <stdlib.h>

#include "engine/engine.h"

enum { BULK_BYTES = 24576, BULK_BYTES_PER_MS = 20000, WINDOW_MS = 4, LOW_WATER = 131072, REST_MS = 1 };

struct sl_rest {
  uv_timer_t timer;
  sl_engine *engine;
  uint64_t since, bytes; /* the window that is being measured */
  bool bulk, resting;
};

static void set_bulk(struct sl_rest *r, bool bulk) {
  sl_wire *w = &r->engine->wire;
  if (r->bulk == bulk) return;
  r->bulk = bulk;
  if (w->transport && w->transport->low_water) w->transport->low_water(w, bulk ? LOW_WATER : 1);
}

static void rest_over(uv_timer_t *t) {
  struct sl_rest *r = t->data;
  sl_engine *e = r->engine;
  r->resting = false;
  e->wake_all = true;
  if (e->wire.paused) { /* nothing may be read now: who reads again will be told of every byte */
    set_bulk(r, false);
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
  r->since = uv_now(&e->loop->uv);
  e->rest = r;
  return r;
}

void sl_rest_received(sl_engine *e, uint64_t bytes) {
  if (bytes < BULK_BYTES && !e->rest) return;
  struct sl_rest *r = rest_of(e);
  if (!r) return;
  uint64_t now = uv_now(&e->loop->uv), elapsed = now - r->since;
  r->bytes += bytes;
  if (elapsed >= WINDOW_MS) {
    set_bulk(r, r->bytes / elapsed >= BULK_BYTES_PER_MS);
    r->bytes = 0;
    r->since = now;
  }
  if (!r->bulk || r->resting) return;
  r->resting = true;
  uv_timer_start(&r->timer, rest_over, REST_MS, 0);
}

bool sl_rest_is_on(const sl_engine *e) { return e->rest && e->rest->resting; }

static void rest_closed(uv_handle_t *h) { free(h->data); }

void sl_rest_forget(sl_engine *e) {
  if (!e->rest) return;
  uv_close((uv_handle_t *)&e->rest->timer, rest_closed);
  e->rest = NULL;
}
