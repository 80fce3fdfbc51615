/* The whole-packet ciphers, called as libssh2 calls them: known answers, round trips, agreement
   with libssh2's own ciphers, key files, keys wiped. What they refuse: cipher_refuse_test.c. */
#include "engine/cipher.h"
#include "check.h"

#ifndef SL_FAST_CIPHERS

int main(void) {
  sl_err e;
  check_case("without them, status says so and the self-test succeeds");
  CHECK_STR(sl_cipher_status(), "libssh2's own");
  CHECK(sl_cipher_self_test(&e) == 0);
  check_skip("whole-packet ciphers", "built without SL_FAST_CIPHERS");
  return check_done();
}

#else

#include "cipher_help.h"
#include <openssl/crypto.h>
#include <stddef.h>

static void test_table(void) {
  const cipher **table = libssh2_crypt_methods();
  const char **algs = NULL;
  LIBSSH2_SESSION *session = libssh2_session_init();
  int n;
  check_case("the table has ours first and the rest of libssh2's behind, each name once");
  for (int i = 0; i < COUNT; i++) {
    CHECK_STR(table[i]->name, names[i]);
    CHECK(table[i] != theirs(i));
  }
  for (const cipher **real = __real_libssh2_crypt_methods(); *real; real++) {
    int seen = 0;
    for (const cipher **c = table; *c; c++) seen += strcmp((*c)->name, (*real)->name) == 0;
    CHECK(seen == 1);
  }
  CHECK(find(table, "aes256-ctr") == find(__real_libssh2_crypt_methods(), "aes256-ctr"));

  check_case("libssh2's key exchange takes the table from us");
  n = libssh2_session_supported_algs(session, LIBSSH2_METHOD_CRYPT_CS, &algs);
  CHECK(n > COUNT);
  for (int i = 0; i < COUNT && i < n; i++) CHECK_STR(algs[i], names[i]);
  libssh2_free(session, (void *)algs);
  libssh2_session_free(session);

  check_case("status names the three");
  CHECK_STR(sl_cipher_status(), "whole-packet aes128-gcm aes256-gcm chacha20-poly1305");
}

static void test_self_test(void) {
  sl_err e = {0};
  check_case("the start-up test passes");
  CHECK(sl_cipher_self_test(&e) == 0);
  CHECK_STR(e.message, "");
}

/* Sixteen bytes, sequence number 7; from the same plain Python reference as cipher_check.c's. */
static void test_known_answers(void) {
  static const unsigned char want[COUNT][HEAD + 16 + TAG] = {
      "\x00\x00\x00\x10\x83\x4f\xe6\x6e\xbe\x69\xc6\xc7\x87\x1f\xe9\xa0\x5e\x28\xd5\x05"
      "\x0d\x1f\x6f\x9d\xea\x25\xad\x93\xd1\x5b\x21\x45\x02\xd5\xb0\x91",
      "\x00\x00\x00\x10\x7f\xf5\xbb\xc9\x58\x00\x6a\xc6\x5f\xf8\xa3\xcb\x47\xb5\x47\x59"
      "\xf5\x00\x83\xeb\x83\xee\xb2\x3e\x6b\x06\x57\x68\x99\xd8\x75\x23",
      "\x37\xed\x40\xbb\x71\x46\x2f\x09\xeb\xd1\x81\xb9\x76\x41\xf8\x38\xf7\x37\x47\x80"
      "\x95\x0a\x9d\xf4\xe5\x51\x6d\x0a\x77\xd8\x3e\x4f\x97\xbf\x16\xea"};
  check_case("a packet is sealed to the known bytes");
  for (int i = 0; i < COUNT; i++) {
    unsigned char *p = packet_new(16, 0);
    void *out = start(NULL, ours(i), 1);
    CHECK(seal(ours(i), &out, 7, p, 16) == 0);
    CHECK(memcmp(p, want[i], sizeof want[i]) == 0);
    stop(ours(i), &out);
    free(p);
  }
}

static void round_trip(const cipher *c, void **out, void **in, uint32_t seqno, size_t len) {
  unsigned char *p = packet_new(len, seqno);
  unsigned int got = 0;
  bool whole_blocks = len % (size_t)c->blocksize == 0;
  CHECK(seal(c, out, seqno, p, len) == 0);
  if (whole_blocks) {
    CHECK(c->get_len(NULL, seqno, p, HEAD + len + TAG, &got, in) == 0);
    CHECK(got == len);
  }
  CHECK(open_whole(c, in, seqno, p, len) == 0);
  CHECK(opened_right(p, len, seqno));
  free(p);
}

static void test_round_trips(void) {
  check_case("packets of every kind of size come back, from one byte to the largest");
  for (int i = 0; i < COUNT; i++) {
    void *out = start(NULL, ours(i), 1), *in = start(NULL, ours(i), 0);
    uint32_t seqno = 3;
    for (size_t len = 1; len < 700; len++) round_trip(ours(i), &out, &in, seqno++, len);
    for (size_t len = 700; len <= BODY_MAX; len += 143)
      round_trip(ours(i), &out, &in, seqno++, len);
    for (size_t len = BODY_MAX - 20; len <= BODY_MAX; len++)
      round_trip(ours(i), &out, &in, seqno++, len);
    stop(ours(i), &out);
    stop(ours(i), &in);
  }
}

/* The same packet twice: as a whole, and with its bulk apart. */
static bool same_from_apart(const cipher *c, size_t len, size_t lead, size_t bulk) {
  LIBSSH2_SESSION session = {0};
  void *out = start(NULL, c, 1);
  session.local.crypt_abstract = start(NULL, c, 1);
  session.local.seqno = 5;
  unsigned char *whole = packet_new(len, 3), *around = packet_copy(whole, len), *from = malloc(bulk + 1);
  if (!from) abort();
  memcpy(from, whole + HEAD + lead, bulk);
  memset(around + HEAD + lead, 0xcc, bulk);
  bool ok = seal(c, &out, 5, whole, len) >= 0 && sl_cipher_seal_from(&session, around, len, lead, from, bulk) &&
            memcmp(whole, around, HEAD + len + TAG) == 0;
  stop(c, &out);
  stop(c, &session.local.crypt_abstract);
  free(whole);
  free(around);
  free(from);
  return ok;
}

static void test_apart(void) {
  check_case("a packet whose bulk lies elsewhere is sealed to the same bytes");
  for (int i = 0; i < COUNT; i++) {
    CHECK(same_from_apart(ours(i), 32, 16, 0));
    CHECK(same_from_apart(ours(i), 32, 16, 16));
    CHECK(same_from_apart(ours(i), 48, 16, 16));
    CHECK(same_from_apart(ours(i), 32016, 16, 31984));
    CHECK(same_from_apart(ours(i), 32768, 48, 32704));
  }
}

static void test_sequence_wrap(void) {
  check_case("sequence numbers wrap at 2^32");
  for (int i = 0; i < COUNT; i++) {
    void *out = start(NULL, ours(i), 1), *in = start(NULL, ours(i), 0);
    for (uint32_t k = 0; k < 8; k++) round_trip(ours(i), &out, &in, 0xfffffffcu + k, 64);
    stop(ours(i), &out);
    stop(ours(i), &in);
  }
}

static void test_nonce_once(void) {
  const cipher *c = ours(2);
  void *out = start(NULL, c, 1);
  unsigned char *p = packet_new(64, 0);
  check_case("ChaCha20 stops before a sequence number comes round again under one key");
  CHECK(seal(c, &out, 5, p, 64) == 0);
  CHECK(seal(c, &out, 6, p, 64) == 0);
  CHECK(seal(c, &out, 5, p, 64) < 0);
  CHECK(seal(c, &out, 7, p, 64) < 0);
  stop(c, &out);
  free(p);
}

/* libssh2's own AES-GCM goes block by block: transport.c's two loops. */
static int their_seal(const cipher *c, void **out, uint32_t seqno, unsigned char *p, size_t len) {
  size_t n = HEAD + len;
  if (is_chacha(c)) return c->crypt(NULL, seqno, p, n, out, 0);
  for (size_t i = 0; i < n; i += 16) {
    if (c->crypt(NULL, 0, p + i, n - i < 16 ? n - i : 16, out, i ? MIDDLE_BLOCK : FIRST_BLOCK))
      return -1;
  }
  return c->crypt(NULL, 0, p + n, TAG, out, LAST_BLOCK) ? -1 : 0;
}

static int their_open(const cipher *c, void **in, uint32_t seqno, unsigned char *p, size_t len) {
  size_t at = 16, n = HEAD + len + TAG;
  if (is_chacha(c)) return c->crypt(NULL, seqno, p, len, in, 0);
  if (c->crypt(NULL, 0, p, 16, in, FIRST_BLOCK)) return -1;
  for (; n - at >= 32; at += 16) {
    if (c->crypt(NULL, 0, p + at, 16, in, MIDDLE_BLOCK)) return -1;
  }
  if (c->crypt(NULL, 0, p + at, n - at, in, LAST_BLOCK)) return -1;
  memmove(p, p + HEAD, len);
  return 0;
}

/* Both ways with libssh2's own cipher, several packets on one state; cipher texts must be equal. */
static void agree(int i, uint32_t seqno, const size_t *lens, size_t count) {
  void *out = start(NULL, ours(i), 1), *in = start(NULL, ours(i), 0);
  LIBSSH2_SESSION *session = libssh2_session_init();
  void *their_out = start(session, theirs(i), 1), *their_in = start(session, theirs(i), 0);
  for (size_t k = 0; k < count; k++, seqno++) {
    unsigned char *a = packet_new(lens[k], seqno), *b = packet_new(lens[k], seqno);
    CHECK(seal(ours(i), &out, seqno, a, lens[k]) == 0);
    CHECK(their_seal(theirs(i), &their_out, seqno, b, lens[k]) == 0);
    CHECK(memcmp(a, b, HEAD + lens[k] + TAG) == 0);
    CHECK(their_open(theirs(i), &their_in, seqno, a, lens[k]) == 0);
    /* libssh2's own ChaCha20 forgets to move the last four bytes, which are padding. */
    CHECK(opened_right(a, lens[k] - 4, seqno));
    CHECK(open_whole(ours(i), &in, seqno, b, lens[k]) == 0);
    CHECK(opened_right(b, lens[k], seqno));
    free(a);
    free(b);
  }
  stop(ours(i), &out);
  stop(ours(i), &in);
  theirs(i)->dtor(session, &their_out);
  theirs(i)->dtor(session, &their_in);
  libssh2_session_free(session);
}

static void test_agreement(void) {
  static const size_t lens[] = {16,  32,  48,   64,   80,   128,  144,   192,   256,   272,  288,
                                512, 768, 1024, 1040, 4096, 8192, 16384, 32768, 32784, 34976};
  check_case("libssh2's own ciphers make the same bytes, and each side reads the other's");
  for (int i = 0; i < COUNT; i++) agree(i, 0xfffffff0u, lens, sizeof lens / sizeof *lens);
}

static void test_iv_carry(void) {
  static const size_t lens[] = {16, 16, 16, 16};
  unsigned char saved[sizeof iv];
  memcpy(saved, iv, sizeof iv);
  check_case("the IV of AES-GCM carries through every byte and leaves the fixed four alone");
  for (int bytes = 0; bytes <= 8; bytes++) {
    memset(iv, 0x5a, sizeof iv);
    for (int k = 0; k < bytes; k++) iv[11 - k] = 0xff;
    if (bytes) iv[11] = 0xfe;
    agree(0, 0, lens, 4);
    agree(1, 0, lens, 4);
  }
  memcpy(iv, saved, sizeof iv);
}

/* The stream of a key file is that of the first packet, without its length field. */
static void test_key_file(void) {
  enum { LEN = 400 };
  LIBSSH2_SESSION *session = libssh2_session_init();
  check_case("the private part of a key file is decrypted in place, and nothing around it touched");
  for (int i = 0; i < COUNT; i++) {
    unsigned char *p = packet_new(LEN, 4), *data = malloc(LEN);
    void *out = start(NULL, ours(i), 1), *file = start(session, ours(i), 0);
    seal(ours(i), &out, 0, p, LEN);
    memcpy(data, p + HEAD, LEN);
    CHECK(ours(i)->crypt(session, 0, data, LEN, &file, MIDDLE_BLOCK) == 0);
    CHECK(opened_right(data, LEN, 4));
    stop(ours(i), &out);
    stop(ours(i), &file);
    free(data);
    free(p);
  }
  CHECK(session->local.crypt_prefs == NULL && session->remote.crypt_prefs == NULL);
  libssh2_session_free(session);
}

/* libcrypto's memory, watched: does a block that is given back still hold the start of our keys? */
typedef union block_head {
  size_t size;
  max_align_t align;
} block_head;
static int keys_seen;

static void *watch_malloc(size_t n, const char *file, int line) {
  block_head *h = calloc(1, sizeof *h + n); /* zeros: the whole block is read again at its end */
  (void)file;
  (void)line;
  if (!h) return NULL;
  h->size = n;
  return h + 1;
}

static void watch_free(void *p, const char *file, int line) {
  block_head *h;
  (void)file;
  (void)line;
  if (!p) return;
  h = (block_head *)p - 1;
  for (size_t i = 0; i + 16 <= h->size; i++) {
    const unsigned char *at = (const unsigned char *)p + i;
    if (key[1] && (memcmp(at, key, 16) == 0 || memcmp(at, key + 32, 16) == 0)) keys_seen++;
  }
  free(h);
}

static void *watch_realloc(void *p, size_t n, const char *file, int line) {
  void *q = n ? watch_malloc(n, file, line) : NULL;
  size_t old = p ? ((block_head *)p - 1)->size : 0;
  if (p && q) memcpy(q, p, old < n ? old : n);
  if (q || !n) watch_free(p, file, line);
  return q;
}

static void test_keys_wiped(bool watching) {
  unsigned char *leaky;
  if (!watching) {
    check_skip("keys are wiped", "libcrypto has memory functions of its own");
    return;
  }
  check_case("no key is left in memory that is given back");
  keys_seen = 0;
  for (int i = 0; i < COUNT; i++) {
    unsigned char *p = packet_new(64, 0);
    void *out = start(NULL, ours(i), 1), *in = start(NULL, ours(i), 0);
    seal(ours(i), &out, 0, p, 64);
    open_whole(ours(i), &in, 0, p, 64);
    stop(ours(i), &out);
    stop(ours(i), &in);
    free(p);
  }
  CHECK(keys_seen == 0);
  leaky = OPENSSL_malloc(64); /* the watch itself works */
  memcpy(leaky, key, sizeof key);
  OPENSSL_free(leaky);
  CHECK(keys_seen > 0);
}

int main(void) {
  bool watching = CRYPTO_set_mem_functions(watch_malloc, watch_realloc, watch_free);
  keys_fill();
  if (libssh2_init(0)) return 1;
  test_table();
  test_self_test();
  test_known_answers();
  test_round_trips();
  test_apart();
  test_sequence_wrap();
  test_nonce_once();
  test_agreement();
  test_iv_carry();
  test_key_file();
  test_keys_wiped(watching);
  libssh2_exit();
  return check_done();
}

#endif
