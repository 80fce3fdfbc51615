/* Input for the interactive mode that comes in the loop's own time, so that sessions and timers go
   on while a person types: readable(fd, done), and a line editor on the terminal. The editor is
   libedit's own interface, not its imitation of readline's: that one has only global state.

   Between two lines the terminal is as we found it, so that a running call may use it. Knows keys
   and lines; must not know Lua's syntax or what a line does. */
#include "host/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/watch.h"

/* A watch on a duplicate of fd. libuv makes it non-blocking, and with it the fd of everybody who
   has the same open file (a shell, our stdout): undone at once, for epoll and kqueue do not need
   it. NULL: fd cannot be watched. */
static sl_watch *watch_duplicate(sl_loop *loop, int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), flags = fcntl(fd, F_GETFL);
  if (copy < 0 || flags < 0) return NULL;
  sl_watch *w = sl_watch_new(loop, copy);
  fcntl(fd, F_SETFL, flags);
  if (!w) close(copy);
  return w;
}

/* readable(fd, done): done(nil) when a read would not block; at once when fd is a file.
 * -------------------------------------------------------------------------------------------- */

typedef struct readable_op {
  sl_op op;
  sl_watch *watch;
} readable_op;

static bool readable_cancel(sl_op *op) {
  (void)op;
  return true;
}

static void readable_clean(sl_op *op) {
  readable_op *r = (readable_op *)op;
  if (r->watch) sl_watch_close(r->watch);
  r->watch = NULL;
}

static const sl_op_kind readable_kind = {
    .name = "readable", .cancel = readable_cancel, .clean = readable_clean};

static void readable_ready(sl_watch *w, int events) {
  (void)events;
  readable_op *r = w->owner;
  sl_watch_want(w, 0);
  sl_op_finish(&r->op);
}

static int l_readable(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  sl_check_done(L, 2);
  sl_loop *loop = sl_loop_get(L);
  readable_op *r = sl_op_new(loop, &readable_kind, sizeof *r);
  if (!r) return luaL_error(L, "not enough memory");
  sl_op_start(L, &r->op, 2, 0);
  r->watch = watch_duplicate(loop, fd);
  if (!r->watch) {
    sl_op_finish(&r->op);
    return 1;
  }
  r->watch->owner = r;
  r->watch->ready = readable_ready;
  sl_watch_want(r->watch, UV_READABLE);
  return 1;
}

static const luaL_Reg input_functions[] = {{"readable", l_readable}, {NULL, NULL}};

#ifndef SL_HAVE_EDIT

void sl_repl_open(lua_State *L) {
  luaL_setfuncs(L, input_functions, 0);
}

#else

#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <wchar.h>

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
  bool first_key, gone; /* no key of this event read yet; the terminal is gone */
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

static bool read_byte(editor *ed, char *byte) {
  ssize_t n = key_waits(ed, ed->first_key ? 0 : SEQUENCE_MS) ? read(ed->watch->fd, byte, 1) : -2;
  ed->first_key = false;
  if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN)) ed->gone = true;
  return n == 1;
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

/* Lines
 * -------------------------------------------------------------------------------------------- */

/* The terminal is as before and the line is not active any more. */
static void editor_rest(editor *ed) {
  sl_watch_want(ed->watch, 0);
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
    if (i > 0 && !key_waits(ed, 0)) return;
    int len = 0;
    ed->first_key = true;
    const char *text = el_gets(ed->el, &len);
    if (ed->gone || (text && is_eof(text, len)))
      line_end(ed, NULL, 0);
    else if (text && len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
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

static void line_clean(sl_op *op) {
  line_op *x = (line_op *)op;
  if (x->ed) editor_rest(x->ed);
  free(x->prompt);
  free(x->line);
}

static const sl_op_kind line_kind = {
    .name = "editor.read", .push = line_push, .cancel = line_cancel, .clean = line_clean};

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
  el_set(ed->el, EL_UNBUFFERED, 1); /* shows the prompt */
  sl_watch_want(ed->watch, UV_READABLE);
  return 1;
}

/* editor:add(line) to the history */
static int l_editor_add(lua_State *L) {
  editor *ed = sl_box_check(L, 1, EDITOR_CLASS);
  HistEvent event;
  history(ed->history, &event, H_ENTER, luaL_checkstring(L, 2));
  return 0;
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
  ed->watch = watch_duplicate(ed->loop, STDIN_FILENO);
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

/* editor(complete) -> editor on the terminal that is stdin and stdout, or nil. complete(text) is
   called with what stands before the cursor; it must not wait. */
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
  if (!editor_start(ed)) {
    editor_free(ed);
    return 0;
  }
  sl_own(loop, &ed->owned, editor_shut);
  ed->complete_ref = sl_ref(L, 1);
  return 1;
}

static const luaL_Reg editor_functions[] = {{"editor", l_editor}, {NULL, NULL}};
static const luaL_Reg editor_methods[] = {
    {"read", l_editor_read}, {"add", l_editor_add}, {"refresh", l_editor_refresh}, {NULL, NULL}};
static const luaL_Reg editor_meta[] = {{"__gc", l_editor_gc}, {NULL, NULL}};

void sl_repl_open(lua_State *L) {
  sl_class(L, EDITOR_CLASS, editor_methods, editor_meta);
  luaL_setfuncs(L, input_functions, 0);
  luaL_setfuncs(L, editor_functions, 0);
}

#endif
