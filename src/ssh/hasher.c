/* hasher(name): a digest that grows with the bytes it is given, for files that do not fit into
   memory. Knows libcrypto; must not know where the bytes come from. */
#include <openssl/evp.h>
#include <string.h>

#include "base/lx.h"
#include "ssh/verbs.h"

#define HASHER_CLASS "sshlua.hasher"

static int l_hasher_new(lua_State *L) {
  static const char *const names[] = {"md5", "sha1", "sha256", "sha384", "sha512", NULL};
  const char *name = names[luaL_checkoption(L, 1, NULL, names)];
  void **box = sl_box_new(L, HASHER_CLASS);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  const EVP_MD *type = EVP_get_digestbyname(name);
  if (!ctx || !type || EVP_DigestInit_ex(ctx, type, NULL) != 1) {
    EVP_MD_CTX_free(ctx);
    return luaL_error(L, "libcrypto has no %s", name);
  }
  *box = ctx;
  return 1;
}

static int l_hasher_update(lua_State *L) {
  EVP_MD_CTX *ctx = sl_box_check(L, 1, HASHER_CLASS);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  if (EVP_DigestUpdate(ctx, bytes, len) != 1) return luaL_error(L, "libcrypto cannot go on");
  return 0;
}

/* hasher:digest() -> hexadecimal; the hasher is used up. */
static int l_hasher_digest(lua_State *L) {
  EVP_MD_CTX *ctx = sl_box_check(L, 1, HASHER_CLASS);
  void **box = lua_touserdata(L, 1);
  unsigned char md[EVP_MAX_MD_SIZE];
  char text[2 * EVP_MAX_MD_SIZE];
  unsigned n = 0;
  int ok = EVP_DigestFinal_ex(ctx, md, &n);
  EVP_MD_CTX_free(ctx);
  *box = NULL;
  if (ok != 1) return luaL_error(L, "libcrypto cannot go on");
  for (unsigned i = 0; i < n; i++) {
    text[2 * i] = "0123456789abcdef"[md[i] >> 4];
    text[2 * i + 1] = "0123456789abcdef"[md[i] & 15];
  }
  lua_pushlstring(L, text, 2 * (size_t)n);
  return 1;
}

static int l_hasher_gc(lua_State *L) {
  void **box = lua_touserdata(L, 1);
  EVP_MD_CTX_free(*box);
  *box = NULL;
  return 0;
}

static const luaL_Reg hasher_methods[] = {
    {"update", l_hasher_update}, {"digest", l_hasher_digest}, {NULL, NULL}};
static const luaL_Reg hasher_meta[] = {{"__gc", l_hasher_gc}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"hasher", l_hasher_new}, {NULL, NULL}};

void sl_hasher_open(lua_State *L) {
  sl_class(L, HASHER_CLASS, hasher_methods, hasher_meta);
  luaL_setfuncs(L, functions, 0);
}
