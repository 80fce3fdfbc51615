/* A real ssh-agent for tests, its socket "agent" in the fixture's folder. */
#ifndef SL_AGENT_FIXTURE_H
#define SL_AGENT_FIXTURE_H

#include "keys_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "ssh/agent_protocol.h"

static pid_t agent_pid;

static inline void agent_stop(void) {
  if (agent_pid <= 0) return;
  kill(agent_pid, SIGTERM);
  waitpid(agent_pid, NULL, 0);
  agent_pid = 0;
}

static inline int agent_connect(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "agent"};
  struct timeval limit = {.tv_sec = 10};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) abort();
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static inline void agent_start(void) {
  agent_pid = fork();
  if (agent_pid == 0) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* also when the test crashes */
#endif
    if (!freopen("/dev/null", "w", stdout)) _exit(126);
    execlp("ssh-agent", "ssh-agent", "-D", "-a", "agent", (char *)NULL);
    _exit(127);
  }
  atexit(agent_stop);
  for (int i = 0; i < 500; i++) {
    int fd = agent_connect();
    if (fd >= 0) {
      close(fd);
      setenv("SSH_AUTH_SOCK", "agent", 1);
      return;
    }
    usleep(10000);
  }
  puts("# ssh-agent does not start");
  exit(1);
}

/* Writes the request, frees it and gathers the reply from pieces of growing size. */
static inline void agent_talk(unsigned char *request, size_t len, sl_agent_frame *reply) {
  unsigned char piece[700];
  size_t want = 1, used;
  sl_err err;
  int fd = agent_connect(), rc = 0;
  if (fd < 0 || write(fd, request, len) != (ssize_t)len) abort();
  free(request);
  sl_agent_frame_reset(reply);
  while (rc == 0) {
    ssize_t n = read(fd, piece, want);
    if (n <= 0) abort();
    rc = sl_agent_frame_feed(reply, piece, (size_t)n, &used, &err);
    if (rc < 0 || used != (size_t)n) abort();
    want = want < sizeof piece / 2 ? want * 2 : sizeof piece;
  }
  close(fd);
}

#endif
