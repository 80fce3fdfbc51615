/* A client session as Lua holds it: an engine, what authentication is in the middle of, and what the server said. */
#ifndef SL_SESSION_H
#define SL_SESSION_H

#include "engine/engine.h"
#include "ssh/auth.h"

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
} sl_session;

sl_session *sl_session_check(lua_State *L, int idx); /* raises when closed */

/* Each returns its verbs for the session's class. */
const luaL_Reg *sl_auth_verbs(void);
const luaL_Reg *sl_hostkey_verbs(void);
const luaL_Reg *sl_channel_session_verbs(void);

/* A packet about a channel; true: swallow it. */
bool sl_channel_packet(sl_session *s, sl_strand *strand, const unsigned char *data, size_t len);

/* Reads of wire integers and strings, bounds checked. */
typedef struct sl_reader {
  const unsigned char *p, *end;
  bool bad;
} sl_reader;

static inline uint32_t sl_read_u32(sl_reader *r) {
  if (r->bad || r->end - r->p < 4) {
    r->bad = true;
    return 0;
  }
  uint32_t v = (uint32_t)r->p[0] << 24 | (uint32_t)r->p[1] << 16 | (uint32_t)r->p[2] << 8 | r->p[3];
  r->p += 4;
  return v;
}

static inline unsigned char sl_read_byte(sl_reader *r) {
  if (r->bad || r->p == r->end) {
    r->bad = true;
    return 0;
  }
  return *r->p++;
}

static inline const unsigned char *sl_read_string(sl_reader *r, size_t *len) {
  uint32_t n = sl_read_u32(r);
  *len = 0;
  if (r->bad || (size_t)(r->end - r->p) < n) {
    r->bad = true;
    return NULL;
  }
  const unsigned char *s = r->p;
  r->p += n;
  *len = n;
  return s;
}

#endif
