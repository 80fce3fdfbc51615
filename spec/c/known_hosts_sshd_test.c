/* The verdict on a host's key, ours against ssh's: a real ssh talks to a real `sshd -i` over a
   pipe, strict checking on, with known_hosts files by hand and at random. Ours must never be the
   laxer one. */
#include "known_hosts_random.h"

enum { RANDOM_CHECKS = 20, SECONDS = 25 };

static char text[TEXT_MAX], text2[TEXT_MAX], output[20000];

static bool make_servers(const random_pool *p) {
  if (access("/usr/sbin/sshd", X_OK) != 0 || access("/usr/bin/ssh", X_OK) != 0) return false;
  if (geteuid() == 0)
    mkdir("/run/sshd", 0755); /* sshd's empty directory, missing until a service ran */
  for (int i = 0; i < KEYS; i++) {
    char conf[600], name[32];
    snprintf(name, sizeof name, "sshd%d", i);
    int n = snprintf(conf, sizeof conf,
                     "HostKey %s/k%d\nPidFile none\nUsePAM no\nStrictModes no\nLogLevel QUIET\n"
                     "PasswordAuthentication no\nKexAlgorithms curve25519-sha256\n",
                     p->dir, i);
    const char *path = pool_path(p, name);
    if (!write_file(path, conf, (size_t)n)) return false;
    if (RUN(output, "/usr/sbin/sshd", "-t", "-f", path) != 0) return false;
  }
  return true;
}

/* What ssh says of the key `k` of a host; SL_KH_ERROR: nothing we know. */
static sl_kh_verdict ask_ssh(const random_pool *p, const char *host, unsigned port, int k) {
  char proxy[300], user_file[200], global_file[200], number[16];
  snprintf(proxy, sizeof proxy, "ProxyCommand=/usr/sbin/sshd -i -f %s/sshd%d", p->dir, k);
  snprintf(user_file, sizeof user_file, "UserKnownHostsFile=%s/known_hosts", p->dir);
  snprintf(global_file, sizeof global_file, "GlobalKnownHostsFile=%s/known_hosts2", p->dir);
  snprintf(number, sizeof number, "%u", port);
  RUN(output, "/usr/bin/ssh", "-F", "none", "-o", proxy, "-o", user_file, "-o", global_file, "-o",
      "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "PreferredAuthentications=none",
      "-o", "IdentityFile=none", "-o", "IdentityAgent=none", "-o", "UpdateHostKeys=no", "-o",
      "CheckHostIP=no", "-o", "KexAlgorithms=curve25519-sha256", "-l", "nobody", "-p", number, host,
      "true");
  if (strstr(output, "REVOKED HOST KEY DETECTED")) return SL_KH_REVOKED;
  if (strstr(output, "REMOTE HOST IDENTIFICATION HAS CHANGED")) return SL_KH_CHANGED;
  if (strstr(output, "host key is known for")) return SL_KH_UNKNOWN;
  return strstr(output, "Permission denied") ? SL_KH_MATCH : SL_KH_ERROR;
}

static sl_known_hosts *load(const random_pool *p) {
  sl_err err;
  sl_known_hosts *set = sl_known_hosts_new();
  CHECK(sl_known_hosts_add_file(set, pool_path(p, "known_hosts"), &err) == 1);
  CHECK(sl_known_hosts_add_file(set, pool_path(p, "known_hosts2"), &err) == 1);
  return set;
}

static sl_kh_verdict ask_us(sl_known_hosts *set, const random_pool *p, const char *host,
                            unsigned port, int k) {
  sl_err err;
  sl_kh_line line;
  return sl_known_hosts_check(set, host, port, p->blob[k].blob, p->blob[k].len, &line, &err);
}

/* Lines to come are made with these: %k is key k, %c the certificate, %h hashed "alpha". */
static size_t expand(const random_pool *p, const char *form, char *out) {
  char *o = out;
  for (; *form; form++) {
    if (*form != '%') {
      *o++ = *form;
    } else {
      char c = *++form;
      o += sprintf(o, "%s", c == 'h' ? p->hashed[0] : c == 'c' ? p->cert : p->key[c - '0']);
    }
  }
  return (size_t)(o - out);
}

static const struct {
  const char *user, *global, *host;
  unsigned port;
  int key;
  sl_kh_verdict ssh, us;
} cases[] = {
    {"alpha %0\n", "", "alpha", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"alpha %0\n", "", "ALPHA", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"AL* %0 comment\r\n", "", "alpha", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"x,alpha\t%3\n", "", "alpha", 22, 3, SL_KH_MATCH, SL_KH_MATCH},
    {"%h %4\n", "", "alpha", 22, 4, SL_KH_MATCH, SL_KH_MATCH},
    {"%h %4\n", "", "Alpha", 22, 4, SL_KH_MATCH, SL_KH_MATCH},
    {"", "alpha %0\n", "alpha", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"alpha %1\nalpha %0\n", "", "alpha", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"[alpha]:2222 %0\n", "", "alpha", 2222, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"[*]:2222 %0\n", "", "alpha", 2222, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"alpha %1\n", "", "alpha", 22, 0, SL_KH_CHANGED, SL_KH_CHANGED},
    {"alpha %3\n", "", "alpha", 22, 0, SL_KH_CHANGED, SL_KH_CHANGED},
    {"", "%h %1\n", "alpha", 22, 3, SL_KH_CHANGED, SL_KH_CHANGED},
    {"alpha %c\n", "", "alpha", 22, 0, SL_KH_CHANGED, SL_KH_CHANGED},
    {"[alpha]:2222 %1\nalpha %0\n", "", "alpha", 2222, 0, SL_KH_CHANGED, SL_KH_CHANGED},
    {"@revoked alpha %0\nalpha %0\n", "", "alpha", 22, 0, SL_KH_REVOKED, SL_KH_REVOKED},
    {"alpha %3\n", "@revoked * %3\n", "alpha", 22, 3, SL_KH_REVOKED, SL_KH_REVOKED},
    {"@revoked * %c\nalpha %0\n", "", "alpha", 22, 0, SL_KH_REVOKED, SL_KH_REVOKED},
    {"@revoked alpha %0\n", "", "alpha", 2222, 0, SL_KH_REVOKED, SL_KH_REVOKED},
    {"@revoked %h %0\nalpha %1\n", "", "alpha", 22, 0, SL_KH_REVOKED, SL_KH_REVOKED},
    {"@revoked alpha %1\nalpha %0\n", "", "alpha", 22, 0, SL_KH_MATCH, SL_KH_MATCH},
    {"@cert-authority * %0\n", "", "alpha", 22, 0, SL_KH_UNKNOWN, SL_KH_UNKNOWN},
    {"alpha,!al* %0\n", "", "alpha", 22, 0, SL_KH_UNKNOWN, SL_KH_UNKNOWN},
    {"beta.ex %0\n", "", "alpha", 22, 0, SL_KH_UNKNOWN, SL_KH_UNKNOWN},
    {"[alpha]:22 %0\n[alpha]:2222 %0\n", "", "alpha", 22, 0, SL_KH_UNKNOWN, SL_KH_UNKNOWN},
    {"%h,alpha %0\n", "", "alpha", 22, 0, SL_KH_UNKNOWN, SL_KH_UNKNOWN},
    /* Stricter, each on purpose: a bare name does not vouch for another port; a doubtful line does
       not vouch for a key; a tab does not hide a marker. */
    {"alpha %0\n", "", "alpha", 2222, 0, SL_KH_MATCH, SL_KH_UNKNOWN},
    {"*.ex,al?ha %0\n", "", "alpha", 2222, 0, SL_KH_MATCH, SL_KH_UNKNOWN},
    {"@revoked\talpha %0\nalpha %0\n", "", "alpha", 22, 0, SL_KH_MATCH, SL_KH_REVOKED},
};

static void test_cases(const random_pool *p) {
  static char names[2][300]; /* one is printed when the next begins */
  char *path = strdup(pool_path(p, "known_hosts")), *path2 = strdup(pool_path(p, "known_hosts2"));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *name = names[i % 2];
    snprintf(name, sizeof names[0], "ssh says %s and we %s: %.*s|%.*s %s:%u, key %d",
             verdict_word(cases[i].ssh), verdict_word(cases[i].us),
             (int)strcspn(cases[i].user, "\r\n"), cases[i].user,
             (int)strcspn(cases[i].global, "\r\n"), cases[i].global, cases[i].host, cases[i].port,
             cases[i].key);
    check_case(name);
    CHECK(write_file(path, text, expand(p, cases[i].user, text)));
    CHECK(write_file(path2, text, expand(p, cases[i].global, text)));
    sl_known_hosts *set = load(p);
    CHECK_STR(verdict_word(ask_ssh(p, cases[i].host, cases[i].port, cases[i].key)),
              verdict_word(cases[i].ssh));
    CHECK_STR(verdict_word(ask_us(set, p, cases[i].host, cases[i].port, cases[i].key)),
              verdict_word(cases[i].us));
    sl_known_hosts_free(set);
  }
  free(path);
  free(path2);
}

/* From lax to strict. */
static int severity(sl_kh_verdict v) {
  static const int grades[] = {[SL_KH_MATCH] = 0,
                               [SL_KH_UNKNOWN] = 1,
                               [SL_KH_CHANGED] = 2,
                               [SL_KH_REVOKED] = 3,
                               [SL_KH_ERROR] = 4};
  return grades[v];
}

static void test_random(random_pool *p, uint64_t first, uint64_t count, double until) {
  unsigned verdicts[5] = {0}, same = 0, stricter = 0, done = 0;
  check_case("at random, we are never laxer than ssh");
  for (uint64_t seed = first; seed < first + count && seconds() < until; seed++) {
    CHECK(write_file(pool_path(p, "known_hosts2"), text2, random_file(p, seed + 1000000, text2)));
    CHECK(write_file(pool_path(p, "known_hosts"), text, random_file(p, seed, text)));
    sl_known_hosts *set = load(p);
    const char *host = host_names[roll(p, HOSTS)];
    unsigned port = port_numbers[roll(p, PORTS)];
    int k = (int)roll(p, KEYS);
    sl_kh_verdict ssh = ask_ssh(p, host, port, k), us = ask_us(set, p, host, port, k);
    if (!CHECK(ssh != SL_KH_ERROR && severity(us) >= severity(ssh)))
      printf("# seed %llu, %s:%u, key %d: ssh %s, we %s\n%.2000s\n", (unsigned long long)seed, host,
             port, k, verdict_word(ssh), verdict_word(us), output);
    verdicts[ssh]++;
    same += us == ssh;
    stricter += severity(us) > severity(ssh);
    done++;
    sl_known_hosts_free(set);
  }
  printf(
      "# %u checks; ssh says match %u, unknown %u, changed %u, revoked %u; we say the same %u, are "
      "stricter %u\n",
      done, verdicts[SL_KH_MATCH], verdicts[SL_KH_UNKNOWN], verdicts[SL_KH_CHANGED],
      verdicts[SL_KH_REVOKED], same, stricter);
}

/* Arguments, for longer runs: first seed, checks. */
int main(int argc, char **argv) {
  static random_pool pool;
  double start = seconds();
  if (!make_pool(&pool) || !make_servers(&pool)) {
    check_skip("our verdicts are ssh's", "no ssh, sshd or ssh-keygen that runs");
  } else {
    test_cases(&pool);
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : RANDOM_CHECKS;
    test_random(&pool, first, count, argc > 1 ? 1e18 : start + SECONDS);
  }
  if (pool.dir[0]) remove_pool(&pool);
  return check_done();
}
