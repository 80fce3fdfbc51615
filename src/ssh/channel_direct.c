/* Opening channels of type direct-tcpip (RFC 4254 7.2).

   The server answers when its connect has ended, which may take minutes for a host that is down,
   and libssh2 keeps one state for all opens: one dead host would hold up five hundred behind the
   same bastion. So with libssh2 built in, the channel is set up here, in a lane of its own; other
   builds wait their turn in the session's lane. */
#include "ssh/channel.h"

#include <stdlib.h>
#include <string.h>

#if defined(SL_LIBSSH2_STATIC) && defined(SL_PACKET_HOOK)
#define SL_DIRECT_ALONE
#include "libssh2_priv.h"
#include "transport.h"

uint32_t
_libssh2_channel_nextid(LIBSSH2_SESSION *session); /* its header has the name of one of ours */
#endif

static const char type_name[] = "direct-tcpip";
enum {
  TYPE_LEN = sizeof type_name - 1,
  HOST_MAX = 255,
  ORIGIN_PORT = 0,
  MESSAGE_MAX = HOST_MAX + 40
};

typedef enum answer { NONE, CONFIRMED, REFUSED, NONSENSE } answer;

typedef struct sl_direct {
  sl_eop eop;
  sl_channel *ch;
  unsigned window;
  answer answer;
  uint32_t reason;
  char text[160]; /* the server's words */
  unsigned char message[MESSAGE_MAX];
  size_t message_len;
} sl_direct;

#ifdef SL_DIRECT_ALONE
/* At once: data and window adjustments may stand behind it. */
static bool confirmed(sl_channel *ch, sl_reader *r) {
  LIBSSH2_CHANNEL *raw = ch->strand.raw;
  uint32_t window;
  if (!sl_get_u32(r, &raw->remote.id) || !sl_get_u32(r, &window) ||
      !sl_get_u32(r, &raw->local.packet_size))
    return false;
  raw->local.window_size = raw->local.window_size_initial = window;
  ch->ended = raw->remote.eof;
  return true;
}
#else
static bool confirmed(sl_channel *ch, sl_reader *r) {
  (void)ch;
  (void)r;
  return false;
}
#endif

bool sl_channel_direct_answer(sl_channel *ch, const unsigned char *data, size_t len) {
  enum { CONFIRMATION = 91 };
  sl_direct *x = ch->opening;
  if (!x || x->answer != NONE) return x != NULL;
  sl_reader r = sl_reader_of(data + 5, len - 5); /* a strand was found, so its number was there */
  sl_span text = {0};
  x->answer = NONSENSE;
  if (data[0] == CONFIRMATION) {
    if (confirmed(ch, &r)) x->answer = CONFIRMED;
  } else if (sl_get_u32(&r, &x->reason)) {
    x->answer = REFUSED;
    (void)sl_get_string(&r, &text);
    snprintf(x->text, sizeof x->text, "%.*s", (int)(text.n > 150 ? 150 : text.n),
             text.p ? (const char *)text.p : "");
  }
  return true;
}

static int refused(sl_direct *x) {
  static const char *const reasons[] = {"refused", "administratively prohibited", "connect failed",
                                        "unknown channel type", "resource shortage"};
  sl_err_set(&x->eop.op.err, SL_CHANNEL, "SSH_OPEN_FAILURE", (int)x->reason, "%s: %s",
             reasons[x->reason <= 4 ? x->reason : 0], x->text);
  return LIBSSH2_ERROR_CHANNEL_FAILURE;
}

#ifdef SL_DIRECT_ALONE

/* What libssh2's own open does, with its packet not sent yet. */
static int raw_new(sl_direct *x) {
  LIBSSH2_SESSION *session = x->eop.engine->raw;
  LIBSSH2_CHANNEL *raw = LIBSSH2_CALLOC(session, sizeof *raw);
  if (!raw) return LIBSSH2_ERROR_ALLOC;
  raw->channel_type = LIBSSH2_ALLOC(session, TYPE_LEN);
  if (!raw->channel_type) {
    LIBSSH2_FREE(session, raw);
    return LIBSSH2_ERROR_ALLOC;
  }
  memcpy(raw->channel_type, type_name, TYPE_LEN);
  raw->channel_type_len = TYPE_LEN;
  raw->session = session;
  raw->local.id = _libssh2_channel_nextid(session);
  raw->remote.window_size = raw->remote.window_size_initial = x->window;
  raw->remote.packet_size = LIBSSH2_CHANNEL_PACKET_DEFAULT;
  _libssh2_list_add(&session->channels, &raw->node);
  sl_strand_attach(&x->ch->strand, raw);
  return 0;
}

/* It was never open, so there is nothing to close. */
static void raw_forget(sl_direct *x) {
  LIBSSH2_SESSION *session = x->eop.engine->raw;
  LIBSSH2_CHANNEL *raw = x->ch->strand.raw;
  x->ch->strand.raw = NULL;
  _libssh2_list_remove(&raw->node);
  LIBSSH2_FREE(session, raw->channel_type);
  LIBSSH2_FREE(session, raw);
}

static int send_open(sl_direct *x) {
  unsigned char packet[1 + 4 + TYPE_LEN + 12 + MESSAGE_MAX], *p = packet;
  const LIBSSH2_CHANNEL *raw = x->ch->strand.raw;
  *p++ = SSH_MSG_CHANNEL_OPEN;
  p = sl_put_string(p, type_name, TYPE_LEN);
  p = sl_put_u32(p, raw->local.id);
  p = sl_put_u32(p, raw->remote.window_size);
  p = sl_put_u32(p, raw->remote.packet_size);
  p = sl_put_bytes(p, x->message, x->message_len);
  return _libssh2_transport_send(x->eop.engine->raw, packet, (size_t)(p - packet), NULL, 0);
}

static int direct_end(sl_direct *x) {
  x->ch->opening = NULL;
  x->ch->opened = x->answer == CONFIRMED;
  if (x->ch->opened) return 0;
  raw_forget(x);
  if (x->answer == REFUSED) return refused(x);
  sl_err_set(&x->eop.op.err, SL_PROTOCOL, NULL, 0,
             "the server's answer to opening a channel makes no sense");
  return LIBSSH2_ERROR_CHANNEL_FAILURE;
}

static int direct_step(sl_op *op) {
  sl_direct *x = (sl_direct *)op;
  int rc = x->ch->strand.raw ? 0 : raw_new(x);
  if (rc == 0 && !x->eop.said) {
    rc = send_open(x);
    if (rc == 0) {
      x->eop.said = true;
      x->ch->opening = x;
      x->ch->ended = true; /* no data before the answer */
    }
  }
  if (rc == sl_step_again()) return rc;
  if (rc < 0) {
    if (x->ch->strand.raw) raw_forget(x);
    return rc;
  }
  return x->answer == NONE ? sl_step_again() : direct_end(x);
}

/* The engine may have gone before the answer came: then libssh2 has freed the rest. */
static void direct_clean(sl_op *op) {
  sl_direct *x = (sl_direct *)op;
  if (!x->ch) return;
  x->ch->opening = NULL;
  if (x->ch->strand.engine && x->ch->strand.raw) raw_forget(x);
  sl_strand_bury(&x->ch->strand);
}

#else

static int direct_step(sl_op *op) {
  sl_direct *x = (sl_direct *)op;
  sl_session *s = (sl_session *)x->eop.engine;
  LIBSSH2_CHANNEL *raw = libssh2_channel_open_ex(
      s->engine.raw, type_name, TYPE_LEN, x->window, LIBSSH2_CHANNEL_PACKET_DEFAULT,
      (const char *)x->message, (unsigned)x->message_len);
  int rc = sl_step_pointer(&s->engine, raw);
  if (raw) {
    sl_strand_add(&s->engine, &x->ch->strand);
    sl_strand_attach(&x->ch->strand, raw);
    x->ch->opened = true;
  } else if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE) {
    snprintf(x->text, sizeof x->text, "%s",
             s->open_failure[0] ? s->open_failure : "the server refused the channel");
    s->open_failure[0] = '\0';
    return refused(x);
  }
  return rc;
}

static void direct_clean(sl_op *op) {
  sl_channel *ch = ((sl_direct *)op)->ch;
  if (!ch) return;
  if (ch->opened)
    sl_strand_bury(&ch->strand);
  else
    free(ch);
}

#endif

static int direct_push(sl_op *op, lua_State *L) {
  sl_direct *x = (sl_direct *)op;
  sl_channel *ch = x->ch;
  x->ch = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, op->keep_ref);
  sl_channel_push(L, ch);
  return 1;
}

static void direct_drop(sl_op *op) {
  sl_direct *x = (sl_direct *)op;
  sl_channel *ch = x->ch;
  x->ch = NULL;
  sl_channel_release(ch);
}

static const sl_op_kind direct_kind = {.name = "channel.open_direct",
                                       .step = direct_step,
                                       .push = direct_push,
                                       .drop = direct_drop,
                                       .cancel = sl_eop_cancel,
                                       .clean = direct_clean};

static void set_message(sl_direct *x, const char *host, size_t len, uint32_t port) {
  static const char origin[] = "127.0.0.1";
  unsigned char *p = sl_put_string(x->message, host, len);
  p = sl_put_u32(p, port);
  p = sl_put_string(p, origin, sizeof origin - 1);
  p = sl_put_u32(p, ORIGIN_PORT);
  x->message_len = (size_t)(p - x->message);
}

static sl_direct *direct_new(sl_engine *e) {
  sl_channel *ch = calloc(1, sizeof *ch);
  if (!ch) return NULL;
#ifdef SL_DIRECT_ALONE
  sl_strand_add(e, &ch->strand);
  sl_direct *x = sl_eop_new(e, &ch->strand, SL_LANE_REQUEST, &direct_kind, sizeof *x);
  if (!x) sl_strand_bury(&ch->strand);
#else
  sl_direct *x = sl_eop_new(e, NULL, 0, &direct_kind, sizeof *x);
  if (!x) free(ch);
#endif
  if (x) x->ch = ch;
  return x;
}

/* session:open_direct(host, port, window|nil, done): done(nil, channel) when the server has
   connected to host and port. A refusal has the reason's number (RFC 4254 5.1) as its code. */
static int l_open_direct(lua_State *L) {
  sl_session *s = sl_session_check(L, 1);
  size_t len;
  const char *host = luaL_checklstring(L, 2, &len);
  lua_Integer port = luaL_checkinteger(L, 3);
  unsigned window = sl_channel_check_window(L, 4);
  sl_check_done(L, 5);
  luaL_argcheck(L, len > 0 && len <= HOST_MAX, 2, "1 to 255 bytes expected");
  luaL_argcheck(L, port > 0 && port <= 65535, 3, "not a port");
  sl_direct *x = direct_new(&s->engine);
  if (!x) return luaL_error(L, "not enough memory");
  x->window = window;
  set_message(x, host, len, (uint32_t)port);
  sl_op_start(L, &x->eop.op, 5, 1);
  sl_eop_submit(&x->eop);
  return 1;
}

static const luaL_Reg direct_verbs[] = {{"open_direct", l_open_direct}, {NULL, NULL}};

const luaL_Reg *sl_channel_direct_verbs(void) {
  return direct_verbs;
}
