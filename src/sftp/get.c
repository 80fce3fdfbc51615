/* A remote file into a local one, without Lua: blocks of half a megabyte are fetched side by side
   and written, at once where no disk has to be waited for and else by the thread pool. What counts
   as safe is what has been written without a gap before it. */
#include <stdlib.h>
#include <uv.h>

#include "loop/fs_now.h"
#include "sftp/call.h"
#include "sftp/fetch.h"
#include "sftp/move.h"

typedef struct get_op get_op;

typedef enum block_state { FREE, FETCHING, WRITING } block_state;

typedef struct block {
  sl_sftp_fetch fetch; /* first */
  get_op *owner;
  block_state state;
  sl_share_bytes memory; /* where fetch.data is */
  size_t written;
  uv_fs_t req;
} block;

struct get_op {
  sl_sftp_move move; /* first; len is UINT64_MAX while it goes to the end */
  unsigned fetching, writing;
  size_t busy; /* bytes of the blocks that are fetched or written */
  block *blocks;
};

static void get_go_on(get_op *x);

/* Bytes without a gap from the beginning. */
static void note_safe(get_op *x) {
  uint64_t safe = x->move.next < x->move.len ? x->move.next : x->move.len;
  for (unsigned i = 0; i < x->move.blocks_n; i++) {
    const block *b = &x->blocks[i];
    if (b->state != FREE && b->fetch.offset - x->move.from < safe)
      safe = b->fetch.offset - x->move.from;
  }
  if (safe > x->move.handle->safe) x->move.handle->safe = safe;
}

/* The length of the next block: whole requests, unless the share is less than one. */
static size_t block_most(const get_op *x) {
  size_t most = sl_share_block(&x->move.share, x->move.block_len),
         step = x->move.handle->sftp->client.read_max;
  return most > step ? most / step * step : most;
}

static void block_free(block *b) {
  get_op *x = b->owner;
  b->state = FREE;
  x->busy -= b->fetch.len;
  b->fetch.data = NULL;
  sl_share_give(&x->move.share, &b->memory, block_most(x));
}

static void forget_fetches(get_op *x) {
  for (unsigned i = 0; i < x->move.blocks_n; i++) {
    block *b = &x->blocks[i];
    if (b->state != FETCHING) continue;
    sl_sftp_fetch_forget(&b->fetch);
    block_free(b);
  }
  x->fetching = 0;
}

static void block_kept(block *b) {
  get_op *x = b->owner;
  x->move.handle->moved += b->fetch.good;
  x->writing--;
  block_free(b);
  if (!x->move.op.err.kind) note_safe(x);
}

static void block_not_kept(block *b, int rc) {
  get_op *x = b->owner;
  sl_sftp_move_failed_here(&x->move, rc, "cannot write the local file");
  x->writing--;
  block_free(b);
}

static void block_written(uv_fs_t *req);

static void block_write(block *b) {
  get_op *x = b->owner;
  uint64_t at = x->move.to + (b->fetch.offset - x->move.from) + b->written;
  uv_buf_t buf =
      uv_buf_init((char *)b->fetch.data + b->written, (unsigned)(b->fetch.good - b->written));
  size_t now = sl_fs_write_now(&x->move.now, x->move.fd, &buf, 1, at);
  b->written += now;
  if (now == buf.len) {
    block_kept(b);
    return;
  }
  buf = uv_buf_init(buf.base + now, (unsigned)(buf.len - now));
  sl_op_pin(&x->move.op);
  b->req.data = b;
  int rc = uv_fs_write(&x->move.op.loop->uv, &b->req, x->move.fd, &buf, 1, (int64_t)(at + now),
                       block_written);
  if (rc >= 0) return;
  block_not_kept(b, rc);
  sl_op_unpin(&x->move.op);
}

static void block_written(uv_fs_t *req) {
  block *b = req->data;
  get_op *x = b->owner;
  ssize_t n = req->result;
  uv_fs_req_cleanup(req);
  if (n > 0) b->written += (size_t)n;
  if (n <= 0) {
    block_not_kept(b, n == 0 ? UV_EIO : (int)n);
  } else if (b->written == b->fetch.good) {
    block_kept(b);
  } else if (!x->move.op.abandoned) {
    block_write(b);
  } else {
    x->writing--;
    block_free(b);
  }
  get_go_on(x);
  sl_op_unpin(&x->move.op);
}

enum { HOLE_MIN = 32768 };

/* Zeros need not be written where there is nothing yet: the caller sets the size. */
static bool leave_out(block *b) {
  get_op *x = b->owner;
  const sl_sftp_fetch *f = &b->fetch;
  if (!x->move.sparse || f->good < HOLE_MIN || !sl_sftp_is_zero(f->data, f->good)) return false;
  x->move.holes = true;
  x->move.handle->moved += f->good;
  block_free(b);
  if (!x->move.op.err.kind) note_safe(x);
  return true;
}

static void block_fetched(sl_sftp_fetch *f) {
  block *b = (block *)f;
  get_op *x = b->owner;
  x->fetching--;
  if (f->err.kind) {
    block_free(b);
    sl_sftp_move_failed(&x->move, &f->err);
  } else {
    if (f->good < f->len) { /* here the file ends: what was found behind does not count */
      uint64_t end = f->offset - x->move.from + f->good;
      x->move.ended = true;
      if (end < x->move.len) x->move.len = end;
    }
    uint64_t at = f->offset - x->move.from;
    if (at >= x->move.len)
      f->good = 0;
    else if (f->good > x->move.len - at)
      f->good = (size_t)(x->move.len - at);
    if (f->good > 0)
      b->state = WRITING;
    else
      block_free(b);
  }
  if (b->state == WRITING && !leave_out(b)) {
    x->writing++;
    b->written = 0;
    block_write(b);
  }
  get_go_on(x);
}

/* As late as can be: most answers come in order, and then all blocks need no more than one or two,
   which stay in the processor's cache. */
static unsigned char *block_memory(sl_sftp_fetch *f) {
  block *b = (block *)f;
  if (!sl_share_take(&b->owner->move.share, f->len, &b->memory))
    sl_err_set(&f->err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
  return b->memory.data;
}

/* One block at least: the transfer has to go on. */
static bool may_ask(const get_op *x, size_t len) {
  return x->busy == 0 || x->busy + len <= sl_share_now(&x->move.share);
}

/* A block may have been written before an end in front of it was found (the file grew meanwhile):
   the caller cuts the local file to the length it is told. */
static bool block_fetch(block *b) {
  get_op *x = b->owner;
  sl_sftp_fetch *f = &b->fetch;
  uint64_t left = x->move.len - x->move.next;
  size_t most = block_most(x);
  f->client = &x->move.handle->sftp->client;
  f->handle = sl_sftp_span_of(x->move.handle);
  f->offset = x->move.from + x->move.next;
  f->len = left < most ? (size_t)left : most;
  f->err = (sl_err){0};
  f->done = block_fetched;
  f->memory = block_memory;
  if (!may_ask(x, f->len)) return false;
  if (!sl_sftp_fetch_start(f)) {
    sl_sftp_move_failed(&x->move, &f->err);
    return false;
  }
  b->state = FETCHING;
  x->busy += f->len;
  x->fetching++;
  x->move.next += f->len;
  return true;
}

static void get_go_on(get_op *x) {
  if (x->move.op.ended) return;
  bool stop = x->move.op.err.kind || x->move.op.abandoned, full = false;
  if (stop) forget_fetches(x);
  for (unsigned i = 0;
       i < x->move.blocks_n && !stop && !full && !x->move.ended && x->move.next < x->move.len;
       i++) {
    full = x->blocks[i].state == FREE && !block_fetch(&x->blocks[i]);
    stop = x->move.op.err.kind != NULL;
  }
  if (stop) forget_fetches(x);
  if (x->fetching || x->writing) return;
  if (!stop)
    sl_sftp_move_done(&x->move, x->move.ended || x->move.len < x->move.next ? x->move.len : x->move.next);
  sl_op_finish(&x->move.op);
}

static bool get_cancel(sl_op *op) {
  get_op *x = (get_op *)op;
  forget_fetches(x);
  return x->writing == 0;
}

static void get_clean(sl_op *op) {
  get_op *x = (get_op *)op;
  for (unsigned i = 0; x->blocks && i < x->move.blocks_n; i++) {
    free(x->blocks[i].memory.data);
    free(x->blocks[i].fetch.parts);
  }
  free(x->blocks);
  x->blocks = NULL;
  sl_sftp_move_clean(&x->move);
}

static const sl_op_kind get_kind = {
    .name = "sftp.get", .push = sl_sftp_move_push, .cancel = get_cancel, .clean = get_clean};

static bool make_blocks(get_op *x) {
  uint32_t step = x->move.handle->sftp->client.read_max;
  x->move.block_len = (x->move.block_len + step / 2) / step * step;
  if (x->move.block_len < step) x->move.block_len = step;
  if (x->move.len < x->move.block_len) x->move.block_len = x->move.len ? (size_t)x->move.len : 1;
  if (x->move.len / x->move.block_len < x->move.blocks_n)
    x->move.blocks_n = (unsigned)(x->move.len / x->move.block_len) + 1;
  x->blocks = calloc(x->move.blocks_n, sizeof *x->blocks);
  for (unsigned i = 0; x->blocks && i < x->move.blocks_n; i++) {
    block *b = &x->blocks[i];
    b->owner = x;
    b->fetch.size = sl_sftp_fetch_parts(&x->move.handle->sftp->client, x->move.block_len);
    b->fetch.parts = calloc(b->fetch.size, sizeof *b->fetch.parts);
    if (!b->fetch.parts) return false;
  }
  sl_sftp_move_join(&x->move);
  return x->blocks != NULL;
}

/* handle:get(fd, opts, done): into the local descriptor, which is duplicated. opts: from, to
   (offsets), length (nil: to the end), block and blocks (bytes in one, how many), sparse (zeros are
   not written). done(nil, bytes, ended, holes): `ended` when the end was met, `holes` when
   something was not written. */
static int l_get(lua_State *L) {
  lua_Number len = sl_opt_number(L, 3, "length", -1);
  luaL_argcheck(L, len >= -1 && len < 9e15, 3, "out of range");
  get_op *x = (get_op *)sl_sftp_move_new(L, &get_kind, sizeof *x, 3);
  x->move.len = len < 0 ? UINT64_MAX - x->move.from : (uint64_t)len;
  if (!make_blocks(x)) {
    sl_op_release(&x->move.op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->move.op, 4, 1);
  get_go_on(x);
  return 1;
}

static const luaL_Reg get_verbs[] = {{"get", l_get}, {NULL, NULL}};

const luaL_Reg *sl_sftp_get_verbs(void) {
  return get_verbs;
}
