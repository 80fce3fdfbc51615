/* The terminal while somebody is asked something, or has it handed over: its settings are changed here and put back on
   every way out, fatal signals and exit() included. Knows termios and signals; must not know Lua or
   the loop.

   A process has one controlling terminal, and a signal handler needs to find it without an
   argument: the one guard lives in static storage, the only variables of the program that do. */
#ifndef SL_TTYGUARD_H
#define SL_TTYGUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>
#include <uv.h>

/* Takes the guard, changes the terminal fd, catches SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP and
   what a crash is.
   0, or a negative code: UV_EBUSY when the guard is taken (by another Lua state of this process).
   A fatal signal puts the terminal back, ends the guard's catching of it, wakes `caught` and is
   raised again; SIGTSTP stops the process with the terminal put back, and `prompt` is shown again
   afterwards. */
int sl_ttyguard_take(int fd, bool echo, const char *prompt, size_t len, uv_async_t *caught);

/* The same with a terminal that passes every byte as it is. If this succeeds fd is the guard's, which closes it when it
   is given back. */
int sl_ttyguard_raw(int fd);

/* The same for a terminal that somebody else has changed already, from `before`: a line editor. `on` is written now and
   whenever the process goes on, `leave` whenever the terminal is put back; both stay where they are. */
int sl_ttyguard_edit(int fd, const struct termios *before, const char *on, const char *leave);

/* The same with a terminal that is drawn on: `enter` and `leave` (both constants) are what it is told in front and
   afterwards, on every way out. Keys come one by one, but ^C, ^Z and ^\ are signals as ever, and SIGINT is left to
   whoever catches it. UV_EPERM: we are in the background there. */
int sl_ttyguard_screen(int fd, const char *enter, const char *leave);

bool sl_ttyguard_held(void); /* the terminal is as the guard wants it: no signal has put it back */

void sl_ttyguard_restore(void); /* the terminal alone, as it was; may be called by signal handlers before _exit */

int sl_ttyguard_signal(void); /* the fatal signal that came and was survived; 0: none */

void sl_ttyguard_give_back(void); /* the terminal and the signals, as they were */

#endif
