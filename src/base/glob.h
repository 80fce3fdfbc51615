/* Patterns with '*' and '?' (ssh_config(5), PATTERNS), letters as they are. */
#ifndef SL_GLOB_H
#define SL_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Does the pattern match the whole name? The work is bounded by the product of the lengths. */
bool sl_glob_matches(const char *name, size_t len, const char *pattern, size_t pattern_len);

#endif
