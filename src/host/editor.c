/* A line editor on the terminal, in the loop's own time. It is libedit's own interface, not its
   imitation of readline's: that one has only global state.

   Between two lines the terminal is as we found it, so that a running call may use it; so it is
   when a signal ends or stops the program. Knows lines; must not know Lua's syntax or what a line
   does. */
#include "host/host.h"

#ifndef SL_HAVE_EDIT

void sl_editor_open(lua_State *L) {
  (void)L;
}

#else

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "host/editor.h"
#include "loop/ttyguard.h"

#define EDITOR_CLASS "sshlua.editor"

enum { KEYS_PER_EVENT = 256, HISTORY_LINES = 1000 };

static char *prompt_of(EditLine *el) {
  static char empty[] = "";
  sl_editor *ed;
  el_get(el, EL_CLIENTDATA, &ed);
  return ed->active ? ed->active->prompt : empty;
}

/* Lines
 * -------------------------------------------------------------------------------------------- */

/* The terminal is as before and the line is not active any more. */
static void editor_rest(sl_editor *ed) {
  sl_watch_want(ed->watch, 0);
  if (ed->guarded) sl_ttyguard_give_back();
  ed->guarded = false;
  el_set(ed->el, EL_UNBUFFERED, 0);
  ed->active->ed = NULL;
  ed->active = NULL;
}

static void line_end(sl_editor *ed, const char *text, size_t len) {
  sl_line_op *x = ed->active;
  editor_rest(ed);
  if (text && !(x->line = strndup(text, len)))
    sl_err_set(&x->op.err, SL_MEMORY, "ENOMEM", 0, "not enough memory for a line");
  sl_op_finish(&x->op);
}

/* ^D on an empty line: libedit says CC_EOF and leaves the key in the line. */
static bool is_eof(const char *text, int len) {
  return len == 1 && text[0] == 4;
}

static void keys_ready(sl_watch *w, int events) {
  (void)events;
  sl_editor *ed = w->owner;
  for (int i = 0; i < KEYS_PER_EVENT && ed->active; i++) {
    if (ed->paste.open) {
      if (!sl_editor_read_paste(ed)) return;
      if (ed->gone) line_end(ed, NULL, 0);
      continue;
    }
    if (i > 0 && !sl_editor_key_waits(ed)) return;
    int len = 0;
    ed->first_key = true;
    ed->entered = false;
    const char *text = el_gets(ed->el, &len);
    if (ed->gone || (text && is_eof(text, len)))
      line_end(ed, NULL, 0);
    else if (text && len > 0 && ed->entered && (text[len - 1] == '\n' || text[len - 1] == '\r'))
      line_end(ed, text, (size_t)len - 1);
  }
}

static int line_push(sl_op *op, lua_State *L) {
  const sl_line_op *x = (const sl_line_op *)op;
  lua_pushstring(L, x->line); /* nil: the end of input */
  return 1;
}

static bool line_cancel(sl_op *op) {
  (void)op;
  return true;
}

static void line_clean(sl_op *op) {
  sl_line_op *x = (sl_line_op *)op;
  if (x->ed) {
    sl_editor_drop_paste(x->ed);
    editor_rest(x->ed);
  }
  free(x->prompt);
  free(x->line);
}

static const sl_op_kind line_kind = {
    .name = "editor.read", .push = line_push, .cancel = line_cancel, .clean = line_clean};

static void editor_begin(sl_editor *ed) {
  int fd = ed->watch->fd;
  bool known = tcgetattr(fd, &ed->before) == 0;
  /* What was typed while a line ran was not meant for the next one. */
  if (ed->one_line && !ed->paste.open) tcflush(fd, TCIFLUSH);
  ed->held_len = ed->held_done = 0;
  el_set(ed->el, EL_UNBUFFERED, 1); /* shows the prompt */
  fflush(stdout);
  const char *on = ed->marks ? SL_PASTE_ON : "", *off = ed->marks ? SL_PASTE_OFF : "";
  ed->guarded = known && sl_ttyguard_edit(fd, &ed->before, on, off) == 0;
  sl_watch_want(ed->watch, UV_READABLE);
  sl_editor_insert_soon(ed);
  if (ed->offered) keys_ready(ed->watch, UV_READABLE);
}

/* editor:read(prompt, done): done(nil, line), or done(nil, nil) at the end of input. */
static int l_editor_read(lua_State *L) {
  sl_editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  const char *prompt = luaL_checkstring(L, 2);
  sl_check_done(L, 3);
  if (ed->active) return luaL_error(L, "a line is being read already");
  sl_line_op *x = sl_op_new(ed->loop, &line_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  sl_op_start(L, &x->op, 3, 1);
  x->prompt = strdup(prompt);
  if (!x->prompt) {
    sl_err_set(&x->op.err, SL_MEMORY, "ENOMEM", 0, "not enough memory for a prompt");
    sl_op_finish(&x->op);
    return 1;
  }
  x->ed = ed;
  ed->active = x;
  editor_begin(ed);
  return 1;
}

/* editor:add(line) to the history */
static int l_editor_add(lua_State *L) {
  sl_editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  HistEvent event;
  history(ed->history, &event, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

/* editor:waiting() -> how many pasted lines the next reads will offer */
static int l_editor_waiting(lua_State *L) {
  const sl_editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  lua_Integer n = ed->offered != NULL;
  for (const char *c = ed->offered; c && *c; c++) n += *c == '\n';
  lua_pushinteger(L, n);
  return 1;
}

/* editor:refresh(): after SIGCONT or SIGWINCH */
static int l_editor_refresh(lua_State *L) {
  sl_editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  if (!ed->active) return 0;
  el_set(ed->el, EL_PREP_TERM, 0);
  el_set(ed->el, EL_PREP_TERM, 1);
  el_resize(ed->el);
  el_set(ed->el, EL_REFRESH);
  return 0;
}

/* Life
 * -------------------------------------------------------------------------------------------- */

static void editor_free(sl_editor *ed) {
  *ed->box = NULL;
  sl_disown(&ed->owned);
  if (ed->active) editor_rest(ed);
  if (ed->watch) sl_watch_close(ed->watch);
  if (ed->el) el_end(ed->el);
  if (ed->history) history_end(ed->history);
  sl_paste_drop(&ed->paste);
  free(ed->offered);
  sl_unref(ed->loop->anchor, &ed->complete_ref);
  free(ed);
}

static void editor_shut(sl_owned *owned) {
  editor_free((sl_editor *)((char *)owned - offsetof(sl_editor, owned)));
}

static int l_editor_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  if (*box) editor_free(*box);
  return 0;
}

/* Typed characters are the terminal's: UTF-8 unless the locale says otherwise. */
static void set_character_type(void) {
  setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
}

static bool editor_start(sl_editor *ed) {
  HistEvent event;
  set_character_type();
  ed->watch = sl_watch_duplicate(ed->loop, STDIN_FILENO);
  ed->history = history_init();
  ed->el = el_init("sshlua", stdin, stdout, stderr);
  if (!ed->watch || !ed->history || !ed->el) return false;
  ed->watch->owner = ed;
  ed->watch->ready = keys_ready;
  history(ed->history, &event, H_SETSIZE, HISTORY_LINES);
  history(ed->history, &event, H_SETUNIQUE, 1);
  el_set(ed->el, EL_CLIENTDATA, ed);
  el_set(ed->el, EL_PROMPT_ESC, prompt_of, '\1');
  el_set(ed->el, EL_SIGNAL, 0);
  el_set(ed->el, EL_EDITOR, "emacs");
  el_set(ed->el, EL_HIST, history, ed->history);
  sl_editor_bind(ed);
  return true;
}

/* A terminal that is too simple for anything gets no sequence that it might show. */
static bool marks_pastes(void) {
  const char *term = getenv("TERM");
  return term && *term && strcmp(term, "dumb") != 0;
}

/* editor(complete [, one_line]) -> editor on the terminal that is stdin and stdout, or nil.
   complete(text) is called with what stands before the cursor; it must not wait. one_line: a pasted
   line end ends the line for the time being, and what follows is offered line by line at the next
   reads; else it is part of the line. */
static int l_editor(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return 0;
  sl_loop *loop = sl_loop_get(L);
  void **box = sl_box_new(L, EDITOR_CLASS);
  sl_editor *ed = calloc(1, sizeof *ed);
  if (!ed) return luaL_error(L, "not enough memory");
  *box = ed;
  ed->box = box;
  ed->loop = loop;
  ed->complete_ref = LUA_NOREF;
  ed->one_line = lua_toboolean(L, 2);
  ed->marks = marks_pastes();
  if (!editor_start(ed)) {
    editor_free(ed);
    return 0;
  }
  sl_own(loop, &ed->owned, editor_shut);
  ed->complete_ref = sl_ref(L, 1);
  return 1;
}

static const luaL_Reg editor_functions[] = {{"editor", l_editor}, {NULL, NULL}};
static const luaL_Reg editor_methods[] = {{"read", l_editor_read},
                                          {"add", l_editor_add},
                                          {"refresh", l_editor_refresh},
                                          {"waiting", l_editor_waiting},
                                          {NULL, NULL}};
static const luaL_Reg editor_meta[] = {{"__gc", l_editor_gc}, {NULL, NULL}};

void sl_editor_open(lua_State *L) {
  sl_class(L, EDITOR_CLASS, editor_methods, editor_meta);
  luaL_setfuncs(L, editor_functions, 0);
}

#endif
