/* What this machine knows of its network without asking anybody: addresses as numbers, its own
 * interfaces. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/lx.h"
#include "loop/loop.h"
#include "loop/verbs.h"

static int family_of(lua_Integer number) {
  return number == 4 ? AF_INET : number == 6 ? AF_INET6 : AF_UNSPEC;
}

/* numeric_address(text, family) -> the address in its usual form; nil when the text is a name. */
static int l_numeric_address(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  struct addrinfo hints = {.ai_family = family_of(luaL_optinteger(L, 2, 0)),
                           .ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV},
                  *res = NULL;
  char shown[NI_MAXHOST];
  if (strlen(text) != lua_rawlen(L, 1) || getaddrinfo(text, "22", &hints, &res) != 0) {
    lua_pushnil(L);
    return 1;
  }
  bool good =
      res && !res->ai_next &&
      getnameinfo(res->ai_addr, res->ai_addrlen, shown, sizeof shown, NULL, 0, NI_NUMERICHOST) == 0;
  freeaddrinfo(res);
  if (good)
    lua_pushstring(L, shown);
  else
    lua_pushnil(L);
  return 1;
}

static void push_interface(lua_State *L, const uv_interface_address_t *from) {
  char shown[64] = "";
  bool six = from->address.address4.sin_family == AF_INET6;
  if (six)
    uv_ip6_name(&from->address.address6, shown, sizeof shown);
  else
    uv_ip4_name(&from->address.address4, shown, sizeof shown);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, from->name);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, shown);
  lua_setfield(L, -2, "address");
  lua_pushinteger(L, six ? 6 : 4);
  lua_setfield(L, -2, "family");
  lua_pushboolean(L, from->is_internal);
  lua_setfield(L, -2, "internal");
}

/* interfaces() -> list of {name=, address=, family=, internal=}, those that are up; or nil, err. */
static int l_interfaces(lua_State *L) {
  uv_interface_address_t *list = NULL;
  int n = 0, rc = uv_interface_addresses(&list, &n);
  if (rc != 0) {
    sl_err e = {0};
    sl_err_uv(&e, SL_IO, rc, "network interfaces");
    lua_pushnil(L);
    sl_push_err(L, &e);
    return 2;
  }
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    push_interface(L, &list[i]);
    lua_rawseti(L, -2, i + 1);
  }
  uv_free_interface_addresses(list, n);
  return 1;
}

static const luaL_Reg net_functions[] = {
    {"numeric_address", l_numeric_address}, {"interfaces", l_interfaces}, {NULL, NULL}};

void sl_net_open(lua_State *L) {
  luaL_setfuncs(L, net_functions, 0);
}
