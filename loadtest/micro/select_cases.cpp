#include "micro.h"

namespace micro {

void add_select_cases() {}

}  // namespace micro
