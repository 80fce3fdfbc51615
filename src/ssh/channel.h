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

enum { SL_COMMAND_MAX = 30000, SL_ENV_NAME_MAX = 1024 }; /* libssh2 sends a request in one packet */

/* Takes what comes at once instead of leaving it in the channel's buffers. It is called while packets are received: it
   must not call libssh2 or Lua, and says sl_window_credit when it has consumed the bytes. */
typedef struct sl_taker {
  void (*bytes)(void *self, int stream, const unsigned char *bytes, size_t len); /* stream 0 stdout, 1 stderr */
  unsigned char *(*room)(void *self, size_t len, size_t space); /* where the next of stdout may be written; or NULL */
  void (*filled)(void *self, size_t len);                       /* so many are there */
  void (*ended)(void *self);                                                     /* the server sends no more */
} sl_taker;

typedef struct sl_channel {
  sl_strand strand; /* first: hooks get the strand */
  void **box;       /* NULL: Lua has let go of it */
  bool opened, closing;
  bool is_session; /* of type "session": one of those that MaxSessions counts */
  bool ended; /* the server has said that no more data comes */
  sl_exit exit;
  const sl_taker *taker; /* may be NULL */
  void *taken_by;
  bool err_turn;  /* read_any looks at stderr first */
  sl_buf in[2];   /* by stream: received and not yet read */
  size_t prepaid; /* bytes in there whose window has been given back: a read that had them was cancelled */
  bool gathers, truncated; /* channel_run.c: all output is kept up to gather_max, what is more is counted */
  size_t gather_max;
  uint64_t gathered;
  struct sl_direct *opening; /* channel_direct.c: sent, and not answered yet */
} sl_channel;

sl_channel *sl_channel_check(lua_State *L, int idx); /* raises when closed or its session is */

/* Makes an operation on a channel's lane; raises when out of memory. */
void *sl_channel_op(lua_State *L, sl_channel *ch, int lane, const sl_op_kind *kind, size_t size);

/* Starts one that needs nothing but its channel (argument 1) and done (argument 2). */
int sl_channel_start(lua_State *L, int lane, const sl_op_kind *kind, size_t size);

/* In place of its session, on top of the stack, the box of a channel that Lua gets to hold: the session lives as long as
   its channels. */
void sl_channel_push(lua_State *L, sl_channel *ch);

/* Nobody holds it any more: it is closed in the background. */
void sl_channel_release(sl_channel *ch);

unsigned sl_channel_check_window(lua_State *L, int idx); /* the default when there is none */

/* A variable that nobody waits for (RFC 4254 6.4, want reply false). "Again" only while keys are exchanged, and then
   nothing has been kept. */
int sl_channel_send_env(sl_strand *strand, const char *name, size_t name_len, const char *value, size_t value_len);

/* The answer to an open of channel_direct.c? Then it has been taken. */
bool sl_channel_direct_answer(sl_channel *ch, const unsigned char *data, size_t len);

/* The channel at idx becomes the wire of e and is closed for Lua. Raises before anything is changed. */
void sl_channel_become_wire(lua_State *L, int idx, sl_engine *e, const char *via);

static inline sl_channel *sl_channel_of(sl_op *op) { return (sl_channel *)((sl_eop *)op)->strand; }

const luaL_Reg *sl_channel_open_verbs(void);
const luaL_Reg *sl_channel_request_verbs(void);
/* Packets for it. data is the packet, with at least type and channel number. */
void sl_channel_data(sl_channel *ch, const unsigned char *data, size_t len);
void sl_channel_ended(sl_channel *ch);

/* Asks for more of a stream: 0 at its end, "again" when there is nothing yet. */
int sl_channel_fetch(sl_channel *ch, int stream);

/* In a bulk stream a small delivery waits a moment for company; the end of the stream does not. */
bool sl_channel_gathers_more(const sl_channel *ch);

/* The server has closed the channel: it takes no more input. */
bool sl_channel_peer_closed(LIBSSH2_CHANNEL *raw);
/* What a step that waits for the answer of a request ends with: rc, or an error when none can come any more. */
int sl_channel_await_answer(sl_op *op, int rc);

/* Waits for the close of the server, which comes after all output; then how the command ended. */
int sl_channel_wait_closed(sl_channel *ch);
int sl_exit_push(lua_State *L, const sl_exit *x); /* code|nil, signal, message, core: 1 or 4 values */

const luaL_Reg *sl_channel_input_verbs(void);
const luaL_Reg *sl_channel_output_verbs(void);
const luaL_Reg *sl_channel_run_verbs(void);
const luaL_Reg *sl_channel_pass_verbs(void);
const luaL_Reg *sl_channel_direct_verbs(void); /* of the session's class */

#endif
