/* Many hosts or many commands at once in one thread: poll() says which connections have news, and
 * only the jobs on these take a step. */
#include "client.h"

#include <libssh/callbacks.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

enum stage { FREE, CONNECT, AUTHENTICATE, OPEN, REQUEST, RUN, DONE };

struct job {
  enum stage stage;
  const char *host;
  ssh_session session;
  ssh_event event; /* of the session; set once it is connected */
  ssh_channel channel;
  struct ssh_channel_callbacks_struct callbacks;
  bool closed;
  int status;
};

static void on_exit_status(ssh_session session, ssh_channel channel, int status, void *job) {
  (void)session, (void)channel;
  ((struct job *)job)->status = status;
}

static void on_close(ssh_session session, ssh_channel channel, void *job) {
  (void)session, (void)channel;
  ((struct job *)job)->closed = true;
}

static ssh_event event_new(ssh_session session) {
  ssh_event event = ssh_event_new();
  if (!event || ssh_event_add_session(event, session) != SSH_OK) die("no event loop");
  return event;
}

static void event_free(ssh_event event, ssh_session session) {
  ssh_event_remove_session(event, session);
  ssh_event_free(event);
}

/* A result of libssh's that is not "again": true if it is the good one, false to wait. */
static bool passed(struct job *job, int result, int good, int again) {
  if (result != good && result != again) die("%s: %s", job->host, ssh_get_error(job->session));
  return result == good;
}

static bool job_open(struct job *job) {
  if (!job->channel) {
    job->channel = ssh_channel_new(job->session);
    if (!job->channel) die("%s: %s", job->host, ssh_get_error(job->session));
    job->status = -1;
    job->closed = false;
    job->callbacks = (struct ssh_channel_callbacks_struct){
        .userdata = job,
        .channel_close_function = on_close,
        .channel_exit_status_function = on_exit_status,
    };
    ssh_callbacks_init(&job->callbacks);
    ssh_set_channel_callbacks(job->channel, &job->callbacks);
  }
  return passed(job, ssh_channel_open_session(job->channel), SSH_OK, SSH_AGAIN);
}

/* Goes as far as it gets without waiting. */
static void job_step(const struct bench *b, struct job *job, enum stage last) {
  while (job->stage != last) {
    switch (job->stage) {
    case CONNECT:
      if (!passed(job, ssh_connect(job->session), SSH_OK, SSH_AGAIN)) return;
      check_host_key(job->session, job->host);
      job->event = event_new(job->session);
      job->stage = AUTHENTICATE;
      break;
    case AUTHENTICATE:
      if (!passed(job, ssh_userauth_publickey(job->session, NULL, b->key), SSH_AUTH_SUCCESS,
                  SSH_AUTH_AGAIN))
        return;
      job->stage = OPEN;
      break;
    case OPEN:
      if (!job_open(job)) return;
      job->stage = REQUEST;
      break;
    case REQUEST:
      if (!passed(job, ssh_channel_request_exec(job->channel, b->opt.command), SSH_OK, SSH_AGAIN))
        return;
      job->stage = RUN;
      break;
    case RUN:
      if (!job->closed) return;
      if (job->status != 0) die("%s: exit status %d", job->host, job->status);
      ssh_channel_free(job->channel);
      job->channel = NULL;
      job->stage = DONE;
      break;
    case FREE:
    case DONE:
      return;
    }
  }
}

static void job_connect(const struct bench *b, struct job *job, const char *host) {
  *job = (struct job){.stage = CONNECT, .host = host, .session = session_new(b, host)};
  ssh_set_blocking(job->session, 0);
  job_step(b, job, AUTHENTICATE);
}

static void job_pump(struct job *job) {
  if (!job->event) return;
  if (ssh_event_dopoll(job->event, 0) == SSH_ERROR || !ssh_is_connected(job->session))
    die("%s: %s", job->host, ssh_get_error(job->session));
}

static struct pollfd job_pollfd(const struct job *job) {
  if (job->stage == FREE) return (struct pollfd){.fd = -1};
  bool writing = ssh_get_poll_flags(job->session) & SSH_WRITE_PENDING;
  return (struct pollfd){ssh_get_fd(job->session), writing ? POLLIN | POLLOUT : POLLIN, 0};
}

/* Connects to hosts[0..count-1] and takes each as far as `last`. The sessions stay open, in
 * `opened`, if that is given. */
static void each_host(const struct bench *b, char **hosts, int count, enum stage last,
                      ssh_session *opened) {
  int slots = b->opt.parallel, started = 0, finished = 0;
  struct job *jobs = allocate((size_t)slots, sizeof *jobs);
  struct pollfd *fds = allocate((size_t)slots, sizeof *fds);
  while (finished < count) {
    for (int i = 0; i < slots; i++) {
      if (jobs[i].stage == FREE && started < count) job_connect(b, &jobs[i], hosts[started++]);
      fds[i] = job_pollfd(&jobs[i]);
    }
    if (poll(fds, (nfds_t)slots, TIMEOUT * 1000) <= 0) die("nothing happened for %d s", TIMEOUT);
    for (int i = 0; i < slots; i++) {
      struct job *job = &jobs[i];
      if (fds[i].revents == 0) continue;
      job_pump(job);
      job_step(b, job, last);
      if (job->stage != last) continue;
      event_free(job->event, job->session);
      if (opened)
        *opened++ = job->session;
      else
        session_close(job->session);
      job->stage = FREE;
      finished++;
    }
  }
  free(fds);
  free(jobs);
}

void exec_on_hosts(const struct bench *b) {
  each_host(b, b->hosts, b->host_count, DONE, NULL);
}

void open_hosts(const struct bench *b, char **hosts, int count, ssh_session *opened) {
  each_host(b, hosts, count, OPEN, opened);
}

void exec_on_session(const struct bench *b, ssh_session session) {
  int slots = b->opt.parallel, started = 0, finished = 0;
  struct job *jobs = allocate((size_t)slots, sizeof *jobs);
  ssh_event event = event_new(session);
  ssh_set_blocking(session, 0);
  while (finished < b->opt.count) {
    for (int i = 0; i < slots; i++) {
      struct job *job = &jobs[i];
      if (job->stage == FREE && started < b->opt.count) {
        *job = (struct job){.stage = OPEN, .host = b->hosts[0], .session = session};
        started++;
      }
      job_step(b, job, DONE);
      if (job->stage != DONE) continue;
      job->stage = FREE;
      finished++;
    }
    bool waiting = started == b->opt.count || started - finished == slots;
    if (waiting && finished < b->opt.count && ssh_event_dopoll(event, TIMEOUT * 1000) != SSH_OK)
      die("%s: %s", b->hosts[0], ssh_get_error(session));
  }
  event_free(event, session);
  free(jobs);
}
