/* A piece of a remote file into memory: many READ requests in flight at once, short replies asked
   for again, and the end of file found wherever it is, also when the file grows or shrinks
   meanwhile. Knows the client; must not know Lua. */
#ifndef SL_SFTP_FETCH_H
#define SL_SFTP_FETCH_H

#include "sftp/client.h"

typedef struct sl_sftp_fetch sl_sftp_fetch;

typedef struct sl_sftp_part {
  sl_sftp_request req;
  sl_sftp_fetch *fetch;
  size_t at; /* where its next byte belongs, in the piece */
} sl_sftp_part;

struct sl_sftp_fetch {
  sl_sftp_client *client;
  sl_span handle;
  unsigned char *data; /* room for `len` bytes; NULL: `memory` says it when the first come */
  uint64_t offset;
  size_t len, good; /* asked for; bytes without a gap, when done: fewer at the end of the file */
  sl_err err;
  void (*done)(sl_sftp_fetch *f); /* once, not from within start; err, or `good` bytes */
  unsigned char *(*memory)(sl_sftp_fetch *f); /* NULL, with err, when there is none; may be NULL itself */
  unsigned pending, size;
  sl_sftp_part *parts; /* `size` of them, the owner's */
};

unsigned sl_sftp_fetch_parts(const sl_sftp_client *c,
                             size_t len); /* how many parts that many bytes need */
/* False: nothing is in flight, and err says why. */
bool sl_sftp_fetch_start(sl_sftp_fetch *f);
void sl_sftp_fetch_forget(sl_sftp_fetch *f); /* done will not be called; the memory is free */

#endif
