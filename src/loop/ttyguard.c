#include "loop/ttyguard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int guarded[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGTSTP,
                              SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,  SIGABRT};
enum { GUARDED = sizeof guarded / sizeof *guarded };

enum { STOPPED_MS = 200 }; /* as long as that a terminal may take nothing */

static struct {
  atomic_flag taken;
  atomic_bool changed; /* the terminal has `asking` and needs `saved` */
  volatile sig_atomic_t signum;
  int fd;
  struct termios saved, asking;
  struct sigaction old[GUARDED];
  bool caught[GUARDED];
  const char *prompt;
  size_t prompt_len;
  uv_async_t *wake; /* NULL: nobody is told */
  int own_fd;       /* raw: a descriptor of the guard's own, 0: none */
  const char *leave; /* what the terminal is told before its settings are put back; NULL: nothing */
  bool has_keys;    /* the terminal goes on making signals of keys */
} guard = {.taken = ATOMIC_FLAG_INIT};

/* TCSANOW, because waiting for output to drain would hang on a terminal that was stopped with ^S.
 */
static void terminal_restore(void) {
  if (!atomic_exchange(&guard.changed, false)) return;
  struct pollfd p = {.fd = guard.fd, .events = POLLOUT};
  if (guard.leave && poll(&p, 1, STOPPED_MS) > 0) { /* nor for what is written */
    ssize_t n = write(guard.fd, guard.leave, strlen(guard.leave));
    (void)n;
  }
  tcsetattr(guard.fd, TCSANOW, &guard.saved);
}

static int terminal_change(void) {
  if (tcsetattr(guard.fd, TCSANOW, &guard.asking) != 0) return -errno;
  atomic_store(&guard.changed, true);
  return 0;
}

static void show_prompt(void) {
  ssize_t n = write(guard.fd, guard.prompt, guard.prompt_len);
  (void)n; /* a terminal that takes nothing now gets the answer without the question */
}

static int slot_of(int signum) {
  for (int i = 0; i < GUARDED; i++) {
    if (guarded[i] == signum) return i;
  }
  return 0;
}

static void on_signal(int signum);

static void catch_signal(int i) {
  struct sigaction mine = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
  sigfillset(&mine.sa_mask);
  sigaction(guarded[i], NULL, &old);
  /* What is ignored (nohup) stays so. */
  if (!(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_IGN) return;
  /* A ^C that somebody hears need not end anything. */
  if (guard.has_keys && guarded[i] == SIGINT && old.sa_handler != SIG_DFL) return;
  guard.old[i] = old;
  guard.caught[i] = true;
  sigaction(guarded[i], &mine, NULL);
}

/* Unless somebody else has put a handler in place of ours. */
static void uncatch_signal(int i) {
  struct sigaction now;
  if (!guard.caught[i]) return;
  guard.caught[i] = false;
  if (sigaction(guarded[i], NULL, &now) == 0 && now.sa_handler == on_signal)
    sigaction(guarded[i], &guard.old[i], NULL);
}

/* In the handler: everything called here is async-signal-safe. */
static void stop_and_go_on(int i) {
  sigset_t set;
  uncatch_signal(i);
  raise(SIGTSTP);
  sigemptyset(&set);
  sigaddset(&set, SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &set, NULL); /* stops here */
  sigprocmask(SIG_BLOCK, &set, NULL);
  catch_signal(i);
  if (terminal_change() == 0) show_prompt();
}

static void on_signal(int signum) {
  int saved_errno = errno;
  int i = slot_of(signum);
  terminal_restore();
  if (signum == SIGTSTP) {
    stop_and_go_on(i);
  } else {
    guard.signum = signum;
    uncatch_signal(i);
    if (guard.wake) uv_async_send(guard.wake);
    raise(signum); /* pending until this handler returns, then the old action has it */
  }
  errno = saved_errno;
}

static void settings_for_asking(bool echo) {
  struct termios t = guard.saved;
  /* Whatever state the terminal is in: whole lines, erase and ^U work, ^C is a signal. */
  t.c_lflag |= ICANON | ISIG;
  t.c_iflag |= ICRNL;
  t.c_iflag &= ~(tcflag_t)(IGNCR | INLCR);
  t.c_oflag |= OPOST;
  if (echo)
    t.c_lflag |= ECHO | ECHOE | ECHOK;
  else
    t.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
  guard.asking = t;
}

/* Every byte as it is typed, and nothing else done with it; the output is not touched either. */
static void settings_for_raw(void) {
  struct termios t = guard.saved;
  t.c_iflag |= IGNPAR;
  t.c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF);
  t.c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
  t.c_oflag &= ~(tcflag_t)OPOST;
  t.c_cc[VMIN] = 1;
  t.c_cc[VTIME] = 0;
  guard.asking = t;
}

/* Every key at once and unseen, but ^C, ^Z and ^\ stay signals. Lines end where they are told to. */
static void settings_for_screen(void) {
  struct termios t = guard.saved;
  t.c_iflag &= ~(tcflag_t)(IXON | IXOFF);
  t.c_lflag |= ISIG;
  t.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
  t.c_cc[VMIN] = 1;
  t.c_cc[VTIME] = 0;
  guard.asking = t;
}

static int guard_open(int fd) {
  if (atomic_flag_test_and_set(&guard.taken)) return UV_EBUSY;
  if (tcgetattr(fd, &guard.saved) != 0) {
    int rc = -errno;
    atomic_flag_clear(&guard.taken);
    return rc;
  }
  guard.fd = fd;
  guard.signum = 0;
  guard.own_fd = 0;
  guard.leave = NULL;
  guard.has_keys = false;
  return 0;
}

/* First the handlers: a signal between the two finds nothing to put back. */
static int guard_change(void) {
  for (int i = 0; i < GUARDED; i++) catch_signal(i);
  int rc = terminal_change();
  if (rc != 0) sl_ttyguard_give_back();
  return rc;
}

int sl_ttyguard_raw(int fd) {
  int rc = guard_open(fd);
  if (rc != 0) return rc;
  guard.prompt = "";
  guard.prompt_len = 0;
  guard.wake = NULL;
  settings_for_raw();
  rc = guard_change();
  if (rc == 0) guard.own_fd = fd;
  return rc;
}

int sl_ttyguard_edit(int fd, const struct termios *before, const char *on, const char *leave) {
  int rc = guard_open(fd);
  if (rc != 0) return rc;
  guard.asking = guard.saved;
  guard.saved = *before;
  guard.prompt = on;
  guard.prompt_len = strlen(on);
  guard.wake = NULL;
  guard.leave = leave;
  rc = guard_change();
  if (rc == 0) show_prompt();
  return rc;
}

int sl_ttyguard_screen(int fd, const char *enter, const char *leave) {
  if (tcgetpgrp(fd) != getpgrp()) return UV_EPERM; /* in the background: to touch it would stop us */
  int rc = guard_open(fd);
  if (rc != 0) return rc;
  guard.prompt = enter;
  guard.prompt_len = strlen(enter);
  guard.wake = NULL;
  guard.leave = leave;
  guard.has_keys = true;
  settings_for_screen();
  rc = guard_change();
  if (rc != 0) return rc;
  guard.own_fd = fd;
  show_prompt();
  return 0;
}

bool sl_ttyguard_held(void) {
  return atomic_load(&guard.changed);
}

void sl_ttyguard_restore(void) {
  terminal_restore();
}

int sl_ttyguard_take(int fd, bool echo, const char *prompt, size_t len, uv_async_t *caught) {
  int rc = guard_open(fd);
  if (rc != 0) return rc;
  guard.prompt = prompt;
  guard.prompt_len = len;
  guard.wake = caught;
  settings_for_asking(echo);
  rc = guard_change();
  if (rc != 0) return rc;
  if (!echo)
    tcflush(fd, TCIFLUSH); /* what was typed before the question is no answer, and was echoed */
  show_prompt();
  return 0;
}

int sl_ttyguard_signal(void) {
  return guard.signum;
}

void sl_ttyguard_give_back(void) {
  terminal_restore();
  for (int i = 0; i < GUARDED; i++) uncatch_signal(i);
  if (guard.own_fd > 0) close(guard.own_fd);
  guard.own_fd = 0;
  atomic_flag_clear(&guard.taken);
}

/* At exit(), and when the module is unloaded while it asks. */
__attribute__((destructor)) static void put_back_at_exit(void) {
  terminal_restore();
}
