/* resolve(host, family, done): done(nil, {addresses}) in the order of RFC 6724. Numeric addresses are answered
   without the thread pool. family: 0 any, 4, 6. resolve_canonical: the same, and the canonical name (CNAME). */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "loop/op.h"
#include "loop/verbs.h"

enum { MAX_ADDRESSES = 32 };

typedef struct dns_op {
  sl_op op;
  uv_getaddrinfo_t req;
  struct addrinfo *result;
  bool canonical;
  char host[256];
} dns_op;

static int dns_push(sl_op *op, lua_State *L) {
  const dns_op *d = (const dns_op *)op;
  lua_newtable(L);
  lua_Integer n = 0;
  for (const struct addrinfo *a = d->result; a && n < MAX_ADDRESSES; a = a->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
      continue;
    lua_pushstring(L, text);
    lua_rawseti(L, -2, (int)++n);
  }
  if (!d->canonical) return 1;
  lua_pushstring(L, d->result ? d->result->ai_canonname : NULL);
  return 2;
}

static void dns_clean(sl_op *op) {
  dns_op *d = (dns_op *)op;
  if (d->result) freeaddrinfo(d->result); /* getaddrinfo's and libuv's are the same list */
  d->result = NULL;
}

/* A look-up that has started in the pool cannot be stopped; it ends as a ghost. */
static bool dns_cancel(sl_op *op) {
  uv_cancel((uv_req_t *)&((dns_op *)op)->req);
  return false;
}

static const sl_op_kind dns_kind = {
    .name = "resolve", .push = dns_push, .cancel = dns_cancel, .clean = dns_clean};

static void dns_done(uv_getaddrinfo_t *req, int status, struct addrinfo *res) {
  dns_op *d = req->data;
  d->result = res;
  if (status != 0) {
    char what[300];
    snprintf(what, sizeof what, "cannot resolve %s", d->host);
    sl_err_uv(&d->op.err, SL_RESOLVE, status, what);
  }
  sl_op_finish(&d->op);
  sl_op_unpin(&d->op);
}

static int start_resolve(lua_State *L, bool canonical) {
  size_t len;
  const char *host = luaL_checklstring(L, 1, &len);
  lua_Integer family = luaL_checkinteger(L, 2);
  sl_check_done(L, 3);
  sl_loop *loop = sl_loop_get(L);
  dns_op *d = sl_op_new(loop, &dns_kind, sizeof *d);
  if (!d) return luaL_error(L, "not enough memory");
  d->canonical = canonical;
  sl_op_start(L, &d->op, 3, 0);
  struct addrinfo hints = {.ai_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC,
                           .ai_socktype = SOCK_STREAM,
                           .ai_flags = AI_NUMERICHOST};
  if (len == 0 || len >= sizeof d->host || strlen(host) != len) {
    sl_err_set(&d->op.err, SL_RESOLVE, "EAI_NONAME", 0, "not a host name (empty, too long or with NUL)");
    sl_op_finish(&d->op);
    return 1;
  }
  memcpy(d->host, host, len + 1);
  if (getaddrinfo(host, NULL, &hints, &d->result) == 0) {
    sl_op_finish(&d->op);
    return 1;
  }
  hints.ai_flags = canonical ? AI_CANONNAME : 0;
  d->req.data = d;
  sl_op_pin(&d->op);
  int rc = uv_getaddrinfo(&loop->uv, &d->req, dns_done, host, NULL, &hints);
  if (rc != 0) {
    sl_err_uv(&d->op.err, SL_RESOLVE, rc, host);
    sl_op_finish(&d->op);
    sl_op_unpin(&d->op);
  }
  return 1;
}

static int l_resolve(lua_State *L) { return start_resolve(L, false); }

static int l_resolve_canonical(lua_State *L) { return start_resolve(L, true); }

static const luaL_Reg dns_functions[] = {
    {"resolve", l_resolve}, {"resolve_canonical", l_resolve_canonical}, {NULL, NULL}};

void sl_dns_open(lua_State *L) { luaL_setfuncs(L, dns_functions, 0); }
