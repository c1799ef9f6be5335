#ifndef BARE_POST_ECHO_H
#define BARE_POST_ECHO_H

#include "serve.h"

// bare-plaintext --echo: sends every request's body back, of any size.
extern const struct program kPostEcho;

#endif
