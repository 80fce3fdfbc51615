/* ServerAlive: probes after silence, replies counted, a peer that answers none of them is lost.

   ssh(1) gives up `interval` after the last of `max` probes; here the probes are spread so that a dead peer is
   noticed within interval * max seconds of the last byte that came. */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

#ifdef SL_PACKET_HOOK
#include "libssh2_priv.h"
#include "transport.h"

static void send_probe(sl_engine *e) {
  static const char name[] = "keepalive@openssh.com";
  unsigned char packet[5 + sizeof name];
  packet[0] = SSH_MSG_GLOBAL_REQUEST;
  packet[1] = packet[2] = packet[3] = 0;
  packet[4] = sizeof name - 1;
  memcpy(packet + 5, name, sizeof name - 1);
  packet[sizeof packet - 1] = 1; /* want reply: answered with a failure, which the packet hook swallows */
  /* In the middle of a key exchange it is refused; silence counts all the same. */
  if (_libssh2_transport_send(e->raw, packet, sizeof packet, NULL, 0) == 0) e->keepalive_owed++;
}

static bool replies_are_seen(void) { return true; }
#else
/* Without the hook a reply would stay in libssh2's queue and spoil a later forward request: none is asked for,
   and TCP has to notice. */
static void send_probe(sl_engine *e) {
  int next;
  libssh2_keepalive_config(e->raw, 0, 1);
  (void)libssh2_keepalive_send(e->raw, &next);
}

static bool replies_are_seen(void) { return false; }
#endif

bool sl_keepalive_reply(sl_engine *e) {
  if (e->keepalive_owed == 0) return false;
  e->keepalive_owed--;
  return true;
}

static void give_up(sl_engine *e, uint64_t silence) {
  sl_err why = {0};
  sl_err_set(&why, SL_CONNECTION_LOST, "ETIMEDOUT", 0,
             "the server did not answer %u keepalive messages within %.3g s", e->keepalive_max, (double)silence / 1000);
  sl_engine_lost(e, &why);
}

/* Milliseconds until there is something to do: 0 now. */
static uint64_t not_yet(sl_engine *e, uint64_t now) {
  if (!e->wire.authenticated) return e->keepalive_period; /* what is allowed before is not ours to say */
  if (e->last_heard != e->keepalive_seen) {
    e->keepalive_seen = e->last_heard;
    e->keepalive_sent = 0;
    e->keepalive_looked = false;
  }
  uint64_t due = e->last_heard + e->keepalive_period * (e->keepalive_sent + 1);
  if (now < due) return due - now;
  if (e->keepalive_sent < e->keepalive_max || e->keepalive_looked) return 0;
  /* If this process was busy or stopped, the answer waits in the socket: look at that first. */
  e->keepalive_looked = true;
  return 1;
}

/* Probes go out 1, 2, ... max periods after the last byte; one period later the peer is lost. */
static void keepalive_tick(uv_timer_t *t) {
  sl_engine *e = t->data;
  if (!sl_engine_alive(e)) return;
  uint64_t now = uv_now(&e->loop->uv), wait = not_yet(e, now);
  if (wait == 0 && e->keepalive_sent >= e->keepalive_max && replies_are_seen()) {
    give_up(e, now - e->last_heard);
    return;
  }
  if (wait == 0) {
    send_probe(e);
    e->keepalive_sent++;
    sl_engine_queue(e);
  }
  uv_timer_start(t, keepalive_tick, wait ? wait : e->keepalive_period, 0);
}

void sl_keepalive_start(sl_engine *e, double interval, unsigned max) {
  sl_keepalive_stop(e);
  if (interval <= 0 || max == 0) return;
  e->keepalive = calloc(1, sizeof *e->keepalive);
  if (!e->keepalive) return;
  e->keepalive_max = max;
  e->keepalive_sent = 0;
  e->keepalive_looked = false;
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
