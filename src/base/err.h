/* One shape for every failure on the C side. C reports, Lua raises: a filled sl_err becomes the table
   {kind, name, code, message} that an operation's `done` gets as its first argument.
   Knows the kinds; must not know Lua. */
#ifndef SL_ERR_H
#define SL_ERR_H

#include <stddef.h>

/* The kinds, in the words of docs/errors.md. They say what one can do, not where it happened. */
#define SL_USAGE "usage"
#define SL_RESOLVE "resolve"
#define SL_CONNECT "connect"
#define SL_HANDSHAKE "handshake"
#define SL_HOSTKEY "hostkey"
#define SL_AUTH "auth"
#define SL_CHANNEL "channel"
#define SL_SFTP "sftp"
#define SL_TIMEOUT "timeout"
#define SL_CANCELLED "cancelled"
#define SL_CLOSED "closed"
#define SL_CONNECTION_LOST "connection_lost"
#define SL_PROTOCOL "protocol"
#define SL_IO "io"
#define SL_LIMIT "limit"
#define SL_MEMORY "memory"
#define SL_CONFIG "config"

typedef struct sl_err {
  const char *kind; /* one of the above; NULL: no error */
  const char *name; /* symbolic code, "ECONNREFUSED", "LIBSSH2_ERROR_PROTO"; static storage, may be NULL */
  int code;         /* its number, 0 when there is none */
  char message[256]; /* for people, one line; bytes of a server may be in it, Lua cleans them */
} sl_err;

/* Fills *e and returns -1, so that callers can `return sl_err_set(...)`. */
int sl_err_set(sl_err *e, const char *kind, const char *name, int code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* From a libuv (negative) or errno-style negative code. `what` names the step: "connect to 10.0.0.1:22". */
int sl_err_uv(sl_err *e, const char *kind, int code, const char *what);

/* From a libssh2 return code and the session's error text (may be NULL). */
int sl_err_ssh2(sl_err *e, int code, const char *text);

/* From a status of an SFTP server and its words, which need no NUL at their end. */
int sl_err_sftp(sl_err *e, unsigned status, const void *words, size_t len);

#endif
