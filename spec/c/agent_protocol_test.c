/* The agent's protocol: against a real ssh-agent, and against one that cuts, lies and floods. */
#include "agent_fixture.h"

#include "ssh/certificate.h"
#include "ssh/pubkey_type.h"

static void make_keys(void) {
  sh("ssh-keygen -q -t ed25519 -N '' -f ca && ssh-keygen -q -t ed25519 -N '' -C one -f ed25519");
  sh("ssh-keygen -q -t rsa -b 2048 -N '' -C two -f rsa");
  sh("ssh-keygen -q -t ecdsa -b 256 -N '' -C three -f p256");
  sh("ssh-keygen -q -t ecdsa -b 521 -N '' -C four -f p521");
  sh("ssh-keygen -q -s ca -I someone -n alice ed25519 rsa p256 p521");
  sh("ssh-add -q ed25519 rsa p256 p521");
}

static void list(sl_agent_identities *ids) {
  unsigned char *request;
  size_t len;
  sl_err err;
  sl_agent_frame reply = {0};
  sl_agent_encode_list(&request, &len, &err);
  agent_talk(request, len, &reply);
  if (sl_agent_decode_identities(reply.payload, reply.len, ids, &err)) abort();
  sl_agent_frame_reset(&reply);
}

static int sign_with_agent(void *ctx, const char *alg, const unsigned char *data, size_t len,
                           unsigned char **sig, size_t *sig_len, sl_err *err) {
  const sl_agent_identity *id = ctx;
  unsigned char *request;
  size_t request_len, alg_len = strlen(alg);
  sl_agent_frame reply = {0};
  if (sl_agent_encode_sign(id->blob, id->blob_len, data, len, alg, alg_len, &request, &request_len,
                           err))
    return -1;
  agent_talk(request, request_len, &reply);
  int rc = sl_agent_decode_signature(reply.payload, reply.len, alg, alg_len, sig, sig_len, err);
  sl_agent_frame_reset(&reply);
  return rc;
}

static bool signs(sl_agent_identity *id, const char *alg) {
  return ssh_keygen_judges(id->blob, id->blob_len, alg, sl_algorithm_plain(alg, strlen(alg)),
                           sign_with_agent, id);
}

static void test_empty_agent(void) {
  sl_agent_identities ids;
  check_case("an agent without keys lists none");
  list(&ids);
  CHECK(ids.count == 0 && ids.skipped == 0);
  sl_agent_identities_clear(&ids);
}

static void test_list(void) {
  static const char *const expected[][2] = {
      {"ssh-ed25519", "one"},
      {"ssh-ed25519-cert-v01@openssh.com", "one"},
      {"ssh-rsa", "two"},
      {"ssh-rsa-cert-v01@openssh.com", "two"},
      {"ecdsa-sha2-nistp256", "three"},
      {"ecdsa-sha2-nistp256-cert-v01@openssh.com", "three"},
      {"ecdsa-sha2-nistp521", "four"},
      {"ecdsa-sha2-nistp521-cert-v01@openssh.com", "four"},
  };
  sl_agent_identities ids;
  check_case("ssh-agent's keys and certificates are listed with type, blob and comment");
  list(&ids);
  CHECK(ids.count == 8);
  for (size_t i = 0; i < ids.count && i < 8; i++) {
    sl_agent_identity *id = &ids.list[i];
    CHECK_STR(id->type, expected[i][0]);
    CHECK(id->comment_len == strlen(expected[i][1]) &&
          memcmp(id->comment, expected[i][1], id->comment_len) == 0);
    if (i % 2 == 0) continue;
    CHECK(sl_certificate_matches_blob(id->blob, id->blob_len, id[-1].blob, id[-1].blob_len));
  }
  sl_agent_identities_clear(&ids);
  sl_agent_identities_clear(&ids);
}

static void test_find_by_file(void) {
  static const char *const files[] = {"ed25519", "rsa", "p256", "p521"};
  sl_agent_identities ids;
  check_case("a .pub file finds its key in the agent");
  list(&ids);
  for (size_t i = 0; i < 4; i++) {
    char path[32];
    size_t len, found = 0;
    sl_public_key pub;
    sl_err err;
    snprintf(path, sizeof path, "%s.pub", files[i]);
    char *text = slurp(path, &len);
    CHECK(sl_public_key_parse(text, len, &pub, &err) == 0);
    for (size_t k = 0; k < ids.count; k++)
      found += ids.list[k].blob_len == pub.blob_len &&
               memcmp(ids.list[k].blob, pub.blob, pub.blob_len) == 0;
    CHECK(found == 1);
    sl_public_key_clear(&pub);
    free(text);
  }
  sl_agent_identities_clear(&ids);
}

static void test_sign(void) {
  sl_agent_identities ids;
  check_case("ssh-agent's signatures are right with every key, certificate and RSA algorithm");
  list(&ids);
  for (size_t i = 0; i < ids.count; i++) {
    sl_agent_identity *id = &ids.list[i];
    if (strcmp(id->type, "ssh-rsa") == 0) {
      CHECK(signs(id, "rsa-sha2-256") && signs(id, "rsa-sha2-512"));
    } else if (strcmp(id->type, "ssh-rsa-cert-v01@openssh.com") == 0) {
      CHECK(signs(id, "rsa-sha2-256-cert-v01@openssh.com"));
      CHECK(signs(id, "rsa-sha2-512-cert-v01@openssh.com"));
    } else {
      CHECK(signs(id, id->type));
    }
  }
  sl_agent_identities_clear(&ids);
}

static void test_refusal(void) {
  sl_agent_identities ids;
  unsigned char *sig;
  size_t n;
  sl_err err;
  check_case(
      "a key that the agent no longer has is a refusal, and so is a signature of another kind");
  list(&ids);
  sh("ssh-add -q -d ed25519.pub");
  CHECK(
      sign_with_agent(&ids.list[0], "ssh-ed25519", (const unsigned char *)"x", 1, &sig, &n, &err));
  CHECK_STR(err.name, "AGENT_REFUSED");
  CHECK_STR(err.message, "the agent refused to sign with this key");
  CHECK(
      sign_with_agent(&ids.list[4], "rsa-sha2-512", (const unsigned char *)"x", 1, &sig, &n, &err));
  CHECK_STR(err.name, "AGENT_REFUSED");
  CHECK_STR(err.message, "the agent did not sign with rsa-sha2-512");
  sl_agent_identities_clear(&ids);
}

static void test_frames(void) {
  static const unsigned char two[] = {0, 0, 0, 3, 12, 1, 2, 0, 0, 0, 1, 5};
  sl_agent_frame frame = {0};
  size_t used;
  sl_err err;
  check_case("frames come in pieces, end where they end, and are bounded before memory is taken");
  for (size_t i = 0; i < 7; i++) {
    CHECK(sl_agent_frame_feed(&frame, two + i, 0, &used, &err) == 0 && used == 0);
    CHECK(sl_agent_frame_feed(&frame, two + i, 1, &used, &err) == (i == 6) && used == 1);
  }
  CHECK(frame.len == 3 && frame.payload[0] == 12);
  sl_agent_frame_reset(&frame);
  CHECK(sl_agent_frame_feed(&frame, two, sizeof two, &used, &err) == 1 && used == 7);
  sl_agent_frame_reset(&frame);
  CHECK(sl_agent_frame_feed(&frame, two + 7, 5, &used, &err) == 1 && frame.payload[0] == 5);
  sl_agent_frame_reset(&frame);
  static const unsigned char bad[][4] = {{0}, {0, 4, 0, 1}, {0xff, 0xff, 0xff, 0xff}, {0x80}};
  for (size_t i = 0; i < 4; i++) {
    CHECK(sl_agent_frame_feed(&frame, bad[i], 4, &used, &err) == -1 && !frame.payload);
    CHECK_STR(err.name, "AGENT_PROTOCOL");
    sl_agent_frame_reset(&frame);
  }
  CHECK(sl_agent_frame_feed(&frame, (const unsigned char *)"\0\4\0\0", 4, &used, &err) == 0);
  sl_agent_frame_reset(&frame);
}

static int decode(const unsigned char *data, size_t len, sl_agent_identities *ids, sl_err *err) {
  unsigned char *copy = malloc(len ? len : 1);
  memcpy(copy, data, len);
  int rc = sl_agent_decode_identities(copy, len, ids, err);
  free(copy);
  return rc;
}

static void test_lying_lists(void) {
  unsigned char reply[512], *p = reply, point[32] = {1};
  sl_agent_identities ids;
  sl_err err;
  check_case("a list that is cut, miscounted or absurd is refused; strange keys are left out");
  *p++ = 12;
  p = sl_put_u32(p, 3);
  p = sl_put_string(sl_put_string(sl_put_u32(p, 51), "ssh-ed25519", 11), point, 32);
  p = sl_put_string(p, "mine", 4);
  p = sl_put_string(sl_put_u32(p, 15), "ssh-new", 7);
  p = sl_put_string(sl_put_u32(p, 0), "", 0);
  p = sl_put_string(sl_put_string(p, "", 0), "no blob", 7);
  size_t len = (size_t)(p - reply);
  CHECK(decode(reply, len, &ids, &err) == 0 && ids.count == 1 && ids.skipped == 2);
  sl_agent_identities_clear(&ids);
  for (size_t n = 0; n < len; n++) {
    CHECK(decode(reply, n, &ids, &err) == -1 && !ids.list && !ids.bytes);
    CHECK_STR(err.name, "AGENT_PROTOCOL");
  }
  for (size_t n = 0; n + 4 <= len; n++) {
    unsigned char copy[512];
    memcpy(copy, reply, len);
    sl_put_u32(copy + n, n % 2 ? 0xffffffff : 0x7fffffff);
    if (decode(copy, len, &ids, &err) == 0) sl_agent_identities_clear(&ids);
  }
  sl_put_u32(reply + 1, 2049);
  CHECK(decode(reply, len, &ids, &err) == -1 && strstr(err.message, "2048"));
  sl_put_u32(reply + 1, 2048);
  CHECK(decode(reply, len, &ids, &err) == -1 && strstr(err.message, "cut short"));
  static const unsigned char failures[] = {5, 28, 30, 102};
  for (size_t i = 0; i < 4; i++) {
    CHECK(decode(&failures[i], 1, &ids, &err) == -1);
    CHECK_STR(err.name, "AGENT_REFUSED");
  }
  CHECK(decode((const unsigned char *)"\16", 1, &ids, &err) == -1);
  CHECK_STR(err.name, "AGENT_PROTOCOL");
}

static size_t signature_reply(unsigned char *out, const char *alg, const void *rest,
                              size_t rest_len) {
  *out = 14;
  unsigned char *p = sl_put_u32(out + 1, (uint32_t)(4 + strlen(alg) + rest_len));
  p = sl_put_bytes(sl_put_string(p, alg, strlen(alg)), rest, rest_len);
  return (size_t)(p - out);
}

static int decode_signature(const unsigned char *data, size_t len, const char *alg,
                            unsigned char **sig, size_t *n, sl_err *err) {
  unsigned char *copy = malloc(len ? len : 1);
  memcpy(copy, data, len);
  int rc = sl_agent_decode_signature(copy, len, alg, strlen(alg), sig, n, err);
  free(copy);
  return rc;
}

static void test_signature_replies(void) {
  static const char sk[] = "\0\0\0\3sig\1\0\0\0\7", plain[] = "\0\0\0\3sig";
  static const char sk_alg[] = "sk-ssh-ed25519@openssh.com";
  unsigned char reply[256], *sig;
  size_t n;
  sl_err err;
  check_case("a signature comes without its length, a FIDO one with it, its flags and its counter");
  size_t len = signature_reply(reply, "ssh-ed25519", plain, 7);
  CHECK(decode_signature(reply, len, "ssh-ed25519-cert-v01@openssh.com", &sig, &n, &err) == 0);
  CHECK(n == 3 && memcmp(sig, "sig", 3) == 0);
  free(sig);
  for (size_t k = 0; k < len; k++) CHECK(decode_signature(reply, k, "ssh-ed25519", &sig, &n, &err));
  len = signature_reply(reply, sk_alg, sk, 12);
  CHECK(decode_signature(reply, len, "sk-ssh-ed25519-cert-v01@openssh.com", &sig, &n, &err) == 0);
  CHECK(n == 12 && memcmp(sig, sk, 12) == 0);
  free(sig);
  for (size_t k = 0; k < len; k++) CHECK(decode_signature(reply, k, sk_alg, &sig, &n, &err));
  len = signature_reply(reply, sk_alg, plain, 7); /* without flags and counter */
  CHECK(decode_signature(reply, len, sk_alg, &sig, &n, &err) == -1);
  len = signature_reply(reply, "ssh-ed25519", sk, 12); /* with what it must not have */
  CHECK(decode_signature(reply, len, "ssh-ed25519", &sig, &n, &err) == -1);
  len = signature_reply(reply, "ssh-ed25519", "\0\0\0\0", 4);
  CHECK(decode_signature(reply, len, "ssh-ed25519", &sig, &n, &err) == -1);
  CHECK_STR(err.name, "AGENT_PROTOCOL");
}

static void test_encoding(void) {
  static const struct {
    const char *alg;
    unsigned char flags;
  } flags[] = {{"ssh-rsa", 0},      {"rsa-sha2-256", 2}, {"rsa-sha2-512-cert-v01@openssh.com", 4},
               {"rsa-sha2-512", 4}, {"ssh-ed25519", 0},  {"", 0}};
  unsigned char *frame;
  size_t len;
  sl_err err;
  check_case("a sign request is laid out as the draft says, and never larger than an agent takes");
  for (size_t i = 0; i < 6; i++) {
    CHECK(sl_agent_encode_sign((const unsigned char *)"B", 1, (const unsigned char *)"DD", 2,
                               flags[i].alg, strlen(flags[i].alg), &frame, &len, &err) == 0);
    CHECK(len == 20 && memcmp(frame, "\0\0\0\20\15\0\0\0\1B\0\0\0\2DD\0\0\0", 19) == 0);
    CHECK(frame[19] == flags[i].flags);
    free(frame);
  }
  unsigned char *big = calloc(1, SL_AGENT_FRAME_MAX);
  CHECK(sl_agent_encode_sign(big, SL_AGENT_FRAME_MAX - 14, big, 1, "", 0, &frame, &len, &err) == 0);
  free(frame);
  CHECK(sl_agent_encode_sign(big, SL_AGENT_FRAME_MAX - 13, big, 1, "", 0, &frame, &len, &err) ==
        -1);
  CHECK(sl_agent_encode_sign(big, SIZE_MAX, big, SIZE_MAX, "", 0, &frame, &len, &err) == -1);
  free(big);
}

int main(void) {
  fixture_begin();
  agent_start();
  test_empty_agent();
  make_keys();
  test_list();
  test_find_by_file();
  test_sign();
  test_refusal();
  test_frames();
  test_lying_lists();
  test_signature_replies();
  test_encoding();
  return check_done();
}
