/* The SFTP protocol engine against a peer that lies: each lie ends the client with a named error,
   each requester hears of it once, and nothing is written where it must not be. */
#include "check.h"
#include "sftp_peer.h"

static bool ends_with(peer *p, const char *kind, const char *words) {
  bool good = CHECK(p->c.err.kind && strcmp(p->c.err.kind, kind) == 0) &&
              CHECK(strstr(p->c.err.message, words)) && CHECK(p->failed == 1) &&
              CHECK(p->c.in_flight == 0);
  if (!good) printf("# %s: %s\n", p->c.err.kind ? p->c.err.kind : "-", p->c.err.message);
  return good;
}

static void raw(peer *p, const char *bytes, size_t len) {
  (void)sl_buf_append(&p->wire, bytes, len);
}

/* What comes before a version. */
static void test_greetings(void) {
  static const struct {
    const char *name, *bytes;
    size_t len;
    const char *words;
  } cases[] = {
      {"text of start-up files is named", "Welcome to web7\n", 16,
       "text in place of SFTP: Welcome to web7"},
      {"a length beyond all bounds", "\0\4\0\1\2\0\0\0\3", 9, "impossible length"},
      {"a length of nothing", "\0\0\0\0\2\0\0\0\3", 9, "impossible length"},
      {"a length shorter than a head", "\0\0\0\4\2\0\0\0", 8, "impossible length"},
      {"version 2", "\0\0\0\5\2\0\0\0\2", 9, "version 2"},
      {"version 2^32 - 1", "\0\0\0\5\2\377\377\377\377", 9, "version 4294967295"},
      {"a status before the version", "\0\0\0\21\145\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0", 21,
       "before its version"},
      {"an extension that is cut short", "\0\0\0\11\2\0\0\0\3\0\0\0\1", 13,
       "extension that is cut short"},
      {"an extension longer than its packet", "\0\0\0\12\2\0\0\0\3\177\377\377\377a", 14,
       "extension that is cut"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t piece = 1; piece < 30; piece += 7) {
      peer p;
      if (piece == 1) check_case(cases[i].name);
      peer_start(&p);
      raw(&p, cases[i].bytes, cases[i].len);
      CHECK(!peer_flush(&p, i == 0 ? 100 : piece));
      ends_with(&p, SL_PROTOCOL, cases[i].words);
      peer_stop(&p);
    }
}

typedef struct lie {
  const char *name, *words;
  void (*tell)(peer *p, asker *read, asker *open);
} lie;

static void l_unknown(peer *p, asker *r, asker *o) {
  (void)o;
  peer_status(p, r->r.id + 1000, 0);
}
static void l_zero(peer *p, asker *r, asker *o) {
  (void)r;
  (void)o;
  peer_status(p, 0, 0);
}
static void l_twice(peer *p, asker *r, asker *o) {
  (void)o;
  peer_string(p, SL_FXP_DATA, r->r.id, "ab", 2);
  peer_string(p, SL_FXP_DATA, r->r.id, "ab", 2);
}
static void l_swapped(peer *p, asker *r, asker *o) {
  (void)r;
  peer_string(p, SL_FXP_DATA, o->r.id, "ab", 2);
}
static void l_ok_for_open(peer *p, asker *r, asker *o) {
  (void)r;
  peer_status(p, o->r.id, 0);
}
static void l_ok_for_read(peer *p, asker *r, asker *o) {
  (void)o;
  peer_status(p, r->r.id, 0);
}
static void l_much(peer *p, asker *r, asker *o) {
  (void)o;
  peer_string(p, SL_FXP_DATA, r->r.id, "0123456789a", 11);
}
static void l_none(peer *p, asker *r, asker *o) {
  (void)o;
  peer_string(p, SL_FXP_DATA, r->r.id, "", 0);
}
static void l_count_above(peer *p, asker *r, asker *o) {
  (void)o;
  sl_sftp_writer w = peer_begin(p, SL_FXP_DATA, r->r.id);
  sl_sftp_put_u32(&w, 8);
  sl_sftp_put_u32(&w, 0);
  sl_sftp_end(&w);
}
static void l_count_below(peer *p, asker *r, asker *o) {
  (void)o;
  sl_sftp_writer w = peer_begin(p, SL_FXP_DATA, r->r.id);
  sl_sftp_put_u32(&w, 2);
  sl_sftp_put_u64(&w, 0);
  sl_sftp_end(&w);
}
static void l_data_head(peer *p, asker *r, asker *o) {
  (void)o;
  sl_sftp_writer w = peer_begin(p, SL_FXP_DATA, r->r.id);
  sl_sftp_end(&w);
}
static void l_handle_long(peer *p, asker *r, asker *o) {
  static const char many[300];
  (void)r;
  peer_string(p, SL_FXP_HANDLE, o->r.id, many, 257);
}
static void l_handle_none(peer *p, asker *r, asker *o) {
  (void)r;
  peer_string(p, SL_FXP_HANDLE, o->r.id, "", 0);
}
static void l_handle_cut(peer *p, asker *r, asker *o) {
  (void)r;
  sl_sftp_writer w = peer_begin(p, SL_FXP_HANDLE, o->r.id);
  sl_sftp_put_u32(&w, 5);
  sl_sftp_put_u32(&w, 5);
  sl_sftp_end(&w);
}
static void l_status_cut(peer *p, asker *r, asker *o) {
  (void)r;
  sl_sftp_writer w = peer_begin(p, SL_FXP_STATUS, o->r.id);
  sl_sftp_end(&w);
}
static void l_status_text(peer *p, asker *r, asker *o) {
  (void)r;
  sl_sftp_writer w = peer_begin(p, SL_FXP_STATUS, o->r.id);
  sl_sftp_put_u32(&w, 2);
  sl_sftp_put_u32(&w, 0xffffffff);
  sl_sftp_end(&w);
}
static void l_type(peer *p, asker *r, asker *o) {
  (void)r;
  sl_sftp_writer w = peer_begin(p, SL_FXP_OPEN, o->r.id);
  sl_sftp_end(&w);
}
static void l_version(peer *p, asker *r, asker *o) {
  (void)r;
  (void)o;
  peer_version(p, 3, NULL);
}
static void l_huge(peer *p, asker *r, asker *o) {
  (void)r;
  (void)o;
  raw(p, "\377\377\377\377\145\0\0\0\1", 9);
}

static const lie lies[] = {
    {"a reply to an unknown id", "nothing that was asked", l_unknown},
    {"a reply to id 0", "nothing that was asked", l_zero},
    {"a second reply", "nothing that was asked", l_twice},
    {"data for somebody who opens", "wrong type", l_swapped},
    {"success without a handle", "status of success", l_ok_for_open},
    {"success without data", "status of success", l_ok_for_read},
    {"more data than was asked for", "more data", l_much},
    {"data without bytes", "without bytes", l_none},
    {"a count above the packet", "does not fit", l_count_above},
    {"a count below the packet", "does not fit", l_count_below},
    {"data that ends with its head", "does not fit", l_data_head},
    {"a handle of 257 bytes", "impossible length", l_handle_long},
    {"an empty handle", "impossible length", l_handle_none},
    {"a handle that is cut short", "cut short", l_handle_cut},
    {"a status without a code", "cut short", l_status_cut},
    {"a status whose text is longer than 4 GiB", "cut short", l_status_text},
    {"a request from the server", "unknown type", l_type},
    {"a second version", "second version", l_version},
    {"a packet of 4 GiB", "impossible length", l_huge},
};

static void test_lies(void) {
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    check_case(lies[i].name);
    for (size_t piece = 1; piece < 40; piece += 6) {
      peer p;
      asker r, o;
      peer_greet(&p);
      ask_read(&p, &r, 10);
      ask_path(&p, &o, SL_FXP_OPEN, SL_WANT_HANDLE);
      lies[i].tell(&p, &r, &o);
      CHECK(!peer_flush(&p, piece));
      ends_with(&p, SL_PROTOCOL, lies[i].words);
      CHECK(r.heard + r.ended == 1 && o.heard == 0 && o.ended == 1);
      CHECK(r.data[10] == 0);
      peer_stop(&p);
    }
  }
}

static void test_after(void) {
  peer p;
  asker a;
  check_case("after its end a client refuses requests with the reason");
  peer_greet(&p);
  sl_sftp_lie(&p.c, "this");
  CHECK(ask_path(&p, &a, SL_FXP_STAT, SL_WANT_ATTRS) == 0);
  CHECK(!sl_sftp_feed(&p.c, "abc", 3));
  ends_with(&p, SL_PROTOCOL, "this");
  peer_stop(&p);
}

/* Streams of honest replies with bytes changed at random: whatever happens, everybody hears once,
   and a sanitizer has nothing to say. The same in every run. */
static uint32_t seed = 1;
static uint32_t dice(uint32_t n) {
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % n;
}

static void random_stream(void) {
  peer p;
  asker a[6];
  peer_start(&p);
  peer_version(&p, 3, dice(2) ? "posix-rename@openssh.com" : NULL);
  peer_flush(&p, 1 + dice(20));
  for (int i = 0; i < 3; i++) ask_read(&p, &a[i], 20);
  ask_path(&p, &a[3], SL_FXP_OPEN, SL_WANT_HANDLE);
  ask_path(&p, &a[4], SL_FXP_READDIR, SL_WANT_NAME);
  ask_path(&p, &a[5], SL_FXP_REMOVE, SL_WANT_STATUS);
  uint32_t ids[6];
  for (int i = 0; i < 6; i++) ids[i] = a[i].r.id;
  if (dice(4) == 0) sl_sftp_forget(&p.c, &a[dice(6)].r);
  for (int i = 0; i < 3; i++)
    peer_string(&p, SL_FXP_DATA, ids[i], "01234567890123456789", 1 + dice(20));
  peer_string(&p, SL_FXP_HANDLE, ids[3], "handle", 6);
  sl_sftp_writer w = peer_begin(&p, SL_FXP_NAME, ids[4]);
  sl_sftp_put_u32(&w, 1);
  sl_sftp_put_string(&w, "name", 4);
  sl_sftp_put_string(&w, "-rw------- name", 15);
  sl_sftp_put_attrs(&w, &(sl_sftp_attrs){.flags = 15, .mode = 0100600});
  sl_sftp_end(&w);
  peer_status(&p, ids[5], dice(9));
  uint32_t changes = dice(4);
  for (uint32_t i = 0; i < changes; i++)
    sl_buf_head(&p.wire)[dice((uint32_t)sl_buf_len(&p.wire))] =
        (char)(dice(2) ? dice(256) : dice(3));
  bool good = peer_flush(&p, 1 + dice(64));
  if (changes == 0 && !good) CHECK(!"an honest stream was refused");
  bool forgotten[6];
  for (int i = 0; i < 6; i++) forgotten[i] = a[i].r.id == 0 && a[i].heard + a[i].ended == 0;
  peer_stop(&p);
  for (int i = 0; i < 6; i++) CHECK(forgotten[i] || a[i].heard + a[i].ended == 1);
}

int main(void) {
  test_greetings();
  test_lies();
  test_after();
  check_case("20,000 streams with random changes");
  for (int i = 0; i < 20000; i++) random_stream();
  return check_done();
}
