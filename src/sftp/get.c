/* A remote file into a local one, without Lua: blocks of half a megabyte are fetched side by side
   and written, at once where no disk has to be waited for and else by the thread pool. What counts
   as safe is what has been written without a gap before it. */
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "loop/fs.h"
#include "loop/fs_now.h"
#include "sftp/call.h"
#include "sftp/fetch.h"
#include "sftp/share.h"

enum { BLOCK_DEFAULT = 512 << 10, BLOCKS_DEFAULT = 8, BLOCKS_MAX = 64, BLOCK_MAX = 16 << 20 };

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
  sl_op op;
  sl_sftp_handle *handle;
  int fd; /* ours */
  sl_fs_now now;
  uint64_t from, to;  /* where in the remote file, and in the local one */
  uint64_t len, next; /* bytes wanted (UINT64_MAX: to the end), bytes asked for so far */
  uint64_t done;      /* at the end: bytes; the handle may have others under way */
  bool ended;         /* the end of the file was met */
  bool sparse, holes; /* may zeros be left out; were some */
  unsigned blocks_n, fetching, writing;
  size_t block_len, busy; /* busy: bytes of the blocks that are fetched or written */
  block *blocks;
  sl_share share;
};

static void get_go_on(get_op *x);

/* Bytes without a gap from the beginning. */
static void note_safe(get_op *x) {
  uint64_t safe = x->next < x->len ? x->next : x->len;
  for (unsigned i = 0; i < x->blocks_n; i++) {
    const block *b = &x->blocks[i];
    if (b->state != FREE && b->fetch.offset - x->from < safe) safe = b->fetch.offset - x->from;
  }
  if (safe > x->handle->safe) x->handle->safe = safe;
}

static void get_failed(get_op *x, const sl_err *err) {
  if (!x->op.err.kind) x->op.err = *err;
}

/* The length of the next block: whole requests, unless the share is less than one. */
static size_t block_most(const get_op *x) {
  size_t most = sl_share_block(&x->share, x->block_len), step = x->handle->sftp->client.read_max;
  return most > step ? most / step * step : most;
}

static void block_free(block *b) {
  get_op *x = b->owner;
  b->state = FREE;
  x->busy -= b->fetch.len;
  b->fetch.data = NULL;
  sl_share_give(&x->share, &b->memory, block_most(x));
}

static void forget_fetches(get_op *x) {
  for (unsigned i = 0; i < x->blocks_n; i++) {
    block *b = &x->blocks[i];
    if (b->state != FETCHING) continue;
    sl_sftp_fetch_forget(&b->fetch);
    block_free(b);
  }
  x->fetching = 0;
}

static void block_kept(block *b) {
  get_op *x = b->owner;
  x->handle->moved += b->fetch.good;
  x->writing--;
  block_free(b);
  if (!x->op.err.kind) note_safe(x);
}

static void block_not_kept(block *b, int rc) {
  get_op *x = b->owner;
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, rc, "cannot write the local file");
  get_failed(x, &err);
  x->writing--;
  block_free(b);
}

static void block_written(uv_fs_t *req);

static void block_write(block *b) {
  get_op *x = b->owner;
  uint64_t at = x->to + (b->fetch.offset - x->from) + b->written;
  uv_buf_t buf =
      uv_buf_init((char *)b->fetch.data + b->written, (unsigned)(b->fetch.good - b->written));
  size_t now = sl_fs_write_now(&x->now, x->fd, &buf, 1, at);
  b->written += now;
  if (now == buf.len) {
    block_kept(b);
    return;
  }
  buf = uv_buf_init(buf.base + now, (unsigned)(buf.len - now));
  sl_op_pin(&x->op);
  b->req.data = b;
  int rc =
      uv_fs_write(&x->op.loop->uv, &b->req, x->fd, &buf, 1, (int64_t)(at + now), block_written);
  if (rc >= 0) return;
  block_not_kept(b, rc);
  sl_op_unpin(&x->op);
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
  } else if (!x->op.abandoned) {
    block_write(b);
  } else {
    x->writing--;
    block_free(b);
  }
  get_go_on(x);
  sl_op_unpin(&x->op);
}

enum { HOLE_MIN = 32768 };

/* Zeros need not be written where there is nothing yet: the caller sets the size. */
static bool leave_out(block *b) {
  get_op *x = b->owner;
  const sl_sftp_fetch *f = &b->fetch;
  if (!x->sparse || f->good < HOLE_MIN || !sl_sftp_is_zero(f->data, f->good)) return false;
  x->holes = true;
  x->handle->moved += f->good;
  block_free(b);
  if (!x->op.err.kind) note_safe(x);
  return true;
}

static void block_fetched(sl_sftp_fetch *f) {
  block *b = (block *)f;
  get_op *x = b->owner;
  x->fetching--;
  if (f->err.kind) {
    block_free(b);
    get_failed(x, &f->err);
  } else {
    if (f->good < f->len) { /* here the file ends: what was found behind does not count */
      uint64_t end = f->offset - x->from + f->good;
      x->ended = true;
      if (end < x->len) x->len = end;
    }
    uint64_t at = f->offset - x->from;
    if (at >= x->len)
      f->good = 0;
    else if (f->good > x->len - at)
      f->good = (size_t)(x->len - at);
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
  if (!sl_share_take(&b->owner->share, f->len, &b->memory))
    sl_err_set(&f->err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
  return b->memory.data;
}

/* One block at least: the transfer has to go on. */
static bool may_ask(const get_op *x, size_t len) {
  return x->busy == 0 || x->busy + len <= sl_share_now(&x->share);
}

/* A block may have been written before an end in front of it was found (the file grew meanwhile):
   the caller cuts the local file to the length it is told. */
static bool block_fetch(block *b) {
  get_op *x = b->owner;
  sl_sftp_fetch *f = &b->fetch;
  uint64_t left = x->len - x->next;
  size_t most = block_most(x);
  f->client = &x->handle->sftp->client;
  f->handle = sl_sftp_span_of(x->handle);
  f->offset = x->from + x->next;
  f->len = left < most ? (size_t)left : most;
  f->err = (sl_err){0};
  f->done = block_fetched;
  f->memory = block_memory;
  if (!may_ask(x, f->len)) return false;
  if (!sl_sftp_fetch_start(f)) {
    get_failed(x, &f->err);
    return false;
  }
  b->state = FETCHING;
  x->busy += f->len;
  x->fetching++;
  x->next += f->len;
  return true;
}

static void get_go_on(get_op *x) {
  if (x->op.ended) return;
  bool stop = x->op.err.kind || x->op.abandoned, full = false;
  if (stop) forget_fetches(x);
  for (unsigned i = 0; i < x->blocks_n && !stop && !full && !x->ended && x->next < x->len; i++) {
    full = x->blocks[i].state == FREE && !block_fetch(&x->blocks[i]);
    stop = x->op.err.kind != NULL;
  }
  if (stop) forget_fetches(x);
  if (x->fetching || x->writing) return;
  if (!stop) x->handle->safe = x->done = x->ended || x->len < x->next ? x->len : x->next;
  sl_op_finish(&x->op);
}

static int get_push(sl_op *op, lua_State *L) {
  const get_op *x = (get_op *)op;
  sl_fs_push_integer(L, x->done);
  lua_pushboolean(L, x->ended);
  lua_pushboolean(L, x->holes);
  return 3;
}

static bool get_cancel(sl_op *op) {
  get_op *x = (get_op *)op;
  forget_fetches(x);
  return x->writing == 0;
}

static void get_clean(sl_op *op) {
  get_op *x = (get_op *)op;
  for (unsigned i = 0; x->blocks && i < x->blocks_n; i++) {
    free(x->blocks[i].memory.data);
    free(x->blocks[i].fetch.parts);
  }
  free(x->blocks);
  x->blocks = NULL;
  sl_share_leave(&x->share);
  if (x->fd >= 0) close(x->fd);
  sl_sftp_handle_unref(x->handle);
}

static const sl_op_kind get_kind = {
    .name = "sftp.get", .push = get_push, .cancel = get_cancel, .clean = get_clean};

static bool make_blocks(get_op *x) {
  uint32_t step = x->handle->sftp->client.read_max;
  x->block_len = (x->block_len + step / 2) / step * step;
  if (x->block_len < step) x->block_len = step;
  if (x->len < x->block_len) x->block_len = x->len ? (size_t)x->len : 1;
  if (x->len / x->block_len < x->blocks_n) x->blocks_n = (unsigned)(x->len / x->block_len) + 1;
  x->blocks = calloc(x->blocks_n, sizeof *x->blocks);
  for (unsigned i = 0; x->blocks && i < x->blocks_n; i++) {
    block *b = &x->blocks[i];
    b->owner = x;
    b->fetch.size = sl_sftp_fetch_parts(&x->handle->sftp->client, x->block_len);
    b->fetch.parts = calloc(b->fetch.size, sizeof *b->fetch.parts);
    if (!b->fetch.parts) return false;
  }
  if (x->len > SL_SHARE_LEAST) sl_share_join(&x->share, x->op.loop);
  return x->blocks != NULL;
}

/* handle:get(fd, opts, done): into the local descriptor, which is duplicated. opts: from, to
   (offsets), length (nil: to the end), block and blocks (bytes in one, how many), sparse (zeros are
   not written). done(nil, bytes, ended, holes): `ended` when the end was met, `holes` when
   something was not written. */
static int l_get(lua_State *L) {
  sl_sftp_handle *h = sl_sftp_handle_check(L, 1);
  int fd = (int)luaL_checkinteger(L, 2);
  lua_Number from = sl_opt_number(L, 3, "from", 0), to = sl_opt_number(L, 3, "to", 0);
  lua_Number len = sl_opt_number(L, 3, "length", -1);
  lua_Integer block_len = sl_opt_integer(L, 3, "block", BLOCK_DEFAULT);
  lua_Integer blocks = sl_opt_integer(L, 3, "blocks", BLOCKS_DEFAULT);
  sl_check_done(L, 4);
  luaL_argcheck(L, from >= 0 && to >= 0 && len >= -1 && from < 9e15 && to < 9e15 && len < 9e15, 3,
                "out of range");
  luaL_argcheck(L, block_len > 0 && block_len <= BLOCK_MAX && blocks > 0 && blocks <= BLOCKS_MAX, 3,
                "out of range");
  get_op *x = sl_op_new(h->sftp->loop, &get_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  x->handle = h;
  h->refs++;
  h->safe = h->moved = 0;
  x->from = (uint64_t)from;
  x->to = (uint64_t)to;
  x->len = len < 0 ? UINT64_MAX - x->from : (uint64_t)len;
  x->block_len = (size_t)block_len;
  x->blocks_n = (unsigned)blocks;
  x->sparse = sl_opt_boolean(L, 3, "sparse", false);
  x->fd = sl_sftp_own_fd(&x->op, fd);
  x->now = sl_fs_now_of(x->fd);
  if (!make_blocks(x)) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->op, 4, 1);
  get_go_on(x);
  return 1;
}

static const luaL_Reg get_verbs[] = {{"get", l_get}, {NULL, NULL}};

const luaL_Reg *sl_sftp_get_verbs(void) {
  return get_verbs;
}
