/* libyaml's events to Lua values, see yaml.h. Knows YAML and Lua; must not know what is read. */
#include "base/yaml.h"

#include "base/clean.h"
#include "base/err.h"
#include "base/json.h"
#include "base/lx.h"

#ifdef SL_HAVE_YAML
#include <stdint.h>
#include <string.h>
#include <yaml.h>

#define READER "sshlua.yaml.reader"

/* Stack slots of the call: text, reader, positions, anchors (name -> value), sizes (name -> nodes).
 */
enum { TEXT = 1, SELF, POSITIONS, ANCHORS, SIZES };

typedef struct reader {
  yaml_parser_t parser;
  yaml_event_t event;
  bool has_parser, has_event;
  size_t nodes;
  size_t line, column;
  sl_err err;
} reader;

static void reader_clean(reader *r) {
  if (r->has_event) yaml_event_delete(&r->event);
  if (r->has_parser) yaml_parser_delete(&r->parser);
  r->has_event = r->has_parser = false;
}

static int l_reader_gc(lua_State *L) {
  reader_clean(lua_touserdata(L, 1));
  return 0;
}

/* ---- events */

static int refuse(reader *r, const yaml_mark_t *mark, const char *kind, const char *what,
                  const char *detail) {
  r->line = mark->line + 1;
  r->column = mark->column + 1;
  return sl_err_set(&r->err, kind, NULL, 0, "line %zu: %s%s%.100s", r->line, what,
                    detail ? " " : "", detail ? detail : "");
}

static int refuse_text(reader *r) {
  const yaml_parser_t *p = &r->parser;
  if (p->error == YAML_MEMORY_ERROR)
    return sl_err_set(&r->err, SL_MEMORY, NULL, 0, "out of memory while reading YAML");
  if (p->error == YAML_READER_ERROR) {
    r->line = p->mark.line + 1;
    r->column = p->mark.column + 1;
    return sl_err_set(&r->err, SL_PROTOCOL, NULL, 0, "line %zu or later: %s (byte %zu)", r->line,
                      p->problem ? p->problem : "bad text", p->problem_offset);
  }
  return refuse(r, &p->problem_mark, SL_PROTOCOL, p->problem ? p->problem : "bad YAML", p->context);
}

static int next_event(reader *r) {
  if (r->has_event) yaml_event_delete(&r->event);
  r->has_event = false;
  if (!yaml_parser_parse(&r->parser, &r->event)) return refuse_text(r);
  r->has_event = true;
  return 0;
}

static int count(reader *r, size_t n) {
  r->nodes += n;
  if (r->nodes <= SL_YAML_NODES) return 0;
  return refuse(r, &r->event.start_mark, SL_LIMIT,
                "more values than are read (aliases count each time)", NULL);
}

/* ---- scalars */

/* Pushes the scalar (+1). */
static int push_scalar(lua_State *L, reader *r) {
  const char *s = (const char *)r->event.data.scalar.value;
  const char *tag = (const char *)r->event.data.scalar.tag;
  size_t n = r->event.data.scalar.length;
  if (!tag) {
    if (r->event.data.scalar.plain_implicit)
      sl_yaml_push_plain(L, s, n);
    else
      lua_pushlstring(L, s, n);
    return 0;
  }
  if (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0 || strcmp(tag, "!unsafe") == 0) {
    lua_pushlstring(L, s, n);
    return 0;
  }
  if (strcmp(tag, YAML_INT_TAG) == 0 || strcmp(tag, YAML_FLOAT_TAG) == 0 ||
      strcmp(tag, YAML_BOOL_TAG) == 0 || strcmp(tag, YAML_NULL_TAG) == 0) {
    sl_yaml_push_plain(L, s, n);
    if (strcmp(tag, YAML_FLOAT_TAG) == 0 && lua_type(L, -1) == LUA_TNUMBER) return 0;
    if (lua_type(L, -1) != LUA_TSTRING) return 0;
    return refuse(r, &r->event.start_mark, SL_PROTOCOL, "the value does not fit its tag", tag);
  }
  return refuse(r, &r->event.start_mark, SL_PROTOCOL, "a tag that is not supported:", tag);
}

/* ---- collections */

static int push_node(lua_State *L, reader *r, int depth);

static const char *anchor_of(const yaml_event_t *e) {
  if (e->type == YAML_SCALAR_EVENT) return (const char *)e->data.scalar.anchor;
  if (e->type == YAML_SEQUENCE_START_EVENT) return (const char *)e->data.sequence_start.anchor;
  return e->type == YAML_MAPPING_START_EVENT ? (const char *)e->data.mapping_start.anchor : NULL;
}

/* lines[key on top] = line; pops the key. */
static void note_line(lua_State *L, int lines, const yaml_mark_t *mark) {
  lua_pushinteger(L, (lua_Integer)mark->line + 1);
  lua_rawset(L, lines);
}

static void push_marked(lua_State *L, const char *metatable) {
  lua_newtable(L);
  luaL_getmetatable(L, metatable);
  lua_setmetatable(L, -2);
  lua_newtable(L);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_rawset(L, POSITIONS);
}

static int push_sequence(lua_State *L, reader *r, int depth) {
  push_marked(L, SL_JSON_ARRAY);
  int list = lua_gettop(L) - 1, lines = list + 1;
  for (lua_Integer i = 1;; i++) {
    if (next_event(r) != 0) return -1;
    if (r->event.type == YAML_SEQUENCE_END_EVENT) break;
    lua_pushinteger(L, i);
    note_line(L, lines, &r->event.start_mark);
    if (push_node(L, r, depth + 1) != 0) return -1;
    lua_rawseti(L, list, (int)i);
  }
  lua_settop(L, list);
  return 0;
}

/* Copies what `map` does not have from the mapping on top. */
static void copy_missing(lua_State *L, int map, int lines) {
  int from = lua_gettop(L);
  lua_pushvalue(L, from);
  lua_rawget(L, POSITIONS);
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_rawget(L, map);
    bool known = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!known) {
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, map);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -1);
      lua_rawget(L, from + 1);
      lua_rawset(L, lines);
    }
    lua_pop(L, 1);
  }
  lua_settop(L, from);
}

static bool is_marked(lua_State *L, const char *metatable) {
  if (!lua_istable(L, -1) || !lua_getmetatable(L, -1)) return false;
  luaL_getmetatable(L, metatable);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* "<<": a mapping or a list of them is on top; earlier ones win. */
static int merge(lua_State *L, reader *r, int map, int lines, const yaml_mark_t *mark) {
  if (is_marked(L, SL_JSON_OBJECT)) {
    copy_missing(L, map, lines);
    return 0;
  }
  int n = is_marked(L, SL_JSON_ARRAY) ? (int)lua_rawlen(L, -1) : 0;
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    if (!is_marked(L, SL_JSON_OBJECT)) n = 0;
    if (n) copy_missing(L, map, lines);
    lua_pop(L, 1);
  }
  return n ? 0 : refuse(r, mark, SL_PROTOCOL, "<< merges a mapping or a list of mappings", NULL);
}

/* Merges wait for the end of the mapping: its own keys win. */
static int merge_all(lua_State *L, reader *r, int map, int lines, const yaml_mark_t *mark) {
  int n = (int)lua_rawlen(L, lines + 1);
  for (int i = 1; i <= n; i++) {
    lua_rawgeti(L, lines + 1, i);
    if (merge(L, r, map, lines, mark) != 0) return -1;
    lua_pop(L, 1);
  }
  return 0;
}

static int push_mapping(lua_State *L, reader *r, int depth) {
  yaml_mark_t start = r->event.start_mark;
  push_marked(L, SL_JSON_OBJECT);
  int map = lua_gettop(L) - 1, lines = map + 1;
  lua_newtable(L); /* what << names */
  for (;;) {
    if (next_event(r) != 0) return -1;
    if (r->event.type == YAML_MAPPING_END_EVENT) break;
    yaml_mark_t mark = r->event.start_mark;
    if (r->event.type != YAML_SCALAR_EVENT)
      return refuse(r, &mark, SL_PROTOCOL, "a key that is no text", NULL);
    if (count(r, 1) != 0) return -1;
    lua_pushlstring(L, (const char *)r->event.data.scalar.value, r->event.data.scalar.length);
    bool merges = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
                  strcmp(lua_tostring(L, -1), "<<") == 0;
    lua_pushvalue(L, -1);
    lua_rawget(L, map);
    if (!lua_isnil(L, -1))
      return refuse(r, &mark, SL_PROTOCOL, "the key is there twice:", lua_tostring(L, -2));
    lua_pop(L, 1);
    if (next_event(r) != 0 || push_node(L, r, depth + 1) != 0) return -1;
    if (merges) {
      lua_rawseti(L, lines + 1, (int)lua_rawlen(L, lines + 1) + 1);
      lua_pop(L, 1);
      continue;
    }
    lua_pushvalue(L, -2);
    note_line(L, lines, &mark);
    lua_rawset(L, map);
  }
  if (merge_all(L, r, map, lines, &start) != 0) return -1;
  lua_settop(L, map);
  return 0;
}

static int push_alias(lua_State *L, reader *r) {
  const char *name = (const char *)r->event.data.alias.anchor;
  lua_getfield(L, SIZES, name);
  if (lua_isnil(L, -1))
    return refuse(r, &r->event.start_mark, SL_PROTOCOL,
                  "an alias without a complete anchor:", name);
  if (count(r, (size_t)lua_tonumber(L, -1)) != 0) return -1;
  lua_pop(L, 1);
  lua_getfield(L, ANCHORS, name);
  return 0;
}

static int check_tag(reader *r, const char *tag, const char *wanted) {
  if (!tag || strcmp(tag, wanted) == 0 || strcmp(tag, "!unsafe") == 0) return 0;
  return refuse(r, &r->event.start_mark, SL_PROTOCOL, "a tag that is not supported:", tag);
}

static int push_by_type(lua_State *L, reader *r, int depth) {
  switch (r->event.type) {
  case YAML_SCALAR_EVENT:
    return push_scalar(L, r);
  case YAML_SEQUENCE_START_EVENT:
    if (check_tag(r, (const char *)r->event.data.sequence_start.tag, YAML_SEQ_TAG) != 0) return -1;
    return push_sequence(L, r, depth);
  case YAML_MAPPING_START_EVENT:
    if (check_tag(r, (const char *)r->event.data.mapping_start.tag, YAML_MAP_TAG) != 0) return -1;
    return push_mapping(L, r, depth);
  default:
    return refuse(r, &r->event.start_mark, SL_PROTOCOL, "a value is missing", NULL);
  }
}

/* Pushes the value of the present event and what belongs to it (+1); -1: nothing promised about the
 * stack. */
static int push_node(lua_State *L, reader *r, int depth) {
  if (r->event.type == YAML_ALIAS_EVENT) return push_alias(L, r);
  if (depth == SL_YAML_DEPTH)
    return refuse(r, &r->event.start_mark, SL_LIMIT, "more levels than are read", NULL);
  luaL_checkstack(L, 16, "YAML too deep");
  size_t before = r->nodes;
  if (count(r, 1) != 0) return -1;
  const char *anchor = anchor_of(&r->event);
  if (!anchor) return push_by_type(L, r, depth);
  lua_pushstring(L, anchor); /* the event goes away */
  int name = lua_gettop(L);
  lua_pushvalue(L, name);
  lua_pushnil(L);
  lua_rawset(L, SIZES);
  if (push_by_type(L, r, depth) != 0) return -1;
  lua_pushvalue(L, name);
  lua_pushvalue(L, -2);
  lua_rawset(L, ANCHORS);
  lua_pushvalue(L, name);
  lua_pushnumber(L, (lua_Number)(r->nodes - before));
  lua_rawset(L, SIZES);
  lua_remove(L, name);
  return 0;
}

/* The one document of the stream (+1). */
static int push_stream(lua_State *L, reader *r) {
  if (next_event(r) != 0 || next_event(r) != 0)
    return -1; /* the stream, then a document or the end */
  if (r->event.type == YAML_STREAM_END_EVENT) {
    sl_json_push_null(L);
    return 0;
  }
  if (next_event(r) != 0 || push_node(L, r, 0) != 0) return -1;
  if (next_event(r) != 0 || next_event(r) != 0)
    return -1; /* the document's end, then the stream's */
  if (r->event.type == YAML_STREAM_END_EVENT) return 0;
  return refuse(r, &r->event.start_mark, SL_PROTOCOL, "more than one document", NULL);
}

/* libyaml reads ahead and would not know the line. */
static int check_utf8(reader *r, const char *s, size_t n) {
  yaml_mark_t mark = {0, 0, 0};
  uint32_t cp;
  int len;
  for (size_t i = 0; i < n; i += (size_t)len) {
    len = sl_utf8_next(s + i, n - i, &cp);
    if (len <= 0) return refuse(r, &mark, SL_PROTOCOL, "bytes that are not UTF-8", NULL);
    mark.column++;
    if (s[i] != '\n') continue;
    mark.line++;
    mark.column = 0;
  }
  return 0;
}

/* yaml_decode(text) -> value, positions; or nil and {kind, message, line, column} */
static int l_yaml_decode(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_settop(L, 1);
  reader *r = lua_newuserdata(L, sizeof *r);
  memset(r, 0, sizeof *r);
  luaL_getmetatable(L, READER);
  lua_setmetatable(L, -2);
  for (int i = POSITIONS; i <= SIZES; i++) lua_newtable(L);
  if (!yaml_parser_initialize(&r->parser)) return luaL_error(L, "not enough memory");
  r->has_parser = true;
  yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)s, n);
  int rc = check_utf8(r, s, n) == 0 ? push_stream(L, r) : -1;
  if (rc == 0) {
    lua_pushvalue(L, POSITIONS);
  } else {
    lua_pushnil(L);
    sl_push_err(L, &r->err);
    lua_pushinteger(L, (lua_Integer)r->line);
    lua_setfield(L, -2, "line");
    lua_pushinteger(L, (lua_Integer)r->column);
    lua_setfield(L, -2, "column");
  }
  reader_clean(r);
  return 2;
}

const char *sl_yaml_version(void) {
  return yaml_get_version_string();
}

static void open_reader(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_reader_gc}, {NULL, NULL}};
  sl_class(L, READER, methods, meta);
}

#else

static int l_yaml_decode(lua_State *L) {
  sl_err e;
  sl_err_set(&e, SL_CONFIG, NULL, 0,
             "this sshlua was built without YAML (libyaml), it cannot read it");
  lua_pushnil(L);
  sl_push_err(L, &e);
  return 2;
}

const char *sl_yaml_version(void) {
  return NULL;
}

static void open_reader(lua_State *L) {
  (void)L;
}

#endif

void sl_yaml_open(lua_State *L) {
  static const luaL_Reg functions[] = {{"yaml_decode", l_yaml_decode}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  open_reader(L);
}
