/* libFuzzer target for what an SFTP server sends. The first byte chooses the size of the pieces in
   which the rest comes and whether a version is sent in front. Requests of every kind are in
   flight; a reply asks for more. */
#include <stdlib.h>
#include <string.h>

#include "sftp/client.h"

enum { ASKERS = 6, ROOM = 64 };

typedef struct asker {
  sl_sftp_request r;
  sl_sftp_client *c;
  unsigned char *data;
  sl_sftp_expects expects;
  int rounds;
} asker;

static void ask(asker *a);

static void look_at_names(sl_sftp_client *c, sl_reader body) {
  sl_sftp_name name;
  uint32_t count;
  if (!sl_sftp_get_count(&body, &count)) {
    sl_sftp_lie(c, "names");
    return;
  }
  for (; count > 0; count--) {
    if (!sl_sftp_get_name(&body, &name)) {
      sl_sftp_lie(c, "names");
      return;
    }
    if (sl_sftp_name_is_safe(name.name) && memchr(name.name.p, '/', name.name.n)) abort();
  }
}

static void done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  asker *a = (asker *)r;
  sl_sftp_attrs attrs;
  sl_reader body;
  if (!reply) return;
  body = reply->body;
  if (reply->type == SL_FXP_DATA && (reply->len == 0 || reply->len > ROOM)) abort();
  if (reply->type == SL_FXP_NAME) look_at_names(a->c, body);
  if (reply->type == SL_FXP_ATTRS) (void)sl_sftp_get_attrs(&body, &attrs);
  if (a->rounds-- > 0) ask(a);
}

static void ask(asker *a) {
  sl_err err = {0};
  a->r.done = done;
  a->r.data = a->data;
  a->r.room = ROOM;
  if (a->expects == SL_WANT_DATA) {
    (void)sl_sftp_read(a->c, &a->r, (sl_span){(const unsigned char *)"h", 1}, 0, &err);
    return;
  }
  sl_sftp_writer w = sl_sftp_ask(a->c, &a->r, SL_FXP_STAT, a->expects);
  sl_sftp_put_string(&w, "/x", 2);
  (void)sl_sftp_send(a->c, &a->r, &w, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char version[] = "\0\0\0\5\2\0\0\0\3";
  static const sl_sftp_hooks hooks = {0};
  sl_sftp_client c;
  asker all[ASKERS];
  if (size == 0 || !sl_sftp_client_init(&c, &hooks)) return 0;
  size_t piece = (size_t)(*data >> 1) + 1;
  if (*data & 1) (void)sl_sftp_feed(&c, version, 9);
  for (int i = 0; i < ASKERS; i++) {
    all[i] = (asker){.c = &c, .data = malloc(ROOM), .expects = (sl_sftp_expects)i, .rounds = 3};
    ask(&all[i]);
  }
  for (size_t at = 1; at < size; at += piece)
    if (!sl_sftp_feed(&c, data + at, size - at < piece ? size - at : piece)) break;
  sl_sftp_client_free(&c);
  for (int i = 0; i < ASKERS; i++) free(all[i].data);
  return 0;
}
