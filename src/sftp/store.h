/* A piece of memory into a remote file: WRITE packets that go out from where they lie, and their
   answers. The counterpart of fetch. Knows the client; must not know Lua. */
#ifndef SL_SFTP_STORE_H
#define SL_SFTP_STORE_H

#include "sftp/client.h"
#include "sftp/payloads.h"

typedef struct sl_sftp_store sl_sftp_store;

typedef struct sl_sftp_write {
  sl_sftp_request req;
  sl_sftp_store *store;
} sl_sftp_write;

struct sl_sftp_store {
  sl_sftp_segment segment; /* first */
  sl_sftp_client *client;
  sl_span handle;
  uint64_t offset;
  sl_payloads payloads;
  size_t len;
  sl_err err;                         /* the first failure */
  bool queued;                        /* not all has been sent */
  unsigned pending;                   /* packets that are not answered */
  sl_sftp_write *writes;              /* one for each payload, the owner's */
  void (*sent)(sl_sftp_store *s);     /* the memory is free */
  void (*answered)(sl_sftp_store *s); /* one more, or it failed */
};

/* False: nothing is in flight, and err says why. */
bool sl_sftp_store_start(sl_sftp_store *s);
/* Everything has been sent and answered. */
static inline bool sl_sftp_store_is_over(const sl_sftp_store *s) {
  return !s->queued && s->pending == 0;
}
/* No function will be called any more, and the memory is free: what has not begun to go out is
   taken back. */
void sl_sftp_store_forget(sl_sftp_store *s);

#endif
