/* A piece of memory on its way into a remote file: when its memory is free, and what is left when it is forgotten. */
#include "check.h"
#include "sftp/store.h"
#include "sftp_peer.h"

enum { STEP = 1000, LEN = 2500, HEAD = 26, PACKETS = 3 }; /* HEAD: with a handle of one byte */

typedef struct storing {
  sl_sftp_store s;
  sl_sftp_write writes[PACKETS];
  unsigned char bytes[LEN + PACKETS * HEAD];
  int sent, answered;
} storing;

static void was_sent(sl_sftp_store *s) { ((storing *)s)->sent++; }
static void was_answered(sl_sftp_store *s) { ((storing *)s)->answered++; }

static storing *begin(peer *p) {
  storing *x = calloc(1, sizeof *x);
  if (!x) abort();
  peer_greet(p);
  peer_take(p);
  x->s = (sl_sftp_store){.client = &p->c,
                         .handle = {(const unsigned char *)"h", 1},
                         .payloads = {x->bytes, sl_sftp_write_head_len(1), STEP},
                         .len = LEN,
                         .writes = x->writes,
                         .sent = was_sent,
                         .answered = was_answered};
  CHECK(sl_sftp_write_head_len(1) == HEAD);
  return x;
}

static void end(peer *p, storing *x) {
  peer_stop(p);
  free(x);
}

static void test_order(void) {
  peer p;
  check_case("answers that come before all is sent do not free the memory");
  storing *x = begin(&p);
  CHECK(sl_sftp_store_start(&x->s) && x->s.pending == PACKETS && !sl_sftp_store_is_over(&x->s));
  for (int i = 0; i < PACKETS; i++) peer_status(&p, x->writes[i].req.id, SL_FX_OK);
  peer_flush(&p, 100);
  CHECK(x->answered == PACKETS && x->sent == 0 && !sl_sftp_store_is_over(&x->s));
  CHECK(peer_take(&p) == LEN + PACKETS * HEAD);
  CHECK(x->sent == 1 && sl_sftp_store_is_over(&x->s));
  end(&p, x);
}

static void test_refusal(void) {
  peer p;
  check_case("the first refusal is kept, and the other answers are still counted");
  storing *x = begin(&p);
  CHECK(sl_sftp_store_start(&x->s));
  peer_take(&p);
  peer_status(&p, x->writes[1].req.id, 3);
  peer_status(&p, x->writes[0].req.id, 4);
  peer_flush(&p, 100);
  CHECK(x->s.err.kind && x->s.err.code == 3 && x->s.pending == 1);
  end(&p, x);
}

static void test_forgotten(void) {
  peer p;
  check_case("what has begun to go out goes on without the memory, and its answers are for nobody");
  storing *x = begin(&p), *y = calloc(1, sizeof *y);
  if (!y) abort();
  CHECK(sl_sftp_store_start(&x->s));
  sl_sftp_took(&p.c, 10);
  sl_sftp_store_forget(&x->s);
  memset(x->bytes, '!', sizeof x->bytes);
  CHECK(sl_sftp_store_is_over(&x->s) && p.c.in_flight == PACKETS);
  check_case("what has not begun is taken back");
  *y = *x;
  y->s.payloads.bytes = y->bytes;
  y->s.writes = y->writes;
  CHECK(sl_sftp_store_start(&y->s) && p.c.in_flight == 2 * PACKETS);
  sl_sftp_store_forget(&y->s);
  CHECK(p.c.in_flight == PACKETS);
  CHECK(peer_take(&p) == LEN + PACKETS * HEAD - 10);
  CHECK(x->sent + x->answered + y->sent + y->answered == 0);
  end(&p, x);
  free(y);
}

static void test_ended(void) {
  peer p;
  check_case("when the client ends, each packet hears of it and the memory is free");
  storing *x = begin(&p);
  CHECK(sl_sftp_store_start(&x->s));
  sl_err why = {0};
  sl_err_set(&why, SL_CLOSED, NULL, 0, "gone");
  sl_sftp_fail(&p.c, &why);
  CHECK(x->answered == PACKETS && x->sent == 1 && x->s.err.kind && sl_sftp_store_is_over(&x->s));
  CHECK(!sl_sftp_store_start(&x->s) && x->s.err.kind && x->s.pending == 0);
  end(&p, x);
}

int main(void) {
  test_order();
  test_refusal();
  test_forgotten();
  test_ended();
  return check_done();
}
