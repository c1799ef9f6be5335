#include "micro.h"

namespace micro {

void add_timer_cases() {}

}  // namespace micro
