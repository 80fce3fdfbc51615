/* measure FD COMMAND...: runs COMMAND and writes one line to FD when it has ended:
 *     wall_seconds user_seconds system_seconds max_rss_kib exit_status
 * The times are those of COMMAND and of all children it waited for. It ends with its parent.
 *
 * A program of its own because a process inherits, across exec, the peak RSS of the image it
 * replaces: started from Python, no client would ever seem smaller than Python.
 * It knows nothing of SSH, workloads or statistics. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_of(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int status_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("usage: measure FD COMMAND...\n", stderr);
    return 2;
  }
  int fd = atoi(argv[1]);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1) {
    perror("measure: FD");
    return 2;
  }

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  double start = seconds_now();
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  struct rusage used;
  int status;
  pid_t done;
  do done = wait4(child, &status, 0, &used);
  while (done == -1 && errno == EINTR);
  double wall = seconds_now() - start;
  if (child == -1 || done == -1) {
    perror("measure");
    return 2;
  }
  dprintf(fd, "%.6f %.6f %.6f %ld %d\n", wall, seconds_of(used.ru_utime), seconds_of(used.ru_stime),
          used.ru_maxrss, status_of(status));
  return 0;
}
