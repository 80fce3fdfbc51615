/* What is typed and pasted: one key at a time for libedit, and what it has none of, pastes that the
   terminal marks (base/paste). They are looked for before libedit sees a key, whatever it is doing
   with keys just then: no line end and no control character in a paste may act. */
#include "host/host.h"

#ifdef SL_HAVE_EDIT

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "host/editor.h"

/* What an escape key may keep us waiting for the rest of its sequence. */
enum { SEQUENCE_MS = 200, PASTED_PER_EVENT = 4096 };

static sl_editor *editor_of(EditLine *el) {
  sl_editor *ed;
  el_get(el, EL_CLIENTDATA, &ed);
  return ed;
}

/* Keys
 * -------------------------------------------------------------------------------------------- */

static bool is_readable(const sl_editor *ed, int timeout) {
  struct pollfd p = {.fd = ed->watch->fd, .events = POLLIN};
  return poll(&p, 1, timeout) > 0;
}

bool sl_editor_key_waits(const sl_editor *ed) {
  return ed->held_done < ed->held_len || is_readable(ed, 0);
}

static bool next_byte(sl_editor *ed, char *byte) {
  ssize_t n = is_readable(ed, ed->first_key ? 0 : SEQUENCE_MS) ? read(ed->watch->fd, byte, 1) : -2;
  ed->first_key = false;
  if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN)) ed->gone = true;
  return n == 1;
}

static void hold(sl_editor *ed, const char *bytes, unsigned len) {
  memcpy(ed->held, bytes, len);
  ed->held_len = len;
  ed->held_done = 0;
}

/* After an escape key. */
static void look_for_paste(sl_editor *ed) {
  static const char begin[] = SL_PASTE_BEGIN;
  char seen[sizeof begin];
  unsigned n = 0;
  do {
    if (!next_byte(ed, &seen[n])) {
      ed->first_key = true; /* libedit need not wait once more */
      return hold(ed, seen, n);
    }
    n++;
    if (seen[n - 1] != begin[n]) return hold(ed, seen, n);
  } while (n < sizeof begin - 2);
  sl_paste_begin(&ed->paste);
}

static bool read_byte(sl_editor *ed, char *byte) {
  bool was_held = ed->held_done < ed->held_len;
  if (was_held)
    *byte = ed->held[ed->held_done++];
  else if (!next_byte(ed, byte))
    return false;
  if (*byte == '\033' && ed->held_done == ed->held_len) look_for_paste(ed);
  return !ed->paste.open;
}

static int signal_of(const sl_editor *ed, char byte) {
  const cc_t *keys = ed->before.c_cc;
  cc_t key = (cc_t)byte;
  if (key == _POSIX_VDISABLE || !(ed->before.c_lflag & ISIG)) return 0;
  if (key == keys[VINTR]) return SIGINT;
  if (key == keys[VSUSP]) return SIGTSTP;
  return key == keys[VQUIT] ? SIGQUIT : 0;
}

/* One character for libedit: 1, or 0 when none came in time, which gives up the sequence. The
   terminal makes no signals of keys meanwhile: it would also make them of what is pasted. */
static int read_key(EditLine *el, wchar_t *key) {
  sl_editor *ed = editor_of(el);
  mbstate_t state = {0};
  char byte;
  while (read_byte(ed, &byte)) {
    int signum = signal_of(ed, byte);
    if (signum) {
      kill(getpid(), signum);
      return 0;
    }
    size_t rc = mbrtowc(key, &byte, 1, &state);
    if (rc == (size_t)-2) continue;
    if (rc == (size_t)-1) *key = L'?';
    ed->entered = *key == L'\n' || *key == L'\r';
    return 1;
  }
  return 0;
}

/* Calls complete(text before the cursor) -> what to insert, what to show. Leaves two values. */
static bool ask_completer(sl_editor *ed, const char *text, size_t len) {
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
  sl_editor *ed = editor_of(el);
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

/* By libedit, when it meets the sequence that begins a paste: what is offered goes into the line,
   with one_line up to its first line end. */
static unsigned char insert_offered(EditLine *el, int key) {
  (void)key;
  sl_editor *ed = editor_of(el);
  char *text = ed->offered, *end = text && ed->one_line ? strchr(text, '\n') : NULL;
  if (!text) return CC_NORM;
  ed->offered = end ? strdup(end + 1) : NULL;
  if (end) *end = '\0';
  int rc = el_insertstr(el, text);
  free(text);
  return rc == 0 ? CC_REFRESH : CC_ERROR;
}

void sl_editor_insert_soon(sl_editor *ed) {
  if (ed->offered) hold(ed, SL_PASTE_BEGIN, sizeof SL_PASTE_BEGIN - 1);
}

/* In front of what is offered already. */
static void offer(sl_editor *ed, char *text) {
  size_t len = strlen(text), more = ed->offered ? strlen(ed->offered) : 0;
  char *both = more ? realloc(text, len + more + 2) : text;
  if (!both) {
    free(text);
    return;
  }
  if (more) {
    both[len] = '\n';
    memcpy(both + len + 1, ed->offered, more + 1);
  }
  free(ed->offered);
  ed->offered = both;
}

static void paste_end(sl_editor *ed) {
  char *text = sl_paste_take(&ed->paste);
  bool wanted = !ed->unwanted;
  ed->unwanted = false;
  if (text && wanted) {
    offer(ed, text);
    sl_editor_insert_soon(ed);
    return;
  }
  free(text);
  if (!wanted) return;
  el_beep(ed->el);
  fflush(stdout);
}

bool sl_editor_read_paste(sl_editor *ed) {
  if (!is_readable(ed, 0)) return false;
  for (int i = 0; i < PASTED_PER_EVENT;
       i++) { /* one by one: what comes after it is not of the paste */
    char byte;
    ed->first_key = true;
    if (!next_byte(ed, &byte)) return ed->gone;
    if (!sl_paste_feed(&ed->paste, byte)) continue;
    paste_end(ed);
    return true;
  }
  return true;
}

void sl_editor_drop_paste(sl_editor *ed) {
  free(ed->offered);
  ed->offered = NULL;
  ed->held_len = ed->held_done = 0;
  if (ed->unwanted) sl_paste_drop(&ed->paste);
  ed->unwanted = ed->paste.open;
}

/* Binding
 * -------------------------------------------------------------------------------------------- */

void sl_editor_bind(sl_editor *ed) {
  EditLine *el = ed->el;
  /* The wide ones keep our pointers; the others leak copies. */
  el_wset(el, EL_ADDFN, L"sshlua-complete", L"complete a Lua name", complete);
  el_wset(el, EL_ADDFN, L"sshlua-paste", L"insert what was pasted", insert_offered);
  el_set(el, EL_BIND, "^I", "sshlua-complete", NULL);
  el_set(el, EL_BIND, "^V", "ed-insert", NULL); /* the quoting one takes a pause for the end */
  el_set(el, EL_SETTY, "-d", "-isig", NULL);
  el_source(el, NULL);
  el_set(el, EL_BIND, "\\e[200~", "sshlua-paste", NULL);
  el_set(el, EL_GETCFN, read_key);
}

#endif
