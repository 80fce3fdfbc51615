/* How transfers share the memory for their blocks. */
#include <stdlib.h>

#include "check.h"
#include "sftp/share.h"

enum { MANY = 500, WANTED = 512 << 10 };

static void test_alone(void) {
  sl_loop loop = {0};
  sl_share s = {0};
  check_case("one alone has the blocks that it asks for");
  sl_share_join(&s, &loop);
  CHECK(sl_share_block(&s, WANTED) == WANTED);
  CHECK(sl_share_block(&s, 100000) == 100000);
  CHECK(sl_share_has_room(&s, 8 * WANTED));
  sl_share_leave(&s);
  sl_share_leave(&s);
  CHECK(loop.sharing == 0);
}

static void test_many(void) {
  sl_loop loop = {0};
  sl_share s[MANY] = {{0}};
  check_case("many have a few small blocks each, and what they hold beyond that goes back");
  sl_share_join(&s[0], &loop);
  sl_share_bytes a, b;
  CHECK(sl_share_take(&s[0], WANTED, &a) && a.size == WANTED && s[0].held == WANTED);
  for (int i = 1; i < MANY; i++) sl_share_join(&s[i], &loop);
  CHECK(sl_share_block(&s[0], WANTED) == SL_SHARE_PIECE);
  CHECK(sl_share_now(&s[0]) * MANY <= (size_t)MANY * SL_SHARE_LEAST);
  CHECK(!sl_share_has_room(&s[0], 1));
  CHECK(sl_share_has_room(&s[1], 3 * SL_SHARE_PIECE));
  sl_share_give(&s[0], &a, SL_SHARE_PIECE);
  CHECK(!a.data && s[0].spares == 0 && s[0].held == 0);
  CHECK(sl_share_take(&s[0], SL_SHARE_PIECE, &a) && sl_share_take(&s[0], SL_SHARE_PIECE, &b));
  sl_share_give(&s[0], &a, SL_SHARE_PIECE);
  for (int i = 0; i < MANY; i++) sl_share_leave(&s[i]);
  CHECK(loop.sharing == 0 && s[0].held == SL_SHARE_PIECE);
  free(b.data);
}

static void test_spares(void) {
  sl_share s = {0};
  sl_share_bytes many[SL_SHARE_SPARES + 1], again;
  check_case("what was given back last is taken first, and a few pieces are kept at most");
  for (int i = 0; i <= SL_SHARE_SPARES; i++) CHECK(sl_share_take(&s, WANTED, &many[i]));
  const unsigned char *last = many[SL_SHARE_SPARES - 1].data;
  for (int i = 0; i <= SL_SHARE_SPARES; i++) sl_share_give(&s, &many[i], WANTED);
  CHECK(s.spares == SL_SHARE_SPARES && s.held == SL_SHARE_SPARES * (size_t)WANTED);
  CHECK(sl_share_take(&s, WANTED - 5, &again) && again.data == last);
  sl_share_give(&s, &again, WANTED);
  CHECK(sl_share_take(&s, WANTED + 5, &again) && again.size == WANTED + 5); /* too small: made anew */
  CHECK(s.held == (SL_SHARE_SPARES - 1) * (size_t)WANTED + WANTED + 5);
  sl_share_give(&s, &again, WANTED);
  sl_share_leave(&s);
  CHECK(s.held == 0 && s.spares == 0);
}

static void test_small(void) {
  sl_share s = {0};
  check_case("a small one takes no part");
  CHECK(sl_share_block(&s, 20000) == 20000);
  CHECK(sl_share_has_room(&s, WANTED));
}

int main(void) {
  test_alone();
  test_many();
  test_spares();
  test_small();
  return check_done();
}
