/* Host certificates: see host_certificate.h. */
#include "ssh/host_certificate.h"

#include <string.h>

#include "base/glob.h"
#include "ssh/signature.h"

static int refuse(sl_err *err, const char *name, const char *what) {
  return sl_err_set(err, SL_HOSTKEY, name, 0, "the host certificate %s", what);
}

/* Names and values that come in pairs, or single names: is the list well-formed? */
static bool list_is_sound(sl_span list, size_t max, size_t *count) {
  sl_reader r = sl_reader_of(list.p, list.n);
  sl_span item;
  for (*count = 0; sl_reader_left(&r) > 0; ++*count) {
    if (*count >= max || !sl_get_string(&r, &item)) return false;
  }
  return true;
}

static bool names_are_text(sl_span principals) {
  sl_reader r = sl_reader_of(principals.p, principals.n);
  sl_span name;
  while (sl_get_string(&r, &name)) {
    if (name.n > 0 && memchr(name.p, '\0', name.n)) return false;
  }
  return true;
}

int sl_host_certificate_read(const unsigned char *blob, size_t len, sl_certificate_view *view,
                             sl_err *err) {
  size_t names, options, extensions;
  sl_span algorithm;
  char text[64];
  if (!sl_certificate_view_of(blob, len, view) ||
      !list_is_sound(view->principals, SL_CERTIFICATE_PRINCIPALS_MAX, &names) ||
      !list_is_sound(view->critical_options, SIZE_MAX, &options) || options % 2 != 0 ||
      !list_is_sound(view->extensions, SIZE_MAX, &extensions) || extensions % 2 != 0 ||
      !names_are_text(view->principals) || (view->key_id.n && memchr(view->key_id.p, 0, view->key_id.n)))
    return refuse(err, "BAD_FORMAT", "is malformed");
  const sl_pubkey_type *ca = sl_pubkey_type_of_blob(view->signature_key.p, view->signature_key.n);
  if (!ca || sl_pubkey_type_is_certificate(ca))
    return refuse(err, "UNSUPPORTED", "is signed by a key of an unknown type");
  if (!sl_signature_algorithm(view->signature, &algorithm) || algorithm.n >= sizeof text)
    return refuse(err, "BAD_FORMAT", "has a malformed signature");
  memcpy(text, algorithm.p, algorithm.n);
  text[algorithm.n] = '\0';
  return sl_signature_verify(view->signature_key, text, view->signature, view->signed_part, err);
}

static bool is_listed(sl_span principals, const char *name) {
  sl_reader r = sl_reader_of(principals.p, principals.n);
  sl_span principal;
  while (sl_get_string(&r, &principal)) {
    if (sl_glob_matches(name, strlen(name), (const char *)principal.p, principal.n)) return true;
  }
  return false;
}

static bool has_word(const char *list, sl_span word) {
  for (const char *s = list; *s;) {
    size_t n = strcspn(s, ",");
    if (n == word.n && memcmp(s, word.p, n) == 0) return true;
    s += n + (s[n] == ',');
  }
  return false;
}

int sl_host_certificate_check(const sl_certificate_view *view, const char *name, uint64_t now,
                              const char *algorithms, sl_err *err) {
  sl_span algorithm;
  if (view->role != SL_CERTIFICATE_HOST)
    return refuse(err, "NOT_HOST_CERTIFICATE", "is a user's, not a host's");
  if (now < view->valid_after)
    return refuse(err, "CERTIFICATE_NOT_YET_VALID", "is not valid yet (is this machine's clock right?)");
  if (now >= view->valid_before) return refuse(err, "CERTIFICATE_EXPIRED", "has expired");
  if (view->principals.n == 0)
    return refuse(err, "CERTIFICATE_PRINCIPAL", "names no host");
  if (!is_listed(view->principals, name))
    return sl_err_set(err, SL_HOSTKEY, "CERTIFICATE_PRINCIPAL", 0,
                      "the host certificate is not for the name '%.100s'", name);
  if (view->critical_options.n > 0)
    return refuse(err, "CERTIFICATE_OPTION", "has a critical option that is not known");
  if (!sl_signature_algorithm(view->signature, &algorithm) || !has_word(algorithms, algorithm))
    return sl_err_set(err, SL_HOSTKEY, "CERTIFICATE_ALGORITHM", 0,
                      "the host certificate is signed with %.*s, which is not allowed",
                      algorithm.n < 64 ? (int)algorithm.n : 64, (const char *)algorithm.p);
  return 0;
}
