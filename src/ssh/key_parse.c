/* From a private key file's text to the right reader: the armour of RFC 7468, which PEM, PKCS#8 and
   OpenSSH files share, and what to say about files that are none of these. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "ssh/key_parts.h"

enum { FILE_MAX = 1024 * 1024, HEADERS_MAX = 1024 };

typedef struct armour {
  sl_span label; /* "RSA PRIVATE KEY" */
  char headers[HEADERS_MAX];
  unsigned char *data; /* OPENSSL_malloc'ed */
  size_t len, room;
} armour;

static bool is_space(unsigned char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool get_line(sl_reader *r, sl_span *line) {
  size_t left = sl_reader_left(r);
  if (left == 0) return false;
  const unsigned char *end = memchr(r->p, '\n', left);
  size_t n = end ? (size_t)(end - r->p) : left;
  sl_get_bytes(r, n, line);
  if (end) r->p++;
  while (line->n > 0 && is_space(line->p[0])) *line = (sl_span){line->p + 1, line->n - 1};
  while (line->n > 0 && is_space(line->p[line->n - 1])) line->n--;
  return true;
}

static bool starts_with(sl_span s, const char *text) {
  size_t n = strlen(text);
  return s.n >= n && memcmp(s.p, text, n) == 0;
}

static bool ends_with(sl_span s, const char *text) {
  size_t n = strlen(text);
  return s.n >= n && memcmp(s.p + s.n - n, text, n) == 0;
}

/* "-----BEGIN RSA PRIVATE KEY-----" gives "RSA PRIVATE KEY". */
static bool boundary_label(sl_span line, const char *begin, sl_span *label) {
  size_t n = strlen(begin);
  if (!starts_with(line, begin) || line.n < n + 5 || !ends_with(line, "-----")) return false;
  *label = (sl_span){line.p + n, line.n - n - 5};
  return true;
}

/* Other blocks may come first: EC PARAMETERS, certificates. */
static bool find_private_key(sl_reader *r, sl_span *label) {
  sl_span line;
  while (get_line(r, &line)) {
    if (boundary_label(line, "-----BEGIN ", label) && ends_with(*label, "PRIVATE KEY")) return true;
  }
  return false;
}

/* Lines with a colon, then a blank line; copied for libcrypto, which wants them ended by bare
 * newlines. */
static bool get_headers(sl_reader *r, char *out) {
  sl_reader at = *r;
  sl_span line;
  size_t n = 0;
  *out = '\0';
  if (!get_line(&at, &line) || !memchr(line.p, ':', line.n)) return true;
  do {
    if (n + line.n + 2 > HEADERS_MAX || memchr(line.p, '\0', line.n)) return false;
    sl_put_bytes((unsigned char *)out + n, line.p, line.n);
    n += line.n;
    out[n++] = '\n';
  } while (get_line(&at, &line) && line.n > 0);
  out[n] = '\0';
  *r = at;
  return true;
}

static bool get_body(sl_reader *r, sl_span label, sl_span *body) {
  const unsigned char *start = r->p, *end;
  sl_span line, end_label;
  do {
    end = r->p;
    if (!get_line(r, &line)) return false;
  } while (!starts_with(line, "-----"));
  *body = (sl_span){start, (size_t)(end - start)};
  return boundary_label(line, "-----END ", &end_label) && sl_span_equal(label, end_label);
}

static sl_key *refuse_other_files(sl_span file, sl_err *err) {
  sl_public_key public_key;
  if (starts_with(file, "PuTTY-User-Key-File-"))
    return sl_key_unsupported(err, "a PuTTY key: convert it with puttygen -O private-openssh");
  if (starts_with(file, "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY"))
    return sl_key_unsupported(err, "an ssh.com key: convert it with ssh-keygen -i");
  if (starts_with(file, "SSH PRIVATE KEY FILE FORMAT"))
    return sl_key_unsupported(err, "a key of SSH protocol 1");
  if (sl_public_key_parse((const char *)file.p, file.n, &public_key, err) == 0) {
    sl_public_key_clear(&public_key);
    return sl_key_bad_format(err, "this is a public key, not a private one");
  }
  return sl_key_bad_format(err, "no private key in it (no line -----BEGIN ... PRIVATE KEY-----)");
}

/* On success the caller frees with armour_clear. */
static bool armour_read(const char *text, size_t len, armour *a, sl_err *err) {
  sl_span body;
  sl_reader r = sl_reader_of(text, len);
  a->data = NULL;
  if (len > FILE_MAX) return sl_key_bad_format(err, "too large to be a private key"), false;
  if (!find_private_key(&r, &a->label))
    return refuse_other_files((sl_span){(const unsigned char *)text, len}, err), false;
  if (!get_headers(&r, a->headers))
    return sl_key_bad_format(err, "the key's header lines are damaged"), false;
  if (!get_body(&r, a->label, &body))
    return sl_key_bad_format(err, "the key is cut short: its END line is missing"), false;
  a->room = SL_BASE64_ROOM(body.n);
  a->data = OPENSSL_malloc(a->room);
  if (!a->data) return sl_key_no_memory(err), false;
  if (sl_base64_decode((const char *)body.p, body.n, a->data, &a->len)) return true;
  OPENSSL_clear_free(a->data, a->room);
  return sl_key_bad_format(err, "the key's base64 is damaged"), false;
}

static void armour_clear(armour *a) {
  OPENSSL_clear_free(a->data, a->room);
}

static sl_span armour_data(const armour *a) {
  return (sl_span){a->data, a->len};
}

static sl_key *parse_openssh(armour *a, sl_span pass, sl_err *err) {
  return sl_key_from_openssh(armour_data(a), pass, err);
}

static sl_key *parse_pkcs8(armour *a, sl_span pass, sl_err *err) {
  (void)pass;
  return sl_key_from_pkcs8_der(armour_data(a), err);
}

static sl_key *parse_encrypted_pkcs8(armour *a, sl_span pass, sl_err *err) {
  return sl_key_from_encrypted_pkcs8(armour_data(a), pass, err);
}

static sl_key *parse_traditional(armour *a, sl_span pass, sl_err *err,
                                 sl_key *(*from_der)(sl_span, sl_err *)) {
  if (sl_pem_decrypt(a->headers, a->data, &a->len, pass, err)) return NULL;
  sl_key *key = from_der(armour_data(a), err);
  /* One wrong passphrase of 256 leaves padding that looks right, and garbage. */
  if (!key && *a->headers && strcmp(err->name, "BAD_FORMAT") == 0) sl_key_wrong_passphrase(err);
  return key;
}

static sl_key *parse_rsa(armour *a, sl_span pass, sl_err *err) {
  return parse_traditional(a, pass, err, sl_key_from_rsa_der);
}

static sl_key *parse_ec(armour *a, sl_span pass, sl_err *err) {
  return parse_traditional(a, pass, err, sl_key_from_ec_der);
}

static sl_key *parse_dsa(armour *a, sl_span pass, sl_err *err) {
  (void)a, (void)pass;
  return sl_key_unsupported(err, "DSA keys are not supported");
}

typedef struct format {
  const char *label;
  bool headers; /* may be encrypted by its header lines */
  sl_key *(*parse)(armour *a, sl_span pass, sl_err *err);
} format;

static const format formats[] = {
    {"OPENSSH PRIVATE KEY", false, parse_openssh},
    {"PRIVATE KEY", false, parse_pkcs8},
    {"ENCRYPTED PRIVATE KEY", false, parse_encrypted_pkcs8},
    {"RSA PRIVATE KEY", true, parse_rsa},
    {"EC PRIVATE KEY", true, parse_ec},
    {"DSA PRIVATE KEY", true, parse_dsa},
};

static sl_key *parse_armoured(armour *a, sl_span pass, sl_err *err) {
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    if (!sl_span_is(a->label, formats[i].label)) continue;
    if (*a->headers && !formats[i].headers)
      return sl_key_bad_format(err, "header lines in a key that can have none");
    return formats[i].parse(a, pass, err);
  }
  return sl_key_unsupported(err, "a private key of a kind that is not supported");
}

/* Empties this thread's queue of libcrypto's errors. */
static bool libcrypto_lacked_memory(void) {
  bool lacked = false;
  for (unsigned long code = ERR_get_error(); code != 0; code = ERR_get_error())
    lacked = lacked || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
  return lacked;
}

sl_key *sl_key_parse(const char *data, size_t len, const char *pass, size_t pass_len, sl_err *err) {
  armour a;
  sl_span passphrase = {(const unsigned char *)pass, pass ? pass_len : 0};
  ERR_clear_error(); /* this thread's queue is ours between two calls */
  if (!armour_read(data, len, &a, err)) return NULL;
  sl_key *key = parse_armoured(&a, passphrase, err);
  armour_clear(&a);
  /* Or lack of memory would pass for a wrong passphrase. */
  if (libcrypto_lacked_memory() && !key) return sl_key_no_memory(err);
  return key;
}

int sl_key_peek(const char *data, size_t len, sl_public_key *out, sl_err *err) {
  armour a;
  memset(out, 0, sizeof *out);
  if (!armour_read(data, len, &a, err)) return -1;
  int rc = sl_span_is(a.label, "OPENSSH PRIVATE KEY")
               ? sl_openssh_peek(armour_data(&a), out, err)
               : sl_err_set(err, SL_AUTH, "NO_PUBLIC_HALF", 0,
                            "the key's format does not carry the public key in the clear");
  armour_clear(&a);
  return rc;
}
