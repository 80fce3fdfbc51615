/* What must hold in a fuzz target, whatever the input. */
#ifndef TRUTH_H
#define TRUTH_H

#include <stdio.h>
#include <stdlib.h>

#define TRUTH(x)                                                                                   \
  do {                                                                                             \
    if (!(x)) {                                                                                    \
      fprintf(stderr, "not true: %s\n", #x);                                                       \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

#endif
