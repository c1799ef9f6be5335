// A library that knows nothing of treadle, loaded by dlopen(): what it waits in, nobody has
// wrapped.
#include <unistd.h>

extern "C" int third_party_read(int descriptor);
extern "C" int third_party_read(int descriptor) {
  char c = 0;
  return ::read(descriptor, &c, 1) == 1 ? c : -1;
}
