#include "sftp/store.h"

static void write_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_sftp_store *s = ((sl_sftp_write *)r)->store;
  s->pending--;
  if (!reply)
    s->err = s->client->err;
  else if (reply->status != SL_FX_OK && !s->err.kind)
    sl_err_sftp(&s->err, reply->status, reply->text.p, reply->text.n);
  s->answered(s);
}

static void all_sent(sl_sftp_segment *segment) {
  sl_sftp_store *s = (sl_sftp_store *)segment;
  s->queued = false;
  s->sent(s);
}

bool sl_sftp_store_start(sl_sftp_store *s) {
  const sl_payloads *p = &s->payloads;
  size_t done = 0;
  s->err = (sl_err){0};
  s->pending = 0;
  for (unsigned i = 0; done < s->len; i++) {
    sl_sftp_write *w = &s->writes[i];
    uint32_t n = s->len - done < p->step ? (uint32_t)(s->len - done) : p->step;
    *w = (sl_sftp_write){.req.done = write_done, .store = s};
    uint32_t id = sl_sftp_take_id(s->client, &w->req, SL_WANT_STATUS, &s->err);
    if (id == 0) {
      while (i-- > 0) sl_sftp_unask(s->client, &s->writes[i].req);
      s->pending = 0;
      return false;
    }
    sl_sftp_write_head(p->bytes + i * sl_payloads_stride(p), id, s->handle, s->offset + done, n);
    done += n;
    s->pending++;
  }
  s->segment.data = p->bytes;
  s->segment.len = sl_payloads_size(p, s->len);
  s->segment.sent = all_sent;
  s->queued = true;
  sl_sftp_send_segment(s->client, &s->segment);
  return true;
}

void sl_sftp_store_forget(sl_sftp_store *s) {
  unsigned n = sl_payloads_count(&s->payloads, s->len), sent = n;
  if (s->queued) {
    size_t full = sl_payloads_size(&s->payloads, s->len), stride = sl_payloads_stride(&s->payloads);
    size_t kept = sl_sftp_retract(s->client, &s->segment, full, stride);
    sent = kept >= full ? n : (unsigned)((kept + stride - 1) / stride);
    s->queued = false;
  }
  for (unsigned i = 0; i < n; i++) {
    if (s->writes[i].req.id == 0) continue;
    if (i < sent)
      sl_sftp_forget(s->client, &s->writes[i].req);
    else
      sl_sftp_unask(s->client, &s->writes[i].req);
  }
  s->pending = 0;
}
