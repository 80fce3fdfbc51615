/* What the tests of the ciphers share: the two tables, keys, and packets in blocks of their exact
   size, so that the sanitizer sees a byte read or written too far. */
#ifndef SL_CIPHER_HELP_H
#define SL_CIPHER_HELP_H

#include "check.h"

#include <libssh2_priv.h>
#include <mac.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef LIBSSH2_CRYPT_METHOD cipher;
const cipher **__real_libssh2_crypt_methods(void);

enum { HEAD = 4, TAG = 16, BODY_MAX = 35000 - HEAD - TAG };
static const char *const names[] = {"aes128-gcm@openssh.com", "aes256-gcm@openssh.com",
                                    "chacha20-poly1305@openssh.com"};
enum { COUNT = sizeof names / sizeof *names };

static unsigned char key[64], iv[12];

static inline const cipher *find(const cipher **table, const char *name) {
  while (*table && strcmp((*table)->name, name) != 0) table++;
  return *table;
}
static inline const cipher *ours(int i) {
  return find(libssh2_crypt_methods(), names[i]);
}
static inline const cipher *theirs(int i) {
  return find(__real_libssh2_crypt_methods(), names[i]);
}
static inline bool is_chacha(const cipher *c) {
  return c->iv_len == 0;
}

static inline void *start(LIBSSH2_SESSION *session, const cipher *c, int encrypt) {
  void *abstract = NULL;
  int free_iv = 0, free_secret = 0;
  unsigned char k[sizeof key], v[sizeof iv];
  memcpy(k, key, sizeof k);
  memcpy(v, iv, sizeof v);
  if (!CHECK(c->init(session, c, v, &free_iv, k, &free_secret, encrypt, &abstract) == 0)) exit(1);
  CHECK(free_iv == 1 && free_secret == 1);
  memset(k, 0, sizeof k); /* as kex.c does */
  memset(v, 0, sizeof v);
  return abstract;
}

static inline void stop(const cipher *c, void **abstract) {
  c->dtor(NULL, abstract);
  CHECK(*abstract == NULL);
}

/* A packet of `len` bytes after its length field, with room for the tag; free it. */
static inline unsigned char *packet_new(size_t len, unsigned salt) {
  unsigned char *p = malloc(HEAD + len + TAG);
  if (!p) abort();
  _libssh2_htonu32(p, (uint32_t)len);
  for (size_t i = 0; i < len; i++) p[HEAD + i] = (unsigned char)(i * 11 + (i >> 8) + salt * 101);
  memset(p + HEAD + len, 0xee, TAG);
  return p;
}

static inline unsigned char *packet_copy(const unsigned char *p, size_t len) {
  unsigned char *copy = packet_new(len, 0);
  memcpy(copy, p, HEAD + len + TAG);
  return copy;
}

static inline int seal(const cipher *c, void **out, uint32_t seqno, unsigned char *p, size_t len) {
  return c->crypt(NULL, seqno, p, HEAD + len, out, 0);
}

static inline int open_whole(const cipher *c, void **in, uint32_t seqno, unsigned char *p,
                             size_t len) {
  return c->crypt(NULL, seqno, p, len, in, 0);
}

static inline bool opened_right(const unsigned char *p, size_t len, unsigned salt) {
  unsigned char *want = packet_new(len, salt);
  bool same = memcmp(p, want + HEAD, len) == 0;
  free(want);
  return same;
}

static inline void keys_fill(void) {
  for (size_t i = 0; i < sizeof key; i++) key[i] = (unsigned char)(i * 7 + 3);
  memcpy(iv, "\xa0\xa1\xa2\xa3\xff\xff\xff\xff\xff\xff\xff\xff", sizeof iv);
}

#endif
