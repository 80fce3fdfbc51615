/* Adding to known_hosts files: never rewritten, only appended to, in one write under a lock.
   Knows files and lines; must not know policies or Lua. Every function may run in any thread that
   has the set, if there is one; waiting for the lock is bounded, waiting for the disk (fsync) is
   the disk's affair. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ssh/known_hosts_set.h"

#define LOCK_PAUSE_MS 5
#define REOPEN_MAX 100

static int io_error(sl_err *err, int code, const char *verb, const char *path) {
  char what[220];
  snprintf(what, sizeof what, "cannot %s %.180s", verb, path);
  return sl_err_uv(err, SL_IO, -code, what);
}

/* ---- lines ---- */

/* What a plain name must not hold: blanks and controls end or hide it, the rest is syntax of names
   or of lines, or what ssh refuses to record as well. */
static const char *name_fault(const char *name) {
  if (!*name) return "it is empty";
  if (*name == '!') return "it begins with '!'";
  for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
    if (*c <= ' ' || *c == 0x7f) return "it has a blank or a control character";
    if (strchr(",*?[]|@#\"'\\", *c)) return "it has a character with a meaning in known_hosts";
  }
  return NULL;
}

static int hash_name(const char *host, size_t len, char *out, sl_err *err) {
  unsigned char salt[KH_DIGEST], hash[KH_DIGEST];
  EVP_MD_CTX *sha1 = sl_kh_sha1_new();
  bool ok =
      sha1 && RAND_bytes(salt, sizeof salt) == 1 && sl_kh_hash(sha1, salt, host, len, hash) == 0;
  EVP_MD_CTX_free(sha1);
  if (!ok) return sl_err_set(err, SL_IO, NULL, 0, "known_hosts: libcrypto cannot hash a host name");
  char *o = out + sprintf(out, "|1|");
  o += sl_kh_base64_encode(o, salt, sizeof salt);
  *o++ = '|';
  sl_kh_base64_encode(o, hash, sizeof hash);
  return 0;
}

int sl_known_hosts_format(const char *name, unsigned port, const unsigned char *blob,
                          size_t blob_len, bool hashed, char out[SL_KH_FORMAT_SIZE], sl_err *err) {
  char host[SL_KH_NAME_MAX + 1], hash[128];
  sl_kh_key_view key;
  size_t type_len = 0;
  const char *type = sl_kh_key_type(blob, blob_len, &type_len);
  const char *fault = name_fault(name);
  if (fault)
    return sl_err_set(err, SL_USAGE, NULL, 0, "known_hosts: cannot write this host name: %s",
                      fault);
  ptrdiff_t len = sl_kh_host(name, port, host, err);
  if (len < 0) return -1;
  if (!type || blob_len > SL_KH_BLOB_MAX || sl_kh_key_parse(blob, blob_len, &key) != 0 ||
      !key.exact || key.cert)
    return sl_err_set(err, SL_HOSTKEY, NULL, 0, "known_hosts: not a public host key");
  if (hashed && hash_name(host, (size_t)len, hash, err) != 0) return -1;
  char *o = out + sprintf(out, "%s %.*s ", hashed ? hash : host, (int)type_len, type);
  sl_kh_base64_encode(o, blob, blob_len);
  return 0;
}

/* A line must be read back as one line with a key; a later reader would pass over anything else. */
static int check_line(const char *line, sl_err *err) {
  sl_err ignored;
  sl_known_hosts *set = sl_known_hosts_new();
  bool sound = set && !strpbrk(line, "\r\n") && strlen(line) <= SL_KH_LINE_MAX &&
               sl_known_hosts_add_text(set, line, strlen(line), "line", &ignored) == 0 &&
               set->nentries == 1 && set->nnotes == 0;
  sl_known_hosts_free(set);
  return sound ? 0 : sl_err_set(err, SL_USAGE, NULL, 0, "known_hosts: not a line for this file");
}

static bool has_line(const char *text, size_t len, const char *line) {
  size_t want = strlen(line);
  for (const char *s = text, *end = text + len; s < end;) {
    const char *newline = memchr(s, '\n', (size_t)(end - s));
    const char *stop = newline ? newline : end;
    size_t n = (size_t)(stop - s);
    if (n > 0 && s[n - 1] == '\r') n--;
    if (n == want && memcmp(s, line, n) == 0) return true;
    s = stop + 1;
  }
  return false;
}

/* ---- the file under its lock ---- */

static long long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int make_parent(const char *path, sl_err *err) {
  const char *slash = strrchr(path, '/');
  if (!slash || slash == path) return 0;
  char *dir = strndup(path, (size_t)(slash - path));
  if (!dir) return sl_err_set(err, SL_MEMORY, NULL, 0, "%s: out of memory", path);
  int rc = mkdir(dir, 0700) == 0 || errno == EEXIST ? 0 : io_error(err, errno, "create", dir);
  free(dir);
  return rc;
}

/* Symbolic links are followed, as ssh does: people link their known_hosts. O_NONBLOCK is for FIFOs.
 */
static int open_file(const char *path, sl_err *err) {
  const int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = open(path, flags, 0600);
  if (fd < 0 && errno == ENOENT) {
    if (make_parent(path, err) != 0) return -1;
    fd = open(path, flags, 0600);
  }
  return fd < 0 ? io_error(err, errno, "open", path) : fd;
}

/* 0, or -1 and *err. Where a file system has no locks, one append in one write must do. */
static int lock_file(int fd, const char *path, long long deadline, sl_err *err) {
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOLCK || errno == ENOTSUP || errno == EOPNOTSUPP || errno == ENOSYS) return 0;
    if (errno != EWOULDBLOCK) return io_error(err, errno, "lock", path);
    if (now_ms() >= deadline)
      return sl_err_set(err, SL_TIMEOUT, "EWOULDBLOCK", EWOULDBLOCK,
                        "%s is locked by another process", path);
    nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_MS * 1000000L}, NULL);
  }
  return 0;
}

/* The lock must be on the file that the path names now: ssh-keygen -R puts a new one in its place.
 */
static bool is_current(int fd, const char *path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int open_locked(const char *path, unsigned wait_ms, sl_err *err) {
  long long deadline =
      now_ms() + wait_ms + (wait_ms > 0); /* the clock may stand just before the next one */
  for (int i = 0; i < REOPEN_MAX; i++) {
    int fd = open_file(path, err);
    if (fd < 0) return -1;
    if (lock_file(fd, path, deadline, err) != 0) {
      close(fd);
      return -1;
    }
    if (is_current(fd, path)) return fd;
    close(fd);
  }
  return sl_err_set(err, SL_IO, NULL, 0, "cannot lock %s: it keeps being replaced", path);
}

/* One write, the newline that the file of `len` bytes may lack in front; how much it was, or -1. A
   piece of a line (disk full) is taken back, unless somebody who heeds no lock has written behind
   it. */
static ssize_t write_line(int fd, const char *path, size_t len, bool newline, const char *line,
                          sl_err *err) {
  char *buf = malloc(strlen(line) + 3);
  struct stat st;
  if (!buf) return sl_err_set(err, SL_MEMORY, NULL, 0, "%s: out of memory", path);
  size_t want = (size_t)sprintf(buf, "%s%s\n", newline ? "\n" : "", line);
  ssize_t n;
  do n = write(fd, buf, want);
  while (n < 0 && errno == EINTR);
  int code = n < 0 ? errno : ENOSPC;
  free(buf);
  if (n == (ssize_t)want) return fsync(fd) == 0 ? n : io_error(err, errno, "sync", path);
  if (n > 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)len + n &&
      ftruncate(fd, (off_t)len) != 0)
    code = errno;
  return io_error(err, code, "write", path);
}

/* ---- the two writers ---- */

/* Opens, locks and reads; returns the descriptor. */
static int begin(const char *path, unsigned wait_ms, char **text, size_t *len, sl_err *err) {
  int fd = open_locked(path, wait_ms, err);
  if (fd >= 0 && sl_kh_read(fd, path, text, len, err) != 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

int sl_known_hosts_append(const char *path, const char *line, unsigned wait_ms, sl_err *err) {
  char *text;
  size_t len;
  if (check_line(line, err) != 0) return -1;
  int fd = begin(path, wait_ms, &text, &len, err);
  if (fd < 0) return -1;
  int rc = has_line(text, len, line) ? 0 : 1;
  if (rc == 1 && write_line(fd, path, len, len > 0 && text[len - 1] != '\n', line, err) < 0)
    rc = -1;
  free(text);
  close(fd); /* and so the lock */
  return rc;
}

typedef struct new_key {
  const char *path, *name;
  unsigned port;
  const unsigned char *blob;
  size_t blob_len;
} new_key;

/* 1: to be added; 0: vouched for; -1: the set says otherwise. */
static int ask_set(sl_known_hosts *set, const new_key *k, sl_err *err) {
  sl_kh_line l = {0};
  sl_kh_verdict v = sl_known_hosts_check(set, k->name, k->port, k->blob, k->blob_len, &l, err);
  if (v == SL_KH_CHANGED || v == SL_KH_REVOKED)
    sl_err_set(err, SL_HOSTKEY, v == SL_KH_CHANGED ? "changed" : "revoked", 0, "%s:%u %s", l.file,
               l.line,
               v == SL_KH_CHANGED ? "has another key for this host" : "revokes this host key");
  return v == SL_KH_UNKNOWN ? 1 : v == SL_KH_MATCH ? 0 : -1;
}

static int ask_anew(const new_key *k, const char *text, size_t len, sl_err *err) {
  sl_known_hosts *set = sl_known_hosts_new();
  if (!set) return sl_err_set(err, SL_MEMORY, NULL, 0, "%s: out of memory", k->path);
  int rc = sl_known_hosts_add_text(set, text, len, k->path, err) == 0 ? ask_set(set, k, err) : -1;
  sl_known_hosts_free(set);
  return rc;
}

/* By what the file says now. */
static int learn_anew(int fd, const new_key *k, const char *line, sl_err *err) {
  char *text;
  size_t len;
  if (sl_kh_read(fd, k->path, &text, &len, err) != 0) return -1;
  int rc = ask_anew(k, text, len, err);
  if (rc == 1 && write_line(fd, k->path, len, len > 0 && text[len - 1] != '\n', line, err) < 0)
    rc = -1;
  free(text);
  return rc;
}

/* By a set that has read the file as it is: then a thousand hosts that are learnt one after the
   other do not read all of it a thousand times. */
static int learn_into(sl_known_hosts *set, kh_file *file, int fd, const new_key *k,
                      const char *line, sl_err *err) {
  size_t len = (size_t)file->seen.st_size;
  char last = '\n';
  if (len > 0 && pread(fd, &last, 1, (off_t)len - 1) != 1) return learn_anew(fd, k, line, err);
  int rc = ask_set(set, k, err);
  if (rc != 1) return rc;
  ssize_t added = write_line(fd, k->path, len, last != '\n', line, err);
  if (added < 0) return -1;
  sl_kh_take_in(set, file, fd, (size_t)added, line);
  return 1;
}

int sl_known_hosts_learn(sl_known_hosts *set, const char *path, const char *name, unsigned port,
                         const unsigned char *blob, size_t blob_len, bool hashed, unsigned wait_ms,
                         sl_err *err) {
  char line[SL_KH_FORMAT_SIZE];
  new_key k = {path, name, port, blob, blob_len};
  if (sl_known_hosts_format(name, port, blob, blob_len, hashed, line, err) != 0) return -1;
  int fd = open_locked(path, wait_ms, err);
  if (fd < 0) return -1;
  kh_file *file = set ? sl_kh_current_file(set, path, fd) : NULL;
  int rc = file ? learn_into(set, file, fd, &k, line, err) : learn_anew(fd, &k, line, err);
  close(fd);
  return rc;
}

/* ---- a new file in the old one's place ---- */

static int write_all(int fd, const char *text, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, text, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    text += n;
    len -= (size_t)n;
  }
  return fsync(fd);
}

/* Beside the file, with its mode and owner. */
static int write_beside(int fd, const char *path, const char *suffix, const char *text, size_t len,
                        char out[PATH_MAX], sl_err *err) {
  struct stat st;
  if (snprintf(out, PATH_MAX, "%s%s", path, suffix) >= PATH_MAX)
    return sl_err_set(err, SL_IO, NULL, 0, "%s: the name is too long", path);
  unlink(out);
  int to = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (to < 0) return io_error(err, errno, "create", out);
  bool good = fstat(fd, &st) == 0 && fchmod(to, st.st_mode & 07777) == 0 &&
              (fchown(to, st.st_uid, st.st_gid) == 0 || errno == EPERM) &&
              write_all(to, text, len) == 0;
  int code = errno;
  close(to);
  if (good) return 0;
  unlink(out);
  return io_error(err, code, "write", out);
}

int sl_known_hosts_replace(const char *path, const char *old, size_t old_len, const char *text,
                           size_t len, unsigned wait_ms, sl_err *err) {
  char real[PATH_MAX], fresh[PATH_MAX], kept[PATH_MAX], *now;
  size_t now_len;
  if (!realpath(path, real)) return io_error(err, errno, "open", path); /* a link stays a link */
  int fd = begin(real, wait_ms, &now, &now_len, err);
  if (fd < 0) return -1;
  int rc = now_len == old_len && (old_len == 0 || memcmp(now, old, old_len) == 0) ? 1 : 0;
  if (rc == 1 && (write_beside(fd, real, ".old", now, now_len, kept, err) != 0 ||
                  write_beside(fd, real, ".new", text, len, fresh, err) != 0))
    rc = -1;
  if (rc == 1 && rename(fresh, real) != 0) {
    rc = io_error(err, errno, "replace", real);
    unlink(fresh);
  }
  free(now);
  close(fd);
  return rc;
}
