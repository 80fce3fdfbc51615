/* The table of requests, and what goes out. What comes in is in client_in.c. */
#include "sftp/client.h"

#include <stdlib.h>
#include <string.h>

#include "sftp/client_in.h"

/* --- the table -------------------------------------------------------------------------------- */

enum { NO_SLOT = 0xffffffffu, SLOTS_FIRST = 64, SLOTS_MAX = 65536 };

static bool grow_slots(sl_sftp_client *c) {
  uint32_t size = c->slots_size ? c->slots_size * 2 : SLOTS_FIRST;
  if (size > SLOTS_MAX) return false;
  uint32_t in = c->slot_in ? (uint32_t)(c->slot_in - c->slots) : 0;
  sl_sftp_slot *slots = realloc(c->slots, size * sizeof *slots);
  if (!slots) return false;
  if (c->slot_in) c->slot_in = slots + in;
  c->slots = slots;
  c->slots_size = size;
  return true;
}

/* An id is a place in the table and a number that tells its tenants apart. */
static sl_sftp_slot *take_slot(sl_sftp_client *c) {
  uint32_t at = c->free_slot;
  if (at != NO_SLOT) {
    c->free_slot = c->slots[at].next_free;
  } else {
    if (c->slots_used == c->slots_size && !grow_slots(c)) return NULL;
    at = c->slots_used++;
  }
  if (++c->generation == 0) c->generation = 1;
  sl_sftp_slot *s = &c->slots[at];
  memset(s, 0, sizeof *s);
  s->id = (uint32_t)c->generation << 16 | at;
  c->in_flight++;
  return s;
}

sl_sftp_slot *sl_sftp_slot_of(sl_sftp_client *c, uint32_t id) {
  uint32_t at = id & 0xffff;
  return id != 0 && at < c->slots_used && c->slots[at].id == id ? &c->slots[at] : NULL;
}

sl_sftp_request *sl_sftp_free_slot(sl_sftp_client *c, sl_sftp_slot *s) {
  sl_sftp_request *r = s->request;
  if (r) r->id = 0;
  s->request = NULL;
  s->id = 0;
  s->next_free = c->free_slot;
  c->free_slot = (uint32_t)(s - c->slots);
  c->in_flight--;
  return r;
}

static int why_not(const sl_sftp_client *c, sl_err *err) {
  if (c->err.kind) {
    *err = c->err;
    return -1;
  }
  if (c->in_flight >= SL_SFTP_IN_FLIGHT_MAX)
    return sl_err_set(err, SL_LIMIT, NULL, 0,
                      "more than %d requests to the SFTP server are under way",
                      SL_SFTP_IN_FLIGHT_MAX);
  return sl_err_set(err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
}

/* r may be NULL: a ghost from the start. */
static sl_sftp_slot *enter(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_expects expects) {
  if (c->err.kind || c->in_flight >= SL_SFTP_IN_FLIGHT_MAX) return NULL;
  sl_sftp_slot *s = take_slot(c);
  if (!s) return NULL;
  s->request = r;
  s->expects = expects;
  if (r) {
    s->room = r->room;
    r->id = s->id;
  }
  return s;
}

uint32_t sl_sftp_take_id(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_expects expects,
                         sl_err *err) {
  sl_sftp_slot *s = enter(c, r, expects);
  if (s) return s->id;
  why_not(c, err);
  return 0;
}

void sl_sftp_unask(sl_sftp_client *c, sl_sftp_request *r) {
  sl_sftp_slot *s = sl_sftp_slot_of(c, r->id);
  if (s) sl_sftp_free_slot(c, s);
}

void sl_sftp_forget(sl_sftp_client *c, sl_sftp_request *r) {
  sl_sftp_slot *s = sl_sftp_slot_of(c, r->id);
  if (s) s->request = NULL;
  r->id = 0;
}

/* --- output ----------------------------------------------------------------------------------- */

static void append_segment(sl_sftp_client *c, sl_sftp_segment *s) {
  s->next = NULL;
  *c->out_tail = s;
  c->out_tail = &s->next;
}

static sl_sftp_segment *last_segment(const sl_sftp_client *c) {
  return c->out ? (sl_sftp_segment *)((char *)c->out_tail - offsetof(sl_sftp_segment, next)) : NULL;
}

static sl_buf *own_bytes(sl_sftp_client *c) {
  sl_sftp_segment *s = last_segment(c);
  if (s && !s->data) return &s->own;
  s = calloc(1, sizeof *s);
  if (!s) return NULL;
  append_segment(c, s);
  return &s->own;
}

static void woke(sl_sftp_client *c) {
  if (c->hooks && c->hooks->wake) c->hooks->wake(c);
}

size_t sl_sftp_output(const sl_sftp_client *c, const unsigned char **bytes) {
  for (const sl_sftp_segment *s = c->out; s; s = s->next) {
    *bytes = s->data ? s->data : (const unsigned char *)sl_buf_head(&s->own);
    size_t len = s->data ? s->len : sl_buf_len(&s->own);
    if (len) return len;
  }
  return 0;
}

static void drop_first(sl_sftp_client *c) {
  sl_sftp_segment *s = c->out;
  c->out = s->next;
  if (!c->out) c->out_tail = &c->out;
  if (s->data) {
    if (s->sent) s->sent(s);
  } else {
    sl_buf_free(&s->own);
    free(s);
  }
}

/* The last segment of our own stays for the next packet. */
static bool is_spent(const sl_sftp_segment *s) {
  return s->data ? s->len == 0 : sl_buf_len(&s->own) == 0 && s->next;
}

void sl_sftp_took(sl_sftp_client *c, size_t len) {
  while (c->out && is_spent(c->out)) drop_first(c);
  sl_sftp_segment *s = c->out;
  if (!s) return;
  c->moved += len;
  if (s->data) {
    s->data += len;
    s->len -= len;
  } else {
    sl_buf_take(&s->own, len);
  }
  if (is_spent(s)) drop_first(c);
}

void sl_sftp_send_segment(sl_sftp_client *c, sl_sftp_segment *s) {
  append_segment(c, s);
  woke(c);
}

static bool is_first(const sl_sftp_client *c, const sl_sftp_segment *s) {
  const sl_sftp_segment *at = c->out;
  while (at != s && (at->data ? at->len : sl_buf_len(&at->own)) == 0) at = at->next;
  return at == s;
}

/* The segment's place is taken by a copy of what has to go out. */
size_t sl_sftp_retract(sl_sftp_client *c, sl_sftp_segment *s, size_t full, size_t stride) {
  sl_sftp_segment **link = &c->out;
  while (*link && *link != s) link = &(*link)->next;
  if (!*link) return full;
  size_t gone = full - s->len, keep = 0;
  /* What stands first may have been promised already, up to a packet of the channel: the SFTP
   * packet after it stays. */
  if (is_first(c, s)) keep = (gone + SL_SFTP_IO_SMALL + stride - 1) / stride * stride;
  if (keep > full) keep = full;
  sl_sftp_segment *copy = calloc(1, sizeof *copy);
  if (!copy || !sl_buf_append(&copy->own, s->data, keep > gone ? keep - gone : 0)) {
    sl_err why = {0};
    free(copy);
    sl_err_set(&why, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    sl_sftp_fail(c, &why);
    return full;
  }
  copy->next = s->next;
  *link = copy;
  if (c->out_tail == &s->next) c->out_tail = &copy->next;
  return keep > gone ? keep : gone;
}

/* --- asking ----------------------------------------------------------------------------------- */

sl_sftp_writer sl_sftp_ask(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_type type,
                           sl_sftp_expects expects) {
  sl_sftp_slot *s = enter(c, r, expects);
  sl_buf *out = s ? own_bytes(c) : NULL;
  if (!out) {
    if (s) sl_sftp_free_slot(c, s);
    return (sl_sftp_writer){NULL, 0, true, false};
  }
  return sl_sftp_begin(out, type, s->id);
}

sl_sftp_writer sl_sftp_ask_extended(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_ext ext,
                                    sl_sftp_expects expects) {
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_EXTENDED, expects);
  const char *name = sl_sftp_ext_name(ext);
  sl_sftp_put_string(&w, name, strlen(name));
  return w;
}

bool sl_sftp_send(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_writer *w, sl_err *err) {
  if (w->out && sl_sftp_end(w)) {
    woke(c);
    return true;
  }
  if (w->too_long)
    sl_err_set(err, SL_LIMIT, NULL, 0, "a request to the SFTP server is too long");
  else
    why_not(c, err);
  sl_sftp_unask(c, r);
  return false;
}

bool sl_sftp_read(sl_sftp_client *c, sl_sftp_request *r, sl_span handle, uint64_t offset,
                  sl_err *err) {
  sl_sftp_writer w = sl_sftp_ask(c, r, SL_FXP_READ, SL_WANT_DATA);
  sl_sftp_put_string(&w, handle.p, handle.n);
  sl_sftp_put_u64(&w, offset);
  sl_sftp_put_u32(&w, r->room);
  return sl_sftp_send(c, r, &w, err);
}

void sl_sftp_close_handle(sl_sftp_client *c, sl_span handle) {
  sl_sftp_slot *s = enter(c, NULL, SL_WANT_STATUS);
  sl_buf *out = s ? own_bytes(c) : NULL;
  if (!out) {
    if (s) sl_sftp_free_slot(c, s);
    return; /* the server closes it when the channel goes */
  }
  uint32_t id = s->id;
  sl_sftp_writer w = sl_sftp_begin(out, SL_FXP_CLOSE, id);
  sl_sftp_put_string(&w, handle.p, handle.n);
  if (sl_sftp_end(&w))
    woke(c);
  else if ((s = sl_sftp_slot_of(c, id)))
    sl_sftp_free_slot(c, s);
}

/* --- life ------------------------------------------------------------------------------------- */

bool sl_sftp_client_init(sl_sftp_client *c, const sl_sftp_hooks *hooks) {
  memset(c, 0, sizeof *c);
  c->hooks = hooks;
  c->free_slot = NO_SLOT;
  c->out_tail = &c->out;
  c->read_max = c->write_max = SL_SFTP_IO_SMALL;
  sl_buf *out = own_bytes(c);
  if (!out) return false;
  sl_sftp_writer w =
      sl_sftp_begin(out, SL_FXP_INIT, SL_SFTP_VERSION); /* the version stands where the id does */
  return sl_sftp_end(&w);
}

void sl_sftp_fail(sl_sftp_client *c, const sl_err *why) {
  if (c->err.kind) return;
  c->err = *why;
  c->slot_in = NULL;
  for (uint32_t i = 0; i < c->slots_used; i++) {
    if (c->slots[i].id == 0) continue;
    sl_sftp_request *r = sl_sftp_free_slot(c, &c->slots[i]);
    if (r) r->done(r, NULL);
  }
  while (c->out) drop_first(c);
  sl_buf_free(&c->body);
  if (c->hooks && c->hooks->failed) c->hooks->failed(c);
}

void sl_sftp_lie(sl_sftp_client *c, const char *what) {
  sl_err why = {0};
  sl_err_set(&why, SL_PROTOCOL, "SFTP", 0, "the SFTP server broke the protocol: %s", what);
  sl_sftp_fail(c, &why);
}

void sl_sftp_client_free(sl_sftp_client *c) {
  sl_err why = {0};
  sl_err_set(&why, SL_CLOSED, NULL, 0, "the SFTP session was closed");
  sl_sftp_fail(c, &why);
  while (c->out) drop_first(c);
  sl_buf_free(&c->body);
  free(c->slots);
  c->slots = NULL;
  c->slots_size = c->slots_used = 0;
}
