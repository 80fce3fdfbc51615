/* known_hosts when memory runs out, at every allocation in turn: an error or the right verdict,
   never another one. The sources are compiled in here once more, with an allocator that fails on
   demand, so their names must differ from those of the library the test is linked with. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static long allocations_left = -1; /* until one fails; negative: none does */
static int fails_once;             /* that one only, or all after it too */
static int has_failed;

static int may_allocate(void) {
  if (allocations_left < 0) return 1;
  if (allocations_left > 0) {
    allocations_left--;
    return 1;
  }
  if (fails_once) allocations_left = -1;
  has_failed = 1;
  return 0;
}

static void *test_malloc(size_t n) {
  return may_allocate() ? malloc(n) : NULL;
}
static void *test_calloc(size_t n, size_t size) {
  return may_allocate() ? calloc(n, size) : NULL;
}
static void *test_realloc(void *p, size_t n) {
  return may_allocate() ? realloc(p, n) : NULL;
}
static char *test_strdup(const char *s) {
  return may_allocate() ? strdup(s) : NULL;
}
static char *test_strndup(const char *s, size_t n) {
  return may_allocate() ? strndup(s, n) : NULL;
}
static EVP_MD_CTX *test_md_ctx_new(void) {
  return may_allocate() ? EVP_MD_CTX_new() : NULL;
}

#define sl_kh_base64_decode oom_base64_decode
#define sl_kh_base64_encode oom_base64_encode
#define sl_kh_key_type oom_key_type
#define sl_kh_key_kind_of oom_key_kind_of
#define sl_kh_key_parse oom_key_parse
#define sl_kh_key_equal oom_key_equal
#define sl_fingerprint_sha256 oom_fingerprint_sha256
#define sl_kh_grow oom_grow
#define sl_kh_list_add oom_list_add
#define sl_kh_read oom_read
#define sl_kh_parse oom_parse
#define sl_kh_current_file oom_current_file
#define sl_kh_take_in oom_take_in
#define sl_kh_memos_free oom_memos_free
#define sl_kh_host oom_host
#define sl_kh_node_add oom_node_add
#define sl_kh_sha1_new oom_sha1_new
#define sl_kh_hash oom_hash
#define sl_known_hosts_new oom_new
#define sl_known_hosts_free oom_free
#define sl_known_hosts_add_file oom_add_file
#define sl_known_hosts_add_text oom_add_text
#define sl_known_hosts_warnings oom_warnings
#define sl_known_hosts_warning oom_warning
#define sl_known_hosts_stale oom_stale
#define sl_known_hosts_lookup oom_lookup
#define sl_known_hosts_found oom_found
#define sl_known_hosts_check oom_check
#define sl_known_hosts_check_authority oom_check_authority
#define sl_known_hosts_wants_certificate oom_wants_certificate
#define sl_known_hosts_replace oom_replace
#define sl_known_hosts_types oom_types
#define sl_known_hosts_format oom_format
#define sl_known_hosts_append oom_append
#define sl_known_hosts_learn oom_learn

#define malloc test_malloc
#define calloc test_calloc
#define realloc test_realloc
#undef strdup
#define strdup test_strdup
#undef strndup
#define strndup test_strndup
#define EVP_MD_CTX_new test_md_ctx_new
#include "../../src/ssh/known_hosts.c"
#include "../../src/ssh/known_hosts_key.c"
#include "../../src/ssh/known_hosts_match.c"
#include "../../src/ssh/known_hosts_parse.c"
#include "../../src/ssh/known_hosts_write.c"
#undef malloc
#undef calloc
#undef realloc

#include "known_hosts_support.h"

static char text[1 << 20];
static test_key good, bad, other;

/* 400 hosts, patterns, hashes and faults; host h has `good`, revokes `bad`. */
static void make_text(void) {
  char *o = text;
  good = ed25519_key(1);
  bad = ed25519_key(2);
  other = ed25519_key(3);
  for (int i = 0; i < 400; i++) o += sprintf(o, "host%d,alias%d %s\n", i, i, good.text);
  for (int i = 0; i < 40; i++) o += sprintf(o, "faulty%d\n", i);
  for (int i = 0; i < 40; i++)
    o += sprintf(o, "|1|CuER9U/u+C1u0QmNqbPdBdpiWfw=|VlL7/IyJGq+RejLX1cNu9LqL6bM= %s\n", good.text);
  for (int i = 0; i < 40; i++) o += sprintf(o, "h%.*s,x?y %s\n", i % 2, "*", good.text);
  sprintf(o, "h %s\n@revoked h* %s\n", good.text, bad.text);
}

/* The verdict when a set has n allocations for its whole life. It is asked whatever went wrong. */
static sl_kh_verdict verdict_with(long n, const test_key *k, const char *path) {
  sl_err err;
  sl_kh_line line;
  sl_kh_verdict v = SL_KH_ERROR;
  allocations_left = n;
  has_failed = 0;
  sl_known_hosts *set = sl_known_hosts_new();
  if (set) {
    int rc = path ? sl_known_hosts_add_file(set, path, &err)
                  : sl_known_hosts_add_text(set, text, strlen(text), "f", &err);
    CHECK((path ? rc == 1 : rc == 0) || (rc == -1 && strcmp(err.kind, SL_MEMORY) == 0));
    v = sl_known_hosts_check(set, "h", 22, k->blob, k->len, &line, &err);
    CHECK(v != SL_KH_ERROR || strcmp(err.kind, SL_MEMORY) == 0);
  }
  sl_known_hosts_free(set);
  allocations_left = -1;
  CHECK(has_failed || v != SL_KH_ERROR);
  return v;
}

/* A verdict reached although an allocation failed is no other than the one reached without. */
static void test_check(const char *name, const test_key *k, sl_kh_verdict want, const char *path) {
  check_case(name);
  for (fails_once = 0; fails_once < 2; fails_once++) {
    long n = 0;
    for (has_failed = 1; has_failed && n < 10000; n++) {
      sl_kh_verdict v = verdict_with(n, k, path);
      CHECK(v == SL_KH_ERROR || v == want);
    }
    CHECK(n > 10 && n < 10000);
  }
}

static void test_learning(const char *path) {
  sl_err err;
  check_case("without memory nothing is learnt");
  FILE *f = fopen(path, "w");
  CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
  int rc = -1;
  long n = 0;
  for (; rc == -1 && n < 10000; n++) {
    allocations_left = n;
    rc = sl_known_hosts_learn(NULL, path, "h", 22, bad.blob, bad.len, true, 1000, &err);
    allocations_left = -1;
    CHECK(rc == -1);
    if (strcmp(err.kind, SL_HOSTKEY) == 0) break;
  }
  CHECK_STR(err.name, "revoked");
  for (n = 0, rc = -1; rc == -1 && n < 10000; n++) {
    allocations_left = n;
    rc = sl_known_hosts_learn(NULL, path, "new", 22, bad.blob, bad.len, true, 1000, &err);
    allocations_left = -1;
  }
  CHECK(rc == 1 && n > 10);
  CHECK(sl_known_hosts_learn(NULL, path, "new", 22, bad.blob, bad.len, true, 1000, &err) == 0);
}

int main(void) {
  char path[] = "/tmp/known_hosts_oom.XXXXXX";
  int fd = mkstemp(path);
  if (fd < 0) return 1;
  make_text();
  if (write(fd, text, strlen(text)) < 0) return 1;
  close(fd);
  test_check("without memory a good key is an error, not known, not changed", &good, SL_KH_MATCH,
             NULL);
  test_check("without memory a revoked key is never accepted", &bad, SL_KH_REVOKED, NULL);
  test_check("without memory a changed key is never unknown", &other, SL_KH_CHANGED, NULL);
  test_check("without memory a file is no better", &bad, SL_KH_REVOKED, path);
  test_learning(path);
  unlink(path);
  return check_done();
}
