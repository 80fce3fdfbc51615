/* Reading and writing that does not wait. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "loop/fs_now.h"

static int file_in(const char *directory) {
  char path[100];
  snprintf(path, sizeof path, "%s/sshlua-fs-now.XXXXXX", directory);
  int fd = mkstemp(path);
  if (fd >= 0) unlink(path);
  return fd;
}

static void test_kinds(void) {
  int pipes[2];
  check_case("what is no regular file is for the thread pool");
  int null = open("/dev/null", O_RDWR);
  CHECK(sl_fs_now_of(null) == SL_FS_LATER);
  close(null);
  CHECK(pipe(pipes) == 0 && sl_fs_now_of(pipes[0]) == SL_FS_LATER);
  close(pipes[0]);
  close(pipes[1]);
  CHECK(sl_fs_now_of(-1) == SL_FS_LATER);
}

/* Writes and reads three bytes and more than there are; whatever is not done is 0, never wrong. */
static void test_copies(const char *name, const char *directory) {
  char a[] = "ab", b[] = "cdef", got[8] = "";
  int fd = file_in(directory);
  if (fd < 0) {
    check_skip(name, "no such directory");
    return;
  }
  check_case(name);
  sl_fs_now how = sl_fs_now_of(fd);
  bool in_memory = how == SL_FS_IN_MEMORY;
  uv_buf_t out[] = {uv_buf_init(a, 2), uv_buf_init(b, 4)}, in = uv_buf_init(got, 8);
  size_t n = sl_fs_write_now(&how, fd, out, 2, 1);
  CHECK(n == 6 || (n == 0 && !in_memory));
  if (n == 0) CHECK(pwrite(fd, "abcdef", 6, 1) == 6);
  how = sl_fs_now_of(fd);
  n = sl_fs_read_now(&how, fd, &in, 1, 0);
  CHECK(n == 7 || (n == 0 && !in_memory));
  if (n == 7) CHECK(memcmp(got, "\0abcdef", 7) == 0);
  CHECK(sl_fs_read_now(&how, fd, &in, 1, 7) == 0);
  close(fd);
  CHECK(sl_fs_read_now(&how, fd, &in, 1, 0) == 0);
}

int main(void) {
  test_kinds();
  test_copies("a file in memory is read and written at once", "/dev/shm");
  test_copies("a file elsewhere as the kernel says", "/var/tmp");
  return check_done();
}
