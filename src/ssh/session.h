/* A client session as Lua holds it: an engine, what authentication is in the middle of, and what the server said. */
#ifndef SL_SESSION_H
#define SL_SESSION_H

#include "engine/engine.h"
#include "ssh/auth.h"
#include "ssh/data_types.h"

#define SL_SESSION_CLASS "sshlua.session"

typedef struct sl_session {
  sl_engine engine; /* first: hooks get the engine */
  sl_owned owned;
  void **box;
  sl_auth auth;
  unsigned char *kexinit; /* the server's first KEXINIT: what it offers */
  size_t kexinit_len;
  char open_failure[160];
  bool keyed; /* the key exchange is done */
  char *trace_path; /* NULL: standard error */
} sl_session;

sl_session *sl_session_check(lua_State *L, int idx); /* raises when closed */

/* Each returns its verbs for the session's class. */
const luaL_Reg *sl_auth_verbs(void);
const luaL_Reg *sl_hostkey_verbs(void);
const luaL_Reg *sl_channel_session_verbs(void);

/* A packet about a channel; true: swallow it. */
/* Hooks for the engine. */
unsigned char *sl_channel_room(sl_strand *strand, size_t len, size_t space);
void sl_channel_filled(sl_strand *strand, size_t len);
bool sl_channel_packet(sl_session *s, sl_strand *strand, const unsigned char *data, size_t len);

#endif
