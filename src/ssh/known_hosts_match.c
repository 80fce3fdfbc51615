/* Which lines concern a host: a table for plain names, and one by one the lines with patterns
   (sshd(8), ssh_config(5) PATTERNS) and those with hashed names.
   Knows names; must not know keys, markers or the text of files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/glob.h"
#include "ssh/known_hosts_set.h"

#define SLOTS_MIN 64
#define SHA1_BLOCK 64

/* ---- the name of a host ---- */

ptrdiff_t sl_kh_host(const char *name, unsigned port, char out[SL_KH_NAME_MAX + 1], sl_err *err) {
  if (!*name) return sl_err_set(err, SL_USAGE, NULL, 0, "known_hosts: empty host name");
  if (port < 1 || port > 65535)
    return sl_err_set(err, SL_USAGE, NULL, 0, "known_hosts: port %u is out of range", port);
  int n = port == 22 ? snprintf(out, SL_KH_NAME_MAX + 1, "%s", name)
                     : snprintf(out, SL_KH_NAME_MAX + 1, "[%s]:%u", name, port);
  if (n < 0 || n > SL_KH_NAME_MAX)
    return sl_err_set(err, SL_USAGE, NULL, 0, "known_hosts: host name too long");
  for (char *c = out; *c; c++) {
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
  }
  return n;
}

/* ---- plain names ---- */

static uint32_t name_hash(const char *name, size_t len) {
  uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, its high bits folded in */
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)name[i]) * 0x100000001b3u;
  return (uint32_t)(h ^ h >> 32);
}

/* The slot of a name, or the free one where it belongs. */
static kh_slot *find_slot(const sl_known_hosts *set, const char *name, size_t len, uint32_t hash) {
  size_t i = hash & (set->nslots - 1);
  for (; set->slots[i].head; i = (i + 1) & (set->nslots - 1)) {
    if (set->slots[i].hash != hash) continue;
    const kh_node *n = &set->nodes[set->slots[i].head - 1];
    if (n->len == len && memcmp(n->name, name, len) == 0) break;
  }
  return &set->slots[i];
}

static int grow_slots(sl_known_hosts *set) {
  size_t size = set->nslots ? set->nslots * 2 : SLOTS_MIN;
  kh_slot *slots = calloc(size, sizeof *slots);
  if (!slots) return -1;
  for (size_t i = 0; i < set->nslots; i++) {
    if (!set->slots[i].head) continue;
    size_t at = set->slots[i].hash & (size - 1);
    while (slots[at].head) at = (at + 1) & (size - 1);
    slots[at] = set->slots[i];
  }
  free(set->slots);
  set->slots = slots;
  set->nslots = size;
  return 0;
}

int sl_kh_node_add(sl_known_hosts *set, const char *name, size_t len, size_t entry) {
  if (set->nnodes >= UINT32_MAX - 1) return -1;
  if (!sl_kh_grow((void **)&set->nodes, set->nnodes, &set->nodes_cap, sizeof *set->nodes))
    return -1;
  if (set->slots_used * 2 >= set->nslots && grow_slots(set) != 0) return -1;
  uint32_t hash = name_hash(name, len);
  kh_slot *slot = find_slot(set, name, len, hash);
  if (!slot->head) set->slots_used++;
  set->nodes[set->nnodes] = (kh_node){name, (uint32_t)len, (uint32_t)entry, slot->head};
  *slot = (kh_slot){hash, (uint32_t)++set->nnodes};
  return 0;
}

/* ---- patterns ---- */

/* A list matches when one of its patterns does and none of the negated ones. */
static bool list_matches(const char *name, size_t len, const char *list, size_t list_len) {
  bool matched = false;
  for (size_t i = 0; i < list_len;) {
    const char *comma = memchr(list + i, ',', list_len - i);
    size_t stop = comma ? (size_t)(comma - list) : list_len;
    bool negated = list[i] == '!';
    if (negated) i++;
    if (sl_glob_matches(name, len, list + i, stop - i)) {
      if (negated) return false;
      matched = true;
    }
    i = stop + 1;
  }
  return matched;
}

/* ---- hashed names ---- */

EVP_MD_CTX *sl_kh_sha1_new(void) {
  EVP_MD_CTX *sha1 = EVP_MD_CTX_new();
  if (sha1 && EVP_DigestInit_ex(sha1, EVP_sha1(), NULL) == 1) return sha1;
  EVP_MD_CTX_free(sha1);
  return NULL;
}

static bool digest(EVP_MD_CTX *ctx, const unsigned char block[SHA1_BLOCK], const void *data,
                   size_t len, unsigned char out[KH_DIGEST]) {
  return EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, block, SHA1_BLOCK) == 1 &&
         EVP_DigestUpdate(ctx, data, len) == 1 && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

/* HMAC-SHA1 (RFC 2104) over a context that is kept: libcrypto's own set-up costs more than the
 * hash. */
int sl_kh_hash(EVP_MD_CTX *sha1, const unsigned char salt[KH_DIGEST], const char *host, size_t len,
               unsigned char out[KH_DIGEST]) {
  unsigned char inner[SHA1_BLOCK], outer[SHA1_BLOCK], md[KH_DIGEST];
  memset(inner, 0x36, sizeof inner);
  memset(outer, 0x5c, sizeof outer);
  for (size_t i = 0; i < KH_DIGEST; i++) {
    inner[i] = (unsigned char)(salt[i] ^ 0x36);
    outer[i] = (unsigned char)(salt[i] ^ 0x5c);
  }
  return digest(sha1, inner, host, len, md) && digest(sha1, outer, md, sizeof md, out) ? 0 : -1;
}

/* ---- look-up ---- */

static int find_plain(sl_known_hosts *set, const char *host, size_t len) {
  if (!set->nslots) return 0;
  uint32_t n = find_slot(set, host, len, name_hash(host, len))->head;
  for (; n; n = set->nodes[n - 1].next) {
    if (!sl_kh_list_add(&set->found, set->nodes[n - 1].entry)) return -1;
  }
  return 0;
}

static int find_patterns(sl_known_hosts *set, const char *host, size_t len) {
  for (size_t i = 0; i < set->patterns.n; i++) {
    const kh_entry *e = &set->entries[set->patterns.at[i]];
    if (list_matches(host, len, e->names, e->names_len) &&
        !sl_kh_list_add(&set->found, set->patterns.at[i]))
      return -1;
  }
  return 0;
}

/* What is remembered of a host; in its slot another one is forgotten. NULL: no memory. */
static kh_memo *memo_of(sl_known_hosts *set, const char *host, size_t len) {
  if (!set->memos && !(set->memos = calloc(KH_MEMOS, sizeof *set->memos))) return NULL;
  kh_memo *m = &set->memos[name_hash(host, len) % KH_MEMOS];
  if (m->name && m->len == len && memcmp(m->name, host, len) == 0) return m;
  char *name = malloc(len + 1);
  if (!name) return NULL;
  memcpy(name, host, len + 1);
  free(m->name);
  m->name = name;
  m->len = len;
  m->scanned = m->found.n = 0;
  return m;
}

void sl_kh_memos_free(sl_known_hosts *set) {
  for (size_t i = 0; set->memos && i < KH_MEMOS; i++) {
    free(set->memos[i].name);
    free(set->memos[i].found.at);
  }
  free(set->memos);
}

static int find_hashed(sl_known_hosts *set, const char *host, size_t len) {
  if (set->hashed.n == 0) return 0;
  kh_memo *m = memo_of(set, host, len);
  if (!m) return -1;
  for (; m->scanned < set->hashed.n; m->scanned++) {
    uint32_t entry = set->hashed.at[m->scanned];
    const char *names = set->entries[entry].names;
    unsigned char hash[KH_DIGEST];
    if (sl_kh_hash(set->sha1, (const unsigned char *)names, host, len, hash) != 0) return -1;
    if (memcmp(hash, names + KH_DIGEST, KH_DIGEST) == 0 && !sl_kh_list_add(&m->found, entry))
      return -1;
  }
  for (size_t i = 0; i < m->found.n; i++) {
    if (!sl_kh_list_add(&set->found, m->found.at[i])) return -1;
  }
  return 0;
}

static int by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* A line that names the host twice counts once. */
static void sort_found(kh_list *found) {
  if (found->n < 2) return;
  qsort(found->at, found->n, sizeof *found->at, by_number);
  size_t kept = 1;
  for (size_t i = 1; i < found->n; i++) {
    if (found->at[i] != found->at[kept - 1]) found->at[kept++] = found->at[i];
  }
  found->n = kept;
}

ptrdiff_t sl_known_hosts_lookup(sl_known_hosts *set, const char *name, unsigned port, sl_err *err) {
  char host[SL_KH_NAME_MAX + 1];
  set->found.n = 0;
  if (set->broken)
    return sl_err_set(err, SL_MEMORY, NULL, 0, "known_hosts: not wholly read, for want of memory");
  ptrdiff_t len = sl_kh_host(name, port, host, err);
  if (len < 0) return -1;
  if (find_plain(set, host, (size_t)len) != 0 || find_patterns(set, host, (size_t)len) != 0 ||
      find_hashed(set, host, (size_t)len) != 0) {
    set->found.n = 0;
    return sl_err_set(err, SL_MEMORY, NULL, 0,
                      "known_hosts: no memory, or no SHA-1, to look up a host");
  }
  sort_found(&set->found);
  return (ptrdiff_t)set->found.n;
}
