/* A channel (RFC 4254 5): a strand of the engine, and what came for it that libssh2 does not keep. The node belongs to
   C and outlives its Lua box: a channel that Lua dropped is closed in the background. */
#ifndef SL_CHANNEL_H
#define SL_CHANNEL_H

#include "ssh/session.h"

#define SL_CHANNEL_CLASS "sshlua.channel"

/* How the command ended (RFC 4254 6.10). */
typedef struct sl_exit {
  bool has_status, has_signal, core_dumped;
  uint32_t status;
  char signal[32], message[256];
} sl_exit;

enum { SL_READ_BYTES = 262144 };

typedef struct sl_channel {
  sl_strand strand; /* first: hooks get the strand */
  void **box;       /* NULL: Lua has let go of it */
  bool opened, closing;
  bool ended; /* the server has said that no more data comes */
  sl_exit exit;
  size_t read_bytes; /* one fixed size for every read, at most SL_READ_BYTES: after "again" libssh2 wants the same, and
                        it computes the window adjustment from it */
  bool err_turn; /* read_any looks at stderr first */
  sl_buf unread[2]; /* by stream: what a read brought that was then cancelled */
  struct sl_direct *opening; /* channel_direct.c: sent, and not answered yet */
} sl_channel;

sl_channel *sl_channel_check(lua_State *L, int idx); /* raises when closed or its session is */

/* Makes an operation on a channel's lane; raises when out of memory. */
void *sl_channel_op(lua_State *L, sl_channel *ch, int lane, const sl_op_kind *kind, size_t size);

/* Starts one that needs nothing but its channel (argument 1) and done (argument 2). */
int sl_channel_start(lua_State *L, int lane, const sl_op_kind *kind, size_t size);

/* Pushes the box of a channel that Lua gets to hold; session_ref anchors its session (+1). */
int sl_channel_push(lua_State *L, sl_channel *ch, int session_ref);

/* Nobody holds it any more: it is closed in the background. */
void sl_channel_release(sl_channel *ch);

unsigned sl_channel_check_window(lua_State *L, int idx); /* the default when there is none */

/* The answer to an open of channel_direct.c? Then it has been taken. */
bool sl_channel_direct_answer(sl_channel *ch, const unsigned char *data, size_t len);

/* The channel at idx becomes the wire of e and is closed for Lua. Raises before anything is changed. */
void sl_channel_become_wire(lua_State *L, int idx, sl_engine *e, const char *via);

static inline sl_channel *sl_channel_of(sl_op *op) { return (sl_channel *)((sl_eop *)op)->strand; }

const luaL_Reg *sl_channel_request_verbs(void);
const luaL_Reg *sl_channel_stream_verbs(void);
const luaL_Reg *sl_channel_direct_verbs(void); /* of the session's class */

#endif
