/* The line editor's parts: editor.c has its lines and its life, editor_keys.c what is typed and
 * pasted. */
#ifndef SL_EDITOR_H
#define SL_EDITOR_H

#include <histedit.h>
#include <stdbool.h>
#include <termios.h>

#include "base/paste.h"
#include "loop/op.h"
#include "loop/watch.h"

typedef struct sl_line_op sl_line_op;

typedef struct sl_editor {
  EditLine *el;
  History *history;
  sl_loop *loop;
  sl_owned owned;
  sl_watch *watch;
  void **box;
  sl_line_op *active;
  int complete_ref;
  struct termios before; /* the terminal's settings while no line is read */
  sl_paste paste;
  char *offered;                    /* pasted, and not yet in a line */
  char held[sizeof SL_PASTE_BEGIN]; /* keys that were looked at and are still to be read */
  unsigned held_len, held_done;
  bool first_key, gone; /* no key of this event read yet; the terminal is gone */
  bool entered;         /* the last key was the one that ends lines */
  bool one_line;        /* each line of a paste waits for that key */
  bool marks, guarded;  /* the terminal marks pastes; signals put it back */
  bool unwanted;        /* the paste that is open was interrupted */
} sl_editor;

struct sl_line_op {
  sl_op op;
  sl_editor *ed; /* NULL: over */
  char *prompt, *line;
};

/* Binds what is ours, and has libedit get its keys here. */
void sl_editor_bind(sl_editor *ed);

bool sl_editor_key_waits(const sl_editor *ed);

/* Reads what has come of an open paste; false: its rest is still to come. */
bool sl_editor_read_paste(sl_editor *ed);

/* The next key inserts what is offered. */
void sl_editor_insert_soon(sl_editor *ed);

/* ^C: what is offered is not wanted, nor the rest of an open paste; twice, and nobody waits for its
 * end. */
void sl_editor_drop_paste(sl_editor *ed);

#endif
