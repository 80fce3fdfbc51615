/* Random known_hosts files, looked up by us and by `ssh-keygen -l -F`: the same lines, the same
   keys. Two differences are faults: a line that vouches for a key here and not there, and a line
   that refuses or revokes there and is not seen here. What we merely trust less is counted by its
   reason. */
#include "known_hosts_random.h"

enum { FILES = 420, FOUND_MAX = 64, SECONDS = 25 };

typedef struct found_line {
  unsigned line;
  sl_kh_marker marker;
  char fingerprint[SL_FINGERPRINT_SIZE];
  bool usable;
  const char *type;
} found_line;

typedef struct tally {
  unsigned lookups, lines, less_strict;
  unsigned doubtful; /* heeded by both, but does not vouch for a key here */
  unsigned extra;    /* passed over by OpenSSH, refuses here */
  unsigned off_curve;
} tally;

static char text[TEXT_MAX], output[100000];

/* Reads "# Host NAME found: line N MARKER" and the line with the fingerprint behind it. */
static size_t parse_keygen(char *out, found_line *found) {
  size_t n = 0;
  for (char *s = out; (s = strstr(s, "# Host ")) && n < FOUND_MAX;) {
    char *line = strstr(s, " found: line "), *print = line ? strstr(line, " SHA256:") : NULL;
    if (!print) break;
    found_line *f = &found[n++];
    char word[20] = "";
    f->line = (unsigned)strtoul(line + 13, &line, 10);
    sscanf(line, " %19[A-Z]", word);
    f->marker = *line == ' ' && line[1] == 'R'   ? SL_KH_REVOKE
                : *line == ' ' && line[1] == 'C' ? SL_KH_CA
                                                 : SL_KH_PLAIN;
    snprintf(f->fingerprint, sizeof f->fingerprint, "%.50s", print + 1);
    s = print;
  }
  return n;
}

static size_t look_up(sl_known_hosts *set, const char *host, unsigned port, found_line *found) {
  sl_err err;
  ptrdiff_t n = sl_known_hosts_lookup(set, host, port, &err);
  CHECK(n >= 0 && n <= FOUND_MAX);
  for (ptrdiff_t i = 0; i < n && i < FOUND_MAX; i++) {
    sl_kh_line l = sl_known_hosts_found(set, (size_t)i);
    found[i] = (found_line){.line = l.line, .marker = l.marker, .usable = l.usable, .type = l.type};
    sl_fingerprint_sha256(l.blob, l.blob_len, found[i].fingerprint);
  }
  return n > 0 ? (size_t)n : 0;
}

/* The one of `list` that is the same line, with the same marker. Fingerprints may differ where
   ssh-keygen writes a key anew; then the line must not vouch for it. */
static const found_line *find_same(const found_line *list, size_t n, const found_line *f) {
  for (size_t i = 0; i < n; i++) {
    if (list[i].line == f->line && list[i].marker == f->marker) return &list[i];
  }
  return NULL;
}

static bool is_pool_key(const random_pool *p, const char *fingerprint) {
  for (int i = 0; i < KEYS; i++) {
    char out[SL_FINGERPRINT_SIZE];
    sl_fingerprint_sha256(p->blob[i].blob, p->blob[i].len, out);
    if (strcmp(out, fingerprint) == 0) return true;
  }
  return false;
}

static void blame(tally *t, uint64_t seed, const char *name, const found_line *f,
                  const char *what) {
  t->less_strict++;
  printf("# seed %llu, %s: line %u %s\n", (unsigned long long)seed, name, f->line, what);
}

static void compare(const random_pool *p, tally *t, uint64_t seed, const char *name,
                    const found_line *ours, size_t n, const found_line *theirs, size_t m) {
  for (size_t i = 0; i < n; i++) {
    const found_line *f = find_same(theirs, m, &ours[i]);
    bool same = f && strcmp(f->fingerprint, ours[i].fingerprint) == 0;
    if (f && !ours[i].usable) t->doubtful++;
    if (!f && !ours[i].usable) t->extra++;
    if (!ours[i].usable || same) continue;
    /* We do not check that a point is on its curve; no signature verifies under one that is not. */
    if (!f && strncmp(ours[i].type, "ecdsa", 5) == 0 && !is_pool_key(p, ours[i].fingerprint))
      t->off_curve++;
    else
      blame(t, seed, name, &ours[i], "vouches for a key here only");
  }
  for (size_t i = 0; i < m; i++) {
    if (!find_same(ours, n, &theirs[i])) blame(t, seed, name, &theirs[i], "is not seen here");
  }
}

static void test_file(random_pool *p, tally *t, uint64_t seed, unsigned lookups) {
  static found_line ours[FOUND_MAX], theirs[FOUND_MAX];
  const char *path = pool_path(p, "known_hosts");
  size_t len = random_file(p, seed, text);
  sl_err err;
  sl_known_hosts *set = sl_known_hosts_new();
  CHECK(write_file(path, text, len));
  CHECK(sl_known_hosts_add_file(set, path, &err) == 1);
  for (unsigned i = 0; i < lookups; i++) {
    const char *host = host_names[roll(p, HOSTS)];
    unsigned port = port_numbers[(seed + i) % PORTS];
    char name[64];
    snprintf(name, sizeof name, port == 22 ? "%s" : "[%s]:%u", host, port);
    for (char *c = name; *c; c++) *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    int rc = RUN(output, "/usr/bin/ssh-keygen", "-l", "-F", name, "-f", path);
    size_t m = parse_keygen(output, theirs), n = look_up(set, host, port, ours);
    CHECK(rc == (m == 0));
    compare(p, t, seed, name, ours, n, theirs, m);
    t->lookups++;
    t->lines += (unsigned)m;
  }
  sl_known_hosts_free(set);
}

int main(int argc, char **argv) {
  static random_pool pool;
  tally t = {0};
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  uint64_t files = argc > 2 ? strtoull(argv[2], NULL, 10) : FILES;
  unsigned lookups = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
  if (!make_pool(&pool)) {
    check_skip("random files are looked up as ssh-keygen does", "no ssh-keygen");
    if (pool.dir[0]) remove_pool(&pool);
    return check_done();
  }
  check_case("random files are looked up as ssh-keygen does");
  double start = seconds();
  uint64_t seed = first;
  for (; seed < first + files && (argc > 1 || seconds() - start < SECONDS); seed++)
    test_file(&pool, &t, seed, lookups);
  printf("# %llu files, %u look-ups, %u lines found by ssh-keygen, %.1f s\n",
         (unsigned long long)(seed - first), t.lookups, t.lines, seconds() - start);
  printf("# less strict: %u; stricter: %u doubtful lines do not vouch, %u more refuse\n",
         t.less_strict, t.doubtful, t.extra);
  printf("# points off their curve: %u\n", t.off_curve);
  CHECK(t.less_strict == 0);
  CHECK(t.lines > t.lookups / 4);
  remove_pool(&pool);
  return check_done();
}
