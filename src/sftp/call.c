#include "sftp/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loop/fs.h"

/* --- judging ---------------------------------------------------------------------------------- */

enum { STATVFS_FIELDS = 11, EMPTY_NAMES_MAX = 100 };

static bool keep(sl_sftp_call *x, const void *bytes, size_t len) {
  x->bytes = malloc(len ? len : 1);
  if (!x->bytes) {
    sl_err_set(&x->op.err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
    return true;
  }
  if (len) memcpy(x->bytes, bytes, len);
  x->len = len;
  return true;
}

/* Each returns false when the reply is not what it should be. */
static bool take_attrs(sl_sftp_call *x, sl_reader r) {
  return sl_sftp_get_attrs(&r, &x->attrs);
}

static bool take_name(sl_sftp_call *x, sl_reader r) {
  sl_sftp_name n;
  uint32_t count;
  if (!sl_sftp_get_count(&r, &count) || count != 1 || !sl_sftp_get_name(&r, &n)) return false;
  if (n.name.n == 0 || memchr(n.name.p, '\0', n.name.n)) return false;
  return keep(x, n.name.p, n.name.n);
}

static bool take_names(sl_sftp_call *x, sl_reader r) {
  sl_sftp_name n;
  uint32_t count;
  sl_reader whole = r;
  if (!sl_sftp_get_count(&r, &count)) return false;
  x->sftp->empty_names = count ? 0 : x->sftp->empty_names + 1;
  if (x->sftp->empty_names > EMPTY_NAMES_MAX) return false; /* a directory without end */
  for (uint32_t i = 0; i < count; i++)
    if (!sl_sftp_get_name(&r, &n)) return false;
  return keep(x, whole.p, sl_reader_left(&whole));
}

static bool take_handle(sl_sftp_call *x, sl_span bytes) {
  x->handle = sl_sftp_handle_new(x->sftp, bytes);
  if (x->handle) return true;
  sl_sftp_close_handle(&x->sftp->client, bytes);
  sl_err_set(&x->op.err, SL_MEMORY, "ENOMEM", 0, "not enough memory");
  return true;
}

static bool take_statvfs(sl_sftp_call *x, sl_reader r) {
  return sl_reader_left(&r) >= STATVFS_FIELDS * 8 && keep(x, r.p, STATVFS_FIELDS * 8);
}

static bool is_list(sl_span list) {
  sl_reader r = sl_reader_of(list.p, list.n);
  sl_span name;
  while (sl_reader_left(&r))
    if (!sl_get_string(&r, &name)) return false;
  return true;
}

static bool take_owners(sl_sftp_call *x, sl_reader r) {
  sl_reader whole = r;
  sl_span users, groups;
  if (!sl_get_string(&r, &users) || !sl_get_string(&r, &groups) || !is_list(users) ||
      !is_list(groups))
    return false;
  return keep(x, whole.p, sl_reader_left(&whole));
}

/* --- pushing ---------------------------------------------------------------------------------- */

void sl_sftp_push_attrs(lua_State *L, const sl_sftp_attrs *a) {
  lua_createtable(L, 0, 8);
  if (a->flags & SL_ATTR_SIZE) sl_fs_set_integer(L, "size", a->size);
  if (a->flags & SL_ATTR_OWNER) {
    sl_fs_set_integer(L, "uid", a->uid);
    sl_fs_set_integer(L, "gid", a->gid);
  }
  if (a->flags & SL_ATTR_TIMES) {
    sl_fs_set_integer(L, "atime", a->atime);
    sl_fs_set_integer(L, "mtime", a->mtime);
  }
  lua_pushstring(L, a->flags & SL_ATTR_MODE ? sl_fs_type_of_mode(a->mode) : "unknown");
  lua_setfield(L, -2, "type");
  if (a->flags & SL_ATTR_MODE) sl_fs_set_integer(L, "mode", a->mode & 07777);
}

static int push_none(sl_op *op, lua_State *L) {
  (void)op;
  (void)L;
  return 0;
}

static int push_attrs(sl_op *op, lua_State *L) {
  sl_sftp_push_attrs(L, &((sl_sftp_call *)op)->attrs);
  return 1;
}

static int push_name(sl_op *op, lua_State *L) {
  const sl_sftp_call *x = (sl_sftp_call *)op;
  lua_pushlstring(L, (const char *)x->bytes, x->len);
  return 1;
}

static int push_handle(sl_op *op, lua_State *L) {
  sl_sftp_call *x = (sl_sftp_call *)op;
  sl_sftp_handle_push(L, x->handle, op->keep_ref);
  x->handle = NULL;
  return 1;
}

static int push_statvfs(sl_op *op, lua_State *L) {
  static const char *const fields[STATVFS_FIELDS] = {"bsize",  "frsize", "blocks", "bfree",
                                                     "bavail", "files",  "ffree",  "favail",
                                                     "fsid",   "flag",   "namemax"};
  const sl_sftp_call *x = (sl_sftp_call *)op;
  sl_reader r = sl_reader_of(x->bytes, x->len);
  uint64_t v = 0;
  lua_createtable(L, 0, STATVFS_FIELDS);
  for (int i = 0; i < STATVFS_FIELDS && sl_get_u64(&r, &v); i++) sl_fs_set_integer(L, fields[i], v);
  return 1;
}

static void push_list(lua_State *L, sl_span list) {
  sl_reader r = sl_reader_of(list.p, list.n);
  sl_span name;
  lua_newtable(L);
  for (int i = 1; sl_get_string(&r, &name); i++) {
    lua_pushlstring(L, (const char *)name.p, name.n);
    lua_rawseti(L, -2, i);
  }
}

static int push_owners(sl_op *op, lua_State *L) {
  const sl_sftp_call *x = (sl_sftp_call *)op;
  sl_reader r = sl_reader_of(x->bytes, x->len);
  sl_span users = {0}, groups = {0};
  (void)sl_get_string(&r, &users);
  (void)sl_get_string(&r, &groups);
  push_list(L, users);
  push_list(L, groups);
  return 2;
}

/* The entries, and how many names were left out because no path can be made of them. nil at the
 * end. */
static int push_names(sl_op *op, lua_State *L) {
  const sl_sftp_call *x = (sl_sftp_call *)op;
  sl_reader r = sl_reader_of(x->bytes, x->len);
  sl_sftp_name n;
  uint32_t count = 0, refused = 0;
  int at = 0;
  if (x->at_end) {
    lua_pushnil(L);
    return 1;
  }
  (void)sl_sftp_get_count(&r, &count);
  lua_createtable(L, (int)count, 0);
  for (; count > 0 && sl_sftp_get_name(&r, &n); count--) {
    if (!sl_sftp_name_is_safe(n.name)) {
      refused += !sl_span_is(n.name, ".") && !sl_span_is(n.name, "..");
      continue;
    }
    sl_sftp_push_attrs(L, &n.attrs);
    lua_pushlstring(L, (const char *)n.name.p, n.name.n);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, -2, ++at);
  }
  lua_pushinteger(L, (lua_Integer)refused);
  return 2;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool call_cancel(sl_op *op) {
  sl_sftp_call *x = (sl_sftp_call *)op;
  sl_sftp_forget(&x->sftp->client, &x->req);
  return true;
}

static void call_clean(sl_op *op) {
  sl_sftp_call *x = (sl_sftp_call *)op;
  free(x->bytes);
  if (x->handle) sl_sftp_handle_unref(x->handle);
  sl_sftp_unref(x->sftp);
}

static const struct {
  sl_op_kind kind;
  sl_sftp_expects expects;
} answers[] = {
    [SL_ANSWER_NONE] = {{"sftp.call", .push = push_none, .cancel = call_cancel,
                         .clean = call_clean},
                        SL_WANT_STATUS},
    [SL_ANSWER_ATTRS] = {{"sftp.attrs", .push = push_attrs, .cancel = call_cancel,
                          .clean = call_clean},
                         SL_WANT_ATTRS},
    [SL_ANSWER_NAME] = {{"sftp.name", .push = push_name, .cancel = call_cancel,
                         .clean = call_clean},
                        SL_WANT_NAME},
    [SL_ANSWER_HANDLE] = {{"sftp.open", .push = push_handle, .cancel = call_cancel,
                           .clean = call_clean},
                          SL_WANT_HANDLE},
    [SL_ANSWER_STATVFS] = {{"sftp.statvfs", .push = push_statvfs, .cancel = call_cancel,
                            .clean = call_clean},
                           SL_WANT_EXTENDED},
    [SL_ANSWER_OWNERS] = {{"sftp.owners", .push = push_owners, .cancel = call_cancel,
                           .clean = call_clean},
                          SL_WANT_EXTENDED},
    [SL_ANSWER_NAMES] = {{"sftp.readdir", .push = push_names, .cancel = call_cancel,
                          .clean = call_clean},
                         SL_WANT_NAME},
    [SL_ANSWER_CLOSED] = {{"sftp.close", .push = push_none, .cancel = call_cancel,
                           .clean = call_clean},
                          SL_WANT_STATUS},
};

static sl_sftp_answer answer_of(const sl_op *op) {
  const char *entry = (const char *)op->kind;
  return (sl_sftp_answer)((size_t)(entry - (const char *)answers) / sizeof answers[0]);
}

void sl_sftp_call_status(sl_op *op, const sl_sftp_reply *reply) {
  sl_err_sftp(&op->err, reply->status, reply->text.p, reply->text.n);
}

static bool take(sl_sftp_call *x, const sl_sftp_reply *reply) {
  switch (answer_of(&x->op)) {
  case SL_ANSWER_ATTRS:
    return take_attrs(x, reply->body);
  case SL_ANSWER_NAME:
    return take_name(x, reply->body);
  case SL_ANSWER_HANDLE:
    return take_handle(x, reply->text);
  case SL_ANSWER_STATVFS:
    return take_statvfs(x, reply->body);
  case SL_ANSWER_OWNERS:
    return take_owners(x, reply->body);
  case SL_ANSWER_NAMES:
    return take_names(x, reply->body);
  default:
    return true;
  }
}

static void call_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  sl_sftp_call *x = (sl_sftp_call *)((char *)r - offsetof(sl_sftp_call, req));
  sl_sftp_client *c = &x->sftp->client;
  if (!reply) {
    x->op.err = c->err;
  } else if (reply->type == SL_FXP_STATUS && reply->status != SL_FX_OK) {
    x->at_end = reply->status == SL_FX_EOF && answer_of(&x->op) == SL_ANSWER_NAMES;
    if (!x->at_end) sl_sftp_call_status(&x->op, reply);
  } else if (!take(x, reply)) {
    sl_sftp_lie(c, "a reply whose parts do not fit it");
    x->op.err = c->err;
  }
  sl_op_finish(&x->op);
}

sl_sftp_call *sl_sftp_call_new(lua_State *L, sl_sftp_answer answer, int done_idx, bool of_handle) {
  sl_sftp_handle *h = of_handle ? sl_sftp_handle_check(L, 1) : NULL;
  sl_sftp *s = of_handle ? h->sftp : sl_sftp_check(L, 1);
  sl_check_done(L, done_idx);
  sl_sftp_call *x = sl_op_new(s->loop, &answers[answer].kind, sizeof *x);
  if (!x) luaL_error(L, "not enough memory");
  x->sftp = s;
  sl_sftp_ref(s);
  x->req.done = call_done;
  return x;
}

sl_sftp_writer sl_sftp_call_begin(sl_sftp_call *x, sl_sftp_type type) {
  return sl_sftp_ask(&x->sftp->client, &x->req, type, answers[answer_of(&x->op)].expects);
}

sl_sftp_writer sl_sftp_call_begin_extended(sl_sftp_call *x, sl_sftp_ext ext) {
  return sl_sftp_ask_extended(&x->sftp->client, &x->req, ext, answers[answer_of(&x->op)].expects);
}

int sl_sftp_call_send(lua_State *L, sl_sftp_call *x, sl_sftp_writer *w, int done_idx) {
  bool sent = sl_sftp_send(&x->sftp->client, &x->req, w, &x->op.err);
  sl_op_start(L, &x->op, done_idx, 1);
  if (!sent) sl_op_finish(&x->op);
  return 1;
}

/* --- arguments -------------------------------------------------------------------------------- */

enum { PATH_BYTES_MAX = 65536 };

const char *sl_sftp_path_arg(lua_State *L, int idx, size_t *len) {
  const char *path = luaL_checklstring(L, idx, len);
  luaL_argcheck(L, *len <= PATH_BYTES_MAX, idx, "path too long");
  luaL_argcheck(L, !memchr(path, '\0', *len), idx, "a path has no NUL bytes");
  return path;
}

uint64_t sl_sftp_offset_arg(lua_State *L, int idx) {
  lua_Number v = luaL_checknumber(L, idx);
  luaL_argcheck(L, v >= 0 && v <= 9007199254740992.0, idx, "offset out of range");
  return (uint64_t)v;
}

static bool number_field(lua_State *L, int idx, const char *field, lua_Number max, uint64_t *v) {
  lua_Number n = sl_opt_number(L, idx, field, -1);
  if (n == -1) return false;
  if (!(n >= 0 && n <= max)) luaL_error(L, "attribute '%s' out of range", field);
  *v = (uint64_t)n;
  return true;
}

static bool pair(lua_State *L, int idx, const char *one, const char *other, uint32_t *a,
                 uint32_t *b) {
  uint64_t x = 0, y = 0;
  bool first = number_field(L, idx, one, 4294967295.0, &x),
       second = number_field(L, idx, other, 4294967295.0, &y);
  if (first != second) luaL_error(L, "attributes '%s' and '%s' are set together", one, other);
  *a = (uint32_t)x;
  *b = (uint32_t)y;
  return first;
}

void sl_sftp_attrs_arg(lua_State *L, int idx, sl_sftp_attrs *a) {
  uint64_t mode = 0;
  *a = (sl_sftp_attrs){0};
  if (lua_isnoneornil(L, idx)) return;
  luaL_checktype(L, idx, LUA_TTABLE);
  if (number_field(L, idx, "size", 9007199254740992.0, &a->size)) a->flags |= SL_ATTR_SIZE;
  if (number_field(L, idx, "mode", 65535, &mode)) a->flags |= SL_ATTR_MODE;
  a->mode = (uint32_t)mode;
  if (pair(L, idx, "uid", "gid", &a->uid, &a->gid)) a->flags |= SL_ATTR_OWNER;
  if (pair(L, idx, "atime", "mtime", &a->atime, &a->mtime)) a->flags |= SL_ATTR_TIMES;
}

int sl_sftp_own_fd(sl_op *op, int fd) {
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) sl_err_uv(&op->err, SL_IO, -errno, "cannot use the local file");
  return own;
}

bool sl_sftp_is_zero(const unsigned char *bytes, size_t len) {
  return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}
