/* Between the files that handle whole packets: receive.c opens them, packet_hook.c looks at them, libssh2 gets the rest.
   Needs libssh2's private headers. */
#ifndef SL_PACKETS_H
#define SL_PACKETS_H

#include "engine/engine.h"

int sl_packet_seen(sl_engine *e, const unsigned char *data, size_t len);

/* libssh2's own, which takes data (from its allocator) whatever it returns. After "again" with packAdd_state not idle
   it wants to be called with the same again. */
int sl_packet_add(LIBSSH2_SESSION *session, unsigned char *data, size_t len, uint32_t seq);

#endif
