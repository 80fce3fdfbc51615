/* A small C stack for the one kind of libssh2 callback that must wait: prompts (keyboard-interactive, password change).
   The callback parks the fibre; the loop and Lua go on; the answers resume it. Lua never runs on a fibre's stack. */
#ifndef SL_FIBRE_H
#define SL_FIBRE_H

#include <stdbool.h>

typedef struct sl_fibre sl_fibre;

sl_fibre *sl_fibre_new(void (*body)(void *arg), void *arg); /* NULL: no memory or no ucontext in this build */
bool sl_fibre_resume(sl_fibre *f);                          /* runs until it parks (true) or ends (false) */
void sl_fibre_park(sl_fibre *f);                            /* from inside the body only */
void sl_fibre_free(sl_fibre *f);                            /* ended or never resumed */

#endif
