/* OpenSSH certificates: read once, every length checked. */
#include "ssh/certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ssh/public_key.h"

/* The certificate's type and the fields of the key inside. The reader stands behind them. */
static const sl_pubkey_type *get_key(sl_reader *r, sl_span *key_fields) {
  sl_span name, nonce;
  if (!sl_get_string(r, &name)) return NULL;
  const sl_pubkey_type *type = sl_pubkey_type_find(name);
  if (!type || !sl_pubkey_type_is_certificate(type) || !sl_get_string(r, &nonce)) return NULL;
  return sl_pubkey_type_get_fields(type, r, key_fields) ? type : NULL;
}

static bool get_rest(sl_reader *r, const unsigned char *blob, sl_certificate_view *v) {
  sl_span reserved;
  if (!(sl_get_u64(r, &v->serial) && sl_get_u32(r, &v->role) && sl_get_string(r, &v->key_id) &&
        sl_get_string(r, &v->principals) && sl_get_u64(r, &v->valid_after) &&
        sl_get_u64(r, &v->valid_before) && sl_get_string(r, &v->critical_options) &&
        sl_get_string(r, &v->extensions) && sl_get_string(r, &reserved) &&
        sl_get_string(r, &v->signature_key)))
    return false;
  v->signed_part = (sl_span){blob, (size_t)(r->p - blob)};
  return sl_get_string(r, &v->signature) && sl_reader_left(r) == 0;
}

bool sl_certificate_view_of(const unsigned char *blob, size_t len, sl_certificate_view *view) {
  sl_reader r = sl_reader_of(blob, len);
  view->type = get_key(&r, &view->key_fields);
  return view->type && get_rest(&r, blob, view);
}

unsigned char *sl_certificate_plain_blob(const unsigned char *blob, size_t len, size_t *plain_len) {
  sl_reader r = sl_reader_of(blob, len);
  sl_span fields;
  const sl_pubkey_type *type = get_key(&r, &fields);
  if (!type) return NULL;
  size_t name_len = strlen(type->plain);
  unsigned char *plain = malloc(4 + name_len + fields.n);
  if (!plain) return NULL;
  sl_put_bytes(sl_put_string(plain, type->plain, name_len), fields.p, fields.n);
  *plain_len = 4 + name_len + fields.n;
  return plain;
}

static char *text_of(sl_span s) {
  char *text = malloc(s.n + 1);
  if (text) *sl_put_bytes((unsigned char *)text, s.p, s.n) = '\0';
  return text;
}

void sl_certificate_clear(sl_certificate *cert) {
  free(cert->blob);
  free(cert->key_id);
  memset(cert, 0, sizeof *cert);
}

/* Takes the blob over, also on failure. */
static int adopt(unsigned char *blob, size_t len, sl_certificate *out, sl_err *err) {
  sl_certificate_view v;
  if (!sl_certificate_view_of(blob, len, &v)) {
    sl_err_set(err, SL_AUTH, "BAD_FORMAT", 0, "not a certificate, or a malformed one");
    goto fail;
  }
  if (v.role != SL_CERTIFICATE_USER) {
    sl_err_set(err, SL_AUTH, "NOT_USER_CERTIFICATE", 0, "a host certificate cannot log a user in");
    goto fail;
  }
  *out = (sl_certificate){.type = v.type->name,
                          .blob = blob,
                          .blob_len = len,
                          .serial = v.serial,
                          .key_id = text_of(v.key_id),
                          .valid_after = v.valid_after,
                          .valid_before = v.valid_before,
                          .key_fields = v.key_fields,
                          .principals = v.principals,
                          .critical_options = v.critical_options,
                          .extensions = v.extensions,
                          .signature_key = v.signature_key};
  if (out->key_id) return 0;
  sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a certificate");
  sl_certificate_clear(out);
  return -1;
fail:
  free(blob);
  return -1;
}

int sl_certificate_parse(const char *text, size_t len, sl_certificate *out, sl_err *err) {
  sl_public_key line;
  memset(out, 0, sizeof *out);
  if (sl_public_key_parse(text, len, &line, err)) return -1;
  unsigned char *blob = line.blob;
  size_t blob_len = line.blob_len;
  line.blob = NULL;
  sl_public_key_clear(&line);
  return adopt(blob, blob_len, out, err);
}

int sl_certificate_from_blob(const unsigned char *blob, size_t len, sl_certificate *out,
                             sl_err *err) {
  memset(out, 0, sizeof *out);
  unsigned char *copy = malloc(len ? len : 1);
  if (!copy) return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a certificate");
  sl_put_bytes(copy, blob, len);
  return adopt(copy, len, out, err);
}

bool sl_certificate_matches_blob(const unsigned char *blob, size_t len, const unsigned char *plain,
                                 size_t plain_len) {
  sl_reader r = sl_reader_of(blob, len), key = sl_reader_of(plain, plain_len);
  sl_span fields, name;
  const sl_pubkey_type *type = get_key(&r, &fields);
  return type && sl_get_string(&key, &name) && sl_span_is(name, type->plain) &&
         sl_span_equal(fields, (sl_span){key.p, sl_reader_left(&key)});
}

bool sl_certificate_matches(const unsigned char *blob, size_t len, const sl_key *key) {
  size_t plain_len;
  const unsigned char *plain = sl_key_blob(key, &plain_len);
  return sl_certificate_matches_blob(blob, len, plain, plain_len);
}

/* Authorities may write any 64 bits; dates after the year 9999 are for no reader. */
static const char *date(uint64_t seconds, char *buf, size_t size) {
  const uint64_t year_10000 = 253402300800;
  struct tm tm;
  time_t t = (time_t)seconds;
  if (seconds >= year_10000 || !gmtime_r(&t, &tm) ||
      strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
    return "a date after the year 9999";
  return buf;
}

int sl_certificate_check_time(const sl_certificate *cert, uint64_t now, sl_err *err) {
  char when[40];
  if (now < cert->valid_after)
    return sl_err_set(err, SL_AUTH, "CERTIFICATE_NOT_YET_VALID", 0,
                      "certificate \"%.80s\" is not valid before %s", cert->key_id,
                      date(cert->valid_after, when, sizeof when));
  if (now >= cert->valid_before)
    return sl_err_set(err, SL_AUTH, "CERTIFICATE_EXPIRED", 0, "certificate \"%.80s\" expired on %s",
                      cert->key_id, date(cert->valid_before, when, sizeof when));
  return 0;
}
