/* See fs_now.h. libuv's buffers are the system's iovecs, as it promises for Unix. */
#include "loop/fs_now.h"

#ifdef __linux__
#include <sys/uio.h>
#endif

#ifdef RWF_NOWAIT

#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Devices and pipes may lie on a tmpfs, too, but not their bytes. */
sl_fs_now sl_fs_now_of(int fd) {
  struct stat st;
  struct statfs fs;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || fstatfs(fd, &fs) != 0) return SL_FS_LATER;
  return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ? SL_FS_IN_MEMORY : SL_FS_IF_CACHED;
}

static size_t copied(sl_fs_now *how, ssize_t n) {
  if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) *how = SL_FS_LATER;
  return n > 0 ? (size_t)n : 0;
}

static int flags(sl_fs_now how) {
  return how == SL_FS_IF_CACHED ? RWF_NOWAIT : 0;
}

size_t sl_fs_read_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at) {
  if (*how == SL_FS_LATER) return 0;
  return copied(how, preadv2(fd, (const struct iovec *)bufs, (int)n, (off_t)at, flags(*how)));
}

size_t sl_fs_write_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at) {
  if (*how == SL_FS_LATER) return 0;
  return copied(how, pwritev2(fd, (const struct iovec *)bufs, (int)n, (off_t)at, flags(*how)));
}

#else

sl_fs_now sl_fs_now_of(int fd) {
  (void)fd;
  return SL_FS_LATER;
}

size_t sl_fs_read_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at) {
  (void)how, (void)fd, (void)bufs, (void)n, (void)at;
  return 0;
}

size_t sl_fs_write_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at) {
  (void)how, (void)fd, (void)bufs, (void)n, (void)at;
  return 0;
}

#endif
