#include "sftp/fetch.h"

unsigned sl_sftp_fetch_parts(const sl_sftp_client *c, size_t len) {
  return (unsigned)((len + c->read_max - 1) / c->read_max);
}

static void part_end(sl_sftp_fetch *f) {
  if (--f->pending == 0) f->done(f);
}

static unsigned char *part_place(sl_sftp_request *r) {
  const sl_sftp_part *p = (sl_sftp_part *)r;
  sl_sftp_fetch *f = p->fetch;
  if (!f->data && !f->err.kind) f->data = f->memory(f);
  return f->data ? f->data + p->at : NULL;
}

static bool part_ask(sl_sftp_part *p) {
  sl_sftp_fetch *f = p->fetch;
  p->req.place = part_place;
  return sl_sftp_read(f->client, &p->req, f->handle, f->offset + p->at, &f->err);
}

/* What lies behind the first end of file that is seen does not count. */
static void part_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_sftp_part *p = (sl_sftp_part *)r;
  sl_sftp_fetch *f = p->fetch;
  if (!reply) {
    f->err = f->client->err;
  } else if (reply->type == SL_FXP_DATA) {
    p->at += reply->len;
    p->req.room -= reply->len;
    if (p->req.room > 0 && p->at < f->good && !f->err.kind && part_ask(p)) return;
  } else if (reply->status == SL_FX_EOF) {
    if (p->at < f->good) f->good = p->at;
  } else if (!f->err.kind) {
    sl_err_sftp(&f->err, reply->status, reply->text.p, reply->text.n);
  }
  part_end(f);
}

bool sl_sftp_fetch_start(sl_sftp_fetch *f) {
  uint32_t step = f->client->read_max;
  f->good = f->len;
  f->pending = 0;
  for (unsigned i = 0; i < f->size; i++) {
    sl_sftp_part *p = &f->parts[i];
    size_t at = (size_t)i * step;
    if (at >= f->len) break;
    *p = (sl_sftp_part){.fetch = f, .at = at};
    p->req.done = part_done;
    p->req.room = f->len - at < step ? (uint32_t)(f->len - at) : step;
    if (!part_ask(p)) break;
    f->pending++;
  }
  if (f->err.kind) sl_sftp_fetch_forget(f);
  return !f->err.kind;
}

void sl_sftp_fetch_forget(sl_sftp_fetch *f) {
  if (f->pending == 0) return;
  f->pending = 0;
  for (unsigned i = 0; i < f->size; i++)
    if (f->parts[i].fetch == f) sl_sftp_forget(f->client, &f->parts[i].req);
}
