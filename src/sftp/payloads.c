#include "sftp/payloads.h"

#include "sftp/call.h"

static unsigned char *payload(const sl_payloads *p, size_t at) {
  return p->bytes + at / p->step * sl_payloads_stride(p) + p->head + at % p->step;
}

unsigned sl_payloads_places(const sl_payloads *p, size_t from, size_t to, uv_buf_t *places,
                            unsigned max) {
  unsigned n = 0;
  for (size_t at = from; at < to && n < max; n++) {
    size_t left = to - at, room = p->step - at % p->step;
    places[n] = uv_buf_init((char *)payload(p, at), (unsigned)(left < room ? left : room));
    at += places[n].len;
  }
  return n;
}

bool sl_payloads_are_zero(const sl_payloads *p, size_t len) {
  for (size_t at = 0; at < len; at += p->step) {
    if (!sl_sftp_is_zero(payload(p, at), len - at < p->step ? len - at : p->step)) return false;
  }
  return true;
}
