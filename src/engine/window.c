/* The windows of a channel (RFC 4254 5.2): what the server may still send, and giving back what was consumed; how far it
   lets us go ahead. Without the packet hook libssh2 keeps them by itself. */
#include "engine/engine.h"

#ifdef SL_PACKET_HOOK

#include "libssh2_priv.h"
#include "transport.h"

bool sl_window_has(const sl_strand *s, size_t bytes) { return bytes <= s->raw->remote.window_size; }

bool sl_window_take(sl_strand *s, size_t bytes) {
  if (!sl_window_has(s, bytes)) return false;
  s->raw->remote.window_size -= (uint32_t)bytes;
  return true;
}

/* Half a window at a time: seldom enough to cost nothing, early enough for the sender never to stop. */
static bool is_due(const sl_strand *s) {
  return s->raw && s->owed > 0 && s->owed >= s->raw->remote.window_size_initial / 2;
}

void sl_window_credit(sl_strand *s, size_t bytes) {
  s->owed += bytes;
  if (!s->engine || s->woken || !is_due(s)) return;
  s->woken = true;
  sl_engine_queue(s->engine);
}

void sl_window_step(sl_strand *s) {
  unsigned char adjust[9] = {SSH_MSG_CHANNEL_WINDOW_ADJUST};
  if (!is_due(s) || s->raw->local.close || s->engine->wire.life != SL_WIRE_OPEN) return;
  uint32_t bytes = s->owed > UINT32_MAX ? UINT32_MAX : (uint32_t)s->owed;
  _libssh2_htonu32(adjust + 1, s->raw->remote.id);
  _libssh2_htonu32(adjust + 5, bytes);
  /* "Again" only while keys are exchanged; all strands are stepped when that is over. */
  if (_libssh2_transport_send(s->engine->raw, adjust, sizeof adjust, NULL, 0) != 0) return;
  s->raw->remote.window_size += bytes;
  s->owed -= bytes;
}

void sl_window_opened(sl_strand *s, size_t bytes) {
  size_t window = s->raw ? s->raw->local.window_size + bytes : bytes;
  if (window > s->widest) s->widest = window;
}

/* OpenSSH confirms a session with a window of 0, and opens it when the command has begun. */
size_t sl_window_widest(const sl_strand *s) {
  size_t initial = s->raw ? s->raw->local.window_size_initial : 0;
  return initial > s->widest ? initial : s->widest;
}

#else

bool sl_window_has(const sl_strand *s, size_t bytes) {
  (void)s;
  (void)bytes;
  return true;
}

bool sl_window_take(sl_strand *s, size_t bytes) {
  (void)s;
  (void)bytes;
  return true;
}

void sl_window_credit(sl_strand *s, size_t bytes) {
  (void)s;
  (void)bytes;
}

void sl_window_step(sl_strand *s) { (void)s; }

void sl_window_opened(sl_strand *s, size_t bytes) {
  (void)s;
  (void)bytes;
}

/* 0: opened later, by how much is not known. */
size_t sl_window_widest(const sl_strand *s) {
  unsigned long initial = 0;
  libssh2_channel_window_write_ex(s->raw, &initial);
  return initial ? initial : SIZE_MAX;
}

#endif
