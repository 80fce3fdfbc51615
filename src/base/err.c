/* Codes of libssh2 and libuv to {kind, name, code, message}: the only strerror switches. */
#include "base/err.h"

#include <libssh2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

int sl_err_set(sl_err *e, const char *kind, const char *name, int code, const char *fmt, ...) {
  va_list ap;
  e->kind = kind;
  e->name = name;
  e->code = code;
  va_start(ap, fmt);
  vsnprintf(e->message, sizeof e->message, fmt, ap);
  va_end(ap);
  return -1;
}

int sl_err_uv(sl_err *e, const char *kind, int code, const char *what) {
  return sl_err_set(e, kind, uv_err_name(code), code, "%s%s%s", what ? what : "", what ? ": " : "",
                    uv_strerror(code));
}

typedef struct ssh2_code {
  int code;
  const char *kind, *name;
  const char *words; /* libssh2's text for it is about something else: its transport sets none */
} ssh2_code;

#define CODE(kind, name) {LIBSSH2_ERROR_##name, kind, "LIBSSH2_ERROR_" #name, NULL}
#define SAY(kind, name, words) {LIBSSH2_ERROR_##name, kind, "LIBSSH2_ERROR_" #name, words}
static const ssh2_code ssh2_codes[] = {
    CODE(SL_PROTOCOL, SOCKET_NONE),
    CODE(SL_PROTOCOL, BANNER_RECV),
    CODE(SL_CONNECTION_LOST, BANNER_SEND),
    SAY(SL_PROTOCOL, INVALID_MAC, "a packet of the server is damaged: message authentication code incorrect"),
    CODE(SL_HANDSHAKE, KEX_FAILURE),
    CODE(SL_MEMORY, ALLOC),
    CODE(SL_CONNECTION_LOST, SOCKET_SEND),
    CODE(SL_HANDSHAKE, KEY_EXCHANGE_FAILURE),
    CODE(SL_TIMEOUT, TIMEOUT),
    CODE(SL_HOSTKEY, HOSTKEY_INIT),
    CODE(SL_HOSTKEY, HOSTKEY_SIGN),
    SAY(SL_PROTOCOL, DECRYPT, "a packet of the server is damaged: message authentication code incorrect"),
    CODE(SL_CONNECTION_LOST, SOCKET_DISCONNECT),
    CODE(SL_PROTOCOL, PROTO),
    CODE(SL_AUTH, PASSWORD_EXPIRED),
    CODE(SL_AUTH, FILE),
    CODE(SL_HANDSHAKE, METHOD_NONE),
    CODE(SL_AUTH, AUTHENTICATION_FAILED),
    CODE(SL_AUTH, PUBLICKEY_UNVERIFIED),
    CODE(SL_CHANNEL, CHANNEL_OUTOFORDER),
    CODE(SL_CHANNEL, CHANNEL_FAILURE),
    CODE(SL_CHANNEL, CHANNEL_REQUEST_DENIED),
    CODE(SL_CHANNEL, CHANNEL_UNKNOWN),
    CODE(SL_CHANNEL, CHANNEL_WINDOW_EXCEEDED),
    CODE(SL_CHANNEL, CHANNEL_PACKET_EXCEEDED),
    CODE(SL_CHANNEL, CHANNEL_CLOSED),
    CODE(SL_CHANNEL, CHANNEL_EOF_SENT),
    CODE(SL_PROTOCOL, ZLIB),
    CODE(SL_CONNECTION_LOST, SOCKET_TIMEOUT),
    CODE(SL_CHANNEL, REQUEST_DENIED),
    CODE(SL_HANDSHAKE, METHOD_NOT_SUPPORTED),
    CODE(SL_USAGE, INVAL),
    CODE(SL_USAGE, BAD_USE),
    SAY(SL_PROTOCOL, OUT_OF_BOUNDARY, "a packet of the server has an impossible length"),
    CODE(SL_CONNECTION_LOST, SOCKET_RECV),
    CODE(SL_PROTOCOL, ENCRYPT),
    CODE(SL_CONNECTION_LOST, BAD_SOCKET),
    CODE(SL_CHANNEL, CHANNEL_WINDOW_FULL),
    CODE(SL_AUTH, KEYFILE_AUTH_FAILED),
    CODE(SL_HANDSHAKE, ALGO_UNSUPPORTED),
};
#undef CODE
#undef SAY

int sl_err_ssh2(sl_err *e, int code, const char *text) {
  for (size_t i = 0; i < sizeof ssh2_codes / sizeof *ssh2_codes; i++) {
    const ssh2_code *c = &ssh2_codes[i];
    if (c->code != code) continue;
    if (c->words) text = c->words;
    return sl_err_set(e, c->kind, c->name, code, "%s", text && *text ? text : c->name);
  }
  return sl_err_set(e, SL_PROTOCOL, "LIBSSH2_ERROR", code, "%s (libssh2 code %d)",
                    text && *text ? text : "unexpected failure", code);
}

/* draft-ietf-secsh-filexfer-02, section 7. */
static const struct {
  const char *name, *words;
} sftp_statuses[] = {
    {"SSH_FX_OK", "success"},
    {"SSH_FX_EOF", "end of file"},
    {"SSH_FX_NO_SUCH_FILE", "no such file"},
    {"SSH_FX_PERMISSION_DENIED", "permission denied"},
    {"SSH_FX_FAILURE", "failure"},
    {"SSH_FX_BAD_MESSAGE", "bad message"},
    {"SSH_FX_NO_CONNECTION", "no connection"},
    {"SSH_FX_CONNECTION_LOST", "connection lost"},
    {"SSH_FX_OP_UNSUPPORTED", "operation unsupported"},
};

/* The server's words are added where they say more than ours. */
int sl_err_sftp(sl_err *e, unsigned status, const void *words, size_t len) {
  bool known = status < sizeof sftp_statuses / sizeof *sftp_statuses;
  const char *name = known ? sftp_statuses[status].name : "SSH_FX_UNKNOWN";
  const char *ours = known ? sftp_statuses[status].words : "unknown status";
  bool same = len == 0 || (strlen(ours) == len && strncasecmp(ours, words, len) == 0);
  int shown = len > 120 ? 120 : (int)len;
  if (same) return sl_err_set(e, SL_SFTP, name, (int)status, "%s", ours);
  return sl_err_set(e, SL_SFTP, name, (int)status, "%s (%.*s)", ours, shown, (const char *)words);
}
