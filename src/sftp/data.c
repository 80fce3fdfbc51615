/* Reading and writing of Lua's strings, any size, with many requests in flight. */
#include <stdlib.h>
#include <string.h>

#include "sftp/call.h"
#include "sftp/fetch.h"

enum { READ_MAX = 16 << 20, WRITE_AHEAD = 4 << 20 };

/* --- read ------------------------------------------------------------------------------------- */

typedef struct read_op {
  sl_op op;
  sl_sftp_handle *handle;
  sl_sftp_fetch fetch;
} read_op;

static void read_done(sl_sftp_fetch *f) {
  read_op *x = (read_op *)((char *)f - offsetof(read_op, fetch));
  x->op.err = f->err;
  sl_op_finish(&x->op);
}

static int read_push(sl_op *op, lua_State *L) {
  const sl_sftp_fetch *f = &((read_op *)op)->fetch;
  if (f->good == 0)
    lua_pushnil(L);
  else
    lua_pushlstring(L, (const char *)f->data, f->good);
  return 1;
}

static bool read_cancel(sl_op *op) {
  sl_sftp_fetch_forget(&((read_op *)op)->fetch);
  return true;
}

static void read_clean(sl_op *op) {
  read_op *x = (read_op *)op;
  free(x->fetch.data);
  free(x->fetch.parts);
  sl_sftp_handle_unref(x->handle);
}

static const sl_op_kind read_kind = {
    .name = "sftp.read", .push = read_push, .cancel = read_cancel, .clean = read_clean};

/* handle:read(max, offset, done): done(nil, bytes), fewer than max at the end of the file only;
 * done(nil, nil) there. */
static int l_read(lua_State *L) {
  sl_sftp_handle *h = sl_sftp_handle_check(L, 1);
  lua_Integer max = luaL_checkinteger(L, 2);
  uint64_t offset = sl_sftp_offset_arg(L, 3);
  sl_check_done(L, 4);
  luaL_argcheck(L, max > 0, 2, "a positive size expected");
  read_op *x = sl_op_new(h->sftp->loop, &read_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  sl_sftp_fetch *f = &x->fetch;
  x->handle = h;
  h->refs++;
  f->client = &h->sftp->client;
  f->handle = sl_sftp_span_of(h);
  f->offset = offset;
  f->len = max > READ_MAX ? READ_MAX : (size_t)max;
  f->size = sl_sftp_fetch_parts(f->client, f->len);
  f->done = read_done;
  f->data = malloc(f->len);
  f->parts = calloc(f->size, sizeof *f->parts);
  if (!f->data || !f->parts) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->op, 4, 1);
  if (!sl_sftp_fetch_start(f)) {
    x->op.err = f->err;
    sl_op_finish(&x->op);
  }
  return 1;
}

/* --- write ------------------------------------------------------------------------------------ */

typedef struct write_op write_op;

typedef struct write_part {
  sl_sftp_request req;
  write_op *owner;
} write_part;

struct write_op {
  sl_op op;
  sl_sftp_handle *handle;
  const unsigned char *data; /* anchored by keep_ref; copied into packets piece by piece */
  size_t len, sent;
  uint64_t offset;
  unsigned pending, size;
  write_part *parts;
};

static bool write_ask(write_part *p) {
  write_op *x = p->owner;
  sl_sftp_client *c = &x->handle->sftp->client;
  size_t n = x->len - x->sent < c->write_max ? x->len - x->sent : c->write_max;
  sl_sftp_writer w = sl_sftp_ask(c, &p->req, SL_FXP_WRITE, SL_WANT_STATUS);
  sl_sftp_put_string(&w, x->handle->bytes, x->handle->len);
  sl_sftp_put_u64(&w, x->offset + x->sent);
  sl_sftp_put_string(&w, x->data + x->sent, n);
  if (!sl_sftp_send(c, &p->req, &w, &x->op.err)) return false;
  x->sent += n;
  x->pending++;
  return true;
}

static void write_done(sl_sftp_request *r, const sl_sftp_reply *reply) {
  write_part *p = (write_part *)r;
  write_op *x = p->owner;
  x->pending--;
  if (!reply)
    x->op.err = x->handle->sftp->client.err;
  else if (reply->status != SL_FX_OK && !x->op.err.kind)
    sl_sftp_call_status(&x->op, reply);
  if (!x->op.err.kind && x->sent < x->len) (void)write_ask(p);
  if (x->pending == 0) sl_op_finish(&x->op);
}

/* What is in the queue already goes out; the rest does not. */
static bool write_cancel(sl_op *op) {
  write_op *x = (write_op *)op;
  for (unsigned i = 0; i < x->size; i++) sl_sftp_forget(&x->handle->sftp->client, &x->parts[i].req);
  return true;
}

static void write_clean(sl_op *op) {
  write_op *x = (write_op *)op;
  free(x->parts);
  sl_sftp_handle_unref(x->handle);
}

static const sl_op_kind write_kind = {
    .name = "sftp.write", .cancel = write_cancel, .clean = write_clean};

/* handle:write(bytes, offset, done): done(nil) when the server has said that all of it is written.
 */
static int l_write(lua_State *L) {
  sl_sftp_handle *h = sl_sftp_handle_check(L, 1);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  uint64_t offset = sl_sftp_offset_arg(L, 3);
  sl_check_done(L, 4);
  write_op *x = sl_op_new(h->sftp->loop, &write_kind, sizeof *x);
  if (!x) return luaL_error(L, "not enough memory");
  uint32_t step = h->sftp->client.write_max;
  size_t ahead = len < WRITE_AHEAD ? len : WRITE_AHEAD;
  x->handle = h;
  h->refs++;
  x->data = (const unsigned char *)data;
  x->len = len;
  x->offset = offset;
  x->size = (unsigned)((ahead + step - 1) / step);
  x->parts = calloc(x->size + 1, sizeof *x->parts);
  if (!x->parts) {
    sl_op_release(&x->op);
    return luaL_error(L, "not enough memory");
  }
  sl_op_start(L, &x->op, 4, 2);
  for (unsigned i = 0; i < x->size && x->sent < x->len; i++) {
    x->parts[i].owner = x;
    x->parts[i].req.done = write_done;
    if (!write_ask(&x->parts[i])) break;
  }
  if (x->pending == 0) sl_op_finish(&x->op);
  return 1;
}

static const luaL_Reg data_verbs[] = {{"read", l_read}, {"write", l_write}, {NULL, NULL}};

const luaL_Reg *sl_sftp_data_verbs(void) {
  return data_verbs;
}
