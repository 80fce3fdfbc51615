/* The channel hands its bytes to the client straight from the packets. Two operations that never
   end by themselves stand in the lanes of the channel's data: one writes, one watches for the end.
   When one of them ends, because the channel or the session goes or the server says its last word,
   the client ends with that reason; when the client has failed, they end. */
#include "sftp/pipe.h"

#include "sftp/sftp.h"
#include "ssh/channel.h"

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

/* --- in --------------------------------------------------------------------------------------- */

static void say_ended(sl_sftp *s) {
  sl_err why = {0};
  sl_err_set(&why, SL_CHANNEL, "EOF", 0, "the server ended its SFTP subsystem");
  sl_sftp_fail(&s->client, &why);
}

/* stderr is for nobody, but it shares the window. */
static void take_bytes(void *self, int stream, const unsigned char *bytes, size_t len) {
  sl_sftp *s = self;
  sl_strand *strand = s->pipe.strand;
  if (stream == 0) sl_sftp_feed(&s->client, bytes, len);
  if (strand) sl_window_credit(strand, len);
}

static void take_end(void *self) {
  say_ended(self);
}

static unsigned char *take_room(void *self, size_t len, size_t space) {
  return sl_sftp_room(&((sl_sftp *)self)->client, len, space);
}

static void take_filled(void *self, size_t len) {
  sl_sftp *s = self;
  sl_strand *strand = s->pipe.strand;
  sl_sftp_filled(&s->client, len);
  if (strand) sl_window_credit(strand, len);
}

static const sl_taker taker = {
    .bytes = take_bytes, .room = take_room, .filled = take_filled, .ended = take_end};

/* What came before there was a taker. */
static void take_waiting(sl_sftp *s, sl_channel *ch) {
  for (int stream = 0; stream <= 1; stream++) {
    sl_buf waiting = ch->in[stream];
    ch->in[stream] = (sl_buf){0};
    if (sl_buf_len(&waiting))
      take_bytes(s, stream, (const unsigned char *)sl_buf_head(&waiting), sl_buf_len(&waiting));
    sl_buf_free(&waiting);
  }
  if (ch->ended) say_ended(s);
}

/* Without the packet hook the bytes have to be fetched. */
static int in_step(sl_op *op) {
  sl_sftp *s = sftp_of(op);
  sl_channel *ch = sl_channel_of(op);
  for (int stream = 1; stream >= 0; stream--) {
    int rc = 1;
    while (rc > 0 && !s->client.err.kind) rc = sl_channel_fetch(ch, stream);
    if (rc < 0 && rc != sl_step_again()) return rc;
    if (rc == 0 && stream == 0) say_ended(s);
  }
  return s->client.err.kind ? ended(op) : sl_step_again();
}

/* --- out -------------------------------------------------------------------------------------- */

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
    if (!s->pipe.promised) s->pipe.promised = len > SL_WIRE_PIECE ? SL_WIRE_PIECE : len;
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
  /* The other one ends with the next step; the engine is not queued here, it may be about to go. */
  sl_channel_of(op)->taker = NULL;
  sl_channel_of(op)->strand.woken = true;
  s->pipe.strand = NULL;
  if (!why.kind) sl_err_set(&why, SL_CLOSED, NULL, 0, "the channel was closed");
  sl_sftp_fail(&s->client, &why);
  sl_sftp_unref(s);
}

/* They are never cancelled: nobody has their handles. */
static const sl_op_kind in_kind = {.name = "sftp.in", .step = in_step, .clean = pipe_clean};
static const sl_op_kind out_kind = {.name = "sftp.out", .step = out_step, .clean = pipe_clean};

static pipe_op *pipe_op_new(sl_sftp *s, sl_channel *ch, int lane, const sl_op_kind *kind) {
  pipe_op *x = sl_eop_new(ch->strand.engine, &ch->strand, lane, kind, sizeof *x);
  if (!x) return NULL;
  x->sftp = s;
  sl_sftp_ref(s);
  x->eop.op.abandoned = true; /* ends without delivery */
  return x;
}

bool sl_sftp_pipe_start(sl_sftp *s, sl_channel *ch) {
  pipe_op *in = pipe_op_new(s, ch, SL_LANE_IN, &in_kind),
          *out = pipe_op_new(s, ch, SL_LANE_OUT, &out_kind);
  if (!in || !out) {
    if (in) sl_op_release(&in->eop.op);
    if (out) sl_op_release(&out->eop.op);
    return false;
  }
  s->pipe.strand = &ch->strand;
  ch->taken_by = s;
  ch->taker = &taker;
  sl_eop_submit(&in->eop);
  sl_eop_submit(&out->eop);
  take_waiting(s, ch);
  return true;
}

void sl_sftp_pipe_wake(sl_sftp *s) {
  if (!s->pipe.strand || !s->pipe.strand->engine) return;
  sl_strand_wake(s->pipe.strand);
  sl_engine_queue(s->pipe.strand->engine);
}
