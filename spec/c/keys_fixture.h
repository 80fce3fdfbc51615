/* Keys of the tests: made by ssh-keygen and openssl in a folder that goes away at exit. */
#ifndef SL_KEYS_FIXTURE_H
#define SL_KEYS_FIXTURE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ecdsa.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "ssh/data_types.h"
#include "ssh/key.h"

#define PASSPHRASE "correct horse battery"

static char fixture_dir[64];

static inline void fixture_remove(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", fixture_dir);
  if (system(command) != 0) fprintf(stderr, "%s: failed\n", command);
}

/* The test's working directory is the temporary folder from here on. */
static inline void fixture_begin(void) {
  snprintf(fixture_dir, sizeof fixture_dir, "/tmp/sshlua-keys-XXXXXX");
  if (!mkdtemp(fixture_dir) || chdir(fixture_dir)) {
    perror("temporary folder");
    exit(1);
  }
  atexit(fixture_remove);
}

__attribute__((format(printf, 1, 0))) static inline int fixture_run(const char *fmt, va_list ap) {
  char command[2048], quiet[2100];
  int n = vsnprintf(command, sizeof command, fmt, ap);
  if (n < 0 || (size_t)n >= sizeof command) abort();
  snprintf(quiet, sizeof quiet, "{ %s\n} >>log 2>&1 </dev/null", command);
  return system(quiet);
}

/* Runs a command that must work. */
__attribute__((format(printf, 1, 2))) static inline void sh(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int status = fixture_run(fmt, ap);
  va_end(ap);
  if (status == 0) return;
  printf("# command failed: %s\n", fmt);
  if (system("tail -5 log | sed 's/^/# /'") != 0) puts("# and there is no log");
  exit(1);
}

__attribute__((format(printf, 1, 2))) static inline bool sh_works(const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int status = fixture_run(fmt, ap);
  va_end(ap);
  return status == 0;
}

/* A buffer of exactly the file's size, so that a sanitizer sees a read past it. */
static inline char *slurp(const char *path, size_t *len) {
  struct stat st;
  FILE *f = fopen(path, "rb");
  if (!f || fstat(fileno(f), &st)) {
    perror(path);
    exit(1);
  }
  *len = (size_t)st.st_size;
  char *data = malloc(*len ? *len : 1);
  if (!data || fread(data, 1, *len, f) != *len) abort();
  fclose(f);
  return data;
}

static inline void spill(const char *path, const void *data, size_t len) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, len, f) != len || fclose(f)) {
    perror(path);
    exit(1);
  }
}

static inline sl_key *load(const char *path, const char *pass, sl_err *err) {
  size_t len;
  char *text = slurp(path, &len);
  memset(err, 0, sizeof *err);
  sl_key *key = sl_key_parse(text, len, pass, pass ? strlen(pass) : 0, err);
  free(text);
  return key;
}

static inline sl_key *must_load(const char *path, const char *pass) {
  sl_err err;
  sl_key *key = load(path, pass, &err);
  if (key) return key;
  printf("# %s: %s\n", path, err.message);
  exit(1);
}

static inline bool fails_with(const char *path, const char *pass, const char *name) {
  sl_err err;
  sl_key *key = load(path, pass, &err);
  bool ok = !key && err.name && strcmp(err.name, name) == 0 && !strstr(err.message, PASSPHRASE);
  if (!ok) printf("# %s: got %s: %s\n", path, key ? "a key" : err.name, err.message);
  sl_key_unref(key);
  return ok;
}

static inline bool blob_is_of(const sl_key *key, const char *pub_path) {
  sl_public_key pub;
  sl_err err;
  size_t len, blob_len;
  char *text = slurp(pub_path, &len);
  const unsigned char *blob = sl_key_blob(key, &blob_len);
  bool ok = sl_public_key_parse(text, len, &pub, &err) == 0 &&
            strcmp(pub.type, sl_key_type(key)) == 0 && pub.blob_len == blob_len &&
            memcmp(pub.blob, blob, blob_len) == 0;
  free(text);
  sl_public_key_clear(&pub);
  return ok;
}

/* "-----BEGIN label-----", base64 of data, END; as a malloc'ed string. */
static inline char *armoured(const char *label, const void *data, size_t len) {
  size_t room = len * 2 + 256, n = 0;
  char *text = malloc(room);
  if (!text) abort();
  n += (size_t)snprintf(text, room, "-----BEGIN %s-----\n", label);
  for (size_t i = 0; i < len; i += 48) {
    size_t piece = len - i < 48 ? len - i : 48;
    n += (size_t)EVP_EncodeBlock((unsigned char *)text + n, (const unsigned char *)data + i,
                                 (int)piece);
    text[n++] = '\n';
  }
  snprintf(text + n, room - n, "-----END %s-----\n", label);
  return text;
}

/* The bytes inside armoured text, or NULL when it is not base64 that was armoured. */
static inline unsigned char *unarmoured_text(const char *text, size_t text_len, size_t *len) {
  unsigned char *data = malloc(SL_BASE64_ROOM(text_len));
  const char *start = memchr(text, '\n', text_len);
  size_t n = 0;
  while (start && start + 1 + n < text + text_len && start[1 + n] != '-') n++;
  if (data && start && sl_base64_decode(start + 1, n, data, len)) return data;
  free(data);
  return NULL;
}

static inline unsigned char *unarmoured(const char *path, size_t *len) {
  size_t text_len;
  char *text = slurp(path, &text_len);
  unsigned char *data = unarmoured_text(text, text_len, len);
  if (!data) abort();
  free(text);
  return data;
}

typedef int (*fixture_signer)(void *ctx, const char *alg, const unsigned char *data, size_t len,
                              unsigned char **sig, size_t *sig_len, sl_err *err);

/* A signature over OpenSSH's file signature format (PROTOCOL.sshsig), judged by ssh-keygen. */
static inline bool ssh_keygen_judges(const unsigned char *blob, size_t blob_len, const char *alg,
                                     const char *sig_alg, fixture_signer sign, void *ctx) {
  static const char message[] = "a message\n", ns[] = "test", hash[] = "sha512";
  unsigned char digest[64], tbs[256], *sig, *p = tbs;
  size_t sig_len, alg_len = strlen(sig_alg);
  sl_err err;
  EVP_Digest(message, sizeof message - 1, digest, NULL, EVP_sha512(), NULL);
  p = sl_put_bytes(p, "SSHSIG", 6);
  p = sl_put_string(p, ns, 4);
  p = sl_put_string(p, "", 0);
  p = sl_put_string(p, hash, 6);
  p = sl_put_string(p, digest, sizeof digest);
  if (sign(ctx, alg, tbs, (size_t)(p - tbs), &sig, &sig_len, &err)) {
    printf("# %s: %s\n", alg, err.message);
    return false;
  }
  unsigned char *file = malloc(128 + blob_len + alg_len + sig_len);
  if (!file) abort();
  p = sl_put_u32(sl_put_bytes(file, "SSHSIG", 6), 1);
  p = sl_put_string(p, blob, blob_len);
  p = sl_put_string(p, ns, 4);
  p = sl_put_string(p, "", 0);
  p = sl_put_string(p, hash, 6);
  p = sl_put_u32(p, (uint32_t)(8 + alg_len + sig_len));
  p = sl_put_string(sl_put_string(p, sig_alg, alg_len), sig, sig_len);
  char *text = armoured("SSH SIGNATURE", file, (size_t)(p - file));
  spill("message.sig", text, strlen(text));
  spill("message", message, sizeof message - 1);
  free(text);
  free(file);
  free(sig);
  return sh_works("ssh-keygen -Y check-novalidate -n test -s message.sig <message");
}

#endif
