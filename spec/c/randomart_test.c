/* Random art: the walk, the borders, titles that do not fit. (Beside ssh-keygen: trust_spec.lua.)
 */
#include "ssh/randomart.h"

#include "check.h"

static void test_size(void) {
  char out[SL_RANDOMART_SIZE];
  unsigned char digest[64];
  memset(digest, 0, sizeof digest);
  check_case("the picture has eleven lines, whatever the title");
  static const char *const titles[] = {"", "X", "ED25519 256", "A TITLE THAT IS TOO LONG FOR IT"};
  for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
    sl_randomart(digest, sizeof digest, titles[i], titles[i], out);
    CHECK(strlen(out) == SL_RANDOMART_SIZE - 2);
    for (int line = 0; line < 10; line++) CHECK(out[line * 20 + 19] == '\n');
  }
}

static void test_corner(void) {
  char out[SL_RANDOMART_SIZE];
  unsigned char digest[32];
  memset(digest, 0, sizeof digest);
  check_case("a digest of zeros walks into the upper left corner and stays");
  sl_randomart(digest, sizeof digest, "T", "H", out);
  CHECK(out[20 + 1] == 'E');
  CHECK(out[5 * 20 + 9] == 'S');
  memset(digest, 0xff, sizeof digest);
  sl_randomart(digest, sizeof digest, "T", "H", out);
  CHECK(out[9 * 20 + 17] == 'E');
}

int main(void) {
  test_size();
  test_corner();
  return check_done();
}
