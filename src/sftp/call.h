/* One request of Lua and its answer: asked by a verb, judged when the reply comes, pushed when it
   is delivered. A cancelled call is released at once; the client keeps a ghost. Knows replies; must
   not know which request it was. */
#ifndef SL_SFTP_CALL_H
#define SL_SFTP_CALL_H

#include "sftp/sftp.h"

typedef struct sl_sftp_call {
  sl_op op;
  sl_sftp_request req;
  sl_sftp *sftp;
  sl_sftp_handle *handle; /* of the request, or one that was opened */
  sl_sftp_attrs attrs;
  unsigned char *bytes; /* of the reply, when it is kept */
  size_t len;
  bool at_end;
} sl_sftp_call;

/* Good replies: nothing, attributes, one name, a handle, or bytes of an extension. */
typedef enum sl_sftp_answer {
  SL_ANSWER_NONE,
  SL_ANSWER_ATTRS,
  SL_ANSWER_NAME,
  SL_ANSWER_HANDLE,
  SL_ANSWER_STATVFS,
  SL_ANSWER_OWNERS,
  SL_ANSWER_NAMES,
  SL_ANSWER_CLOSED
} sl_sftp_answer;

/* Makes the operation and begins its packet; raises when the function at done_idx is none. For
   requests of a handle, argument 1 is one, otherwise a session. */
sl_sftp_call *sl_sftp_call_new(lua_State *L, sl_sftp_answer answer, int done_idx, bool of_handle);
sl_sftp_writer sl_sftp_call_begin(sl_sftp_call *x, sl_sftp_type type);
sl_sftp_writer sl_sftp_call_begin_extended(sl_sftp_call *x, sl_sftp_ext ext);
/* Sends, or ends with an error; pushes the handle of the operation (+1) and returns 1. */
int sl_sftp_call_send(lua_State *L, sl_sftp_call *x, sl_sftp_writer *w, int done_idx);

/* Fills op->err from a status; EOF and success are no special cases here. */
void sl_sftp_call_status(sl_op *op, const sl_sftp_reply *reply);

/* Raises unless it is a string without NUL bytes of a bearable length. */
const char *sl_sftp_path_arg(lua_State *L, int idx, size_t *len);
uint64_t sl_sftp_offset_arg(lua_State *L, int idx);
/* { size=, uid=, gid=, mode=, atime=, mtime= }; uid and gid, atime and mtime go together. */
void sl_sftp_attrs_arg(lua_State *L, int idx, sl_sftp_attrs *a);
void sl_sftp_push_attrs(lua_State *L, const sl_sftp_attrs *a); /* (+1) */

/* The local descriptor of a verb for the operation alone; -1, with op->err, when it cannot be had. */
int sl_sftp_own_fd(sl_op *op, int fd);

/* Only zeros: such blocks become holes of sparse files. */
bool sl_sftp_is_zero(const unsigned char *bytes, size_t len);

#endif
