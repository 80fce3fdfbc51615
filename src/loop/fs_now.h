/* Reading and writing that does not wait: bytes that are in memory are copied at once, on the
   loop's thread, while they are still in the cache of the processor that needs them next. What
   would have to wait for a disk or a server is for the thread pool. Knows descriptors; must not
   know operations. */
#ifndef SL_FS_NOW_H
#define SL_FS_NOW_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

typedef enum sl_fs_now {
  SL_FS_LATER,     /* always by the thread pool: no regular file, or the system cannot tell */
  SL_FS_IF_CACHED, /* the kernel says whether it would have to wait (RWF_NOWAIT) */
  SL_FS_IN_MEMORY  /* the file system has nowhere else to keep its bytes (tmpfs, ramfs) */
} sl_fs_now;

sl_fs_now sl_fs_now_of(int fd);

/* How many bytes were copied. 0, or fewer than wanted: the thread pool has to be asked for the
   rest, and will say why (the end of the file, an error). *how becomes SL_FS_LATER when the file
   system does not know the question. */
size_t sl_fs_read_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at);
size_t sl_fs_write_now(sl_fs_now *how, int fd, const uv_buf_t *bufs, unsigned n, uint64_t at);

#endif
