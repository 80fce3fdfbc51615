#include "engine/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

/* RFC 4253 4.2: the identification is at most 255 bytes with its line end; lines before it are allowed. */
enum { IDENTIFICATION_MAX = 255, GREETING_MAX = 65536, BEFORE_AUTH_MAX = 8 << 20, READ_AHEAD = 4096 };

void sl_wire_init(sl_wire *w, const sl_transport *transport, void *below) {
  memset(w, 0, sizeof *w);
  w->transport = transport;
  w->below = below;
  w->gate_open = true;
  w->budget = SL_WIRE_TURN_BYTES;
}

void sl_wire_fail(sl_wire *w, const sl_err *err) {
  if (w->life != SL_WIRE_OPEN) return;
  w->life = SL_WIRE_DRAINING;
  w->err = *err;
}

static ssize_t wire_lost(sl_wire *w, int code) {
  sl_err e = {0};
  if (!w->greeted && w->said[0])
    sl_err_set(&e, SL_CONNECTION_LOST, code ? uv_err_name(code) : "EOF", code,
               "the connection was closed by the remote host, which said: %s", w->said);
  else if (code == 0)
    sl_err_set(&e, SL_CONNECTION_LOST, "EOF", 0, "the connection was closed by the remote host");
  else
    sl_err_uv(&e, SL_CONNECTION_LOST, code, "the connection was lost");
  sl_wire_fail(w, &e);
  return -ECONNRESET;
}

ssize_t sl_wire_protocol(sl_wire *w, const char *message) {
  sl_err e = {0};
  sl_err_set(&e, SL_PROTOCOL, NULL, 0, "%s", message);
  sl_wire_fail(w, &e);
  return -EPROTO;
}

static ssize_t transport_recv(sl_wire *w, void *buf, size_t len) {
  if (w->dry) return -EAGAIN;
  if (w->budget == 0) return -EAGAIN; /* the rest is still with the kernel, which will tell us again */
  ssize_t n = w->transport->recv(w, buf, len);
  if (n == -EAGAIN) return n;
  if (n <= 0) return wire_lost(w, (int)n);
  w->dry = (size_t)n < len;
  w->received += (uint64_t)n;
  w->budget -= (size_t)n < w->budget ? (size_t)n : w->budget;
  if (!w->authenticated && w->received > BEFORE_AUTH_MAX)
    return sl_wire_protocol(w, "the server sent more than 8 MiB before authentication");
  return n;
}

/* One line of the greeting, without its line end. Returns 1 when it is a usable identification, 0 for a line
   before it, <0 when the peer is no SSH-2 server. */
static ssize_t greeting_line(sl_wire *w, const char *line, size_t len) {
  if (len > 0 && line[len - 1] == '\r') len--;
  if (memchr(line, '\0', len)) return sl_wire_protocol(w, "the greeting has a NUL byte: not an SSH server");
  if (len < 4 || memcmp(line, "SSH-", 4) != 0) {
    if (len) snprintf(w->said, sizeof w->said, "%.*s", (int)(len < sizeof w->said ? len : sizeof w->said), line);
    return 0;
  }
  if (len > IDENTIFICATION_MAX - 2)
    return sl_wire_protocol(w, "the server's identification is longer than 255 bytes");
  if (len >= 8 && (memcmp(line, "SSH-2.0-", 8) == 0)) return 1;
  if (len >= 9 && (memcmp(line, "SSH-1.99-", 9) == 0)) return 1;
  return sl_wire_protocol(w, "the server does not speak SSH protocol 2.0");
}

static ssize_t greeting_collect(sl_wire *w) {
  for (;;) {
    sl_buf *g = &w->greeting;
    const char *from = sl_buf_head(g) + w->greeting_scan;
    size_t left = sl_buf_len(g) - w->greeting_scan;
    const char *end = left ? memchr(from, '\n', left) : NULL;
    if (end) {
      size_t len = (size_t)(end - sl_buf_head(g));
      ssize_t rc = greeting_line(w, sl_buf_head(g), len);
      if (rc < 0) return rc;
      if (rc > 0) {
        w->greeted = true;
        return 0;
      }
      sl_buf_take(g, len + 1);
      w->greeting_scan = 0;
      continue;
    }
    w->greeting_scan = sl_buf_len(g);
    if (w->received > GREETING_MAX)
      return sl_wire_protocol(w, "no SSH greeting within 64 KiB: not an SSH server");
    if (!sl_buf_reserve(g, READ_AHEAD)) return wire_lost(w, UV_ENOMEM);
    ssize_t n = transport_recv(w, g->data + g->end, READ_AHEAD);
    if (n < 0) return n;
    g->end += (size_t)n;
  }
}

ssize_t sl_wire_recv(sl_wire *w, void *buf, size_t len) {
  if (w->life == SL_WIRE_DEAD) return -ECONNRESET;
  if (w->life == SL_WIRE_DRAINING || !w->gate_open) return -EAGAIN;
  if (!w->greeted) {
    ssize_t rc = greeting_collect(w);
    if (rc < 0) return rc;
  }
  size_t ahead = sl_buf_len(&w->greeting);
  if (ahead) {
    if (len > ahead) len = ahead;
    memcpy(buf, sl_buf_head(&w->greeting), len);
    sl_buf_take(&w->greeting, len);
    if (sl_buf_len(&w->greeting) == 0) sl_buf_free(&w->greeting);
    return (ssize_t)len;
  }
  return transport_recv(w, buf, len);
}

ssize_t sl_wire_send(sl_wire *w, const void *buf, size_t len) {
  if (w->life == SL_WIRE_DEAD) return -EPIPE;
  if (w->life == SL_WIRE_DRAINING) return (ssize_t)len; /* nobody will read it; reads must go on */
  if (!sl_buf_append(&w->out, buf, len)) {
    wire_lost(w, UV_ENOMEM);
    return -EPIPE;
  }
  return (ssize_t)len;
}

void sl_wire_flush(sl_wire *w) {
  while (w->life == SL_WIRE_OPEN && sl_buf_len(&w->out)) {
    ssize_t n = w->transport->send(w, sl_buf_head(&w->out), sl_buf_len(&w->out));
    if (n == -EAGAIN) break;
    if (n < 0) {
      /* What the peer said before it closed may still be readable: the next read names the end. */
      if (n == -EPIPE || n == -ECONNRESET) sl_buf_free(&w->out);
      if (n != -EPIPE) wire_lost(w, (int)n);
      break;
    }
    w->sent += (uint64_t)n;
    sl_buf_take(&w->out, (size_t)n);
  }
  bool want = w->life == SL_WIRE_OPEN && sl_buf_len(&w->out) > 0;
  if (want == w->want_write || !w->transport) return;
  w->want_write = want;
  w->transport->want(w, !w->paused, want);
}

void sl_wire_pause(sl_wire *w, bool paused) {
  if (paused == w->paused || !w->transport) return;
  w->paused = paused;
  w->transport->want(w, !paused, w->want_write);
}

void sl_wire_kill(sl_wire *w) {
  w->life = SL_WIRE_DEAD;
  sl_buf_free(&w->out);
  sl_buf_free(&w->greeting);
  if (w->transport) w->transport->close(w);
  w->transport = NULL;
}
