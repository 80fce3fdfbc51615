/* A client of the common command line (bench/README.md) on libssh: the command line, the verbs,
 * and all that deals with one host or one command at a time, by the blocking calls, which are
 * libssh's fastest. known_hosts is read by libssh, for each host anew. Many at once: many.c. */
#include "client.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("libssh-client: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  exit(1);
}

void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) die("out of memory");
  return memory;
}

/* Connections */

static void option_set(ssh_session session, enum ssh_options_e option, const void *value) {
  if (ssh_options_set(session, option, value) != SSH_OK) die("%s", ssh_get_error(session));
}

ssh_session session_new(const struct bench *b, const char *host) {
  const struct options *opt = &b->opt;
  ssh_session session = ssh_new();
  if (!session) die("ssh_new failed");
  option_set(session, SSH_OPTIONS_PROCESS_CONFIG, &(bool){false});
  option_set(session, SSH_OPTIONS_HOST, host);
  option_set(session, SSH_OPTIONS_PORT, &opt->port);
  option_set(session, SSH_OPTIONS_USER, opt->user);
  option_set(session, SSH_OPTIONS_KNOWNHOSTS, opt->known_hosts);
  option_set(session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
  option_set(session, SSH_OPTIONS_HOSTKEYS, "ssh-ed25519");
  option_set(session, SSH_OPTIONS_KEY_EXCHANGE, opt->kex);
  option_set(session, SSH_OPTIONS_CIPHERS_C_S, opt->cipher);
  option_set(session, SSH_OPTIONS_CIPHERS_S_C, opt->cipher);
  option_set(session, SSH_OPTIONS_NODELAY, &(int){1});
  option_set(session, SSH_OPTIONS_TIMEOUT, &(long){TIMEOUT});
  return session;
}

void check_host_key(ssh_session session, const char *host) {
  if (ssh_session_is_known_server(session) != SSH_KNOWN_HOSTS_OK)
    die("%s: host key is not the known one: %s", host, ssh_get_error(session));
}

static ssh_session connect_blocking(const struct bench *b, const char *host) {
  ssh_session session = session_new(b, host);
  if (ssh_connect(session) != SSH_OK) die("%s: %s", host, ssh_get_error(session));
  check_host_key(session, host);
  if (ssh_userauth_publickey(session, NULL, b->key) != SSH_AUTH_SUCCESS)
    die("%s: %s", host, ssh_get_error(session));
  return session;
}

void session_close(ssh_session session) {
  ssh_disconnect(session);
  ssh_free(session);
}

/* One command at a time */

static ssh_channel start_blocking(ssh_session session, const char *command) {
  ssh_channel channel = ssh_channel_new(session);
  if (!channel || ssh_channel_open_session(channel) != SSH_OK ||
      ssh_channel_request_exec(channel, command) != SSH_OK)
    die("%s", ssh_get_error(session));
  return channel;
}

static long long read_to_end(ssh_channel channel, char *block, size_t size) {
  long long total = 0;
  int n;
  while ((n = ssh_channel_read(channel, block, (uint32_t)size, 0)) > 0) total += n;
  if (n < 0) die("%s", ssh_get_error(ssh_channel_get_session(channel)));
  return total;
}

static void end_blocking(ssh_channel channel) {
  int status = ssh_channel_get_exit_status(channel);
  if (status != 0) die("exit status %d", status);
  ssh_channel_free(channel);
}

static void exec_blocking(ssh_session session, const char *command) {
  char block[256];
  ssh_channel channel = start_blocking(session, command);
  read_to_end(channel, block, sizeof block);
  end_blocking(channel);
}

static long long down(ssh_session session, const struct options *opt) {
  static char block[BLOCK_SIZE];
  ssh_channel channel = start_blocking(session, opt->command);
  long long received = read_to_end(channel, block, sizeof block);
  end_blocking(channel);
  return received;
}

static long long up(ssh_session session, const struct options *opt) {
  static const char block[BLOCK_SIZE];
  char answer[64] = "";
  ssh_channel channel = start_blocking(session, opt->command);
  for (long long left = opt->bytes; left > 0;) {
    uint32_t size = left < BLOCK_SIZE ? (uint32_t)left : BLOCK_SIZE;
    int n = ssh_channel_write(channel, block, size);
    if (n <= 0) die("%s", ssh_get_error(session));
    left -= n;
  }
  if (ssh_channel_send_eof(channel) != SSH_OK ||
      ssh_channel_read(channel, answer, sizeof answer - 1, 0) <= 0)
    die("%s", ssh_get_error(session));
  end_blocking(channel);
  return atoll(answer);
}

/* Verbs: each returns the number of hosts, commands or bytes it has dealt with. */

static long long verb_one(const struct bench *b) {
  ssh_session session = connect_blocking(b, b->hosts[0]);
  exec_blocking(session, b->opt.command);
  session_close(session);
  return 1;
}

static long long verb_fanout(const struct bench *b) {
  exec_on_hosts(b);
  return b->host_count;
}

static long long verb_exec(const struct bench *b) {
  ssh_session session = connect_blocking(b, b->hosts[0]);
  if (b->opt.parallel > 1)
    exec_on_session(b, session);
  else
    for (int i = 0; i < b->opt.count; i++) exec_blocking(session, b->opt.command);
  session_close(session);
  return b->opt.count;
}

static long long stream(const struct bench *b,
                        long long (*move)(ssh_session, const struct options *)) {
  ssh_session session = connect_blocking(b, b->hosts[0]);
  long long moved = move(session, &b->opt);
  session_close(session);
  if (moved != b->opt.bytes) die("%lld of %lld bytes", moved, b->opt.bytes);
  return moved;
}

static long long verb_down(const struct bench *b) {
  return stream(b, down);
}

static long long verb_up(const struct bench *b) {
  return stream(b, up);
}

static void halt(int open) {
  printf("open %d\n", open);
  fflush(stdout);
  for (int c = getchar(); c != '\n' && c != EOF;) c = getchar();
}

static long long verb_idle(const struct bench *b) {
  int all = b->opt.count, half = all / 2;
  if (all > b->host_count) die("%d sessions on %d hosts", all, b->host_count);
  ssh_session *opened = allocate((size_t)all, sizeof *opened);
  halt(0);
  open_hosts(b, b->hosts, half, opened);
  halt(half);
  open_hosts(b, b->hosts + half, all - half, opened + half);
  halt(all);
  for (int i = 0; i < all; i++) session_close(opened[i]);
  free(opened);
  return all;
}

static const struct verb {
  const char *name;
  long long (*run)(const struct bench *);
} VERBS[] = {{"one", verb_one},   {"fanout", verb_fanout}, {"exec", verb_exec},
             {"down", verb_down}, {"up", verb_up},         {"idle", verb_idle}};

/* The command line */

static void option_read(struct options *opt, const char *name, const char *value) {
  const struct {
    const char *name, **text;
  } texts[] = {
      {"--hosts", &opt->hosts},  {"--key", &opt->key},         {"--known-hosts", &opt->known_hosts},
      {"--user", &opt->user},    {"--command", &opt->command}, {"--kex", &opt->kex},
      {"--cipher", &opt->cipher}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (strcmp(name, texts[i].name) != 0) continue;
    *texts[i].text = value;
    return;
  }
  if (strcmp(name, "--parallel") == 0)
    opt->parallel = atoi(value);
  else if (strcmp(name, "--count") == 0)
    opt->count = atoi(value);
  else if (strcmp(name, "--port") == 0)
    opt->port = (unsigned)atoi(value);
  else if (strcmp(name, "--bytes") == 0)
    opt->bytes = atoll(value);
  else
    die("unknown option %s", name);
}

static void hosts_read(struct bench *b) {
  FILE *file = fopen(b->opt.hosts, "r");
  size_t size = 0;
  if (!file || getdelim(&b->list, &size, '\0', file) < 0) die("cannot read %s", b->opt.hosts);
  fclose(file);
  b->hosts = allocate(strlen(b->list), sizeof *b->hosts);
  for (char *word = strtok(b->list, "\n"); word; word = strtok(NULL, "\n"))
    b->hosts[b->host_count++] = word;
}

int main(int argc, char **argv) {
  struct bench b = {0};
  if (argc < 2 || argc % 2 != 0) die("usage: libssh-client VERB [--OPTION VALUE]...");
  for (int i = 2; i < argc; i += 2) option_read(&b.opt, argv[i], argv[i + 1]);
  hosts_read(&b);
  if (ssh_pki_import_privkey_file(b.opt.key, NULL, NULL, NULL, &b.key) != SSH_OK)
    die("cannot read %s", b.opt.key);

  for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++) {
    if (strcmp(argv[1], VERBS[i].name) != 0) continue;
    printf("ok %lld\n", VERBS[i].run(&b));
    ssh_key_free(b.key);
    free(b.hosts);
    free(b.list);
    return 0;
  }
  die("unknown verb %s", argv[1]);
}
