/* The byte pipe under one libssh2 session. libssh2 never sees a socket: it sends into our queue, which always
   accepts the whole packet (a half-sent packet would wedge every other operation of the session), and receives
   through a gate that only the pump opens (a reply then never reaches the wrong waiter).

   The wire also guards the time before the key exchange: libssh2 reads a greeting without limit, so the greeting is
   collected and judged here, and what may arrive before authentication is bounded. */
#ifndef SL_WIRE_H
#define SL_WIRE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct sl_wire sl_wire;

/* What is below: a socket, a pipe, a channel of another session, a hostile wire in a spec. */
typedef struct sl_transport {
  ssize_t (*recv)(sl_wire *w, void *buf, size_t len);       /* >0, 0 at the end, -errno; -EAGAIN: later */
  ssize_t (*send)(sl_wire *w, const void *buf, size_t len); /* >0 or -errno */
  void (*want)(sl_wire *w, bool read, bool write);          /* tell the engine when it is so */
  void (*close)(sl_wire *w);
  void (*acknowledge)(sl_wire *w); /* nothing goes out that would tell the peer what has come; may be NULL */
  void (*low_water)(sl_wire *w, int bytes); /* less than that need not be told of; may be NULL */
} sl_transport;

typedef enum sl_wire_life {
  SL_WIRE_OPEN,
  SL_WIRE_DRAINING, /* gone, but what came before can still be read out of libssh2 */
  SL_WIRE_DEAD      /* everything fails, so that libssh2 frees at once */
} sl_wire_life;

struct sl_wire {
  const sl_transport *transport;
  void *below; /* the transport's own */
  sl_wire_life life;
  bool gate_open, greeted, authenticated, want_write, paused; /* paused: nobody would take what comes */
  bool dry; /* the last receive got less than it asked for: nothing is there until the poll says so */
  sl_buf out, greeting;
  size_t greeting_scan; /* bytes of the greeting that hold no line end */
  char said[100];       /* the last line before the identification: sshd and proxies say there why they hang up */
  size_t budget;        /* bytes that may still be received in this turn */
  uint64_t received, sent;
  sl_err err; /* why the wire went away; err.kind == NULL while it is there */
};

/* Output is not stepped above the high water. What libssh2 says by itself (answers to a server that asks and asks and
   does not listen) can still come on top of it: above the choke nothing is received until it has gone out. A piece is
   what one packet carries of a channel's bytes; two full packets go beyond the high water and are less than 64 KiB with
   all that is around them, so that the kernel sends them as one segment, its largest. */
enum { SL_WIRE_PIECE = 32000, SL_WIRE_HIGH_WATER = 61440, SL_WIRE_CHOKE = 1 << 20, SL_WIRE_TURN_BYTES = 262144 };

void sl_wire_init(sl_wire *w, const sl_transport *transport, void *below);
ssize_t sl_wire_recv(sl_wire *w, void *buf, size_t len);       /* for libssh2's callback */
ssize_t sl_wire_send(sl_wire *w, const void *buf, size_t len); /* for libssh2's callback */
void sl_wire_flush(sl_wire *w);
void sl_wire_pause(sl_wire *w, bool paused);
void sl_wire_fail(sl_wire *w, const sl_err *err); /* first reason wins; life becomes DRAINING */
ssize_t sl_wire_protocol(sl_wire *w, const char *message); /* the peer broke the rules; a code for who receives */
void sl_wire_kill(sl_wire *w);                    /* DEAD, transport closed, memory freed; idempotent */

#endif
