/* The grammar of known_hosts lines: [@marker] names keytype base64-key [comment].
   Knows what OpenSSH takes and what it passes over; must not know how hosts are looked up.

   Two ways to be wrong. A line that OpenSSH passes over is reported and dropped. A line that is
   doubtful (a NUL, too long, a type OpenSSH may know and we do not) but that OpenSSH may heed is
   reported and kept to refuse only: dropping a @revoked or a changed key would be the less strict
   thing to do. */
#include <string.h>

#include "ssh/known_hosts_set.h"

#define HASH_MAGIC "|1|"
#define DIGEST_DIGITS 28 /* base64 of 20 bytes */
#define NOTES_MAX 1000

typedef struct parser {
  sl_known_hosts *set;
  uint32_t file, line;
  const char *doubt; /* why this line may only refuse; NULL: it is sound */
} parser;

/* A piece of the line: [at, end). */
typedef struct piece {
  char *at, *end;
} piece;

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s, const char *end) {
  while (s < end && is_blank(*s)) s++;
  return s;
}

static piece take_word(char **s, char *end) {
  char *space = memchr(*s, ' ', (size_t)(end - *s));
  piece w = {*s, space ? space : end};
  char *tab = memchr(w.at, '\t', (size_t)(w.end - w.at));
  if (tab) w.end = tab;
  *s = skip_blanks(w.end, end);
  return w;
}

static bool piece_is(piece w, const char *text) {
  size_t len = strlen(text);
  return (size_t)(w.end - w.at) == len && memcmp(w.at, text, len) == 0;
}

/* 0 also when the list of notes is full: the last one says so. */
static int note(parser *p, const char *message) {
  sl_known_hosts *set = p->set;
  if (set->nnotes >= NOTES_MAX) return 0;
  if (set->nnotes == NOTES_MAX - 1)
    message = "too many faulty lines: from here on they are not listed";
  if (!sl_kh_grow((void **)&set->notes, set->nnotes, &set->notes_cap, sizeof *set->notes))
    return -1;
  set->notes[set->nnotes++] = (kh_note){p->file, p->line, message};
  return 0;
}

/* OpenSSH ends a marker at the line's first space, and at its first tab only if it has no space at
   all. So "@revoked<TAB>host type key" is no valid marker to it, but surely meant as one. */
static const char *take_marker(parser *p, char **s, char *end, sl_kh_marker *marker) {
  *marker = SL_KH_PLAIN;
  if (*s == end || **s != '@') return NULL;
  bool spaces = memchr(*s, ' ', (size_t)(end - *s)) != NULL;
  piece w = take_word(s, end);
  if (piece_is(w, "@revoked"))
    *marker = SL_KH_REVOKE;
  else if (piece_is(w, "@cert-authority"))
    *marker = SL_KH_CA;
  else
    return "unknown marker";
  if (spaces && *w.end == '\t') p->doubt = "tab after the marker, which OpenSSH does not take";
  return *s < end && **s == '@' ? "more than one marker" : NULL;
}

/* ---- names ---- */

typedef enum { NAMES_PLAIN, NAMES_PATTERN, NAMES_HASHED } names_kind;

/* "|1|salt|hash", both 20 bytes, decoded in place. OpenSSH compares text, so only the canonical
   form can ever match, and nothing may stand around it. */
static const char *parse_hashed(piece *w) {
  const size_t magic = sizeof HASH_MAGIC - 1;
  unsigned char salt[KH_DIGEST + 1], hash[KH_DIGEST + 1];
  if ((size_t)(w->end - w->at) != magic + 2 * DIGEST_DIGITS + 1 ||
      memcmp(w->at, HASH_MAGIC, magic) != 0 || w->at[magic + DIGEST_DIGITS] != '|')
    return "malformed hashed name";
  if (sl_kh_base64_decode(salt, w->at + magic, DIGEST_DIGITS) != KH_DIGEST ||
      sl_kh_base64_decode(hash, w->at + magic + DIGEST_DIGITS + 1, DIGEST_DIGITS) != KH_DIGEST)
    return "malformed hashed name";
  memcpy(w->at, salt, KH_DIGEST);
  memcpy(w->at + KH_DIGEST, hash, KH_DIGEST);
  w->end = w->at + 2 * (size_t)KH_DIGEST;
  return NULL;
}

static const char *parse_names(piece *w, names_kind *kind) {
  if (w->at == w->end) return "no host name";
  if (*w->at == '|') {
    *kind = NAMES_HASHED;
    return parse_hashed(w);
  }
  *kind = NAMES_PLAIN;
  for (char *c = w->at, *stop; c < w->end; c = stop + 1) {
    stop = memchr(c, ',', (size_t)(w->end - c));
    if (!stop) stop = w->end;
    if (*c == '!') *kind = NAMES_PATTERN;
    if (stop - c > KH_PATTERN_MAX + (*c == '!')) return "host name too long";
    for (; c < stop; c++) {
      if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
      if (*c == '*' || *c == '?') *kind = NAMES_PATTERN;
    }
  }
  return NULL;
}

static int add_names(parser *p, size_t entry, piece w, names_kind kind) {
  sl_known_hosts *set = p->set;
  if (kind == NAMES_PATTERN) return sl_kh_list_add(&set->patterns, entry) ? 0 : -1;
  if (kind == NAMES_HASHED) {
    if (!set->sha1) set->sha1 = sl_kh_sha1_new();
    return set->sha1 && sl_kh_list_add(&set->hashed, entry) ? 0 : -1;
  }
  for (char *c = w.at; c < w.end;) {
    char *comma = memchr(c, ',', (size_t)(w.end - c));
    char *stop = comma ? comma : w.end;
    if (stop > c && sl_kh_node_add(set, c, (size_t)(stop - c), entry) != 0) return -1;
    c = stop + 1;
  }
  return 0;
}

/* ---- key ---- */

static bool is_cert_name(const char *type, size_t len) {
  static const char tail[] = "-cert-v01@openssh.com";
  return len > sizeof tail - 1 &&
         memcmp(type + len - (sizeof tail - 1), tail, sizeof tail - 1) == 0;
}

static const char type_differs[] = "key type differs from the type inside the key";

/* Decodes the key in place; NULL or why the line is to be dropped. */
static const char *parse_key(parser *p, piece type, piece *key) {
  ptrdiff_t n =
      sl_kh_base64_decode((unsigned char *)key->at, key->at, (size_t)(key->end - key->at));
  if (n < 0) return "key is not valid base64";
  key->end = key->at + n;
  size_t type_len = (size_t)(type.end - type.at), inner_len = 0;
  const unsigned char *blob = (const unsigned char *)key->at;
  const char *inner = sl_kh_key_type(blob, (size_t)n, &inner_len);
  if (!inner) return "key does not begin with its type";
  bool same = inner_len == type_len && memcmp(inner, type.at, inner_len) == 0;
  sl_kh_key_view view;
  if (sl_kh_key_parse(blob, (size_t)n, &view) == 0) {
    bool cert = view.cert;
    if (!same && (sl_kh_key_kind_of(type.at, type_len, &cert) != view.kind || cert != view.cert))
      return type_differs;
    if (!same || !view.exact) p->doubt = type_differs;
    if (view.cert) p->doubt = "a certificate does not name a host's key";
    return NULL;
  }
  bool cert;
  if (sl_kh_key_kind_of(type.at, type_len, &cert)) return same ? "malformed key" : type_differs;
  if (!same && !(is_cert_name(type.at, type_len) && is_cert_name(inner, inner_len)))
    return type_differs;
  p->doubt = "unknown key type";
  return NULL;
}

/* ---- lines ---- */

static int add_entry(parser *p, sl_kh_marker marker, piece names, names_kind kind, piece type,
                     piece key) {
  sl_known_hosts *set = p->set;
  if (set->nentries >= UINT32_MAX - 1) return -1;
  if (!sl_kh_grow((void **)&set->entries, set->nentries, &set->entries_cap, sizeof *set->entries))
    return -1;
  *type.end = '\0'; /* was a blank */
  set->entries[set->nentries] = (kh_entry){
      .names = names.at,
      .names_len = (uint32_t)(names.end - names.at),
      .type = type.at,
      .blob = (const unsigned char *)key.at,
      .blob_len = (uint32_t)(key.end - key.at),
      .file = p->file,
      .line = p->line,
      .marker = (unsigned char)marker,
      .usable = p->doubt == NULL,
  };
  return add_names(p, set->nentries++, names, kind);
}

/* Names that a NUL ends: OpenSSH before 10.1 reads on behind it. */
static void pass_nul(char **s, char **end, char *line_end) {
  char *rest = *end + 1;
  char *nul = memchr(rest, '\0', (size_t)(line_end - rest));
  *end = nul ? nul : line_end;
  *s = skip_blanks(rest, *end);
}

static int parse_line(parser *p, char *s, char *line_end) {
  p->doubt = NULL;
  const char *long_line = line_end - s > SL_KH_LINE_MAX ? "line longer than 64 KiB" : NULL;
  char *nul = memchr(s, '\0', (size_t)(line_end - s));
  char *end = nul ? nul : line_end; /* where the line ends for OpenSSH */
  s = skip_blanks(s, end);
  if (s == end || *s == '#' || (*s == '\r' && s + 1 == end)) {
    const char *why = nul ? "NUL byte" : *s == '#' ? NULL : long_line;
    return why ? note(p, why) : 0;
  }
  sl_kh_marker marker;
  names_kind kind = NAMES_PLAIN;
  const char *fault = take_marker(p, &s, end, &marker);
  if (fault) return note(p, fault);
  piece names = take_word(&s, end);
  if (nul && s == nul && names.end == nul) pass_nul(&s, &end, line_end);
  if ((fault = parse_names(&names, &kind)) != NULL) return note(p, fault);
  if (s == end || *s == '#') return note(p, "no key");
  piece type = take_word(&s, end);
  if (s == end) return note(p, "no key");
  piece key = take_word(&s, end);
  if ((fault = parse_key(p, type, &key)) != NULL) return note(p, fault);
  if (nul) p->doubt = "NUL byte";
  if (long_line) p->doubt = long_line;
  if (add_entry(p, marker, names, kind, type, key) != 0) return -1;
  return p->doubt ? note(p, p->doubt) : 0;
}

int sl_kh_parse(sl_known_hosts *set, size_t file, char *text, size_t len) {
  parser p = {.set = set, .file = (uint32_t)file, .line = set->files[file].lines};
  char *s = text, *end = s + len;
  while (s < end) {
    char *newline = memchr(s, '\n', (size_t)(end - s));
    char *stop = newline ? newline : end;
    p.line++;
    if (parse_line(&p, s, stop) != 0) return -1;
    s = stop + 1;
  }
  set->files[file].lines = p.line;
  return 0;
}
