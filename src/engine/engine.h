/* The engine under one SSH session: a libssh2 session, its wire, lanes of operations, and the pump that steps
   them. See docs/engine.md for the rules and for the hazards behind them.

   A lane stands for one state slot inside libssh2: one operation at a time, first come first served. The session
   has one lane (handshake, authentication, opening channels); a strand is what the engine knows of a channel, and
   has a lane for requests, one per incoming stream, and one for writes. */
#ifndef SL_ENGINE_H
#define SL_ENGINE_H

#include <libssh2.h>

#include "engine/wire.h"
#include "loop/op.h"
#include "loop/watch.h"

typedef struct sl_engine sl_engine;
typedef struct sl_strand sl_strand;

typedef struct sl_lane {
  sl_op *head, **tail;
} sl_lane;

enum { SL_LANE_REQUEST, SL_LANE_OUT, SL_LANE_ERR, SL_LANE_IN, SL_LANES };

struct sl_strand {
  sl_strand *next, **link;
  sl_engine *engine; /* NULL once the engine is gone */
  LIBSSH2_CHANNEL *raw;
  uint32_t id; /* our side's channel number */
  sl_lane lanes[SL_LANES];
  bool woken;
  bool opening;  /* no answer of the server yet: its operations wait */
  bool answered; /* the request under way has its answer */
  size_t owed;   /* bytes consumed whose window has not been given back */
  size_t widest; /* the most that the peer has let us send ahead */
};

/* An operation of the engine. `step` makes one libssh2 call and returns its code; on failure it may fill
   op.err itself, otherwise the pump does from libssh2's own text. */
typedef struct sl_eop {
  sl_op op;
  sl_engine *engine;
  sl_strand *strand; /* NULL: the session's lane */
  sl_lane *lane;
  bool stepped; /* libssh2 may hold state for it */
  bool said;    /* the step has sent its packet and waits for something else */
} sl_eop;

/* What the owner of an engine wants to know. All may be NULL. */
typedef struct sl_engine_hooks {
  /* Every decrypted packet before libssh2 acts on it (static libssh2 only); true: swallow it. */
  bool (*packet)(sl_engine *e, sl_strand *strand, const unsigned char *data, size_t len);
  /* Channel data is about to come: where to, with `space` bytes that may be overwritten; NULL: by packet(). Then filled
     when it is there and authentic. */
  unsigned char *(*room)(sl_strand *strand, size_t len, size_t space);
  void (*filled)(sl_strand *strand, size_t len);
  void (*lost)(sl_engine *e);  /* the wire went away; e->wire.err says why */
  void (*dying)(sl_engine *e); /* the wire is dead, libssh2's session is about to be freed */
} sl_engine_hooks;

struct sl_engine {
  sl_job job;
  sl_loop *loop;
  LIBSSH2_SESSION *raw;
  sl_wire wire;
  const sl_engine_hooks *hooks;
  sl_lane lane;
  sl_strand *strands, *buried;
  bool pumped; /* the pump receives; before that (handshake) the session lane's operation does */
  bool readable, wake_all, running, reported_lost;
  bool waited_for; /* in this run: an answer of the server is awaited */
  bool said_bye;   /* nobody reads what a channel would still say */
  unsigned kex_packets;   /* in the key exchange under way */
  uint32_t open_answered; /* number of the last channel that was confirmed or refused, plus one */
  /* receive.c */
  sl_buf in;                        /* received and not yet opened */
  size_t in_packet;                 /* length of the packet at its head, 0: not yet known */
  bool in_full;                     /* the last read got all it asked for */
  unsigned char *in_again;          /* libssh2 has to be given this packet again */
  size_t in_again_len;
  /* send.c */
  unsigned char padding[256]; /* random */
  size_t padding_left;
  struct evp_pkey_st *kex_pair; /* curve25519.c: ours, while the server's answer is awaited */
  /* keepalive.c */
  uv_timer_t *keepalive;
  uint64_t last_heard, keepalive_seen, keepalive_period; /* milliseconds of the loop's clock */
  unsigned keepalive_sent, keepalive_max, keepalive_owed;
  bool keepalive_looked; /* the socket was looked at before giving up */
  /* trim.c */
  struct sl_rest *rest;
  struct sl_trim *trim;
  bool trim_pending;
};

int sl_engine_init(sl_engine *e, sl_loop *loop, const sl_engine_hooks *hooks); /* 0, or -1: no memory */
void sl_engine_attach_watch(sl_engine *e, sl_watch *watch); /* a socket becomes the wire */
/* Two pipes become the wire; -1: no memory, and they are closed. */
int sl_engine_attach_pipes(sl_engine *e, sl_watch *from, sl_watch *to);
void sl_engine_kill(sl_engine *e); /* synchronous: all operations end, everything is freed; idempotent */
void sl_engine_lost(sl_engine *e, const sl_err *why); /* declare the peer gone; queued output stays readable */
/* Of `len` bytes that libssh2 would read, how many it may (lengths.c); 0: what it has begun is no packet. */
size_t sl_length_limit(const sl_engine *e, size_t len);
void sl_engine_queue(sl_engine *e);                   /* pump it in this turn */
bool sl_engine_alive(const sl_engine *e);

void sl_lane_end(sl_lane *lane, const sl_err *why); /* all its operations fail */

void sl_strand_add(sl_engine *e, sl_strand *s);
void sl_strand_attach(sl_strand *s, LIBSSH2_CHANNEL *raw); /* the channel is open: its number is known */
void sl_strand_remove(sl_strand *s);
void sl_strand_detached(sl_engine *e); /* a strand has gone: is there still one to receive through? */
/* Removes a strand that the pump may stand on; free(s) follows when it does not. s begins its allocation. */
void sl_strand_bury(sl_strand *s);
void sl_engine_free_buried(sl_engine *e);
/* Is this the first answer to the channel that is being opened? Asked once for each answer. */
bool sl_engine_awaits_open(sl_engine *e, uint32_t id);
sl_strand *sl_strand_find(sl_engine *e, uint32_t id);
void sl_strand_wake(sl_strand *s);
bool sl_strand_idle(const sl_strand *s); /* no operation in any lane */

/* The receive window. take: a packet with that many bytes came; false: the server was not allowed to. credit: they were
   consumed; from anywhere. */
bool sl_window_has(const sl_strand *s, size_t bytes);
bool sl_window_take(sl_strand *s, size_t bytes);
void sl_window_credit(sl_strand *s, size_t bytes);
void sl_window_step(sl_strand *s); /* for the pump */
/* The other direction. opened: the peer takes that much more. widest: so far ahead it has let us go at most. */
void sl_window_opened(sl_strand *s, size_t bytes);
size_t sl_window_widest(const sl_strand *s);

/* Makes an operation for a lane (strand NULL: the session's). The caller fills it, then calls sl_eop_submit, and
   sl_op_start if Lua waits for it. A submitted operation on a dead engine ends at once with the reason. */
void *sl_eop_new(sl_engine *e, sl_strand *strand, int lane, const sl_op_kind *kind, size_t size);
void sl_eop_submit(sl_eop *op);

bool sl_eop_cancel(sl_op *op);         /* for kinds whose libssh2 state must be driven to its end */
bool sl_eop_cancel_at_once(sl_op *op); /* for kinds that leave no state behind */

void sl_engine_pumped(sl_engine *e); /* the key exchange is done */

/* libssh2's code for "again", for steps that wait for something libssh2 does not know. */
int sl_step_again(void);
/* For libssh2 calls that return a pointer: 0, or the session's last error when it is NULL. */
int sl_step_pointer(sl_engine *e, const void *result);

void sl_keepalive_start(sl_engine *e, double interval, unsigned max); /* ServerAliveInterval, ServerAliveCountMax */
void sl_keepalive_stop(sl_engine *e);
bool sl_keepalive_reply(sl_engine *e); /* a global request was answered: ours? */

void sl_receive_forget(sl_engine *e); /* before libssh2's session is freed */
void sl_kex_forget(sl_engine *e);

void sl_rest_moved(sl_engine *e, uint64_t bytes);    /* that much came and went in one run */
bool sl_rest_is_on(const sl_engine *e);              /* readers with little to deliver wait */
void sl_rest_forget(sl_engine *e);

void sl_trim_touch(sl_engine *e); /* it was busy: look at it again when it has been quiet for a while */
void sl_trim_forget(sl_engine *e);

#endif
