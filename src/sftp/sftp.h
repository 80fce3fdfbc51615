/* An SFTP session as Lua holds it: a protocol engine joined to a channel. The node belongs to C and
   lives as long as anybody points to it: the Lua box, the pipe's operations, handles, requests of
   Lua. */
#ifndef SL_SFTP_H
#define SL_SFTP_H

#include "loop/op.h"
#include "sftp/client.h"
#include "sftp/pipe.h"

#define SL_SFTP_CLASS "sshlua.sftp"
#define SL_SFTP_HANDLE_CLASS "sshlua.sftp_handle"

typedef struct sl_sftp {
  sl_sftp_client client; /* first: hooks get the client */
  sl_loop *loop;
  sl_sftp_pipe pipe;
  sl_op *starting; /* waits for the version */
  unsigned refs;
  unsigned empty_names; /* lists of no names, one after the other */
} sl_sftp;

/* An open file or directory of the server. */
typedef struct sl_sftp_handle {
  sl_sftp *sftp;
  unsigned refs;
  bool closed;
  uint64_t safe, moved; /* of the transfer under way or the last one */
  size_t len;
  unsigned char bytes[SL_SFTP_HANDLE_MAX];
} sl_sftp_handle;

sl_sftp *sl_sftp_check(lua_State *L, int idx); /* raises when closed */
void sl_sftp_ref(sl_sftp *s);
void sl_sftp_unref(sl_sftp *s);

sl_sftp_handle *sl_sftp_handle_new(sl_sftp *s,
                                   sl_span bytes); /* with one reference; NULL: no memory */
void sl_sftp_handle_push(lua_State *L, sl_sftp_handle *h,
                         int sftp_ref);                      /* takes the reference (+1) */
sl_sftp_handle *sl_sftp_handle_check(lua_State *L, int idx); /* raises when closed */
void sl_sftp_handle_unref(sl_sftp_handle *h); /* the last one closes it, without waiting */
static inline sl_span sl_sftp_span_of(const sl_sftp_handle *h) {
  return (sl_span){h->bytes, h->len};
}

/* Each adds its verbs to the class of handles or sessions. */
const luaL_Reg *sl_sftp_path_verbs(void);
const luaL_Reg *sl_sftp_handle_verbs(void);
const luaL_Reg *sl_sftp_data_verbs(void);
const luaL_Reg *sl_sftp_get_verbs(void);
const luaL_Reg *sl_sftp_put_verbs(void);
const luaL_Reg *sl_sftp_get_files_verbs(void);
const luaL_Reg *sl_sftp_put_files_verbs(void);

void sl_sftp_open(lua_State *L); /* adds `sftp` to the table on top of the stack */

#endif
