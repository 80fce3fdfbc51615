/* What a terminal sends for a paste when it has been asked to say so (ESC[?2004h): the text between
   ESC[200~ and ESC[201~, byte by byte, to text that can stand in a line. Pure. */
#ifndef SL_PASTE_H
#define SL_PASTE_H

#include <stdbool.h>
#include <stddef.h>

#define SL_PASTE_ON "\033[?2004h"
#define SL_PASTE_OFF "\033[?2004l"
#define SL_PASTE_BEGIN "\033[200~"

enum { SL_PASTE_MAX = 1 << 20 }; /* bytes of one paste; what is longer is not taken at all */

typedef struct sl_paste {
  char *text;
  size_t len, size;
  char tail[6];
  bool open, too_long;
} sl_paste;

void sl_paste_begin(sl_paste *p);

/* The next byte of an open paste: true when it was the last one. */
bool sl_paste_feed(sl_paste *p, char byte);

/* The text of a paste that has ended, for free(); NULL: nothing, or more than may be. Line ends are
   LF, none at its end; what is no UTF-8 is '?'; tabs are kept, other control characters are not. */
char *sl_paste_take(sl_paste *p);

void sl_paste_drop(sl_paste *p);

#endif
