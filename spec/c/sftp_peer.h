/* A scripted SFTP server for C tests: makes packets, cuts them into pieces, keeps what requesters
 * heard. */
#ifndef SL_SFTP_PEER_H
#define SL_SFTP_PEER_H

#include <stdlib.h>
#include <string.h>

#include "sftp/client.h"

typedef struct peer {
  sl_sftp_client c;
  sl_buf wire; /* what it is about to send */
  int ready, failed, woken;
} peer;

/* A requester that remembers. */
typedef struct asker {
  sl_sftp_request r;
  int heard, ended;
  sl_sftp_type type;
  uint32_t status, len;
  char text[300];
  size_t text_len;
  unsigned char data[1000];
} asker;

static inline void peer_ready(sl_sftp_client *c) {
  ((peer *)c)->ready++;
}
static inline void peer_failed(sl_sftp_client *c) {
  ((peer *)c)->failed++;
}
static inline void peer_woken(sl_sftp_client *c) {
  ((peer *)c)->woken++;
}
static const sl_sftp_hooks peer_hooks = {peer_ready, peer_failed, peer_woken};

static inline void asker_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  asker *a = (asker *)r;
  if (!reply) {
    a->ended++;
    return;
  }
  a->heard++;
  a->type = reply->type;
  a->status = reply->status;
  a->len = reply->len;
  a->text_len = reply->text.n < sizeof a->text ? reply->text.n : sizeof a->text;
  if (a->text_len) memcpy(a->text, reply->text.p, a->text_len);
}

static inline sl_sftp_writer peer_begin(peer *p, int type, uint32_t id) {
  return sl_sftp_begin(&p->wire, (sl_sftp_type)type, id);
}

static inline void peer_status(peer *p, uint32_t id, uint32_t code) {
  sl_sftp_writer w = peer_begin(p, SL_FXP_STATUS, id);
  sl_sftp_put_u32(&w, code);
  sl_sftp_put_string(&w, "words", 5);
  sl_sftp_put_string(&w, "", 0);
  sl_sftp_end(&w);
}

static inline void peer_string(peer *p, int type, uint32_t id, const char *bytes, size_t len) {
  sl_sftp_writer w = peer_begin(p, type, id);
  sl_sftp_put_string(&w, bytes, len);
  sl_sftp_end(&w);
}

static inline void peer_version(peer *p, uint32_t version, const char *ext) {
  sl_sftp_writer w = peer_begin(p, SL_FXP_VERSION, version);
  if (ext) {
    sl_sftp_put_string(&w, ext, strlen(ext));
    sl_sftp_put_string(&w, "1", 1);
  }
  sl_sftp_end(&w);
}

/* As a packet that is opened where its bytes are wanted, with its padding behind them. */
static inline bool peer_place(peer *p, const char *bytes, size_t n) {
  enum { PADDING = 3 };
  unsigned char *room = sl_sftp_room(&p->c, n, n + PADDING);
  if (!room) return false;
  memcpy(room, bytes, n);
  memset(room + n, '#', PADDING);
  sl_sftp_filled(&p->c, n);
  return true;
}

/* Sends what there is in pieces of that size; each piece in memory of its own, so that a sanitizer
 * sees more. */
static inline bool peer_flush(peer *p, size_t piece) {
  bool good = true;
  while (sl_buf_len(&p->wire)) {
    size_t n = sl_buf_len(&p->wire) < piece ? sl_buf_len(&p->wire) : piece;
    char *copy = malloc(n);
    memcpy(copy, sl_buf_head(&p->wire), n);
    sl_buf_take(&p->wire, n);
    good = peer_place(p, copy, n) || sl_sftp_feed(&p->c, copy, n);
    free(copy);
  }
  return good;
}

static inline void peer_start(peer *p) {
  memset(p, 0, sizeof *p);
  sl_sftp_client_init(&p->c, &peer_hooks);
}

static inline void peer_greet(peer *p) {
  peer_start(p);
  peer_version(p, 3, NULL);
  peer_flush(p, 1000);
}

static inline void peer_stop(peer *p) {
  sl_sftp_client_free(&p->c);
  sl_buf_free(&p->wire);
}

/* Takes all output; returns its length. */
static inline size_t peer_take(peer *p) {
  const unsigned char *bytes;
  size_t n, all = 0;
  while ((n = sl_sftp_output(&p->c, &bytes))) {
    sl_sftp_took(&p->c, n);
    all += n;
  }
  return all;
}

static inline uint32_t ask_path(peer *p, asker *a, sl_sftp_type type, sl_sftp_expects expects) {
  sl_err err = {0};
  memset(a, 0, sizeof *a);
  a->r.done = asker_done;
  sl_sftp_writer w = sl_sftp_ask(&p->c, &a->r, type, expects);
  sl_sftp_put_string(&w, "/x", 2);
  return sl_sftp_send(&p->c, &a->r, &w, &err) ? a->r.id : 0;
}

static inline uint32_t ask_read(peer *p, asker *a, uint32_t room) {
  sl_err err = {0};
  memset(a, 0, sizeof *a);
  a->r.done = asker_done;
  a->r.data = a->data;
  a->r.room = room;
  return sl_sftp_read(&p->c, &a->r, (sl_span){(const unsigned char *)"h", 1}, 0, &err) ? a->r.id
                                                                                       : 0;
}

#endif
