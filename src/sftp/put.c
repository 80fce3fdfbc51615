/* A local file into a remote one, without Lua: the thread pool reads blocks of half a megabyte
   straight between the heads of WRITE packets, a block is sent from where it lies, and is used
   again when the server has answered for all of it. What counts as safe is what the server has
   answered for without a gap before it. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "loop/fs.h"
#include "sftp/call.h"
#include "sftp/share.h"

enum {
  BLOCK_DEFAULT = 512 << 10,
  BLOCKS_DEFAULT = 8,
  BLOCKS_MAX = 64,
  BLOCK_MAX = 16 << 20,
  PACKET_BEST = 131072,
  HOLE_MIN = 32768,
  BUFFERS = 128
};

typedef struct put_op put_op;
typedef struct block block;

typedef enum block_state { FREE, READING, SENDING } block_state;

typedef struct packet {
  sl_sftp_request req;
  block *owner;
} packet;

struct block {
  sl_sftp_segment segment; /* first */
  put_op *owner;
  block_state state;
  bool queued;      /* the segment is with the client */
  uint64_t offset;  /* from the beginning of the transfer */
  size_t want, len; /* bytes to read, bytes read */
  unsigned pending;
  uint32_t step; /* bytes of one packet */
  uv_fs_t req;
  unsigned char *bytes;
  size_t room; /* bytes there */
  packet *packets;
};

struct put_op {
  sl_op op;
  sl_sftp_handle *handle;
  int fd;             /* ours */
  uint64_t from, to;  /* where in the local file, and in the remote one */
  uint64_t len, next; /* bytes wanted, bytes that blocks were made for */
  bool ended;         /* the local file was shorter */
  bool sparse, holes; /* may blocks of zeros be left out; was one */
  unsigned blocks_n, packets_n, busy;
  uint32_t step; /* bytes of one packet at most */
  size_t head;
  block *blocks;
  sl_share share;
};

static void put_go_on(put_op *x);

/* The length of the next block. */
static size_t block_most(const put_op *x) {
  return sl_share_block(&x->share, (size_t)x->step * x->packets_n);
}

static void note_safe(put_op *x) {
  uint64_t safe = x->next < x->len ? x->next : x->len;
  for (unsigned i = 0; i < x->blocks_n; i++)
    if (x->blocks[i].state != FREE && x->blocks[i].offset < safe) safe = x->blocks[i].offset;
  if (safe > x->handle->safe) x->handle->safe = safe;
}

static void put_failed(put_op *x, const sl_err *err) {
  if (!x->op.err.kind) x->op.err = *err;
}

static void block_free(block *b) {
  put_op *x = b->owner;
  b->state = FREE;
  x->busy--;
  b->bytes = sl_share_trim(&x->share, b->bytes, &b->room, block_most(x) + x->packets_n * x->head);
}

static size_t stride(const block *b) {
  return b->owner->head + b->step;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void block_check(block *b) {
  put_op *x = b->owner;
  if (b->state != SENDING || b->pending > 0 || b->queued) return;
  block_free(b);
  x->handle->moved += b->len;
  if (!x->op.err.kind) note_safe(x);
  put_go_on(x);
}

static void packet_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  block *b = ((packet *)r)->owner;
  put_op *x = b->owner;
  b->pending--;
  if (!reply)
    put_failed(x, &x->handle->sftp->client.err);
  else if (reply->status != SL_FX_OK && !x->op.err.kind)
    sl_sftp_call_status(&x->op, reply);
  if (x->op.err.kind) put_go_on(x);
  block_check(b);
}

static void block_sent(sl_sftp_segment *s) {
  block *b = (block *)s;
  b->queued = false;
  block_check(b);
}

static bool block_send(block *b) {
  put_op *x = b->owner;
  sl_sftp_client *c = &x->handle->sftp->client;
  sl_err err = {0};
  size_t done = 0;
  b->state = SENDING;
  for (unsigned i = 0; done < b->len; i++) {
    packet *p = &b->packets[i];
    uint32_t n = b->len - done < b->step ? (uint32_t)(b->len - done) : b->step;
    *p = (packet){.owner = b};
    p->req.done = packet_done;
    uint32_t id = sl_sftp_take_id(c, &p->req, SL_WANT_STATUS, &err);
    if (id == 0) {
      while (i-- > 0) sl_sftp_unask(c, &b->packets[i].req);
      put_failed(x, &err);
      b->pending = 0;
      return false;
    }
    sl_sftp_write_head(b->bytes + i * stride(b), id, sl_sftp_span_of(x->handle),
                       x->to + b->offset + done, n);
    done += n;
    b->pending++;
  }
  b->segment.data = b->bytes;
  b->segment.len = b->len + b->pending * x->head;
  b->segment.sent = block_sent;
  b->queued = true;
  sl_sftp_send_segment(c, &b->segment);
  return true;
}

/* Nobody waits for these packets any more: what has not begun to go out is taken back. */
static void block_stop(block *b) {
  put_op *x = b->owner;
  sl_sftp_client *c = &x->handle->sftp->client;
  unsigned n = (unsigned)((b->len + b->step - 1) / b->step), sent = n;
  if (b->queued) {
    size_t full = b->len + n * x->head;
    size_t kept = sl_sftp_retract(c, &b->segment, full, stride(b));
    sent = kept >= full ? n : (unsigned)((kept + stride(b) - 1) / stride(b));
    b->queued = false;
  }
  for (unsigned i = 0; i < n; i++) {
    if (b->packets[i].req.id == 0) continue;
    if (i < sent)
      sl_sftp_forget(c, &b->packets[i].req);
    else
      sl_sftp_unask(c, &b->packets[i].req);
  }
  b->pending = 0;
  block_free(b);
}

static void stop_sending(put_op *x) {
  for (unsigned i = 0; i < x->blocks_n; i++)
    if (x->blocks[i].state == SENDING) block_stop(&x->blocks[i]);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void block_was_read(uv_fs_t *req);

/* Into the places of the payloads, from where the last read ended. */
static void block_read(block *b) {
  put_op *x = b->owner;
  uv_buf_t bufs[BUFFERS];
  unsigned n = 0;
  for (size_t at = b->len; at < b->want && n < BUFFERS; n++) {
    size_t in = at % b->step, left = b->want - at, room = b->step - in;
    bufs[n] = uv_buf_init((char *)b->bytes + at / b->step * stride(b) + x->head + in,
                          (unsigned)(left < room ? left : room));
    at += bufs[n].len;
  }
  sl_op_pin(&x->op);
  b->req.data = b;
  int rc = uv_fs_read(&x->op.loop->uv, &b->req, x->fd, bufs, n,
                      (int64_t)(x->from + b->offset + b->len), block_was_read);
  if (rc >= 0) return;
  sl_err err = {0};
  sl_err_uv(&err, SL_IO, rc, "cannot read the local file");
  put_failed(x, &err);
  block_free(b);
  sl_op_unpin(&x->op);
}

/* A whole block of zeros need not be sent where there is nothing yet: the caller sets the size. */
static bool is_hole(const block *b) {
  const put_op *x = b->owner;
  if (!x->sparse || b->len < b->want || b->len < HOLE_MIN) return false;
  for (size_t at = 0; at < b->len; at += b->step) {
    size_t n = b->len - at < b->step ? b->len - at : b->step;
    if (!sl_sftp_is_zero(b->bytes + at / b->step * stride(b) + x->head, n)) return false;
  }
  return true;
}

static void leave_out(block *b) {
  put_op *x = b->owner;
  x->holes = true;
  x->handle->moved += b->len;
  block_free(b);
  note_safe(x);
}

static void block_full(block *b) {
  put_op *x = b->owner;
  if (b->len < b->want) { /* the file ends here */
    x->ended = true;
    if (b->offset + b->len < x->len) x->len = b->offset + b->len;
  }
  bool behind = b->offset >= x->len; /* another block has met an end before this one */
  if (b->len == 0 || behind || x->op.abandoned || x->op.err.kind)
    block_free(b);
  else if (is_hole(b))
    leave_out(b);
  else if (!block_send(b))
    block_free(b);
}

static void block_was_read(uv_fs_t *req) {
  block *b = req->data;
  put_op *x = b->owner;
  ssize_t n = req->result;
  uv_fs_req_cleanup(req);
  if (n > 0) b->len += (size_t)n;
  if (n < 0) {
    sl_err err = {0};
    sl_err_uv(&err, SL_IO, (int)n, "cannot read the local file");
    put_failed(x, &err);
    block_free(b);
  } else if (n > 0 && b->len < b->want && !x->op.abandoned) {
    block_read(b);
  } else {
    block_full(b);
  }
  put_go_on(x);
  sl_op_unpin(&x->op);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Memory for `want` bytes with their heads. One block at least: the transfer has to go on. */
static bool block_room(block *b) {
  put_op *x = b->owner;
  size_t need = b->want + (b->want + b->step - 1) / b->step * x->head;
  if (b->room < need && x->busy && !sl_share_has_room(&x->share, need - b->room)) return false;
  b->bytes = sl_share_fit(&x->share, b->bytes, &b->room, need);
  if (b->bytes) return true;
  sl_err err = {0};
  sl_err_set(&err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
  put_failed(x, &err);
  return false;
}

static bool block_begin(block *b) {
  put_op *x = b->owner;
  size_t most = block_most(x);
  uint64_t left = x->len - x->next;
  b->step = most < x->step ? (uint32_t)most : x->step;
  b->offset = x->next;
  b->len = 0;
  b->want = left < most ? (size_t)left : most;
  if (!block_room(b)) return false;
  b->state = READING;
  x->next += b->want;
  x->busy++;
  block_read(b);
  return true;
}

static void put_go_on(put_op *x) {
  if (x->op.ended) return;
  bool stop = x->op.err.kind || x->op.abandoned;
  if (stop) stop_sending(x);
  for (unsigned i = 0; i < x->blocks_n && !stop && !x->ended && x->next < x->len; i++) {
    stop = (x->blocks[i].state == FREE && !block_begin(&x->blocks[i])) || x->op.err.kind;
  }
  if (x->busy) return;
  if (!x->op.err.kind) x->handle->safe = x->len < x->next ? x->len : x->next;
  sl_op_finish(&x->op);
}

static int put_push(sl_op *op, lua_State *L) {
  const put_op *x = (put_op *)op;
  sl_fs_push_integer(L, x->handle->safe);
  lua_pushboolean(L, x->ended);
  lua_pushboolean(L, x->holes);
  return 3;
}

static bool put_cancel(sl_op *op) {
  put_op *x = (put_op *)op;
  stop_sending(x);
  return x->busy == 0;
}

static void put_clean(sl_op *op) {
  put_op *x = (put_op *)op;
  for (unsigned i = 0; x->blocks && i < x->blocks_n; i++) {
    free(x->blocks[i].bytes);
    free(x->blocks[i].packets);
  }
  free(x->blocks);
  x->blocks = NULL;
  sl_share_leave(&x->share);
  if (x->fd >= 0) close(x->fd);
  sl_sftp_handle_unref(x->handle);
}

static const sl_op_kind put_kind = {
    .name = "sftp.put", .push = put_push, .cancel = put_cancel, .clean = put_clean};

static bool make_blocks(put_op *x, size_t block_len, uint64_t len) {
  uint32_t most = x->handle->sftp->client.write_max;
  size_t best = block_len > SL_SFTP_IO_SMALL ? block_len : SL_SFTP_IO_SMALL;
  if (best > PACKET_BEST) best = PACKET_BEST;
  x->step = most < best ? most : (uint32_t)best;
  x->head = sl_sftp_write_head_len(x->handle->len);
  if (len < block_len) block_len = len ? (size_t)len : 1;
  x->packets_n = (unsigned)((block_len + x->step - 1) / x->step);
  if (len / ((uint64_t)x->step * x->packets_n) < x->blocks_n)
    x->blocks_n = (unsigned)(len / ((uint64_t)x->step * x->packets_n)) + 1;
  x->blocks = calloc(x->blocks_n, sizeof *x->blocks);
  for (unsigned i = 0; x->blocks && i < x->blocks_n; i++) {
    block *b = &x->blocks[i];
    b->owner = x;
    b->packets = calloc(x->packets_n, sizeof *b->packets);
    if (!b->packets) return false;
  }
  if (len > SL_SHARE_LEAST) sl_share_join(&x->share, x->op.loop);
  return x->blocks != NULL;
}

/* handle:put(fd, length, opts, done): from the local descriptor, which is duplicated. opts: from,
   to (offsets), block and blocks (bytes in one, how many), sparse (blocks of zeros are not sent).
   done(nil, bytes, ended, holes): `ended` when the local file was shorter, `holes` when something
   was not sent. */
static int l_put(lua_State *L) {
  sl_sftp_handle *h = sl_sftp_handle_check(L, 1);
  int fd = (int)luaL_checkinteger(L, 2);
  uint64_t len = sl_sftp_offset_arg(L, 3);
  lua_Number from = sl_opt_number(L, 4, "from", 0), to = sl_opt_number(L, 4, "to", 0);
  lua_Integer block_len = sl_opt_integer(L, 4, "block", BLOCK_DEFAULT);
  lua_Integer blocks = sl_opt_integer(L, 4, "blocks", BLOCKS_DEFAULT);
  sl_check_done(L, 5);
  luaL_argcheck(L, from >= 0 && to >= 0 && from < 9e15 && to < 9e15, 4, "out of range");
  luaL_argcheck(L, block_len > 0 && block_len <= BLOCK_MAX && blocks > 0 && blocks <= BLOCKS_MAX, 4,
                "out of range");
  put_op *x = sl_op_new(h->sftp->loop, &put_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  x->handle = h;
  h->refs++;
  h->safe = h->moved = 0;
  x->from = (uint64_t)from;
  x->to = (uint64_t)to;
  x->len = len;
  x->blocks_n = (unsigned)blocks;
  x->sparse = sl_opt_boolean(L, 4, "sparse", false);
  x->fd = sl_sftp_own_fd(&x->op, fd);
  if (!make_blocks(x, (size_t)block_len, len)) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->op, 5, 1);
  put_go_on(x);
  return 1;
}

static const luaL_Reg put_verbs[] = {{"put", l_put}, {NULL, NULL}};

const luaL_Reg *sl_sftp_put_verbs(void) {
  return put_verbs;
}
