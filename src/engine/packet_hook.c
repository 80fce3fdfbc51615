/* Sees every decrypted packet before libssh2 does, through the linker's --wrap: whose channel got something is known
   in one step, and what libssh2 keeps for itself (an exit status of 0 or none at all, the reply to a keepalive, the
   methods that can continue) is known at all. Only in builds with libssh2 built in. */
#ifdef SL_PACKET_HOOK

#include <string.h>

#include "engine/engine.h"

#include "libssh2_priv.h"
#include "packet.h"

int __real__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data, size_t datalen,
                               int macstate, uint32_t seq);
int __wrap__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data, size_t datalen,
                               int macstate, uint32_t seq);

enum { DECOMPRESSED_MAX = 1 << 20 };

static uint32_t u32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The server's answer in the method that was agreed on; 31 is something else in a group exchange. */
static unsigned kex_reply_type(const LIBSSH2_SESSION *session) {
  if (!session->kex) return 0;
  return strstr(session->kex->name, "group-exchange") ? SSH_MSG_KEX_DH_GEX_REPLY : SSH_MSG_KEXDH_REPLY;
}

/* libssh2 accepts any host key in a later key exchange and loses the memory of the one before. Ours stays the one that
   was checked when the session began, and libssh2 finds the old one freed. */
static bool host_key_stays(sl_engine *e, const unsigned char *data, size_t len) {
  LIBSSH2_SESSION *s = e->raw;
  sl_err why = {0};
  if (!e->pumped || !(s->state & LIBSSH2_STATE_EXCHANGING_KEYS) || !s->server_hostkey ||
      data[0] != kex_reply_type(s))
    return true;
  if (len >= 5 && u32(data + 1) == s->server_hostkey_len && len - 5 >= s->server_hostkey_len &&
      memcmp(data + 5, s->server_hostkey, s->server_hostkey_len) == 0) {
    LIBSSH2_FREE(s, s->server_hostkey);
    s->server_hostkey = NULL;
    return true;
  }
  sl_err_set(&why, SL_HOSTKEY, NULL, 0, "the server changed its host key within the session");
  sl_engine_lost(e, &why);
  return false;
}

enum { KEX_FIRST = SSH_MSG_KEXINIT, KEX_LAST = 49, KEX_PACKETS_MAX = 32 };

/* One key exchange is a handful of packets. libssh2 would take a second KEXINIT for the beginning of the next one. */
static bool kex_is_sane(sl_engine *e, unsigned type, bool exchanging) {
  sl_err why = {0};
  if (!exchanging) e->kex_packets = 0;
  e->kex_packets++;
  if (e->kex_packets <= KEX_PACKETS_MAX && !(type == SSH_MSG_KEXINIT && exchanging)) return true;
  sl_err_set(&why, SL_PROTOCOL, NULL, 0, "the server sent too many messages in one key exchange");
  sl_engine_lost(e, &why);
  return false;
}

/* After the first key exchange libssh2 would keep what nobody asked for in its queue, for ever: a server must not fill
   memory with it. What is about users, channels and global requests is judged by the session. */
static bool is_stray(sl_engine *e, unsigned type) {
  bool exchanging = (e->raw->state & LIBSSH2_STATE_EXCHANGING_KEYS) != 0;
  if (!e->pumped) return false;
  switch (type) {
  case SSH_MSG_DISCONNECT:
  case SSH_MSG_EXT_INFO:
    return false;
  case SSH_MSG_IGNORE: /* nobody asks libssh2 for these */
  case SSH_MSG_DEBUG:
    return true;
  default:
    if (type < KEX_FIRST) return true;
    if (type > KEX_LAST) return false;
    return !kex_is_sane(e, type, exchanging) || (type != SSH_MSG_KEXINIT && !exchanging);
  }
}

/* "zlib@openssh.com" begins behind this message, and libssh2 would learn of it when the operation that waits for it is
   stepped: too late for a packet that came along with it. */
static void logged_in(sl_engine *e, unsigned type) {
  if (type == SSH_MSG_USERAUTH_SUCCESS && e->pumped) e->raw->state |= LIBSSH2_STATE_AUTHENTICATED;
}

/* What to do with a decrypted packet: 0, libssh2 shall have it; 1, it is done with; < 0, the session is over. */
int sl_packet_seen(sl_engine *e, const unsigned char *data, size_t len) {
  sl_strand *s = NULL;
  /* RFC 4254: 91 to 100 are about one channel and begin with its number. */
  if (data[0] >= SSH_MSG_CHANNEL_OPEN_CONFIRMATION && data[0] <= SSH_MSG_CHANNEL_FAILURE && len >= 5)
    s = sl_strand_find(e, u32(data + 1));
  if (s) s->woken = true;
  if (!host_key_stays(e, data, len)) return LIBSSH2_ERROR_SOCKET_DISCONNECT;
  if (is_stray(e, data[0]) || (e->hooks && e->hooks->packet && e->hooks->packet(e, s, data, len))) return 1;
  logged_in(e, data[0]);
  return 0;
}

/* libssh2 takes the padding off a packet without asking whether there is that much: a server that lies about it makes a
   length beyond what was allocated, up to nearly 2^64. */
static bool is_longer_than_received(const LIBSSH2_SESSION *session, size_t datalen) {
  bool compressed = session->remote.comp_abstract != NULL;
  return datalen > DECOMPRESSED_MAX || (!compressed && datalen > session->packet.total_num);
}

/* What libssh2 has received by itself: before the keys, and with ciphers that are its own. */
int __wrap__libssh2_packet_add(LIBSSH2_SESSION *session, unsigned char *data, size_t datalen,
                               int macstate, uint32_t seq) {
  int seen = 0;
  if (session->packAdd_state == libssh2_NB_state_idle) {
    if (is_longer_than_received(session, datalen)) {
      LIBSSH2_FREE(session, data);
      return _libssh2_error(session, LIBSSH2_ERROR_OUT_OF_BOUNDARY, "a packet with more padding than bytes");
    }
    if (macstate != LIBSSH2_MAC_INVALID && datalen > 0) seen = sl_packet_seen(session->abstract, data, datalen);
  }
  if (seen == 0) return __real__libssh2_packet_add(session, data, datalen, macstate, seq);
  LIBSSH2_FREE(session, data);
  return seen < 0 ? seen : 0;
}

int sl_packet_add(LIBSSH2_SESSION *session, unsigned char *data, size_t len, uint32_t seq) {
  return __real__libssh2_packet_add(session, data, len, LIBSSH2_MAC_CONFIRMED, seq);
}

bool sl_engine_awaits_open(sl_engine *e, uint32_t id) {
  const LIBSSH2_CHANNEL *opening = e->raw->open_channel;
  if (!opening || opening->local.id != id || e->open_answered == id + 1) return false;
  e->open_answered = id + 1;
  return true;
}

void sl_strand_attach(sl_strand *s, LIBSSH2_CHANNEL *raw) {
  s->raw = raw;
  s->id = raw->local.id;
}

void sl_strand_detached(sl_engine *e) { (void)e; }

#else

#include "engine/engine.h"

bool sl_engine_awaits_open(sl_engine *e, uint32_t id) {
  (void)e;
  (void)id;
  return true;
}

/* libssh2 can be made to receive only through a channel: the pump works while there is one, and operations read for
   themselves while there is none. */
void sl_strand_attach(sl_strand *s, LIBSSH2_CHANNEL *raw) {
  s->raw = raw;
  s->engine->pumped = true;
  s->engine->wire.gate_open = false;
}

void sl_strand_detached(sl_engine *e) {
  for (const sl_strand *s = e->strands; s; s = s->next)
    if (s->raw) return;
  e->pumped = false;
  e->wire.gate_open = true;
}

#endif
