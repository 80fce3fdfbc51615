/* The SFTP protocol engine against a peer that keeps the rules: order, pieces, limits, ghosts,
 * output. */
#include "check.h"
#include "sftp_peer.h"

static void test_greeting(void) {
  peer p;
  const unsigned char *bytes;
  check_case("the first packet asks for version 3");
  peer_start(&p);
  CHECK(sl_sftp_output(&p.c, &bytes) == 9);
  CHECK(memcmp(bytes, "\0\0\0\5\1\0\0\0\3", 9) == 0);
  peer_take(&p);
  peer_version(&p, 3, "fsync@openssh.com");
  CHECK(peer_flush(&p, 1));
  CHECK(p.ready == 1 && p.c.extensions == SL_EXT_FSYNC);
  CHECK(p.c.read_max == SL_SFTP_IO_SMALL);
  peer_stop(&p);
  CHECK(p.failed == 1);
}

static void limits_case(uint64_t packet, uint64_t read, uint64_t write, uint32_t want_read,
                        uint32_t want_write) {
  peer p;
  peer_start(&p);
  peer_version(&p, 3, "limits@openssh.com");
  peer_flush(&p, 7);
  CHECK(p.ready == 0 && p.c.own.id != 0);
  sl_sftp_writer w = peer_begin(&p, SL_FXP_EXTENDED_REPLY, p.c.own.id);
  sl_sftp_put_u64(&w, packet);
  sl_sftp_put_u64(&w, read);
  sl_sftp_put_u64(&w, write);
  sl_sftp_put_u64(&w, 100);
  sl_sftp_end(&w);
  CHECK(peer_flush(&p, 7));
  CHECK(p.ready == 1 && p.c.read_max == want_read && p.c.write_max == want_write);
  peer_stop(&p);
}

static void test_limits(void) {
  check_case("limits decide about the size of requests, within ours");
  limits_case(262144, 261120, 261120, 261120, 261120);
  limits_case(0, 0, 0, 32768, 32768);
  limits_case(UINT64_MAX, UINT64_MAX, UINT64_MAX, 261120, 261120);
  limits_case(34000, 65536, 1, 34000 - 1024, 1024);
  check_case("a server that refuses to tell its limits is fine");
  peer p;
  peer_start(&p);
  peer_version(&p, 3, "limits@openssh.com");
  peer_flush(&p, 100);
  peer_status(&p, p.c.own.id, 8);
  CHECK(peer_flush(&p, 100) && p.ready == 1 && p.c.read_max == 32768);
  peer_stop(&p);
  check_case("asked for before the version has come they are waited for, also by a server without them");
  for (int offered = 0; offered <= 1; offered++) {
    peer_start(&p);
    sl_sftp_ask_limits(&p.c);
    uint32_t id = p.c.own.id;
    peer_version(&p, 3, offered ? "limits@openssh.com" : NULL);
    CHECK(peer_flush(&p, 100) && p.ready == 0 && p.c.own.id == id);
    peer_status(&p, id, 8);
    CHECK(peer_flush(&p, 100) && p.ready == 1 && p.c.in_flight == 0);
    peer_stop(&p);
  }
  peer_start(&p);
  sl_sftp_ask_limits(&p.c);
  peer_status(&p, p.c.own.id, 8);
  CHECK(!peer_flush(&p, 100) && p.ready == 0);
  peer_stop(&p);
}

static void test_pieces(void) {
  check_case("packets may be cut anywhere");
  for (size_t piece = 1; piece < 70; piece++) {
    peer p;
    asker a, b, c;
    peer_greet(&p);
    ask_read(&p, &a, 40);
    ask_path(&p, &b, SL_FXP_OPEN, SL_WANT_HANDLE);
    ask_path(&p, &c, SL_FXP_REMOVE, SL_WANT_STATUS);
    peer_status(&p, c.r.id, 2);
    peer_string(&p, SL_FXP_DATA, a.r.id, "0123456789012345678901234567890123456789", 40);
    peer_string(&p, SL_FXP_HANDLE, b.r.id, "\0\1\2\3", 4);
    CHECK(peer_flush(&p, piece));
    CHECK(a.heard == 1 && a.type == SL_FXP_DATA && a.len == 40 &&
          memcmp(a.data + 30, "0123456789", 11) == 0);
    CHECK(b.heard == 1 && b.text_len == 4 && memcmp(b.text, "\0\1\2\3", 4) == 0);
    CHECK(c.heard == 1 && c.status == 2 && c.text_len == 5);
    CHECK(p.c.in_flight == 0);
    peer_stop(&p);
  }
}

enum { MANY = 3000 };

static void test_order(void) {
  peer p;
  asker *all = calloc(MANY, sizeof *all);
  check_case("thousands of requests are answered in any order");
  peer_greet(&p);
  for (int i = 0; i < MANY; i++) CHECK(ask_read(&p, &all[i], 4) != 0);
  for (int i = 0; i < MANY; i++) {
    int at = i * 1009 % MANY;
    char text[16];
    snprintf(text, sizeof text, "%04d", at);
    peer_string(&p, SL_FXP_DATA, all[at].r.id, text, 4);
  }
  CHECK(peer_flush(&p, 777));
  for (int i = 0; i < MANY; i++) {
    char text[16];
    snprintf(text, sizeof text, "%04d", i);
    CHECK(all[i].heard == 1 && memcmp(all[i].data, text, 4) == 0);
  }
  CHECK(p.c.slots_used == MANY && p.c.in_flight == 0);
  check_case("places in the table are used again, ids are not");
  uint32_t before = p.c.slots[all[0].r.id & 0xffff].id;
  ask_read(&p, &all[0], 4);
  CHECK(p.c.slots_used == MANY && all[0].r.id != before && all[0].r.id != 0);
  peer_stop(&p);
  free(all);
}

static void test_ghosts(void) {
  peer p;
  asker a, b;
  check_case("a forgotten read takes no bytes, not even in the middle of its data");
  peer_greet(&p);
  ask_read(&p, &a, 10);
  uint32_t id = a.r.id;
  peer_string(&p, SL_FXP_DATA, id, "0123456789", 10);
  char *part = malloc(18);
  memcpy(part, sl_buf_head(&p.wire), 18);
  sl_buf_take(&p.wire, 18);
  sl_sftp_feed(&p.c, part, 18);
  free(part);
  sl_sftp_forget(&p.c, &a.r);
  memset(a.data, 'x', sizeof a.data);
  ask_read(&p, &b, 4);
  peer_string(&p, SL_FXP_DATA, b.r.id, "next", 4);
  CHECK(peer_flush(&p, 3));
  CHECK(a.heard == 0 && a.data[6] == 'x' && b.heard == 1 && memcmp(b.data, "next", 4) == 0);
  check_case("the handle of a forgotten open is closed");
  ask_path(&p, &a, SL_FXP_OPEN, SL_WANT_HANDLE);
  id = a.r.id;
  sl_sftp_forget(&p.c, &a.r);
  peer_take(&p);
  peer_string(&p, SL_FXP_HANDLE, id, "abc", 3);
  CHECK(peer_flush(&p, 100) && a.heard == 0);
  const unsigned char *bytes;
  CHECK(sl_sftp_output(&p.c, &bytes) == 16 && bytes[4] == SL_FXP_CLOSE &&
        memcmp(bytes + 13, "abc", 3) == 0);
  peer_stop(&p);
}

static void feed_some(peer *p, size_t n) {
  sl_sftp_feed(&p->c, sl_buf_head(&p->wire), n);
  sl_buf_take(&p->wire, n);
}

static void test_room(void) {
  enum { HEAD = 13 };
  peer p;
  asker a;
  check_case("a payload may be written in its place, as far as the request has room");
  peer_greet(&p);
  ask_read(&p, &a, 10);
  peer_string(&p, SL_FXP_DATA, a.r.id, "01234567", 8);
  CHECK(!sl_sftp_room(&p.c, 1, 1));
  feed_some(&p, HEAD);
  CHECK(sl_sftp_room(&p.c, 8, 10) == a.data && !sl_sftp_room(&p.c, 8, 11));
  CHECK(!sl_sftp_room(&p.c, 9, 9));
  CHECK(peer_place(&p, "012", 3));
  CHECK(sl_sftp_room(&p.c, 5, 7) == a.data + 3 && !sl_sftp_room(&p.c, 5, 8));
  CHECK(a.heard == 0 && peer_place(&p, "3456", 4));
  CHECK(!peer_place(&p, "7", 1));
  sl_sftp_feed(&p.c, "7", 1);
  CHECK(a.heard == 1 && memcmp(a.data, "01234567", 8) == 0);
  CHECK(!sl_sftp_room(&p.c, 1, 1));
  check_case("not when nobody wants it any more");
  sl_buf_free(&p.wire);
  ask_read(&p, &a, 10);
  peer_string(&p, SL_FXP_DATA, a.r.id, "0123456789", 10);
  feed_some(&p, HEAD + 2);
  CHECK(sl_sftp_room(&p.c, 2, 2) == a.data + 2);
  sl_sftp_forget(&p.c, &a.r);
  CHECK(!sl_sftp_room(&p.c, 2, 2));
  peer_stop(&p);
}

static void count_sent(sl_sftp_segment *s);
typedef struct lump {
  sl_sftp_segment s;
  unsigned char bytes[3000];
  int sent;
} lump;
static void count_sent(sl_sftp_segment *s) {
  ((lump *)s)->sent++;
}

static void test_segments(void) {
  peer p;
  asker a;
  lump *l = calloc(1, sizeof *l);
  const unsigned char *bytes;
  check_case("segments go out from where they lie, between the packets around them");
  peer_greet(&p);
  peer_take(&p);
  ask_path(&p, &a, SL_FXP_STAT, SL_WANT_ATTRS);
  l->s.data = l->bytes;
  l->s.len = sizeof l->bytes;
  l->s.sent = count_sent;
  sl_sftp_send_segment(&p.c, &l->s);
  asker b;
  ask_path(&p, &b, SL_FXP_STAT, SL_WANT_ATTRS);
  size_t n = sl_sftp_output(&p.c, &bytes);
  CHECK(n == 15);
  sl_sftp_took(&p.c, n);
  CHECK(sl_sftp_output(&p.c, &bytes) == 3000 && bytes == l->bytes);
  sl_sftp_took(&p.c, 1000);
  CHECK(sl_sftp_output(&p.c, &bytes) == 2000 && bytes == l->bytes + 1000 && !l->sent);
  sl_sftp_took(&p.c, 2000);
  CHECK(l->sent == 1 && sl_sftp_output(&p.c, &bytes) == 15 && bytes[4] == SL_FXP_STAT);
  check_case("a segment that is taken back leaves whole packets behind");
  peer_take(&p);
  l->s.data = l->bytes;
  l->s.len = sizeof l->bytes;
  sl_sftp_send_segment(&p.c, &l->s);
  ask_path(&p, &a, SL_FXP_STAT, SL_WANT_ATTRS);
  sl_sftp_took(&p.c, 10);
  CHECK(sl_sftp_retract(&p.c, &l->s, 3000, 1000) == 3000);
  CHECK(peer_take(&p) == 2990 + 15);
  check_case(
      "nothing of a segment goes out that stood behind others; the first one stays up to a packet");
  ask_path(&p, &b, SL_FXP_STAT, SL_WANT_ATTRS);
  l->s.data = l->bytes;
  l->s.len = sizeof l->bytes;
  sl_sftp_send_segment(&p.c, &l->s);
  CHECK(sl_sftp_retract(&p.c, &l->s, 3000, 1000) == 0);
  CHECK(peer_take(&p) == 15);
  l->s.data = l->bytes;
  l->s.len = sizeof l->bytes;
  sl_sftp_send_segment(&p.c, &l->s);
  CHECK(sl_sftp_retract(&p.c, &l->s, 3000, 1000) == 3000);
  CHECK(peer_take(&p) == 3000);
  free(l);
  peer_stop(&p);
}

int main(void) {
  test_greeting();
  test_limits();
  test_pieces();
  test_order();
  test_ghosts();
  test_room();
  test_segments();
  return check_done();
}
