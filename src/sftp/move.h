/* What get and put have in common: a remote handle and a local descriptor, how much goes from where
   to where, and what came of it. Knows handles and options of Lua; must not know requests or
   blocks. */
#ifndef SL_SFTP_MOVE_H
#define SL_SFTP_MOVE_H

#include "loop/fs_now.h"
#include "sftp/share.h"
#include "sftp/sftp.h"

enum {
  SL_MOVE_BLOCK = 512 << 10,
  SL_MOVE_BLOCKS = 8,
  SL_MOVE_BLOCKS_MAX = 64,
  SL_MOVE_BLOCK_MAX = 16 << 20
};

typedef struct sl_sftp_move {
  sl_op op; /* first */
  sl_sftp_handle *handle;
  int fd; /* ours */
  sl_fs_now now;
  uint64_t from, to;  /* where in the file that is read, and in the one that is written */
  uint64_t len, next; /* bytes wanted, bytes that blocks were made for */
  uint64_t done;      /* bytes, when it is over; the handle may have others under way */
  bool ended;         /* the end of what is read was met */
  bool sparse, holes; /* may zeros be left out; were some */
  size_t block_len;
  unsigned blocks_n;
  sl_share share;
} sl_sftp_move;

/* For a verb handle:verb(fd, ..., opts, done), when all else is checked. Raises. */
sl_sftp_move *sl_sftp_move_new(lua_State *L, const sl_op_kind *kind, size_t size, int opts);
/* Many share the memory for their blocks; a small one needs no share. */
void sl_sftp_move_join(sl_sftp_move *m);
/* The first failure counts. */
void sl_sftp_move_failed(sl_sftp_move *m, const sl_err *err);
void sl_sftp_move_failed_here(sl_sftp_move *m, int uv_code, const char *what);
void sl_sftp_move_done(sl_sftp_move *m, uint64_t bytes);
void sl_sftp_move_clean(sl_sftp_move *m);

/* done(nil, bytes, ended, holes) */
int sl_sftp_move_push(sl_op *op, lua_State *L);

#endif
