/* The protocol engine of an SFTP client: bytes in, bytes out, and a table of requests in flight.
   Any number of requests of any files may be under way; replies come in any order. What the server
   says is checked before a requester hears of it, and what breaks the rules ends the client with an
   error that names it. Knows packets; must not know channels, libssh2, Lua. See docs/sftp.md.

   A requester embeds sl_sftp_request, which must stay where it is until `done` or sl_sftp_forget.
   `done` may ask for more, forget others and fail the client; it must not free the client. */
#ifndef SL_SFTP_CLIENT_H
#define SL_SFTP_CLIENT_H

#include "base/err.h"
#include "sftp/packet.h"

typedef struct sl_sftp_client sl_sftp_client;
typedef struct sl_sftp_request sl_sftp_request;
typedef struct sl_sftp_segment sl_sftp_segment;

/* What may answer a request besides STATUS. */
typedef enum sl_sftp_expects {
  SL_WANT_STATUS, /* nothing else; every other kind of reply is better than STATUS OK, which is then
                     a lie */
  SL_WANT_HANDLE,
  SL_WANT_DATA,
  SL_WANT_NAME,
  SL_WANT_ATTRS,
  SL_WANT_EXTENDED
} sl_sftp_expects;

typedef struct sl_sftp_reply {
  sl_sftp_type type;
  uint32_t status; /* STATUS */
  sl_span text;    /* STATUS: the server's words; HANDLE: the handle */
  sl_reader body;  /* NAME, ATTRS, EXTENDED_REPLY: behind the id */
  uint32_t len;    /* DATA: bytes that are in the request's buffer, never 0 */
} sl_sftp_reply;

struct sl_sftp_request {
  void (*done)(sl_sftp_request *r,
               const sl_sftp_reply *reply); /* reply NULL: the client has failed, see its err */
  unsigned char *data;                      /* SL_WANT_DATA: where the bytes go, room for `room` */
  uint32_t room;
  unsigned char *(*place)(sl_sftp_request *r); /* may be NULL; says `data` when the first bytes come. Answers
                                                  NULL when there is no place: the bytes are dropped */
  uint32_t id; /* 0: not in flight */
};

/* Bytes of whole packets to be sent from where they lie. */
struct sl_sftp_segment {
  sl_sftp_segment *next;
  const unsigned char *data;
  size_t len;
  void (*sent)(sl_sftp_segment *
                   s); /* all bytes are taken, or the client has failed: the memory is free again */
  sl_buf own;          /* for the client's own segments */
};

typedef struct sl_sftp_hooks {
  void (*ready)(sl_sftp_client *c);  /* versions are agreed upon and limits known */
  void (*failed)(sl_sftp_client *c); /* once; all requests have heard of it */
  void (*wake)(sl_sftp_client *c);   /* there is output */
} sl_sftp_hooks;

typedef struct sl_sftp_slot {
  sl_sftp_request *request; /* NULL: a ghost, or free */
  uint32_t id;              /* 0: free */
  uint32_t room, next_free;
  sl_sftp_expects expects;
} sl_sftp_slot;

struct sl_sftp_client {
  const sl_sftp_hooks *hooks;
  sl_err err; /* err.kind: it has ended */
  bool greeted, ready;
  unsigned extensions; /* SL_EXT_* */
  sl_sftp_limits limits;
  uint32_t read_max, write_max; /* bytes of one request */
  /* requests */
  sl_sftp_slot *slots;
  uint32_t slots_size, slots_used, free_slot, in_flight;
  uint64_t moved; /* bytes that came in or went out: whoever waits for answers sees that it is alive */
  uint16_t generation;
  sl_sftp_request own; /* limits */
  /* the packet that is coming in */
  unsigned char head[13];
  size_t head_len;
  uint32_t packet_len, data_len, data_got; /* packet_len counts from the type on */
  bool in_data;
  sl_sftp_slot *slot_in;
  sl_buf body;
  /* output */
  sl_sftp_segment *out, **out_tail;
  size_t out_len;
};

enum { SL_SFTP_IN_FLIGHT_MAX = 65535, SL_SFTP_IO_SMALL = 32768 };

/* Also asks for the version. False: no memory. */
bool sl_sftp_client_init(sl_sftp_client *c, const sl_sftp_hooks *hooks);
/* Before the server's version has come: for servers that answer an extension they do not know with
   a status, as OpenSSH's does. A round trip less until the session is ready. */
void sl_sftp_ask_limits(sl_sftp_client *c);
void sl_sftp_client_free(sl_sftp_client *c); /* fails what is left with kind closed */

/* Takes bytes of the server, cut anywhere. False: the client has failed. */
bool sl_sftp_feed(sl_sftp_client *c, const void *bytes, size_t len);
/* Where the next bytes go if they are all of one payload, for who can write them there; `space`: so
   many may be written. Then sl_sftp_filled says how many are good. NULL: feed them. */
unsigned char *sl_sftp_room(sl_sftp_client *c, size_t len, size_t space);
void sl_sftp_filled(sl_sftp_client *c, size_t len);

/* The next bytes to send, and how many of them were taken. */
size_t sl_sftp_output(const sl_sftp_client *c, const unsigned char **bytes);
void sl_sftp_took(sl_sftp_client *c, size_t len);

void sl_sftp_fail(sl_sftp_client *c, const sl_err *why); /* the first reason stays */
void sl_sftp_lie(sl_sftp_client *c, const char *what);   /* fails it with kind protocol */

/* Asking: begin, put arguments, send. send returns false and fills *err, and `done` is not called,
   when the client has failed, too much is in flight, or the packet is too long. */
sl_sftp_writer sl_sftp_ask(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_type type,
                           sl_sftp_expects expects);
sl_sftp_writer sl_sftp_ask_extended(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_ext ext,
                                    sl_sftp_expects expects);
bool sl_sftp_send(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_writer *w, sl_err *err);

/* Asks for `r->room` bytes into r->data. */
bool sl_sftp_read(sl_sftp_client *c, sl_sftp_request *r, sl_span handle, uint64_t offset,
                  sl_err *err);

/* For packets that the caller makes itself and sends as a segment: the id, or 0 (then *err). */
uint32_t sl_sftp_take_id(sl_sftp_client *c, sl_sftp_request *r, sl_sftp_expects expects,
                         sl_err *err);
void sl_sftp_send_segment(sl_sftp_client *c, sl_sftp_segment *s);
/* Takes a segment back: what has begun to go out is copied, up to the next multiple of `stride`
   (the length of a packet) plus `taken`; returns how many of its bytes will have been sent. The
   rest must be unasked. */
size_t sl_sftp_retract(sl_sftp_client *c, sl_sftp_segment *s, size_t full, size_t stride);

/* Nobody waits for the reply any more. A handle that comes with it is closed. */
void sl_sftp_forget(sl_sftp_client *c, sl_sftp_request *r);
/* The request has never been sent. */
void sl_sftp_unask(sl_sftp_client *c, sl_sftp_request *r);
/* Closes a handle without anybody waiting for it. */
void sl_sftp_close_handle(sl_sftp_client *c, sl_span handle);

#endif
