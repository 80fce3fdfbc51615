/* A key's fingerprint as a picture that people compare by eye, as ssh-keygen -lv draws it.
   Knows bytes. */
#ifndef SL_RANDOMART_H
#define SL_RANDOMART_H

#include <stddef.h>

#define SL_RANDOMART_SIZE (11 * 20 + 1)

/* Eleven lines without a newline behind the last. `title` and `hash` stand in the upper and lower
   border, in brackets, cut to fit. */
void sl_randomart(const unsigned char *digest, size_t len, const char *title, const char *hash,
                  char out[SL_RANDOMART_SIZE]);

#endif
