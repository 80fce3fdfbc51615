/* tty_modes(fd, max) -> the settings of a terminal as a pty request wants them (RFC 4254 8): "\0" when fd is no
   terminal. Knows termios and the numbers of the RFC; must not know who asks. Modes that mean nothing to a pty (parity,
   bits of a character) and those for upper case alone are left out. */
#include <stddef.h>
#include <stdint.h>
#include <termios.h>
#include <unistd.h>

#include "loop/op.h"
#include "loop/verbs.h"

typedef struct letter {
  uint8_t opcode;
  int index;
} letter;

typedef struct flag {
  uint8_t opcode;
  uint8_t field; /* 0 input, 1 local, 2 output */
  tcflag_t bit;
} flag;

/* What people change comes first: there may not be room for all. */
static const letter letters[] = {{1, VINTR},   {2, VQUIT},   {3, VERASE}, {4, VKILL},   {5, VEOF},     {6, VEOL},
                                 {7, VEOL2},   {8, VSTART},  {9, VSTOP},  {10, VSUSP},  {12, VREPRINT}, {13, VWERASE},
                                 {14, VLNEXT}, {18, VDISCARD}};

static const flag flags[] = {{36, 0, ICRNL},  {38, 0, IXON},   {39, 0, IXANY},  {40, 0, IXOFF},   {50, 1, ISIG},
                             {51, 1, ICANON}, {53, 1, ECHO},   {54, 1, ECHOE},  {55, 1, ECHOK},   {56, 1, ECHONL},
                             {59, 1, IEXTEN}, {60, 1, ECHOCTL}, {61, 1, ECHOKE}, {70, 2, OPOST},   {72, 2, ONLCR},
#ifdef IUTF8
                             {42, 0, IUTF8},
#endif
                             {41, 0, IMAXBEL}, {33, 0, ISTRIP}, {34, 0, INLCR},  {35, 0, IGNCR},   {57, 1, NOFLSH},
                             {58, 1, TOSTOP}, {73, 2, OCRNL},  {74, 2, ONOCR},  {75, 2, ONLRET},  {30, 0, IGNPAR}};

enum { SPEED_IN = 128, SPEED_OUT = 129, MODE_BYTES = 5, MODES_SIZE = 512 };

typedef struct modes {
  uint8_t bytes[MODES_SIZE];
  size_t len, max;
} modes;

static void add(modes *m, uint8_t opcode, uint32_t value) {
  if (m->len + MODE_BYTES + 1 > m->max) return;
  m->bytes[m->len++] = opcode;
  for (int shift = 24; shift >= 0; shift -= 8) m->bytes[m->len++] = (uint8_t)(value >> shift);
}

static uint32_t bits_per_second(speed_t speed) {
  static const struct {
    speed_t speed;
    uint32_t bits;
  } known[] = {{B1200, 1200},   {B2400, 2400},   {B4800, 4800},   {B9600, 9600},
               {B19200, 19200}, {B38400, 38400}, {B57600, 57600}, {B115200, 115200}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (known[i].speed == speed) return known[i].bits;
  return 9600;
}

static void add_all(modes *m, const struct termios *t) {
  const tcflag_t fields[] = {t->c_iflag, t->c_lflag, t->c_oflag};
  add(m, SPEED_OUT, bits_per_second(cfgetospeed(t)));
  add(m, SPEED_IN, bits_per_second(cfgetispeed(t)));
  for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
    cc_t c = t->c_cc[letters[i].index];
    add(m, letters[i].opcode, c == (cc_t)_POSIX_VDISABLE ? 255 : c);
  }
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    add(m, flags[i].opcode, (fields[flags[i].field] & flags[i].bit) != 0);
}

static int l_tty_modes(lua_State *L) {
  struct termios t;
  modes m = {.len = 0};
  lua_Integer max = luaL_optinteger(L, 2, MODES_SIZE);
  m.max = max < 1 ? 1 : max > MODES_SIZE ? MODES_SIZE : (size_t)max;
  if (tcgetattr((int)luaL_checkinteger(L, 1), &t) == 0) add_all(&m, &t);
  m.bytes[m.len++] = 0;
  lua_pushlstring(L, (const char *)m.bytes, m.len);
  return 1;
}

static const luaL_Reg modes_functions[] = {{"tty_modes", l_tty_modes}, {NULL, NULL}};

void sl_ttymodes_open(lua_State *L) {
  luaL_setfuncs(L, modes_functions, 0);
}
