#include "base/savefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fail(sl_err *e, int code, const char *path) {
  char what[200];
  snprintf(what, sizeof what, "%.190s", path);
  return sl_err_uv(e, SL_IO, -code, what);
}

/* O_EXCL makes the name ours whoever guesses it, so the name need only be unlikely, not secret. */
static int open_temporary(const char *path, char *name, size_t size, mode_t mode) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint32_t seed = (uint32_t)now.tv_nsec ^ (uint32_t)getpid() << 15;
  for (int try = 0; try < 100; try++) {
    seed = seed * 1664525u + 1013904223u;
    int len = snprintf(name, size, "%s.sshlua-%08x", path, (unsigned)seed);
    if (len < 0 || (size_t)len >= size) {
      errno = ENAMETOOLONG;
      return -1;
    }
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

static int write_all(int fd, const char *s, size_t n) {
  while (n) {
    ssize_t k = write(fd, s, n);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return -1;
    s += k;
    n -= (size_t)k;
  }
  return 0;
}

/* The rename is durable once its folder is. Some file systems cannot sync a folder: no reason to
 * fail. */
static void sync_folder(const char *path) {
  char folder[PATH_MAX + 2];
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s.", slash ? (int)(slash - path) + 1 : 0, path);
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

int sl_savefile(const char *path, const char *data, size_t n, sl_err *e) {
  char real[PATH_MAX], temporary[PATH_MAX];
  struct stat st;
  bool exists = stat(path, &st) == 0;
  if (exists && S_ISDIR(st.st_mode)) return fail(e, EISDIR, path);
  if (exists && !S_ISREG(st.st_mode))
    return sl_err_set(e, SL_IO, NULL, 0, "%.190s: not a regular file", path);
  const char *target = exists ? realpath(path, real) : path;
  if (!target) return fail(e, errno, path);

  int fd = open_temporary(target, temporary, sizeof temporary, exists ? 0600 : 0666);
  if (fd < 0) return fail(e, errno, path);
  if (exists && fchmod(fd, st.st_mode & 0777) != 0) goto fail_open;
  if (write_all(fd, data, n) != 0 || fsync(fd) != 0) goto fail_open;
  int rc = close(fd);
  if (rc == 0) rc = rename(temporary, target);
  if (rc != 0) {
    fail(e, errno, path);
    unlink(temporary);
    return -1;
  }
  sync_folder(target);
  return 0;

fail_open:
  fail(e, errno, path);
  close(fd);
  unlink(temporary);
  return -1;
}
