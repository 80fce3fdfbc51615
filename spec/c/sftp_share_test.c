/* How transfers share the memory for their blocks. */
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
  size_t room = 0;
  unsigned char *bytes = sl_share_fit(&s[0], NULL, &room, WANTED);
  CHECK(bytes && room == WANTED && s[0].held == WANTED);
  CHECK(sl_share_trim(&s[0], bytes, &room, WANTED) == bytes);
  for (int i = 1; i < MANY; i++) sl_share_join(&s[i], &loop);
  CHECK(sl_share_block(&s[0], WANTED) == SL_SHARE_PIECE);
  CHECK(sl_share_now(&s[0]) * MANY <= (size_t)MANY * SL_SHARE_LEAST);
  CHECK(!sl_share_has_room(&s[0], 1));
  CHECK(sl_share_has_room(&s[1], 3 * SL_SHARE_PIECE));
  CHECK(sl_share_trim(&s[0], bytes, &room, SL_SHARE_PIECE) == NULL);
  CHECK(room == 0 && s[0].held == 0);
  for (int i = 0; i < MANY; i++) sl_share_leave(&s[i]);
  CHECK(loop.sharing == 0);
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
  test_small();
  return check_done();
}
