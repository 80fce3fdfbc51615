/* Patterns of names: see glob.h. */
#include "base/glob.h"

#include <stdint.h>

/* On a mismatch only the last '*' takes one character more: that is enough. */
bool sl_glob_matches(const char *name, size_t len, const char *pattern, size_t pattern_len) {
  size_t i = 0, j = 0, star = SIZE_MAX, retry = 0;
  while (i < len) {
    if (j < pattern_len && pattern[j] == '*') {
      star = j++;
      retry = i;
    } else if (j < pattern_len && (pattern[j] == '?' || pattern[j] == name[i])) {
      i++;
      j++;
    } else if (star != SIZE_MAX) {
      j = star + 1;
      i = ++retry;
    } else {
      return false;
    }
  }
  while (j < pattern_len && pattern[j] == '*') j++;
  return j == pattern_len;
}
