/* What known_hosts lines mean: names, markers, faulty lines, and the verdict on a key. */
#include "known_hosts_support.h"

#define HASHED "|1|CuER9U/u+C1u0QmNqbPdBdpiWfw=|VlL7/IyJGq+RejLX1cNu9LqL6bM=" /* host.example */

static char text[400000]; /* a known_hosts under construction */

/* A text of one or two lines "names key", markers included in the names. */
static const char *lines(const char *names1, const test_key *k1, const char *names2,
                         const test_key *k2) {
  int n = snprintf(text, sizeof text, "%s %s\n", names1, k1->text);
  if (names2) snprintf(text + n, sizeof text - (size_t)n, "%s %s\n", names2, k2->text);
  return text;
}

static const char *ask_names(const char *names, const char *host, unsigned port) {
  test_key k = ed25519_key(1);
  return ask_text(lines(names, &k, NULL, NULL), host, port, &k);
}

static void test_names(void) {
  check_case("a plain name matches itself alone");
  CHECK_STR(ask_names("web.ex", "web.ex", 22), "match:1");
  CHECK_STR(ask_names("web.ex", "web.ex.", 22), "unknown");
  CHECK_STR(ask_names("web.ex", "eb.ex", 22), "unknown");
  CHECK_STR(ask_names("web.ex", "webxex", 22), "unknown");

  check_case("case does not matter, on either side");
  CHECK_STR(ask_names("WEB.Ex", "web.EX", 22), "match:1");
  CHECK_STR(ask_names("*.EX", "WEB.ex", 22), "match:1");

  check_case("every name of a comma list matches, empty ones do not");
  CHECK_STR(ask_names("a,b,10.0.0.1,::1", "a", 22), "match:1");
  CHECK_STR(ask_names("a,b,10.0.0.1,::1", "10.0.0.1", 22), "match:1");
  CHECK_STR(ask_names("a,b,10.0.0.1,::1", "::1", 22), "match:1");
  CHECK_STR(ask_names("a,b", "a,b", 22), "unknown");
  CHECK_STR(ask_names(",,b,", "b", 22), "match:1");
  CHECK_STR(ask_names(",", "b", 22), "unknown");

  check_case("other ports match bracketed names only, port 22 bare ones only");
  CHECK_STR(ask_names("a", "a", 2222), "unknown");
  CHECK_STR(ask_names("[a]:2222", "a", 2222), "match:1");
  CHECK_STR(ask_names("[a]:2222", "A", 2222), "match:1");
  CHECK_STR(ask_names("[a]:2222", "a", 22), "unknown");
  CHECK_STR(ask_names("[a]:2222", "a", 2223), "unknown");
  CHECK_STR(ask_names("[a]:22", "a", 22), "unknown");
  CHECK_STR(ask_names("[::1]:2222", "::1", 2222), "match:1");
  CHECK_STR(ask_names("[*.ex]:2222", "w.ex", 2222), "match:1");
  CHECK_STR(ask_names("[*.ex]:*", "w.ex", 2200), "match:1");
  CHECK_STR(ask_names("*.ex", "w.ex", 2222), "unknown");
  CHECK_STR(ask_names("*", "w.ex", 2222), "match:1");

  check_case("patterns match whole names");
  CHECK_STR(ask_names("*.ex", "w.ex", 22), "match:1");
  CHECK_STR(ask_names("*.ex", ".ex", 22), "match:1");
  CHECK_STR(ask_names("*.ex", "w.ex.org", 22), "unknown");
  CHECK_STR(ask_names("w?.ex", "w1.ex", 22), "match:1");
  CHECK_STR(ask_names("w?.ex", "w.ex", 22), "unknown");
  CHECK_STR(ask_names("w*?x", "wx", 22), "unknown");
  CHECK_STR(ask_names("w*?x", "w1x", 22), "match:1");
  CHECK_STR(ask_names("*a*b*", "xxaxxbxx", 22), "match:1");
  CHECK_STR(ask_names("*a*b*", "xxbxxaxx", 22), "unknown");
  CHECK_STR(ask_names("10.0.0.*", "10.0.0.77", 22), "match:1");

  check_case("a negated pattern that matches rules its line out");
  CHECK_STR(ask_names("*.ex,!bad.ex", "good.ex", 22), "match:1");
  CHECK_STR(ask_names("*.ex,!bad.ex", "bad.ex", 22), "unknown");
  CHECK_STR(ask_names("!bad.ex,*.ex", "BAD.ex", 22), "unknown");
  CHECK_STR(ask_names("!bad.ex,bad.ex", "bad.ex", 22), "unknown");
  CHECK_STR(ask_names("bad.ex,!b*", "bad.ex", 22), "unknown");
  CHECK_STR(ask_names("!bad.ex", "good.ex", 22), "unknown");
  CHECK_STR(ask_names("*,!!x", "!x", 22), "unknown");
  CHECK_STR(ask_names("*,!!x", "x", 22), "match:1");

  check_case("a hashed name matches what was hashed");
  CHECK_STR(ask_names(HASHED, "host.example", 22), "match:1");
  CHECK_STR(ask_names(HASHED, "Host.EXAMPLE", 22), "match:1");
  CHECK_STR(ask_names(HASHED, "host.example", 2222), "unknown");
  CHECK_STR(ask_names(HASHED ",host.example", "host.example", 22), "unknown");
}

static void test_verdicts(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2), r = rsa_key(1, 0), e = ecdsa_key(1);

  check_case("another key of the same type has changed, and so has a key of another type");
  CHECK_STR(ask_text(lines("h", &a, NULL, NULL), "h", 22, &b), "changed:1");
  CHECK_STR(ask_text(lines("h", &a, NULL, NULL), "h", 22, &r), "changed:1");

  check_case("the offending line is one of the offered type if there is one");
  CHECK_STR(ask_text(lines("h", &a, "h", &r), "h", 22, &e), "changed:1");
  CHECK_STR(ask_text(lines("h", &r, "h", &a), "h", 22, &b), "changed:2");
  CHECK_STR(ask_text(lines("h", &a, "h", &r), "h", 22, &b), "changed:1");

  check_case("any of several keys of a host will do");
  CHECK_STR(ask_text(lines("h", &a, "h", &b), "h", 22, &b), "match:2");
  CHECK_STR(ask_text(lines("h", &r, "*", &e), "h", 22, &e), "match:2");

  check_case("a revoked key is revoked whatever else is said, before or after");
  CHECK_STR(ask_text(lines("@revoked h", &a, "h", &a), "h", 22, &a), "revoked:1");
  CHECK_STR(ask_text(lines("h", &a, "@revoked *", &a), "h", 22, &a), "revoked:2");
  CHECK_STR(ask_text(lines("@revoked \t h", &a, NULL, NULL), "h", 22, &a), "revoked:1");
  CHECK_STR(ask_text(lines("@revoked other", &a, "h", &a), "h", 22, &a), "match:2");
  CHECK_STR(ask_text(lines("@revoked h", &b, "h", &a), "h", 22, &a), "match:2");

  check_case("a key revoked for a bare name is not unknown at another port");
  CHECK_STR(ask_text(lines("@revoked h", &a, NULL, NULL), "h", 2222, &a), "revoked:1");
  CHECK_STR(ask_text(lines("@revoked h", &a, NULL, NULL), "h", 2222, &b), "unknown");
  CHECK_STR(ask_text(lines("@revoked [h]:2222", &a, NULL, NULL), "h", 22, &a), "unknown");

  check_case("a revoked key does not make its host known");
  CHECK_STR(ask_text(lines("@revoked h", &a, NULL, NULL), "h", 22, &b), "unknown");

  check_case("a revoked key is revoked in every encoding");
  test_key padded = rsa_key(1, 2);
  CHECK_STR(ask_text(lines("@revoked h", &r, NULL, NULL), "h", 22, &padded), "revoked:1");
  CHECK_STR(ask_text(lines("@revoked h", &padded, "h", &r), "h", 22, &r), "revoked:1");
  CHECK_STR(ask_text(lines("h", &r, NULL, NULL), "h", 22, &padded), "changed:1");

  check_case("a certificate authority's key is no host's key");
  CHECK_STR(ask_text(lines("@cert-authority h", &a, NULL, NULL), "h", 22, &a), "unknown");
  CHECK_STR(ask_text(lines("@cert-authority h", &a, NULL, NULL), "h", 22, &b), "unknown");
  CHECK_STR(ask_text(lines("@cert-authority h", &a, "h", &a), "h", 22, &a), "match:2");

  check_case("a key revoked in one file is revoked in all");
  sl_err err;
  for (int first = 0; first < 2; first++) {
    sl_known_hosts *set = sl_known_hosts_new();
    for (int i = 0; i < 2; i++) {
      lines(i == first ? "@revoked *" : "h", &a, NULL, NULL);
      CHECK(sl_known_hosts_add_text(set, text, strlen(text), i ? "two" : "one", &err) == 0);
    }
    sl_kh_line line = {0};
    CHECK(sl_known_hosts_check(set, "h", 22, a.blob, a.len, &line, &err) == SL_KH_REVOKED);
    CHECK_STR(line.file, first ? "two" : "one");
    sl_known_hosts_free(set);
  }
}

static void test_refusals(void) {
  test_key a = ed25519_key(1);
  sl_err err = {0};
  sl_kh_line line;
  sl_known_hosts *set = set_of(lines("*", &a, NULL, NULL));

  check_case("what is not a plain key of a known type gets no verdict");
  test_key cert = key_begin("ssh-ed25519-cert-v01@openssh.com"), odd = key_begin("ssh-odd");
  key_string(&cert, "nonce", 5);
  key_string(&cert, a.blob + 19, 32);
  CHECK_STR(ask(set, "h", 22, &cert), "error");
  CHECK_STR(ask(set, "h", 22, &odd), "error");
  CHECK(sl_known_hosts_check(set, "h", 22, a.blob, a.len - 1, &line, &err) == SL_KH_ERROR);
  CHECK(sl_known_hosts_check(set, "h", 22, a.blob, 0, &line, &err) == SL_KH_ERROR);
  CHECK_STR(err.kind, SL_HOSTKEY);

  check_case("names and ports that cannot be get no verdict");
  char name[SL_KH_NAME_MAX + 2];
  memset(name, 'a', sizeof name);
  name[SL_KH_NAME_MAX + 1] = '\0';
  CHECK_STR(ask(set, "", 22, &a), "error");
  CHECK_STR(ask(set, name, 22, &a), "error");
  CHECK_STR(ask(set, name + 1, 22, &a), "match:1");
  CHECK_STR(ask(set, name + 1, 2222, &a), "error");
  CHECK_STR(ask(set, "h", 0, &a), "error");
  CHECK_STR(ask(set, "h", 65536, &a), "error");
  sl_known_hosts_free(set);
}

static void test_questions(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2), r = rsa_key(1, 0), e = ecdsa_key(1);
  sl_err err;
  const char *types[SL_KH_TYPES_MAX];
  snprintf(text, sizeof text,
           "h,h %s\n*,h %s\n@cert-authority h %s\nh %s\n@revoked h %s\nh rsa-sha2-256 %s\n" HASHED
           " %s\n",
           r.text, a.text, e.text, b.text, r.text, strchr(r.text, ' ') + 1, e.text);
  sl_known_hosts *set = set_of(text);

  check_case("a look-up finds every line of a host once, in the order of the file");
  static const struct {
    unsigned line;
    sl_kh_marker marker;
    const char *type;
    bool usable;
  } want[] = {{1, SL_KH_PLAIN, "ssh-rsa", true},          {2, SL_KH_PLAIN, "ssh-ed25519", true},
              {3, SL_KH_CA, "ecdsa-sha2-nistp256", true}, {4, SL_KH_PLAIN, "ssh-ed25519", true},
              {5, SL_KH_REVOKE, "ssh-rsa", true},         {6, SL_KH_PLAIN, "rsa-sha2-256", false}};
  CHECK(sl_known_hosts_lookup(set, "H", 22, &err) == 6);
  for (size_t i = 0; i < 6; i++) {
    sl_kh_line l = sl_known_hosts_found(set, i);
    CHECK(l.line == want[i].line && l.marker == want[i].marker && l.usable == want[i].usable);
    CHECK_STR(l.type, want[i].type);
    CHECK_STR(l.file, "known_hosts");
  }
  CHECK(sl_known_hosts_lookup(set, "nobody", 22, &err) == 1);
  CHECK(sl_known_hosts_lookup(set, "nobody", 2200, &err) == 1);

  check_case("the types of a host are those it could be accepted with, none twice");
  CHECK(sl_known_hosts_types(set, "h", 22, types, &err) == 1);
  CHECK_STR(types[0], "ssh-ed25519");
  CHECK(sl_known_hosts_types(set, "host.example", 22, types, &err) == 2);
  CHECK_STR(types[0], "ssh-ed25519");
  CHECK_STR(types[1], "ecdsa-sha2-nistp256");
  CHECK(sl_known_hosts_types(set, "", 22, types, &err) == -1);
  sl_known_hosts_free(set);

  check_case("an empty set knows nobody");
  set = sl_known_hosts_new();
  CHECK_STR(ask(set, "h", 22, &a), "unknown");
  CHECK(sl_known_hosts_types(set, "h", 22, types, &err) == 0);
  sl_known_hosts_free(set);
  sl_known_hosts_free(NULL);

  check_case("many names share one table");
  char *big = malloc(4000 * 120), *o = big, host[32];
  for (int i = 0; i < 4000; i++) o += sprintf(o, "h%d,H%d.ex %s\n", i, i, (i % 2 ? a : b).text);
  set = set_of(big);
  for (int i = 0; i < 4000; i++) {
    snprintf(host, sizeof host, "h%d.ex", i);
    sl_kh_line line = {0};
    CHECK(sl_known_hosts_check(set, host, 22, a.blob, a.len, &line, &err) ==
          (i % 2 ? SL_KH_MATCH : SL_KH_CHANGED));
    CHECK(line.line == (unsigned)i + 1);
  }
  CHECK_STR(ask(set, "h4000", 22, &a), "unknown");
  sl_known_hosts_free(set);
  free(big);
}

int main(void) {
  test_names();
  test_verdicts();
  test_refusals();
  test_questions();
  return check_done();
}
