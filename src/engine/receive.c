/* Receives whole packets in place of libssh2's transport_read, through the linker's --wrap, once both directions use
   ciphers of ours: the bytes are read where they are decrypted, and data of channels goes from there to its reader.
   libssh2 would move each byte three times on the way to its queue, and once more out of it. Before the keys are there,
   and with ciphers that are libssh2's, its own function does the work. */
#ifdef SL_FAST_CIPHERS

#include <errno.h>

#include "engine/cipher.h"
#include "engine/packets.h"

#include "libssh2_priv.h"
#include "packet.h"
#include "transport.h"

int __real__libssh2_transport_read(LIBSSH2_SESSION *session);
int __wrap__libssh2_transport_read(LIBSSH2_SESSION *session);

enum { READ_BYTES = 131072, SMALL_READ_BYTES = 16384, PADDING_MIN = 4 };

static int bad_packet(LIBSSH2_SESSION *session, const char *what) {
  return _libssh2_error(session, LIBSSH2_ERROR_OUT_OF_BOUNDARY, what);
}

/* --- bytes ---------------------------------------------------------------------------------------- */

/* What libssh2 had read beyond the packet that switched the keys on. */
static int take_over(sl_engine *e) {
  struct transportpacket *p = &e->raw->packet;
  if (p->writeidx == p->readidx) return 0;
  if (!sl_buf_append(&e->in, p->buf + p->readidx, p->writeidx - p->readidx)) return LIBSSH2_ERROR_ALLOC;
  p->readidx = p->writeidx = 0;
  return 0;
}

/* A session that streams reads much at once; one that chats keeps little memory. */
static int read_more(sl_engine *e) {
  if (e->wire.life == SL_WIRE_DEAD) return LIBSSH2_ERROR_SOCKET_RECV;
  size_t room = e->in_full ? READ_BYTES : SMALL_READ_BYTES;
  if (!sl_buf_reserve(&e->in, room)) return LIBSSH2_ERROR_ALLOC;
  room = e->in.size - e->in.end;
  ssize_t n = sl_wire_recv(&e->wire, e->in.data + e->in.end, room);
  if (n == -EAGAIN) return LIBSSH2_ERROR_EAGAIN;
  if (n <= 0) return LIBSSH2_ERROR_SOCKET_RECV;
  e->in_full = (size_t)n == room;
  e->in.end += (size_t)n;
  return 0;
}

static int have(sl_engine *e, size_t bytes) {
  int rc = 0;
  while (rc == 0 && sl_buf_len(&e->in) < bytes) rc = read_more(e);
  return rc;
}

/* --- packets -------------------------------------------------------------------------------------- */

typedef struct packet {
  unsigned char *data;
  size_t len;
  bool owned; /* by libssh2's allocator; else it stands in the receive buffer */
} packet;

static bool compresses(const LIBSSH2_SESSION *s, const struct _libssh2_endpoint_data *end) {
  return end->comp && end->comp->compress && end->comp_abstract &&
         (s->state & LIBSSH2_STATE_AUTHENTICATED || end->comp->use_in_auth);
}

/* A packet of channel data by its head (RFC 4254 5.2: type, channel, string), and where the data begins in it. */
typedef struct data_head {
  sl_strand *strand;
  size_t len;
  unsigned char *room; /* where it goes; NULL: it takes the long way */
} data_head;

enum { DATA_AT = 1 + 1 + 4 + 4 };

static data_head data_of(sl_engine *e, const unsigned char head[SL_CIPHER_PEEK], size_t body) {
  data_head d = {0};
  size_t padding = head[0];
  if (head[1] != SSH_MSG_CHANNEL_DATA || !e->pumped || compresses(e->raw, &e->raw->remote)) return d;
  if (padding < PADDING_MIN || body < DATA_AT + padding) return d;
  d.len = body - DATA_AT - padding;
  if (d.len < SL_CIPHER_PEEK || _libssh2_ntohu32(head + 6) != d.len) return d;
  d.strand = sl_strand_find(e, _libssh2_ntohu32(head + 2));
  if (d.strand && e->hooks && e->hooks->room) d.room = e->hooks->room(d.strand, d.len, body - DATA_AT);
  return d;
}

/* Opens the packet; channel data that has room elsewhere goes there, the rest is opened in place. */
static bool open_body(sl_engine *e, unsigned char *whole, size_t body, data_head *d) {
  LIBSSH2_SESSION *s = e->raw;
  unsigned char head[SL_CIPHER_PEEK];
  if (!sl_cipher_peek(s, whole, body, head)) return sl_cipher_open(s, whole, body);
  *d = data_of(e, head, body);
  size_t early = SL_CIPHER_PEEK - DATA_AT;
  if (d->room) {
    memcpy(d->room, head + DATA_AT, early);
    return sl_cipher_finish(s, whole, body, d->room + early);
  }
  unsigned char *at = whole + SL_CIPHER_LENGTH;
  memcpy(at, head, sizeof head);
  return sl_cipher_finish(s, whole, body, at + sizeof head);
}

/* RFC 4253 6: length, padding's length, payload, padding. A packet without data has been dealt with. */
static int open_packet(sl_engine *e, packet *p) {
  LIBSSH2_SESSION *s = e->raw;
  int rc = have(e, SL_CIPHER_LENGTH);
  if (rc) return rc;
  bool may_be_long = !e->wire.authenticated; /* a banner */
  if (e->in_packet == 0) e->in_packet = sl_cipher_length(s, (unsigned char *)sl_buf_head(&e->in), may_be_long);
  if (e->in_packet == 0) return bad_packet(s, "a packet of the server has an impossible length");
  size_t body = e->in_packet, whole = SL_CIPHER_LENGTH + body + SL_CIPHER_TAG;
  rc = have(e, whole);
  if (rc) return rc;
  unsigned char *head = (unsigned char *)sl_buf_head(&e->in);
  e->in_packet = 0;
  data_head d = {0};
  if (!open_body(e, head, body, &d)) return LIBSSH2_ERROR_DECRYPT;
  if (d.room) {
    s->remote.seqno++;
    sl_buf_take(&e->in, whole);
    d.strand->woken = true;
    e->hooks->filled(d.strand, d.len);
    return 0;
  }
  size_t padding = head[SL_CIPHER_LENGTH];
  if (padding < PADDING_MIN || padding + 1 >= body) return bad_packet(s, "a packet with more padding than bytes");
  s->remote.seqno++;
  *p = (packet){.data = head + SL_CIPHER_LENGTH + 1, .len = body - 1 - padding};
  sl_buf_take(&e->in, whole); /* the bytes stay where they are until the next read */
  return 0;
}

static int decompress(LIBSSH2_SESSION *s, packet *p) {
  unsigned char *data = NULL;
  size_t len = 0;
  if (!compresses(s, &s->remote)) return 0;
  int rc = s->remote.comp->decomp(s, &data, &len, LIBSSH2_PACKET_MAXDECOMP, p->data, p->len, &s->remote.comp_abstract);
  if (rc) return rc;
  *p = (packet){data, len, true};
  return len > 0 ? 0 : bad_packet(s, "an empty packet");
}

static int hand_over(sl_engine *e, packet *p, uint32_t seq) {
  LIBSSH2_SESSION *s = e->raw;
  if (p->len > MAX_SSH_PACKET_LEN && !p->owned) return bad_packet(s, "a packet of the server is too long");
  if (!p->owned) {
    unsigned char *copy = LIBSSH2_ALLOC(s, p->len);
    if (!copy) return LIBSSH2_ERROR_ALLOC;
    memcpy(copy, p->data, p->len);
    *p = (packet){copy, p->len, true};
  }
  unsigned char *data = p->data;
  p->owned = false;
  int rc = sl_packet_add(s, data, p->len, seq);
  if (rc != LIBSSH2_ERROR_EAGAIN || s->packAdd_state == libssh2_NB_state_idle) return rc;
  e->in_again = data; /* it answers a question of the server and has not come to its end */
  e->in_again_len = p->len;
  return rc;
}

/* Returns the packet's type, as libssh2 has it. */
static int receive(sl_engine *e) {
  LIBSSH2_SESSION *s = e->raw;
  packet p = {0};
  uint32_t seq = s->remote.seqno;
  int rc = open_packet(e, &p);
  if (rc == 0) rc = decompress(s, &p);
  if (rc) {
    if (p.owned) LIBSSH2_FREE(s, p.data);
    return rc;
  }
  if (!p.data) return SSH_MSG_CHANNEL_DATA;
  int type = p.data[0];
  rc = sl_packet_seen(e, p.data, p.len);
  if (rc == 0) {
    rc = hand_over(e, &p, seq);
  } else if (rc > 0) {
    rc = 0;
  }
  if (p.owned) LIBSSH2_FREE(s, p.data);
  if (rc) return rc;
  if (s->kex_strict && type == SSH_MSG_NEWKEYS) s->remote.seqno = 0;
  return type;
}

static int add_again(sl_engine *e) {
  unsigned char *data = e->in_again;
  int type = data[0]; /* before it is freed */
  e->in_again = NULL;
  int rc = sl_packet_add(e->raw, data, e->in_again_len, e->raw->remote.seqno - 1);
  if (rc == LIBSSH2_ERROR_EAGAIN && e->raw->packAdd_state != libssh2_NB_state_idle) e->in_again = data;
  return rc ? rc : type;
}

int __wrap__libssh2_transport_read(LIBSSH2_SESSION *session) {
  sl_engine *e = session->abstract;
  int rc;
  if (!sl_cipher_receives(session)) return __real__libssh2_transport_read(session);
  session->socket_block_directions &= ~LIBSSH2_SESSION_BLOCK_INBOUND;
  if (session->state & LIBSSH2_STATE_EXCHANGING_KEYS && !(session->state & LIBSSH2_STATE_KEX_ACTIVE)) {
    rc = _libssh2_kex_exchange(session, 1, &session->startup_key_state);
    if (rc) return rc;
  }
  if (session->socket_state == LIBSSH2_SOCKET_DISCONNECTED) return LIBSSH2_ERROR_SOCKET_DISCONNECT;
  rc = take_over(e);
  if (rc == 0) rc = e->in_again ? add_again(e) : receive(e);
  if (rc == LIBSSH2_ERROR_EAGAIN) session->socket_block_directions |= LIBSSH2_SESSION_BLOCK_INBOUND;
  return rc;
}

void sl_receive_forget(sl_engine *e) {
  if (e->in_again) LIBSSH2_FREE(e->raw, e->in_again);
  e->in_again = NULL;
}

#else

#include "engine/engine.h"

void sl_receive_forget(sl_engine *e) { (void)e; }

#endif
