/* Random known_hosts files for the tests that compare us with OpenSSH: keys and hashed names are
   made by ssh-keygen, lines by a grammar that also makes what no tool would write. Same seed, same
   file. */
#ifndef SL_KNOWN_HOSTS_RANDOM_H
#define SL_KNOWN_HOSTS_RANDOM_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "known_hosts_support.h"

enum { HOSTS = 8, PORTS = 3, KEYS = 5, TEXT_MAX = 200000 };

static const char *const host_names[HOSTS] = {"alpha",    "beta.ex", "Gamma.Example", "10.0.0.1",
                                              "fe80::10", "a",       "x-1.beta.ex",   "delta"};
static const unsigned port_numbers[PORTS] = {22, 2222, 22022};

typedef struct random_pool {
  char dir[64];
  char key[KEYS][1000]; /* "type base64": three ed25519 keys, one RSA, one ECDSA */
  test_key blob[KEYS];
  char cert[2000]; /* a certificate of key 0 */
  char hashed[HOSTS * PORTS][64];
  uint64_t state;
} random_pool;

/* ---- other programs ---- */

static inline double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Reads until the end, `size` or ten seconds. */
static inline void read_output(int fd, char *out, size_t size) {
  double end = seconds() + 10;
  size_t n = 0;
  while (n < size - 1) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int left = (int)((end - seconds()) * 1000);
    if (left <= 0 || poll(&p, 1, left) <= 0) break;
    ssize_t got = read(fd, out + n, size - 1 - n);
    if (got <= 0) break;
    n += (size_t)got;
  }
  out[n] = '\0';
}

/* Runs a program; its exit status, or -1. `out` gets what it writes to stdout and stderr. */
static inline int run(const char *const *argv, char *out, size_t size) {
  int fds[2], status = -1;
  if (pipe(fds) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(fds[1], 1);
    dup2(fds[1], 2);
    close(fds[0]);
    close(fds[1]);
    union {
      const char *const *in;
      char *const *out;
    } args = {argv}; /* execv promises not to write */
    execv(argv[0], args.out);
    _exit(127);
  }
  close(fds[1]);
  read_output(fds[0], out, size);
  close(fds[0]);
  if (pid < 0) return -1;
  for (int i = 0; waitpid(pid, &status, i < 50000 ? WNOHANG : 0) == 0; i++) {
    usleep(200);
    if (i == 49999) kill(pid, SIGKILL);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(out, ...) run((const char *const[]){__VA_ARGS__, NULL}, out, sizeof out)

/* ---- files ---- */

static inline const char *pool_path(const random_pool *p, const char *name) {
  static char paths[8][128];
  static int turn;
  char *path = paths[turn++ % 8];
  snprintf(path, 128, "%s/%s", p->dir, name);
  return path;
}

static inline bool write_file(const char *path, const char *text, size_t len) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  bool good = fd >= 0 && write(fd, text, len) == (ssize_t)len;
  if (fd >= 0) close(fd);
  return good;
}

static inline bool read_file(const char *path, char *out, size_t size) {
  int fd = open(path, O_RDONLY);
  ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
  if (fd >= 0) close(fd);
  out[n > 0 ? n : 0] = '\0';
  return n > 0;
}

/* ---- the pool ---- */

static inline bool read_key(const char *path, char *text, size_t size) {
  if (!read_file(path, text, size)) return false;
  char *blank = strchr(text, ' ');
  if (!blank) return false;
  blank[1 + strcspn(blank + 1, " \n")] = '\0';
  return true;
}

static inline bool make_hashed(random_pool *p) {
  static char text[HOSTS * PORTS * 200], out[1000];
  const char *path = pool_path(p, "names");
  char *o = text;
  for (int i = 0; i < HOSTS * PORTS; i++) {
    unsigned port = port_numbers[i % PORTS];
    const char *name = host_names[i / PORTS];
    o += port == 22 ? sprintf(o, "%s %s\n", name, p->key[0])
                    : sprintf(o, "[%s]:%u %s\n", name, port, p->key[0]);
  }
  if (!write_file(path, text, strlen(text))) return false;
  if (RUN(out, "/usr/bin/ssh-keygen", "-q", "-H", "-f", path) != 0) return false;
  if (!read_file(path, text, sizeof text)) return false;
  o = text;
  for (int i = 0; i < HOSTS * PORTS; i++) {
    if (sscanf(o, "%63s", p->hashed[i]) != 1 || p->hashed[i][0] != '|') return false;
    o = strchr(o, '\n') + 1;
  }
  return true;
}

/* false: no ssh-keygen here. */
static inline bool make_pool(random_pool *p) {
  static const char *const types[KEYS] = {"ed25519", "ed25519", "ed25519", "rsa", "ecdsa"};
  char out[2000], name[32];
  snprintf(p->dir, sizeof p->dir, "/tmp/known_hosts_random.XXXXXX");
  if (access("/usr/bin/ssh-keygen", X_OK) != 0 || !mkdtemp(p->dir)) return false;
  for (int i = 0; i < KEYS; i++) {
    snprintf(name, sizeof name, "k%d", i);
    const char *path = pool_path(p, name);
    if (RUN(out, "/usr/bin/ssh-keygen", "-q", "-t", types[i], "-b", i == 3 ? "2048" : "256", "-N",
            "", "-f", path) != 0)
      return false;
    snprintf(name, sizeof name, "k%d.pub", i);
    if (!read_key(pool_path(p, name), p->key[i], sizeof p->key[i])) return false;
    const char *digits = strchr(p->key[i], ' ') + 1;
    p->blob[i].len = (size_t)sl_kh_base64_decode(p->blob[i].blob, digits, strlen(digits));
  }
  if (RUN(out, "/usr/bin/ssh-keygen", "-q", "-s", pool_path(p, "k2"), "-I", "id", "-h", "-n",
          "alpha", pool_path(p, "k0.pub")) != 0)
    return false;
  return read_key(pool_path(p, "k0-cert.pub"), p->cert, sizeof p->cert) && make_hashed(p);
}

static inline void remove_pool(const random_pool *p) {
  char out[1000];
  RUN(out, "/bin/rm", "-rf", p->dir);
}

/* ---- the grammar ---- */

static inline unsigned roll(random_pool *p, unsigned n) { /* xorshift64*: 0 .. n - 1 */
  p->state ^= p->state >> 12;
  p->state ^= p->state << 25;
  p->state ^= p->state >> 27;
  return (unsigned)((p->state * 0x2545f4914f6cdd1du) >> 33) % n;
}

static inline bool chance(random_pool *p, unsigned percent) {
  return roll(p, 100) < percent;
}

static inline const char *pick(random_pool *p, const char *const *list, unsigned n) {
  return list[roll(p, n)];
}
#define PICK(p, ...)                                                                               \
  pick(p, (const char *const[]){__VA_ARGS__},                                                      \
       sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static inline char *put_name(random_pool *p, char *o) {
  const char *host = host_names[roll(p, HOSTS)];
  if (chance(p, 12)) *o++ = '!';
  if (chance(p, 40)) return o + sprintf(o, "%s", host);
  if (chance(p, 35)) return o + sprintf(o, "[%s]:%u", host, port_numbers[roll(p, PORTS)]);
  return o + sprintf(o, "%s",
                     PICK(p, "*", "*.ex", "*.EX", "?lpha", "[*]:2222", "[*.ex]:*", "10.0.0.*", "",
                          "!", "*a*", "??????????*", "[alpha]:22", "*:*:*", "b*x", "*?ta*", "!*",
                          "**a", "fe80::1?", "[*", "*]:22022", "alpha*,!alpha"));
}

static inline char *put_names(random_pool *p, char *o) {
  if (chance(p, 25)) {
    const char *hashed = p->hashed[roll(p, HOSTS * PORTS)];
    int n = sprintf(o, "%s", hashed);
    if (chance(p, 10)) o[roll(p, (unsigned)n)] = *PICK(p, "A", "|", "=", "\r", "~");
    return o + n - (chance(p, 4) ? 1 : 0) + (chance(p, 4) ? sprintf(o + n, ",alpha") : 0);
  }
  if (chance(p, 2)) { /* about as long as OpenSSH's limit for one name */
    int n = 1020 + (int)roll(p, 5);
    memset(o, 'n', (size_t)n);
    o += n;
    *o++ = ',';
  }
  for (o = put_name(p, o); chance(p, 40);) {
    *o++ = ',';
    o = put_name(p, o);
  }
  return o;
}

static inline char *put_blanks(random_pool *p, char *o) {
  return o + sprintf(o, "%s", PICK(p, " ", " ", " ", " ", "\t", "  ", " \t "));
}

/* A key as a tool would write it, mostly. */
static inline char *put_key(random_pool *p, char *o) {
  unsigned k = roll(p, KEYS);
  const char *digits = strchr(p->key[k], ' ') + 1;
  int type_len = (int)(digits - p->key[k]) - 1;
  if (chance(p, 3)) return o + sprintf(o, "%s", p->cert);
  if (chance(p, 4))
    o += sprintf(o, "%s",
                 PICK(p, "ssh-rsa", "rsa-sha2-512", "ED25519", "ssh-ed25519", "ssh-new", "1024"));
  else
    o += sprintf(o, "%.*s", type_len, p->key[k]);
  o = put_blanks(p, o);
  char *at = o;
  o += sprintf(o, "%s", digits);
  if (chance(p, 3)) at[roll(p, (unsigned)(o - at))] = *PICK(p, "A", "B", "=", "\r", "*", "#", "/");
  if (chance(p, 2)) o -= roll(p, 5);
  if (chance(p, 1)) o += sprintf(o, "%s", PICK(p, "=", "AAAA", "\r", "\f"));
  if (chance(p, 1)) o = at + sprintf(at, "AAAAB3NldwAAAAF4"); /* of type "new" */
  return o;
}

static inline char *put_line(random_pool *p, char *o) {
  if (chance(p, 8))
    return o + sprintf(o, "%s", PICK(p, "# comment", "", " ", "\t#x", "alpha\n", "\r", "#"));
  if (chance(p, 5)) o = put_blanks(p, o);
  if (chance(p, 25)) {
    o +=
        sprintf(o, "%s",
                PICK(p, "@revoked", "@revoked", "@revoked", "@revoked", "@cert-authority",
                     "@cert-authority", "@odd", "@Revoked", "@revoked @revoked", "@", "@revoked,"));
    o = put_blanks(p, o);
  }
  o = put_names(p, o);
  o = put_blanks(p, o);
  o = put_key(p, o);
  if (chance(p, 30))
    o += sprintf(o, " %s", PICK(p, "who@where", "# c", "\tx y", "", "@revoked", "\r"));
  if (chance(p, 1)) {
    memset(o, 'c', 66000);
    o[0] = ' ';
    o += 66000;
  }
  return o;
}

/* A file of up to 24 lines; its length. It does not end in a bare name without a newline: OpenSSH
   before 10.1 goes on there with what an earlier line left in its buffer. */
static inline size_t random_file(random_pool *p, uint64_t seed, char text[TEXT_MAX]) {
  char *o = text;
  p->state = seed * 0x9e3779b97f4a7c15u + 1;
  const char *newline = chance(p, 20) ? "\r\n" : "\n";
  unsigned lines = 1 + roll(p, 24);
  for (unsigned i = 0; i < lines && o - text < TEXT_MAX - 80000; i++) {
    char *line = o;
    o = put_line(p, o);
    if (o > line && chance(p, 4)) line[roll(p, (unsigned)(o - line))] = '\0';
    if (i + 1 < lines || chance(p, 70)) o += sprintf(o, "%s", newline);
  }
  return (size_t)(o - text);
}

#endif
