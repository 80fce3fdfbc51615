/* Adding to known_hosts files: what is written, under which lock, and what a failure leaves behind.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "known_hosts_support.h"

static char dir[64]; /* of our own, gone at the end */
static char content[1 << 20];

static const char *in_dir(const char *name) {
  static char paths[16][128];
  static int turn;
  char *path = paths[turn++ % 16];
  snprintf(path, 128, "%s/%s", dir, name);
  return path;
}

static void put_file(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char *get_file(const char *path) {
  FILE *f = fopen(path, "r");
  size_t n = f ? fread(content, 1, sizeof content - 1, f) : 0;
  content[n] = '\0';
  if (f) fclose(f);
  return content;
}

static unsigned mode_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static const char *format(const char *name, unsigned port, const test_key *k, bool hashed) {
  static char out[SL_KH_FORMAT_SIZE];
  sl_err err;
  return sl_known_hosts_format(name, port, k->blob, k->len, hashed, out, &err) == 0 ? out : "error";
}

static void test_format(void) {
  test_key a = ed25519_key(1), r = rsa_key(1, 0);
  char want[SL_KH_FORMAT_SIZE];

  check_case("a line is the name, the type and the key");
  snprintf(want, sizeof want, "web.ex %s", a.text);
  CHECK_STR(format("Web.EX", 22, &a, false), want);
  snprintf(want, sizeof want, "[web.ex]:2222 %s", r.text);
  CHECK_STR(format("web.ex", 2222, &r, false), want);
  snprintf(want, sizeof want, "[fe80::1%%eth0]:2222 %s", a.text);
  CHECK_STR(format("fe80::1%eth0", 2222, &a, false), want);

  check_case("a hashed line hides the name, differs each time, and is read back");
  for (unsigned port = 22; port < 24; port++) {
    snprintf(want, sizeof want, "%s", format("Web.ex", port, &a, true));
    CHECK(strncmp(want, "|1|", 3) == 0 && !strstr(want, "web") &&
          strlen(want) == 61 + strlen(a.text));
    CHECK_STR(ask_text(want, "web.ex", port, &a), "match:1");
    CHECK_STR(ask_text(want, "web.ex", 45 - port, &a), "unknown");
    CHECK(strcmp(want, format("web.ex", port, &a, true)) != 0);
  }

  check_case("a name that means more than itself is not written");
  static const char *const bad[] = {"",     " ",        "a b",  "a\tb", "a\nb", "a,b",
                                    "|1|a", "@revoked", "#a",   "!a",   "*",    "a*",
                                    "a?b",  "[a]:22",   "a\\b", "a\"b", "a'b",  "a\177",
                                    "a\1b", "a|b",      "a\r",  "a#b",  "u@h",  "]"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK_STR(format(bad[i], 22, &a, false), "error");
    CHECK_STR(format(bad[i], 2222, &a, true), "error");
  }
  memset(want, 'a', SL_KH_NAME_MAX + 1);
  want[SL_KH_NAME_MAX + 1] = '\0';
  CHECK_STR(format(want, 22, &a, false), "error");

  check_case("only a plain key of a known type is written");
  test_key cert = key_begin("ssh-ed25519-cert-v01@openssh.com"), odd = key_begin("ssh-odd"),
           cut = a;
  key_string(&cert, "nonce", 5);
  key_string(&cert, a.blob + 19, 32);
  cut.len--;
  CHECK_STR(format("h", 22, &cert, false), "error");
  CHECK_STR(format("h", 22, &odd, false), "error");
  CHECK_STR(format("h", 22, &cut, false), "error");
  CHECK_STR(format("h", 0, &a, false), "error");
}

static void test_append(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2);
  sl_err err = {0};
  char one[2000], two[2000], want[7000];
  const char *sub = in_dir("new"), *path = in_dir("new/known_hosts"), *link = in_dir("link");
  snprintf(one, sizeof one, "h1 %s", a.text);
  snprintf(two, sizeof two, "h2 %s", b.text);

  check_case("the directory and the file are made, for the owner alone");
  CHECK(sl_known_hosts_append(path, one, 1000, &err) == 1);
  CHECK(mode_of(sub) == 0700 && mode_of(path) == 0600);
  snprintf(want, sizeof want, "%s\n", one);
  CHECK_STR(get_file(path), want);

  check_case("an equal line is not written twice");
  CHECK(sl_known_hosts_append(path, one, 1000, &err) == 0);
  CHECK_STR(get_file(path), want);
  snprintf(want, sizeof want, "x%s\n%sx\n%s\r\n", one, one, two);
  put_file(path, want);
  CHECK(sl_known_hosts_append(path, two, 1000, &err) == 0);
  CHECK(sl_known_hosts_append(path, one, 1000, &err) == 1);

  check_case("a missing last newline is put in front, nothing else is touched");
  put_file(path, "# my comment");
  CHECK(chmod(path, 0644) == 0 && sl_known_hosts_append(path, one, 1000, &err) == 1);
  snprintf(want, sizeof want, "# my comment\n%s\n", one);
  CHECK_STR(get_file(path), want);
  CHECK(mode_of(path) == 0644);

  check_case("a symbolic link is followed");
  CHECK(symlink(path, link) == 0 && sl_known_hosts_append(link, two, 1000, &err) == 1);
  struct stat st;
  CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(strstr(get_file(path), two) != NULL);

  check_case("what would not be read back as one key is not written");
  static const char *const bad[] = {"", "# c", "h", "h ssh-ed25519 AAAA",
                                    "@odd h ssh-ed25519 AAAA"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(sl_known_hosts_append(path, bad[i], 1000, &err) == -1);
  snprintf(want, sizeof want, "%s\n%s", one, two);
  CHECK(sl_known_hosts_append(path, want, 1000, &err) == -1);
  snprintf(want, sizeof want, "%s\r", one);
  CHECK(sl_known_hosts_append(path, want, 1000, &err) == -1);
  CHECK_STR(err.kind, SL_USAGE);
  snprintf(want, sizeof want, "@cert-authority *.ex %s", a.text);
  CHECK(sl_known_hosts_append(path, want, 1000, &err) == 1);

  check_case("an error names the path and the reason");
  CHECK(sl_known_hosts_append(in_dir("no/such/dir"), one, 1000, &err) == -1);
  CHECK(strstr(err.message, in_dir("no")) && strcmp(err.name, "ENOENT") == 0);
  CHECK(sl_known_hosts_append(dir, one, 1000, &err) == -1);
  CHECK(strstr(err.message, dir) != NULL && strcmp(err.kind, SL_IO) == 0);
  CHECK(sl_known_hosts_append("/dev/null", one, 1000, &err) == -1);

  check_case("a half-written line is taken back");
  struct rlimit old, tight;
  put_file(path, "# full");
  CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
  signal(SIGXFSZ, SIG_IGN);
  tight = (struct rlimit){.rlim_cur = 30, .rlim_max = old.rlim_max};
  CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  CHECK(sl_known_hosts_append(path, one, 1000, &err) == -1);
  CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
  CHECK_STR(get_file(path), "# full");
  CHECK(strstr(err.message, path) != NULL);
  unlink(link);
  unlink(path);
  rmdir(sub);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_learn(void) {
  test_key a = ed25519_key(1), b = ed25519_key(2);
  sl_err err = {0};
  const char *path = in_dir("learnt");
  char line[2000];

  for (int hashed = 0; hashed < 2; hashed++) {
    check_case(hashed ? "a host is learnt once, and with one key, hashed too"
                      : "a host is learnt once, and with one key");
    CHECK(sl_known_hosts_learn(NULL, path, "h", 22, a.blob, a.len, hashed, 1000, &err) == 1);
    CHECK(sl_known_hosts_learn(NULL, path, "H", 22, a.blob, a.len, hashed, 1000, &err) == 0);
    CHECK(sl_known_hosts_learn(NULL, path, "h", 2222, a.blob, a.len, hashed, 1000, &err) == 1);
    CHECK_STR(ask_text(get_file(path), "h", 22, &a), "match:1");
    CHECK_STR(ask_text(get_file(path), "h", 2222, &a), "match:2");
    CHECK((strncmp(content, "|1|", 3) == 0) == hashed);
    CHECK(sl_known_hosts_learn(NULL, path, "h", 22, b.blob, b.len, hashed, 1000, &err) == -1);
    CHECK_STR(err.kind, SL_HOSTKEY);
    CHECK_STR(err.name, "changed");
    CHECK(strstr(err.message, path) && strstr(err.message, ":1 "));
    unlink(path);
  }

  check_case("a revoked key is not learnt");
  snprintf(line, sizeof line, "@revoked * %s", a.text);
  CHECK(sl_known_hosts_append(path, line, 1000, &err) == 1);
  CHECK(sl_known_hosts_learn(NULL, path, "h", 22, a.blob, a.len, false, 1000, &err) == -1);
  CHECK_STR(err.name, "revoked");
  CHECK(sl_known_hosts_learn(NULL, path, "h", 22, b.blob, b.len, false, 1000, &err) == 1);
  unlink(path);
}

/* A set goes on with what is learnt through it, and sees what others write. */
static void test_learn_with_set(bool hashed) {
  test_key a = ed25519_key(1), b = ed25519_key(2);
  sl_err err = {0};
  sl_kh_line line = {0};
  const char *path = in_dir("with_set");
  char name[16];

  check_case(hashed ? "a set takes in what it learns, hashed too"
                    : "a set takes in what it learns");
  int fd = open(path, O_WRONLY | O_CREAT, 0600);
  CHECK(fd >= 0 && write(fd, "# no newline", 12) == 12 && close(fd) == 0);
  sl_known_hosts *set = sl_known_hosts_new();
  CHECK(sl_known_hosts_add_file(set, path, &err) == 1);
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "h%d", i);
    CHECK(sl_known_hosts_check(set, name, 22, a.blob, a.len, &line, &err) == SL_KH_UNKNOWN);
    CHECK(sl_known_hosts_learn(set, path, name, 22, a.blob, a.len, hashed, 1000, &err) == 1);
    CHECK(!sl_known_hosts_stale(set));
    CHECK(sl_known_hosts_learn(set, path, name, 22, a.blob, a.len, hashed, 1000, &err) == 0);
    CHECK(sl_known_hosts_check(set, name, 22, a.blob, a.len, &line, &err) == SL_KH_MATCH);
    CHECK(line.line == (unsigned)i + 2 && strcmp(line.file, path) == 0);
    CHECK(sl_known_hosts_check(set, name, 22, b.blob, b.len, &line, &err) == SL_KH_CHANGED);
  }
  CHECK(sl_known_hosts_learn(set, path, "h7", 22, b.blob, b.len, hashed, 1000, &err) == -1);
  CHECK_STR(err.name, "changed");
  CHECK_STR(ask_text(get_file(path), "h99", 22, &a), "match:101");

  check_case("what another has written since counts, and the set is to be read again");
  CHECK(sl_known_hosts_learn(NULL, path, "other", 22, a.blob, a.len, hashed, 1000, &err) == 1);
  CHECK(sl_known_hosts_stale(set));
  CHECK(sl_known_hosts_learn(set, path, "other", 22, b.blob, b.len, hashed, 1000, &err) == -1);
  CHECK_STR(err.name, "changed");
  CHECK(sl_known_hosts_learn(set, path, "last", 22, b.blob, b.len, hashed, 1000, &err) == 1);
  CHECK(sl_known_hosts_stale(set));
  CHECK_STR(ask_text(get_file(path), "last", 22, &b), "match:103");
  sl_known_hosts_free(set);
  unlink(path);
}

static void test_lock(void) {
  test_key a = ed25519_key(1);
  sl_err err = {0};
  const char *path = in_dir("locked");
  int fd = open(path, O_RDWR | O_CREAT, 0600);

  check_case("a lock is waited for, but not for ever");
  CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
  double start = seconds();
  CHECK(sl_known_hosts_learn(NULL, path, "h", 22, a.blob, a.len, false, 100, &err) == -1);
  CHECK(seconds() - start >= 0.1 && seconds() - start < 3);
  CHECK_STR(err.kind, SL_TIMEOUT);
  CHECK(strstr(err.message, path) != NULL);
  start = seconds();
  CHECK(sl_known_hosts_learn(NULL, path, "h", 22, a.blob, a.len, false, 0, &err) == -1);
  CHECK(seconds() - start < 0.1);
  CHECK(flock(fd, LOCK_UN) == 0);
  CHECK(sl_known_hosts_learn(NULL, path, "h", 22, a.blob, a.len, false, 0, &err) == 1);

  check_case("a file put in the place of the locked one is the one written to");
  CHECK(flock(fd, LOCK_EX) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    usleep(100000);
    put_file(in_dir("fresh"), "# fresh\n");
    _exit(rename(in_dir("fresh"), path) != 0); /* the lock goes with us */
  }
  close(fd); /* the child still holds what it inherited */
  int status = -1;
  CHECK(sl_known_hosts_learn(NULL, path, "h2", 22, a.blob, a.len, false, 3000, &err) == 1);
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  CHECK(strncmp(get_file(path), "# fresh\nh2 ", 11) == 0);
  unlink(path);
}

/* What one of several processes does: learns 100 hosts, some of which all the others learn too. */
static void learn_many(const char *path, int who, bool hashed) {
  test_key a = ed25519_key(1);
  sl_err err;
  char name[32];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, i % 2 ? "shared%d" : "own%d-%d", i, who);
    if (sl_known_hosts_learn(NULL, path, name, 22, a.blob, a.len, hashed, 20000, &err) < 0)
      _exit(1);
  }
  _exit(0);
}

static void test_crowd(void) {
  enum { PROCESSES = 4 };
  const char *path = in_dir("crowd");
  test_key a = ed25519_key(1);

  check_case("processes that learn the same hosts at once write each line once and whole");
  for (int hashed = 0; hashed < 2; hashed++) {
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
      if ((pids[i] = fork()) == 0) learn_many(path, i, hashed);
    }
    for (int i = 0; i < PROCESSES; i++) {
      int status = -1;
      CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
    }
    size_t n = 0;
    for (const char *c = get_file(path); (c = strchr(c, '\n')); c++) n++;
    CHECK(n == 50 * PROCESSES + 50);
    sl_known_hosts *set = set_of(content);
    CHECK(sl_known_hosts_warnings(set) == 0);
    CHECK(strncmp(ask(set, "shared1", 22, &a), "match", 5) == 0);
    CHECK(strncmp(ask(set, "own98-3", 22, &a), "match", 5) == 0);
    sl_known_hosts_free(set);
    unlink(path);
  }
}

int main(void) {
  snprintf(dir, sizeof dir, "/tmp/known_hosts_test.XXXXXX");
  if (!mkdtemp(dir)) return 1;
  test_format();
  test_append();
  test_learn();
  test_learn_with_set(false);
  test_learn_with_set(true);
  test_lock();
  test_crowd();
  rmdir(dir);
  return check_done();
}
