/* While a session receives in bulk, its readers rest for a moment: libssh2's queue gathers, and one delivery to Lua then
   carries what would have been ten. Only while data streams in at more than 20 MB/s; interactive traffic never rests,
   and the moment is far shorter than what the channel's window covers. The socket is read all the time: a receive
   buffer left alone would throttle the sender. */
#include <stdlib.h>

#include "engine/engine.h"

enum { BULK_BYTES = 24576, BULK_GAP_MS = 1, BULK_RUNS = 8, REST_MS = 1 };

struct sl_rest {
  uv_timer_t timer;
  sl_engine *engine;
  uint64_t last;
  unsigned runs; /* looks in a row that brought much, soon after each other */
  bool resting;
};

static void rest_over(uv_timer_t *t) {
  struct sl_rest *r = t->data;
  r->resting = false;
  r->engine->wake_all = true;
  sl_engine_queue(r->engine);
}

static struct sl_rest *rest_of(sl_engine *e) {
  if (e->rest) return e->rest;
  struct sl_rest *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->engine = e;
  uv_timer_init(&e->loop->uv, &r->timer);
  r->timer.data = r;
  e->rest = r;
  return r;
}

void sl_rest_received(sl_engine *e, uint64_t bytes) {
  if (bytes < BULK_BYTES && !e->rest) return;
  struct sl_rest *r = rest_of(e);
  if (!r) return;
  uint64_t now = uv_now(&e->loop->uv);
  bool bulk = bytes >= BULK_BYTES && now - r->last <= BULK_GAP_MS + REST_MS;
  r->last = now;
  r->runs = bulk ? r->runs + 1 : 0;
  if (r->runs < BULK_RUNS || r->resting) return;
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
