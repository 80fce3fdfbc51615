#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mask.h"
#include "base/secret_parts.h"

#define SECRET "sshlua.secret"

/* --- the object ---------------------------------------------------------------------------------
 */

sl_secret *sl_secret_push(lua_State *L, const char *name, size_t len) {
  if (len > SL_SECRET_MAX) luaL_error(L, "a secret is longer than %d bytes", SL_SECRET_MAX);
  sl_secret *s = lua_newuserdata(L, sizeof *s);
  *s = (sl_secret){.next = NULL};
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  s->size = (len / page + 1) * page; /* there is always a NUL behind it */
  s->bytes = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (s->bytes == MAP_FAILED) {
    s->bytes = NULL;
    luaL_error(L, "not enough memory");
  }
  (void)mlock(s->bytes, s->size); /* where it is allowed */
#ifdef MADV_DONTDUMP
  (void)madvise(s->bytes, s->size, MADV_DONTDUMP);
#endif
  size_t n = strlen(name);
  memcpy(s->name, name, n < SL_SECRET_NAME_MAX ? n : SL_SECRET_NAME_MAX);
  luaL_getmetatable(L, SECRET);
  lua_setmetatable(L, -2);
  return s;
}

char *sl_secret_room(sl_secret *s) {
  return s->bytes;
}

void sl_secret_filled(lua_State *L, sl_secret *s, size_t len, bool mask) {
  s->len = len;
  s->bytes[len] = '\0';
  if (mask) sl_secret_mask(L, s);
}

void sl_secret_push_copy(lua_State *L, const char *name, const char *bytes, size_t len) {
  sl_secret *s = sl_secret_push(L, name, len);
  if (len) memcpy(s->bytes, bytes, len);
  sl_secret_filled(L, s, len, true);
}

static sl_secret *secret_at(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return NULL;
  luaL_getmetatable(L, SECRET);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? lua_touserdata(L, idx) : NULL;
}

bool sl_is_secret(lua_State *L, int idx) {
  return secret_at(L, idx) != NULL;
}

static sl_secret *check_live(lua_State *L, int idx) {
  sl_secret *s = luaL_checkudata(L, idx, SECRET);
  if (s->wiped) luaL_error(L, "the secret '%s' has been wiped", s->name);
  return s;
}

const char *sl_check_bytes(lua_State *L, int idx, size_t *len) {
  if (!secret_at(L, idx)) return luaL_checklstring(L, idx, len);
  const sl_secret *s = check_live(L, idx);
  *len = s->len;
  return s->bytes;
}

static void secret_wipe(lua_State *L, sl_secret *s) {
  sl_secret_unmask(L, s);
  if (s->bytes) sl_wipe(s->bytes, s->len);
  s->wiped = true;
}

static int secret_gc(lua_State *L) {
  sl_secret *s = luaL_checkudata(L, 1, SECRET);
  secret_wipe(L, s);
  if (s->bytes) munmap(s->bytes, s->size); /* which unlocks it */
  s->bytes = NULL;
  return 0;
}

/* secret:wipe(): its bytes are gone, and not masked any more. Pages stay: a write may be under way.
 */
static int l_secret_wipe(lua_State *L) {
  secret_wipe(L, luaL_checkudata(L, 1, SECRET));
  return 0;
}

static int l_secret_name(lua_State *L) {
  const sl_secret *s = luaL_checkudata(L, 1, SECRET);
  lua_pushstring(L, s->name);
  return 1;
}

/* secret:reveal() -> string, which nobody can wipe. */
static int l_secret_reveal(lua_State *L) {
  const sl_secret *s = check_live(L, 1);
  lua_pushlstring(L, s->bytes, s->len);
  return 1;
}

/* secret:count(byte) -> how often that byte is in it */
static int l_secret_count(lua_State *L) {
  const sl_secret *s = check_live(L, 1);
  size_t len, n = 0;
  const char *byte = luaL_checklstring(L, 2, &len);
  luaL_argcheck(L, len == 1, 2, "one byte expected");
  for (size_t i = 0; i < s->len; i++) n += s->bytes[i] == *byte;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int secret_tostring(lua_State *L) {
  const sl_secret *s = luaL_checkudata(L, 1, SECRET);
  lua_pushfstring(L, "<secret %s%s>", s->name, s->wiped ? ", wiped" : "");
  return 1;
}

static int secret_eq(lua_State *L) {
  const sl_secret *a = secret_at(L, 1), *b = secret_at(L, 2);
  bool same = a && b && !a->wiped && !b->wiped && a->len == b->len;
  unsigned char differs = 0;
  for (size_t i = 0; same && i < a->len; i++) differs |= (unsigned char)(a->bytes[i] ^ b->bytes[i]);
  lua_pushboolean(L, same && !differs);
  return 1;
}

static int secret_concat(lua_State *L) {
  const sl_secret *s = secret_at(L, 1) ? secret_at(L, 1) : secret_at(L, 2);
  return luaL_error(
      L, "attempt to concatenate the secret '%s': give it as a password, in env, or by stdin",
      s->name);
}

static int secret_length(lua_State *L) {
  return luaL_error(L, "attempt to measure a secret");
}

/* --- making them --------------------------------------------------------------------------------
 */

static int fail(lua_State *L, const sl_err *e) {
  lua_pushnil(L);
  sl_push_err(L, e);
  return 2;
}

/* secret(name, ...) -> secret: the strings and secrets, one behind the other. */
static int l_secret(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  int top = lua_gettop(L);
  size_t total = 0, len;
  bool derived = false;
  for (int i = 2; i <= top; i++) {
    derived |= sl_is_secret(L, i);
    (void)sl_check_bytes(L, i, &len);
    total += len;
  }
  sl_secret *s = sl_secret_push(L, name, total);
  char *to = s->bytes;
  for (int i = 2; i <= top; i++) {
    const char *from = sl_check_bytes(L, i, &len);
    if (len) memcpy(to, from, len);
    to += len;
  }
  sl_secret_filled(L, s, total, !derived); /* the secret in it is masked already */
  return 1;
}

/* secret_env(name, variable) -> secret, or nil when it is not set or empty */
static int l_secret_env(lua_State *L) {
  const char *value = getenv(luaL_checkstring(L, 2));
  if (!value || !*value) return 0;
  sl_secret_push_copy(L, luaL_checkstring(L, 1), value, strlen(value));
  return 1;
}

static int check_file(const struct stat *st, const char *path, sl_err *e) {
  if (!S_ISREG(st->st_mode))
    return sl_err_set(e, SL_IO, "EINVAL", EINVAL, "%.180s: not a regular file", path);
  if (st->st_uid != geteuid() && st->st_uid != 0)
    return sl_err_set(e, SL_AUTH, "BAD_PERMISSIONS", 0, "%.180s: belongs to another user", path);
  if (st->st_mode & 077)
    return sl_err_set(e, SL_AUTH, "BAD_PERMISSIONS", 0, "%.180s: permissions %04o are too open",
                      path, (unsigned)(st->st_mode & 07777));
  return 0;
}

/* As much as there is room for; -1: errno. */
static ssize_t read_all(int fd, char *to, size_t room) {
  size_t n = 0;
  while (n < room) {
    ssize_t got = read(fd, to + n, room - n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    n += (size_t)got;
  }
  return (ssize_t)n;
}

static int cannot_read(sl_err *e, const char *path) {
  return sl_err_set(e, SL_IO, "EIO", errno, "%.180s: %s", path, strerror(errno));
}

/* Reads a file into a new secret at the top. `only_owner`: nobody else may have access. -1 with *e. */
static ssize_t read_file(lua_State *L, bool only_owner, sl_err *e) {
  const char *name = luaL_checkstring(L, 1), *path = luaL_checkstring(L, 2);
  struct stat st;
  if (stat(path, &st) != 0) return cannot_read(e, path);
  size_t room = S_ISREG(st.st_mode) && st.st_size < SL_SECRET_MAX ? (size_t)st.st_size : SL_SECRET_MAX;
  sl_secret *s = sl_secret_push(L, name, room); /* and the NUL, in whose place a byte too many shows */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (only_owner ? O_NONBLOCK : 0));
  ssize_t n = -1;
  if (fd < 0 || fstat(fd, &st) != 0)
    cannot_read(e, path);
  else if ((!only_owner || check_file(&st, path, e) == 0) && (n = read_all(fd, s->bytes, room + 1)) < 0)
    cannot_read(e, path);
  if (fd >= 0) close(fd);
  if (n <= (ssize_t)room) return n;
  sl_wipe(s->bytes, (size_t)n);
  return sl_err_set(e, SL_LIMIT, "EFBIG", EFBIG, "%.180s: longer than %d bytes, or just being written", path,
                    SL_SECRET_MAX);
}

/* secret_file(name, path) -> secret without the newline at its end, or nil, err. Only the owner may
 * have access. */
static int l_secret_file(lua_State *L) {
  sl_err e = {0};
  ssize_t n = read_file(L, true, &e);
  if (n < 0) return fail(L, &e);
  sl_secret *s = lua_touserdata(L, -1);
  if (n > 0 && s->bytes[n - 1] == '\n') n--;
  if (n > 0 && s->bytes[n - 1] == '\r') n--;
  sl_secret_filled(L, s, (size_t)n, true);
  return 1;
}

/* secret_text(name, path) -> secret, or nil, err: the whole file, whoever has access to it; it is not masked. */
static int l_secret_text(lua_State *L) {
  sl_err e = {0};
  ssize_t n = read_file(L, false, &e);
  if (n < 0) return fail(L, &e);
  sl_secret_filled(L, lua_touserdata(L, -1), (size_t)n, false);
  return 1;
}

static int l_is_secret(lua_State *L) {
  lua_pushboolean(L, sl_is_secret(L, 1));
  return 1;
}

/* nonce() -> 32 hexadecimal digits nobody can guess */
static int l_nonce(lua_State *L) {
  unsigned char bytes[16];
  char text[2 * sizeof bytes];
  if (getentropy(bytes, sizeof bytes) != 0) return luaL_error(L, "the system has no random bytes");
  for (size_t i = 0; i < sizeof text; i++)
    text[i] = "0123456789abcdef"[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

static const luaL_Reg functions[] = {
    {"secret", l_secret},       {"secret_env", l_secret_env}, {"secret_file", l_secret_file},
    {"secret_text", l_secret_text}, {"is_secret", l_is_secret}, {"nonce", l_nonce}, {NULL, NULL}};
static const luaL_Reg secret_methods[] = {{"name", l_secret_name},
                                          {"count", l_secret_count},
                                          {"reveal", l_secret_reveal},
                                          {"wipe", l_secret_wipe},
                                          {NULL, NULL}};
static const luaL_Reg secret_meta[] = {{"__tostring", secret_tostring},
                                       {"__concat", secret_concat},
                                       {"__len", secret_length},
                                       {"__eq", secret_eq},
                                       {"__gc", secret_gc},
                                       {NULL, NULL}};
void sl_secret_open(lua_State *L) {
  sl_class(L, SECRET, secret_methods, secret_meta);
  luaL_setfuncs(L, functions, 0);
  sl_secret_mask_open(L);
}
