/* Adding keys to an agent: a real ssh-agent takes and lists them, a locked one refuses, and replies
   of a stranger are refused unless they are the one byte that means yes. */
#include "agent_fixture.h"

static unsigned char *request_of(const sl_key *key, const char *comment, size_t comment_len,
                                 uint32_t seconds, bool confirm, size_t *len) {
  *len = sl_key_agent_add(key, comment, comment_len, seconds, confirm, NULL, 0);
  unsigned char *out = malloc(*len);
  if (!out || sl_key_agent_add(key, comment, comment_len, seconds, confirm, out, *len) != *len)
    abort();
  return out;
}

/* 0, or -1 with what the agent's answer means. */
static int add(const sl_key *key, const char *comment, size_t comment_len, uint32_t seconds,
               sl_err *err) {
  size_t len;
  sl_agent_frame reply = {0};
  unsigned char *request = request_of(key, comment, comment_len, seconds, false, &len);
  agent_talk(request, len, &reply);
  int rc = sl_agent_decode_added(reply.payload, reply.len, err);
  sl_agent_frame_reset(&reply);
  return rc;
}

static bool lists(const sl_key *key, const char *comment, size_t comment_len) {
  unsigned char *request;
  size_t len, blob_len;
  const unsigned char *blob = sl_key_blob(key, &blob_len);
  sl_agent_frame reply = {0};
  sl_agent_identities ids;
  sl_err err;
  bool found = false;
  sl_agent_encode_list(&request, &len, &err);
  agent_talk(request, len, &reply);
  if (sl_agent_decode_identities(reply.payload, reply.len, &ids, &err)) abort();
  sl_agent_frame_reset(&reply);
  for (size_t i = 0; i < ids.count; i++) {
    const sl_agent_identity *id = &ids.list[i];
    found =
        found || (id->blob_len == blob_len && memcmp(id->blob, blob, blob_len) == 0 &&
                  id->comment_len == comment_len && memcmp(id->comment, comment, comment_len) == 0);
  }
  sl_agent_identities_clear(&ids);
  return found;
}

static const char *const kinds[] = {"ed25519", "rsa", "p256", "p384", "p521"};

static void make_keys(void) {
  sh("ssh-keygen -q -t ed25519 -N '' -f ed25519 && ssh-keygen -q -t rsa -b 2048 -N '' -f rsa");
  sh("for n in 256 384 521; do ssh-keygen -q -t ecdsa -b $n -N '' -f p$n; done");
}

static void test_added(void) {
  sl_err err;
  check_case("an agent takes keys of each kind, signs with them, and keeps a comment of any bytes");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    sl_key *key = must_load(kinds[i], NULL);
    CHECK(add(key, "a comment", 9, 0, &err) == 0);
    CHECK(lists(key, "a comment", 9));
    CHECK(sh_works("ssh-add -T %s.pub", kinds[i]));
    CHECK(add(key, "", 0, 3600, &err) == 0);
    CHECK(lists(key, "", 0)); /* once more: in the first one's place */
    CHECK(add(key, "a\nb\x1b\xff", 5, 0, &err) == 0);
    CHECK(lists(key, "a\nb\x1b\xff", 5));
    sl_key_unref(key);
  }
  char *big = calloc(1, 100000);
  memset(big, 'c', 100000);
  sl_key *key = must_load("ed25519", NULL);
  CHECK(add(key, big, 100000, 0, &err) == 0 && lists(key, big, 100000));
  sl_key_unref(key);
  free(big);
}

static void test_layout(void) {
  size_t len;
  sl_key *key = must_load("ed25519", NULL);
  check_case("a request has its constraints at the end, and is never cut to fit");
  unsigned char *frame = request_of(key, "c", 1, 0, false, &len);
  CHECK(frame[4] == 17 && frame[len - 1] == 'c' && memcmp(frame, "\0\0\0", 3) == 0 &&
        frame[3] == len - 4);
  free(frame);
  frame = request_of(key, "c", 1, 258, true, &len);
  CHECK(frame[4] == 25 && memcmp(frame + len - 7, "c\1\0\0\1\2\2", 7) == 0);
  free(frame);
  frame = request_of(key, "c", 1, 0, true, &len);
  CHECK(frame[4] == 25 && memcmp(frame + len - 2, "c\2", 2) == 0);
  free(frame);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    sl_key *other = must_load(kinds[i], NULL);
    len = sl_key_agent_add(other, "c", 1, 1, true, NULL, 0);
    for (size_t room = 0; room < len; room++) {
      unsigned char *small = malloc(room ? room : 1); /* as large as that, for the sanitizer */
      CHECK(sl_key_agent_add(other, "c", 1, 1, true, small, room) == 0);
      free(small);
    }
    sl_key_unref(other);
  }
  sl_key_unref(key);
}

static int decode(const unsigned char *data, size_t len, sl_err *err) {
  unsigned char *copy = malloc(len ? len : 1);
  if (len) memcpy(copy, data, len);
  *err = (sl_err){0};
  int rc = sl_agent_decode_added(copy, len, err);
  free(copy);
  return rc;
}

static void test_replies(void) {
  static const unsigned char refusals[] = {5, 28, 30, 102};
  unsigned char reply[64] = {0};
  sl_err err;
  check_case("one byte means yes, four mean no, and everything else is nonsense");
  CHECK(decode(reply, 0, &err) == -1);
  CHECK_STR(err.name, "AGENT_PROTOCOL");
  for (int type = 0; type < 256; type++) {
    bool is_refusal = memchr(refusals, type, sizeof refusals) != NULL;
    reply[0] = (unsigned char)type;
    CHECK(decode(reply, 1, &err) == (type == 6 ? 0 : -1));
    if (type != 6) CHECK_STR(err.name, is_refusal ? "AGENT_REFUSED" : "AGENT_PROTOCOL");
  }
  reply[0] = 6;
  for (size_t len = 2; len <= sizeof reply; len++) {
    CHECK(decode(reply, len, &err) == -1);
    CHECK_STR(err.name, "AGENT_PROTOCOL");
  }
}

static void test_locked(void) {
  sl_err err;
  sl_key *key = must_load("ed25519", NULL);
  check_case("a locked agent refuses, and takes keys again when it is unlocked");
  sh("printf '#!/bin/sh\necho pw\n' >ask && chmod +x ask");
  sh("ssh-add -D && SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -x");
  CHECK(add(key, "x", 1, 0, &err) == -1);
  CHECK_STR(err.name, "AGENT_REFUSED");
  sh("SSH_ASKPASS=./ask SSH_ASKPASS_REQUIRE=force ssh-add -X");
  CHECK(!lists(key, "x", 1));
  CHECK(add(key, "x", 1, 0, &err) == 0 && lists(key, "x", 1));
  sl_key_unref(key);
}

int main(void) {
  fixture_begin();
  agent_start();
  make_keys();
  test_added();
  test_layout();
  test_replies();
  test_locked();
  return check_done();
}
