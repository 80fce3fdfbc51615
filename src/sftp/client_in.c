/* What the server sends: packets are taken apart as they come. The payload of a DATA reply goes
   straight to the requester's buffer; everything else is small and is looked at when it is
   complete. */
#include "sftp/client_in.h"

#include <ctype.h>
#include <string.h>

enum { LENGTH_FIELD = 4, HEAD = 9, DATA_HEAD = 13 };

/* --- versions --------------------------------------------------------------------------------- */

static void is_ready(sl_sftp_client *c) {
  c->ready = true;
  if (c->hooks && c->hooks->ready) c->hooks->ready(c);
}

static uint32_t io_size(uint64_t said, uint64_t packet) {
  enum { OVERHEAD = 1024, SMALLEST = 1024 };
  if (said == 0) said = SL_SFTP_IO_SMALL;
  if (packet > OVERHEAD && said > packet - OVERHEAD) said = packet - OVERHEAD;
  if (said > SL_SFTP_IO_MAX) said = SL_SFTP_IO_MAX;
  return said < SMALLEST ? SMALLEST : (uint32_t)said;
}

static void limits_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_sftp_client *c = (sl_sftp_client *)((char *)r - offsetof(sl_sftp_client, own));
  if (!reply) return;
  if (reply->type == SL_FXP_EXTENDED_REPLY) {
    sl_reader body = reply->body;
    if (!sl_sftp_get_limits(&body, &c->limits)) {
      sl_sftp_lie(c, "limits that are cut short");
      return;
    }
    c->read_max = io_size(c->limits.read, c->limits.packet);
    c->write_max = io_size(c->limits.write, c->limits.packet);
  }
  is_ready(c);
}

void sl_sftp_ask_limits(sl_sftp_client *c) {
  sl_err err = {0};
  c->own.done = limits_done;
  sl_sftp_writer w = sl_sftp_ask_extended(c, &c->own, SL_EXT_LIMITS, SL_WANT_EXTENDED);
  if (!sl_sftp_send(c, &c->own, &w, &err)) sl_sftp_fail(c, &err);
}

static void on_version(sl_sftp_client *c, sl_reader r) {
  sl_span name, data;
  uint32_t version;
  if (c->greeted) {
    sl_sftp_lie(c, "a second version");
    return;
  }
  if (!sl_get_u32(&r, &version) || version != SL_SFTP_VERSION) {
    sl_err why = {0};
    sl_err_set(&why, SL_PROTOCOL, "SFTP", 0, "the server speaks version %u of SFTP, and not 3",
               version);
    sl_sftp_fail(c, &why);
    return;
  }
  while (sl_reader_left(&r)) {
    if (!sl_get_string(&r, &name) || !sl_get_string(&r, &data)) {
      sl_sftp_lie(c, "an extension that is cut short");
      return;
    }
    c->extensions |= sl_sftp_ext_of(name, data);
  }
  c->greeted = true;
  if (c->own.id != 0) return; /* asked already: ready when they come */
  if (c->extensions & SL_EXT_LIMITS)
    sl_sftp_ask_limits(c);
  else
    is_ready(c);
}

/* --- replies ---------------------------------------------------------------------------------- */

static const sl_sftp_type wanted_type[] = {
    [SL_WANT_STATUS] = SL_FXP_STATUS, [SL_WANT_HANDLE] = SL_FXP_HANDLE,
    [SL_WANT_DATA] = SL_FXP_DATA,     [SL_WANT_NAME] = SL_FXP_NAME,
    [SL_WANT_ATTRS] = SL_FXP_ATTRS,   [SL_WANT_EXTENDED] = SL_FXP_EXTENDED_REPLY,
};

/* Old servers leave the text out. */
static const char *read_status(sl_sftp_reply *reply, sl_sftp_expects expects) {
  sl_reader *r = &reply->body;
  if (!sl_get_u32(r, &reply->status)) return "a status that is cut short";
  if (sl_reader_left(r) && !sl_get_string(r, &reply->text)) return "a status that is cut short";
  if (reply->status == SL_FX_OK && expects != SL_WANT_STATUS)
    return "a status of success where something was asked for";
  return NULL;
}

static const char *read_handle(sl_sftp_reply *reply) {
  if (!sl_get_string(&reply->body, &reply->text)) return "a handle that is cut short";
  if (reply->text.n == 0 || reply->text.n > SL_SFTP_HANDLE_MAX)
    return "a handle of impossible length";
  return NULL;
}

static void deliver(sl_sftp_client *c, sl_sftp_slot *s, const sl_sftp_reply *reply) {
  sl_sftp_request *r = sl_sftp_free_slot(c, s);
  if (r)
    r->done(r, reply);
  else if (reply->type == SL_FXP_HANDLE)
    sl_sftp_close_handle(c, reply->text);
}

/* A whole packet that is no DATA; `body` begins behind the type. */
static void on_packet(sl_sftp_client *c, sl_sftp_type type, const unsigned char *body, size_t len) {
  sl_sftp_reply reply = {.type = type, .body = sl_reader_of(body, len)};
  const char *lie = NULL;
  uint32_t id;
  if (type == SL_FXP_VERSION) {
    on_version(c, reply.body);
    return;
  }
  if (!sl_get_u32(&reply.body, &id)) return; /* cannot be: the head was there */
  sl_sftp_slot *s = sl_sftp_slot_of(c, id);
  if (!s) return; /* was looked up with the head */
  if (type == SL_FXP_STATUS) lie = read_status(&reply, s->expects);
  if (type == SL_FXP_HANDLE) lie = read_handle(&reply);
  if (lie)
    sl_sftp_lie(c, lie);
  else
    deliver(c, s, &reply);
}

/* --- taking apart ----------------------------------------------------------------------------- */

/* Start-up files of the account that print something are the usual reason for a first packet that
 * makes no sense. */
static void bad_length(sl_sftp_client *c, const unsigned char *more, size_t len) {
  sl_err why = {0};
  unsigned printable = 0;
  for (int i = 0; i < LENGTH_FIELD; i++) printable += isprint(c->head[i]) || isspace(c->head[i]);
  if (c->greeted || printable < LENGTH_FIELD) {
    sl_sftp_lie(c, "a packet of impossible length");
    return;
  }
  if (len > 60) len = 60;
  sl_err_set(&why, SL_PROTOCOL, "SFTP", 0, "the server sent text in place of SFTP: %.4s%.*s",
             (const char *)c->head, (int)len, (const char *)more);
  sl_sftp_fail(c, &why);
}

/* Type and id are there: may this come now? Returns what is wrong with it. */
static const char *judge_head(sl_sftp_client *c) {
  sl_reader r = sl_reader_of(c->head + LENGTH_FIELD, HEAD - LENGTH_FIELD);
  uint8_t type = 0;
  uint32_t id = 0;
  if (!sl_get_u8(&r, &type) || !sl_get_u32(&r, &id)) return "no head";
  c->slot_in = NULL;
  if (type == SL_FXP_VERSION) return NULL;
  if (!c->greeted) return "something else before its version";
  switch (type) {
  case SL_FXP_STATUS:
  case SL_FXP_HANDLE:
  case SL_FXP_DATA:
  case SL_FXP_NAME:
  case SL_FXP_ATTRS:
  case SL_FXP_EXTENDED_REPLY:
    break;
  default:
    return "a packet of unknown type";
  }
  sl_sftp_slot *s = sl_sftp_slot_of(c, id);
  if (!s) return "a reply to nothing that was asked";
  if (type != SL_FXP_STATUS && type != wanted_type[s->expects]) return "a reply of the wrong type";
  c->slot_in = s;
  return NULL;
}

static const char *judge_data(sl_sftp_client *c) {
  sl_reader r = sl_reader_of(c->head + HEAD, DATA_HEAD - HEAD);
  (void)sl_get_u32(&r, &c->data_len);
  if (c->data_len == 0) return "a piece of data without bytes";
  if (c->data_len > c->slot_in->room) return "more data than was asked for";
  if (c->packet_len != DATA_HEAD - LENGTH_FIELD + c->data_len)
    return "data that does not fit its packet";
  c->in_data = true;
  c->data_got = 0;
  sl_sftp_request *asked = c->slot_in->request;
  if (asked && asked->place) asked->data = asked->place(asked);
  return NULL;
}

static void next_packet(sl_sftp_client *c) {
  c->head_len = 0;
  c->slot_in = NULL;
  c->in_data = false;
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Each takes some of the bytes and returns how many. */
static size_t take_head(sl_sftp_client *c, const unsigned char *p, size_t len, size_t want) {
  size_t n = least(want - c->head_len, len);
  memcpy(c->head + c->head_len, p, n);
  c->head_len += n;
  return n;
}

static void got_data(sl_sftp_client *c, size_t n) {
  c->data_got += (uint32_t)n;
  if (c->data_got < c->data_len) return;
  sl_sftp_slot *s = c->slot_in;
  sl_sftp_reply reply = {.type = SL_FXP_DATA, .len = c->data_len};
  next_packet(c);
  deliver(c, s, &reply);
}

static size_t take_data(sl_sftp_client *c, const unsigned char *p, size_t len) {
  size_t n = least(c->data_len - c->data_got, len);
  sl_sftp_request *r = c->slot_in->request;
  if (r && r->data) memcpy(r->data + c->data_got, p, n);
  got_data(c, n);
  return n;
}

/* What lies behind the bytes may be written over: the rest of the request's room, which the rest of
   the payload fills, or nobody reads. */
unsigned char *sl_sftp_room(sl_sftp_client *c, size_t len, size_t space) {
  sl_sftp_request *r = c->in_data && !c->err.kind ? c->slot_in->request : NULL;
  if (!r || !r->data || len > c->data_len - c->data_got || space > r->room - c->data_got) return NULL;
  return r->data + c->data_got;
}

void sl_sftp_filled(sl_sftp_client *c, size_t len) {
  c->moved += len;
  got_data(c, len);
}

/* The rest of a packet of which HEAD bytes are in c->head. Without a copy if all of it is here. */
static size_t take_body(sl_sftp_client *c, const unsigned char *p, size_t len) {
  const size_t in_head = HEAD - LENGTH_FIELD;
  size_t want = c->packet_len - in_head;
  sl_sftp_type type = c->head[LENGTH_FIELD];
  if (sl_buf_len(&c->body) == 0 &&
      !sl_buf_append(&c->body, c->head + LENGTH_FIELD + 1, in_head - 1)) {
    sl_err why = {0};
    sl_err_set(&why, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    sl_sftp_fail(c, &why);
    return len;
  }
  size_t n = least(want - (sl_buf_len(&c->body) - (in_head - 1)), len);
  if (!sl_buf_append(&c->body, p, n)) {
    sl_err why = {0};
    sl_err_set(&why, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    sl_sftp_fail(c, &why);
    return len;
  }
  if (sl_buf_len(&c->body) - (in_head - 1) < want) return n;
  sl_buf whole = c->body; /* whoever hears of it may fail the client, which frees its buffer */
  c->body = (sl_buf){0};
  next_packet(c);
  on_packet(c, type, (const unsigned char *)sl_buf_head(&whole), sl_buf_len(&whole));
  if (whole.size <= 65536 && !c->err.kind) {
    whole.start = whole.end = 0;
    c->body = whole;
  } else {
    sl_buf_free(&whole);
  }
  return n;
}

static size_t step(sl_sftp_client *c, const unsigned char *p, size_t len) {
  const char *lie = NULL;
  size_t n;
  if (c->head_len < LENGTH_FIELD) {
    n = take_head(c, p, len, LENGTH_FIELD);
    if (c->head_len < LENGTH_FIELD) return n;
    sl_reader r = sl_reader_of(c->head, LENGTH_FIELD);
    (void)sl_get_u32(&r, &c->packet_len);
    if (c->packet_len < HEAD - LENGTH_FIELD || c->packet_len > SL_SFTP_PACKET_MAX)
      bad_length(c, p + n, len - n);
    return n;
  }
  if (c->head_len < HEAD) {
    n = take_head(c, p, len, HEAD);
    if (c->head_len < HEAD) return n;
    lie = judge_head(c);
    bool data = c->head[LENGTH_FIELD] == SL_FXP_DATA;
    if (!lie && data && c->packet_len < DATA_HEAD - LENGTH_FIELD)
      lie = "data that does not fit its packet";
    if (lie)
      sl_sftp_lie(c, lie);
    else if (c->packet_len == HEAD - LENGTH_FIELD)
      (void)take_body(c, p + n, 0);
    return n;
  }
  if (c->in_data) return take_data(c, p, len);
  if (c->head[LENGTH_FIELD] != SL_FXP_DATA) return take_body(c, p, len);
  n = take_head(c, p, len, DATA_HEAD);
  if (c->head_len == DATA_HEAD && (lie = judge_data(c))) sl_sftp_lie(c, lie);
  return n;
}

bool sl_sftp_feed(sl_sftp_client *c, const void *bytes, size_t len) {
  const unsigned char *p = bytes;
  c->moved += len;
  while (len > 0 && !c->err.kind) {
    size_t n = step(c, p, len);
    p += n;
    len -= n;
  }
  return !c->err.kind;
}
