/* luaopen_sshlua_core: one table, filled noun by noun; and the C API around it. */
#include "sshlua.h"

#include <libssh2.h>
#include <openssl/crypto.h>
#include <uv.h>

#include "base/secret.h"
#include "base/text.h"
#include "base/width.h"
#include "base/yaml.h"
#include "engine/cipher.h"
#include "loop/loop.h"
#include "loop/verbs.h"
#include "sftp/sftp.h"
#include "ssh/verbs.h"

#define CORE_KEY "sshlua.core.table"

const char *sshlua_version(void) { return SL_VERSION; }

/* libssh2_init counts in a plain int and must not race. */
static uv_once_t once = UV_ONCE_INIT;
static int library_code;

static void init_once(void) {
  /* Without its configuration file libcrypto starts in half the time. */
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
  library_code = libssh2_init(LIBSSH2_INIT_NO_CRYPTO);
}

static void check_library(lua_State *L) {
  uv_once(&once, init_once);
  if (library_code != 0) luaL_error(L, "libssh2 does not start (code %d)", library_code);
}

/* about() -> what this build is made of, for --version. */
static int l_about(lua_State *L) {
  lua_newtable(L);
  lua_pushstring(L, SL_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushstring(L, libssh2_version(0));
  lua_setfield(L, -2, "libssh2");
#ifdef SL_LIBSSH2_SOURCE_VERSION
  lua_pushstring(L, SL_LIBSSH2_SOURCE_VERSION);
#else
  lua_pushliteral(L, "the system's");
#endif
  lua_setfield(L, -2, "libssh2_source");
  lua_pushstring(L, uv_version_string());
  lua_setfield(L, -2, "libuv");
  lua_pushstring(L, OpenSSL_version(OPENSSL_VERSION));
  lua_setfield(L, -2, "openssl");
  lua_pushstring(L, sl_cipher_status());
  lua_setfield(L, -2, "ciphers");
#ifdef SL_PACKET_HOOK
  lua_pushboolean(L, 1);
#else
  lua_pushboolean(L, 0);
#endif
  lua_setfield(L, -2, "packet_hook");
#ifdef SL_UCONTEXT
  lua_pushboolean(L, 1);
#else
  lua_pushboolean(L, 0);
#endif
  lua_setfield(L, -2, "fibres");
#ifdef SL_HAVE_JANSSON
  lua_pushboolean(L, 1);
#else
  lua_pushboolean(L, 0);
#endif
  lua_setfield(L, -2, "json");
  lua_pushstring(L, sl_yaml_version());
  lua_setfield(L, -2, "yaml");
  return 1;
}

static const luaL_Reg lib_functions[] = {{"about", l_about}, {NULL, NULL}};

int luaopen_sshlua_core(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, CORE_KEY);
  if (!lua_isnil(L, -1)) return 1;
  lua_pop(L, 1);
  check_library(L);
  lua_newtable(L);
  sl_loop_open(L);
  sl_timer_open(L);
  sl_dns_open(L);
  sl_net_open(L);
  sl_socket_open(L);
  sl_proc_open(L);
  sl_tty_open(L);
  sl_ttyraw_open(L);
  sl_ttymodes_open(L);
  sl_fs_open(L);
  sl_signal_open(L);
  sl_channel_open(L);
  sl_session_open(L);
  sl_sftp_open(L);
  sl_key_open(L);
  sl_known_hosts_open(L);
  sl_trust_open(L);
  sl_hasher_open(L);
  sl_text_open(L);
  sl_width_open(L);
  sl_yaml_open(L);
  sl_secret_open(L);
  luaL_setfuncs(L, lib_functions, 0);
  lua_pushliteral(L, SL_VERSION);
  lua_setfield(L, -2, "VERSION");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, CORE_KEY);
  return 1;
}

int sshlua_fd(lua_State *L) { return uv_backend_fd(&sl_loop_get(L)->uv); }

int sshlua_step(lua_State *L, int *alive) { return sl_loop_step(sl_loop_get(L), L, alive); }
