/* ServerAlive: probes after silence, replies counted, a peer that answers none of them is lost.

   ssh(1) gives up `interval` after the last of `max` probes; here the probes are spread so that a dead peer is
   noticed within interval * max seconds of the last byte that came. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#ifdef SL_PACKET_HOOK
#include "libssh2_priv.h"
#include "transport.h"

static bool send_probe(sl_engine *e) {
  static const char name[] = "keepalive@openssh.com";
  unsigned char packet[5 + sizeof name];
  packet[0] = SSH_MSG_GLOBAL_REQUEST;
  packet[1] = packet[2] = packet[3] = 0;
  packet[4] = sizeof name - 1;
  memcpy(packet + 5, name, sizeof name - 1);
  packet[sizeof packet - 1] = 1; /* want reply: answered with a failure, which the packet hook swallows */
  if (_libssh2_transport_send(e->raw, packet, sizeof packet, NULL, 0) != 0) return false;
  e->keepalive_owed++;
  return true;
}

static bool replies_are_seen(void) { return true; }
#else
/* Without the hook a reply would stay in libssh2's queue and spoil a later forward request: none is asked for,
   and TCP has to notice. */
static bool send_probe(sl_engine *e) {
  int next;
  libssh2_keepalive_config(e->raw, 0, 1);
  return libssh2_keepalive_send(e->raw, &next) == 0;
}

static bool replies_are_seen(void) { return false; }
#endif

bool sl_keepalive_reply(sl_engine *e) {
  if (e->keepalive_owed == 0) return false;
  e->keepalive_owed--;
  return true;
}

/* Probes go out 1, 2, ... max periods after the last byte; one period later the peer is lost. */
static void keepalive_tick(uv_timer_t *t) {
  sl_engine *e = t->data;
  if (!sl_engine_alive(e)) return;
  uint64_t now = uv_now(&e->loop->uv);
  if (e->last_heard != e->keepalive_seen) e->keepalive_sent = 0;
  e->keepalive_seen = e->last_heard;
  uint64_t due = e->last_heard + e->keepalive_period * (e->keepalive_sent + 1);
  if (now < due) {
    uv_timer_start(t, keepalive_tick, due - now, 0);
    return;
  }
  if (e->keepalive_sent >= e->keepalive_max && replies_are_seen()) {
    sl_err why = {0};
    sl_err_set(&why, SL_CONNECTION_LOST, "ETIMEDOUT", 0,
               "the server did not answer %u keepalive messages within %.3g s", e->keepalive_max,
               (double)(now - e->last_heard) / 1000);
    sl_engine_lost(e, &why);
    return;
  }
  if (send_probe(e)) e->keepalive_sent++;
  uv_timer_start(t, keepalive_tick, e->keepalive_period, 0);
  sl_engine_queue(e);
}

void sl_keepalive_start(sl_engine *e, double interval, unsigned max) {
  sl_keepalive_stop(e);
  if (interval <= 0 || max == 0) return;
  e->keepalive = calloc(1, sizeof *e->keepalive);
  if (!e->keepalive) return;
  e->keepalive_max = max;
  e->keepalive_sent = 0;
  e->keepalive_period = (uint64_t)(interval * 1000 * max / (max + 1));
  if (e->keepalive_period == 0) e->keepalive_period = 1;
  uv_timer_init(&e->loop->uv, e->keepalive);
  e->keepalive->data = e;
  e->last_heard = uv_now(&e->loop->uv);
  uv_timer_start(e->keepalive, keepalive_tick, e->keepalive_period, 0);
  uv_unref((uv_handle_t *)e->keepalive);
}

static void keepalive_closed(uv_handle_t *h) { free(h); }

void sl_keepalive_stop(sl_engine *e) {
  if (!e->keepalive) return;
  uv_close((uv_handle_t *)e->keepalive, keepalive_closed);
  e->keepalive = NULL;
}
