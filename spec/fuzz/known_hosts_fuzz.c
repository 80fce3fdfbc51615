/* libFuzzer target for known_hosts: any bytes as a host name, a port and a file. It must not crash,
   and some truths must hold whatever the file says. */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh/known_hosts.h"

#include "truth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct question {
  char name[200];
  unsigned port;
  unsigned char blob[SL_KH_BLOB_MAX];
  size_t len;
} question;

static sl_kh_verdict ask(sl_known_hosts *set, const question *q, sl_kh_line *line) {
  sl_err err;
  return sl_known_hosts_check(set, q->name, q->port, q->blob, q->len, line, &err);
}

/* The key asked about: that of the line numbered by the input, else one of our own. */
static void choose_key(sl_known_hosts *set, question *q, size_t number) {
  sl_err err;
  ptrdiff_t n = sl_known_hosts_lookup(set, q->name, q->port, &err);
  if (n > 0) {
    sl_kh_line l = sl_known_hosts_found(set, number % (size_t)n);
    if (l.blob_len <= sizeof q->blob) {
      memcpy(q->blob, l.blob, l.blob_len);
      q->len = l.blob_len;
      return;
    }
  }
  memcpy(q->blob, "\0\0\0\13ssh-ed25519\0\0\0\40", 19);
  memset(q->blob + 19, (int)number, 32);
  q->len = 51;
}

/* A match rests on an equal, sound, plain line, and on no revocation. */
static void check_match(sl_known_hosts *set, const question *q) {
  sl_err err;
  bool equal = false;
  ptrdiff_t n = sl_known_hosts_lookup(set, q->name, q->port, &err);
  for (ptrdiff_t i = 0; i < n; i++) {
    sl_kh_line l = sl_known_hosts_found(set, (size_t)i);
    bool same = l.blob_len == q->len && memcmp(l.blob, q->blob, q->len) == 0;
    equal |= same && l.marker == SL_KH_PLAIN && l.usable;
    TRUTH(!(same && l.marker == SL_KH_REVOKE));
  }
  TRUTH(equal);
}

static void check_types(sl_known_hosts *set, const question *q) {
  sl_err err;
  const char *types[SL_KH_TYPES_MAX];
  ptrdiff_t n = sl_known_hosts_types(set, q->name, q->port, types, &err);
  TRUTH(n >= 0 && n <= SL_KH_TYPES_MAX);
  for (ptrdiff_t i = 0; i < n; i++) {
    for (ptrdiff_t k = 0; k < i; k++) TRUTH(strcmp(types[i], types[k]) != 0);
  }
}

static void check_reports(sl_known_hosts *set) {
  for (size_t i = 0; i < sl_known_hosts_warnings(set); i++) {
    sl_kh_warning w = sl_known_hosts_warning(set, i);
    TRUTH(w.file && w.line > 0 && *w.message);
  }
  TRUTH(!sl_known_hosts_stale(set));
}

/* A revocation for everybody, added last, turns every verdict; so does a line for the host turn
 * UNKNOWN. */
static void check_more(sl_known_hosts *set, const question *q, sl_kh_verdict before) {
  static char line[SL_KH_FORMAT_SIZE + 20];
  sl_kh_line by;
  sl_err err;
  if (sl_known_hosts_format(q->name, q->port, q->blob, q->len, q->len % 2, line, &err) == 0) {
    TRUTH(sl_known_hosts_add_text(set, line, strlen(line), "more", &err) == 0);
    sl_kh_verdict after = ask(set, q, &by);
    /* At another port than 22 the line outweighs a revocation for the bare name, as with ssh. */
    if (before == SL_KH_REVOKED && q->port == 22) TRUTH(after == SL_KH_REVOKED);
    if (before != SL_KH_REVOKED) TRUTH(after == SL_KH_MATCH);
  }
  size_t n = (size_t)sprintf(line, "@revoked * ");
  size_t type_len = 0;
  const char *type = sl_kh_key_type(q->blob, q->len, &type_len);
  n += (size_t)sprintf(line + n, "%.*s ", (int)type_len, type);
  sl_kh_base64_encode(line + n, q->blob, q->len);
  TRUTH(sl_known_hosts_add_text(set, line, strlen(line), "revoked", &err) == 0);
  TRUTH(ask(set, q, &by) == SL_KH_REVOKED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const unsigned ports[] = {22, 2222, 22022, 65535};
  static question q, upper;
  sl_err err;
  sl_kh_line line;
  if (size < 2) return 0;
  size_t number = data[0], name_len = data[1] % 32;
  data += 2;
  size -= 2;
  if (name_len > size) name_len = size;
  memset(&q, 0, sizeof q);
  memcpy(q.name, data, name_len);
  q.port = ports[number % 4];
  if (!*q.name) strcpy(q.name, "alpha");

  sl_known_hosts *set = sl_known_hosts_new();
  if (!set) return 0;
  TRUTH(sl_known_hosts_add_text(set, (const char *)data + name_len, size - name_len, "f", &err) ==
        0);
  check_reports(set);
  check_types(set, &q);
  choose_key(set, &q, number);
  sl_kh_verdict v = ask(set, &q, &line);
  upper = q;
  for (char *c = upper.name; *c; c++) *c = (char)toupper((unsigned char)*c);
  TRUTH(ask(set, &upper, &line) == v);
  if (v == SL_KH_MATCH) check_match(set, &q);
  if (v != SL_KH_ERROR) check_more(set, &q, v);
  sl_known_hosts_free(set);
  return 0;
}
