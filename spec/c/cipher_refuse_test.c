/* What the whole-packet ciphers must refuse: forged packets and lengths, sizes no packet has,
   states of other ciphers, ciphers that do not go together. */
#include "check.h"

#ifndef SL_FAST_CIPHERS

int main(void) {
  check_skip("whole-packet ciphers", "built without SL_FAST_CIPHERS");
  return check_done();
}

#else

#include "cipher_help.h"

/* How many of the packets with one wrong bit between `from` and `to` are taken. */
static int forged_taken(const cipher *c, const unsigned char *sealed, size_t len, size_t from,
                        size_t to) {
  int taken = 0;
  for (size_t bit = from * 8; bit < to * 8; bit++) {
    unsigned char *p = packet_copy(sealed, len);
    void *in = start(NULL, c, 0);
    p[bit / 8] ^= (unsigned char)(1 << bit % 8);
    taken += open_whole(c, &in, 9, p, len) >= 0;
    stop(c, &in);
    free(p);
  }
  return taken;
}

static void test_forged(void) {
  enum { LEN = 80 };
  check_case("no single wrong bit is taken: in the length, in the packet, in the tag");
  for (int i = 0; i < COUNT; i++) {
    const cipher *c = ours(i);
    unsigned char *sealed = packet_new(LEN, 1);
    void *out = start(NULL, c, 1);
    seal(c, &out, 9, sealed, LEN);
    CHECK(forged_taken(c, sealed, LEN, 0, HEAD) == 0);
    CHECK(forged_taken(c, sealed, LEN, HEAD, HEAD + LEN) == 0);
    CHECK(forged_taken(c, sealed, LEN, HEAD + LEN, HEAD + LEN + TAG) == 0);
    stop(c, &out);
    free(sealed);
  }
}

static void test_wrong_place(void) {
  enum { LEN = 64 };
  check_case("a packet repeated, skipped or cut short is refused, and then the good one too");
  for (int i = 0; i < COUNT; i++) {
    const cipher *c = ours(i);
    unsigned char *first = packet_new(LEN, 1), *second = packet_new(LEN, 2), *p;
    void *out = start(NULL, c, 1), *in;
    unsigned int got = 1;
    seal(c, &out, 9, first, LEN);
    seal(c, &out, 10, second, LEN);

    in = start(NULL, c, 0);
    p = packet_copy(first, LEN);
    CHECK(open_whole(c, &in, 9, p, LEN) == 0);
    memcpy(p, first, HEAD + LEN + TAG);
    CHECK(open_whole(c, &in, 10, p, LEN) == LIBSSH2_ERROR_DECRYPT);
    stop(c, &in);
    in = start(NULL, c, 0);
    memcpy(p, second, HEAD + LEN + TAG);
    CHECK(open_whole(c, &in, 9, p, LEN) == LIBSSH2_ERROR_DECRYPT);
    stop(c, &in);
    in = start(NULL, c, 0);
    memcpy(p, first, HEAD + LEN + TAG);
    CHECK(open_whole(c, &in, 9, p, LEN - 16) == LIBSSH2_ERROR_DECRYPT);

    memcpy(p, first, HEAD + LEN + TAG);
    CHECK(open_whole(c, &in, 9, p, LEN) == LIBSSH2_ERROR_DECRYPT);
    memcpy(p, first, HEAD + LEN + TAG);
    CHECK(c->get_len(NULL, 9, p, HEAD + LEN + TAG, &got, &in) == 0 && got == 0);
    stop(c, &in);
    stop(c, &out);
    free(first);
    free(second);
    free(p);
  }
}

/* What is made of a length field that says `len`, sealed as the cipher does: 0 is the refusal, as
   transport.c must not see get_len() fail. */
static unsigned int length_read(const cipher *c, uint32_t len) {
  unsigned char *p = packet_new(16, 0);
  unsigned int got = 1;
  void *out = start(NULL, c, 1), *in = start(NULL, c, 0);
  _libssh2_htonu32(p, len);
  seal(c, &out, 1, p, 16);
  CHECK(c->get_len(NULL, 1, p, HEAD + 16 + TAG, &got, &in) == 0);
  stop(c, &out);
  stop(c, &in);
  free(p);
  return got;
}

static void test_lengths(void) {
  check_case("a length is taken if it is whole blocks and fits libssh2's buffer");
  for (int i = 0; i < COUNT; i++) {
    const cipher *c = ours(i);
    uint32_t block = (uint32_t)c->blocksize, most = BODY_MAX / block * block;
    unsigned char few[3] = {0xff, 0xff, 0xff};
    unsigned int got = 1;
    void *in = start(NULL, c, 0);
    CHECK(length_read(c, block) == block);
    CHECK(length_read(c, 2 * block) == 2 * block);
    CHECK(length_read(c, most) == most);
    CHECK(length_read(c, block - 1) == 0);
    CHECK(length_read(c, block + 1) == 0);
    CHECK(length_read(c, most + block) == 0);
    CHECK(length_read(c, 0x80000000u) == 0);
    CHECK(length_read(c, 0xfffffff0u) == 0);
    CHECK(length_read(c, 0) == 0);
    CHECK(c->get_len(NULL, 0, few, sizeof few, &got, &in) == 0 && got == 0);
    stop(c, &in);
  }
}

static void test_sizes_refused(void) {
  static const size_t bad_out[] = {0, 3, 4, HEAD + BODY_MAX + 1, SIZE_MAX};
  static const size_t bad_in[] = {0, BODY_MAX + 1, (size_t)INT32_MAX + 1, SIZE_MAX};
  check_case("sizes that no packet has are refused before a byte is touched");
  for (int i = 0; i < COUNT; i++) {
    unsigned char one[1];
    for (size_t k = 0; k < sizeof bad_out / sizeof *bad_out; k++) {
      void *out = start(NULL, ours(i), 1);
      CHECK(ours(i)->crypt(NULL, 0, one, bad_out[k], &out, 0) == LIBSSH2_ERROR_ENCRYPT);
      stop(ours(i), &out);
    }
    for (size_t k = 0; k < sizeof bad_in / sizeof *bad_in; k++) {
      void *in = start(NULL, ours(i), 0);
      CHECK(ours(i)->crypt(NULL, 0, one, bad_in[k], &in, 0) == LIBSSH2_ERROR_DECRYPT);
      stop(ours(i), &in);
    }
  }
}

static void test_foreign_state(void) {
  const cipher *ctr = find(libssh2_crypt_methods(), "aes256-ctr");
  LIBSSH2_SESSION *session = libssh2_session_init();
  unsigned char *p = packet_new(64, 0);
  unsigned int len;
  unsigned char wide_iv[16] = {0}, secret[32] = {0};
  int ignored;
  check_case("no state, or the state of libssh2's own cipher, is refused and left alone");
  for (int i = 0; i < COUNT; i++) {
    void *none = NULL, *foreign = NULL, *kept;
    CHECK(ours(i)->get_len(NULL, 0, p, 64, &len, &none) == 0 && len == 0);
    CHECK(ours(i)->crypt(NULL, 0, p, 64, &none, 0) < 0);
    CHECK(ours(i)->dtor(NULL, &none) == 0);
    CHECK(ours(i)->dtor(NULL, NULL) == 0);
    ctr->init(session, ctr, wide_iv, &ignored, secret, &ignored, 0, &foreign);
    kept = foreign;
    CHECK(ours(i)->get_len(NULL, 0, p, 64, &len, &foreign) == 0 && len == 0);
    CHECK(ours(i)->crypt(NULL, 0, p, 64, &foreign, 0) < 0);
    CHECK(ours(i)->dtor(NULL, &foreign) == 0 && foreign == NULL);
    ctr->dtor(session, &kept);
  }
  free(p);
  libssh2_session_free(session);
}

static int init_in_session(LIBSSH2_SESSION *session, const cipher *out, const cipher *in,
                           int encrypt) {
  const cipher *c = encrypt ? out : in;
  void **slot = encrypt ? &session->local.crypt_abstract : &session->remote.crypt_abstract;
  int ignored, rc;
  session->local.crypt = out;
  session->remote.crypt = in;
  rc = c->init(session, c, iv, &ignored, key, &ignored, encrypt, slot);
  c->dtor(session, slot);
  session->local.crypt = session->remote.crypt = NULL;
  return rc;
}

static void test_in_session(void) {
  const cipher *ctr = find(libssh2_crypt_methods(), "aes256-ctr");
  LIBSSH2_SESSION *session = libssh2_session_init();
  check_case("once chosen, a cipher is the only one a rekey can agree on");
  CHECK(init_in_session(session, ours(0), ours(2), 1) == 0);
  CHECK_STR(session->local.crypt_prefs, names[0]);
  CHECK(session->remote.crypt_prefs == NULL);
  CHECK(init_in_session(session, ours(0), ours(2), 0) == 0);
  CHECK_STR(session->remote.crypt_prefs, names[2]);
  CHECK_STR(session->local.mac->name, "<implicit>");
  CHECK_STR(session->remote.mac->name, "<implicit>");

  check_case("ours in one direction and libssh2's own in the other is refused");
  CHECK(init_in_session(session, ours(0), ctr, 1) < 0);
  CHECK(init_in_session(session, ctr, ours(0), 0) < 0);
  libssh2_session_free(session);
}

/* As transport.c leaves it when the whole packet is there: a buffer that only it knows. */
static void test_buffer_freed(void) {
  LIBSSH2_SESSION *session = libssh2_session_init();
  unsigned char *p = packet_new(64, 0);
  int ignored;
  check_case("a refused packet takes libssh2's buffer for it along, and no other");
  for (int i = 0; i < COUNT; i++) {
    void **in = &session->remote.crypt_abstract, **out = &session->local.crypt_abstract;
    session->local.crypt = session->remote.crypt = ours(i);
    CHECK(ours(i)->init(session, ours(i), iv, &ignored, key, &ignored, 0, in) == 0);
    CHECK(ours(i)->init(session, ours(i), iv, &ignored, key, &ignored, 1, out) == 0);
    session->packet.payload = malloc(HEAD + 64 + TAG);
    CHECK(ours(i)->crypt(session, 0, p, 0, out, 0) == LIBSSH2_ERROR_ENCRYPT);
    CHECK(session->packet.payload != NULL);
    CHECK(ours(i)->crypt(session, 0, p, 64, in, 0) == LIBSSH2_ERROR_DECRYPT);
    CHECK(session->packet.payload == NULL);
    ours(i)->dtor(session, in);
    ours(i)->dtor(session, out);
  }
  session->local.crypt = session->remote.crypt = NULL;
  free(p);
  libssh2_session_free(session);
}

int main(void) {
  keys_fill();
  if (libssh2_init(0)) return 1;
  test_forged();
  test_wrong_place();
  test_lengths();
  test_sizes_refused();
  test_foreign_state();
  test_in_session();
  test_buffer_freed();
  libssh2_exit();
  return check_done();
}

#endif
