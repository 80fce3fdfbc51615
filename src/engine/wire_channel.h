/* A wire fed by a channel of another session in the same process: jump hosts. Knows strands; what a channel is, its owner
   says through sl_channel_port. */
#ifndef SL_WIRE_CHANNEL_H
#define SL_WIRE_CHANNEL_H

#include "engine/engine.h"

/* What the wire asks of the channel below. Codes below 0 are libssh2's, sl_step_again() among them. */
typedef struct sl_channel_port {
  /* Appends what has come; >0, 0 when no more comes. Called from a step of the channel's incoming lane. */
  ssize_t (*read)(sl_strand *below, sl_buf *in);
  /* How many bytes were taken. After "again" it is called with the same bytes. */
  ssize_t (*write)(sl_strand *below, const char *bytes, size_t len);
  void (*release)(sl_strand *below); /* closes the channel in the background; the strand is gone for us */
} sl_channel_port;

/* The channel becomes e's wire, which owns it from now on; `via` names the host it leads through, for messages. `ahead`
   is what of the stream was read before. -1: no memory, and the channel is released. */
int sl_engine_attach_strand(sl_engine *e, sl_strand *below, const sl_channel_port *port, const char *via,
                            const sl_buf *ahead);

#endif
