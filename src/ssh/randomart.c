/* The drunken bishop's walk: two bits of the digest are one diagonal step, the walls stop him, and
   where he has been often the picture is dark. */
#include "ssh/randomart.h"

#include <string.h>

enum { WIDTH = 17, HEIGHT = 9 };

static const char shades[] = " .o+=*BOX@%&#/^SE"; /* the last two: where he started, where he is */
enum { START = sizeof shades - 3, END = sizeof shades - 2 };

static int step(int at, unsigned forward, int size) {
  at += forward ? 1 : -1;
  return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static char *border(char *o, const char *word) {
  char label[WIDTH + 1] = "[";
  size_t n = strlen(word);
  if (n > WIDTH - 2) n = WIDTH - 2;
  memcpy(label + 1, word, n);
  label[n + 1] = ']';
  memset(o, '-', WIDTH + 2);
  o[0] = o[WIDTH + 1] = '+';
  if (*word) memcpy(o + 1 + (WIDTH - (n + 2)) / 2, label, n + 2);
  return o + WIDTH + 2;
}

void sl_randomart(const unsigned char *digest, size_t len, const char *title, const char *hash,
                  char out[SL_RANDOMART_SIZE]) {
  unsigned char field[HEIGHT][WIDTH] = {{0}};
  int x = WIDTH / 2, y = HEIGHT / 2;
  for (size_t i = 0; i < len * 4; i++) {
    unsigned bits = digest[i / 4] >> i % 4 * 2 & 3;
    x = step(x, bits & 1, WIDTH);
    y = step(y, bits & 2, HEIGHT);
    if (field[y][x] < START - 1) field[y][x]++;
  }
  field[HEIGHT / 2][WIDTH / 2] = START;
  field[y][x] = END;
  char *o = border(out, title);
  for (int row = 0; row < HEIGHT; row++) {
    *o++ = '\n';
    *o++ = '|';
    for (int column = 0; column < WIDTH; column++) *o++ = shades[field[row][column]];
    *o++ = '|';
  }
  *o++ = '\n';
  *border(o, hash) = '\0';
}
