#include "sftp/files.h"

#include <stdlib.h>
#include <string.h>

#include "loop/fs.h"
#include "sftp/call.h"

enum { BATCH_FILES = 32, BATCH_BYTES = 512 << 10, BATCHES = 4, COUNT_MAX = 100000 };

/* --- turns ------------------------------------------------------------------------------------ */

static void go_on(sl_files *x);
static void batch_work(sl_files_batch *b);

static bool goes_on(sl_files *x) {
  return !x->op.err.kind && !atomic_load(&x->stopped);
}

sl_sftp_request *sl_turn_request_new(sl_turn *turn,
                                     void (*done)(sl_sftp_request *r, const sl_sftp_reply *reply)) {
  for (unsigned i = 0; i < SL_TURN_REQUESTS; i++) {
    sl_turn_request *r = &turn->requests[i];
    if (r->req.id != 0) continue;
    *r = (sl_turn_request){.turn = turn};
    r->req.done = done;
    return &r->req;
  }
  return NULL;
}

bool sl_turn_sent(sl_turn *turn, bool sent, const sl_err *err) {
  if (sent) {
    turn->pending++;
    return true;
  }
  turn->failed = true;
  if (!sl_files_of(turn)->op.err.kind) sl_files_of(turn)->op.err = *err;
  return false;
}

sl_turn *sl_turn_answer(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_turn *turn = ((sl_turn_request *)r)->turn;
  sl_files *x = sl_files_of(turn);
  turn->pending--;
  if (!reply && !x->op.err.kind) x->op.err = x->sftp->client.err;
  if (!reply || (reply->type == SL_FXP_STATUS && reply->status != SL_FX_OK)) turn->failed = true;
  return turn;
}

static void batch_end(sl_files_batch *b) {
  sl_files *x = b->owner;
  free(b->turns);
  free(b->bytes);
  b->turns = NULL;
  b->bytes = NULL;
  x->busy--;
}

void sl_turn_end(sl_turn *turn) {
  sl_files_batch *b = turn->batch;
  sl_files *x = b->owner;
  if (x->way->pool_first && !turn->failed) {
    turn->file->good = true;
    x->bytes += turn->len;
  }
  if (--b->left > 0) return;
  if (x->way->pool_first || !goes_on(x))
    batch_end(b);
  else
    batch_work(b);
  go_on(x);
}

/* --- batches ---------------------------------------------------------------------------------- */

static void batch_begin(sl_files_batch *b) {
  b->left = b->count + 1; /* turns may end at once: the batch has to stay until all have begun */
  for (unsigned i = 0; i < b->count; i++) {
    if (b->turns[i].failed || b->owner->op.err.kind) {
      b->turns[i].failed = true;
      b->left--;
    } else {
      b->owner->way->begin(&b->turns[i]);
    }
  }
  if (--b->left > 0) return;
  if (b->owner->way->pool_first || b->owner->op.err.kind)
    batch_end(b);
  else
    batch_work(b);
}

static void work(uv_work_t *req) {
  sl_files_batch *b = req->data;
  sl_files *x = b->owner;
  for (unsigned i = 0; i < b->count; i++) {
    if (atomic_load(&x->stopped)) b->turns[i].failed = true;
    if (!b->turns[i].failed) x->way->work(x, &b->turns[i]);
  }
}

static void worked(uv_work_t *req, int status) {
  sl_files_batch *b = req->data;
  sl_files *x = b->owner;
  b->working = false;
  if (status && !x->op.err.kind && !atomic_load(&x->stopped))
    sl_err_uv(&x->op.err, SL_IO, status, "cannot use local files");
  if (x->way->pool_first && goes_on(x)) {
    batch_begin(b);
  } else {
    for (unsigned i = 0; i < b->count && !x->way->pool_first && !status; i++) {
      sl_turn *turn = &b->turns[i];
      if (turn->failed) continue;
      turn->file->good = true;
      x->bytes += turn->len;
    }
    batch_end(b);
  }
  go_on(x);
  sl_op_unpin(&x->op);
}

static void batch_work(sl_files_batch *b) {
  sl_op_pin(&b->owner->op);
  b->working = true;
  b->work.data = b;
  uv_queue_work(&b->owner->op.loop->uv, &b->work, work, worked);
}

/* The next files that fit; one more byte for each, so that a file that has grown is seen. */
static bool batch_fill(sl_files_batch *b) {
  sl_files *x = b->owner;
  size_t bytes = 0;
  b->count = 0;
  while (x->next + b->count < x->count && b->count < BATCH_FILES &&
         (b->count == 0 || bytes < BATCH_BYTES)) {
    bytes += x->files[x->next + b->count].size + 1;
    b->count++;
  }
  b->turns = calloc(b->count, sizeof *b->turns);
  b->bytes = malloc(bytes);
  x->busy++;
  if (!b->turns || !b->bytes) {
    sl_err_set(&x->op.err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    batch_end(b);
    return false;
  }
  bytes = 0;
  for (unsigned i = 0; i < b->count; i++) {
    sl_turn *turn = &b->turns[i];
    turn->batch = b;
    turn->file = &x->files[x->next++];
    turn->bytes = b->bytes + bytes;
    bytes += turn->file->size + 1;
  }
  return true;
}

static void give_up(sl_files *x) {
  atomic_store(&x->stopped, true);
  for (unsigned i = 0; i < BATCHES; i++) {
    sl_files_batch *b = &x->batches[i];
    if (!b->turns) continue;
    if (b->working) {
      uv_cancel((uv_req_t *)&b->work); /* if it has not begun */
      continue;
    }
    for (unsigned k = 0; k < b->count; k++) {
      sl_turn *turn = &b->turns[k];
      if (turn->pending == 0) continue;
      for (unsigned j = 0; j < SL_TURN_REQUESTS; j++)
        if (turn->requests[j].req.id != 0) sl_sftp_forget(&x->sftp->client, &turn->requests[j].req);
      if (x->way->drop && !x->sftp->client.err.kind) x->way->drop(turn);
    }
    batch_end(b);
  }
}

/* Turns that are under way end by themselves, also after a failure. */
static void go_on(sl_files *x) {
  if (x->op.ended) return;
  for (unsigned i = 0; i < BATCHES && x->next < x->count; i++) {
    sl_files_batch *b = &x->batches[i];
    if (!goes_on(x)) break;
    if (b->turns || !batch_fill(b)) continue;
    if (x->way->pool_first)
      batch_work(b);
    else
      batch_begin(b);
  }
  if (x->busy == 0 && (x->next == x->count || !goes_on(x)))
    sl_op_finish(&x->op);
}

/* --- the operation ---------------------------------------------------------------------------- */

/* One byte for each file: "1" when it is done. And the bytes of those. */
int sl_files_push(sl_op *op, lua_State *L) {
  const sl_files *x = (sl_files *)op;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (unsigned i = 0; i < x->count; i++) luaL_addchar(&out, x->files[i].good ? '1' : '0');
  luaL_pushresult(&out);
  sl_fs_push_integer(L, x->bytes);
  return 2;
}

bool sl_files_cancel(sl_op *op) {
  sl_files *x = (sl_files *)op;
  give_up(x);
  return x->busy == 0;
}

void sl_files_stop(sl_op *op) {
  sl_files *x = (sl_files *)op;
  give_up(x);
  go_on(x);
}

void sl_files_clean(sl_op *op) {
  sl_files *x = (sl_files *)op;
  for (unsigned i = 0; x->batches && i < BATCHES; i++) {
    free(x->batches[i].turns);
    free(x->batches[i].bytes);
  }
  free(x->batches);
  free(x->files);
  free(x->text);
  x->batches = NULL;
  if (x->sftp) sl_sftp_unref(x->sftp);
  x->sftp = NULL;
}

/* --- arguments -------------------------------------------------------------------------------- */

static lua_Number field_of(lua_State *L, int list, unsigned at, lua_Number least, lua_Number most) {
  lua_rawgeti(L, list, (int)at);
  lua_Number v = luaL_checknumber(L, -1);
  if (!(v >= least && v <= most)) luaL_error(L, "a number of the list is out of range");
  lua_pop(L, 1);
  return v;
}

static size_t text_of(lua_State *L, int list, unsigned at, const char **text) {
  size_t len;
  lua_rawgeti(L, list, (int)at);
  *text = luaL_checklstring(L, -1, &len);
  luaL_argcheck(L, len > 0 && len <= 65536 && !memchr(*text, '\0', len), list, "not a path");
  lua_pop(L, 1); /* the list keeps it */
  return len + 1;
}

enum { FIELDS = 7 }; /* local, temp, to, size, create, change, mtime */

static size_t text_size(lua_State *L, int list, unsigned count) {
  size_t size = 0;
  const char *text;
  for (unsigned i = 0; i < count; i++)
    for (unsigned k = 1; k <= 3; k++) size += text_of(L, list, i * FIELDS + k, &text);
  return size;
}

static const char *keep_text(lua_State *L, int list, unsigned at, char **free_text) {
  const char *text, *kept = *free_text;
  size_t size = text_of(L, list, at, &text);
  memcpy(*free_text, text, size);
  *free_text += size;
  return kept;
}

/* Everything that may raise has been checked before there is an operation. */
static void check_numbers(lua_State *L, int list, unsigned count, uint32_t most) {
  for (unsigned i = 0; i < count; i++) {
    (void)field_of(L, list, i * FIELDS + 4, 0, most);
    (void)field_of(L, list, i * FIELDS + 5, 0, 0777);
    (void)field_of(L, list, i * FIELDS + 6, -1, 07777);
    (void)field_of(L, list, i * FIELDS + 7, -1, 4294967295.0);
  }
}

static void take_files(lua_State *L, int list, sl_files *x) {
  char *text = x->text;
  for (unsigned i = 0; i < x->count; i++) {
    sl_file *f = &x->files[i];
    f->local = keep_text(L, list, i * FIELDS + 1, &text);
    f->temp = keep_text(L, list, i * FIELDS + 2, &text);
    f->to = keep_text(L, list, i * FIELDS + 3, &text);
    f->size = (uint32_t)field_of(L, list, i * FIELDS + 4, 0, SL_FILE_MAX);
    f->create = (int)field_of(L, list, i * FIELDS + 5, 0, 0777);
    f->change = (int)field_of(L, list, i * FIELDS + 6, -1, 07777);
    f->mtime = (int64_t)field_of(L, list, i * FIELDS + 7, -1, 4294967295.0);
  }
}

int sl_files_start(lua_State *L, const sl_op_kind *kind, const sl_files_way *way, uint32_t most) {
  sl_sftp *s = sl_sftp_check(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  bool follow = lua_toboolean(L, 3);
  sl_check_done(L, 4);
  size_t n = lua_rawlen(L, 2);
  luaL_argcheck(L, n % FIELDS == 0 && n > 0 && n / FIELDS <= COUNT_MAX, 2, "seven values a file");
  unsigned count = (unsigned)(n / FIELDS);
  size_t size = text_size(L, 2, count);
  check_numbers(L, 2, count, most);
  sl_files *x = sl_op_new(s->loop, kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  x->way = way;
  x->follow = follow;
  x->sftp = s;
  sl_sftp_ref(s);
  x->count = count;
  x->files = calloc(count, sizeof *x->files);
  x->text = malloc(size);
  x->batches = calloc(BATCHES, sizeof *x->batches);
  if (!x->files || !x->text || !x->batches) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  for (unsigned i = 0; i < BATCHES; i++) x->batches[i].owner = x;
  take_files(L, 2, x);
  sl_op_start(L, &x->op, 4, 1);
  go_on(x);
  return 1;
}
