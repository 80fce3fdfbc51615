/* Public key lines: `type base64 [comment]`. */
#include "ssh/public_key.h"

#include <stdlib.h>
#include <string.h>

#include "ssh/pubkey_type.h"

/* A bound and no more: an RSA-16384 certificate has about 12 KiB. */
#define LINE_MAX_LENGTH ((size_t)256 * 1024)

static bool is_blank(unsigned char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static sl_span trimmed(sl_span s) {
  while (s.n > 0 && is_blank(s.p[0])) s = (sl_span){s.p + 1, s.n - 1};
  while (s.n > 0 && is_blank(s.p[s.n - 1])) s.n--;
  return s;
}

/* Cuts the first word off *rest. */
static sl_span word(sl_span *rest) {
  size_t n = 0;
  while (n < rest->n && !is_blank(rest->p[n])) n++;
  sl_span first = {rest->p, n};
  *rest = trimmed((sl_span){rest->p + n, rest->n - n});
  return first;
}

static sl_span first_line(const char *text, size_t len) {
  sl_span rest = {(const unsigned char *)text, len};
  while (rest.n > 0) {
    const unsigned char *end = memchr(rest.p, '\n', rest.n);
    size_t n = end ? (size_t)(end - rest.p) : rest.n;
    sl_span line = trimmed((sl_span){rest.p, n});
    if (line.n > 0 && line.p[0] != '#') return line;
    n += end != NULL;
    rest = (sl_span){rest.p + n, rest.n - n};
  }
  return rest;
}

static int bad_format(sl_err *err, const char *what) {
  return sl_err_set(err, SL_AUTH, "BAD_FORMAT", 0, "not a public key: %s", what);
}

void sl_public_key_clear(sl_public_key *key) {
  free(key->blob);
  free(key->comment);
  memset(key, 0, sizeof *key);
}

/* Takes the blob over, also on failure. */
static int adopt(unsigned char *blob, size_t len, const sl_pubkey_type *type, sl_span comment,
                 sl_public_key *out, sl_err *err) {
  *out = (sl_public_key){.type = type->name, .blob = blob, .blob_len = len};
  out->comment = malloc(comment.n + 1);
  if (!out->comment) {
    sl_public_key_clear(out);
    return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a public key");
  }
  *sl_put_bytes((unsigned char *)out->comment, comment.p, comment.n) = '\0';
  return 0;
}

int sl_public_key_parse(const char *text, size_t len, sl_public_key *out, sl_err *err) {
  memset(out, 0, sizeof *out);
  sl_span rest = first_line(text, len);
  if (rest.n == 0) return bad_format(err, "the file is empty");
  if (rest.n > LINE_MAX_LENGTH) return bad_format(err, "the line is too long");
  if (rest.n > 5 && memcmp(rest.p, "-----", 5) == 0)
    return bad_format(err, "it is not one line \"type base64 comment\"");
  sl_span name = word(&rest);
  const sl_pubkey_type *type = sl_pubkey_type_find(name);
  if (!type) return sl_pubkey_type_refuse(name, err);
  sl_span base64 = word(&rest);
  unsigned char *blob = malloc(SL_BASE64_ROOM(base64.n));
  if (!blob) return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a public key");
  size_t blob_len;
  if (!sl_base64_decode((const char *)base64.p, base64.n, blob, &blob_len) ||
      sl_pubkey_type_of_blob(blob, blob_len) != type) {
    free(blob);
    return bad_format(err, "its base64 does not hold a key of the type it names");
  }
  return adopt(blob, blob_len, type, rest, out, err);
}

int sl_public_key_from_blob(const unsigned char *blob, size_t len, const char *comment,
                            size_t comment_len, sl_public_key *out, sl_err *err) {
  memset(out, 0, sizeof *out);
  const sl_pubkey_type *type = sl_pubkey_type_of_blob(blob, len);
  if (!type) {
    sl_reader r = sl_reader_of(blob, len);
    sl_span name;
    if (sl_get_string(&r, &name) && !sl_pubkey_type_find(name))
      return sl_pubkey_type_refuse(name, err);
    return bad_format(err, "its fields are malformed");
  }
  unsigned char *copy = malloc(len);
  if (!copy) return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "no memory for a public key");
  memcpy(copy, blob, len);
  return adopt(copy, len, type, (sl_span){(const unsigned char *)comment, comment_len}, out, err);
}
