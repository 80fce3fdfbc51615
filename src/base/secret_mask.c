/* What hides the secrets of a Lua state: their set, the words compiled from it, mask() and
 * masker(). */
#include <string.h>

#include "base/mask.h"
#include "base/secret_parts.h"

#define MASKER "sshlua.masker"
#define SET_KEY "sshlua.secrets"

/* All secrets of a Lua state, and the words compiled from them. */
typedef struct secret_set {
  sl_secret *first;
  sl_mask_words *words; /* NULL: to be compiled */
  sl_mask scratch;      /* for mask() */
} secret_set;

/* --- the set ------------------------------------------------------------------------------------
 */

static void forget_words(secret_set *set) {
  sl_mask_words_unref(set->words);
  set->words = NULL;
}

static secret_set *set_of(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, SET_KEY);
  secret_set *set = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return set;
}

/* The state closes: secrets that are collected later find no list. */
static int set_gc(lua_State *L) {
  secret_set *set = lua_touserdata(L, 1);
  while (set->first) {
    sl_secret *s = set->first;
    set->first = s->next;
    s->link = NULL;
  }
  forget_words(set);
  sl_mask_free(&set->scratch);
  return 0;
}

static void set_open(lua_State *L) {
  secret_set *set = lua_newuserdata(L, sizeof *set);
  *set = (secret_set){.first = NULL};
  sl_mask_init(&set->scratch);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, set_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, SET_KEY);
}

void sl_secret_mask(lua_State *L, sl_secret *s) {
  secret_set *set = s->len >= SL_MASK_SHORTEST ? set_of(L) : NULL;
  if (!set) return;
  s->next = set->first;
  if (s->next) s->next->link = &s->next;
  s->link = &set->first;
  set->first = s;
  forget_words(set);
}

void sl_secret_unmask(lua_State *L, sl_secret *s) {
  secret_set *set = s->link ? set_of(L) : NULL;
  if (!set) return;
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
  s->link = NULL;
  forget_words(set);
}

/* A terminal shows a secret of several lines line by line. */
static bool add_words(sl_mask_words *w, const sl_secret *s) {
  if (!sl_mask_words_add(w, s->bytes, s->len)) return false;
  const char *at = s->bytes, *end = s->bytes + s->len;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    size_t len = (size_t)(stop - at);
    if (len && at[len - 1] == '\r') len--;
    if (len >= 2 * SL_MASK_SHORTEST && !sl_mask_words_add(w, at, len)) return false;
    at = stop + 1;
  }
  return true;
}

static sl_mask_words *words_of(lua_State *L, secret_set *set) {
  if (set->words) return set->words;
  sl_mask_words *w = sl_mask_words_new();
  bool ok = w != NULL;
  for (const sl_secret *s = set->first; ok && s; s = s->next) ok = add_words(w, s);
  if (!ok || !sl_mask_words_seal(w)) {
    sl_mask_words_unref(w);
    luaL_error(L, "not enough memory");
  }
  return set->words = w;
}

/* --- maskers ------------------------------------------------------------------------------------
 */

static int add_to_buffer(void *ctx, const char *s, size_t n) {
  luaL_addlstring(ctx, s, n);
  return 0;
}

static void check_rc(lua_State *L, int rc) {
  if (rc != 0) luaL_error(L, "not enough memory");
}

/* Pushes what the masker makes of the string; with finish, also what it held back. */
static int push_masked(lua_State *L, sl_mask *m, const char *s, size_t n, bool finish) {
  secret_set *set = set_of(L);
  if (!sl_mask_use(m, words_of(L, set))) return luaL_error(L, "not enough memory");
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  int rc = sl_mask_feed(m, s, n, add_to_buffer, &b);
  if (rc == 0 && finish) rc = sl_mask_finish(m, add_to_buffer, &b);
  check_rc(L, rc);
  luaL_pushresult(&b);
  return 1;
}

/* mask(s) -> s with every secret hidden; s itself when there is none */
static int l_mask(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  secret_set *set = set_of(L);
  lua_settop(L, 1);
  if (!set->first) return 1;
  sl_mask_free(&set->scratch); /* an error may have left something */
  return push_masked(L, &set->scratch, s, n, true);
}

/* masker() -> an object that masks a stream, whatever its chunks, with the secrets there are at
 * each moment */
static int l_masker(lua_State *L) {
  sl_mask_init(lua_newuserdata(L, sizeof(sl_mask)));
  luaL_getmetatable(L, MASKER);
  lua_setmetatable(L, -2);
  return 1;
}

static int l_masker_feed(lua_State *L) {
  size_t n;
  sl_mask *m = luaL_checkudata(L, 1, MASKER);
  const char *s = luaL_checklstring(L, 2, &n);
  return push_masked(L, m, s, n, false);
}

/* masker:finish() -> what was held back; the object may be used again */
static int l_masker_finish(lua_State *L) {
  return push_masked(L, luaL_checkudata(L, 1, MASKER), "", 0, true);
}

static int masker_gc(lua_State *L) {
  sl_mask_free(luaL_checkudata(L, 1, MASKER));
  return 0;
}

static int masker_tostring(lua_State *L) {
  lua_pushfstring(L, MASKER ": %p", luaL_checkudata(L, 1, MASKER));
  return 1;
}

static const luaL_Reg functions[] = {{"mask", l_mask}, {"masker", l_masker}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"feed", l_masker_feed}, {"finish", l_masker_finish}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__tostring", masker_tostring}, {"__gc", masker_gc}, {NULL, NULL}};

void sl_secret_mask_open(lua_State *L) {
  set_open(L);
  sl_class(L, MASKER, methods, meta);
  luaL_setfuncs(L, functions, 0);
}
