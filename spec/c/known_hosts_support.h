/* What the known_hosts tests share: well-formed keys made from a number, and a set made from text.
 */
#ifndef SL_KNOWN_HOSTS_SUPPORT_H
#define SL_KNOWN_HOSTS_SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "ssh/known_hosts.h"

typedef struct test_key {
  const char *type;
  unsigned char blob[1024];
  size_t len;
  char text[1600]; /* type and base64, as in a line */
} test_key;

static inline void key_string(test_key *k, const void *bytes, size_t len) {
  unsigned char head[4] = {0, 0, (unsigned char)(len >> 8), (unsigned char)len};
  memcpy(k->blob + k->len, head, 4);
  memcpy(k->blob + k->len + 4, bytes, len);
  k->len += 4 + len;
}

static inline void key_done(test_key *k) {
  int n = snprintf(k->text, sizeof k->text, "%s ", k->type);
  sl_kh_base64_encode(k->text + n, k->blob, k->len);
}

static inline test_key key_begin(const char *type) {
  test_key k = {.type = type};
  key_string(&k, type, strlen(type));
  return k;
}

static inline test_key ed25519_key(int number) {
  test_key k = key_begin("ssh-ed25519");
  unsigned char point[32];
  memset(point, number, sizeof point);
  key_string(&k, point, sizeof point);
  key_done(&k);
  return k;
}

static inline test_key ecdsa_key(int number) {
  test_key k = key_begin("ecdsa-sha2-nistp256");
  unsigned char point[65];
  memset(point, number, sizeof point);
  point[0] = 4;
  key_string(&k, "nistp256", 8);
  key_string(&k, point, sizeof point);
  key_done(&k);
  return k;
}

/* `zeros` more leading zeros than the number needs: another encoding of the same key. */
static inline test_key rsa_key(int number, size_t zeros) {
  test_key k = key_begin("ssh-rsa");
  unsigned char modulus[160] = {0};
  memset(modulus + 1 + zeros, number | 0x80, 128);
  key_string(&k, "\1\0\1", 3);
  key_string(&k, modulus, 129 + zeros);
  key_done(&k);
  return k;
}

static inline sl_known_hosts *set_of(const char *text) {
  sl_err err;
  sl_known_hosts *set = sl_known_hosts_new();
  CHECK(set && sl_known_hosts_add_text(set, text, strlen(text), "known_hosts", &err) == 0);
  return set;
}

static inline const char *verdict_word(sl_kh_verdict v) {
  static const char *const words[] = {"error", "unknown", "changed", "revoked", "match"};
  return words[v];
}

/* "match:2" is a verdict and the line it rests on; good until the next call but three. */
static inline const char *ask(sl_known_hosts *set, const char *name, unsigned port,
                              const test_key *k) {
  static char answers[4][64];
  static int turn;
  char *out = answers[turn++ % 4];
  sl_err err;
  sl_kh_line line = {0};
  sl_kh_verdict v = sl_known_hosts_check(set, name, port, k->blob, k->len, &line, &err);
  if (line.line)
    snprintf(out, 64, "%s:%u", verdict_word(v), line.line);
  else
    snprintf(out, 64, "%s", verdict_word(v));
  return out;
}

/* As above for a text of one use. */
static inline const char *ask_text(const char *text, const char *name, unsigned port,
                                   const test_key *k) {
  sl_known_hosts *set = set_of(text);
  const char *answer = ask(set, name, port, k);
  sl_known_hosts_free(set);
  return answer;
}

/* The first warning as "line: message", "" if there is none. */
static inline const char *complaint(const char *text, size_t len) {
  static char out[200];
  sl_err err;
  sl_known_hosts *set = sl_known_hosts_new();
  out[0] = '\0';
  if (set && sl_known_hosts_add_text(set, text, len, "known_hosts", &err) == 0 &&
      sl_known_hosts_warnings(set) > 0) {
    sl_kh_warning w = sl_known_hosts_warning(set, 0);
    snprintf(out, sizeof out, "%u: %s", w.line, w.message);
  }
  sl_known_hosts_free(set);
  return out;
}

#endif
