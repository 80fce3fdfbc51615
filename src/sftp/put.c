/* A local file into a remote one, without Lua. Blocks are read straight between the heads of WRITE
   packets and sealed from where they lie: one small block after the other while the file is in
   memory, so that the processor's cache still has it; else the thread pool reads large blocks
   ahead. A block's memory is free when it has been sent; what counts as safe is what the server has
   answered for without a gap before it. */
#include <stdlib.h>
#include <uv.h>

#include "engine/wire.h"
#include "loop/fs_now.h"
#include "sftp/call.h"
#include "sftp/move.h"
#include "sftp/store.h"

enum {
  PAGE = 4096,
  /* Four packets of the channel are full of it: whole pages, and a head. */
  PACKET_BEST = 4 * SL_WIRE_PIECE / PAGE * PAGE,
  AT_ONCE = PACKET_BEST, /* bytes of a block that is read when the one before it has been sent */
  AHEAD = 4,             /* blocks that the thread pool reads, or that wait to be sent */
  NOT_IN_MEMORY = 8,     /* blocks by the thread pool after one that had to be waited for */
  NEAR = 1 << 20,        /* bytes without an answer that keep a server busy that is near */
  RATE = 512 << 20,      /* bytes per second that a network may carry */
  HOLE_MIN = 32768,
  BUFFERS = 128
};

typedef struct put_op put_op;
typedef struct block block;

typedef enum block_state { FREE, READING, SENDING } block_state;

struct block {
  sl_sftp_store store; /* first */
  put_op *owner;
  block_state state;
  uint64_t offset;  /* from the beginning of the transfer */
  size_t want, len; /* bytes to read, bytes read */
  uv_fs_t req;
  sl_share_bytes memory; /* from the beginning of reading until all is sent */
};

struct put_op {
  sl_sftp_move move; /* first */
  bool stopping;     /* what the client says meanwhile changes nothing more */
  unsigned later;    /* so many blocks go by the thread pool before memory is asked again */
  unsigned packets_n, busy, held;    /* busy: not free; held: have memory */
  uint64_t in_flight, in_flight_max; /* bytes that the server has not answered for */
  uint64_t enough;                   /* of them, when none of them has to be read first */
  uint32_t step;                     /* bytes of one packet at most */
  size_t head;
  block *blocks;
};

static void put_go_on(put_op *x);

static bool at_once(const put_op *x) {
  return x->later == 0 && x->move.now != SL_FS_LATER;
}

/* The length of the next block: whole packets, if it is not shorter than one. */
static size_t block_most(const put_op *x) {
  size_t most = at_once(x) && x->move.block_len > AT_ONCE ? AT_ONCE : x->move.block_len;
  size_t len = sl_share_block(&x->move.share, most);
  return len > x->step ? len - len % x->step : len;
}

static void note_safe(put_op *x) {
  uint64_t safe = x->move.next < x->move.len ? x->move.next : x->move.len;
  for (unsigned i = 0; i < x->move.blocks_n; i++)
    if (x->blocks[i].state != FREE && x->blocks[i].offset < safe) safe = x->blocks[i].offset;
  if (safe > x->move.handle->safe) x->move.handle->safe = safe;
}

static void memory_free(block *b) {
  put_op *x = b->owner;
  if (!b->memory.data) return;
  x->held--;
  sl_share_give(&x->move.share, &b->memory, block_most(x) + x->packets_n * x->head);
}

static void block_free(block *b) {
  put_op *x = b->owner;
  b->state = FREE;
  x->busy--;
  x->in_flight -= b->want;
  memory_free(b);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void block_check(block *b) {
  put_op *x = b->owner;
  if (b->state != SENDING || !sl_sftp_store_is_over(&b->store)) return;
  block_free(b);
  x->move.handle->moved += b->len;
  if (!x->move.op.err.kind) note_safe(x);
}

static void block_answered(sl_sftp_store *s) {
  block *b = (block *)s;
  put_op *x = b->owner;
  if (s->err.kind) sl_sftp_move_failed(&x->move, &s->err);
  block_check(b);
  put_go_on(x);
}

static void block_sent(sl_sftp_store *s) {
  block *b = (block *)s;
  put_op *x = b->owner;
  memory_free(b);
  block_check(b);
  put_go_on(x);
}

static void block_send(block *b) {
  put_op *x = b->owner;
  sl_sftp_store *s = &b->store;
  s->client = &x->move.handle->sftp->client;
  s->handle = sl_sftp_span_of(x->move.handle);
  s->offset = x->move.to + b->offset;
  s->len = b->len;
  s->sent = block_sent;
  s->answered = block_answered;
  b->state = SENDING;
  if (sl_sftp_store_start(s)) return;
  sl_sftp_move_failed(&x->move, &s->err);
  block_free(b);
}

/* Without memory to take a block back the client fails; the blocks hear of it from within. */
static void stop_sending(put_op *x) {
  x->stopping = true;
  for (unsigned i = 0; i < x->move.blocks_n; i++) {
    block *b = &x->blocks[i];
    if (b->state == SENDING) sl_sftp_store_forget(&b->store);
    if (b->state == SENDING) block_free(b);
  }
  x->stopping = false;
}

/* --- reading ---------------------------------------------------------------------------------- */

static const char cannot_read[] = "cannot read the local file";

static void block_was_read(uv_fs_t *req);

static void block_read(block *b) {
  put_op *x = b->owner;
  uv_buf_t bufs[BUFFERS];
  unsigned n = sl_payloads_places(&b->store.payloads, b->len, b->want, bufs, BUFFERS);
  sl_op_pin(&x->move.op);
  b->req.data = b;
  int rc = uv_fs_read(&x->move.op.loop->uv, &b->req, x->move.fd, bufs, n,
                      (int64_t)(x->move.from + b->offset + b->len), block_was_read);
  if (rc >= 0) return;
  sl_sftp_move_failed_here(&x->move, rc, cannot_read);
  block_free(b);
  sl_op_unpin(&x->move.op);
}

/* What is in memory of it. True: all. */
static bool block_read_now(block *b) {
  put_op *x = b->owner;
  uv_buf_t bufs[BUFFERS];
  if (!at_once(x)) return false;
  unsigned n = sl_payloads_places(&b->store.payloads, 0, b->want, bufs, BUFFERS);
  b->len = sl_fs_read_now(&x->move.now, x->move.fd, bufs, n, x->move.from + b->offset);
  if (b->len == b->want) return true;
  x->later = NOT_IN_MEMORY;
  return false;
}

/* A whole block of zeros need not be sent where there is nothing yet: the caller sets the size. */
static bool is_hole(const block *b) {
  const put_op *x = b->owner;
  return x->move.sparse && b->len == b->want && b->len >= HOLE_MIN &&
         sl_payloads_are_zero(&b->store.payloads, b->len);
}

static void leave_out(block *b) {
  put_op *x = b->owner;
  x->move.holes = true;
  if (!x->later) x->later = 1; /* nothing went out that would stop us: others have their turn */
  x->move.handle->moved += b->len;
  block_free(b);
  note_safe(x);
}

static void block_full(block *b) {
  put_op *x = b->owner;
  if (b->len < b->want) { /* the file ends here */
    x->move.ended = true;
    if (b->offset + b->len < x->move.len) x->move.len = b->offset + b->len;
  }
  bool behind = b->offset >= x->move.len; /* another block has met an end before this one */
  if (b->len == 0 || behind || x->move.op.abandoned || x->move.op.err.kind)
    block_free(b);
  else if (is_hole(b))
    leave_out(b);
  else
    block_send(b);
}

static void block_was_read(uv_fs_t *req) {
  block *b = req->data;
  put_op *x = b->owner;
  ssize_t n = req->result;
  uv_fs_req_cleanup(req);
  if (x->later) x->later--;
  if (n > 0) b->len += (size_t)n;
  if (n < 0) {
    sl_sftp_move_failed_here(&x->move, (int)n, cannot_read);
    block_free(b);
  } else if (n > 0 && b->len < b->want && !x->move.op.abandoned) {
    block_read(b);
  } else {
    block_full(b);
  }
  put_go_on(x);
  sl_op_unpin(&x->move.op);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Memory for `want` bytes with their heads. One block at least: the transfer has to go on. */
static bool block_room(block *b) {
  put_op *x = b->owner;
  size_t need = sl_payloads_size(&b->store.payloads, b->want);
  if (x->held && !sl_share_has_room(&x->move.share, need)) return false;
  if (sl_share_take(&x->move.share, need, &b->memory)) {
    b->store.payloads.bytes = b->memory.data;
    x->held++;
    return true;
  }
  sl_err err = {0};
  sl_err_set(&err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
  sl_sftp_move_failed(&x->move, &err);
  return false;
}

static bool block_begin(block *b) {
  put_op *x = b->owner;
  size_t most = block_most(x);
  uint64_t left = x->move.len - x->move.next;
  b->store.payloads = (sl_payloads){NULL, x->head, most < x->step ? (uint32_t)most : x->step};
  b->offset = x->move.next;
  b->len = 0;
  b->want = left < most ? (size_t)left : most;
  if (!block_room(b)) return false;
  b->state = READING;
  x->move.next += b->want;
  x->in_flight += b->want;
  x->busy++;
  if (block_read_now(b))
    block_full(b);
  else
    block_read(b);
  return true;
}

static block *free_block(put_op *x) {
  unsigned i = 0;
  while (i < x->move.blocks_n && x->blocks[i].state != FREE) i++;
  return i < x->move.blocks_n ? &x->blocks[i] : NULL;
}

static bool may_begin(const put_op *x) {
  if (x->move.op.err.kind || x->move.op.abandoned || x->move.ended || x->move.next >= x->move.len)
    return false;
  uint64_t most = at_once(x) ? x->enough : x->in_flight_max;
  bool room = x->in_flight == 0 || x->in_flight + block_most(x) <= most;
  return room && x->held < (at_once(x) ? 1 : AHEAD);
}

static void put_go_on(put_op *x) {
  if (x->move.op.ended || x->stopping) return;
  if (x->move.op.err.kind || x->move.op.abandoned) stop_sending(x);
  for (block *b = NULL; may_begin(x) && (b = free_block(x)) && block_begin(b);) continue;
  if (x->move.op.err.kind) stop_sending(x);
  if (x->busy) return;
  if (!x->move.op.err.kind)
    sl_sftp_move_done(&x->move, x->move.len < x->move.next ? x->move.len : x->move.next);
  sl_op_finish(&x->move.op);
}

static bool put_cancel(sl_op *op) {
  put_op *x = (put_op *)op;
  stop_sending(x);
  return x->busy == 0;
}

static void put_clean(sl_op *op) {
  put_op *x = (put_op *)op;
  for (unsigned i = 0; x->blocks && i < x->move.blocks_n; i++) {
    free(x->blocks[i].memory.data);
    free(x->blocks[i].store.writes);
  }
  free(x->blocks);
  x->blocks = NULL;
  sl_sftp_move_clean(&x->move);
}

static const sl_op_kind put_kind = {
    .name = "sftp.put", .push = sl_sftp_move_push, .cancel = put_cancel, .clean = put_clean};

/* What is on its way lies in the queues of two kernels and of the server. More of it than the round
   trip asks for makes nothing faster: the queues leave the processors' caches, and sshd moves all
   that is left in its own with every piece that it hands on. */
static uint64_t enough_for(double round_trip, uint64_t most) {
  double enough = round_trip * RATE;
  if (enough < NEAR) enough = NEAR;
  return enough < (double)most ? (uint64_t)enough : most;
}

static bool make_blocks(put_op *x, double round_trip) {
  sl_sftp_move *m = &x->move;
  uint32_t most = m->handle->sftp->client.write_max;
  size_t best = m->block_len > SL_SFTP_IO_SMALL ? m->block_len : SL_SFTP_IO_SMALL;
  if (best > PACKET_BEST) best = PACKET_BEST;
  x->step = most < best ? most : (uint32_t)best;
  x->head = sl_sftp_write_head_len(m->handle->len);
  x->in_flight_max = (uint64_t)m->block_len * m->blocks_n;
  x->enough = enough_for(round_trip, x->in_flight_max);
  if (m->len < m->block_len) m->block_len = m->len ? (size_t)m->len : 1;
  x->packets_n = m->block_len < x->step ? 1 : (unsigned)(m->block_len / x->step);
  m->block_len = (size_t)x->step * x->packets_n;
  size_t least = m->block_len < AT_ONCE ? m->block_len : AT_ONCE;
  if (x->in_flight_max / least > m->blocks_n) m->blocks_n = (unsigned)(x->in_flight_max / least);
  if (m->blocks_n > SL_MOVE_BLOCKS_MAX) m->blocks_n = SL_MOVE_BLOCKS_MAX;
  if (m->len / least < m->blocks_n) m->blocks_n = (unsigned)(m->len / least) + 1;
  x->blocks = calloc(x->move.blocks_n, sizeof *x->blocks);
  for (unsigned i = 0; x->blocks && i < x->move.blocks_n; i++) {
    block *b = &x->blocks[i];
    b->owner = x;
    b->store.writes = calloc(x->packets_n, sizeof *b->store.writes);
    if (!b->store.writes) return false;
  }
  sl_sftp_move_join(&x->move);
  return x->blocks != NULL;
}

/* handle:put(fd, length, opts, done): from the local descriptor, which is duplicated. opts: from,
   to (offsets), block and blocks (bytes in one, how many), sparse (blocks of zeros are not sent),
   round_trip (seconds to the server and back; a second when nobody says it).
   done(nil, bytes, ended, holes): `ended` when the local file was shorter, `holes` when something
   was not sent. */
static int l_put(lua_State *L) {
  uint64_t len = sl_sftp_offset_arg(L, 3);
  lua_Number round_trip = sl_opt_number(L, 4, "round_trip", 1);
  put_op *x = (put_op *)sl_sftp_move_new(L, &put_kind, sizeof *x, 4);
  x->move.len = len;
  if (!make_blocks(x, round_trip)) {
    sl_op_release(&x->move.op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->move.op, 5, 1);
  put_go_on(x);
  return 1;
}

static const luaL_Reg put_verbs[] = {{"put", l_put}, {NULL, NULL}};

const luaL_Reg *sl_sftp_put_verbs(void) {
  return put_verbs;
}
