/* A line editor on the terminal, in the loop's own time. It is libedit's own interface, not its
   imitation of readline's: that one has only global state. What libedit has none of is here: pastes
   that the terminal marks (base/paste), whose line ends run nothing.

   Between two lines the terminal is as we found it, so that a running call may use it; so it is
   when a signal ends or stops the program. Knows keys and lines; must not know Lua's syntax or what
   a line does. */
#include "host/host.h"

#ifndef SL_HAVE_EDIT

void sl_editor_open(lua_State *L) {
  (void)L;
}

#else

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "base/paste.h"
#include "loop/op.h"
#include "loop/ttyguard.h"
#include "loop/watch.h"

#define EDITOR_CLASS "sshlua.editor"

/* What an escape key may keep us waiting for the rest of its sequence. */
enum { SEQUENCE_MS = 200, KEYS_PER_EVENT = 256, HISTORY_LINES = 1000 };

typedef struct line_op line_op;

typedef struct editor {
  EditLine *el;
  History *history;
  sl_loop *loop;
  sl_owned owned;
  sl_watch *watch;
  void **box;
  line_op *active;
  int complete_ref;
  sl_paste paste;
  char *offered;                    /* one_line: pasted lines that wait for their turn */
  char held[sizeof SL_PASTE_BEGIN]; /* bytes after an escape key, read to see whether a paste begins
                                     */
  unsigned held_len, held_done;
  bool first_key, gone; /* no key of this event read yet; the terminal is gone */
  bool entered;         /* the last key was the one that ends lines */
  bool one_line;        /* each line of a paste waits for that key */
  bool marks, guarded;  /* the terminal marks pastes; signals put it back */
  bool unwanted;        /* the paste that is open was interrupted */
} editor;

struct line_op {
  sl_op op;
  editor *ed; /* NULL: over */
  char *prompt, *line;
};

/* Keys
 * -------------------------------------------------------------------------------------------- */

static char *prompt_of(EditLine *el) {
  static char empty[] = "";
  editor *ed;
  el_get(el, EL_CLIENTDATA, &ed);
  return ed->active ? ed->active->prompt : empty;
}

static bool key_waits(const editor *ed, int timeout) {
  struct pollfd p = {.fd = ed->watch->fd, .events = POLLIN};
  return poll(&p, 1, timeout) > 0;
}

static bool next_byte(editor *ed, char *byte) {
  ssize_t n = key_waits(ed, ed->first_key ? 0 : SEQUENCE_MS) ? read(ed->watch->fd, byte, 1) : -2;
  ed->first_key = false;
  if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN)) ed->gone = true;
  return n == 1;
}

/* An escape key may begin a paste, whatever libedit is doing with keys just now. */
static void look_for_paste(editor *ed) {
  static const char begin[] = SL_PASTE_BEGIN;
  ed->held_len = ed->held_done = 0;
  while (ed->held_len < sizeof begin - 2) {
    char byte;
    if (!next_byte(ed, &byte)) return;
    ed->held[ed->held_len++] = byte;
    if (byte != begin[ed->held_len]) return;
  }
  ed->held_len = 0;
  sl_paste_begin(&ed->paste);
}

static bool read_byte(editor *ed, char *byte) {
  if (ed->held_done < ed->held_len) {
    *byte = ed->held[ed->held_done++];
    return true;
  }
  if (!next_byte(ed, byte)) return false;
  if (*byte == '\033') look_for_paste(ed);
  return !ed->paste.open;
}

/* One character for libedit: 1, or 0 when none came in time, which gives up the sequence. */
static int read_key(EditLine *el, wchar_t *key) {
  editor *ed;
  el_get(el, EL_CLIENTDATA, &ed);
  mbstate_t state = {0};
  char byte;
  while (read_byte(ed, &byte)) {
    size_t rc = mbrtowc(key, &byte, 1, &state);
    if (rc == (size_t)-2) continue;
    if (rc == (size_t)-1) *key = L'?';
    ed->entered = *key == L'\n' || *key == L'\r';
    return 1;
  }
  return 0;
}

/* Calls complete(text before the cursor) -> what to insert, what to show. Leaves two values. */
static bool ask_completer(editor *ed, const char *text, size_t len) {
  lua_State *L = ed->loop->L;
  if (!L || !lua_checkstack(L, 8)) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, ed->complete_ref);
  lua_pushlstring(L, text, len);
  if (lua_pcall(L, 1, 2, 0) == LUA_OK) return true;
  lua_pop(L, 1);
  return false;
}

static unsigned char complete(EditLine *el, int key) {
  (void)key;
  editor *ed;
  el_get(el, EL_CLIENTDATA, &ed);
  const LineInfo *info = el_line(el);
  if (!ask_completer(ed, info->buffer, (size_t)(info->cursor - info->buffer))) return CC_ERROR;
  lua_State *L = ed->loop->L;
  const char *insert = lua_tostring(L, -2), *show = lua_tostring(L, -1);
  unsigned char rc = CC_ERROR;
  if (insert && *insert && el_insertstr(el, insert) == 0) rc = CC_REFRESH;
  if (show) {
    fprintf(stdout, "\n%s\n", show);
    fflush(stdout);
    rc = CC_REDISPLAY;
  }
  lua_pop(L, 2);
  return rc;
}

/* Pastes
 * -------------------------------------------------------------------------------------------- */

/* The first of the lines that are offered goes into the line, the others wait. */
static void insert_offered(editor *ed) {
  char *text = ed->offered, *end = text ? strchr(text, '\n') : NULL;
  if (!text) return;
  ed->offered = end ? strdup(end + 1) : NULL;
  if (end) *end = '\0';
  el_insertstr(ed->el, text);
  free(text);
}

static void drop_offered(editor *ed) {
  free(ed->offered);
  ed->offered = NULL;
}

/* In front of what is offered already. */
static void offer(editor *ed, char *text) {
  if (ed->offered) {
    size_t len = strlen(text), more = strlen(ed->offered);
    char *both = realloc(text, len + more + 2);
    if (both) {
      both[len] = '\n';
      memcpy(both + len + 1, ed->offered, more + 1);
      text = both;
    }
    free(ed->offered);
  }
  ed->offered = text;
}

static void paste_end(editor *ed) {
  char *text = sl_paste_take(&ed->paste);
  if (ed->unwanted) {
    free(text);
    text = NULL;
  } else if (!text) {
    el_beep(ed->el);
  } else if (ed->one_line) {
    offer(ed, text);
    insert_offered(ed);
  } else {
    el_insertstr(ed->el, text);
    free(text);
  }
  ed->unwanted = false;
  el_set(ed->el, EL_REFRESH);
}

/* What has come of an open paste. False: no more for now. */
static bool paste_read(editor *ed) {
  char bytes[4096];
  if (!key_waits(ed, 0)) return false;
  for (size_t i = 0; i < sizeof bytes; i++) { /* byte by byte: what comes after it is not ours */
    char byte;
    ed->first_key = true;
    if (!next_byte(ed, &byte)) return ed->gone;
    if (!sl_paste_feed(&ed->paste, byte)) continue;
    paste_end(ed);
    return true;
  }
  return true;
}

/* Lines
 * -------------------------------------------------------------------------------------------- */

/* The terminal is as before and the line is not active any more. */
static void editor_rest(editor *ed) {
  sl_watch_want(ed->watch, 0);
  if (ed->guarded) sl_ttyguard_give_back();
  ed->guarded = false;
  el_set(ed->el, EL_UNBUFFERED, 0);
  ed->active->ed = NULL;
  ed->active = NULL;
}

static void line_end(editor *ed, const char *text, size_t len) {
  line_op *x = ed->active;
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
  editor *ed = w->owner;
  for (int i = 0; i < KEYS_PER_EVENT && ed->active; i++) {
    if (ed->paste.open) {
      if (!paste_read(ed)) return;
      if (ed->gone) line_end(ed, NULL, 0);
      continue;
    }
    if (i > 0 && !key_waits(ed, 0)) return;
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
  const line_op *x = (const line_op *)op;
  lua_pushstring(L, x->line); /* nil: the end of input */
  return 1;
}

static bool line_cancel(sl_op *op) {
  (void)op;
  return true;
}

/* ^C: the rest of a paste is not wanted either; twice, and nobody waits for its end. */
static void line_give_up(editor *ed) {
  editor_rest(ed);
  drop_offered(ed);
  if (ed->unwanted) sl_paste_drop(&ed->paste);
  ed->unwanted = ed->paste.open;
}

static void line_clean(sl_op *op) {
  line_op *x = (line_op *)op;
  if (x->ed) line_give_up(x->ed);
  free(x->prompt);
  free(x->line);
}

static const sl_op_kind line_kind = {
    .name = "editor.read", .push = line_push, .cancel = line_cancel, .clean = line_clean};

static void editor_begin(editor *ed) {
  struct termios before;
  int fd = ed->watch->fd;
  bool known = tcgetattr(fd, &before) == 0;
  /* What was typed while a line ran was not meant for the next one. */
  if (ed->one_line && !ed->paste.open) tcflush(fd, TCIFLUSH);
  el_set(ed->el, EL_UNBUFFERED, 1); /* shows the prompt */
  fflush(stdout);
  ed->guarded = known && sl_ttyguard_edit(fd, &before, ed->marks ? SL_PASTE_ON : "",
                                          ed->marks ? SL_PASTE_OFF : "") == 0;
  if (ed->offered) {
    insert_offered(ed);
    el_set(ed->el, EL_REFRESH);
  }
  sl_watch_want(ed->watch, UV_READABLE);
}

/* editor:read(prompt, done): done(nil, line), or done(nil, nil) at the end of input. */
static int l_editor_read(lua_State *L) {
  editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  const char *prompt = luaL_checkstring(L, 2);
  sl_check_done(L, 3);
  if (ed->active) return luaL_error(L, "a line is being read already");
  line_op *x = sl_op_new(ed->loop, &line_kind, sizeof *x);
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
  editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  HistEvent event;
  history(ed->history, &event, H_ENTER, luaL_checkstring(L, 2));
  return 0;
}

/* editor:waiting() -> how many pasted lines the next reads will offer */
static int l_editor_waiting(lua_State *L) {
  const editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  lua_Integer n = ed->offered != NULL;
  for (const char *c = ed->offered; c && *c; c++) n += *c == '\n';
  lua_pushinteger(L, n);
  return 1;
}

/* editor:refresh(): after SIGCONT or SIGWINCH */
static int l_editor_refresh(lua_State *L) {
  editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  if (!ed->active) return 0;
  el_set(ed->el, EL_PREP_TERM, 0);
  el_set(ed->el, EL_PREP_TERM, 1);
  el_resize(ed->el);
  el_set(ed->el, EL_REFRESH);
  return 0;
}

/* Life
 * -------------------------------------------------------------------------------------------- */

static void editor_free(editor *ed) {
  *ed->box = NULL;
  sl_disown(&ed->owned);
  if (ed->active) editor_rest(ed);
  if (ed->watch) sl_watch_close(ed->watch);
  if (ed->el) el_end(ed->el);
  if (ed->history) history_end(ed->history);
  sl_paste_drop(&ed->paste);
  drop_offered(ed);
  sl_unref(ed->loop->anchor, &ed->complete_ref);
  free(ed);
}

static void editor_shut(sl_owned *owned) {
  editor_free((editor *)((char *)owned - offsetof(editor, owned)));
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

static bool editor_start(editor *ed) {
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
  /* The wide one keeps our pointers; the other leaks copies. */
  el_wset(ed->el, EL_ADDFN, L"sshlua-complete", L"complete a Lua name", complete);
  el_set(ed->el, EL_BIND, "^I", "sshlua-complete", NULL);
  el_set(ed->el, EL_BIND, "^V", "ed-insert", NULL); /* the quoting one takes a pause for the end */
  el_source(ed->el, NULL);
  el_set(ed->el, EL_GETCFN, read_key);
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
  editor *ed = calloc(1, sizeof *ed);
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
