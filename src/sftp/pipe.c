/* Three operations that never end by themselves, one in each lane of the channel's data. When one
   of them ends, because the channel or the session goes or the server says its last word, the
   client ends with that reason; when the client has failed, they end. */
#include "sftp/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "sftp/sftp.h"
#include "ssh/channel.h"

enum { WRITE_CHUNK = 32000 };

typedef struct pipe_op {
  sl_eop eop;
  sl_sftp *sftp;
} pipe_op;

static sl_sftp *sftp_of(sl_op *op) {
  return ((pipe_op *)op)->sftp;
}

static int ended(sl_op *op) {
  op->err = sftp_of(op)->client.err;
  return LIBSSH2_ERROR_CHANNEL_CLOSED;
}

static ssize_t read_some(sl_op *op, int stream) {
  char **scratch = &op->loop->scratch;
  if (!*scratch && !(*scratch = malloc(SL_READ_BYTES))) return LIBSSH2_ERROR_ALLOC;
  sl_channel *ch = sl_channel_of(op);
  return libssh2_channel_read_ex(ch->strand.raw, stream, *scratch, ch->read_bytes);
}

static int in_step(sl_op *op) {
  sl_sftp *s = sftp_of(op);
  ssize_t n = 0;
  while (!s->client.err.kind && (n = read_some(op, 0)) > 0)
    sl_sftp_feed(&s->client, op->loop->scratch, (size_t)n);
  if (s->client.err.kind) return ended(op);
  if (n < 0) return (int)n;
  sl_err_set(&op->err, SL_CHANNEL, "EOF", 0, "the server ended its SFTP subsystem");
  return LIBSSH2_ERROR_CHANNEL_CLOSED;
}

/* Nobody reads it, but it shares the window with the data. Its end means nothing. */
static int err_step(sl_op *op) {
  sl_sftp *s = sftp_of(op);
  ssize_t n = 0;
  while (!s->client.err.kind && (n = read_some(op, 1)) > 0) continue;
  if (s->client.err.kind) return ended(op);
  return n < 0 ? (int)n : sl_step_again();
}

static int out_step(sl_op *op) {
  sl_sftp *s = sftp_of(op);
  sl_wire *w = &((sl_eop *)op)->engine->wire;
  sl_strand *strand = ((sl_eop *)op)->strand;
  const unsigned char *bytes;
  size_t len;
  if (w->life != SL_WIRE_OPEN) {
    op->err = w->err;
    return LIBSSH2_ERROR_CHANNEL_CLOSED;
  }
  while (!s->client.err.kind && (len = sl_sftp_output(&s->client, &bytes)) > 0) {
    if (!s->pipe.promised && sl_buf_len(&w->out) > SL_WIRE_HIGH_WATER) {
      strand->woken = true;
      return sl_step_again();
    }
    if (!s->pipe.promised) s->pipe.promised = len > WRITE_CHUNK ? WRITE_CHUNK : len;
    ssize_t sent = libssh2_channel_write_ex(strand->raw, 0, (const char *)bytes, s->pipe.promised);
    if (sent <= 0) return sent < 0 ? (int)sent : sl_step_again();
    s->pipe.promised = 0;
    sl_sftp_took(&s->client, (size_t)sent);
  }
  return s->client.err.kind ? ended(op) : sl_step_again();
}

static void pipe_clean(sl_op *op) {
  sl_sftp *s = sftp_of(op);
  sl_err why = op->err;
  /* The other two end with the next step; the engine is not queued here, it may be about to go. */
  ((pipe_op *)op)->eop.strand->woken = true;
  s->pipe.strand = NULL;
  if (!why.kind) sl_err_set(&why, SL_CLOSED, NULL, 0, "the channel was closed");
  sl_sftp_fail(&s->client, &why);
  sl_sftp_unref(s);
}

/* They are never cancelled: nobody has their handles. */
static const sl_op_kind in_kind = {.name = "sftp.in", .step = in_step, .clean = pipe_clean};
static const sl_op_kind err_kind = {.name = "sftp.err", .step = err_step, .clean = pipe_clean};
static const sl_op_kind out_kind = {.name = "sftp.out", .step = out_step, .clean = pipe_clean};

bool sl_sftp_pipe_start(sl_sftp *s, sl_channel *ch) {
  static const sl_op_kind *const kinds[] = {&in_kind, &err_kind, &out_kind};
  static const int lanes[] = {SL_LANE_IN, SL_LANE_ERR, SL_LANE_OUT};
  pipe_op *ops[3];
  for (int i = 0; i < 3; i++) {
    ops[i] = sl_eop_new(ch->strand.engine, &ch->strand, lanes[i], kinds[i], sizeof *ops[i]);
    if (ops[i]) {
      ops[i]->sftp = s;
      sl_sftp_ref(s);
      continue;
    }
    while (i-- > 0) sl_op_release(&ops[i]->eop.op);
    return false;
  }
  s->pipe.strand = &ch->strand;
  for (int i = 0; i < 3; i++) {
    ops[i]->eop.op.abandoned = true; /* ends without delivery */
    sl_eop_submit(&ops[i]->eop);
  }
  return true;
}

void sl_sftp_pipe_wake(sl_sftp *s) {
  if (!s->pipe.strand || !s->pipe.strand->engine) return;
  sl_strand_wake(s->pipe.strand);
  sl_engine_queue(s->pipe.strand->engine);
}
