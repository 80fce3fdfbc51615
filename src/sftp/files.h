/* Many small files in one operation: each is a turn of a few requests, many turns are under way at
   once, local files are opened, read and written by the thread pool some dozens at a time. A file
   is complete under its name at the end, or is reported as not done, with nothing left of it:
   whoever asked does that one alone and hears why. Knows turns; put_files.c and get_files.c know
   which requests they are made of. */
#ifndef SL_FILES_H
#define SL_FILES_H

#include <stdatomic.h>
#include <uv.h>

#include "sftp/sftp.h"

typedef struct sl_files sl_files;
typedef struct sl_files_batch sl_files_batch;
typedef struct sl_turn sl_turn;

enum { SL_FILE_MAX = 65536, SL_TURN_REQUESTS = 5 };

typedef struct sl_file {
  const char *local, *temp,
      *to; /* put: temp and to are the host's; get: local is, see get_files.c */
  uint32_t size;
  int create, change; /* modes; change -1: none */
  int64_t mtime;      /* -1: none */
  bool good;
} sl_file;

typedef struct sl_turn_request {
  sl_sftp_request req; /* first */
  sl_turn *turn;
} sl_turn_request;

struct sl_turn {
  sl_file *file;
  sl_files_batch *batch;
  unsigned stage; /* of the direction; 0: nothing has been asked */
  unsigned pending;
  bool failed;
  unsigned char *bytes;
  size_t len;
  sl_turn_request requests[SL_TURN_REQUESTS];
};

/* What the directions differ in. */
typedef struct sl_files_way {
  bool pool_first; /* put: the pool's work comes before the requests */
  void (*work)(const sl_files *x, sl_turn *turn); /* in the thread pool */
  void (*begin)(sl_turn *turn);                   /* the first request; may end the turn */
  void (*drop)(sl_turn *turn);                    /* given up: what it has left on the host goes */
} sl_files_way;

struct sl_files {
  sl_op op;
  const sl_files_way *way;
  sl_sftp *sftp;
  sl_file *files;
  unsigned count, next, busy; /* files; the next one; batches under way */
  bool follow;
  atomic_bool stopped; /* the pool looks between two files */
  uint64_t bytes; /* of files that are done */
  char *text;
  sl_files_batch *batches;
};

/* A request of the turn that is not in flight; `done` is to be its answer. */
sl_sftp_request *sl_turn_request_new(sl_turn *turn,
                                     void (*done)(sl_sftp_request *r, const sl_sftp_reply *reply));
/* Notes that it is under way; false: it could not be sent, the turn has failed. */
bool sl_turn_sent(sl_turn *turn, bool sent, const sl_err *err);
/* An answer has come: the turn, and whether the server said yes. NULL reply: the client failed. */
sl_turn *sl_turn_answer(sl_sftp_request *r, const sl_sftp_reply *reply);
void sl_turn_end(sl_turn *turn); /* no request is in flight */
static inline sl_files *sl_files_of(const sl_turn *turn);

struct sl_files_batch {
  sl_files *owner;
  sl_turn *turns;
  unsigned char *bytes;
  unsigned count, left;
  bool working;
  uv_work_t work;
};

static inline sl_files *sl_files_of(const sl_turn *turn) {
  return turn->batch->owner;
}

/* sftp:VERB(list, follow, done): see the two verbs. `most`: bytes of the largest file. */
int sl_files_start(lua_State *L, const sl_op_kind *kind, const sl_files_way *way, uint32_t most);
int sl_files_push(sl_op *op, lua_State *L);
bool sl_files_cancel(sl_op *op);
void sl_files_stop(sl_op *op);
void sl_files_clean(sl_op *op);

#endif
