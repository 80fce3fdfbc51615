/* Lines and files with something wrong about them: reported, never fatal, and never a way in. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "known_hosts_support.h"

static char text[400000]; /* a known_hosts under construction */
static char dir[64];      /* of our own, gone at the end */

static const char *complain(const char *line) {
  return complaint(line, strlen(line));
}

static const char *complain_key(const char *before, const test_key *k, const char *after) {
  snprintf(text, sizeof text, "%s%s%s\n", before, k->text, after);
  return complain(text);
}

static void test_clean(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2);

  check_case("comments, blank lines, comments behind keys and CRLF are no faults");
  CHECK_STR(complain("# c\n\n   \n\t# d\n\r\n  \r\n#\n"), "");
  CHECK_STR(complain_key("h ", &a, " who@where # x"), "");
  CHECK_STR(complain_key(" \t h \t ", &a, "\r"), "");
  snprintf(text, sizeof text, "# c\r\nh %s\r\nh2 %s comment\r\n", a.text, b.text);
  CHECK_STR(ask_text(text, "h", 22, &a), "match:2");
  CHECK_STR(ask_text(text, "h2", 22, &b), "match:3");

  check_case("a last line without a newline counts");
  snprintf(text, sizeof text, "h %s", a.text);
  CHECK_STR(ask_text(text, "h", 22, &a), "match:1");
}

static void test_faulty(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2);

  check_case("a faulty line is reported with its number and its fault");
  CHECK_STR(complain("\n\nh\n"), "3: no key");
  CHECK_STR(complain("h # ssh-ed25519 AAAA"), "1: no key");
  CHECK_STR(complain("h ssh-ed25519"), "1: no key");
  CHECK_STR(complain("h ssh-ed25519 "), "1: no key");
  CHECK_STR(complain("h ssh-ed25519 A$AA"), "1: key is not valid base64");
  CHECK_STR(complain("h ssh-ed25519 AAAA"), "1: key does not begin with its type");
  CHECK_STR(complain("h 1024 35 123456789"), "1: key is not valid base64");
  CHECK_STR(complain_key("@odd h ", &a, ""), "1: unknown marker");
  CHECK_STR(complain_key("@Revoked h ", &a, ""), "1: unknown marker");
  CHECK_STR(complain_key("@revoked @cert-authority h ", &a, ""), "1: more than one marker");
  CHECK_STR(complain("@revoked"), "1: no host name");
  CHECK_STR(complain("h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAUE="), "1: malformed key");
  snprintf(text, sizeof text, "h ssh-rsa %s\n", strchr(a.text, ' '));
  CHECK_STR(complain(text), "1: key type differs from the type inside the key");

  check_case("a hashed name must be whole, canonical and alone");
  static const char *const names[] = {
      "|",
      "|1|AAAA|BBBB",
      "|1|CuER9U/u+C1u0QmNqbPdBdpiWfw=|",
      "|2|CuER9U/u+C1u0QmNqbPdBdpiWfw=|VlL7/IyJGq+RejLX1cNu9LqL6bM=",
      "|1|CuER9U/u+C1u0QmNqbPdBdpiWfx=|VlL7/IyJGq+RejLX1cNu9LqL6bM=",
      "|1|CuER9U/u+C1u0QmNqbPdBdpiWfw=|VlL7/IyJGq+RejLX1cNu9LqL6bM",
      "|1|CuER9U/u+C1u0QmNqbPdBdpiWfw=|VlL7/IyJGq+RejLX1cNu9LqL6bM=,h",
      "|1|CuER9U/u+C1u0QmNqbPdBdpiWf\r=|VlL7/IyJGq+RejLX1cNu9LqL6bM="};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(text, sizeof text, "%s %s\n", names[i], a.text);
    CHECK_STR(complain(text), "1: malformed hashed name");
    CHECK_STR(ask_text(text, "host.example", 22, &a), "unknown");
  }

  check_case("a faulty line does not make its host known, and hides no other");
  int n = snprintf(text, sizeof text, "h ssh-ed25519 A$AA\nh ssh-rsa %s\n@odd h %s\nh\n",
                   strchr(a.text, ' '), b.text);
  CHECK_STR(ask_text(text, "h", 22, &b), "unknown");
  snprintf(text + n, sizeof text - (size_t)n, "h %s\n", a.text);
  CHECK_STR(ask_text(text, "h", 22, &a), "match:5");

  check_case("a name longer than OpenSSH matches makes its line void");
  for (size_t len = 1022; len <= 1023; len++) {
    memset(text, 'a', len);
    snprintf(text + len, sizeof text - len, ",h %s\n", a.text);
    CHECK_STR(ask_text(text, "h", 22, &a), len == 1022 ? "match:1" : "unknown");
    CHECK_STR(complain(text), len == 1022 ? "" : "1: host name too long");
    text[0] = '!';
    CHECK_STR(ask_text(text, "h", 22, &a), "match:1");
  }

  check_case("a thousand faults are enough to list");
  for (int i = 0; i < 5000; i++) memcpy(text + 2 * i, "x\n", 3);
  sl_known_hosts *set = set_of(text);
  CHECK(sl_known_hosts_warnings(set) == 1000);
  CHECK_STR(sl_known_hosts_warning(set, 0).message, "no key");
  CHECK(strstr(sl_known_hosts_warning(set, 999).message, "not listed") != NULL);
  sl_known_hosts_free(set);
}

/* Line `fault` of a doubtful sort for host h, with `marker`; its length. */
static size_t doubtful_line(int fault, const char *marker, const test_key *ed,
                            const test_key *rsa) {
  int n = snprintf(text, sizeof text, "%sh %s ", marker, ed->text);
  switch (fault) {
  case 0: /* a NUL behind the key */
    memcpy(text + n, "x\0y", 3);
    return (size_t)n + 3;
  case 1: /* a NUL behind the name, at which some OpenSSH do not stop */
    text[strlen(marker) + 1] = '\0';
    return (size_t)n;
  case 2: /* a line too long */
    memset(text + n, 'c', 70000);
    return (size_t)n + 70000;
  default: /* the name of an algorithm where that of a type belongs */
    n = snprintf(text, sizeof text, "%sh rsa-sha2-512 %s", marker, strchr(rsa->text, ' ') + 1);
    return (size_t)n;
  }
}

static void test_doubtful(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2), r = rsa_key(1, 0);
  sl_err err;

  check_case("a doubtful line never vouches for a key, but still refuses one");
  for (int i = 0; i < 8; i++) {
    bool revoked = i >= 4;
    sl_known_hosts *set = sl_known_hosts_new();
    size_t n = doubtful_line(i % 4, revoked ? "@revoked " : "", &a, &r);
    CHECK(sl_known_hosts_add_text(set, text, n, "f", &err) == 0);
    CHECK(sl_known_hosts_warnings(set) == 1);
    CHECK_STR(ask(set, "h", 22, i % 4 == 3 ? &r : &a), revoked ? "revoked:1" : "changed:1");
    CHECK_STR(ask(set, "h", 22, &b), revoked ? "unknown" : "changed:1");
    sl_known_hosts_free(set);
  }

  check_case("a tab behind @revoked still revokes");
  CHECK_STR(complain_key("@revoked\th ", &a, ""),
            "1: tab after the marker, which OpenSSH does not take");
  CHECK_STR(ask_text(text, "h", 22, &a), "revoked:1");

  check_case("a key type of the future makes its host known");
  test_key future = key_begin("ssh-future");
  key_string(&future, "key", 3);
  key_done(&future);
  CHECK_STR(complain_key("h ", &future, ""), "1: unknown key type");
  CHECK_STR(ask_text(text, "h", 22, &a), "changed:1");

  check_case("a certificate in a line refuses, and revokes the key it certifies");
  test_key cert = key_begin("ssh-ed25519-cert-v01@openssh.com");
  key_string(&cert, "nonce", 5);
  key_string(&cert, a.blob + 19, 32);
  key_done(&cert);
  CHECK_STR(complain_key("h ", &cert, ""), "1: a certificate does not name a host's key");
  CHECK_STR(ask_text(text, "h", 22, &a), "changed:1");
  complain_key("@revoked h ", &cert, "");
  CHECK_STR(ask_text(text, "h", 22, &a), "revoked:1");
}

static const char *in_dir(const char *name) {
  static char paths[4][128];
  static int turn;
  char *path = paths[turn++ % 4];
  snprintf(path, 128, "%s/%s", dir, name);
  return path;
}

static void put_file(const char *path, const char *content) {
  FILE *f = fopen(path, "w");
  CHECK(f && fputs(content, f) >= 0 && fclose(f) == 0);
}

static void test_files(void) {
  test_key a = ed25519_key(1);
  sl_err err = {0};
  sl_known_hosts *set = sl_known_hosts_new();
  const char *path = in_dir("known_hosts"), *missing = in_dir("missing"), *fifo = in_dir("fifo");
  snprintf(text, sizeof text, "h %s\n", a.text);
  put_file(path, text);

  check_case("a file is read, a missing one is empty and says so");
  CHECK(sl_known_hosts_add_file(set, missing, &err) == 0);
  CHECK(sl_known_hosts_add_file(set, path, &err) == 1);
  CHECK_STR(ask(set, "h", 22, &a), "match:1");

  check_case("a change of any file is noticed");
  CHECK(!sl_known_hosts_stale(set));
  put_file(missing, "");
  CHECK(sl_known_hosts_stale(set));
  unlink(missing);
  CHECK(!sl_known_hosts_stale(set));
  put_file(path, "");
  CHECK(sl_known_hosts_stale(set));
  unlink(path);
  CHECK(sl_known_hosts_stale(set));

  check_case("what is not a file is an error that names it");
  CHECK(mkfifo(fifo, 0600) == 0);
  CHECK(sl_known_hosts_add_file(set, fifo, &err) == -1);
  CHECK(strstr(err.message, fifo) && strstr(err.message, "not a regular file"));
  CHECK(sl_known_hosts_add_file(set, dir, &err) == -1);
  CHECK(strstr(err.message, dir) != NULL);
  CHECK(sl_known_hosts_add_file(set, "/dev/null", &err) == -1);
  CHECK_STR(err.kind, SL_IO);
  unlink(fifo);

  check_case("a file that may not be read is an error that names it");
  const char *loop = in_dir("loop");
  CHECK(symlink("loop", loop) == 0); /* root may read everything, but nobody this */
  CHECK(sl_known_hosts_add_file(set, loop, &err) == -1);
  CHECK_STR(err.name, "ELOOP");
  CHECK(strstr(err.message, loop) != NULL);
  unlink(loop);

  check_case("a file beyond 64 MiB is an error, one of 64 MiB is read");
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0 && ftruncate(fd, (off_t)SL_KH_FILE_MAX + 1) == 0);
  CHECK(sl_known_hosts_add_file(set, path, &err) == -1);
  CHECK_STR(err.kind, SL_LIMIT);
  CHECK(ftruncate(fd, (off_t)SL_KH_FILE_MAX) == 0);
  CHECK(sl_known_hosts_add_file(set, path, &err) == 1);
  close(fd);
  unlink(path);

  check_case("a file that could not be read does not spoil the others");
  CHECK_STR(ask(set, "h", 22, &a), "match:1");
  sl_known_hosts_free(set);
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/known_hosts_test.XXXXXX");
  if (!mkdtemp(dir)) return 1;
  test_clean();
  test_faulty();
  test_doubtful();
  test_files();
  rmdir(dir);
  return check_done();
}
