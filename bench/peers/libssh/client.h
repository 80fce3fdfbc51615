/* What the parts of the libssh client share. */
#ifndef BENCH_LIBSSH_CLIENT_H
#define BENCH_LIBSSH_CLIENT_H

#include <libssh/libssh.h>

enum { BLOCK_SIZE = 32 * 1024, TIMEOUT = 60 /* seconds */ };

struct options {
  const char *hosts, *key, *known_hosts, *user, *command, *kex, *cipher;
  int parallel, count;
  unsigned port;
  long long bytes;
};

struct bench {
  struct options opt;
  char *list; /* the hosts file, cut into the words that hosts points to */
  char **hosts;
  int host_count;
  ssh_key key;
};

/* main.c */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void *allocate(size_t count, size_t size);
ssh_session session_new(const struct bench *b, const char *host);
void check_host_key(ssh_session session, const char *host);
void session_close(ssh_session session);

/* many.c. All of them hold to b->opt.parallel at once and end the program at the first failure.
 * The sessions of open_hosts are the caller's to close. */
void exec_on_hosts(const struct bench *b);
void exec_on_session(const struct bench *b, ssh_session session);
void open_hosts(const struct bench *b, char **hosts, int count, ssh_session *opened);

#endif
